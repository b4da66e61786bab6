//! A provider that answers at once: 1 KiB of JSON, or fifty events.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Either, Full, StreamBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Serves for ever; prints its URL first.
pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.expect("a port");
        println!("http://{}", listener.local_addr().expect("an address"));
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let _ = stream.set_nodelay(true);
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
}

type Body = Either<Full<Bytes>, StreamBody<Events>>;

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let events = request.uri().path().ends_with(":streamGenerateContent");
    let mut body = request.into_body();
    while let Some(Ok(_)) = body.frame().await {}
    let (kind, body) = if events {
        ("text/event-stream", Either::Right(StreamBody::new(Events { left: 50, breath: true })))
    } else {
        ("application/json; charset=UTF-8", Either::Left(Full::from(json())))
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    Ok(response)
}

/// 1 KiB, as the provider shapes it.
fn json() -> Bytes {
    static JSON: std::sync::OnceLock<Bytes> = std::sync::OnceLock::new();
    JSON.get_or_init(|| {
        let usage = r#""usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":200,"totalTokenCount":209}"#;
        let text = "x".repeat(1024 - 240);
        Bytes::from(format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"{text}"}}],"role":"model"}},"finishReason":"STOP","index":0}}],{usage},"modelVersion":"gemini-2.5-flash"}}"#
        ))
    })
    .clone()
}

/// Events of 200 bytes, each a frame, with a breath between them so that each is a write of its own.
struct Events {
    left: u32,
    breath: bool,
}

impl futures_util::Stream for Events {
    type Item = Result<http_body::Frame<Bytes>, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        const EVENT: &[u8] = b"data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"some words of an answer, a hundred bytes of them or so, as they come from a model\"}],\"role\":\"model\"},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":9}}\r\n\r\n";
        if self.left == 0 {
            return std::task::Poll::Ready(None);
        }
        self.breath = !self.breath;
        if self.breath {
            // What is there is written before the next is asked for.
            cx.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        self.left -= 1;
        std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(EVENT)))))
    }
}
