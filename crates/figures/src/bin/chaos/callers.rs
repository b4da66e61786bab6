//! The clients: most read what they asked for, some slowly, some leave before it is there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::ensure;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use memchr::memmem;
use tokio::task::JoinSet;

use super::MARK;

/// Which request it is.
pub(crate) const TAG: &str = "x-chaos-tag";
/// How much longer its answer is to be.
pub(crate) const SIZE: &str = "x-chaos-size";

/// What a client saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// A good answer, whole.
    Good,
    /// It left.
    Left,
    /// Another status.
    Status(u16),
    /// An answer that broke off.
    Torn,
    /// No answer at all.
    Nothing,
}

/// What a client does.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Whole,
    Stream,
    /// 1 MiB is sent.
    Long,
    /// 4 MiB are read, a little at a time.
    Slow,
    /// It leaves.
    Leaves,
}

pub(crate) struct Callers {
    address: String,
    client: Client<HttpConnector, Full<Bytes>>,
    leaks: Arc<AtomicUsize>,
}

impl Callers {
    pub(crate) fn new(address: String) -> Self {
        Self { address, client: Client::builder(TokioExecutor::new()).build_http(), leaks: Arc::default() }
    }

    /// Answers in which a secret stood.
    pub(crate) fn leaks(&self) -> usize {
        self.leaks.load(Ordering::Relaxed)
    }

    /// Asks at this rate for so long; what came to each request, by its number.
    pub(crate) async fn ask(&self, rate: f64, time: Duration) -> Vec<(u64, Came)> {
        let mut turns = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
        let (mut calls, mut came) = (JoinSet::new(), Vec::new());
        for tag in 0..(rate * time.as_secs_f64()) as u64 {
            turns.tick().await;
            calls.spawn(one(self.client.clone(), self.address.clone(), Arc::clone(&self.leaks), tag));
            while let Some(Ok(one)) = calls.try_join_next() {
                came.push(one);
            }
        }
        came.extend(calls.join_all().await);
        came
    }
}

async fn one(
    client: Client<HttpConnector, Full<Bytes>>,
    address: String,
    leaks: Arc<AtomicUsize>,
    tag: u64,
) -> (u64, Came) {
    let manner = match tag % 10 {
        0..4 => Manner::Whole,
        4..7 => Manner::Stream,
        7 => Manner::Slow,
        8 if tag % 100 == 8 => Manner::Long,
        _ => Manner::Leaves,
    };
    let asking = ask(client, &address, &leaks, tag, manner);
    let came = if manner == Manner::Leaves {
        tokio::time::timeout(Duration::from_millis(fastrand::u64(..150)), asking).await.unwrap_or(Came::Left)
    } else {
        asking.await
    };
    (tag, came)
}

async fn ask(
    client: Client<HttpConnector, Full<Bytes>>,
    address: &str,
    leaks: &AtomicUsize,
    tag: u64,
    manner: Manner,
) -> Came {
    let streams = manner == Manner::Stream || (manner == Manner::Leaves && tag.is_multiple_of(2));
    let verb = if streams { "streamGenerateContent?alt=sse" } else { "generateContent" };
    let text = "x".repeat(if manner == Manner::Long { 1 << 20 } else { 100 });
    let body = format!(r#"{{"contents":[{{"role":"user","parts":[{{"text":"{text}"}}]}}]}}"#);
    let request = Request::post(format!("http://{address}/v1beta/models/gemini-2.5-flash:{verb}"))
        .header("x-goog-api-key", "PLACEHOLDER_GEMINI_TOKEN")
        .header(header::CONTENT_TYPE, "application/json")
        .header(TAG, tag)
        .header(SIZE, if manner == Manner::Slow { 4 << 20 } else { 0 })
        .body(Full::from(body));
    let Ok(request) = request else { return Came::Nothing };
    let Ok(answer) = client.request(request).await else { return Came::Nothing };
    let (head, mut body) = answer.into_parts();
    let mut seen = format!("{:?}", head.headers).into_bytes();
    let whole = loop {
        match body.frame().await {
            Some(Ok(frame)) => {
                // A secret may be cut in two by frames.
                seen.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
                if manner == Manner::Slow {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            }
            Some(Err(_)) => break Err(()),
            None => break Ok(()),
        }
    };
    let text = &seen[..];
    if memmem::find(text, MARK.as_bytes()).is_some() {
        leaks.fetch_add(1, Ordering::Relaxed);
    }
    match (head.status.as_u16(), whole.and_then(|()| plausible(text).map_err(drop))) {
        (200, Ok(())) => Came::Good,
        (200, Err(())) => Came::Torn,
        (status, _) => Came::Status(status),
    }
}

/// A good answer says how it ended.
fn plausible(text: &[u8]) -> anyhow::Result<()> {
    ensure!(memmem::find(text, b"\"finishReason\"").is_some(), "it has no end");
    Ok(())
}
