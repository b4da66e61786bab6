//! Streams of HTTP/2 that a provider turns away before it has looked at them: what must not be done twice was not done.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use http::Request;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::{Layer, ServiceExt};
use tower_keypool::{Gemini, Key, KeyPool, KeyPoolLayer};

use crate::support::Body;

/// What becomes of the first stream.
#[derive(Clone, Copy, Debug)]
enum First {
    /// It is reset, with this code.
    Reset(u8),
    /// Its connection says that it took none, with this code.
    GoneAway(u8),
    /// Its connection says that it took this one as the last, and ends.
    Last,
}

const REFUSED_STREAM: u8 = 7;
const NO_ERROR: u8 = 0;
const INTERNAL_ERROR: u8 = 2;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Speaks as much HTTP/2 as it takes to turn the first stream of all away, and to answer the others.
async fn speak(mut stream: TcpStream, first: First, asked: Arc<AtomicUsize>) -> std::io::Result<()> {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    stream.read_exact(&mut [0; 24]).await?;
    stream.write_all(&frame(SETTINGS, 0, 0, &[])).await?;
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let [a, b, c, kind, flags, id @ ..] = head;
        let mut payload = vec![0; usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)];
        stream.read_exact(&mut payload).await?;
        let answer = match kind {
            SETTINGS if flags == 0 => frame(SETTINGS, 1, 0, &[]),
            HEADERS => match (asked.fetch_add(1, Ordering::SeqCst), first) {
                (0, First::Reset(code)) => frame(RST_STREAM, 0, u32::from_be_bytes(id), &[0, 0, 0, code]),
                (0, First::GoneAway(code)) => frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, code]),
                (0, First::Last) => {
                    return stream.write_all(&frame(GOAWAY, 0, 0, &[&id[..], &[0; 4]].concat())).await;
                }
                // `:status 200` is the eighth that everybody knows; the stream ends with it.
                _ => frame(HEADERS, 5, u32::from_be_bytes(id), &[0x88]),
            },
            _ => continue,
        };
        stream.write_all(&answer).await?;
    }
}

/// How a request that makes something that stays is answered, and how often it came.
async fn made(first: First) -> (Option<u16>, usize) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(speak(stream, first, Arc::clone(&counted)));
        }
    });
    let key = Key::new("AIzaSy-not-a-real-key-000");
    let pool = KeyPool::builder(Gemini::at(&base).unwrap()).key(key).build().unwrap();
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = Request::post("/v1beta/cachedContents").body(Body::from("{}")).unwrap();
    let answer = KeyPoolLayer::new(&pool).layer(client).oneshot(request).await;
    (answer.ok().map(|answer| answer.status().as_u16()), asked.load(Ordering::SeqCst))
}

#[tokio::test]
async fn what_was_not_looked_at_is_sent_again_though_it_makes_something() {
    for first in [First::Reset(REFUSED_STREAM), First::GoneAway(NO_ERROR), First::GoneAway(INTERNAL_ERROR)] {
        assert_eq!(made(first).await, (Some(200), 2), "{first:?}");
    }
    // It may have been made.
    for first in [First::Reset(INTERNAL_ERROR), First::Last] {
        assert_eq!(made(first).await, (None, 1), "{first:?}");
    }
}
