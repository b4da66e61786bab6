//! Limits of connections and requests, and the handling of slow ones.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{GENERATE, Gateway, TOKEN, Upstream, hello, post, reply, sim};

fn configured(upstream: &str, config: &str) -> Gateway {
    Gateway::configured(upstream, 1, config)
}

#[tokio::test]
async fn ambiguous_requests_take_no_key() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = Gateway::start(&upstream.url, 1, &["--db", "none"]);
    let host = "host: localhost\r\n";
    for (target, headers, status) in [
        (GENERATE, "host: localhost\r\nhost: localhost\r\n".to_owned(), "400"),
        ("http://evil.example/v1beta/models", host.to_owned(), "400"),
        ("http://evil.example/v1beta/models", "host: evil.example\r\n".to_owned(), "421"),
        ("/v1beta/models/../files", host.to_owned(), "400"),
        ("/v1beta/models/%2e%2e/files", host.to_owned(), "400"),
        ("/v1beta/models/m%2f..%2ffiles", host.to_owned(), "400"),
        ("/v1beta/files/a?$httpMethod=DELETE", host.to_owned(), "400"),
        ("/v1beta/files/a?callback=f", host.to_owned(), "400"),
        (GENERATE, format!("{host}x-http-method-override: DELETE\r\n"), "400"),
        (GENERATE, format!("{host}transfer-encoding: chunked, identity\r\n"), "400"),
    ] {
        let request = format!(
            "POST {target} HTTP/1.1\r\n{headers}x-goog-api-key: {TOKEN}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        let answer = gateway.raw(&request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{target} {headers}: {answer}");
    }
    assert!(upstream.requests().is_empty());
    let access = gateway.post(&format!("{GENERATE}?access_token=x&oauth_token=y&alt=json"), &hello()).await;
    assert_eq!(access.status, 200);
    assert_eq!(upstream.requests()[0].uri().query(), Some("alt=json"));
}

#[tokio::test]
async fn connection_over_the_limit_gets_a_503() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = configured(&upstream.url, "[gateway]\nmax_connections = 1\n");
    // Connections are accepted in their order.
    let first = gateway.connect().await;
    let refused = gateway.raw("").await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: 1"), "{refused}");
    drop(first);
    let health = "GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    gateway.eventually(async || gateway.raw(health).await.starts_with("HTTP/1.1 200")).await;
}

#[tokio::test]
async fn connection_over_the_limit_of_its_address_gets_a_429() {
    // Loopback addresses have no limit, so the test needs another address of this machine.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a port");
    if socket.connect("192.0.2.1:9").is_err() {
        redis_fixture::skipped("this machine has no address but loopback");
        return;
    }
    let own = socket.local_addr().expect("an address").ip();
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("keypool.toml"), "[gateway]\nmax_connections_per_address = 1\n")
        .expect("written");
    let mut command = crate::support::program(folder.path());
    command.args(["serve", "--listen", &format!("{own}:0"), "--upstream", &upstream.url, "--db", "none"]);
    command.args(["--token", "a-token-of-the-test"]);
    let gateway = Gateway::spawn(command, folder);
    let _first = gateway.connect().await;
    let refused = gateway.raw("").await;
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
}

