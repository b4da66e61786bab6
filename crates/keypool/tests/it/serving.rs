//! The whole way: client, gateway, stack, simulator, over real sockets.

use std::time::Duration;

use gemini_sim::{Fault, GeminiSim, Limits, Project, Refusal, Rule};
use http::{Request, StatusCode};
use keypool::gateway::token::PLACEHOLDER;
use serde_json::json;
use tower_keypool::{Key, Models, Priority, Retry};

use crate::{
    dialects::post,
    retold,
    support::{Answer, Served, ask},
};

pub(crate) const ONE: &str = "AIzaSyTEST-serving-key-one-000000000001";
pub(crate) const TWO: &str = "AIzaSyTEST-serving-key-two-000000000002";
pub(crate) const HELLO: &str = r#"{"contents":[{"parts":[{"text":"Hello"}]}]}"#;

fn key(secret: &str, priority: u16) -> Key {
    Key::new(secret).priority(Priority(priority))
}

pub(crate) async fn generate(served: &Served, model: &str) -> Answer {
    let request = Request::post(served.url(&format!("/v1beta/models/{model}:generateContent")))
        .header("x-goog-api-key", PLACEHOLDER)
        .header("content-type", "application/json");
    ask(request, HELLO).await
}

/// `ONE` is suspended there, `TWO` serves.
pub(crate) async fn one_suspended() -> GeminiSim {
    GeminiSim::builder()
        .project(Project::new("1").key(gemini_sim::Key::new(ONE).refused(Refusal::ConsumerSuspended)))
        .project(Project::new("2").key(TWO))
        .start()
        .await
        .unwrap()
}

fn shows(answer: &Answer, secret: &str) -> bool {
    String::from_utf8_lossy(&answer.body).contains(secret) || format!("{:?}", answer.headers).contains(secret)
}

#[tokio::test]
async fn a_bad_key_is_not_seen_by_the_client() {
    let sim = one_suspended().await;
    let served = Served::keys([key(ONE, 0).id("one"), key(TWO, 1).id("two")], &sim.url(), Duration::ZERO).await;

    let first = generate(&served, "gemini-2.5-flash").await;
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!((first.header("x-keypool-key"), first.header("x-keypool-attempts")), ("two", "2"));
    assert_eq!(first.header("x-keypool-model"), "gemini-2.5-flash");
    assert!(!shows(&first, ONE) && !shows(&first, TWO));

    let second = generate(&served, "gemini-2.5-flash").await;
    assert_eq!(second.header("x-keypool-attempts"), "1", "it is known now");
}

#[tokio::test]
async fn when_every_key_is_out_it_says_why_and_until_when() {
    let sim =
        GeminiSim::builder().project(Project::new("1").limits(Limits::none().rpm(2)).key(ONE)).start().await.unwrap();
    let limits = tower_keypool::Limits::new().per_minute(2);
    let served = Served::keys([key(ONE, 0).limits("*", limits)], &sim.url(), Duration::ZERO).await;
    for _ in 0..2 {
        assert_eq!(generate(&served, "gemini-2.5-flash").await.status, StatusCode::OK);
    }
    let answer = generate(&served, "gemini-2.5-flash").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let after: u64 = answer.header("retry-after").parse().unwrap();
    assert!((55..=61).contains(&after), "{after}");
    let error = &answer.json()["error"];
    assert_eq!((error["code"].as_u64(), error["status"].as_str()), (Some(503), Some("UNAVAILABLE")));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("requests/minute") && message.contains("gemini-2.5-flash"), "{message}");
    assert_eq!(sim.report().total.over_limit, 0, "it was known before it was sent");
    assert_eq!(generate(&served, "gemini-2.5-pro").await.status, StatusCode::OK, "another model, another lane");
}

