//! What the gateway tells of itself.
#![expect(clippy::float_cmp, reason = "counts are whole numbers")]

use std::time::Duration;

use bytes::Bytes;
use gemini_sim::{Fault, GeminiSim, Project, Rule};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use keypool::{
    gateway::token::PLACEHOLDER,
    status::{Standing, StoreHealth},
};
use tower_keypool::{Gemini, Key, KeyId, KeyPool, ManualClock, Priority, Scope, Until, Verdict, VerdictKind};

use crate::{
    exposition::Exposition,
    serving::{HELLO, ONE, TWO, one_suspended},
    support::{Answer, Served, ask, client, echo, noon, raw},
};

const GENERATE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";

fn key(secret: &str, id: &str, priority: u16) -> Key {
    Key::new(secret).id(id).priority(Priority(priority))
}

fn request(served: &Served) -> http::request::Builder {
    Request::post(served.url(GENERATE)).header("x-goog-api-key", PLACEHOLDER).header("content-type", "application/json")
}

async fn get(served: &Served, path: &str) -> Answer {
    ask(Request::get(served.url(path)), "").await
}

#[tokio::test]
async fn a_scrape_tells_of_pool_and_gateway() {
    let sim = one_suspended().await;
    let keys = [key(ONE, "one", 0).owner("a"), key(TWO, "two", 10)];
    let served = Served::keys(keys, &sim.url(), Duration::ZERO).await;
    for _ in 0..3 {
        assert_eq!(ask(request(&served), HELLO).await.status, StatusCode::OK);
    }
    assert_eq!(ask(Request::get(served.url("/v1beta/models")), "").await.status, StatusCode::UNAUTHORIZED);

    let seen = Exposition::of(&served).await;
    assert_eq!(seen.value("keypool_keys", &[("state", "available")]), 1.0);
    assert_eq!(seen.value("keypool_keys", &[("state", "disabled")]), 1.0);
    assert_eq!(seen.value("keypool_disabled_keys", &[("scope", "owner"), ("verdict", "suspended")]), 1.0);
    assert_eq!(seen.value("keypool_key_state", &[("key", "one"), ("state", "disabled")]), 1.0);
    let ends = seen.value("keypool_key_rest_until_timestamp_seconds", &[("key", "one"), ("scope", "owner")]);
    assert_eq!(ends, f64::INFINITY);
    assert_eq!(seen.value("keypool_requests_total", &[]), 4.0);
    assert_eq!(seen.value("keypool_verdicts_total", &[("verdict", "success")]), 3.0);
    assert_eq!(seen.value("keypool_key_requests_total", &[("key", "two")]), 3.0);
    assert_eq!(seen.value("keypool_lane_requests_total", &[("lane", "gemini-2.5-flash")]), 4.0);
    assert_eq!(seen.value("keypool_spills_total", &[]), 3.0);
    assert_eq!(seen.value("keypool_store_up", &[]), 1.0);

    let answered =
        |outcome, status| seen.value("keypool_gateway_requests_total", &[("outcome", outcome), ("status", status)]);
    assert_eq!((answered("answered", "2xx"), answered("refused", "4xx")), (3.0, 1.0));
    assert_eq!(seen.value("keypool_gateway_requests_in_flight", &[]), 0.0);
    assert_eq!(seen.value("keypool_gateway_request_duration_seconds_count", &[]), 3.0);
    assert_eq!(seen.value("keypool_gateway_request_attempts_sum", &[]), 4.0);
    assert_eq!(seen.value("keypool_gateway_request_attempts_bucket", &[("le", "1.0")]), 2.0);
    assert_eq!(seen.value("keypool_gateway_request_bytes_total", &[]), 3.0 * HELLO.len() as f64);
    assert!(seen.value("keypool_gateway_response_bytes_total", &[]) > 300.0);
    assert_eq!(seen.value("keypool_upstream_attempts_total", &[("status", "2xx")]), 3.0);
    assert_eq!(seen.value("keypool_upstream_attempts_total", &[("status", "4xx")]), 1.0);
    assert_eq!(seen.value("keypool_upstream_time_to_first_byte_seconds_count", &[]), 4.0);
    assert_eq!(seen.value("keypool_upstream_duration_seconds_count", &[]), 4.0);
    for secret in [ONE, TWO, PLACEHOLDER] {
        assert!(!seen.text.contains(secret));
    }
}

#[tokio::test]
async fn a_model_that_only_a_caller_knows_has_no_series() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = Served::keys([key(ONE, "one", 0)], &sim.url(), Duration::ZERO).await;
    let path = "/v1beta/models/made-up:generateContent";
    let asked = Request::post(served.url(path)).header("x-goog-api-key", PLACEHOLDER);
    assert_eq!(ask(asked, HELLO).await.status, StatusCode::NOT_FOUND);
    assert_eq!(ask(request(&served), HELLO).await.status, StatusCode::OK);
    let seen = Exposition::of(&served).await;
    assert!(!seen.text.contains("made-up"), "{}", seen.text);
    assert_eq!(seen.value("keypool_requests_total", &[]), 2.0, "it counts all the same");
    assert_eq!(seen.value("keypool_lane_requests_total", &[("lane", "gemini-2.5-flash")]), 1.0);
}

