//! Requests that pass through layers to a service that does nothing.

use std::{
    future::{Ready, ready},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use bytes::{Buf, Bytes};
use http::{Request, Response, header, request, response};
use http_body::Body;
use http_body_util::Full;
use tower::{
    Layer, Service,
    retry::{Policy, Retry, RetryLayer},
};
use tower_keypool::{
    BoxError, CooldownLayer, Gemini, Key, KeyPool, KeyPoolLayer, KeyRotationLayer, Limits, ManualClock,
    cooldown::Cooldown, rotation::KeyRotation, stack::KeyPoolService,
};

use crate::picks::secret;

const MODEL: &str = "gemini-2.5-flash";
const ANSWER: &str = concat!(
    r#"{"candidates":[{"content":{"parts":[{"text":"As many as its callers ask for."}],"role":"model"},"#,
    r#""finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":8,"#,
    r#""totalTokenCount":17},"modelVersion":"gemini-2.5-flash","responseId":"0123456789abcdef"}"#
);

/// The requests and responses that are sent.
#[derive(Clone, Copy, Debug)]
pub enum Traffic {
    /// Method, URI and a body of two bytes; a response without relevant fields.
    Plain,
    /// A request of an SDK with 1 KiB of JSON, and a response of Gemini.
    Sdk,
}

impl Traffic {
    /// Parses `plain` or `sdk`.
    ///
    /// # Panics
    /// If the name is neither.
    pub fn named(name: &str) -> Self {
        match name {
            "plain" => Self::Plain,
            "sdk" => Self::Sdk,
            other => panic!("no traffic is called {other}"),
        }
    }

    fn answer(self) -> &'static str {
        match self {
            Self::Plain => "ok",
            Self::Sdk => ANSWER,
        }
    }
}

/// A request that is sent repeatedly.
#[derive(Debug)]
pub struct Asker {
    head: request::Parts,
    body: Bytes,
    answer: usize,
}

impl Asker {
    /// Creates the request of this traffic.
    ///
    /// # Panics
    /// Never: the request is well-formed.
    pub fn new(traffic: Traffic) -> Self {
        let mut request = Request::post("/v1beta/models/gemini-2.5-flash:generateContent");
        let mut body = "{}".to_owned();
        if let Traffic::Sdk = traffic {
            let text = "How many keys does a pool need? ".repeat(29);
            body = format!(r#"{{"contents":[{{"role":"user","parts":[{{"text":"{text}"}}]}}]}}"#);
            request = request
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::CONTENT_LENGTH, body.len())
                .header(header::ACCEPT, "*/*")
                .header(header::USER_AGENT, "google-genai-sdk/1.30.0 gl-python/3.11.7")
                .header("x-goog-api-client", "google-genai-sdk/1.30.0 gl-python/3.11.7")
                .header("x-goog-api-key", "PLACEHOLDER_GEMINI_TOKEN");
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        Self { head, body: body.into(), answer: traffic.answer().len() }
    }

    fn ask(&self) -> Request<Full<Bytes>> {
        Request::from_parts(self.head.clone(), Full::new(self.body.clone()))
    }
}

/// A service that reads the request and returns a prepared response. Its clone only copies a pointer, like a client's.
#[derive(Clone, Debug)]
pub struct NoOp(Arc<Answer>);

#[derive(Debug)]
struct Answer {
    head: response::Parts,
    body: Bytes,
}

impl NoOp {
    fn new(traffic: Traffic) -> Self {
        let mut response = Response::builder();
        if let Traffic::Sdk = traffic {
            response = response
                .header(header::CONTENT_TYPE, "application/json; charset=UTF-8")
                .header(header::CONTENT_LENGTH, ANSWER.len())
                .header(header::DATE, "Fri, 20 Nov 2026 08:00:00 GMT")
                .header(header::VARY, "Origin")
                .header(header::SERVER, "scaffolding on HTTPServer2");
        }
        let (head, ()) = response.body(()).expect("a response").into_parts();
        Self(Arc::new(Answer { head, body: Bytes::from_static(traffic.answer().as_bytes()) }))
    }
}

impl<B: Body> Service<Request<B>> for NoOp {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Ready<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        drain(request.into_body());
        let Answer { head, body } = &*self.0;
        ready(Ok(Response::from_parts(head.clone(), Full::new(body.clone()))))
    }
}

