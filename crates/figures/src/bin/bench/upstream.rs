//! A provider that costs next to nothing: canned answers of the right shape and size.

use std::{io::Write, sync::Arc};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use memchr::memmem;
use tokio::{
    net::{TcpListener, TcpStream},
    task::yield_now,
};

use super::wire::Wire;

/// Chunks of a stream.
pub(crate) const CHUNKS: usize = 50;

/// An answer of this many bytes.
const ANSWER: usize = 1024;

/// The model whose streams say one thing and stay open.
pub(crate) const HELD: &str = "held";

/// Answers as they are written: what is written at once is one item.
struct Canned {
    whole: Vec<Bytes>,
    events: Vec<Bytes>,
    zipped: Vec<Bytes>,
}

/// The body of a stream, as it comes through all frames.
pub(crate) fn streamed(zipped: bool) -> std::io::Result<Bytes> {
    let chunks = if zipped { compressed(&events())? } else { events() };
    Ok(chunks.concat().into())
}

const STOP: &str = r#""finishReason":"STOP","#;

/// An answer's part.
fn part(text: &str, finish: &str) -> String {
    format!(
        concat!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{}"}}],"role":"model"}},{}"index":0}}],"#,
            r#""usageMetadata":{{"promptTokenCount":9,"candidatesTokenCount":8,"totalTokenCount":17}},"#,
            r#""modelVersion":"gemini-2.5-flash","responseId":"0123456789abcdef"}}"#
        ),
        text, finish
    )
}

fn events() -> Vec<Bytes> {
    // Only a last one says why it ended.
    let finish = |n| if n + 1 == CHUNKS { STOP } else { "" };
    (0..CHUNKS).map(|n| format!("data: {}\r\n\r\n", part(&format!("word {n}"), finish(n))).into()).collect()
}

fn compressed(events: &[Bytes]) -> std::io::Result<Vec<Bytes>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let mut zipped: Vec<Bytes> = Vec::new();
    for event in events {
        encoder.write_all(event)?;
        encoder.flush()?;
        zipped.push(std::mem::take(encoder.get_mut()).into());
    }
    zipped.push(encoder.finish()?.into());
    Ok(zipped)
}

impl Canned {
    fn new() -> std::io::Result<Self> {
        let whole = part(&"x".repeat(ANSWER - part("", STOP).len()), STOP);
        let (events, zipped) = (events(), compressed(&events())?);
        let length = format!("content-length: {}\r\n", whole.len());
        Ok(Self {
            whole: vec![[&*head("application/json; charset=UTF-8", &length), whole.as_bytes()].concat().into()],
            events: chunked("", &events),
            zipped: chunked("content-encoding: gzip\r\n", &zipped),
        })
    }

    fn answer(&self, head: &[u8]) -> &[Bytes] {
        if memmem::find(head, b":streamGenerateContent").is_none() {
            &self.whole
        } else if memmem::find(head, b"\r\naccept-encoding: ").is_none() {
            &self.events
        } else {
            &self.zipped
        }
    }
}

fn head(content_type: &str, more: &str) -> Vec<u8> {
    let date = "date: Fri, 20 Nov 2026 10:00:00 GMT\r\n";
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n{more}{date}\r\n").into()
}

fn chunked(encoding: &str, chunks: &[Bytes]) -> Vec<Bytes> {
    let head = head("text/event-stream", &format!("transfer-encoding: chunked\r\n{encoding}"));
    let frame = |chunk: &Bytes| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat().into();
    let frames = chunks.iter().map(frame);
    [head.into()].into_iter().chain(frames).chain([Bytes::from_static(b"0\r\n\r\n")]).collect()
}

/// Serves until it is ended.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let canned = Arc::new(Canned::new()?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let canned = Arc::clone(&canned);
        tokio::spawn(async move {
            // A broken connection is its client's to tell of.
            let _ = connection(stream, &canned).await;
        });
    }
}

async fn connection(stream: TcpStream, canned: &Canned) -> std::io::Result<()> {
    let mut wire = Wire::over(stream)?;
    while let Some(head) = wire.read().await? {
        if memmem::find(head, b"/models/held:").is_some() {
            for piece in &canned.events[..2] {
                wire.write(piece).await?;
            }
            // Until the other side has had enough.
            wire.read().await?;
            return Ok(());
        }
        for (n, piece) in canned.answer(head).iter().enumerate() {
            if n > 0 {
                // Each in a packet of its own.
                yield_now().await;
            }
            wire.write(piece).await?;
        }
    }
    Ok(())
}
