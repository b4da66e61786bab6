//! The callers: each on a connection of its own, asking again as soon as it has its answer.

use std::{
    collections::HashMap,
    fmt::Write,
    str::FromStr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use figures::chats::Size;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    runtime::Runtime,
    task::{JoinSet, yield_now},
};

use super::{upstream, wire::Wire};

/// What is asked for.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// 1 KiB of JSON, both ways.
    Json,
    /// A body of 1 MiB.
    Post,
    /// 50 events.
    Stream,
    /// The same, compressed.
    Gzip,
    /// A chat in the other dialect, which is translated.
    Chat(Size),
    /// The same body, passed through.
    Same(Size),
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Ok(match name {
            "json" => Self::Json,
            "post" => Self::Post,
            "stream" => Self::Stream,
            "gzip" => Self::Gzip,
            "chat-small" => Self::Chat(Size::Small),
            "chat-long" => Self::Chat(Size::Long),
            "chat-image" => Self::Chat(Size::Image),
            "same-small" => Self::Same(Size::Small),
            "same-long" => Self::Same(Size::Long),
            "same-image" => Self::Same(Size::Image),
            other => anyhow::bail!("no kind of load is called {other}"),
        })
    }
}

impl Kind {
    fn streams(self) -> bool {
        matches!(self, Self::Stream | Self::Gzip)
    }

    /// What a stream's body is, to the byte.
    fn expected(self) -> anyhow::Result<Bytes> {
        Ok(if self.streams() { upstream::streamed(self == Self::Gzip)? } else { Bytes::new() })
    }

    fn head(self, token: &str) -> anyhow::Result<(&'static str, HeaderMap)> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if matches!(self, Self::Chat(_)) {
            headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse()?);
        } else {
            headers.insert("x-goog-api-key", token.parse()?);
        }
        if self == Self::Gzip {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let path = if matches!(self, Self::Chat(_)) {
            "/v1/chat/completions"
        } else if self.streams() {
            "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"
        } else {
            "/v1beta/models/gemini-2.5-flash:generateContent"
        };
        Ok((path, headers))
    }

    fn body(self) -> Bytes {
        if let Self::Chat(size) | Self::Same(size) = self {
            return size.body();
        }
        let length = if self == Self::Post { 1 << 20 } else { 1 << 10 };
        let frame = r#"{"contents":[{"role":"user","parts":[{"text":""}]}]}"#;
        let text = "x".repeat(length - frame.len());
        format!(r#"{{"contents":[{{"role":"user","parts":[{{"text":"{text}"}}]}}]}}"#).into()
    }

    /// All of it, as it is written to a connection.
    fn written(self, token: &str) -> anyhow::Result<Bytes> {
        let (path, headers) = self.head(token)?;
        let body = self.body();
        let mut text = format!("POST {path} HTTP/1.1\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in &headers {
            write!(text, "{name}: {}\r\n", value.to_str()?)?;
        }
        Ok([text.as_bytes(), b"\r\n", &body].concat().into())
    }
}

#[derive(Default)]
struct Counts {
    answers: AtomicU64,
    chunks: AtomicU64,
    failures: AtomicU64,
    /// How long each was waited for, in nanoseconds: all of an answer, or a stream's first bytes.
    waits: Mutex<Vec<u64>>,
    stop: AtomicBool,
}

