//! Clients that take their time: with a body, with an answer, or with a connection that they only hold.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use keypool::{
    client::Client as Upstream,
    gateway::{Paces, listen::Bounds, token::PLACEHOLDER},
    stack,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tower::service_fn;
use tower_keypool::{Clock, Gemini, Key, KeyPool, Models, Retry};

use crate::{
    serving::{ONE, TWO},
    smuggling::recording,
    support::{Served, echo, raw},
};

fn call(path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Bearer {PLACEHOLDER}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

async fn pool_over(upstream: &str) -> (KeyPool, Served) {
    let pool = KeyPool::builder(Gemini::at(upstream).unwrap()).key(Key::new(ONE).id("one")).build().unwrap();
    let client = Upstream::new(pool.provider().base());
    let stack = stack::stack_over(&pool, Models::new(), Retry::new(), client);
    let served = Served::within(stack, upstream, Bounds::default()).await;
    (pool, served)
}

fn in_flight(pool: &KeyPool) -> u32 {
    pool.snapshot().keys.iter().map(|key| u32::from(key.in_flight)).sum()
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_or_trickles_is_given_up_and_harms_no_key() {
    let (upstream, _came) = recording().await;
    let (pool, served) = pool_over(&format!("http://{upstream}")).await;
    let clock = Clock::system();
    for (path, word) in [
        ("/v1beta/models/m:generateContent", "\"code\":408"),
        ("/v1beta/openai/chat/completions", "\"message\":\"the request's body stopped"),
        ("/v1/chat/completions", "\"message\":\"the request's body stopped"),
        ("/v1/messages", "\"type\":\"error\""),
    ] {
        for trickles in [false, true] {
            let mut stream = TcpStream::connect(served.address).await.unwrap();
            stream.write_all(call(path, 100_000).as_bytes()).await.unwrap();
            stream.write_all(b"{\"contents\": [").await.unwrap();
            let began = clock.tick();
            let (mut read, mut write) = stream.into_split();
            let trickle = async {
                while trickles && write.write_all(b"                    ").await.is_ok() {
                    tokio::time::sleep(Duration::from_secs(7)).await;
                }
                std::future::pending::<()>().await;
            };
            let mut answer = String::new();
            tokio::select! {
                read = read.read_to_string(&mut answer) => { read.unwrap(); }
                () = trickle => {}
            }
            let waited = clock.tick().since(began).as_secs();
            assert!((60..=75).contains(&waited), "{path}: {waited} s");
            assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains(word), "{path}: {answer}");
            assert!(answer.contains("connection: close\r\n") && answer.contains("x-request-id: "), "{answer}");
            assert_eq!(in_flight(&pool), 0, "{path}");
        }
    }
    assert!(
        pool.snapshot().keys.iter().all(|key| key.failed == 0 && key.rests.is_empty()),
        "{:?}",
        pool.snapshot().keys
    );
}

/// It takes each request and says nothing.
#[tokio::test(start_paused = true)]
async fn a_provider_that_never_answers_is_given_up_and_its_key_is_free_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let keys = [Key::new(ONE).id("one"), Key::new(TWO).id("two")];
    let pool = KeyPool::builder(Gemini::at(&upstream).unwrap()).keys(keys).build().unwrap();
    let client = Upstream::new(pool.provider().base()).answering_within(Duration::from_secs(600));
    let stack = stack::stack_over(&pool, Models::new(), Retry::new().max_retries(1), client);
    let served = Served::within(stack, &upstream, Bounds::default()).await;
    let clock = Clock::system();
    for (path, word) in
        [("/v1beta/models/m:generateContent", "DEADLINE_EXCEEDED"), ("/v1/chat/completions", "server_error")]
    {
        let began = clock.tick();
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        let native = r#"{"contents":[{"parts":[{"text":"x"}]}]}"#;
        let chat = r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#;
        let body = if path.contains("chat") { chat } else { native };
        stream.write_all((call(path, body.len()) + body).as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let waited = clock.tick().since(began).as_secs();
        assert!((1_200..1_240).contains(&waited), "{path}: {waited} s");
        assert!(answer.starts_with("HTTP/1.1 504 ") && answer.contains(word), "{path}: {answer}");
        assert_eq!(in_flight(&pool), 0, "{path}");
    }
    assert!(pool.snapshot().keys.iter().all(|key| key.rests.is_empty()), "{:?}", pool.snapshot().keys);
    silent.abort();
}

/// It begins, and says no more.
#[tokio::test(start_paused = true)]
async fn an_answer_that_stops_breaks_off_and_its_key_is_free_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    let stalling = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut came = vec![0; 4096];
            let _ = stream.read(&mut came).await;
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{\"candidates\":[";
            stream.write_all(head.as_bytes()).await.unwrap();
            held.push(stream);
        }
    });
    let pool = KeyPool::builder(Gemini::at(&upstream).unwrap()).key(Key::new(ONE).id("one")).build().unwrap();
    let client = Upstream::new(pool.provider().base()).answering_within(Duration::from_secs(600));
    let served =
        Served::within(stack::stack_over(&pool, Models::new(), Retry::new(), client), &upstream, Bounds::default())
            .await;
    let clock = Clock::system();
    let began = clock.tick();
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let body = r#"{"contents":[{"parts":[{"text":"x"}]}]}"#;
    stream.write_all((call("/v1beta/models/m:generateContent", body.len()) + body).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let waited = clock.tick().since(began).as_secs();
    assert!((600..700).contains(&waited), "{waited} s");
    assert!(answer.len() < 500, "it is not whole");
    assert_eq!(in_flight(&pool), 0);
    stalling.abort();
}

