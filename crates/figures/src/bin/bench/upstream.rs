//! A provider that costs next to nothing: canned answers of the right shape and size.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io::Write,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderValue, Request, Response, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Chunks of a stream.
pub const CHUNKS: usize = 50;

/// An answer of this many bytes.
const ANSWER: usize = 1024;

struct Canned {
    whole: Bytes,
    events: Vec<Bytes>,
    zipped: Vec<Bytes>,
}

impl Canned {
    fn new() -> std::io::Result<Self> {
        let part = |text: &str| {
            format!(
                concat!(
                    r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{}"}}],"role":"model"}},"index":0}}],"#,
                    r#""usageMetadata":{{"promptTokenCount":9,"candidatesTokenCount":8,"totalTokenCount":17}},"#,
                    r#""modelVersion":"gemini-2.5-flash","responseId":"0123456789abcdef"}}"#
                ),
                text
            )
        };
        let whole = part(&"x".repeat(ANSWER - part("").len()));
        let events: Vec<Bytes> =
            (0..CHUNKS).map(|n| format!("data: {}\r\n\r\n", part(&format!("word {n}"))).into()).collect();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        let mut zipped = Vec::new();
        for event in &events {
            encoder.write_all(event)?;
            encoder.flush()?;
            zipped.push(std::mem::take(encoder.get_mut()).into());
        }
        zipped.push(encoder.finish()?.into());
        Ok(Self { whole: whole.into(), events, zipped })
    }

    fn answer(&self, path: &str, takes_gzip: bool) -> Response<Either<Full<Bytes>, Breathing>> {
        if !path.ends_with("streamGenerateContent") {
            let mut response = Response::new(Either::Left(Full::new(self.whole.clone())));
            let json = HeaderValue::from_static("application/json; charset=UTF-8");
            response.headers_mut().insert(header::CONTENT_TYPE, json);
            return response;
        }
        let chunks = if takes_gzip { &self.zipped } else { &self.events };
        let body = Breathing { chunks: chunks.iter().cloned().collect(), breathed: true };
        let mut response = Response::new(Either::Right(body));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        if takes_gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// Chunks that go out one by one.
struct Breathing {
    chunks: VecDeque<Bytes>,
    breathed: bool,
}

impl Body for Breathing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !std::mem::replace(&mut self.breathed, false) {
            // The connection writes what it has before it asks again.
            self.breathed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.chunks.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }
}

/// Serves until it is ended.
pub async fn serve() -> anyhow::Result<()> {
    let canned = Arc::new(Canned::new()?);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let canned = Arc::clone(&canned);
        let service = service_fn(move |request: Request<Incoming>| {
            let canned = Arc::clone(&canned);
            async move {
                let takes_gzip = request.headers().contains_key(header::ACCEPT_ENCODING);
                let path = request.uri().path().to_owned();
                let mut body = request.into_body();
                while let Some(Ok(_)) = body.frame().await {}
                Ok::<_, Infallible>(canned.answer(&path, takes_gzip))
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}
