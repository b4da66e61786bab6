//! Requests of Gemini's clients.

use http::{Request, StatusCode};
use http_body_util::Full;

use crate::support::{GENERATE, Gateway, TOKEN, Upstream, get, hello, key, post, reply, sim};

#[tokio::test]
async fn request_is_served_by_a_key_of_the_pool() {
    let sim = sim(2).await;
    let gateway = Gateway::start(&sim.url(), 2, &["--db", "none"]);
    let answer = gateway.post(GENERATE, &hello()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("x-keypool-key").starts_with("key-"));
    assert_eq!(answer.header("x-keypool-attempts"), "1");
    assert!(!answer.header("x-request-id").is_empty());
    assert_eq!(sim.report().total.accepted, 1);
}

#[tokio::test]
async fn response_is_passed_on_byte_for_byte() {
    let body = "{ \"odd\" : [1.10, \"\\u00e4\"],\r\n\t\"candidates\":[] }";
    let upstream = Upstream::always(200, "application/json; charset=UTF-8", body).await;
    let gateway = Gateway::start(&upstream.url, 1, &["--db", "none"]);
    let answer = gateway.post(&format!("{GENERATE}?alt=json&x=%2F+a"), &hello()).await;
    assert_eq!(answer.text(), body);
    let sent = &upstream.requests()[0];
    assert_eq!(sent.uri().to_string(), format!("{GENERATE}?alt=json&x=%2F+a"));
    assert_eq!(&sent.body()[..], hello().to_string().as_bytes());
    assert!(!format!("{:?}", sent.headers()).contains(TOKEN), "{:?}", sent.headers());
}

#[tokio::test]
async fn request_id_of_the_provider_is_kept_beside_the_gateways() {
    let upstream = Upstream::start(|_| {
        let mut response = reply(400, "application/json", r#"{"error":{"message":"no messages"}}"#);
        response.headers_mut().insert("x-request-id", "req_abc".parse().expect("a value"));
        response
    })
    .await;
    let gateway = Gateway::start(&upstream.url, 1, &["--db", "none"]);
    let answer = gateway.post(GENERATE, &hello()).await;
    assert_eq!(answer.header("x-upstream-request-id"), "req_abc");
    assert!(!["", "req_abc"].contains(&answer.header("x-request-id")));
}

#[tokio::test]
async fn wrong_token_takes_no_key() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = Gateway::start(&upstream.url, 1, &["--db", "none"]);
    let mut request = post(GENERATE, &hello());
    request.headers_mut().insert("x-goog-api-key", "wrong".parse().expect("a value"));
    assert_eq!(gateway.send(request).await.status, StatusCode::UNAUTHORIZED);
    let request = Request::post(GENERATE).body(Full::default()).expect("a request");
    assert_eq!(gateway.send(request).await.status, StatusCode::UNAUTHORIZED);
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn only_api_paths_are_forwarded() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = Gateway::start(&upstream.url, 1, &["--db", "none"]);
    for path in ["/favicon.ico", "/api/tags", "/_control/reset", "/", "/robots.txt", "/v1/openai/models"] {
        assert_eq!(gateway.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn health_is_served_at_the_usual_paths() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = Gateway::start(&upstream.url, 1, &["--db", "none"]);
    for path in ["/health", "/healthz", "/livez", "/readyz", "/-/health", "/-/ready"] {
        let request = Request::get(path).body(Full::default()).expect("a request");
        assert_eq!(gateway.send(request).await.status, StatusCode::OK, "{path}");
    }
    let none = Gateway::start(&upstream.url, 0, &["--db", "none"]);
    assert_eq!(none.send(get("/readyz")).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(none.send(get("/health")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn streams_tell_proxies_not_to_buffer() {
    let upstream = Upstream::always(200, "text/event-stream", "data: {\"candidates\": []}\r\n\r\n").await;
    let gateway = Gateway::start(&upstream.url, 1, &["--db", "none"]);
    let path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";
    let answer = gateway.post(path, &hello()).await;
    assert_eq!(answer.header("x-accel-buffering"), "no");
    assert_eq!(answer.header("cache-control"), "no-cache");
}

#[tokio::test]
async fn invalid_lines_are_reported_and_valid_ones_serve() {
    let sim = sim(2).await;
    let gateway = Gateway::start_with(&sim.url(), 2, |command, folder| {
        let file = folder.join("keys.txt");
        let mut keys = std::fs::read_to_string(&file).expect("an existing file");
        keys.push_str("AIzaSyTEST-not-a-real-key-000000000009 teir=free\n");
        std::fs::write(file, keys).expect("a writable file");
        command.args(["--db", "none"]);
    });
    let log = gateway.log();
    assert!(log.contains("keys.txt:3: \"teir\" is not an option; did you mean \"tier\"?"), "{log}");
    assert_eq!(gateway.post(GENERATE, &hello()).await.status, 200);
}

#[tokio::test]
async fn exit_that_cannot_connect_cools_down_and_another_key_serves() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    // A proxy that refuses each tunnel.
    let proxy = Upstream::always(403, "text/plain", "").await;
    let gateway = Gateway::start_with(&upstream.url, 0, |command, folder| {
        let exits = format!("[exits.a]\nproxy = \"{}\"\n[exits.b]\nlocal_address = \"127.0.0.1\"\n", proxy.url);
        let keys = ["a", "b"].map(|exit| format!("{}{exit} id={exit} exit={exit}\n", key(0)));
        std::fs::write(folder.join("keypool.toml"), exits).expect("a configuration");
        std::fs::write(folder.join("keys.txt"), keys.concat()).expect("a key file");
        command.args(["--db", "none"]);
    });
    for attempts in ["2", "1", "1"] {
        // The request may not be sent twice.
        let answer = gateway.post("/v1beta/models/veo-3:predictLongRunning", &hello()).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-keypool-key")), (200, "b"), "{}", gateway.log());
        assert_eq!(answer.header("x-keypool-attempts"), attempts);
    }
    assert!(gateway.log().contains("exit a"), "{}", gateway.log());
}

#[tokio::test]
async fn gateway_is_not_ready_while_its_store_is_lost() {
    let Some(mut redis) = redis_fixture::RedisServer::start() else { return };
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let url = redis.url();
    let [closed, open] = ["fail_closed", "fail_open"].map(|way| {
        Gateway::start_with(&upstream.url, 1, |command, _| {
            command.args(["--db", "none"]).env("KEYPOOL_REDIS_URL", &url);
            command.env("KEYPOOL__STORE__ON_STORE_LOSS", way).env("KEYPOOL__STORE__NAMESPACE", way);
        })
    });
    let until = async |gateway: &Gateway, status: u16| {
        gateway.eventually(async || gateway.get("/readyz").await.status == status).await;
    };
    until(&closed, 200).await;
    redis.kill();
    until(&closed, 503).await;
    assert!(closed.get("/readyz").await.text().contains("the store is unavailable"));
    let refused = closed.post("/v1beta/models/gemini-2.5-flash:generateContent", &serde_json::json!({})).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "1"), "{}", refused.text());
    open.wait_for_log("the store is unavailable").await;
    assert_eq!(open.get("/readyz").await.status, 200);
    redis.start_again();
    until(&closed, 200).await;
}