#[tokio::test]
async fn each_way_to_end_is_counted_as_what_it_is() {
    let sim = GeminiSim::builder()
        .project(Project::new("1").key(ONE))
        .script([
            Rule::new(Fault::ResetAfter(500)).model("gemini-2.5-pro"),
            Rule::new(Fault::Hang).model("gemini-2.5-flash-lite"),
        ])
        .start()
        .await
        .unwrap();
    let limits = tower_keypool::Limits::new().per_minute(1);
    let served =
        Served::keys([key(ONE, "one", 0).limits("gemini-2.5-flash", limits)], &sim.url(), Duration::ZERO).await;
    assert_eq!(ask(request(&served), HELLO).await.status, StatusCode::OK);
    assert_eq!(ask(request(&served), HELLO).await.status, StatusCode::SERVICE_UNAVAILABLE);

    let to = |model: &str| {
        Request::post(served.url(&format!("/v1beta/models/{model}:streamGenerateContent?alt=sse")))
            .header("x-goog-api-key", PLACEHOLDER)
            .body(Full::<Bytes>::from(HELLO))
            .unwrap()
    };
    // Behind its first event. The head may be lost with the connection.
    if let Ok(cut) = client().request(to("gemini-2.5-pro")).await {
        assert!(cut.into_body().collect().await.is_err());
    }
    let before = sim.report().total.arrivals;
    let arrives = async {
        while sim.report().total.arrivals == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        answer = client().request(to("gemini-2.5-flash-lite")) => panic!("it hangs: {answer:?}"),
        () = arrives => {}
    }
    let whole = client().request(to("gemini-2.0-flash")).await.unwrap();
    assert!(whole.into_body().collect().await.is_ok());

    let count = async |outcome, status| {
        let seen = Exposition::of(&served).await;
        let labels = [("outcome", outcome), ("status", status)];
        seen.find("keypool_gateway_requests_total", &labels).map(|(_, count)| count).sum::<f64>()
    };
    // That a client has left is seen a little later.
    for _ in 0..3_000 {
        if count("abandoned", "none").await > 0.0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for (outcome, status, expected) in
        [("answered", "2xx", 2.0), ("exhausted", "5xx", 1.0), ("broken", "2xx", 1.0), ("abandoned", "none", 1.0)]
    {
        assert_eq!(count(outcome, status).await, expected, "{outcome}");
    }
    let seen = Exposition::of(&served).await;
    assert_eq!(seen.value("keypool_gateway_requests_in_flight", &[]), 0.0);
    assert_eq!(seen.value("keypool_gateway_request_attempts_bucket", &[("le", "0.0")]), 1.0, "the one exhausted");
}

#[tokio::test]
async fn ready_as_long_as_some_key_may_come_back() {
    let (one, two) = (KeyId::from("one"), KeyId::from("two"));
    let store = StoreHealth::default();
    let time = ManualClock::at(noon());
    let pool = KeyPool::builder(Gemini::at("http://127.0.0.1:9").unwrap())
        .keys([key(ONE, "one", 0), key(TWO, "two", 0)])
        .clock(time.clock())
        .build()
        .unwrap();
    let served = Served::pool(&pool, "http://127.0.0.1:9", store.clone()).await;
    let ready = async || {
        let answer = get(&served, "/-/ready").await;
        (answer.status.as_u16(), String::from_utf8(answer.body.to_vec()).unwrap())
    };
    assert_eq!(ready().await, (200, "ready\n".to_owned()));
    pool.disable(&one, "by hand").unwrap();
    assert_eq!(ready().await.0, 200);
    let lease = pool.try_acquire("gemini-2.5-flash").unwrap();
    lease.judge(&Verdict::new(VerdictKind::RateLimited).scope(Scope::Key).until(Until::For(Duration::from_secs(600))));
    drop(lease);
    assert_eq!(pool.snapshot().resting_keys, 1);
    assert_eq!(ready().await.0, 200, "it comes back by itself");
    pool.disable(&two, "by hand").unwrap();
    assert_eq!(ready().await, (503, "not ready: every key is disabled\n".to_owned()));
    assert_eq!(get(&served, "/-/health").await.status, StatusCode::OK, "the process lives");

    pool.enable(&one).unwrap();
    time.advance(Duration::from_secs(2));
    assert_eq!(ready().await.0, 200);
    store.set(Standing::Grace);
    assert_eq!(ready().await.0, 200);
    assert_eq!(Exposition::of(&served).await.value("keypool_store_up", &[]), 0.0);
    store.set(Standing::Lost);
    assert_eq!(ready().await, (503, "not ready: the store is lost\n".to_owned()));
    store.set(Standing::Reachable);
    assert_eq!(ready().await.0, 200);
}

/// In the older text form, by which a family is called as its samples are.
#[tokio::test]
async fn metrics_are_told_plainly_to_whoever_takes_no_more() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = Served::keys([key(ONE, "one", 0)], &sim.url(), Duration::ZERO).await;
    let open = Exposition::of(&served).await;
    let plain = Exposition::plain(&served).await;
    assert!(plain.contains("# TYPE keypool_info gauge\n") && plain.contains("# TYPE keypool_requests_total counter\n"));
    let samples = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(samples(&plain), samples(&open.text));
}

