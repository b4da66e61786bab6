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
use keypool::{
    database::Records,
    gateway::{
        capability::hash_of,
        tenant::{From, Grant},
        token::PLACEHOLDER,
    },
    status::StoreHealth,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower_keypool::{Gemini, Key, KeyPool, Strategy};

use crate::support::{Answer, Served, ask};

/// Answers everything alike (but for `#`: which request it is), and says what it was asked for.
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
        let mut asked = self.asked.lock().unwrap();
        asked.push(request.uri().to_string());
        let (status, answer) = &self.answer;
        let response = Response::builder().status(*status).header("content-type", "application/json");
        response.body(Full::from(answer.to_string().replace('#', &asked.len().to_string()))).unwrap()
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
async fn a_list_whose_pages_lead_nowhere_ends() {
    let (provider, address) = Provider::start(StatusCode::OK, json!({ "nextPageToken": "again" })).await;
    let (served, _pool) = over(address, 1).await;
    for list in ["batches", "files", "cachedContents", "tunedModels"] {
        let answer = get(&served, &format!("/v1beta/{list}")).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({})), "{list}");
        assert_eq!(provider.asked().len(), 2, "{list}: the page that leads to itself once");
    }
    let (provider, address) = Provider::start(StatusCode::OK, json!({ "nextPageToken": "page-#" })).await;
    let (served, _pool) = over(address, 1).await;
    let answer = get(&served, "/v1beta/batches").await;
    assert_eq!((answer.status, provider.asked().len()), (StatusCode::OK, 128));
    assert!(answer.json()["nextPageToken"].as_str().is_some_and(|token| token.ends_with("page~2D128")), "{answer:?}");
}

/// A list of this form has no place in the middle of the owners: it says how many are not in it.
#[tokio::test]
async fn a_compatible_list_asks_a_bounded_number_of_owners_and_says_who_is_not_in_it() {
    let (provider, address) = Provider::start(StatusCode::OK, json!({ "data": [], "has_more": false })).await;
    let (served, _pool) = over(address, 150).await;
    let answer = get(&served, "/v1beta/openai/files").await;
    assert_eq!((answer.status, &answer.json()["data"]), (StatusCode::OK, &json!([])), "{answer:?}");
    assert_eq!((provider.asked().len(), answer.header("x-keypool-incomplete")), (64, "86"));
}

