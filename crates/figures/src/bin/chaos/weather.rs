//! The provider: the simulator's answers, and what befalls them. What befell each request is noted, so that each failure
//! a client sees can be held against it.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use gemini_sim::SimService;
use http::{Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tower::Service;
use tower_keypool::BoxError;

use super::callers::{Came, SIZE, TAG};

/// What an attempt met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// Nothing.
    Fine,
    /// A 500 or 503.
    Failing,
    /// A 429 that asks for a second.
    Limited,
    /// The connection ended before a head.
    Cut,
    /// It ended in the middle of the body.
    Torn,
}

/// Attempts for one request before its failure is the client's to see: the first, and three for the provider's faults.
const TRIES: usize = 4;

pub(crate) struct Weather {
    sim: SimService,
    met: Mutex<HashMap<u64, Vec<Met>>>,
}

type Out = UnsyncBoxBody<Bytes, BoxError>;

impl Weather {
    pub(crate) fn new(sim: SimService) -> Self {
        Self { sim, met: Mutex::default() }
    }

    /// What the attempts of a request met, in turn.
    pub(crate) fn met(&self, tag: u64) -> Vec<Met> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).get(&tag).cloned().unwrap_or_default()
    }

    /// Attempts that something befell.
    pub(crate) fn faults(&self) -> usize {
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.values().flatten().filter(|met| **met != Met::Fine).count()
    }

    /// Whether what a client saw follows from what befell its request, and could not be hidden from it.
    pub(crate) fn explains(&self, tag: u64, came: &Came) -> bool {
        let met = self.met(tag);
        match came {
            Came::Good | Came::Left => true,
            // Its head had gone out.
            Came::Torn => met.last() == Some(&Met::Torn),
            Came::Status(500 | 502 | 503) => {
                let provider = met.iter().filter(|met| matches!(met, Met::Failing | Met::Cut)).count();
                provider >= TRIES && !met.contains(&Met::Fine)
            }
            Came::Status(_) | Came::Nothing => false,
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Out>, BoxError> {
        let number = |name| request.headers().get(name).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let (tag, size) = (number(TAG).ok_or("a request without its tag")?, number(SIZE).unwrap_or(0));
        let met = match fastrand::u32(..1000) {
            0..40 => Met::Failing,
            40..60 => Met::Limited,
            60..80 => Met::Cut,
            80..90 => Met::Torn,
            _ => Met::Fine,
        };
        self.met.lock().unwrap_or_else(PoisonError::into_inner).entry(tag).or_default().push(met);
        let slow = if fastrand::u32(..50) == 0 { 1_000..3_000 } else { 5..80 };
        tokio::time::sleep(Duration::from_millis(fastrand::u64(slow))).await;
        let key =
            request.headers().get("x-goog-api-key").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
        match met {
            Met::Cut => Err("cut".into()),
            Met::Failing if fastrand::bool() => {
                Ok(refusal(503, "UNAVAILABLE", &format!("The model is overloaded ({key})."), ""))
            }
            Met::Failing => Ok(refusal(500, "INTERNAL", "An internal error has occurred.", "")),
            Met::Limited => Ok(refusal(
                429,
                "RESOURCE_EXHAUSTED",
                "Resource has been exhausted (e.g. check quota).",
                r#","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"1s"}]"#,
            )),
            Met::Fine | Met::Torn => self.good(request, met, size, &key).await,
        }
    }

    /// The simulator's answer, with the caller's key in a header of it now and then; cut, or longer.
    async fn good(
        &self,
        request: Request<Incoming>,
        met: Met,
        size: u64,
        key: &str,
    ) -> Result<Response<Out>, BoxError> {
        let answer = self.sim.clone().call(request).await?;
        let (mut head, body) = answer.into_parts();
        head.headers.remove(header::CONTENT_LENGTH);
        if fastrand::u32(..50) == 0 {
            head.headers.insert("x-echo", key.parse()?);
        }
        let frames = body.into_data_stream().map(|data| data.map(Frame::data).map_err(BoxError::from));
        let body = if met == Met::Torn {
            let torn = stream::once(async {
                // What came before it is on its way: else nobody would see that anything had come.
                tokio::time::sleep(Duration::from_millis(20)).await;
                Err(BoxError::from("torn"))
            });
            // Not all of it, whatever it was.
            let some = frames.take(1).map(|frame| frame.map(half));
            StreamBody::new(some.chain(torn)).boxed_unsync()
        } else {
            const PIECE: &[u8] = &[b' '; 16 << 10];
            let padding =
                stream::iter((0..size / PIECE.len() as u64).map(|_| Ok(Frame::data(Bytes::from_static(PIECE)))));
            StreamBody::new(frames.chain(padding)).boxed_unsync()
        };
        Ok(Response::from_parts(head, body))
    }
}

fn half(frame: Frame<Bytes>) -> Frame<Bytes> {
    frame.map_data(|data| data.slice(..data.len() / 2))
}

fn refusal(code: u16, status: &str, message: &str, details: &str) -> Response<Out> {
    let text = format!(r#"{{"error":{{"code":{code},"message":"{message}","status":"{status}"{details}}}}}"#);
    let mut response = Response::new(Full::from(text).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or_default();
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

/// Serves as long as the process lives.
pub(crate) async fn serve(weather: Arc<Weather>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let weather = Arc::clone(&weather);
            tokio::spawn(async move {
                let service = service_fn(|request| weather.answer(request));
                // Many end before their time.
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok(address)
}
