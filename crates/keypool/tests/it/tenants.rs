//! Tenants: limits, models, expiry and revocation.

use std::{ops::RangeInclusive, pin::pin, time::Duration};

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::json;

use crate::{
    admin::{self, ADMIN},
    hostile::gzip,
    support::{Answer, GENERATE, Gateway, Upstream, hello, reply, sim},
};

fn gateway(upstream: &str, keys: usize, config: &str) -> Gateway {
    Gateway::configured(upstream, keys, &format!("{config}[admin]\ntoken = \"{ADMIN}\"\n"))
}

/// Waits until a tenant with one limit has used this much of it.
async fn wait_for_use(gateway: &Gateway, tenant: &str, used: RangeInclusive<u64>) {
    gateway
        .eventually(async || {
            let shown = admin::ask(gateway, http::Method::GET, "/tenants", serde_json::Value::Null).await.json();
            let shown = shown.as_array().expect("a list").iter().find(|shown| shown["name"] == tenant);
            used.contains(&shown.expect("the tenant")["limits"][0]["used"].as_u64().expect("a number"))
        })
        .await;
}

fn request(path: &str, token: &str) -> Request<Full<bytes::Bytes>> {
    let request = Request::post(path).header("x-goog-api-key", token).header("content-type", "application/json");
    request.body(Full::from(hello().to_string())).expect("a request")
}

async fn ask(gateway: &Gateway, token: &str) -> Answer {
    gateway.send(request(GENERATE, token)).await
}

#[tokio::test]
async fn limit_is_enforced_with_retry_after() {
    let sim = sim(1).await;
    let gateway = gateway(&sim.url(), 1, "[[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\nrpm = 3\n");
    for _ in 0..3 {
        assert_eq!(ask(&gateway, "token-of-a").await.status, 200);
    }
    let refused = ask(&gateway, "token-of-a").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let after: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((50..=62).contains(&after), "{after}");
    assert!(refused.text().contains("its limit of 3 requests per minute"), "{}", refused.text());
    assert_eq!(refused.json()["error"]["status"], "RESOURCE_EXHAUSTED");
    assert_eq!(sim.report().total.accepted, 3);
    assert_eq!(gateway.post(GENERATE, &hello()).await.status, 200, "others are not limited");
}

#[tokio::test]
async fn used_tokens_count_against_the_limit() {
    let usage = json!({ "candidates": [], "usageMetadata": { "promptTokenCount": 90, "candidatesTokenCount": 20, "totalTokenCount": 110 } });
    let upstream = Upstream::start(move |request| {
        if !request.headers().contains_key("accept-encoding") {
            return reply(200, "application/json", usage.to_string());
        }
        let mut response = reply(200, "application/json", gzip(usage.to_string().as_bytes()));
        response.headers_mut().insert("content-encoding", "gzip".parse().expect("a value"));
        response
    })
    .await;
    for accepted in ["identity", "gzip"] {
        let config = "[[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\ntpm = 100\n";
        let gateway = gateway(&upstream.url, 1, config);
        let mut first = request(GENERATE, "token-of-a");
        first.headers_mut().insert("accept-encoding", accepted.parse().expect("a value"));
        assert_eq!(gateway.send(first).await.status, 200);
        wait_for_use(&gateway, "a", 110..=110).await;
        assert_eq!(ask(&gateway, "token-of-a").await.status, StatusCode::TOO_MANY_REQUESTS, "{accepted}");
        // An upload uses no tokens.
        assert_eq!(gateway.send(request("/upload/v1beta/files", "token-of-a")).await.status, 200);
    }
}