/// `OpenAI`'s and Anthropic's own clients would sleep until then, and say nothing.
#[tokio::test]
async fn a_client_that_would_sleep_for_hours_is_told_not_to() {
    let sim = GeminiSim::builder().project(Project::new("1").limits(Limits::none()).key(ONE)).start().await.unwrap();
    let body =
        json!({ "model": "gemini-2.5-flash", "max_tokens": 9, "messages": [{ "role": "user", "content": "x" }] });
    for (limits, sleeps) in
        [(tower_keypool::Limits::new().per_day(1), true), (tower_keypool::Limits::new().per_minute(1), false)]
    {
        let served = Served::keys([key(ONE, 0).limits("*", limits)], &sim.url(), Duration::ZERO).await;
        assert_eq!(generate(&served, "gemini-2.5-flash").await.status, StatusCode::OK);
        for path in ["/v1/chat/completions", "/v1/messages"] {
            let request = Request::post(served.url(path)).header("x-api-key", PLACEHOLDER);
            let answer = ask(request.header("anthropic-version", "2023-06-01"), body.to_string()).await;
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
            let after: u64 = answer.header("retry-after").parse().unwrap();
            // Just before midnight it is no sleep.
            assert_eq!(answer.header("x-should-retry"), if after > 60 { "false" } else { "" }, "{answer:?}");
            assert!(sleeps || after <= 61, "{after}");
        }
        let native = generate(&served, "gemini-2.5-flash").await;
        assert_eq!((native.status, native.header("x-should-retry")), (StatusCode::SERVICE_UNAVAILABLE, ""));
    }
}

#[tokio::test]
async fn a_time_that_no_key_goes_by_is_told_to_nobody() {
    for (said, ms, told) in [
        ("Thu, 31 Dec 2099 23:59:59 GMT", "x", ""),
        ("2330000000", "x", ""),
        ("30", "172800000", ""),
        ("Tue, 25 Aug 2026 12:00:30 GMT", "30000", "Tue, 25 Aug 2026 12:00:30 GMT"),
        ("30", "30000", "30"),
    ] {
        let body = r#"{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}"#;
        let head = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: application/json\r\n";
        let head = format!("{head}date: Tue, 25 Aug 2026 12:00:00 GMT\r\nretry-after: {said}\r\n");
        let whole = format!("{head}retry-after-ms: {ms}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let (served, _) = retold::over(vec![whole]).await;
        let native = generate(&served, "m").await;
        assert_eq!((native.status.as_u16(), native.header("retry-after")), (400, told), "{native:?}");
        assert_eq!(native.header("retry-after-ms").is_empty(), told.is_empty(), "{native:?}");
        let translated = post(&served, "/v1/chat/completions", &retold::chat(json!({}))).await;
        assert_eq!((translated.status.as_u16(), translated.header("retry-after")), (400, told), "{translated:?}");
    }
}

#[tokio::test]
async fn the_request_that_finds_out_gets_the_503_too() {
    let quota = Project::new("1").limits(Limits::none().rpm(1)).key(ONE);
    let suspended = Project::new("2").key(gemini_sim::Key::new(TWO).refused(Refusal::ConsumerSuspended));
    let sim = GeminiSim::builder().project(quota).project(suspended).start().await.unwrap();
    let served = Served::keys([key(ONE, 0), key(TWO, 1)], &sim.url(), Duration::ZERO).await;
    assert_eq!(generate(&served, "gemini-2.5-flash").await.status, StatusCode::OK);
    // Nobody told the pool of the limit, or of the suspension.
    let answer = generate(&served, "gemini-2.5-flash").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    let after: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=61).contains(&after), "{after}");
    assert_eq!(answer.header("x-keypool-attempts"), "2");
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("next in") && !message.contains("tried already"), "{message}");
}