/// The provider and its callers in one, on one thread: prints the provider's address, then asks a server as each line
/// of standard input says (`ADDRESS MILLISECONDS [REQUESTS_A_SECOND]`; without a rate as fast as it answers) and prints
/// what it got. The connections stay. `token` is what they send.
pub(crate) fn run(runtime: &Runtime, kind: Kind, connections: usize, token: &str) -> anyhow::Result<()> {
    runtime.spawn(upstream::serve());
    let mut callers: HashMap<String, Vec<Caller>> = HashMap::new();
    for line in std::io::stdin().lines() {
        let line = line?;
        let (address, rest) = line.split_once(' ').context("ADDRESS MILLISECONDS [REQUESTS_A_SECOND]")?;
        let mut own = callers.remove(address).unwrap_or_default();
        let (millis, rate) = rest.split_once(' ').map_or((rest, None), |(millis, rate)| (millis, Some(rate)));
        let (to, millis, token) = (address.to_owned(), millis.parse()?, token.to_owned());
        let rate: Option<f64> = rate.map(str::parse).transpose()?;
        let (told, own) = runtime.block_on(runtime.spawn(async move {
            while own.len() < connections {
                own.push(Caller::connect(&to, kind, &token).await?);
            }
            anyhow::Ok((burst(&mut own, millis, rate).await?, own))
        }))??;
        callers.insert(address.to_owned(), own);
        println!("{told}");
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the wall clock is what is measured")]
async fn burst(callers: &mut Vec<Caller>, millis: u64, rate: Option<f64>) -> anyhow::Result<Value> {
    let counts = Arc::new(Counts::default());
    // This thread never sleeps: over a network, no server would have to wake its callers.
    let awake = Arc::clone(&counts);
    let spinning = tokio::spawn(async move {
        while !awake.stop.load(Ordering::Relaxed) {
            yield_now().await;
        }
    });
    let mut calls = JoinSet::new();
    let began = Instant::now();
    // Each caller has its turn of them.
    let every = rate.map(|rate| Duration::from_secs_f64(callers.len() as f64 / rate));
    let count = callers.len() as u32;
    for (n, caller) in callers.drain(..).enumerate() {
        let turns = every.map(|every| (began + every * n as u32 / count, every));
        calls.spawn(caller.call(Arc::clone(&counts), turns));
    }
    tokio::time::sleep(Duration::from_millis(millis)).await;
    counts.stop.store(true, Ordering::Relaxed);
    while let Some(caller) = calls.join_next().await {
        callers.extend(caller?);
    }
    let seconds = began.elapsed().as_secs_f64();
    spinning.await?;
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let mut waits = std::mem::take(&mut *counts.waits.lock().unwrap_or_else(PoisonError::into_inner));
    let middle = waits.len() / 2;
    let p50 = if waits.is_empty() { 0 } else { *waits.select_nth_unstable(middle).1 };
    Ok(json!({
        "answers": read(&counts.answers),
        "chunks": read(&counts.chunks),
        "failures": read(&counts.failures),
        "seconds": seconds,
        "p50 us": p50 as f64 / 1e3,
    }))
}

/// One connection.
enum Caller {
    /// Whole answers.
    Whole(Wire, Bytes),
    /// Answers whose chunks are counted, and compared with what was sent.
    Chunked(Box<Stream>),
}

struct Stream {
    sender: http1::SendRequest<Full<Bytes>>,
    head: http::request::Parts,
    body: Bytes,
    expected: Bytes,
}

impl Caller {
    async fn connect(address: &str, kind: Kind, token: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        if !kind.streams() {
            return Ok(Self::Whole(Wire::over(stream)?, kind.written(token)?));
        }
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let (path, headers) = kind.head(token)?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static(path);
        *request.headers_mut() = headers;
        let (head, body, expected) = (request.into_parts().0, kind.body(), kind.expected()?);
        Ok(Self::Chunked(Box::new(Stream { sender, head, body, expected })))
    }

    /// Asks until it is told to stop, at once or when it has its turn (the first, and from one to the next); gives the
    /// connection back if it still stands.
    async fn call(mut self, counts: Arc<Counts>, mut turns: Option<(Instant, Duration)>) -> Option<Self> {
        while !counts.stop.load(Ordering::Relaxed) {
            if let Some((next, every)) = &mut turns {
                tokio::time::sleep_until((*next).into()).await;
                *next += *every;
            }
            let answered = match &mut self {
                Self::Whole(wire, request) => whole(wire, request).await,
                Self::Chunked(stream) => stream.chunked().await,
            };
            let (counter, chunks) = match &answered {
                Ok((chunks, wait)) => {
                    counts.waits.lock().unwrap_or_else(PoisonError::into_inner).push(wait.as_nanos() as u64);
                    (&counts.answers, *chunks)
                }
                Err(_) => (&counts.failures, 0),
            };
            counter.fetch_add(1, Ordering::Relaxed);
            counts.chunks.fetch_add(chunks, Ordering::Relaxed);
            answered.ok()?;
        }
        Some(self)
    }
}

/// Chunks, and how long they were waited for.
type Answered = (u64, Duration);

#[expect(clippy::disallowed_methods, reason = "the wall clock is what is measured")]
async fn whole(wire: &mut Wire, request: &[u8]) -> anyhow::Result<Answered> {
    let began = Instant::now();
    wire.write(request).await?;
    let good = wire.read().await?.is_some_and(|head| head.starts_with(b"HTTP/1.1 200 "));
    anyhow::ensure!(good, "another answer");
    Ok((1, began.elapsed()))
}

impl Stream {
    #[expect(clippy::disallowed_methods, reason = "the wall clock is what is measured")]
    async fn chunked(&mut self) -> anyhow::Result<Answered> {
        self.sender.ready().await?;
        let began = Instant::now();
        let request = Request::from_parts(self.head.clone(), Full::new(self.body.clone()));
        let answer = self.sender.send_request(request).await?;
        anyhow::ensure!(answer.status().is_success(), "another answer");
        let mut body = answer.into_body();
        let (mut chunks, mut left, mut wait) = (0, &self.expected[..], None);
        while let Some(frame) = body.frame().await {
            wait.get_or_insert_with(|| began.elapsed());
            let frame = frame?;
            let data = frame.data_ref().map_or(&[][..], |data| data);
            left = left.strip_prefix(data).context("other bytes than were sent")?;
            chunks += 1;
        }
        anyhow::ensure!(left.is_empty(), "not all that was sent");
        Ok((chunks, wait.unwrap_or_default()))
    }
}
