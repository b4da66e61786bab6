//! Lists, and what only looks like one: how many owners a request may ask, and what their refusals do to the keys.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use keypool::{gateway::token::PLACEHOLDER, status::StoreHealth};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_keypool::{Gemini, Key, KeyPool};

use crate::support::{Answer, Served, ask};

/// Answers everything alike, and says what it was asked for.
#[derive(Clone, Debug)]
struct Provider {
    answer: (StatusCode, Value),
    asked: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    async fn start(status: StatusCode, answer: Value) -> (Self, SocketAddr) {
        let provider = Self { answer: (status, answer), asked: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answering = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let provider = answering.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    std::future::ready(Ok::<_, Infallible>(provider.answer(&request)))
                });
                tokio::spawn(async move {
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        (provider, address)
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        self.asked.lock().unwrap().push(request.uri().to_string());
        let (status, answer) = &self.answer;
        let response = Response::builder().status(*status).header("content-type", "application/json");
        response.body(Full::from(answer.to_string())).unwrap()
    }

    /// What it was asked for since it was looked at last.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

/// A gateway with so many keys, each of an owner of its own.
async fn over(provider: SocketAddr, keys: usize) -> (Served, KeyPool) {
    let keys = (0..keys).map(|at| Key::new(format!("AIzaSyLISTkeynumber00000000000000{at:06}")).id(format!("k{at}")));
    let upstream = format!("http://{provider}");
    let pool = KeyPool::builder(Gemini::at(&upstream).unwrap()).keys(keys).wait(Duration::ZERO).build().unwrap();
    (Served::pool(&pool, &upstream, StoreHealth::default()).await, pool)
}

async fn get(served: &Served, path: &str) -> Answer {
    ask(Request::get(served.url(path)).header("x-goog-api-key", PLACEHOLDER), "").await
}

#[tokio::test]
async fn what_is_no_list_that_is_known_passes_once_as_it_is() {
    let (provider, address) = Provider::start(StatusCode::OK, json!({ "anything": "at all", "n": 1 })).await;
    let (served, _pool) = over(address, 30).await;
    for path in ["/v1beta/whatever", "/v1beta/openapi.json", "/v1beta/voices?a=b", "/v1beta/interactions?limit=3"] {
        let answer = get(&served, path).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({ "anything": "at all", "n": 1 })), "{path}");
        assert_eq!(provider.asked(), [path], "one key, and the path as it came");
    }
}

#[tokio::test]
async fn a_list_asks_a_bounded_number_of_owners_and_goes_on_where_it_stopped() {
    let (provider, address) = Provider::start(StatusCode::OK, json!({})).await;
    let (served, _pool) = over(address, 150).await;
    let (mut target, mut asked) = ("/v1beta/files".to_owned(), Vec::new());
    loop {
        let answer = get(&served, &target).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        asked.push(provider.asked().len());
        match answer.json()["nextPageToken"].as_str() {
            Some(token) => target = format!("/v1beta/files?pageToken={token}"),
            None => break,
        }
    }
    assert_eq!(asked, [64, 64, 22], "each owner once, in three pages");
}

#[tokio::test]
async fn no_refusal_of_a_list_or_of_a_name_takes_keys_out() {
    let refused = json!({ "error": { "code": 401, "message": "nope", "status": "UNAUTHENTICATED" } });
    let (_provider, address) = Provider::start(StatusCode::UNAUTHORIZED, refused).await;
    let (served, pool) = over(address, 20).await;
    for path in ["/v1beta/files", "/v1beta/tunedModels", "/v1beta/models", "/v1beta/models/gemini-2.5-flash"] {
        let answer = get(&served, path).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}: {answer:?}");
        assert_eq!(pool.snapshot().available_keys, 20, "after {path}");
    }
}
