//! The callers: each on a connection of its own, asking again as soon as it has its answer.

use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinSet};

/// What is asked for.
#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    /// 1 KiB of JSON, both ways.
    Json,
    /// A body of 1 MiB.
    Post,
    /// 50 events.
    Stream,
    /// The same, compressed.
    Gzip,
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(match name {
            "json" => Self::Json,
            "post" => Self::Post,
            "stream" => Self::Stream,
            "gzip" => Self::Gzip,
            other => anyhow::bail!("no kind of load is called {other}"),
        })
    }
}

impl Kind {
    fn request(self) -> (Uri, HeaderMap, Bytes) {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert("x-goog-api-key", HeaderValue::from_static("PLACEHOLDER_GEMINI_TOKEN"));
        if self == Self::Gzip {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let path = match self {
            Self::Json | Self::Post => "/v1beta/models/gemini-2.5-flash:generateContent",
            Self::Stream | Self::Gzip => "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        };
        let length = if self == Self::Post { 1 << 20 } else { 1 << 10 };
        let frame = r#"{"contents":[{"role":"user","parts":[{"text":""}]}]}"#;
        let text = "x".repeat(length - frame.len());
        let body = format!(r#"{{"contents":[{{"role":"user","parts":[{{"text":"{text}"}}]}}]}}"#);
        (Uri::from_static(path), headers, body.into())
    }
}

#[derive(Default)]
struct Counts {
    answers: AtomicU64,
    chunks: AtomicU64,
    failures: AtomicU64,
    stop: AtomicBool,
}

/// Asks for this long over so many connections.
#[expect(clippy::disallowed_methods, reason = "the wall clock is what is measured")]
pub async fn run(address: String, kind: Kind, connections: usize, millis: usize) -> anyhow::Result<Value> {
    let counts = Arc::new(Counts::default());
    let (path, headers, body) = kind.request();
    let mut callers = JoinSet::new();
    let began = Instant::now();
    for _ in 0..connections {
        let stream = TcpStream::connect(&address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = path.clone();
        *request.headers_mut() = headers.clone();
        let (counts, body) = (Arc::clone(&counts), body.clone());
        callers.spawn(call(sender, request.into_parts().0, body, counts));
    }
    tokio::time::sleep(Duration::from_millis(millis as u64)).await;
    counts.stop.store(true, Ordering::Relaxed);
    while callers.join_next().await.is_some() {}
    let seconds = began.elapsed().as_secs_f64();
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    Ok(json!({
        "answers": read(&counts.answers),
        "chunks": read(&counts.chunks),
        "failures": read(&counts.failures),
        "seconds": seconds,
    }))
}

async fn call(
    mut sender: http1::SendRequest<Full<Bytes>>,
    head: http::request::Parts,
    body: Bytes,
    counts: Arc<Counts>,
) {
    while !counts.stop.load(Ordering::Relaxed) {
        let request = Request::from_parts(head.clone(), Full::new(body.clone()));
        let answer = match sender.send_request(request).await {
            Ok(answer) if answer.status().is_success() => answer,
            _ => {
                counts.failures.fetch_add(1, Ordering::Relaxed);
                if sender.ready().await.is_err() {
                    return;
                }
                continue;
            }
        };
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(_) => counts.chunks.fetch_add(1, Ordering::Relaxed),
                Err(_) => counts.failures.fetch_add(1, Ordering::Relaxed),
            };
        }
        counts.answers.fetch_add(1, Ordering::Relaxed);
        if sender.ready().await.is_err() {
            return;
        }
    }
}
