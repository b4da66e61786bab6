//! Providers over HTTP/2 that take few requests at once over one connection, or fall silent on it.

use std::{
    future::{Future, pending},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use hyper::{server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use keypool::client::{Client, Roots};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use tokio_rustls::server::TlsStream;
use tower_keypool::{Clock, Gemini, Key, KeyPool, Models, Retry};

use crate::{
    serving::{ONE, generate},
    support::{self, Served},
    tls::acceptor,
};

type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A gateway before a provider whose every connection is served by its number, and how many there were.
async fn before(
    within: Duration,
    serve: impl Fn(usize, TlsStream<TcpStream>) -> Serving + Send + 'static,
) -> (Served, Arc<AtomicUsize>) {
    let (acceptor, authority) = acceptor(&["h2"]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("https://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let stream = acceptor.accept(stream).await.unwrap();
            tokio::spawn(serve(counted.fetch_add(1, Ordering::Relaxed), stream));
        }
    });
    let gemini = Gemini::at(&upstream).unwrap();
    let pool = KeyPool::builder(gemini).key(Key::new(ONE).id("one")).wait(Duration::ZERO).build().unwrap();
    let roots = Roots::from_file(authority.path()).unwrap();
    let client = Client::trusting(pool.provider().base(), &roots).answering_within(within);
    let stack = keypool::stack::stack_over(&pool, Models::new(), Retry::new(), client);
    (Served::over(stack, &upstream).await, connections)
}

const WITHIN: Duration = Duration::from_secs(600);

/// What is asked of `held` waits there.
#[derive(Clone)]
struct Gate {
    is_open: watch::Receiver<bool>,
    at: Arc<AtomicUsize>,
}

impl Gate {
    /// One that stays as it is.
    fn fixed(is_open: bool) -> Self {
        Self { is_open: watch::channel(is_open).1, at: Arc::default() }
    }

    async fn pass(mut self) {
        self.at.fetch_add(1, Ordering::Relaxed);
        if self.is_open.wait_for(|is_open| *is_open).await.is_err() {
            pending::<()>().await;
        }
    }
}

/// Answers whatever comes, with so many streams at once.
fn answers(stream: TlsStream<TcpStream>, streams: u32, gate: Gate) -> Serving {
    Box::pin(async move {
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            let gate = gate.clone();
            async move {
                if request.uri().path().contains("held") {
                    gate.pass().await;
                }
                support::echo(request).await
            }
        });
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.max_concurrent_streams(streams);
        let _ = builder.serve_connection(TokioIo::new(stream), service).await;
    })
}

/// What a provider does once it answered a request.
#[derive(Clone, Copy)]
enum Then {
    /// It allows no more.
    Closes,
    /// It neither reads nor says anything.
    FallsSilent,
}

/// Answers one request, frame by frame.
fn answers_one(mut stream: TlsStream<TcpStream>, then: Then) -> Serving {
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const SETTINGS_ACK: &[u8] = &[0, 0, 0, 4, 1, 0, 0, 0, 0];
    const NO_STREAMS: &[u8] = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0];
    Box::pin(async move {
        stream.write_all(SETTINGS).await.unwrap();
        stream.read_exact(&mut [0; 24]).await.unwrap();
        loop {
            let mut head = [0; 9];
            if stream.read_exact(&mut head).await.is_err() {
                return;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            stream.read_exact(&mut payload).await.unwrap();
            let (kind, flags, id) = (head[3], head[4], &head[5..]);
            if kind == 4 && flags == 0 {
                stream.write_all(SETTINGS_ACK).await.unwrap();
            }
            // The end of a body, or of a head without one.
            if kind < 2 && flags & 1 == 1 {
                if matches!(then, Then::Closes) {
                    stream.write_all(NO_STREAMS).await.unwrap();
                }
                let head = [&[0, 0, 1, 1, 4], id, &[0x88]].concat();
                let body = [&[0, 0, 7, 0, 1], id, b"{\"a\":1}"].concat();
                stream.write_all(&[head, body].concat()).await.unwrap();
                stream.flush().await.unwrap();
                if matches!(then, Then::FallsSilent) {
                    return pending().await;
                }
            }
        }
    })
}

