//! Cached contents and their owners.

use gemini_sim::{GeminiSim, Project};
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::client::{Answer, MODEL, advance, body, generate, prompt, send};

fn sim() -> GeminiSim {
    GeminiSim::builder()
        .project(Project::new("1").key("a"))
        .project(Project::new("2").key("b"))
        .wall("2026-11-20T12:00:00Z".parse().unwrap())
        .build()
}

async fn call(sim: &GeminiSim, method: &str, key: &str, path: &str, value: &Value) -> Answer {
    let request = Request::builder().method(method).uri(format!("/v1beta/{path}"));
    let request = request.header("x-goog-api-key", key);
    send(sim, request.body(body(value)).unwrap()).await
}

fn long() -> Value {
    let mut cache = prompt(&"word ".repeat(1_000));
    cache["model"] = format!("models/{MODEL}").into();
    cache["ttl"] = "300s".into();
    cache
}

#[tokio::test(start_paused = true)]
async fn cache_belongs_to_its_project_and_expires() {
    let sim = sim();
    let made = call(&sim, "POST", "a", "cachedContents", &long()).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.text());
    let cache = made.json();
    assert_eq!(cache["usageMetadata"]["totalTokenCount"], 1_250);
    assert_eq!(cache["expireTime"], "2026-11-20T12:05:00Z");
    let name = cache["name"].as_str().unwrap();
    let none = json!({});
    assert_eq!(call(&sim, "GET", "a", name, &none).await.json(), cache);
    let listed = call(&sim, "GET", "a", "cachedContents", &none).await.json();
    assert_eq!(listed["cachedContents"], json!([cache]));
    assert_eq!(call(&sim, "GET", "b", "cachedContents", &none).await.json(), none);
    for method in ["GET", "PATCH", "DELETE"] {
        let denied = call(&sim, method, "b", name, &none).await;
        assert_eq!(denied.status, StatusCode::FORBIDDEN, "{method}");
        assert_eq!(denied.message(), "CachedContent not found (or permission denied)");
    }

    let mut ask = prompt("1234");
    ask["cachedContent"] = name.into();
    let path = format!("models/{MODEL}:generateContent");
    let usage = call(&sim, "POST", "a", &path, &ask).await.json()["usageMetadata"].clone();
    assert_eq!(usage["cachedContentTokenCount"], 1_250);
    assert_eq!(usage["promptTokenCount"], 1_251);
    let foreign = call(&sim, "POST", "b", &path, &ask).await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);

    advance(299.0).await;
    let longer = call(&sim, "PATCH", "a", name, &json!({ "ttl": "60s" })).await.json();
    assert_eq!(longer["expireTime"], "2026-11-20T12:05:59Z");
    advance(59.0).await;
    assert_eq!(call(&sim, "GET", "a", name, &none).await.status, StatusCode::OK);
    advance(1.0).await;
    assert_eq!(call(&sim, "GET", "a", name, &none).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn small_and_malformed_caches_are_refused() {
    let sim = sim();
    let made = |cache: Value| {
        let sim = &sim;
        async move { call(sim, "POST", "a", "cachedContents", &cache).await }
    };
    let mut small = prompt("x");
    small["model"] = format!("models/{MODEL}").into();
    assert!(made(small).await.message().starts_with("Cached content is too small."));
    let mut unknown = long();
    unknown["model"] = "models/none".into();
    assert_eq!(made(unknown).await.status, StatusCode::NOT_FOUND);
    for (field, value) in [("ttl", "soon"), ("expireTime", "2020-01-01T00:00:00Z")] {
        let mut odd = long();
        odd[field] = value.into();
        assert_eq!(made(odd).await.status, StatusCode::BAD_REQUEST, "{field}");
    }
}

#[tokio::test]
async fn cache_requires_its_model_and_excludes_an_instruction() {
    let sim = sim();
    let made = call(&sim, "POST", "a", "cachedContents", &long()).await.json();
    let mut request = prompt("x");
    request["cachedContent"] = made["name"].clone();
    let other = generate("gemini-2.5-pro").header("x-goog-api-key", "a");
    let refused = send(&sim, other.body(body(&request)).unwrap()).await;
    assert!(refused.message().contains("has to be the same"));
    // Empty values in long form, as google-gemini-php sends them.
    for (field, nothing) in [("systemInstruction", json!(null)), ("toolConfig", json!(null)), ("tools", json!([]))] {
        request[field] = nothing;
    }
    let own = generate(MODEL).header("x-goog-api-key", "a");
    assert_eq!(send(&sim, own.body(body(&request)).unwrap()).await.status, StatusCode::OK);
    request["systemInstruction"] = json!({ "parts": [{ "text": "x" }] });
    let both = generate(MODEL).header("x-goog-api-key", "a");
    let refused = send(&sim, both.body(body(&request)).unwrap()).await;
    assert!(refused.message().starts_with("CachedContent can not be used"));
}
