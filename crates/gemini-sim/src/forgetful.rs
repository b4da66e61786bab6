//! A provider whose connections are dropped without a word.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Barrier,
};

const ANSWER: &str = r#"{"candidates":[{"content":{"parts":[{"text":"hi"}]}}]}"#;

/// A provider that can forget its connections, as a NAT or a balancer on the way does: one that was there before is
/// closed as soon as it is written to, and the client had no way to know. It serves whoever asks, over HTTP/1.1 on
/// loopback, until the runtime ends.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let provider = gemini_sim::Forgetful::start(1).await?;
/// // ... one request through a client that keeps its connections, then:
/// provider.forget();
/// // The client's next request meets a dead connection first.
/// assert_eq!(provider.arrived(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Forgetful {
    url: String,
    told: Arc<Told>,
}

#[derive(Debug)]
struct Told {
    /// How often it forgot.
    forgot: AtomicUsize,
    arrived: AtomicUsize,
    /// Who was there before it first forgot.
    warm: Barrier,
}

impl Forgetful {
    /// Listens on a free port of loopback. Its first `warm` requests are answered when all of them are there, so that
    /// each has a connection of its own.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(warm: usize) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let told = Told { forgot: AtomicUsize::new(0), arrived: AtomicUsize::new(0), warm: Barrier::new(warm) };
        let told = Arc::new(told);
        let shared = Arc::clone(&told);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Ok(Self { url, told })
    }

    /// Where it is, without a path.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on the connections that there are get no answer.
    pub fn forget(&self) {
        self.told.forgot.fetch_add(1, Ordering::SeqCst);
    }

    /// How many requests it took, those over dead connections not among them.
    pub fn arrived(&self) -> usize {
        self.told.arrived.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, told: Arc<Told>) {
    let born = told.forgot.load(Ordering::SeqCst);
    while has_request(&mut stream).await && told.forgot.load(Ordering::SeqCst) == born {
        told.arrived.fetch_add(1, Ordering::SeqCst);
        if born == 0 {
            told.warm.wait().await;
        }
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{ANSWER}", ANSWER.len());
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Whether one came, whose body has a length and is not empty.
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