#[tokio::test]
async fn no_refusal_of_a_list_or_of_a_name_takes_keys_out() {
    let refused = json!({ "error": { "code": 401, "message": "nope", "status": "UNAUTHENTICATED" } });
    let (_provider, address) = Provider::start(StatusCode::UNAUTHORIZED, refused).await;
    let (served, pool) = over(address, 20).await;
    for path in ["/v1beta/files", "/v1beta/tunedModels", "/v1beta/models", "/v1beta/models/gemini-2.5-flash"] {
        let answer = get(&served, path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {answer:?}");
        assert_eq!(pool.snapshot().available_keys, 20, "after {path}");
    }
}

/// What each key made by Google's compatible endpoint, and no other key sees.
#[derive(Clone, Debug, Default)]
struct Compatible(Arc<Mutex<Vec<(String, String)>>>);

impl Compatible {
    async fn start() -> SocketAddr {
        let (compatible, listener) = (Self::default(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let compatible = compatible.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    std::future::ready(Ok::<_, Infallible>(compatible.answer(&request)))
                });
                tokio::spawn(async move {
                    let builder = auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        address
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let mut made = self.0.lock().unwrap();
        let credential = ["authorization", "x-goog-api-key"].iter().find_map(|name| request.headers().get(*name));
        let key = credential.unwrap().to_str().unwrap().to_owned();
        let query = request.uri().query().unwrap_or_default();
        let told = if request.method() == "POST" {
            let id = format!("batch_{}", made.len());
            made.push((key, id.clone()));
            json!({ "id": id, "object": "batch", "status": "validating" })
        } else {
            // Two on a page, the newest first.
            let theirs = made.iter().rev().filter(|(whose, _)| *whose == key).map(|(_, id)| id.clone());
            let after = query.split('&').find_map(|pair| pair.strip_prefix("after=")).map(|id| id.replace("%5F", "_"));
            let mut theirs: Vec<String> = theirs.collect();
            if let Some(after) = after {
                let at = theirs.iter().position(|id| *id == after).unwrap();
                theirs.drain(..=at);
            }
            let more = theirs.len() > 2;
            theirs.truncate(2);
            let data: Vec<Value> = theirs.iter().map(|id| json!({ "id": id, "object": "batch" })).collect();
            json!({ "object": "list", "data": data, "has_more": more })
        };
        Response::builder().header("content-type", "application/json").body(Full::from(told.to_string())).unwrap()
    }
}

/// Each tenant sees its own, whichever keys made them.
#[tokio::test]
async fn lists_of_the_compatible_endpoint_are_each_tenants_own_over_all_owners() {
    let address = Compatible::start().await;
    let keys = (0..3).map(|at| Key::new(format!("AIzaSyLISTkeynumber00000000000000{at:06}")).id(format!("k{at}")));
    let upstream = format!("http://{address}");
    let pool = KeyPool::builder(Gemini::at(&upstream).unwrap()).keys(keys).strategy(Strategy::RoundRobin);
    let pool = pool.wait(Duration::ZERO).build().unwrap();
    let (served, tenants) = Served::kept(&pool, &upstream, Records::default()).await;
    let ids = |list: &Value| -> Vec<String> {
        list["data"].as_array().unwrap().iter().map(|batch| batch["id"].as_str().unwrap().to_owned()).collect()
    };
    let list = async |token: &str, path: &str, query: &str| {
        let request =
            Request::get(served.url(&format!("{path}{query}"))).header("authorization", format!("Bearer {token}"));
        ask(request, "").await
    };
    let make = async |token: &str| {
        let request =
            Request::post(served.url("/v1beta/openai/batches")).header("authorization", format!("Bearer {token}"));
        let answer = ask(request.header("content-type", "application/json"), "{}").await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()["id"].as_str().unwrap().to_owned()
    };
    // Alone, all that the keys have is the one's.
    let mut alone = vec![make(PLACEHOLDER).await, make(PLACEHOLDER).await];
    let told = list(PLACEHOLDER, "/v1beta/openai/batches", "").await;
    let mut seen = ids(&told.json());
    seen.sort();
    assert_eq!(seen, alone, "over all owners");
    let grant = |name: &str| Grant {
        name: name.into(),
        token_hash: hash_of(format!("kp-{name}").as_bytes()),
        ..Grant::default()
    };
    tenants.set(From::Commands, vec![grant("alice"), grant("bob")]);
    let mut hers = Vec::new();
    for turn in 0..8 {
        hers.push(make("kp-alice").await);
        if turn % 2 == 0 {
            make("kp-bob").await;
        }
    }
    for path in ["/v1beta/openai/batches", "/gemini/v1beta/openai/batches"] {
        let (mut all, mut after) = (Vec::new(), String::new());
        for _ in 0..9 {
            let told = list("kp-alice", path, &format!("?limit=3{after}")).await;
            assert_eq!(told.status, StatusCode::OK, "{path}: {told:?}");
            let told = told.json();
            let some = ids(&told);
            assert!(some.len() <= 3 && told["object"] == "list" && told["first_id"] == some[0].as_str(), "{told}");
            assert_eq!(told["last_id"], some[some.len() - 1].as_str());
            all.extend(some);
            if told["has_more"] == false {
                break;
            }
            after = format!("&after={}", told["last_id"].as_str().unwrap());
        }
        all.sort();
        hers.sort();
        assert_eq!(all, hers, "{path}");
    }
    assert_eq!(ids(&list("kp-bob", "/v1beta/openai/batches", "").await.json()).len(), 4);
    let mut default = ids(&list(PLACEHOLDER, "/v1beta/openai/batches", "").await.json());
    default.sort();
    alone.sort();
    assert_eq!(default, alone);
    let unknown = list("kp-alice", "/v1beta/openai/batches", "?after=batch_unknown").await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    assert_eq!(unknown.json()["error"]["type"], "invalid_request_error", "{unknown:?}");
    // Somebody else's is none.
    let theirs = list("kp-bob", &format!("/v1beta/openai/batches/{}", hers[0]), "").await;
    assert_eq!(theirs.status, StatusCode::NOT_FOUND);
}

/// Whoever rests is asked for nothing meanwhile, and nobody misses what is not asked of it.
#[tokio::test]
async fn an_owner_that_rests_is_not_counted_as_out_of_keys_by_each_list() {
    let (_, address) = Provider::start(StatusCode::OK, json!({ "models": [{ "name": "models/m" }] })).await;
    let upstream = format!("http://{address}");
    let keys = ["one", "two"].map(|id| Key::new(format!("AIzaSy-not-a-real-key-00000000000000-{id}")).id(id).owner(id));
    let pool = KeyPool::builder(Gemini::at(&upstream).unwrap()).keys(keys).wait(Duration::ZERO).build().unwrap();
    let served = Served::pool(&pool, &upstream, StoreHealth::default()).await;
    let rest = |id: &str| {
        let demand = tower_keypool::Demand::any_model().affinity(tower_keypool::Affinity::MustKey(id.into()));
        let lease = pool.try_acquire(demand).unwrap();
        let until = tower_keypool::Until::For(Duration::from_secs(3_600));
        let verdict = tower_keypool::Verdict::new(tower_keypool::VerdictKind::RateLimited);
        lease.judge(&verdict.scope(tower_keypool::Scope::Key).until(until));
    };
    let get = async |path: &str, header: &str, token: &str| {
        ask(Request::get(served.url(path)).header(header, token), "").await.status
    };
    let bearer = format!("Bearer {PLACEHOLDER}");
    rest("two");
    for path in ["/v1beta/models", "/v1beta/files", "/v1beta/batches"] {
        assert_eq!(get(path, "x-goog-api-key", PLACEHOLDER).await, StatusCode::OK, "{path}");
        assert_eq!(pool.snapshot().exhausted, 0, "{path}");
    }
    assert_eq!(get("/v1/models", "authorization", &bearer).await, StatusCode::OK);
    assert_eq!(pool.snapshot().exhausted, 0);
    // Where all do that is said, once for each request.
    rest("one");
    for (count, path) in ["/v1beta/files", "/v1alpha/models", "/v1beta/batches"].into_iter().enumerate() {
        assert_eq!(get(path, "x-goog-api-key", PLACEHOLDER).await, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(pool.snapshot().exhausted, count as u64 + 1, "{path}");
    }
}

#[tokio::test]
async fn a_list_says_how_many_owners_are_not_in_it() {
    let files = json!({ "files": [{ "name": "files/one" }] });
    let (_provider, address) = Provider::start(StatusCode::OK, files).await;
    let (served, pool) = over(address, 3).await;
    for path in ["/v1beta/files", "/v1beta/cachedContents", "/v1beta/openai/batches"] {
        assert_eq!(get(&served, path).await.header("x-keypool-incomplete"), "", "{path}");
    }
    for (at, left_out) in ["k0", "k1"].into_iter().zip(["1", "2"]) {
        pool.disable(&at.into(), "by hand").unwrap();
        let list = get(&served, "/v1beta/files").await;
        assert_eq!((list.status, list.header("x-keypool-incomplete")), (StatusCode::OK, left_out), "{list:?}");
        assert_eq!(list.json()["files"][0]["name"], "files/one");
    }
    // Where nobody may be asked, nobody knows that there is nothing.
    pool.disable(&"k2".into(), "by hand").unwrap();
    for path in ["/v1beta/files", "/v1beta/cachedContents", "/v1beta/openai/batches"] {
        let list = get(&served, path).await;
        assert_eq!(list.status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {list:?}");
    }
}
