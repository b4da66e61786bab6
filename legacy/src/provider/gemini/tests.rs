use http::{Method, Request};
use serde_json::Value;

use super::*;
use crate::provider::ModelIn;

fn head(uri: &str) -> Parts {
    Request::post(uri).body(()).unwrap().into_parts().0
}

fn injected(uri: &str) -> Parts {
    let gemini = Gemini::new();
    let mut head = head(uri);
    for name in ["authorization", "x-goog-api-key", "x-api-key", "cookie"] {
        head.headers.insert(name, "of-the-caller".parse().unwrap());
    }
    gemini.strip(&mut head);
    gemini.inject(&mut head, &gemini.prepare("AQ.not-a-real-key").unwrap()).unwrap();
    head
}

#[test]
fn exactly_one_credential_leaves() {
    let native = injected("/v1beta/models/m:generateContent?key=x&alt=sse");
    assert_eq!(native.headers.len(), 1);
    assert_eq!(native.headers["x-goog-api-key"], "AQ.not-a-real-key");
    assert!(native.headers["x-goog-api-key"].is_sensitive());
    assert_eq!(native.uri, "/v1beta/models/m:generateContent?alt=sse");
    let compat = injected("/v1beta/openai/chat/completions");
    assert_eq!(compat.headers.len(), 1);
    assert_eq!(compat.headers["authorization"], "Bearer AQ.not-a-real-key");
    assert!(compat.headers["authorization"].is_sensitive());
    assert_eq!(injected("/upload/v1beta/files").headers["x-goog-api-key"], "AQ.not-a-real-key");
}

#[test]
fn another_model_keeps_query_and_host() {
    let gemini = Gemini::new();
    let mut native = head("https://h:1/v1beta/models/a:streamGenerateContent?alt=sse");
    assert_eq!(gemini.retarget(&mut native, "b"), Retarget::Done);
    assert_eq!(native.uri, "https://h:1/v1beta/models/b:streamGenerateContent?alt=sse");
    assert_eq!(gemini.retarget(&mut head("/v1beta/openai/chat/completions"), "b"), Retarget::InBody);
    assert_eq!(gemini.retarget(&mut head("/v1beta/interactions"), "b"), Retarget::InBody);
    for path in
        ["/v1beta/cachedContents", "/v1beta/openai/embeddings", "/v1beta/models/a:embedContent", "/v1beta/files"]
    {
        let mut unchanged = head(path);
        assert_eq!(gemini.retarget(&mut unchanged, "b"), Retarget::No, "{path}");
        assert_eq!(unchanged.uri, path);
    }
    // In the place of another name for it, it stands there too.
    for (path, resolved, target) in [
        ("/v1beta/cachedContents", Retarget::InBodyBehind("models/"), "/v1beta/cachedContents"),
        ("/v1beta/openai/embeddings", Retarget::InBody, "/v1beta/openai/embeddings"),
        ("/v1beta/models/a:embedContent", Retarget::Done, "/v1beta/models/b:embedContent"),
        ("/v1beta/models/a:predict", Retarget::Done, "/v1beta/models/b:predict"),
        ("/v1beta/files", Retarget::No, "/v1beta/files"),
    ] {
        let mut head = head(path);
        assert_eq!((gemini.resolve(&mut head, "b"), head.uri.path()), (resolved, target), "{path}");
    }
}

#[test]
fn one_lane_for_every_spelling() {
    let gemini = Gemini::new();
    assert_eq!(gemini.lane("models/gemini-x"), gemini.lane("gemini-x"));
    assert_eq!(gemini.asks(&head("/v1/models/models%2Fgemini-x:y")).model, ModelIn::Head("gemini-x".into()));
    assert!(gemini.known_limits("models/gemini-2.5-flash", &Tier::Free).is_some());
    assert!(gemini.without_known_limits().known_limits("gemini-2.5-flash", &Tier::Free).is_none());
}

#[test]
fn a_base_of_its_own() {
    let gemini = Gemini::at("http://127.0.0.1:1234/g/").unwrap();
    assert_eq!(gemini.base().to_string(), "http://127.0.0.1:1234/g");
    let mut compat = head("/g/v1beta/openai/chat/completions");
    assert_eq!(gemini.asks(&compat).model, ModelIn::Body);
    gemini.inject(&mut compat, &gemini.prepare("k").unwrap()).unwrap();
    assert!(compat.headers.contains_key("authorization"));
    assert!(Gemini::at("127.0.0.1:1234").is_err());
    let list = Request::builder().method(Method::GET).uri("/g/v1beta/models").body(()).unwrap().into_parts().0;
    assert!(gemini.asks(&list).free);
}

#[test]
fn its_own_errors_have_its_shape() {
    let body =
        Gemini::new().error_body(StatusCode::SERVICE_UNAVAILABLE, "all out", Some(Duration::from_millis(11_200)));
    let json: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&json["error"]["code"], &json["error"]["status"]), (&json!(503), &json!("UNAVAILABLE")));
    assert_eq!(json["error"]["details"][0]["retryDelay"], "12s");
    for (status, name) in [(400, "INVALID_ARGUMENT"), (401, "UNAUTHENTICATED"), (403, "PERMISSION_DENIED")] {
        let body = Gemini::new().error_body(StatusCode::from_u16(status).unwrap(), "x", None);
        let json: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&json["error"]["status"], json["error"].get("details")), (&json!(name), None));
    }
    for (status, name) in
        [(404, "NOT_FOUND"), (413, "OUT_OF_RANGE"), (429, "RESOURCE_EXHAUSTED"), (504, "DEADLINE_EXCEEDED")]
    {
        assert_eq!(google_rpc::status_name(status), name);
    }
}
