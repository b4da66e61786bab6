//! What answers in the place of a model, where it works, and what a model is still at: each is some project's.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use keypool::{
    database::Records,
    gateway::{
        capability::hash_of,
        tenant::{From, Grant},
        token::PLACEHOLDER,
    },
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_keypool::{Gemini, Key, KeyPool};

use crate::support::{Answer, Served, ask};

/// What was made, and with which key.
type Made = Arc<Mutex<Vec<(String, String)>>>;

fn answer(made: &Made, method: &Method, path: &str, key: &str, body: &Value) -> (u16, Value) {
    let mut made = made.lock().unwrap();
    let mut make = |collection: &str| {
        let name = format!("{collection}/n{}", made.len());
        made.push((name.clone(), key.to_owned()));
        name
    };
    let path = path.trim_start_matches("/v1beta/");
    match (method.as_str(), path) {
        ("POST", "agents") => (200, json!({ "id": make("agents"), "object": "agent" })),
        ("POST", "environments") => (200, json!({ "id": make("environments").replace("environments/", "") })),
        ("POST", "models/veo:predictLongRunning") => (200, json!({ "name": make("models/veo/operations") })),
        ("POST", "interactions") => {
            let named = ["agent", "environment"].map(|field| body[field].as_str().unwrap_or_default().to_owned());
            let environment = format!("environments/{}", named[1]);
            let seen = |name: &str| made.iter().any(|(known, of)| known == name && of == key);
            let own = ["", "deep-research"].contains(&&*named[0]) || seen(&named[0]);
            if !own || (!named[1].is_empty() && !seen(&environment)) {
                return (
                    404,
                    json!({ "error": { "code": 404, "status": "NOT_FOUND", "message": "Requested entity was not found." } }),
                );
            }
            let works_in = format!("n{}", made.len());
            made.push((format!("environments/{works_in}"), key.to_owned()));
            (200, json!({ "id": "i1", "object": "interaction", "environment_id": works_in }))
        }
        ("GET", "models/veo/operations") => {
            let own = made.iter().filter(|(name, of)| of == key && name.starts_with("models/veo/operations/"));
            let own: Vec<Value> = own.map(|(name, _)| json!({ "name": name, "done": true })).collect();
            (200, json!({ "operations": own }))
        }
        ("GET", name) if made.iter().any(|(known, of)| known == name && of == key) => (200, json!({ "id": name })),
        _ => (
            404,
            json!({ "error": { "code": 404, "status": "NOT_FOUND", "message": "Requested entity was not found." } }),
        ),
    }
}

async fn provider() -> String {
    let (listener, made) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Made::default());
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let made = Arc::clone(&made);
            let service = service_fn(move |request: Request<Incoming>| {
                let made = Arc::clone(&made);
                async move {
                    let (parts, body) = request.into_parts();
                    let body = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap_or_default();
                    let key = parts.headers["x-goog-api-key"].to_str().unwrap().to_owned();
                    let (status, told) = answer(&made, &parts.method, parts.uri.path(), &key, &body);
                    let response = Response::builder().status(status).header("content-type", "application/json");
                    Ok::<_, Infallible>(response.body(Full::<Bytes>::from(told.to_string())).unwrap())
                }
            });
            tokio::spawn(async move {
                let builder = auto::Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    url
}

async fn call(served: &Served, token: &str, method: Method, path: &str, body: Value) -> Answer {
    let request = Request::builder().method(method).uri(served.url(path)).header("x-goog-api-key", token);
    let body = if body.is_null() { String::new() } else { body.to_string() };
    ask(request.header("content-type", "application/json"), body).await
}

#[tokio::test]
async fn who_answers_and_where_is_found_again_and_is_nobody_elses() {
    let url = provider().await;
    let keys = ["one", "two", "three"].map(|id| Key::new(format!("AIzaSyA-not-a-real-key-{id:-<16}")).id(id));
    let pool = KeyPool::builder(Gemini::at(&url).unwrap()).keys(keys).wait(Duration::ZERO).build().unwrap();
    let (served, tenants) = Served::kept(&pool, &url, Records::default()).await;
    let grant = Grant { name: "bob".into(), token_hash: hash_of(b"kp-bob"), ..Grant::default() };
    tenants.set(From::Commands, vec![grant]);
    let post = async |token: &str, path: &str, body: Value| call(&served, token, Method::POST, path, body).await;
    let get = async |token: &str, path: &str| call(&served, token, Method::GET, path, Value::Null).await;
    let mut at_work = Vec::new();
    for _ in 0..6 {
        let agent = post(PLACEHOLDER, "/v1beta/agents", json!({})).await.json()["id"].clone();
        let place = post(PLACEHOLDER, "/v1beta/environments", json!({})).await.json()["id"].clone();
        let asked = json!({ "agent": agent, "input": "x" });
        let done = post(PLACEHOLDER, "/v1beta/interactions", asked.clone()).await;
        assert_eq!(done.status, StatusCode::OK, "{done:?}");
        assert_eq!(post("kp-bob", "/v1beta/interactions", asked).await.status, StatusCode::NOT_FOUND);
        let there = json!({ "environment": place, "input": "x" });
        assert_eq!(post(PLACEHOLDER, "/v1beta/interactions", there).await.status, StatusCode::OK);
        let works_in = done.json()["environment_id"].as_str().unwrap().to_owned();
        let path = format!("/v1beta/environments/{works_in}");
        assert_eq!(get(PLACEHOLDER, &path).await.status, StatusCode::OK);
        assert_eq!(get("kp-bob", &path).await.status, StatusCode::NOT_FOUND);
        // The provider's own are anybody's to ask.
        for token in [PLACEHOLDER, "kp-bob"] {
            let asked = json!({ "agent": "deep-research", "input": "x" });
            assert_eq!(post(token, "/v1beta/interactions", asked).await.status, StatusCode::OK);
        }
        let operation = post(PLACEHOLDER, "/v1beta/models/veo:predictLongRunning", json!({})).await;
        at_work.push(operation.json()["name"].as_str().unwrap().to_owned());
    }
    // What a model is still at, over all owners.
    let listed = get(PLACEHOLDER, "/v1beta/models/veo/operations").await;
    let mut told: Vec<String> = listed.json()["operations"]
        .as_array()
        .unwrap_or_else(|| panic!("{listed:?}"))
        .iter()
        .map(|operation| operation["name"].as_str().unwrap().to_owned())
        .collect();
    told.sort_unstable();
    at_work.sort_unstable();
    assert_eq!(told, at_work);
    let none = get("kp-bob", "/v1beta/models/veo/operations").await;
    assert!(none.status == StatusCode::OK && !none.json().to_string().contains("operations/"), "{none:?}");
    for path in ["/v1beta/environments:list", "/v1beta/files:list", "/v1beta/openai/responses/r1"] {
        assert_eq!(get("kp-bob", path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}