#[tokio::test]
async fn pages_of_ours_are_read_only_and_never_go_upstream() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = Served::keys([key(ONE, "one", 0)], &sim.url(), Duration::ZERO).await;
    for path in ["/-", "/-/", "/-/metrics", "/-/health", "/-/health/", "/-/ready"] {
        assert_eq!(get(&served, path).await.status, StatusCode::OK, "{path}");
    }
    for path in ["/-/other", "/-/metrics/x", "/-//metrics", "/-/../v1beta/models"] {
        let answer = ask(Request::get(served.url(path)).header("x-goog-api-key", PLACEHOLDER), "").await;
        assert!(matches!(answer.status.as_u16(), 400 | 404), "{path}: {answer:?}");
    }
    let answer = ask(Request::post(served.url("/-/metrics")), "").await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "GET, HEAD"));
    let head = ask(Request::head(served.url("/-/health")), "").await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(sim.report().total.arrivals, 0);
}

#[tokio::test]
async fn attempts_of_what_cannot_be_translated_are_counted_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 6\r\n\r\n<html>";
            tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 4096]).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
        }
    });
    let served = Served::keys([key(ONE, "one", 0)], &url, Duration::ZERO).await;
    let request =
        Request::post(served.url("/v1/chat/completions")).header("authorization", format!("Bearer {PLACEHOLDER}"));
    let answer = ask(request, r#"{"model":"m","messages":[{"role":"user","content":"x"}]}"#).await;
    // A web page is asked for again, as of what is passed on.
    assert_eq!((answer.status.as_u16(), answer.header("x-keypool-attempts")), (502, "4"), "{answer:?}");
    let seen = Exposition::of(&served).await;
    assert_eq!(seen.value("keypool_gateway_request_attempts_count", &[]), 1.0);
    assert_eq!(seen.value("keypool_gateway_request_attempts_sum", &[]), 4.0);
}

#[tokio::test]
async fn probes_need_no_name_and_metrics_do() {
    let served = Served::keys([key(ONE, "one", 0)], "http://127.0.0.1:9", Duration::ZERO).await;
    let status = async |path: &str, more: &str| {
        let answer = raw(served.address, &format!("GET {path} HTTP/1.1\r\n{more}connection: close\r\n\r\n")).await;
        answer.split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(status("/-/health", "host: balancer.example\r\n").await, "200");
    assert_eq!(status("/-/ready", "host: balancer.example\r\n").await, "200");
    assert_eq!(status("/-/metrics", "host: evil.example\r\n").await, "421");
    assert_eq!(status("/-/metrics", "host: localhost\r\norigin: http://evil.example\r\n").await, "403");
    assert_eq!(status("/-/metrics", "host: localhost\r\n").await, "200");
    // Through a proxy on this machine: whoever asks is not on it.
    let token = format!("authorization: Bearer {PLACEHOLDER}\r\n");
    for proxied in ["host: pool.example\r\n", "host: localhost\r\nx-forwarded-for: 192.0.2.1\r\n"] {
        assert_eq!(status("/-/metrics", proxied).await, "401", "{proxied}");
        assert_eq!(status("/-/metrics", &format!("{proxied}{token}")).await, "200", "{proxied}");
    }
}

#[tokio::test]
async fn the_root_leads_here_only_where_it_would_be_refused() {
    let served = Served::keys([key(ONE, "one", 0)], "http://127.0.0.1:9", Duration::ZERO).await;
    let answer = get(&served, "/").await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (302, "/-/"));
    let with_token = ask(Request::get(served.url("/")).header("x-goog-api-key", PLACEHOLDER), "").await;
    assert_eq!(with_token.status, StatusCode::BAD_GATEWAY, "it went upstream, where nobody is");
    assert_eq!(get(&served, "/?key=wrong").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(Request::post(served.url("/")), "").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_gateway_that_tells_nothing_passes_every_path_on() {
    let served = Served::over(tower::service_fn(echo), "http://127.0.0.1:9").await;
    let answer = ask(Request::get(served.url("/-/metrics")).header("x-goog-api-key", PLACEHOLDER), "").await;
    assert_eq!(answer.json()["uri"], "/-/metrics");
}