/// The time of an answer begins when its request is gone.
#[tokio::test(start_paused = true)]
async fn a_body_that_takes_longer_than_an_answer_may_is_the_callers_own_time() {
    let (upstream, mut came) = recording().await;
    let url = format!("http://{upstream}");
    let pool = KeyPool::builder(Gemini::at(&url).unwrap()).key(Key::new(ONE).id("one")).build().unwrap();
    let client = Upstream::new(pool.provider().base()).answering_within(Duration::from_secs(20));
    let served =
        Served::within(stack::stack_over(&pool, Models::new(), Retry::new(), client), &url, Bounds::default()).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(call("/v1beta/models/m:generateContent", 12_000).as_bytes()).await.unwrap();
    for _ in 0..12 {
        stream.write_all(&[b' '; 1_000]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(came.recv().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_slow_but_comes_is_taken() {
    let (upstream, mut came) = recording().await;
    let (_pool, served) = pool_over(&format!("http://{upstream}")).await;
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(call("/v1beta/models/m:generateContent", 12_000).as_bytes()).await.unwrap();
    for _ in 0..12 {
        stream.write_all(&[b' '; 1_000]).await.unwrap();
        tokio::time::sleep(Duration::from_secs(50)).await;
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(came.recv().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_body_in_http2_that_stops_is_given_up_alone() {
    use hyper_util::{client::legacy::Client, rt::TokioExecutor};

    let (upstream, _came) = recording().await;
    let (pool, served) = pool_over(&format!("http://{upstream}")).await;
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let request = |body: http_body_util::combinators::BoxBody<Bytes, std::convert::Infallible>| {
        let request = Request::post(served.url("/v1beta/models/m:generateContent"));
        client.request(request.header("x-goog-api-key", PLACEHOLDER).body(body).unwrap())
    };
    let stopped = http_body_util::StreamBody::new(futures_util::StreamExt::chain(
        futures_util::stream::iter([Ok(http_body::Frame::data(Bytes::from_static(b"{")))]),
        futures_util::stream::pending(),
    ));
    let stopped = tokio::spawn(request(BodyExt::boxed(stopped)));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(in_flight(&pool), 1);
    assert_eq!(request(Full::from("{}").boxed()).await.unwrap().status(), 200);
    let answer = stopped.await.unwrap().unwrap();
    assert_eq!(answer.status(), 408);
    assert_eq!(in_flight(&pool), 0);
    assert_eq!(request(Full::from("{}").boxed()).await.unwrap().status(), 200);
}

/// A provider that answers without an end, as fast as it is read.
async fn endless() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 1000000000000\r\n\r\n";
                let _ = stream.write_all(head).await;
                while stream.write_all(&[b'x'; 8 << 10]).await.is_ok() {}
            });
        }
    });
    upstream
}

/// With a small window, so that little is on the way.
async fn ask_for_much(served: &Served) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    let mut stream = socket.connect(served.address).await.unwrap();
    stream.write_all(call("/v1beta/models/m:generateContent", 0).as_bytes()).await.unwrap();
    stream
}