#[tokio::test]
async fn what_finds_no_room_on_a_connection_goes_over_another_one_at_once() {
    let (open, gate) = watch::channel(false);
    let at_gate = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&at_gate);
    let gate = Gate { is_open: gate, at: counted };
    let (served, connections) = before(WITHIN, move |_, stream| answers(stream, 5, gate.clone())).await;
    assert_eq!(generate(&served, "m").await.status, 200);
    let held = join_all((0..5).map(|_| generate(&served, "held")));
    let others = async {
        // Each of the five is at the gate by then.
        while at_gate.load(Ordering::Relaxed) < 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for _ in 0..3 {
            let answer = timeout(Duration::from_secs(5), generate(&served, "m")).await.expect("it has room elsewhere");
            assert_eq!((answer.status.as_u16(), answer.header("x-keypool-attempts")), (200, "1"), "{answer:?}");
        }
        open.send(true).unwrap();
    };
    let (held, ()) = tokio::join!(held, others);
    assert!(held.iter().all(|answer| answer.status == 200), "{held:?}");
    assert_eq!(connections.load(Ordering::Relaxed), 2);
    // There is room on both again.
    let answers = join_all((0..5).map(|_| generate(&served, "m"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_connection_that_allows_nothing_any_more_is_replaced() {
    let (served, connections) = before(WITHIN, |number, stream| match number {
        0 => answers_one(stream, Then::Closes),
        _ => answers(stream, 100, Gate::fixed(true)),
    })
    .await;
    for made in [1, 2, 2] {
        let answer = timeout(Duration::from_secs(5), generate(&served, "m")).await.expect("it does not hang");
        assert_eq!((answer.status.as_u16(), answer.header("x-keypool-attempts")), (200, "1"), "{answer:?}");
        assert_eq!(connections.load(Ordering::Relaxed), made);
    }
}

#[tokio::test]
async fn a_provider_that_never_allows_anything_is_an_error() {
    let (served, connections) = before(WITHIN, |_, stream| answers(stream, 0, Gate::fixed(true))).await;
    let answer = timeout(Duration::from_secs(30), generate(&served, "m")).await.expect("it does not hang");
    assert!(answer.status.is_server_error(), "{answer:?}");
    assert!(connections.load(Ordering::Relaxed) > 1);
}

#[tokio::test]
async fn a_connection_that_falls_silent_is_found_out_and_replaced() {
    let clock = Clock::system();
    let begun = clock.tick();
    let replaced = Arc::new(AtomicU64::new(0));
    let (at, timer) = (Arc::clone(&replaced), clock.clone());
    let (served, connections) = before(WITHIN, move |number, stream| {
        if number == 0 {
            return answers_one(stream, Then::FallsSilent);
        }
        at.store(timer.tick().since(begun).as_secs(), Ordering::Relaxed);
        answers(stream, 100, Gate::fixed(true))
    })
    .await;
    assert_eq!(generate(&served, "m").await.status, 200);
    tokio::time::pause();
    let answer = generate(&served, "m").await;
    assert_eq!((answer.status.as_u16(), answer.header("x-keypool-attempts")), (200, "2"), "{answer:?}");
    assert_eq!(connections.load(Ordering::Relaxed), 2);
    let replaced = replaced.load(Ordering::Relaxed);
    assert!((10..120).contains(&replaced), "{replaced} s, and {} s in all", clock.tick().since(begun).as_secs());
    assert_eq!(generate(&served, "m").await.header("x-keypool-attempts"), "1");
}

#[tokio::test]
async fn who_was_given_up_on_a_connection_asks_again_over_another_one() {
    let within = Duration::from_millis(480);
    let (served, connections) = before(within, |number, stream| match number {
        0 => answers(stream, 100, Gate::fixed(false)),
        _ => answers(stream, 100, Gate::fixed(true)),
    })
    .await;
    assert_eq!(generate(&served, "m").await.status, 200);
    let answer = timeout(Duration::from_secs(30), generate(&served, "held")).await.expect("it is not waited for");
    assert_eq!((answer.status.as_u16(), answer.header("x-keypool-attempts")), (200, "2"), "{answer:?}");
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}
