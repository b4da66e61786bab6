//! A provider whose connections are dropped without notice.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;

const ANSWER: &str = r#"{"candidates":[{"content":{"parts":[{"text":"hi"}]}}]}"#;

/// A provider that can forget its connections, as a NAT or a load balancer on the way does: one that was there before
/// is closed as soon as it is written to, and the client had no way to know. It serves whoever asks, over HTTP/1.1 on
/// loopback, until the runtime ends.
#[derive(Debug)]
pub(crate) struct Forgetful {
    url: String,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    /// How often connections were forgotten.
    forgotten: AtomicUsize,
    arrived: AtomicUsize,
    /// The requests before connections were first forgotten.
    first: Barrier,
}

impl Forgetful {
    /// Listens on a free port of loopback. Its first `warm` requests are answered when all of them are there, so that
    /// each has a connection of its own.
    ///
    /// # Errors
    /// When there is no free port.
    pub(crate) async fn start(warm: usize) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (forgotten, arrived) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let counts = Arc::new(Counts { forgotten, arrived, first: Barrier::new(warm) });
        let shared = Arc::clone(&counts);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Ok(Self { url, counts })
    }

    /// Its address, without a path.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// From now on the connections that there are get no answer.
    pub(crate) fn forget(&self) {
        self.counts.forgotten.fetch_add(1, Ordering::SeqCst);
    }

    /// How many requests it took, those over dead connections not among them.
    pub(crate) fn arrived(&self) -> usize {
        self.counts.arrived.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, counts: Arc<Counts>) {
    let opened = counts.forgotten.load(Ordering::SeqCst);
    while has_request(&mut stream).await && counts.forgotten.load(Ordering::SeqCst) == opened {
        counts.arrived.fetch_add(1, Ordering::SeqCst);
        if opened == 0 {
            counts.first.wait().await;
        }
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{ANSWER}", ANSWER.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Whether a request came, whose body has a length and is not empty.
async fn has_request(stream: &mut TcpStream) -> bool {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
            if body.len() >= length && !body.is_empty() {
                return true;
            }
        }
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return false;
        }
    }
}