#[tokio::test(start_paused = true)]
async fn who_never_reads_is_cut_off_and_gives_the_key_back() {
    let (pool, served) = pool_over(&endless().await).await;
    let stream = ask_for_much(&served).await;
    tokio::time::sleep(Duration::from_mins(9)).await;
    assert_eq!(in_flight(&pool), 1, "it may yet read");
    tokio::time::sleep(Duration::from_mins(3)).await;
    assert_eq!(in_flight(&pool), 0);
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn who_reads_slowly_is_not() {
    let (pool, served) = pool_over(&endless().await).await;
    let mut stream = ask_for_much(&served).await;
    // The system says that there is room once a good part of its buffer is free.
    let mut piece = vec![0; 2 << 20];
    for _ in 0..20 {
        stream.read_exact(&mut piece).await.unwrap();
        tokio::time::sleep(Duration::from_mins(8)).await;
    }
    assert_eq!(in_flight(&pool), 1);
}

/// Its connection answers pings all the while.
#[tokio::test(start_paused = true)]
async fn who_takes_nothing_of_a_stream_loses_it_alone_and_gives_the_key_back() {
    use hyper_util::{client::legacy::Client, rt::TokioExecutor};

    let (pool, served) = pool_over(&endless().await).await;
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .http2_initial_stream_window_size(16 << 10)
        .build_http::<Full<Bytes>>();
    let ask = || {
        let request = Request::post(served.url("/v1beta/models/m:generateContent"));
        client.request(request.header("x-goog-api-key", PLACEHOLDER).body(Full::from("{}")).unwrap())
    };
    let (stopped, slow) = (ask().await.unwrap(), ask().await.unwrap());
    assert_eq!((stopped.status(), slow.status()), (http::StatusCode::OK, http::StatusCode::OK));
    let (mut slow, clock) = (slow.into_body(), Clock::system());
    // Little by little: what is asked for with each minute is less than a frame of the provider's.
    let began = clock.tick();
    let waited = |began| clock.tick().since(began).as_secs();
    while in_flight(&pool) == 2 {
        assert!(waited(began) < 660, "it is not given up");
        tokio::time::sleep(Duration::from_mins(1)).await;
        slow.frame().await.unwrap().unwrap();
    }
    assert!(waited(began) >= 590, "after {} s", waited(began));
    // The other goes on as long as somebody reads it.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_mins(8)).await;
        for _ in 0..8 {
            slow.frame().await.unwrap().unwrap();
        }
        assert_eq!(in_flight(&pool), 1);
    }
    assert!(stopped.into_body().collect().await.is_err(), "it is told that this is not all");
}

/// As long as a request waits for a key nobody asks its sender for more.
#[tokio::test(start_paused = true)]
async fn a_body_that_waits_for_a_key_is_not_late() {
    let (upstream, mut came) = recording().await;
    let upstream = format!("http://{upstream}");
    let key = Key::new(ONE).id("one").max_concurrent(1);
    let pool = KeyPool::builder(Gemini::at(&upstream).unwrap()).key(key).wait(Duration::from_mins(10)).build().unwrap();
    let client = Upstream::new(pool.provider().base());
    let stack = stack::stack_over(&pool, Models::new(), Retry::new(), client);
    let served = Served::within(stack, &upstream, Bounds::default()).await;
    for path in ["/v1beta/models/m:generateContent", "/v1beta/openai/chat/completions"] {
        let held = pool.try_acquire("m").unwrap();
        let body = format!("{{\"model\":\"m\",\"messages\":[],\"x\":\"{}\"}}", "y".repeat(300_000));
        let (first, rest) = body.split_at(200);
        let mut stream = TcpStream::connect(served.address).await.unwrap();
        stream.write_all(call(path, body.len()).as_bytes()).await.unwrap();
        stream.write_all(first.as_bytes()).await.unwrap();
        // It is asked for the rest by now.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (mut read, mut write) = stream.into_split();
        let rest = rest.to_owned();
        let sent = tokio::spawn(async move { write.write_all(rest.as_bytes()).await.map(|()| write) });
        tokio::time::sleep(Duration::from_mins(4)).await;
        drop(held);
        let mut answer = String::new();
        read.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
        assert!(came.recv().await.is_some());
        drop(sent.await);
    }
}

