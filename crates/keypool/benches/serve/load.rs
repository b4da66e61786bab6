//! Clients: 64 connections, each with one request after another, as lean as can be.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const CONNECTIONS: usize = 64;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// 1 KiB up, 1 KiB down.
    Json,
    /// 1 MiB up, 1 KiB down.
    Post,
    /// 1 KiB up, fifty events down.
    Events,
}

/// What was done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    pub(crate) requests: u64,
    pub(crate) took: Duration,
}

pub(crate) struct Load {
    scenario: Scenario,
    runtime: tokio::runtime::Runtime,
}

impl Load {
    pub(crate) fn new(scenario: Scenario) -> Self {
        Self {
            scenario,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"),
        }
    }

    /// Asks over and over for this long.
    #[expect(clippy::disallowed_methods, reason = "the bench owns this clock")]
    pub(crate) fn run(&self, url: &str, span: Duration) -> Count {
        let address = url.trim_start_matches("http://").to_owned();
        let request: Arc<[u8]> = request(self.scenario, &address).into();
        let (done, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let connections = if self.scenario == Scenario::Post { 8 } else { CONNECTIONS };
        self.runtime.block_on(async {
            let began = Instant::now();
            let mut clients = tokio::task::JoinSet::new();
            for _ in 0..connections {
                clients.spawn(client(address.clone(), Arc::clone(&request), Arc::clone(&done), Arc::clone(&stop)));
            }
            tokio::time::sleep(span).await;
            let count = Count { requests: done.load(Ordering::Relaxed), took: began.elapsed() };
            stop.store(true, Ordering::Relaxed);
            while let Some(ended) = clients.join_next().await {
                ended.expect("no client fails");
            }
            count
        })
    }
}

async fn client(address: String, request: Arc<[u8]>, done: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.set_nodelay(true).expect("a socket");
    let mut read = Vec::with_capacity(64 << 10);
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(&request).await.expect("it reads");
        read.clear();
        while !is_whole(&read) {
            assert_ne!(stream.read_buf(&mut read).await.expect("it answers"), 0, "it closed");
        }
        assert!(read.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&read));
        done.fetch_add(1, Ordering::Relaxed);
    }
}

fn request(scenario: Scenario, address: &str) -> Vec<u8> {
    let verb = if scenario == Scenario::Events { "streamGenerateContent?alt=sse" } else { "generateContent" };
    let size = if scenario == Scenario::Post { 1 << 20 } else { 1 << 10 };
    let (before, after) = (r#"{"contents":[{"parts":[{"text":""#, r#""}]}]}"#);
    let text = "y".repeat(size - before.len() - after.len());
    format!(
        "POST /v1beta/models/gemini-2.5-flash:{verb} HTTP/1.1\r\nhost: {address}\r\n\
         x-goog-api-key: PLACEHOLDER_GEMINI_TOKEN\r\ncontent-type: application/json\r\naccept: */*\r\n\
         user-agent: bench\r\ncontent-length: {size}\r\n\r\n{before}{text}{after}"
    )
    .into_bytes()
}

/// Whether an answer is there to its end: by its length, or by its last chunk.
fn is_whole(read: &[u8]) -> bool {
    if read.ends_with(b"\r\n0\r\n\r\n") {
        return true;
    }
    let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = &read[..end];
    let name = b"content-length: ";
    let Some(at) = head.windows(name.len()).position(|window| window == name) else { return false };
    let digits = head[at + name.len()..].split(|byte| *byte == b'\r').next().unwrap_or_default();
    let length: usize = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(usize::MAX);
    read.len() >= end + 4 + length
}