/// A retry policy for tower that never retries, but clones each request as if it could.
#[derive(Clone, Debug)]
pub struct Never;

impl<B: Clone, R> Policy<Request<B>, Response<R>, BoxError> for Never {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Request<B>, _: &mut Result<Response<R>, BoxError>) -> Option<Ready<()>> {
        None
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }
}

/// A stack of layers that requests are sent through.
#[derive(Debug)]
pub enum Walk {
    /// No layers.
    Bare(NoOp),
    /// `KeyRotationLayer` and `CooldownLayer`.
    Rotated(ManualClock, KeyRotation<Cooldown<NoOp>>),
    /// tower's `Retry` alone.
    Retried(Retry<Never, NoOp>),
    /// `KeyPoolLayer`.
    Pooled(ManualClock, KeyPoolService<NoOp>),
}

impl Walk {
    /// Creates the stack `bare`, `rotated`, `retried` or `pooled`, with 1,000 keys.
    ///
    /// # Panics
    /// If the name is none of these.
    pub fn named(name: &str, traffic: Traffic) -> Self {
        let client = NoOp::new(traffic);
        let time = ManualClock::new(SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000));
        let pool = || {
            KeyPool::builder(Gemini::new())
                .keys((0..1_000).map(|n| Key::new(secret(n)).max_concurrent(8)))
                .limits(MODEL, Limits::new().per_minute(15).per_day(30_000))
                .clock(time.clock())
                .build()
                .expect("a pool")
        };
        match name {
            "bare" => Self::Bare(client),
            "rotated" => {
                let pool = pool();
                let cooled = CooldownLayer::new(&pool).layer(client);
                Self::Rotated(time, KeyRotationLayer::new(&pool).layer(cooled))
            }
            "retried" => Self::Retried(RetryLayer::new(Never).layer(client)),
            "pooled" => {
                let pool = pool();
                Self::Pooled(time, KeyPoolLayer::new(&pool).layer(client))
            }
            other => panic!("no walk is called {other}"),
        }
    }

    /// Sends one request, and reads its response to the end.
    pub fn send(&mut self, asker: &Asker) {
        let request = asker.ask();
        let read = match self {
            Self::Bare(service) => counted(service, request),
            Self::Rotated(time, service) => {
                time.advance(Duration::from_millis(6));
                counted(service, request)
            }
            Self::Retried(service) => counted(service, request),
            Self::Pooled(time, service) => {
                time.advance(Duration::from_millis(6));
                counted(service, request)
            }
        };
        assert_eq!(read, asker.answer);
    }
}

/// The function whose instructions callgrind counts.
#[inline(never)]
fn counted<S, R>(service: &mut S, request: Request<Full<Bytes>>) -> usize
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>>,
    S::Error: std::fmt::Debug,
    R: Body,
{
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(())) = service.poll_ready(&mut cx) else { panic!("not ready") };
    let mut future = pin!(service.call(request));
    let Poll::Ready(answer) = future.as_mut().poll(&mut cx) else { panic!("nothing here waits") };
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 200);
    drain(answer.into_body())
}

fn drain(body: impl Body) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    let mut body = pin!(body);
    let mut bytes = 0;
    while !body.is_end_stream() {
        match body.as_mut().poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => bytes += frame.data_ref().map_or(0, Buf::remaining),
            Poll::Ready(None) => break,
            Poll::Ready(Some(Err(_))) => panic!("a body without errors"),
            Poll::Pending => panic!("a body that is here"),
        }
    }
    bytes
}
