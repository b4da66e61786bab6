//! Several providers behind one gateway: by path and by model.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use keypool::{
    gateway::{Aliases, dialect::Dialect, route::Beside, token::PLACEHOLDER},
    outgoing::Outgoing,
};
use serde_json::{Value, json};
use tower::{Service, service_fn};
use tower_keypool::Error;

use crate::support::{Answer, Served, ask};

/// A stack that says which one it is, and what it got.
fn stack(
    name: &'static str,
) -> impl Service<Request<Outgoing>, Response = Response<Full<Bytes>>, Error = Error, Future: Send> + Clone + Send + Sync
{
    service_fn(move |request: Request<Outgoing>| async move {
        let (head, body) = request.into_parts();
        let told_length = body.size_hint().exact();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(told_length, Some(body.len() as u64));
        let told = json!({
            "name": name, "uri": head.uri.to_string(), "body": String::from_utf8_lossy(&body),
            "version": head.headers.get("anthropic-version").map(|version| version.to_str().unwrap()),
        });
        Ok(Response::builder().header("set-cookie", "a=b").body(Full::from(told.to_string())).unwrap())
    })
}

async fn served() -> Served {
    let other = |name: &'static str, dialect, models: &[&str]| Beside {
        name: name.to_owned(),
        dialect,
        models: models.iter().map(|&model| model.to_owned()).collect(),
        stack: stack(name),
        pool: None,
        aliases: Aliases::default(),
    };
    let others = vec![
        other("open", Dialect::OpenAi, &["gpt-*", "whisper-1"]),
        other("claude", Dialect::Anthropic, &["claude-*"]),
        other("more", Dialect::Gemini, &["gemini-of-more"]),
    ];
    Served::among(stack("own"), others).await
}

async fn post(served: &Served, path: &str, body: &Value) -> Answer {
    let request = Request::post(served.url(path))
        .header("authorization", format!("Bearer {PLACEHOLDER}"))
        .header("anthropic-version", "2026-10-21")
        .header("content-type", "application/json");
    ask(request, body.to_string()).await
}

#[tokio::test]
async fn by_the_model_that_is_asked_for() {
    let served = served().await;
    for (path, model, name, uri) in [
        ("/v1/chat/completions", "gpt-5", "open", "/v1/chat/completions"),
        ("/openai/chat/completions?a=b", "gpt-5", "open", "/v1/chat/completions?a=b"),
        ("/openai/v1/responses", "gpt-5", "open", "/v1/responses"),
        ("/v1/completions", "gpt-5", "open", "/v1/completions"),
        ("/v1/embeddings", "gpt-embedding", "open", "/v1/embeddings"),
        ("/v1/messages?beta=true", "claude-x", "claude", "/v1/messages?beta=true"),
        ("/anthropic/v1/messages/count_tokens", "claude-x", "claude", "/v1/messages/count_tokens"),
    ] {
        let body = json!({ "unknown": [{ "model": "no" }], "model": model });
        let answer = post(&served, path, &body).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (StatusCode::OK, ""), "{answer:?}");
        let told = answer.json();
        assert_eq!((&told["name"], &told["uri"]), (&json!(name), &json!(uri)), "{path}");
        // Byte for byte, whatever is in it.
        assert_eq!(told["body"], body.to_string());
        assert_eq!(told["version"], "2026-10-21");
    }
    // In another dialect than the model's provider has.
    let message = json!([{ "role": "user", "content": "x" }]);
    let refused = post(&served, "/v1/chat/completions", &json!({ "model": "claude-x", "messages": message })).await;
    assert_eq!((refused.status, &refused.json()["error"]["param"]), (StatusCode::BAD_REQUEST, &json!("model")));
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("/to/claude/"));
    // Translated, to the gateway's own provider or another of its kind: none of these stacks answers as Gemini does.
    for (model, name) in [("gemini-2.5-flash", "own"), ("gemini-of-more", "more")] {
        let answer = post(&served, "/v1/chat/completions", &json!({ "model": model, "messages": message })).await;
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn by_a_path() {
    let served = served().await;
    for (path, name, uri) in [
        ("/to/open/v1/moderations?a=b", "open", "/v1/moderations?a=b"),
        ("/to/claude/v1/messages/batches", "claude", "/v1/messages/batches"),
        ("/to/more/v1beta/models/m:generateContent", "more", "/v1beta/models/m:generateContent"),
    ] {
        let told = post(&served, path, &json!({ "model": "gemini-2.5-flash" })).await.json();
        assert_eq!((&told["name"], &told["uri"]), (&json!(name), &json!(uri)), "{path}");
    }
    let nobody = post(&served, "/to/nobody/v1/models", &json!({ "model": "gemini-2.5-flash" })).await;
    assert_eq!(nobody.status, StatusCode::NOT_FOUND, "{nobody:?}");
    // A refusal in the dialect of the one that was named; and this gateway's own paths are not behind it.
    let request = Request::post(served.url("/to/claude/v1/messages")).header("authorization", "Bearer wrong");
    let refused = ask(request, "{}").await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.json()["error"]["type"], "authentication_error");
    let upload = post(&served, "/to/more/upload/v1beta/files", &json!({})).await;
    assert_eq!(upload.status, StatusCode::NOT_FOUND, "{upload:?}");
    let told = post(&served, "/to/open/-/metrics", &json!({})).await.json();
    assert_eq!((&told["name"], &told["uri"]), (&json!("open"), &json!("/-/metrics")));
}

#[tokio::test]
async fn what_is_too_large_to_be_read_is_told_the_path_that_takes_it() {
    let served = served().await;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packer, " ".repeat(33 << 20).as_bytes()).unwrap();
    let request = Request::post(served.url("/v1/audio/transcriptions")).header("content-encoding", "gzip");
    let request = request.header("authorization", format!("Bearer {PLACEHOLDER}"));
    let answer = ask(request.header("content-type", "application/json"), packer.finish().unwrap()).await;
    let why = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!((answer.status, why.contains("/to/open/")), (StatusCode::PAYLOAD_TOO_LARGE, true), "{why}");
}