#[tokio::test]
async fn stalled_request_body_times_out() {
    let sim = sim(1).await;
    let gateway = configured(&sim.url(), "[gateway]\nbody_timeout = \"1s\"\nreplay_mib = 1\n");
    let head = |length: usize| {
        format!(
            "POST {GENERATE} HTTP/1.1\r\nhost: localhost\r\nx-goog-api-key: {TOKEN}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let answer = gateway.raw(&(head(100) + "{\"contents\"")).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    // The same for a body that is too large to be kept.
    let answer = gateway.raw(&(head(4 << 20) + "{\"contents\":[\"" + &"x".repeat(2 << 20))).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(sim.report().total.accepted, 0);
}

#[tokio::test]
async fn body_too_large_to_be_kept_is_forwarded_whole() {
    let sim = sim(1).await;
    let gateway = configured(&sim.url(), "[gateway]\nreplay_mib = 1\n");
    let body = format!(r#"{{"contents":[{{"parts":[{{"text":"{}"}}]}}]}}"#, "x".repeat(2 << 20));
    let length = format!("content-length: {}\r\n\r\n{body}", body.len());
    let chunked = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    for rest in [length, chunked] {
        let head =
            format!("POST {GENERATE} HTTP/1.1\r\nhost: localhost\r\nx-goog-api-key: {TOKEN}\r\nconnection: close\r\n");
        let answer = gateway.raw(&(head + &rest)).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

/// Starts an upstream that writes these bytes repeatedly on each connection.
async fn flooding_upstream(head: &'static str, piece: Vec<u8>, times: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let piece = piece.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4_096]).await;
                let _ = stream.write_all(head.as_bytes()).await;
                for _ in 0..times {
                    if stream.write_all(&piece).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

#[tokio::test]
async fn client_that_does_not_read_is_disconnected() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n";
    let url = flooding_upstream(head, vec![b' '; 1 << 20], 4_096).await;
    let gateway = configured(&url, "[gateway]\nreader_timeout = \"1s\"\n");
    let mut stream = gateway.connect().await;
    let body = hello().to_string();
    let request = format!(
        "POST {GENERATE} HTTP/1.1\r\nhost: localhost\r\nx-goog-api-key: {TOKEN}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut length = 0;
    let mut piece = vec![0; 1 << 20];
    while let Ok(more @ 1..) = stream.read(&mut piece).await {
        length += more;
    }
    assert!(length < 64 << 20, "more than the socket buffers was read: {length}");
}

/// Returns a client that uses one connection in HTTP/2, whose windows have this size.
fn http2_client(window: u32) -> Client<HttpConnector, Full<Bytes>> {
    let mut client = Client::builder(TokioExecutor::new());
    client.http2_only(true).http2_initial_stream_window_size(window).build_http()
}

async fn over_http2(
    client: &Client<HttpConnector, Full<Bytes>>,
    gateway: &Gateway,
    path: &str,
) -> http::Response<hyper::body::Incoming> {
    let (mut head, body) = post(path, &hello()).into_parts();
    head.uri = format!("{}{path}", gateway.url).parse().expect("a URL");
    client.request(http::Request::from_parts(head, body)).await.expect("a response")
}

#[tokio::test]
async fn stream_of_http_2_that_is_not_read_is_reset() {
    let slow = "x".repeat(1 << 20);
    let upstream = Upstream::start(move |request| {
        reply(200, "text/plain", request.uri().query().map_or("{}", |_| &slow).to_owned())
    });
    let gateway = configured(&upstream.await.url, "[gateway]\nreader_timeout = \"2s\"\n");
    let client = http2_client(40_000);
    let unread = over_http2(&client, &gateway, &format!("{GENERATE}?a=b")).await;
    let mut slow = over_http2(&client, &gateway, &format!("{GENERATE}?a=b")).await.into_body();
    let mut length = 0;
    // A client that reads slowly is not cut off.
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        for _ in 0..3 {
            length += slow.frame().await.expect("a frame").expect("a frame").into_data().expect("data").len();
        }
    }
    let rest = slow.collect().await.expect("the rest").to_bytes();
    assert_eq!(length + rest.len(), 1 << 20);
    unread.into_body().collect().await.expect_err("the stream was reset");
    let other = over_http2(&client, &gateway, GENERATE).await.into_body();
    assert_eq!(other.collect().await.expect("the connection is in use").to_bytes(), "{}");
}

#[tokio::test]
async fn request_whose_client_leaves_is_logged() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let requests = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&requests);
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4_096]).await;
            if open.is_empty() {
                let answer = "HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
                let _ = stream.write_all(answer.as_bytes()).await;
            }
            open.push(stream);
            seen.store(open.len(), Ordering::SeqCst);
        }
    });
    let gateway = Gateway::start(&url, 2, &["--db", "none"]);
    // The second request that reaches the provider is a retry of the first one.
    for (count, path, model) in [(2, "/v1beta/models/m:generateContent", "m"), (3, "/v1/chat/completions", "n")] {
        let mut stream = gateway.connect().await;
        let body = serde_json::json!({ "model": model, "messages": [{ "role": "user", "content": "x" }] }).to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nx-goog-api-key: {TOKEN}\r\nx-request-id: of-{model}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        gateway.eventually(async || requests.load(Ordering::SeqCst) == count).await;
        drop(stream);
        let answered = format!("answered request=\"of-{model}\"");
        gateway.wait_for_log(&answered).await;
        let log = gateway.log();
        let line = log.lines().find(|line| line.contains(&answered)).expect("it was logged");
        for part in ["status=499", "key=\"key-", &format!("model=\"{model}\"")] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    let log = gateway.log();
    for part in ["class=\"failed\" status=429", "class=\"cancelled\""] {
        assert!(log.lines().any(|line| line.contains("attempt failed") && line.contains(part)), "{part}: {log}");
    }
    let metrics = gateway.get("/-/metrics").await.text();
    assert!(metrics.contains("keypool_gateway_requests_total{status=\"499\",tenant=\"\"} 2"), "{metrics}");
}

