//! A provider that answers by script and remembers what it was asked.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::time::Instant;
use tower::Service;

use crate::support::{Body, bad, key_of, ok, refused};

/// Answers by script, then `fine` for good. `refused` refuses the connection; a number is a status; the rest is a body.
#[derive(Clone)]
pub(crate) struct Upstream {
    script: Arc<Mutex<VecDeque<&'static str>>>,
    /// Models that are always out, by what is said of them.
    out: Arc<Mutex<Vec<(&'static str, &'static str)>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    begun: Instant,
    takes: Duration,
}

/// What it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) key: String,
    pub(crate) path: String,
    pub(crate) body: Bytes,
    pub(crate) at: Duration,
}

impl Upstream {
    #[expect(clippy::disallowed_methods, reason = "tokio's paused clock")]
    pub(crate) fn new(script: &[&'static str]) -> Self {
        Self {
            script: Arc::new(Mutex::new(script.iter().copied().collect())),
            out: Arc::default(),
            asked: Arc::default(),
            begun: Instant::now(),
            takes: Duration::ZERO,
        }
    }

    /// Takes that long for each answer.
    pub(crate) fn taking(self, takes: Duration) -> Self {
        Self { takes, ..self }
    }

    /// Answers every request for this model so, from now on; `fine` ends that.
    pub(crate) fn model(&self, model: &'static str, what: &'static str) {
        let mut out = self.out.lock().unwrap();
        out.retain(|(name, _)| *name != model);
        if what != "fine" {
            out.push((model, what));
        }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.key).collect()
    }

    pub(crate) fn models(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.path.trim_start_matches("/models/").to_owned()).collect()
    }

    /// How many seconds ago it began.
    pub(crate) fn now(&self) -> u64 {
        self.begun.elapsed().as_secs()
    }

    pub(crate) fn seconds(&self) -> Vec<u64> {
        self.asked().into_iter().map(|asked| asked.at.as_secs()).collect()
    }

    fn next(&self, path: &str) -> Result<Response<Body>, io::Error> {
        let out = self.out.lock().unwrap().iter().find(|(model, _)| path.ends_with(model)).map(|(_, what)| *what);
        match out.or_else(|| self.script.lock().unwrap().pop_front()).unwrap_or("fine") {
            "fine" => Ok(ok()),
            "refused" => Err(refused()),
            "400" => Ok(bad(400, "no such field")),
            "unknown" => Ok(bad(404, "model")),
            what => Ok(bad(429, what)),
        }
    }
}

impl<B> Service<Request<B>> for Upstream
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Debug,
{
    type Response = Response<Body>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let this = self.clone();
        let mut asked = Asked {
            key: key_of(&request),
            path: request.uri().path().to_owned(),
            body: Bytes::new(),
            at: this.begun.elapsed(),
        };
        Box::pin(async move {
            let body = Box::pin(request.into_body()).collect().await.expect("the body is whole");
            asked.body = body.to_bytes();
            let answer = this.next(&asked.path);
            this.asked.lock().unwrap().push(asked);
            tokio::time::sleep(this.takes).await;
            answer
        })
    }
}
