//! Connections that somebody on the way dropped without a word.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use keypool::{
    client::{Calls, Roots, WaysOut},
    gateway::token::PLACEHOLDER,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Barrier,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_keypool::{Backoff, Gemini, Key, KeyPool, KeyPoolLayer, ReplayBody, Retry};

use crate::{
    serving::{HELLO, ONE, TWO},
    support::{Answer, Served, ask},
};

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

fn pool(upstream: &str) -> KeyPool {
    let keys = [Key::new(ONE).id("one"), Key::new(TWO).id("two")];
    KeyPool::builder(Gemini::at(upstream).unwrap()).keys(keys).wait(Duration::ZERO).build().unwrap()
}

async fn call(served: &Served) -> Answer {
    let request = Request::post(served.url("/v1beta/models/m:generateContent")).header("x-goog-api-key", PLACEHOLDER);
    ask(request, HELLO).await
}

#[tokio::test]
async fn one_connection_that_was_forgotten_takes_the_others_with_it() {
    let provider = Forgetful::start(WARM).await;
    let pool = pool(&provider.url);
    let served = Served::pool(&pool, &provider.url, keypool::status::StoreHealth::default()).await;
    for answer in join_all((0..WARM).map(|_| call(&served))).await {
        assert_eq!(answer.status, StatusCode::OK);
    }
    provider.forget();
    for attempts in ["2", "1", "1"] {
        let answer = call(&served).await;
        assert_eq!((answer.status, answer.header("x-keypool-attempts")), (StatusCode::OK, attempts));
    }
    assert_eq!(provider.arrived.load(Ordering::SeqCst), WARM + 3);
    assert!(served_by_all(&pool), "no key is held to blame");
}

/// Whether each key may serve now.
fn served_by_all(pool: &KeyPool) -> bool {
    pool.snapshot().keys.iter().all(|key| key.rests.is_empty())
}

#[tokio::test]
async fn as_many_at_once_are_all_answered() {
    let provider = Forgetful::start(WARM).await;
    let served = Served::pool(&pool(&provider.url), &provider.url, keypool::status::StoreHealth::default()).await;
    join_all((0..WARM).map(|_| call(&served))).await;
    provider.forget();
    for answer in join_all((0..WARM).map(|_| call(&served))).await {
        assert_eq!(answer.status, StatusCode::OK);
        assert!(["1", "2"].contains(&answer.header("x-keypool-attempts")), "{answer:?}");
    }
}

#[tokio::test]
async fn what_commands_call_by_connects_anew_as_well() {
    let provider = Forgetful::start(WARM).await;
    let pool = pool(&provider.url);
    let calls = Calls::new(&Roots::mozilla(), &WaysOut::default());
    // Without a retry that waits: the free one must do.
    let rule = Retry::new().max_retries(1).backoff(Backoff::fixed(Duration::from_secs(3600)));
    let stack = KeyPoolLayer::new(&pool)
        .retry(rule)
        .layer(service_fn(move |request: Request<ReplayBody<_>>| calls.clone().oneshot(request)));
    let call = || async {
        let target = "/v1beta/models/m:generateContent";
        let answer = stack.clone().oneshot(Request::post(target).body(Full::<Bytes>::from(HELLO)).unwrap()).await;
        answer.unwrap().into_body().collect().await.unwrap();
    };
    join_all((0..WARM).map(|_| call())).await;
    provider.forget();
    tokio::time::timeout(Duration::from_secs(20), call()).await.expect("at the second attempt");
    call().await;
    assert_eq!(provider.arrived.load(Ordering::SeqCst), WARM + 2);
}