/// A provider that refuses a request by its head, and hangs up on its body.
async fn refusing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let body = r#"{"error":{"code":413,"message":"too large","status":"INVALID_ARGUMENT"}}"#;
            let head = "HTTP/1.1 413 Payload Too Large\r\ncontent-type: application/json\r\nconnection: close\r\n";
            let answer = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    upstream
}

#[tokio::test]
async fn who_is_still_sending_when_the_provider_answers_gets_that_answer() {
    let (pool, served) = pool_over(&refusing().await).await;
    for path in ["/v1beta/models/m:generateContent", "/upload/v1beta/files?uploadType=media"] {
        for pause in [0, 1] {
            let mut stream = TcpStream::connect(served.address).await.unwrap();
            let piece = vec![b' '; 128 << 10];
            stream.write_all(call(path, piece.len() * 64).as_bytes()).await.unwrap();
            for at in 0..64 {
                stream.write_all(&piece).await.unwrap_or_else(|error| panic!("{path}, {pause}, piece {at}: {error}"));
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap_or_else(|error| panic!("{path}, {pause}: {error}"));
            assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("too large"), "{path}, {pause}: {answer}");
            assert_eq!(in_flight(&pool), 0, "{path}");
        }
    }
}

#[tokio::test]
async fn connections_have_a_bound_and_a_place_that_comes_free_is_taken() {
    let paces = Paces { body: Duration::from_secs(60), reader: Duration::from_secs(60) };
    let bounds = Bounds { connections: 2, of_one_address: 1, paces };
    let served = Served::within(service_fn(echo), "http://upstream.invalid", bounds).await;
    let head = format!(
        "GET /v1beta/models HTTP/1.1\r\nhost: localhost\r\nx-goog-api-key: {PLACEHOLDER}\r\nconnection: close\r\n\r\n"
    );
    // Of this machine there may be more than of another address.
    let (one, _two) = (TcpStream::connect(served.address).await, TcpStream::connect(served.address).await);
    let mut refused = TcpStream::connect(served.address).await.unwrap();
    let mut answer = String::new();
    refused.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1\r\n"), "{answer}");
    let (head_of, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head_of.contains(&format!("content-length: {}", body.len())), "{answer}");
    drop(one);
    for _ in 0..100 {
        let answer = raw(served.address, &head).await;
        if answer.starts_with("HTTP/1.1 200 ") {
            return;
        }
    }
    panic!("no place came free");
}

/// Whoever asks without a token reaches nobody behind the gateway, however often.
#[tokio::test]
async fn a_flood_of_wrong_tokens_reaches_nothing() {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    let reached = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reached);
    let stack = service_fn(move |_: Request<keypool::outgoing::Outgoing>| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, tower_keypool::Error>(Response::new(Full::<Bytes>::default())) }
    });
    let served = Served::over(stack, "http://upstream.invalid").await;
    let ask = |path: &str, n: usize| {
        format!(
            "POST {path}?key=wrong-{n}&key=wrong HTTP/1.1\r\nhost: localhost\r\nx-goog-api-key: wrong-{n}\r\nx-api-key: \
             wrong\r\nauthorization: Bearer wrong\r\nx-a: {}\r\ncontent-length: 0\r\n\r\n",
            "y".repeat(2_000)
        )
    };
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let mut answered = 0;
    for n in 0..500 {
        let path =
            ["/v1beta/models/m:generateContent", "/v1/chat/completions", "/upload/v1beta/files", "/v1/files"][n % 4];
        stream.write_all(ask(path, n).as_bytes()).await.unwrap();
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.unwrap();
        answered += usize::from(piece[..read].starts_with(b"HTTP/1.1 401 "));
    }
    assert_eq!((answered, reached.load(Ordering::Relaxed)), (500, 0));
}
