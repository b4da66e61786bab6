//! What the process holds while many large bodies are in flight.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use figures::picks;
use http::{Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tokio::{sync::Barrier, task::JoinSet};
use tower::{Layer, Service, ServiceExt};
use tower_keypool::{BoxError, Gemini, KeyPool, KeyPoolLayer, ReplayLayer};

const REQUESTS: usize = 64;
const BODY: usize = 20 << 20;
const CHUNK: usize = 16 << 10;
const BUDGET: usize = 256 << 20;

/// A body whose chunks are made as they are asked for, as if they came from a socket.
struct Arriving(usize);

impl Body for Arriving {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.0 == 0 {
            return Poll::Ready(None);
        }
        let next = self.0.min(CHUNK);
        self.0 -= next;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'x'; next])))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0 as u64)
    }
}

/// Reads each body to its end, a chunk at a time, and answers once all are read.
#[derive(Clone)]
struct Reader(Arc<Barrier>);

impl<B> Service<Request<B>> for Reader
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError> + Send,
{
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Full<Bytes>>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let all = Arc::clone(&self.0);
        Box::pin(async move {
            let mut body = Box::pin(request.into_body());
            while let Some(frame) = body.frame().await {
                frame.map_err(Into::into)?;
                tokio::task::yield_now().await;
            }
            all.wait().await;
            Ok(Response::new(Full::new(Bytes::from_static(b"{}"))))
        })
    }
}

/// Sends them all at once; says what the process held at the most, and how many succeeded.
pub async fn run() -> anyhow::Result<Value> {
    let pool = KeyPool::builder(Gemini::at("http://127.0.0.1:1")?)
        .keys(picks::keys(REQUESTS))
        .wait(Duration::from_secs(5))
        .build()?;
    let replay = ReplayLayer::default().budget(BUDGET);
    let stack = KeyPoolLayer::new(&pool).replay(replay).layer(Reader(Arc::new(Barrier::new(REQUESTS))));
    let mut calls = JoinSet::new();
    for _ in 0..REQUESTS {
        let request = Request::post("/v1beta/models/gemini-2.5-flash:generateContent")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Arriving(BODY))?;
        calls.spawn(stack.clone().oneshot(request));
    }
    let mut succeeded = 0;
    while let Some(answer) = calls.join_next().await {
        succeeded += usize::from(answer?.is_ok_and(|answer| answer.status().is_success()));
    }
    ensure!(succeeded > 0, "no request succeeded");
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the peak")?;
    let peak: f64 = peak.trim().trim_end_matches("kB").trim().parse()?;
    Ok(json!({ "peak MiB": peak / 1024.0, "budget MiB": BUDGET >> 20, "succeeded": succeeded, "of": REQUESTS }))
}