#[tokio::test]
async fn used_tokens_count_after_a_restart() {
    let usage =
        r#"{"candidates":[],"usageMetadata":{"promptTokenCount":90,"candidatesTokenCount":20,"totalTokenCount":110}}"#;
    let upstream = Upstream::always(200, "application/json", usage).await;
    let database = tempfile::tempdir().expect("a folder");
    let start = || {
        Gateway::start_with(&upstream.url, 1, |command, folder| {
            let config = "[[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\ntpm = 100\n";
            std::fs::write(folder.join("keypool.toml"), config).expect("a writable file");
            command.arg("--db").arg(database.path().join("keys.db")).args(["--admin-token", ADMIN]);
        })
    };
    let (mut gateway, other) = (start(), start());
    assert_eq!(ask(&gateway, "token-of-a").await.status, 200);
    gateway.signal("TERM");
    assert!(gateway.wait().success());
    let refused = ask(&other, "token-of-a").await.text();
    assert!(refused.contains("its limit of 100 tokens per minute"), "{refused}");
    let gateway = start();
    let shown = admin::ask(&gateway, http::Method::GET, "/tenants", serde_json::Value::Null).await.json();
    let limit = &shown[0]["limits"][0];
    assert_eq!((&limit["limit"], &limit["used"]), (&json!(100), &json!(110)), "{shown}");
    assert_eq!(ask(&gateway, "token-of-a").await.status, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn stream_without_usage_counts_its_events() {
    let event = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word\"}}]}\n\n";
    let upstream = Upstream::always(200, "text/event-stream", event.repeat(60).leak()).await;
    let config = "[[providers]]\nkind = \"openai\"\nkeys = [{ secret = \"sk-not-a-real-key\" }]\nupstream = \"UPSTREAM\"\n\
                  [[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\ntpm = 60\n";
    let gateway = gateway(&upstream.url, 1, &config.replace("UPSTREAM", &upstream.url));
    let body = json!({ "model": "gpt-5", "stream": true, "messages": [{ "role": "user", "content": "Hi" }] });
    let send = async || {
        let request = Request::post("/openai/v1/chat/completions").header("authorization", "Bearer token-of-a");
        let request = request.header("content-type", "application/json").body(Full::from(body.to_string()));
        gateway.send(request.expect("a request")).await.status
    };
    assert_eq!(send().await, StatusCode::OK);
    wait_for_use(&gateway, "a", 60..=99).await;
    assert_eq!(send().await, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn request_that_no_provider_served_uses_no_tokens() {
    let refused = r#"{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}"#;
    let upstream = Upstream::always(400, "application/json", refused).await;
    let config = "[[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\ntpm = 1000\n";
    let text = "some words ".repeat(1_000);
    let gemini = json!({ "contents": [{ "parts": [{ "text": text }] }] });
    let chat = |stream: bool| json!({ "model": "gemini-2.5-flash", "stream": stream, "messages": [{ "role": "user", "content": text }] });
    let embedding = json!({ "model": "gemini-embedding-001", "input": text });
    for (keys, status) in [(1, StatusCode::BAD_REQUEST), (0, StatusCode::SERVICE_UNAVAILABLE)] {
        let gateway = gateway(&upstream.url, keys, config);
        for (path, body) in [
            (GENERATE, &gemini),
            ("/v1/chat/completions", &chat(false)),
            ("/v1/chat/completions", &chat(true)),
            ("/v1/embeddings", &embedding),
            (GENERATE, &gemini),
        ] {
            let request = Request::post(path).header("authorization", "Bearer token-of-a");
            let request = request.header("content-type", "application/json").body(Full::from(body.to_string()));
            let answer = gateway.send(request.expect("a request")).await;
            assert_eq!(answer.status, status, "{path}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn request_counts_only_if_it_was_served_or_the_caller_is_at_fault() {
    let rejected = r#"{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}"#;
    let rejected = Upstream::always(400, "application/json", rejected).await;
    let failing = Upstream::always(500, "application/json", "{}").await;
    let invalid = r#"{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}"#;
    let invalid = Upstream::always(400, "application/json", invalid).await;
    let config = "[[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\nrpm = 1\n";
    let chat = |stream: bool| json!({ "model": "gemini-2.5-flash", "stream": stream, "messages": [{ "role": "user", "content": "a" }] });
    let embedding = json!({ "model": "gemini-embedding-001", "input": "a" });
    // Retries after faults of the provider take seconds.
    for (upstream, keys, counts, paths) in
        [(&rejected, 0, false, 4), (&rejected, 1, false, 4), (&failing, 1, false, 1), (&invalid, 1, true, 4)]
    {
        for (path, body) in [
            (GENERATE, &hello()),
            ("/v1/chat/completions", &chat(false)),
            ("/v1/chat/completions", &chat(true)),
            ("/v1/embeddings", &embedding),
        ]
        .into_iter()
        .take(paths)
        {
            let gateway = gateway(&upstream.url, keys, config);
            for n in 0..2 {
                let request = Request::post(path).header("authorization", "Bearer token-of-a");
                let request = request.header("content-type", "application/json").body(Full::from(body.to_string()));
                let status = gateway.send(request.expect("a request")).await.status;
                let is_refused = status == StatusCode::TOO_MANY_REQUESTS;
                assert_eq!(is_refused, counts && n > 0, "{} {keys} {path} {n}: {status}", upstream.url);
            }
        }
    }
}

#[tokio::test]
async fn files_in_forms_do_not_count_as_text() {
    let upstream = Upstream::always(200, "application/json", r#"{"text":"Hello"}"#).await;
    let config = "[[providers]]\nkind = \"openai\"\nkeys = [{ secret = \"sk-not-a-real-key\" }]\nupstream = \"UPSTREAM\"\n\
                  [[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\ntpm = 100000\n";
    let gateway = gateway(&upstream.url, 1, &config.replace("UPSTREAM", &upstream.url));
    let form = format!(
        "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--b\r\n\
         Content-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\n{}\r\n--b--\r\n",
        "x".repeat(2 << 20)
    );
    let request = Request::post("/openai/v1/audio/transcriptions")
        .header("authorization", "Bearer token-of-a")
        .header("content-type", "multipart/form-data; boundary=b");
    let answer = gateway.send(request.body(Full::from(form)).expect("a request")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn estimate_over_the_limit_waits_for_an_empty_window() {
    let usage = json!({ "candidates": [], "usageMetadata": { "promptTokenCount": 258, "totalTokenCount": 258 } });
    let upstream = Upstream::always(200, "application/json", usage.to_string().leak()).await;
    let config = "[[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\ntpm = 250000\n\
                  [[tenants]]\nname = \"b\"\ntoken = \"token-of-b\"\ntpm = 300\n";
    let gateway = gateway(&upstream.url, 1, config);
    let ask = async |token: &str, part: serde_json::Value| {
        let body = json!({ "contents": [{ "parts": [part] }] }).to_string();
        let request =
            Request::post(GENERATE).header("x-goog-api-key", token).header("content-type", "application/json");
        gateway.send(request.body(Full::from(body)).expect("a request")).await
    };
    let image = json!({ "inlineData": { "mimeType": "image/png", "data": "QUJD".repeat(1 << 19) } });
    for n in 1..=3 {
        let answer = ask("token-of-a", image.clone()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        wait_for_use(&gateway, "a", 258 * n..=258 * n).await;
    }
    let text = json!({ "text": "some words ".repeat(1_000) });
    assert_eq!(ask("token-of-b", text.clone()).await.status, StatusCode::OK);
    wait_for_use(&gateway, "b", 258..=258).await;
    let refused = ask("token-of-b", text).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    let after: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((50..=62).contains(&after), "{after}");
}

#[tokio::test]
async fn maximum_of_simultaneous_requests_is_refused_with_retry_after() {
    let sim = gemini_sim::GeminiSim::builder().key(crate::support::key(0).as_str()).latency(Duration::from_secs(3_600));
    let sim = sim.start().await.expect("a free port");
    let config = "[[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\nmax_concurrent = 1\n";
    let gateway = gateway(&sim.url(), 1, config);
    let second = async {
        gateway.eventually(async || sim.report().total.arrivals == 1).await;
        ask(&gateway, "token-of-a").await
    };
    let second = tokio::select! {
        first = ask(&gateway, "token-of-a") => panic!("{first:?}"),
        second = second => second,
    };
    assert_eq!(second.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(second.header("retry-after"), "1");
}

#[tokio::test]
async fn allowed_models_are_enforced_for_bodies_that_are_too_large_to_read() {
    let upstream = Upstream::always(200, "application/json", r#"{"id":"file-1","text":"Hello"}"#).await;
    let config = "[gateway]\nreplay_mib = 1\n[[providers]]\nkind = \"openai\"\nkeys = [{ secret = \"sk-not-a-real-key\" }]\n\
                  upstream = \"UPSTREAM\"\n\
                  [[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\nmodels = [\"small\"]\n";
    let gateway = gateway(&upstream.url, 1, &config.replace("UPSTREAM", &upstream.url));
    for (path, field, expected) in [
        ("/openai/v1/audio/transcriptions", "model", StatusCode::PAYLOAD_TOO_LARGE),
        ("/openai/v1/files", "purpose", StatusCode::OK),
    ] {
        let form = format!(
            "--b\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\nbig\r\n--b\r\n\
             Content-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\n{}\r\n--b--\r\n",
            "x".repeat(2 << 20)
        );
        let request = Request::post(path)
            .header("authorization", "Bearer token-of-a")
            .header("content-type", "multipart/form-data; boundary=b");
        let response = gateway.send(request.body(Full::from(form)).expect("a request")).await;
        assert_eq!(response.status, expected, "{path}: {}", response.text());
    }
}

#[tokio::test]
async fn request_without_a_readable_model_is_refused_if_models_are_restricted() {
    let upstream = Upstream::always(200, "application/json", r#"{"id":"x","name":"x"}"#).await;
    let config = "[[providers]]\nkind = \"openai\"\nkeys = [{ secret = \"sk-not-a-real-key\" }]\nupstream = \"UPSTREAM\"\n\
                  [[providers]]\nkind = \"anthropic\"\nkeys = [{ secret = \"sk-ant-not-a-real-key\" }]\nupstream = \"UPSTREAM\"\n\
                  [[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\nmodels = [\"small*\"]\n\
                  [[tenants]]\nname = \"b\"\ntoken = \"token-of-b\"\n";
    let gateway = gateway(&upstream.url, 1, &config.replace("UPSTREAM", &upstream.url));
    let send = async |token: &str, path: &str, content_type: &str, body: &str| {
        let request = Request::post(path).header("authorization", format!("Bearer {token}"));
        let request = request.header("content-type", content_type).body(Full::from(body.to_owned()));
        gateway.send(request.expect("a request")).await
    };
    let (json, form) = ("application/json", "multipart/form-data; boundary=b");
    let part = |border: &str, model: &str| {
        format!("--{border}\r\ncontent-disposition: form-data; name=model\r\n\r\n{model}\r\n")
    };
    let two_models = format!("{}{}--b--\r\n", part("b", "small"), part("b", "big"));
    let two_borders = format!("{}--other--\r\n{}--b--\r\n", part("other", "small"), part("b", "big"));
    let twice = r#"{"model":"small","model":"big","messages":[{"role":"user","content":"Hi"}]}"#;
    let with_mark = "\u{feff}{\"model\":\"big\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}";
    let batch = |model: &str| {
        let request =
            |model| json!({ "custom_id": model, "params": { "model": model, "max_tokens": 9, "messages": [] } });
        json!({ "requests": [request("small"), request(model)] }).to_string()
    };
    for (path, body) in [("/v1/chat", twice), ("/v1/chat", with_mark), ("/openai/v1/chat", twice)] {
        let refused = send("token-of-a", &format!("{path}/completions"), json, body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path} {body}: {}", refused.text());
    }
    for (path, content_type, body) in [
        ("/openai/v1/chat/completions", "text/plain", "Hi"),
        ("/v1/audio/transcriptions", form, &*two_models),
        ("/openai/v1/audio/transcriptions", form, &two_models),
        ("/openai/v1/audio/transcriptions", form, &two_borders),
        ("/to/openai/openai/deployments/big/chat/completions", json, r#"{"model":"small","messages":[]}"#),
        ("/to/openai/v1beta/models/big:generateContent", json, r#"{"model":"small"}"#),
        ("/anthropic/v1/messages/batches", json, &batch("big")),
        ("/anthropic/v1/messages/batches", json, r#"{"requests":[{"params":{}}]}"#),
        ("/anthropic/v1/messages/batches", json, r#"{"requests":[],"requests":[{"params":{"model":"big"}}]}"#),
        ("/openai/v1/batches", json, r#"{"input_file_id":"file-1","endpoint":"/v1/chat/completions"}"#),
        ("/openai/v1/threads/t/runs", json, r#"{"assistant_id":"a"}"#),
        ("/v1beta/interactions", json, r#"{"agent":"deep-research","input":"Hi"}"#),
    ] {
        let refused = send("token-of-a", path, content_type, body).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path} {body}: {}", refused.text());
        assert!(refused.text().contains("model"), "{}", refused.text());
    }
    assert_eq!(upstream.requests().len(), 0);
    for (path, content_type, body, status) in [
        ("/openai/v1/chat/completions", json, r#"{"model":"small","messages":[]}"#, 200),
        ("/openai/v1/audio/transcriptions", form, &*format!("{}--b--\r\n", part("b", "small")), 200),
        ("/anthropic/v1/messages/batches", json, &batch("small-2"), 200),
        ("/openai/v1/files", form, &two_models, 200),
        ("/openai/v1/vector_stores", json, "{}", 200),
        ("/v1beta/fileSearchStores", json, "{}", 200),
        // These name no resource of the tenant.
        ("/openai/v1/batches/batch_1/cancel", json, "", 404),
        ("/openai/v1/uploads/upload_1/complete", json, "{}", 404),
        ("/anthropic/v1/messages/batches/msgbatch_1/cancel", json, "", 404),
        ("/v1beta/batches/b:cancel", json, "", 404),
    ] {
        let answer = send("token-of-a", path, content_type, body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    let answer = send("token-of-b", "/v1beta/interactions", json, r#"{"agent":"deep-research","input":"Hi"}"#).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn allowed_models_and_expiry_are_enforced() {
    let sim = sim(1).await;
    let config = "[[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\nmodels = [\"gemini-2.0-*\"]\n\
                  [[tenants]]\nname = \"b\"\ntoken = \"token-of-b\"\nexpires = \"2026-01-01\"\n";
    let gateway = gateway(&sim.url(), 1, config);
    let refused = ask(&gateway, "token-of-a").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.text().contains("gemini-2.5-flash"), "{}", refused.text());
    let allowed = request("/v1beta/models/gemini-2.0-flash:generateContent", "token-of-a");
    assert_eq!(gateway.send(allowed).await.status, 200);
    let expired = ask(&gateway, "token-of-b").await;
    assert_eq!(expired.status, StatusCode::UNAUTHORIZED);
    assert!(expired.text().contains("this token has expired"), "{}", expired.text());
}

#[tokio::test]
async fn stream_of_a_revoked_tenant_ends_with_an_error() {
    let sim = gemini_sim::GeminiSim::builder()
        .key(crate::support::key(0).as_str())
        .chunks(300)
        .chunk_latency(Duration::from_millis(100))
        .start()
        .await
        .expect("a free port");
    let gateway = gateway(&sim.url(), 1, "[[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\n");
    let path = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse";
    let mut answer = gateway.open(request(path, "token-of-a")).await.into_body();
    answer.frame().await.expect("a frame").expect("a frame");
    let write = |config: &str| std::fs::write(gateway.folder.path().join("keypool.toml"), config).expect("written");
    // Changed rights apply from the next request on.
    write("[[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\nmodels = [\"none\"]\n");
    gateway.wait_for_log("configuration reloaded").await;
    assert_eq!(ask(&gateway, "token-of-a").await.status, StatusCode::FORBIDDEN);
    let frame = answer.frame().await.expect("a frame").expect("a frame").into_data().expect("data");
    assert!(!String::from_utf8_lossy(&frame).contains("revoked"), "{frame:?}");
    write("");
    let rest = tokio::time::timeout(Duration::from_secs(20), answer.collect()).await.expect("the end in time");
    let rest = rest.expect("an end").to_bytes();
    assert!(String::from_utf8_lossy(&rest).contains("this token was revoked"), "{rest:?}");
    assert_eq!(ask(&gateway, "token-of-a").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn request_counts_when_it_arrives() {
    let sim = gemini_sim::GeminiSim::builder()
        .key(crate::support::key(0).as_str())
        .latency(Duration::from_secs(3_600))
        .start()
        .await
        .expect("a free port");
    let gateway = Gateway::start_with(&sim.url(), 0, |command, folder| {
        let line = format!("{} id=key-0 max_concurrent=1\n", crate::support::key(0));
        std::fs::write(folder.join("keys.txt"), line).expect("a writable file");
        let config = "[[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\nrpm = 1\n";
        std::fs::write(folder.join("keypool.toml"), config).expect("a writable file");
        command.args(["--db", "none", "--admin-token", ADMIN]);
    });
    let first = hello();
    // It has the only key until the end of the test.
    let mut busy = pin!(gateway.post(GENERATE, &first));
    let waiting = async {
        gateway.eventually(async || sim.report().total.arrivals == 1).await;
        let mut request = request(GENERATE, "token-of-a");
        request.headers_mut().insert("x-keypool-wait", "1m".parse().expect("a value"));
        gateway.send(request).await
    };
    let refused = async {
        wait_for_use(&gateway, "a", 1..=1).await;
        ask(&gateway, "token-of-a").await.status
    };
    let refused = tokio::select! {
        busy = &mut busy => panic!("{busy:?}"),
        waiting = waiting => panic!("{waiting:?}"),
        refused = refused => refused,
    };
    assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(sim.report().total.arrivals, 1, "the counted request waits for the key");
    // The waiting client has left, and nothing was sent.
    wait_for_use(&gateway, "a", 0..=0).await;
}