#[tokio::test]
async fn keys_that_are_all_refused_are_no_fault_of_the_clients() {
    let of = |name: &str, secret, refusal| Project::new(name).key(gemini_sim::Key::new(secret).refused(refusal));
    let paths = ["/v1beta/models/gemini-2.5-flash:generateContent", "/v1/chat/completions", "/v1/messages"];
    // Without a clear reason, from both: it speaks of the request, and neither key rests for it. With one the keys are
    // off, until they are asked once more. A 429 is the keys', however little is said of it.
    for (refusal, comes_back, said) in [
        (Refusal::BadCredentials, false, "the provider does not take the gateway's keys"),
        (Refusal::ApiKeysUnsupported, false, "the provider does not take the gateway's keys"),
        (Refusal::ApiKeyInvalid, true, "no API key may serve gemini-2.5-flash"),
        (Refusal::Exhausted, true, "gemini-2.5-flash"),
    ] {
        for path in paths {
            let (one, two) = (of("1", ONE, refusal.clone()), of("2", TWO, refusal.clone()));
            let sim = GeminiSim::builder().project(one).project(two).start().await.unwrap();
            let served = Served::keys([key(ONE, 0), key(TWO, 0)], &sim.url(), Duration::ZERO).await;
            for stream in [false, true] {
                let native = json!({ "contents": [{ "role": "user", "parts": [{ "text": "Hello" }] }] });
                let other = json!({ "model": "gemini-2.5-flash", "max_tokens": 9, "stream": stream,
                    "messages": [{ "role": "user", "content": "Hello" }] });
                let path = if stream { path.replace(":gen", ":streamGen") } else { path.to_owned() };
                let body = if path.contains("v1beta") { native } else { other };
                let request = Request::post(served.url(&path)).header("x-goog-api-key", PLACEHOLDER);
                let answer = ask(request, body.to_string()).await;
                assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path} {refusal:?}: {answer:?}");
                let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
                assert!(message.contains(said), "{message}");
                assert_eq!(answer.header("retry-after").parse::<u64>().is_ok_and(|after| after > 0), comes_back);
                let vetoed = answer.header("x-should-retry") == "false";
                assert_eq!(vetoed, !comes_back && !path.contains("v1beta"), "{answer:?}");
                assert!(!answer.headers.contains_key("www-authenticate"));
                if !comes_back {
                    let expected = if refusal == Refusal::BadCredentials { "2" } else { "1" };
                    assert_eq!(answer.header("x-keypool-attempts"), expected);
                    assert!(message.contains("none comes back by itself"), "{message}");
                    if path.contains("v1beta") {
                        assert_eq!(answer.json()["error"]["status"], "UNAVAILABLE");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_file_of_nobody_is_tried_nowhere() {
    let sim =
        GeminiSim::builder().project(Project::new("1").key(ONE)).project(Project::new("2").key(TWO)).start().await;
    let sim = sim.unwrap();
    let served = Served::keys([key(ONE, 0), key(TWO, 0)], &sim.url(), Duration::ZERO).await;
    let answer = ask(Request::get(served.url("/v1beta/files/nowhere")).header("x-goog-api-key", PLACEHOLDER), "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
    assert_eq!(sim.report().total.arrivals, 0);
}

#[tokio::test]
async fn busy_keys_come_back_and_the_503_says_so() {
    let hangs = Rule::new(Fault::Hang).times(1);
    let sim = GeminiSim::builder().key(ONE).script([hangs]).start().await.unwrap();
    let served = Served::keys([key(ONE, 0).max_concurrent(1)], &sim.url(), Duration::ZERO).await;
    let answer = while_one_hangs(&served, &sim, 1).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), "1");
    let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.ends_with("1 busy; next when a request under way ends"), "{message}");
    // Whoever held it has left.
    let free = async { while generate(&served, "gemini-2.5-flash").await.status != StatusCode::OK {} };
    tokio::time::timeout(Duration::from_secs(60), free).await.expect("the key comes back");
}

/// What a request is told while another one, which is the n-th there, has no answer.
async fn while_one_hangs(served: &Served, sim: &GeminiSim, arrival: u64) -> Answer {
    let late = async {
        while sim.report().total.arrivals < arrival {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        generate(served, "gemini-2.5-flash").await
    };
    tokio::select! {
        answer = generate(served, "gemini-2.5-flash") => panic!("it does not hang: {answer:?}"),
        answer = late => answer,
    }
}

#[tokio::test]
async fn a_known_time_is_said_also_while_a_key_is_busy() {
    let sim = GeminiSim::builder()
        .project(Project::new("1").key(ONE))
        .project(Project::new("2").key(TWO))
        .script([Rule::new(Fault::Hang).key(0)])
        .start()
        .await
        .unwrap();
    let minute = tower_keypool::Limits::new().per_minute(1);
    let day = tower_keypool::Limits::new().per_day(1);
    // Of a minute the rest of it; of a day no more than a request may take.
    for (limits, expected) in [(minute, 50..=61), (day, 60..=60)] {
        let keys = [key(ONE, 1).max_concurrent(1), key(TWO, 0).limits("*", limits)];
        let served = Served::keys(keys, &sim.url(), Duration::ZERO).await;
        assert_eq!(generate(&served, "gemini-2.5-flash").await.status, StatusCode::OK);
        let answer = while_one_hangs(&served, &sim, sim.report().total.arrivals + 1).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        let after: u64 = answer.header("retry-after").parse().unwrap();
        assert!(expected.contains(&after), "{after}: {answer:?}");
    }
}

#[tokio::test]
async fn keys_that_are_all_disabled_are_not_called_rate_limited() {
    for (refusal, said) in [
        (Refusal::ConsumerSuspended, "1 disabled (suspended); none comes back by itself"),
        // It is tried again after an hour: somebody may have paid.
        (Refusal::PrepayDepleted, "1 disabled (out of credit or quota); next in 3600 s"),
    ] {
        let bad = gemini_sim::Key::new(ONE).refused(refusal);
        let sim = GeminiSim::builder().project(Project::new("1").key(bad)).start().await.unwrap();
        let served = Served::keys([key(ONE, 0)], &sim.url(), Duration::ZERO).await;
        let answer = generate(&served, "gemini-2.5-flash").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert_eq!(message, format!("no API key may serve gemini-2.5-flash: {said}"));
    }
}

#[tokio::test]
async fn a_request_waits_for_a_key_as_long_as_it_may() {
    let sim = GeminiSim::builder().key(ONE).latency(Duration::from_millis(150)).start().await.unwrap();
    let served = Served::keys([key(ONE, 0).max_concurrent(1)], &sim.url(), Duration::from_secs(60)).await;
    let (a, b) = tokio::join!(generate(&served, "gemini-2.5-flash"), generate(&served, "gemini-2.5-flash"));
    assert_eq!((a.status, b.status), (StatusCode::OK, StatusCode::OK));
}

#[tokio::test]
async fn faults_of_the_caller_come_back_as_they_are() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = Served::keys([key(ONE, 0)], &sim.url(), Duration::ZERO).await;
    let missing = generate(&served, "gemini-of-nowhere").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    let request = Request::post(served.url("/v1beta/models/gemini-2.5-flash:generateContent"))
        .header("x-goog-api-key", PLACEHOLDER)
        .header("content-type", "application/json");
    let broken = ask(request, "{").await;
    assert_eq!(broken.status, StatusCode::BAD_REQUEST);
    assert_eq!(broken.header("x-keypool-attempts"), "1");
}

#[tokio::test]
async fn what_binds_the_providers_host_stays_there() {
    let sim = GeminiSim::builder()
        .key(ONE)
        .script([
            Rule::new(Fault::Header("set-cookie".into(), "session={key}".into())),
            Rule::new(Fault::Header("alt-svc".into(), "h3=\":443\"".into())),
            Rule::new(Fault::Header("x-keypool-key".into(), "forged".into())),
        ])
        .start()
        .await
        .unwrap();
    let served = Served::keys([key(ONE, 0).id("one")], &sim.url(), Duration::ZERO).await;
    let answer = generate(&served, "gemini-2.5-flash").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(!answer.headers.contains_key("set-cookie") && !answer.headers.contains_key("alt-svc"));
    assert_eq!(answer.header("x-keypool-key"), "one");
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_502_that_names_the_key_by_id() {
    // A port that nobody listens on.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let pool = tower_keypool::KeyPool::builder(tower_keypool::Gemini::at(&format!("http://{gone}")).unwrap())
        .key(key(ONE, 0).id("one"))
        .build()
        .unwrap();
    let served =
        Served::over(keypool::stack::stack(&pool, Models::new(), Retry::new()), &format!("http://{gone}")).await;
    let answer = tokio::time::timeout(Duration::from_secs(120), generate(&served, "m")).await.unwrap();
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{answer:?}");
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("one"));
    assert!(!shows(&answer, ONE));
}

#[tokio::test]
async fn a_model_that_is_out_gives_way_to_the_next() {
    let project = Project::new("1").limit("gemini-2.5-pro", Limits::zero()).key(ONE);
    let sim = GeminiSim::builder().project(project).start().await.unwrap();
    let pool = tower_keypool::KeyPool::builder(tower_keypool::Gemini::at(&sim.url()).unwrap())
        .key(key(ONE, 0))
        .build()
        .unwrap();
    let fallback = Models::new().for_all(["gemini-2.5-pro", "gemini-2.5-flash"]);
    let served = Served::over(keypool::stack::stack(&pool, fallback, Retry::new()), &sim.url()).await;
    let answer = generate(&served, "gemini-2.5-pro").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.header("x-keypool-model"), "gemini-2.5-flash");
}

#[tokio::test]
async fn exactly_one_credential_leaves_whatever_the_client_sends() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = Served::keys([key(ONE, 0)], &sim.url(), Duration::ZERO).await;
    // The simulator refuses two credentials and none, as the provider does.
    for (name, value) in [
        ("authorization", format!("Bearer {PLACEHOLDER}")),
        ("x-api-key", "anything".to_owned()),
        ("cookie", "key=1".to_owned()),
        ("connection", "x-goog-api-key".to_owned()),
        ("proxy-authorization", "Basic YTpi".to_owned()),
    ] {
        let path = format!("/v1beta/models/gemini-2.5-flash:generateContent?key={PLACEHOLDER}");
        let request = Request::post(served.url(&path))
            .header("x-goog-api-key", PLACEHOLDER)
            .header("content-type", "application/json")
            .header(name, value);
        let answer = ask(request, HELLO).await;
        assert_eq!(answer.status, StatusCode::OK, "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn the_compatible_paths_work_with_a_bearer_token() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = Served::keys([key(ONE, 0)], &sim.url(), Duration::ZERO).await;
    let request = Request::post(served.url("/v1beta/openai/chat/completions"))
        .header("authorization", format!("Bearer {PLACEHOLDER}"))
        .header("content-type", "application/json");
    let body = r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hello"}]}"#;
    let answer = ask(request, body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.header("x-keypool-model"), "gemini-2.5-flash", "found in the body");
}

#[tokio::test]
async fn a_client_of_another_dialect_is_told_in_its_own_shape_that_every_key_is_out() {
    let limits = tower_keypool::Limits::new().per_minute(1);
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = Served::keys([key(ONE, 0).limits("*", limits)], &sim.url(), Duration::ZERO).await;
    let chat = || {
        let request = Request::post(served.url("/v1beta/openai/chat/completions"))
            .header("authorization", format!("Bearer {PLACEHOLDER}"))
            .header("content-type", "application/json");
        ask(request, r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hello"}]}"#)
    };
    assert_eq!(chat().await.status, StatusCode::OK);
    let answer = chat().await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!answer.header("retry-after").is_empty());
    let error = &answer.json()["error"];
    assert_eq!((error["type"].as_str(), error["code"].as_str()), (Some("server_error"), Some("no_available_keys")));
    assert!(error["message"].as_str().unwrap().contains("requests/minute"), "{error}");
}
