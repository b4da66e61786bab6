//! The callers: each on a connection of its own, asking again as soon as it has its answer.

use std::{
    collections::HashMap,
    fmt::Write,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
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

/// How much is asked.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Size {
    /// 1 KiB of text.
    Small,
    /// 100 KiB of it.
    Long,
    /// 5 MiB, nearly all of it an image.
    Image,
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

    fn head(self) -> (&'static str, HeaderMap) {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1"));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if matches!(self, Self::Chat(_)) {
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer PLACEHOLDER_GEMINI_TOKEN"));
        } else {
            headers.insert("x-goog-api-key", HeaderValue::from_static("PLACEHOLDER_GEMINI_TOKEN"));
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
        (path, headers)
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
    fn written(self) -> anyhow::Result<Bytes> {
        let (path, headers) = self.head();
        let body = self.body();
        let mut text = format!("POST {path} HTTP/1.1\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in &headers {
            write!(text, "{name}: {}\r\n", value.to_str()?)?;
        }
        Ok([text.as_bytes(), b"\r\n", &body].concat().into())
    }
}

impl Size {
    /// A chat as `OpenAI`'s clients send it: a system prompt, some turns, the question.
    fn body(self) -> Bytes {
        let chat = |turns: &str, asked: &str| {
            format!(
                r#"{{"model":"gemini-2.5-flash","messages":[{{"role":"system","content":"Be brief."}},{turns}{asked}],"temperature":0.5,"max_tokens":100}}"#
            )
        };
        let asked = |content: &str| format!(r#"{{"role":"user","content":{content}}}"#);
        let turn = |n: usize| {
            let role = if n.is_multiple_of(2) { "user" } else { "assistant" };
            // Lines, as people write them.
            format!(
                r#"{{"role":"{role}","content":"{}"}},"#,
                r"some words of a line that is not short
"
                .repeat(25)
            )
        };
        let text = |turns: String, most: usize| {
            let frame = chat(&turns, &asked(r#""""#)).len();
            chat(&turns, &asked(&format!(r#""{}""#, "x".repeat(most.saturating_sub(frame)))))
        };
        let body = match self {
            Self::Small => text(String::new(), 1 << 10),
            Self::Long => text((0..96).map(turn).collect(), 100 << 10),
            Self::Image => {
                let image = "iVBORw0KGgoAAAAN".repeat((5 << 20) / 16);
                let image = format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{image}"}}}}"#);
                chat("", &asked(&format!(r#"[{{"type":"text","text":"What is it?"}},{image}]"#)))
            }
        };
        body.into()
    }
}

#[derive(Default)]
struct Counts {
    answers: AtomicU64,
    chunks: AtomicU64,
    failures: AtomicU64,
    stop: AtomicBool,
}

/// The provider and its callers in one, on one thread: prints the provider's address, then asks a server as each line
/// of standard input says (`ADDRESS MILLISECONDS [REQUESTS_A_SECOND]`; without a rate as fast as it answers) and prints
/// what it got. The connections stay.
pub(crate) fn run(runtime: &Runtime, kind: Kind, connections: usize) -> anyhow::Result<()> {
    runtime.spawn(upstream::serve());
    let mut callers: HashMap<String, Vec<Caller>> = HashMap::new();
    for line in std::io::stdin().lines() {
        let line = line?;
        let (address, rest) = line.split_once(' ').context("ADDRESS MILLISECONDS [REQUESTS_A_SECOND]")?;
        let mut own = callers.remove(address).unwrap_or_default();
        let (millis, rate) = rest.split_once(' ').map_or((rest, None), |(millis, rate)| (millis, Some(rate)));
        let (to, millis) = (address.to_owned(), millis.parse()?);
        let rate: Option<f64> = rate.map(str::parse).transpose()?;
        let (told, own) = runtime.block_on(runtime.spawn(async move {
            while own.len() < connections {
                own.push(Caller::connect(&to, kind).await?);
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
    Ok(json!({
        "answers": read(&counts.answers),
        "chunks": read(&counts.chunks),
        "failures": read(&counts.failures),
        "seconds": seconds,
    }))
}

/// One connection.
enum Caller {
    /// Whole answers.
    Whole(Wire, Bytes),
    /// Answers whose chunks are counted.
    Chunked(http1::SendRequest<Full<Bytes>>, Box<http::request::Parts>, Bytes),
}

impl Caller {
    async fn connect(address: &str, kind: Kind) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        if !kind.streams() {
            return Ok(Self::Whole(Wire::over(stream)?, kind.written()?));
        }
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let (path, headers) = kind.head();
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static(path);
        *request.headers_mut() = headers;
        Ok(Self::Chunked(sender, Box::new(request.into_parts().0), kind.body()))
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
                Self::Chunked(sender, head, body) => chunked(sender, head, body).await,
            };
            let (counter, chunks) = match answered {
                Ok(chunks) => (&counts.answers, chunks),
                Err(_) => (&counts.failures, 0),
            };
            counter.fetch_add(1, Ordering::Relaxed);
            counts.chunks.fetch_add(chunks, Ordering::Relaxed);
            answered.ok()?;
        }
        Some(self)
    }
}

async fn whole(wire: &mut Wire, request: &[u8]) -> anyhow::Result<u64> {
    wire.write(request).await?;
    let good = wire.read().await?.is_some_and(|head| head.starts_with(b"HTTP/1.1 200 "));
    anyhow::ensure!(good, "another answer");
    Ok(1)
}

async fn chunked(
    sender: &mut http1::SendRequest<Full<Bytes>>,
    head: &http::request::Parts,
    body: &Bytes,
) -> anyhow::Result<u64> {
    sender.ready().await?;
    let request = Request::from_parts(head.clone(), Full::new(body.clone()));
    let answer = sender.send_request(request).await?;
    anyhow::ensure!(answer.status().is_success(), "another answer");
    let mut body = answer.into_body();
    let mut chunks = 0;
    while let Some(frame) = body.frame().await {
        frame?;
        chunks += 1;
    }
    Ok(chunks)
}
