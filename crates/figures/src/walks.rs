//! One request's walk through layers over a service that does nothing.

use std::{
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, header, request, response};
use http_body::Body;
use http_body_util::Full;
use tower::{
    Layer, Service,
    retry::{Policy, RetryLayer},
};
use tower_keypool::{BoxError, CooldownLayer, Gemini, KeyPool, KeyPoolLayer, KeyRotationLayer, Limits, ManualClock};

use crate::{by_hand::ByHand, floor::Floor, picks};

const MODEL: &str = "gemini-2.5-flash";
const QUESTION: &str = r#"{"contents":[{"role":"user","parts":[{"text":"How many keys does a pool need?"}]}]}"#;
const ANSWER: &str = concat!(
    r#"{"candidates":[{"content":{"parts":[{"text":"As many as its callers ask for."}],"role":"model"},"#,
    r#""finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":8,"#,
    r#""totalTokenCount":17},"modelVersion":"gemini-2.5-flash","responseId":"0123456789abcdef"}"#
);

/// What travels down and up.
#[derive(Clone, Copy)]
pub enum Traffic {
    /// Method, URI and a small body; no header that somebody set, nothing in the answer to look at.
    Plain,
    /// As an SDK asks, and as Gemini answers: headers both ways, JSON that tells its usage.
    Sdk,
}

impl Traffic {
    /// `plain` or `sdk`.
    ///
    /// # Panics
    /// When it is neither.
    pub fn named(name: &str) -> Self {
        match name {
            "plain" => Self::Plain,
            "sdk" => Self::Sdk,
            other => panic!("no traffic is called {other}"),
        }
    }

    fn question(self) -> &'static str {
        match self {
            Self::Plain => "{}",
            Self::Sdk => QUESTION,
        }
    }

    fn answer(self) -> &'static str {
        match self {
            Self::Plain => "ok",
            Self::Sdk => ANSWER,
        }
    }
}

/// A request, again and again.
pub struct Asker {
    head: request::Parts,
    body: Bytes,
    answer: usize,
}

impl Asker {
    /// It asks the pool's own base.
    pub fn new(traffic: Traffic) -> Self {
        let mut request = Request::post("http://127.0.0.1:1/v1beta/models/gemini-2.5-flash:generateContent");
        if let Traffic::Sdk = traffic {
            request = request
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::CONTENT_LENGTH, QUESTION.len())
                .header(header::ACCEPT, "*/*")
                .header(header::USER_AGENT, "google-genai-sdk/1.30.0 gl-python/3.11.7")
                .header("x-goog-api-client", "google-genai-sdk/1.30.0 gl-python/3.11.7")
                .header("x-goog-api-key", "PLACEHOLDER_GEMINI_TOKEN");
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        Self { head, body: Bytes::from_static(traffic.question().as_bytes()), answer: traffic.answer().len() }
    }

    fn ask(&self) -> Request<Full<Bytes>> {
        Request::from_parts(self.head.clone(), Full::new(self.body.clone()))
    }
}

/// Reads the request to its end and has an answer ready.
#[derive(Clone)]
pub struct NoOp {
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
        Self { head, body: Bytes::from_static(traffic.answer().as_bytes()) }
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
        ready(Ok(Response::from_parts(self.head.clone(), Full::new(self.body.clone()))))
    }
}

/// tower's own policy that never sends again, but could: it keeps what it would send.
#[derive(Clone)]
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

/// The pool below the layers, and its clock.
pub struct Under {
    time: ManualClock,
    pool: KeyPool,
}

impl Under {
    /// So many keys of 15 requests a minute and 30,000 a day.
    pub fn new(keys: usize) -> Self {
        let time = picks::clock();
        let gemini = Gemini::at("http://127.0.0.1:1").expect("a base");
        let pool = KeyPool::builder(gemini)
            .keys(picks::keys(keys))
            .limits(MODEL, Limits::new().per_minute(15).per_day(30_000))
            .clock(time.clock())
            .build()
            .expect("a pool");
        Self { time, pool }
    }
}

/// A stack of layers, and how to send one request through it.
pub enum Walk {
    /// Nothing at all.
    Bare(NoOp),
    /// `KeyRotationLayer` and `CooldownLayer`.
    Rotated(Under, tower_keypool::KeyRotation<tower_keypool::Cooldown<NoOp>>),
    /// tower's `Retry` alone.
    Retried(tower::retry::Retry<Never, NoOp>),
    /// `KeyPoolLayer`.
    Pooled(Under, tower_keypool::KeyPoolService<NoOp>),
    /// What it cannot do without, by hand.
    ByHand(Under, ByHand<NoOp>),
    /// A pick and the maps of `http` alone.
    Floor(Under, Floor<NoOp>),
}

impl Walk {
    /// `bare`, `rotated`, `retried`, `pooled`, `by-hand` or `floor`, over so many keys.
    ///
    /// # Panics
    /// When it is none of these.
    pub fn named(name: &str, traffic: Traffic, keys: usize) -> Self {
        let client = NoOp::new(traffic);
        match name {
            "bare" => Self::Bare(client),
            "rotated" => {
                let under = Under::new(keys);
                let judged = CooldownLayer::new(&under.pool).layer(client);
                let rotated = KeyRotationLayer::new(&under.pool).layer(judged);
                Self::Rotated(under, rotated)
            }
            "retried" => Self::Retried(RetryLayer::new(Never).layer(client)),
            "pooled" => {
                let under = Under::new(keys);
                let pooled = KeyPoolLayer::new(&under.pool).layer(client);
                Self::Pooled(under, pooled)
            }
            "by-hand" => {
                let under = Under::new(keys);
                let by_hand = ByHand::new(&under.pool, client);
                Self::ByHand(under, by_hand)
            }
            "floor" => {
                let under = Under::new(keys);
                let floor = Floor::new(&under.pool, MODEL, client);
                Self::Floor(under, floor)
            }
            other => panic!("no walk is called {other}"),
        }
    }

    /// Sends one request and reads its answer to the end.
    pub fn send(&mut self, asker: &Asker) {
        match self {
            Self::Bare(service) => send(service, asker),
            Self::Rotated(under, service) => {
                under.time.advance(Duration::from_millis(6));
                send(service, asker);
            }
            Self::Retried(service) => send(service, asker),
            Self::Pooled(under, service) => {
                under.time.advance(Duration::from_millis(6));
                send(service, asker);
            }
            Self::ByHand(under, service) => {
                under.time.advance(Duration::from_millis(6));
                send(service, asker);
            }
            Self::Floor(under, service) => {
                under.time.advance(Duration::from_millis(6));
                send(service, asker);
            }
        }
    }
}

/// A function of its own for each stack: which of them the compiler would put into the caller is chance.
#[inline(never)]
fn send<S, R>(service: &mut S, asker: &Asker)
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>>,
    S::Error: std::fmt::Debug,
    R: Body,
{
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(())) = service.poll_ready(&mut cx) else { panic!("not ready") };
    let mut future = pin!(service.call(asker.ask()));
    let Poll::Ready(answer) = future.as_mut().poll(&mut cx) else { panic!("nothing here waits") };
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(drain(answer.into_body()), asker.answer);
}

fn drain(body: impl Body) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    let mut body = pin!(body);
    let mut bytes = 0;
    while !body.is_end_stream() {
        match body.as_mut().poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(frame))) => {
                bytes += frame.data_ref().map_or(0, bytes::Buf::remaining);
            }
            Poll::Ready(None) => break,
            Poll::Ready(Some(Err(_))) => panic!("a body without errors"),
            Poll::Pending => panic!("a body that is here"),
        }
    }
    bytes
}
