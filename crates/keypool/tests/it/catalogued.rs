//! Models as callers of other dialects see them: those of the whole pool, from the list at hand.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use keypool::{database::Records, gateway::token::PLACEHOLDER};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_keypool::{Gemini, Key, KeyPool, Strategy};

use crate::support::{Answer, Served, ask};

const KEYS: [&str; 3] = [
    "AIzaSyTEST-catalogue-key-number-0000000a",
    "AIzaSyTEST-catalogue-key-number-0000000b",
    "AIzaSyTEST-catalogue-key-number-0000000c",
];

/// Each key's project has a model of its own, and one on its second page.
#[derive(Clone, Default)]
struct Provider {
    down: Arc<Mutex<bool>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    async fn start() -> (Self, SocketAddr) {
        let provider = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answering = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let provider = answering.clone();
                let service = service_fn(move |request| {
                    let answer = provider.answer(&request);
                    std::future::ready(Ok::<_, Infallible>(answer))
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        (provider, address)
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        self.asked.lock().unwrap().push(request.uri().to_string());
        let told = |status: u16, body: &Value| {
            let response = Response::builder().status(status).header("content-type", "application/json");
            response.body(Full::from(body.to_string())).unwrap()
        };
        if *self.down.lock().unwrap() {
            return told(500, &json!({ "error": { "code": 500, "message": "down", "status": "INTERNAL" } }));
        }
        let key = request.headers()["x-goog-api-key"].to_str().unwrap();
        let who = key.chars().last().unwrap();
        let model = |name: String| json!({ "name": format!("models/{name}"), "displayName": name, "supportedGenerationMethods": ["generateContent"] });
        let query = request.uri().query().unwrap_or_default();
        let invalid = json!({ "error": { "code": 400, "message": "page token", "status": "INVALID_ARGUMENT" } });
        match (request.uri().path(), query.split_once("pageToken=")) {
            ("/v1beta/models", None) => {
                let models = [model("shared".into()), model(format!("only-{who}"))];
                told(200, &json!({ "models": models, "nextPageToken": format!("of{who}") }))
            }
            ("/v1beta/models", Some((_, token))) if token == format!("of{who}") => {
                told(200, &json!({ "models": [model(format!("second-{who}"))] }))
            }
            ("/v1beta/models", Some(_)) => told(400, &invalid),
            (path, _) if path == format!("/v1beta/models/unlisted-{who}") => {
                told(200, &model(format!("unlisted-{who}")))
            }
            _ => told(
                404,
                &json!({ "error": { "code": 404, "message": "models/x is not found", "status": "NOT_FOUND" } }),
            ),
        }
    }

    /// How often it was asked since the last time.
    fn asked(&self) -> usize {
        std::mem::take(&mut *self.asked.lock().unwrap()).len()
    }
}

async fn get(served: &Served, path: &str) -> Answer {
    let credential = if path.starts_with("/anthropic") { "x-api-key" } else { "authorization" };
    let value = if credential == "x-api-key" { PLACEHOLDER.to_owned() } else { format!("Bearer {PLACEHOLDER}") };
    ask(Request::get(served.url(path)).header(credential, value), "").await
}

#[tokio::test]
async fn models_in_other_dialects_are_the_pools_and_cached() {
    let (provider, address) = Provider::start().await;
    let upstream = format!("http://{address}");
    let keys = KEYS.iter().map(|&key| Key::new(key));
    let pool = KeyPool::builder(Gemini::at(&upstream).unwrap()).keys(keys).strategy(Strategy::RoundRobin);
    let pool = pool.wait(Duration::ZERO).build().unwrap();
    let (served, _) = Served::kept(&pool, &upstream, Records::default()).await;
    let all = ["only-a", "only-b", "only-c", "second-a", "second-b", "second-c", "shared"];
    let lists = ["/v1/models", "/v1/models", "/anthropic/v1/models", "/openai/v1/models?limit=2&after_id=only-a"];
    for (n, path) in lists.into_iter().chain(lists).enumerate() {
        // What the provider says by then changes nothing.
        *provider.down.lock().unwrap() = n >= lists.len();
        let list = get(&served, path).await;
        assert_eq!(list.status, StatusCode::OK, "{list:?}");
        let list = list.json();
        let mut ids: Vec<&str> =
            list["data"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
        ids.sort_unstable();
        assert_eq!(ids, all, "{path}");
        assert_eq!(provider.asked(), if n == 0 { 6 } else { 0 }, "each owner once, both its pages");
        for model in all {
            let front = path.split('?').next().unwrap();
            let one = get(&served, &format!("{front}/{model}")).await;
            assert_eq!((one.status, &one.json()["id"]), (StatusCode::OK, &json!(model)), "{one:?}");
        }
        assert_eq!(provider.asked(), 0, "all of that from the list at hand");
    }
    *provider.down.lock().unwrap() = false;
    let native = ask(Request::get(served.url("/v1beta/models")).header("x-goog-api-key", PLACEHOLDER), "").await;
    assert_eq!((native.json()["models"].as_array().unwrap().len(), provider.asked()), (7, 0), "it is one list");
    let none = get(&served, "/v1/models/none").await;
    assert_eq!((none.status, &none.json()["error"]["code"]), (StatusCode::NOT_FOUND, &json!("model_not_found")));
}

/// What Google's endpoint for `OpenAI`'s clients lists is one key's. It is not asked for that, by whichever path.
#[tokio::test]
async fn models_at_the_compatible_endpoint_are_the_pools_too() {
    let (provider, address) = Provider::start().await;
    let upstream = format!("http://{address}");
    let pool = KeyPool::builder(Gemini::at(&upstream).unwrap()).keys(KEYS.iter().map(|&key| Key::new(key)));
    let pool = pool.wait(Duration::ZERO).build().unwrap();
    let (served, _) = Served::kept_compatible(&pool, &upstream, false).await;
    for path in ["/v1/models", "/openai/v1/models", "/v1beta/openai/models", "/gemini/v1beta/openai/models"] {
        let list = get(&served, path).await;
        let ids = list.json()["data"].as_array().map_or(0, Vec::len);
        assert_eq!((list.status, ids), (StatusCode::OK, 7), "{path}: {list:?}");
        let as_googles = |one: &Value| one["id"].as_str().is_some_and(|id| id.starts_with("models/"));
        assert!(list.json()["data"].as_array().unwrap().iter().all(as_googles), "{path}: {list:?}");
        for name in ["only-b", "models/only-b"] {
            let one = get(&served, &format!("{path}/{name}")).await;
            assert_eq!(one.json()["id"], "models/only-b", "{path}: {one:?}");
        }
    }
    // Others' clients are not asked of that endpoint.
    let list = get(&served, "/anthropic/v1/models").await.json();
    assert!(list["data"].as_array().unwrap().iter().all(|one| !one["id"].as_str().unwrap().contains('/')), "{list}");
    let asked = std::mem::take(&mut *provider.asked.lock().unwrap());
    assert!(asked.iter().all(|path| path.starts_with("/v1beta/models")), "{asked:?}");
}
