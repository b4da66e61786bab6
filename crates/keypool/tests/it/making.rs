//! Files, stores of them, caches and interactions that one request may name: no key sees what lies in two projects.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use keypool::database::Records;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_keypool::{Affinity, Clock, Demand, Gemini, Key, KeyId, KeyPool, Strategy, Until, Verdict, VerdictKind};

use crate::{
    resources::{ALICE, both, uploaded},
    support::{Answer, Served, ask, noon},
};

/// A provider that makes whatever it is asked for.
async fn provider() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let made = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let made = Arc::clone(&made);
            let service = service_fn(move |request: Request<Incoming>| {
                let nth = made.fetch_add(1, Ordering::Relaxed);
                async move {
                    let (head, body) = request.into_parts();
                    let _ = body.collect().await;
                    let last = head.uri.path().rsplit('/').next().unwrap();
                    let starts = head.headers.get("x-goog-upload-command").is_some_and(|command| command == "start");
                    let answer = match last {
                        "files" if starts => json!({}),
                        "files" => json!({ "file": { "name": format!("files/n{nth}") } }),
                        "files:register" => json!({ "files": [{ "name": format!("files/n{nth}") }] }),
                        "interactions" => json!({ "id": format!("n{nth}") }),
                        "fileSearchStores" | "cachedContents" => json!({ "name": format!("{last}/n{nth}") }),
                        _ => json!({ "candidates": [{ "content": { "parts": [{ "text": "Hello" }] } }] }),
                    };
                    let response = Response::builder().header("content-type", "application/json");
                    let response = match (last, starts) {
                        ("files", true) => response.header(
                            "x-goog-upload-url",
                            format!("http://{address}/upload/v1beta/files?upload_id={nth}"),
                        ),
                        ("files", false) => response.header("x-goog-upload-status", "final"),
                        _ => response,
                    };
                    Ok::<_, Infallible>(response.body(Full::<Bytes>::from(answer.to_string())).unwrap())
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    address
}

/// A client of a gateway with keys of several projects.
struct Place {
    served: Served,
    pool: KeyPool,
    session: Option<&'static str>,
}

const MODEL: &str = "gemini-2.5-flash";

impl Place {
    /// `before`: so many requests that named no model went before, so that the next one meets another key than one that does.
    async fn new((session, before): (Option<&'static str>, usize)) -> Self {
        let url = format!("http://{}", provider().await);
        let keys =
            (0..5).map(|n| Key::new(format!("AIzaSyTEST-made-key-{n:019}")).id(format!("k{n}")).owner(format!("p{n}")));
        let pool = KeyPool::builder(Gemini::at(&url).unwrap())
            .keys(keys)
            // So that what goes anywhere goes elsewhere.
            .strategy(Strategy::RoundRobin)
            .clock(Clock::tokio_from(noon()))
            .wait(Duration::ZERO)
            .build()
            .unwrap();
        for _ in 0..before {
            pool.try_acquire(Demand::any_model()).unwrap().settle(&Verdict::new(VerdictKind::Success));
        }
        let (served, tenants) = Served::kept(&pool, &url, Records::default()).await;
        both(&tenants);
        Self { served, pool, session }
    }

    fn request(&self, path: &str) -> http::request::Builder {
        let request = Request::post(self.served.url(path));
        match self.session {
            Some(session) => request.header("x-keypool-session", session),
            None => request,
        }
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        let request = self.request(path).header("x-goog-api-key", ALICE).header("content-type", "application/json");
        ask(request, body.to_string()).await
    }

    async fn file(&self) -> String {
        uploaded(self.request("/upload/v1beta/files"), ALICE).await
    }

    /// One that lies elsewhere and is only made known.
    async fn registered(&self) -> String {
        let answer = self.post("/v1beta/files:register", json!({ "uris": ["gs://bucket/object"] })).await;
        answer.json()["files"][0]["name"].as_str().unwrap().to_owned()
    }

    async fn make(&self, collection: &str, body: Value) -> String {
        let answer = self.post(&format!("/v1beta/{collection}"), body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let answer = answer.json();
        answer["name"].as_str().or(answer["id"].as_str()).unwrap().to_owned()
    }

    async fn store(&self) -> String {
        self.make("fileSearchStores", json!({ "displayName": "x" })).await
    }

    async fn cache(&self) -> String {
        let contents = json!([{ "role": "user", "parts": [{ "text": "a long text" }] }]);
        self.make("cachedContents", json!({ "model": format!("models/{MODEL}"), "contents": contents })).await
    }

    async fn interaction(&self, before: Option<&str>, file: Option<&str>) -> Answer {
        let uri = |file: &str| format!("https://generativelanguage.googleapis.com/v1beta/{file}");
        let mut input = vec![json!({ "type": "text", "text": "Hello" })];
        input.extend(file.map(|file| json!({ "type": "document", "uri": uri(file) })));
        let body = json!({ "model": MODEL, "input": input, "previous_interaction_id": before });
        self.post("/v1beta/interactions", body).await
    }

    async fn import(&self, store: &str, file: &str) -> Answer {
        self.post(&format!("/v1beta/{store}:importFile"), json!({ "fileName": file })).await
    }

    async fn generate(&self, cache: Option<&str>, file: Option<&str>) -> Answer {
        let uri = |file: &str| format!("https://generativelanguage.googleapis.com/v1beta/{file}");
        let mut parts = vec![json!({ "text": "Hello" })];
        parts.extend(file.map(|file| json!({ "fileData": { "fileUri": uri(file) } })));
        let body = json!({ "contents": [{ "parts": parts }], "cachedContent": cache });
        self.post(&format!("/v1beta/models/{MODEL}:generateContent"), body).await
    }
}

#[track_caller]
fn fine(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.header("x-keypool-key").to_owned()
}

fn id(answer: &Answer) -> String {
    fine(answer);
    answer.json()["id"].as_str().unwrap().to_owned()
}

const SESSION: Option<&str> = Some("a conversation");
const PLACES: [(Option<&str>, usize); 6] = [(None, 0), (None, 1), (None, 3), (SESSION, 0), (SESSION, 1), (SESSION, 3)];

#[tokio::test]
async fn a_file_and_a_store_that_are_made_one_after_the_other_are_seen_together() {
    for at in PLACES {
        let place = Place::new(at).await;
        let file = place.file().await;
        fine(&place.import(&place.store().await, &file).await);
        let place = Place::new(at).await;
        let file = place.registered().await;
        fine(&place.import(&place.store().await, &file).await);
        let place = Place::new(at).await;
        let store = place.store().await;
        fine(&place.import(&store, &place.registered().await).await);
        // However many they are.
        for _ in 0..20 {
            let file = place.file().await;
            fine(&place.import(&store, &file).await);
            tokio::time::pause();
            tokio::time::advance(Duration::from_secs(3)).await;
            tokio::time::resume();
        }
    }
}

#[tokio::test]
async fn a_cache_and_a_file_that_are_made_one_after_the_other_are_seen_together() {
    for at in PLACES {
        let place = Place::new(at).await;
        let cache = place.cache().await;
        let file = place.file().await;
        fine(&place.generate(Some(&cache), Some(&file)).await);
        let place = Place::new(at).await;
        let file = place.file().await;
        fine(&place.generate(Some(&place.cache().await), Some(&file)).await);
    }
}

#[tokio::test]
async fn an_interaction_and_what_is_uploaded_for_the_next_one_are_seen_together() {
    for at in PLACES {
        let place = Place::new(at).await;
        let mut before = id(&place.interaction(None, None).await);
        for _ in 0..3 {
            let file = place.file().await;
            before = id(&place.interaction(Some(&before), Some(&file)).await);
        }
        let place = Place::new(at).await;
        let file = place.file().await;
        let first = id(&place.interaction(None, Some(&file)).await);
        let next = place.file().await;
        fine(&place.interaction(Some(&first), Some(&next)).await);
        // And where the first one names nothing yet.
        let place = Place::new(at).await;
        let file = place.file().await;
        let first = id(&place.interaction(None, None).await);
        fine(&place.interaction(Some(&first), Some(&file)).await);
    }
}

#[tokio::test]
async fn interactions_alone_use_all_projects() {
    let place = Place::new((None, 0)).await;
    let mut keys = std::collections::BTreeSet::new();
    for _ in 0..5 {
        keys.insert(fine(&place.interaction(None, None).await));
    }
    assert_eq!(keys.len(), 5);
}

#[tokio::test]
async fn all_of_a_session_keeps_to_one_project() {
    for before in 0..3 {
        let place = Place::new((SESSION, before)).await;
        let key = fine(&place.generate(None, None).await);
        let file = place.file().await;
        assert_eq!(fine(&place.generate(None, Some(&file)).await), key);
        let (cache, store) = (place.cache().await, place.store().await);
        assert_eq!(fine(&place.generate(Some(&cache), Some(&file)).await), key);
        assert_eq!(fine(&place.import(&store, &file).await), key);
        let before = place.interaction(None, None).await;
        assert_eq!((fine(&before), fine(&place.generate(None, None).await)), (key.clone(), key.clone()));
        assert_eq!(fine(&place.interaction(Some(&id(&before)), Some(&file)).await), key);
    }
}

#[tokio::test]
async fn a_session_whose_project_is_out_for_the_day_keeps_to_another() {
    let place = Place::new((SESSION, 0)).await;
    let out = |key: &str| {
        let demand = Demand::new(MODEL).affinity(Affinity::MustKey(KeyId::from(key)));
        place.pool.try_acquire(demand).unwrap().settle(&Verdict::new(VerdictKind::QuotaExhausted).until(Until::DayEnd));
    };
    let first = fine(&place.generate(None, None).await);
    out(&first);
    let file = place.file().await;
    let second = fine(&place.generate(None, Some(&file)).await);
    assert_ne!(second, first);
    // Its calls, too.
    for _ in 0..3 {
        assert_eq!(fine(&place.generate(None, None).await), second);
    }
    // Nothing is refused for want of it.
    out(&second);
    let third = fine(&place.generate(None, None).await);
    assert!(third != first && third != second);
    place.store().await;
}