#[tokio::test]
async fn connections_without_a_request_do_not_delay_shutdown() {
    let mut gateway = configured("http://127.0.0.1:9", "[gateway]\ngrace = \"1h\"\n");
    let mut streams = Vec::new();
    for text in ["", "GET / HT"] {
        let mut stream = gateway.connect().await;
        stream.write_all(text.as_bytes()).await.expect("sent");
        streams.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    gateway.signal("TERM");
    assert!(gateway.wait().success());
    assert!(!gateway.log().contains("cut off"), "{}", gateway.log());
}

#[tokio::test]
async fn request_that_the_shutdown_cuts_off_is_logged_with_that_cause() {
    let upstream = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", upstream.local_addr().expect("an address"));
    let mut gateway = configured(&url, "[gateway]\ngrace = \"100ms\"\n");
    let mut stream = gateway.connect().await;
    let request = format!(
        "POST {GENERATE} HTTP/1.1\r\nhost: localhost\r\nx-goog-api-key: {TOKEN}\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let _at_the_provider = upstream.accept().await.expect("a connection");
    let client = http2_client(1 << 16);
    let (mut head, body) = post(GENERATE, &hello()).into_parts();
    head.uri = format!("{}{GENERATE}", gateway.url).parse().expect("a URL");
    tokio::spawn(client.request(http::Request::from_parts(head, body)));
    let _over_http2 = upstream.accept().await.expect("a connection");
    gateway.signal("TERM");
    let begun = std::time::Instant::now();
    assert!(gateway.wait().success());
    // The usual grace is 10 s.
    assert!(begun.elapsed() < Duration::from_secs(8), "the requests went on after their grace");
    gateway.wait_for_log("cause=\"the gateway shut down, or the client left, before the response\"").await;
}

#[tokio::test]
async fn head_is_answered_without_a_body() {
    let upstream = Upstream::always(200, "application/json", r#"{"models":[]}"#).await;
    let gateway = Gateway::start(&upstream.url, 1, &["--db", "none"]);
    for (path, token, status) in [("/v1/models", TOKEN, 200), ("/v1/models", "wrong", 401)] {
        let request = format!(
            "HEAD {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        let answer = gateway.raw(&request).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")) && head.contains("content-length: "), "{head}");
        assert!(body.is_empty() && !head.contains("content-length: 0"), "{answer}");

        // The client reports a body as an error.
        let request =
            http::Request::head(format!("{}{path}", gateway.url)).header("authorization", format!("Bearer {token}"));
        let request = request.body(Full::default()).expect("a request");
        let answer = http2_client(1 << 16).request(request).await.expect("a response");
        assert_eq!(answer.status(), status);
        assert_eq!(answer.into_body().collect().await.expect("no body").to_bytes(), "");
    }
}

#[tokio::test]
async fn http_2_clients_accept_unusual_lengths() {
    for (head, status, body) in [
        ("200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\n{}", 200, "{}"),
        ("200 OK\r\ncontent-length: 2, 2\r\n\r\n{}", 200, "{}"),
        ("204 No Content\r\ncontent-length: 5\r\n\r\n", 204, ""),
    ] {
        let url = flooding_upstream("HTTP/1.1 ", head.as_bytes().to_vec(), 1).await;
        let gateway = Gateway::start(&url, 1, &["--db", "none"]);
        let answer = over_http2(&http2_client(1 << 16), &gateway, GENERATE).await;
        assert_eq!(answer.status(), status, "{head}");
        assert_eq!(answer.into_body().collect().await.expect("a whole body").to_bytes(), body, "{head}");
    }
}

#[tokio::test]
async fn response_trailers_are_passed_on() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\ntrailer: x-checksum\r\n\r\n\
                2\r\n{}\r\n0\r\nx-checksum: abc\r\n\r\n";
    let url = flooding_upstream(head, Vec::new(), 0).await;
    let gateway = Gateway::start(&url, 1, &["--db", "none"]);
    for path in [GENERATE, "/v1beta/cachedContents"] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nx-goog-api-key: {TOKEN}\r\nte: trailers\r\nconnection: te, close\r\n\
             content-length: 2\r\n\r\n{{}}"
        );
        let answer = gateway.raw(&request).await;
        assert!(answer.ends_with("0\r\nx-checksum: abc\r\n\r\n"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn response_to_head_of_unknown_length_gets_none() {
    let url = flooding_upstream("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", Vec::new(), 0).await;
    let gateway = Gateway::start(&url, 1, &["--db", "none"]);
    let head = format!("host: localhost\r\nx-goog-api-key: {TOKEN}\r\nconnection: close\r\n\r\n");
    let answer = gateway.raw(&format!("HEAD /v1beta/models HTTP/1.1\r\n{head}")).await;
    assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("content-length"), "{answer}");
}

#[tokio::test]
async fn active_responses_end_before_the_gateway_does() {
    let sim = gemini_sim::GeminiSim::builder()
        .key(crate::support::key(0).as_str())
        .chunks(10)
        .chunk_latency(Duration::from_millis(150))
        .start()
        .await
        .expect("a free port");
    let mut gateway = Gateway::start(&sim.url(), 1, &["--db", "none"]);
    let path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";
    let mut answer = gateway.open(post(path, &hello())).await.into_body();
    answer.frame().await.expect("a frame").expect("a frame");
    gateway.signal("TERM");
    // No new connection is accepted.
    let address = gateway.url.trim_start_matches("http://");
    gateway.eventually(async || TcpStream::connect(address).await.is_err()).await;
    let rest = answer.collect().await.expect("the rest").to_bytes();
    assert!(String::from_utf8_lossy(&rest).contains("\"finishReason\""), "{rest:?}");
    assert!(gateway.wait().success());
}

#[tokio::test]
async fn readiness_ends_before_connections_are_refused() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let mut gateway = configured(&upstream.url, "[gateway]\ndrain_delay = \"1h\"\n");
    assert_eq!(gateway.get("/readyz").await.status, 200);
    gateway.signal("TERM");
    gateway.eventually(async || gateway.get("/readyz").await.status == StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(gateway.post(GENERATE, &hello()).await.status, 200);
    gateway.signal("TERM");
    assert!(gateway.wait().success());
}

#[tokio::test]
async fn second_signal_ends_the_drain_delay() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let mut gateway = configured(&upstream.url, "[gateway]\ndrain_delay = \"1h\"\n");
    gateway.signal("TERM");
    gateway.wait_for_log("shutting down").await;
    gateway.signal("TERM");
    assert!(gateway.wait().success());
}

#[tokio::test]
async fn gateway_that_fails_open_starts_without_redis() {
    let Some(mut redis) = redis_fixture::RedisServer::start() else { return };
    redis.kill();
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let config = format!("[store]\nredis = \"{}\"\non_store_loss = \"fail_open\"\n", redis.url());
    let gateway = configured(&upstream.url, &config);
    assert_eq!(gateway.post(GENERATE, &hello()).await.status, 200);
    gateway.wait_for_log("the store is unavailable: local limits apply").await;
    redis.start_empty();
    gateway.wait_for_log("the store is back").await;
    assert_eq!(gateway.post(GENERATE, &hello()).await.status, 200);
}
