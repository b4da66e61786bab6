//! Connections that somebody on the way dropped without a word.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use keypool_client::Client;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Barrier,
};
use tower_keypool::{Backoff, Retry};

use crate::stage;

const WARM: usize = 12;

/// A provider that can forget its connections, as a NAT or a balancer on the way does: one that was there before is
/// reset as soon as it is written to.
struct Forgetful {
    url: String,
    /// How often it forgot.
    forgot: Arc<AtomicUsize>,
    arrived: Arc<AtomicUsize>,
}

impl Forgetful {
    /// Its first `warm` requests are answered when all of them are there, each over a connection of its own.
    async fn start(warm: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (forgot, arrived) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let all = Arc::new(Barrier::new(warm));
        let told = (Arc::clone(&forgot), Arc::clone(&arrived));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let ((forgot, arrived), all) = (told.clone(), Arc::clone(&all));
                let born = forgot.load(Ordering::SeqCst);
                tokio::spawn(async move {
                    while read_request(&mut stream).await && forgot.load(Ordering::SeqCst) == born {
                        arrived.fetch_add(1, Ordering::SeqCst);
                        if born == 0 {
                            all.wait().await;
                        }
                        let said = r#"{"candidates":[{"content":{"parts":[{"text":"hi"}]}}]}"#;
                        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", said.len());
                        stream.write_all((head + said).as_bytes()).await.unwrap();
                    }
                });
            }
        });
        Self { url, forgot, arrived }
    }

    fn forget(&self) {
        self.forgot.fetch_add(1, Ordering::SeqCst);
    }
}

/// Whether one came, whose body has a length and is not empty.
async fn read_request(stream: &mut TcpStream) -> bool {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).to_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) && !body.is_empty() {
                return true;
            }
        }
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            return false;
        }
    }
}

#[tokio::test]
async fn one_connection_that_was_forgotten_takes_the_others_with_it() {
    let provider = Forgetful::start(WARM).await;
    let pool = stage::pool(&provider.url, 2).build().unwrap();
    // Without a retry that waits: the free one must do.
    let rule = Retry::new().max_retries(1).backoff(Backoff::fixed(Duration::from_secs(3600)));
    let client = Client::builder(&pool).retry(rule).build();
    for answer in join_all((0..WARM).map(|_| async { client.generate("Hello").await })).await {
        answer.unwrap();
    }
    provider.forget();
    for attempts in [2, 1, 1] {
        let answering = async { client.generate("Hello").await.unwrap() };
        let answer = tokio::time::timeout(Duration::from_secs(20), answering).await.expect("at the second attempt");
        assert_eq!(answer.attempts(), attempts);
    }
    assert_eq!(provider.arrived.load(Ordering::SeqCst), WARM + 3);
}
