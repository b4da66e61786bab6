//! What belongs to somebody: whose it is is learned, kept, and nobody else's to name.

use std::time::Duration;

use gemini_sim::{GeminiSim, Project};
use http::{Method, Request, StatusCode};
use keypool::{
    database::{Database, Records},
    gateway::{
        capability::hash_of,
        resource::Unknown,
        tenant::{From, Grant, Tenants},
        token::PLACEHOLDER,
    },
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower_keypool::{Clock, Gemini, Key, KeyPool, Strategy, store::Sqlite};

use crate::{
    serving::{ONE, TWO},
    support::{Answer, Served, ask, noon},
};

pub(crate) const ALICE: &str = "kp-alice-0123456789abcdef";
pub(crate) const BOB: &str = "kp-bob-0123456789abcdef";

pub(crate) async fn sim() -> GeminiSim {
    let builder = GeminiSim::builder().project(Project::new("1").key(ONE)).project(Project::new("2").key(TWO));
    builder.gzip(true).min_cache_tokens(1).start().await.unwrap()
}

pub(crate) fn pool(sim: &GeminiSim) -> KeyPool {
    KeyPool::builder(Gemini::at(&sim.url()).unwrap())
        .keys([Key::new(ONE).id("one").owner("p1"), Key::new(TWO).id("two").owner("p2")])
        // So that a request over another key than it should be would be seen.
        .strategy(Strategy::RoundRobin)
        .clock(Clock::tokio_from(noon()))
        .wait(Duration::ZERO)
        .build()
        .unwrap()
}

pub(crate) fn both(tenants: &Tenants) {
    let grant = |name: &str, token: &str| Grant {
        name: name.to_owned(),
        token_hash: hash_of(token.as_bytes()),
        ..Grant::default()
    };
    tenants.set(From::Configuration, vec![grant("alice", ALICE), grant("bob", BOB)]);
}

async fn call(served: &Served, token: &str, method: Method, path: &str, body: Value) -> Answer {
    let request = Request::builder().method(method).uri(served.url(path)).header("x-goog-api-key", token);
    // Answers that are looked into come plain; the others are not read here.
    let request = if body.is_null() { request } else { request.header("accept-encoding", "gzip") };
    let body = if body.is_null() { String::new() } else { body.to_string() };
    ask(request.header("content-type", "application/json"), body).await
}

pub(crate) async fn get(served: &Served, token: &str, path: &str) -> Answer {
    call(served, token, Method::GET, path, Value::Null).await
}

pub(crate) async fn post(served: &Served, token: &str, path: &str, body: Value) -> Answer {
    call(served, token, Method::POST, path, body).await
}

/// Uploads a file: its name.
pub(crate) async fn upload(served: &Served, token: &str) -> String {
    uploaded(Request::post(served.url("/upload/v1beta/files")), token).await
}

/// The same, with what else stands in the head.
pub(crate) async fn uploaded(request: http::request::Builder, token: &str) -> String {
    let request = request
        .header("x-goog-api-key", token)
        .header("x-goog-upload-protocol", "resumable")
        .header("x-goog-upload-command", "start")
        .header("x-goog-upload-header-content-length", "4")
        .header("x-goog-upload-header-content-type", "text/plain");
    let opened = ask(request, r#"{"file":{}}"#).await;
    assert_eq!(opened.status, StatusCode::OK, "{opened:?}");
    // As the official clients do.
    let chunk = Request::post(opened.header("x-goog-upload-url"))
        .header("accept-encoding", "gzip, deflate")
        .header("x-goog-upload-command", "upload, finalize")
        .header("x-goog-upload-offset", "0");
    let last = ask(chunk, "text").await;
    assert_eq!(last.status, StatusCode::OK, "{last:?}");
    last.json()["file"]["name"].as_str().unwrap().to_owned()
}

fn about(name: &str) -> Value {
    let uri = format!("https://generativelanguage.googleapis.com/v1beta/{name}");
    json!({ "contents": [{ "parts": [{ "fileData": { "fileUri": uri } }, { "text": "what is it?" }] }] })
}

const GENERATE: &str = "/v1beta/models/gemini-2.5-flash:generateContent";

#[tokio::test]
async fn a_file_is_its_tenants_alone_and_goes_to_its_owner() {
    let sim = sim().await;
    let pool = pool(&sim);
    let (served, tenants) = Served::kept(&pool, &sim.url(), Records::default()).await;
    both(&tenants);
    let mut names = Vec::new();
    for _ in 0..4 {
        let name = upload(&served, ALICE).await;
        // Else the next one lies beside it.
        assert_eq!(post(&served, ALICE, GENERATE, about(&name)).await.status, StatusCode::OK);
        names.push(name);
    }
    for name in &names {
        let path = format!("/v1beta/{name}");
        for _ in 0..3 {
            assert_eq!(get(&served, ALICE, &path).await.status, StatusCode::OK);
            assert_eq!(post(&served, ALICE, GENERATE, about(name)).await.status, StatusCode::OK);
        }
        let arrivals = sim.report().total.arrivals;
        for stranger in [BOB, PLACEHOLDER] {
            assert_eq!(get(&served, stranger, &path).await.status, StatusCode::NOT_FOUND);
            assert_eq!(call(&served, stranger, Method::DELETE, &path, Value::Null).await.status, 404);
            let named = post(&served, stranger, GENERATE, about(name)).await;
            assert_eq!(
                (named.status, named.json()["error"]["status"].as_str()),
                (StatusCode::NOT_FOUND, Some("NOT_FOUND"))
            );
            // However it is written.
            let escaped =
                about(name).to_string().replace("fileUri", "f\\u0069leUri").replace("files/", "f\\u0069les\\/");
            let request = Request::post(served.url(GENERATE)).header("x-goog-api-key", stranger);
            assert_eq!(ask(request, escaped).await.status, StatusCode::NOT_FOUND);
            let odd = about(name).to_string().replace('"', "'");
            let request = Request::post(served.url(GENERATE)).header("x-goog-api-key", stranger);
            assert_eq!(ask(request, odd).await.status, StatusCode::BAD_REQUEST, "nobody can tell what it names");
        }
        assert_eq!(sim.report().total.arrivals, arrivals, "none of that left");
    }
    // Other forms of the API could name anything.
    for (path, kind) in [
        ("/batch/v1beta", "multipart/mixed"),
        ("/$rpc/google.ai.generativelanguage.v1beta.FileService/ListFiles", "application/json"),
        ("/google.ai.generativelanguage.v1beta.FileService/ListFiles", "application/grpc"),
        (GENERATE, "application/x-protobuf"),
    ] {
        let arrivals = sim.report().total.arrivals;
        let request = Request::post(served.url(path)).header("x-goog-api-key", BOB).header("content-type", kind);
        let refused = ask(request, "{}").await;
        assert!(matches!(refused.status.as_u16(), 400 | 404 | 415), "{path}: {refused:?}");
        assert_eq!(sim.report().total.arrivals, arrivals);
    }
    let mixed = json!({ "contents": [{ "parts": [
        { "fileData": { "fileUri": names[0] } }, { "fileData": { "fileUri": names[1] } },
    ] }] });
    // They went to two owners in turn.
    assert_eq!(post(&served, ALICE, GENERATE, mixed).await.status, StatusCode::BAD_REQUEST);
    let gone = call(&served, ALICE, Method::DELETE, &format!("/v1beta/{}", names[0]), Value::Null).await;
    assert_eq!(gone.status, StatusCode::OK);
    assert_eq!(get(&served, ALICE, &format!("/v1beta/{}", names[0])).await.status, StatusCode::NOT_FOUND);
    let rejected = |key: &str| sim.report().key(key).unwrap().rejected.values().sum::<u64>();
    assert_eq!(rejected("key-0") + rejected("key-1"), 0, "nothing went to a key that does not see it");
}

#[tokio::test]
async fn a_name_is_found_in_a_body_of_any_length_that_comes_in_pieces() {
    let sim = sim().await;
    let (served, tenants) = Served::kept(&pool(&sim), &sim.url(), Records::default()).await;
    both(&tenants);
    let name = upload(&served, ALICE).await;
    for padding in [0, 1_000, 60_000, 100_000, 1 << 20] {
        let mut body = about(&name);
        body["contents"][0]["parts"][1]["text"] = "x".repeat(padding).into();
        let body = body.to_string();
        for at in [0, 5, body.len() / 2, body.len() - 5] {
            for (token, status) in [(ALICE, "200"), (BOB, "404")] {
                let head = format!(
                    "POST {GENERATE} HTTP/1.1\r\nhost: {}\r\nx-goog-api-key: {token}\r\ncontent-type: application/json\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n",
                    served.address,
                    body.len()
                );
                let mut stream = TcpStream::connect(served.address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                stream.write_all((head + &body[..at]).as_bytes()).await.unwrap();
                // The gateway has that alone, mostly.
                tokio::time::sleep(Duration::from_millis(2)).await;
                stream.write_all(&body.as_bytes()[at..]).await.unwrap();
                let mut answer = String::new();
                stream.read_to_string(&mut answer).await.unwrap();
                assert_eq!(answer.split(' ').nth(1), Some(status), "{padding} {at} {token}: {answer}");
            }
        }
    }
}

#[tokio::test]
async fn a_list_is_the_tenants_own_over_all_owners_in_pages() {
    let sim = sim().await;
    let pool = pool(&sim);
    let (served, tenants) = Served::kept(&pool, &sim.url(), Records::default()).await;
    both(&tenants);
    let mut of_alice = Vec::new();
    for at in 0..7 {
        let name = upload(&served, ALICE).await;
        // Else the next one lies beside it.
        assert_eq!(post(&served, ALICE, GENERATE, about(&name)).await.status, StatusCode::OK);
        of_alice.push(name);
        if at % 2 == 0 {
            upload(&served, BOB).await;
        }
    }
    of_alice.sort();
    for size in [1, 2, 3, 5, 7, 100] {
        let (mut found, mut token, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let list = get(&served, ALICE, &format!("/v1beta/files?pageSize={size}&pageToken={token}")).await;
            assert_eq!(list.status, StatusCode::OK, "{list:?}");
            let list = list.json();
            let items = list["files"].as_array().unwrap();
            assert!(items.len() <= size && !items.is_empty());
            found.extend(items.iter().map(|file| file["name"].as_str().unwrap().to_owned()));
            pages += 1;
            match list["nextPageToken"].as_str() {
                Some(next) if pages < 20 => token = next.to_owned(),
                _ => break,
            }
        }
        found.sort();
        assert_eq!(found, of_alice, "{size}");
    }
    assert_eq!(get(&served, PLACEHOLDER, "/v1beta/files").await.json(), json!({}));
    assert_eq!(get(&served, ALICE, "/v1beta/files?pageToken=made-up").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn caches_models_batches_operations_interactions_and_what_comes_of_them() {
    let sim = sim().await;
    let pool = pool(&sim);
    let (served, tenants) = Served::kept(&pool, &sim.url(), Records::default()).await;
    both(&tenants);
    for _ in 0..2 {
        let words = "word ".repeat(100);
        let cache = json!({ "model": "models/gemini-2.5-flash", "contents": [{ "parts": [{ "text": words }] }] });
        let cache = post(&served, ALICE, "/v1beta/cachedContents", cache).await.json()["name"].clone();
        let asked = json!({ "contents": [{ "parts": [{ "text": "x" }] }], "cachedContent": cache });
        let tuned =
            post(&served, ALICE, "/v1beta/tunedModels", json!({ "baseModel": "models/gemini-2.5-flash" })).await;
        let tuned = tuned.json()["metadata"]["tunedModel"].as_str().unwrap().to_owned();
        let input = upload(&served, ALICE).await;
        let batch = json!({ "batch": { "inputConfig": { "fileName": input } } });
        let batched = "/v1beta/models/gemini-2.5-flash:batchGenerateContent";
        let batch = post(&served, ALICE, batched, batch).await.json();
        let output = batch["response"]["responsesFile"].as_str().unwrap().to_owned();
        let batch = batch["name"].as_str().unwrap().to_owned();
        let video = "/v1beta/models/gemini-2.5-flash:predictLongRunning";
        let operation = post(&served, ALICE, video, json!({ "instances": [] })).await.json();
        let operation = operation["name"].as_str().unwrap().to_owned();
        let first =
            post(&served, ALICE, "/v1beta/interactions", json!({ "model": "gemini-2.5-flash", "input": "x" })).await;
        let first = first.json()["id"].as_str().unwrap().to_owned();
        let next = json!({ "model": "gemini-2.5-flash", "input": "y", "previous_interaction_id": first });
        let polled = get(&served, ALICE, &format!("/v1beta/{operation}")).await;
        let made = polled.json()["response"]["generateVideoResponse"]["generatedSamples"][0]["video"]["uri"].clone();
        let made = made.as_str().unwrap().split("v1beta/").nth(1).unwrap().split(':').next().unwrap().to_owned();
        for _ in 0..2 {
            for (method, path, body) in [
                (Method::POST, GENERATE.to_owned(), asked.clone()),
                (Method::GET, format!("/v1beta/{}", cache.as_str().unwrap()), Value::Null),
                (Method::GET, format!("/v1beta/{tuned}"), Value::Null),
                (
                    Method::POST,
                    format!("/v1beta/{tuned}:generateContent"),
                    json!({ "contents": [{ "parts": [{ "text": "x" }] }] }),
                ),
                (Method::GET, format!("/v1beta/{batch}"), Value::Null),
                (Method::POST, format!("/v1beta/{batch}:cancel"), json!({})),
                (Method::GET, format!("/v1beta/{output}"), Value::Null),
                (Method::GET, format!("/v1beta/{operation}"), Value::Null),
                (Method::GET, format!("/v1beta/{made}"), Value::Null),
                (Method::GET, format!("/v1beta/interactions/{first}"), Value::Null),
                (Method::POST, "/v1beta/interactions".to_owned(), next.clone()),
            ] {
                let own = call(&served, ALICE, method.clone(), &path, body.clone()).await;
                assert_eq!(own.status, StatusCode::OK, "{method} {path}: {own:?}");
                let others = call(&served, BOB, method.clone(), &path, body).await;
                assert_eq!(others.status, StatusCode::NOT_FOUND, "{method} {path}: {others:?}");
            }
        }
    }
    let listed = get(&served, ALICE, "/v1beta/batches").await.json();
    assert_eq!(listed["operations"].as_array().unwrap().len(), 2, "{listed}");
    assert_eq!(get(&served, BOB, "/v1beta/batches").await.json(), json!({}));
    assert_eq!(pool.snapshot().disabled_keys + pool.snapshot().resting_keys, 0);
}

#[tokio::test]
async fn whose_what_is_outlives_the_process_and_uploads_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let records = || Records::Kept(Database::File(Sqlite::open(&path).unwrap()));
    let sim = sim().await;
    let (served, tenants) = Served::kept(&pool(&sim), &sim.url(), records()).await;
    both(&tenants);
    let (one, two) = (upload(&served, ALICE).await, upload(&served, ALICE).await);
    let start = Request::post(served.url("/upload/v1beta/files"))
        .header("x-goog-api-key", ALICE)
        .header("x-goog-upload-protocol", "resumable")
        .header("x-goog-upload-command", "start")
        .header("x-goog-upload-header-content-length", "4");
    let opened = ask(start, r#"{"file":{}}"#).await;
    let url = opened.header("x-goog-upload-url").to_owned();
    let id = url.split("upload_id=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    served.stop().await;
    // Nobody who has the database has the upload: neither our id nor the provider's URL stands there.
    for file in std::fs::read_dir(folder.path()).unwrap() {
        // The journal beside it goes with the last who has it open.
        let Ok(bytes) = std::fs::read(file.unwrap().path()) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(&id) && !text.contains("upload_id=sim-") && !text.contains(ONE));
    }

    let (served, tenants) = Served::kept(&pool(&sim), &sim.url(), records()).await;
    both(&tenants);
    for name in [one, two] {
        for _ in 0..2 {
            assert_eq!(post(&served, ALICE, GENERATE, about(&name)).await.status, StatusCode::OK);
        }
        assert_eq!(post(&served, BOB, GENERATE, about(&name)).await.status, StatusCode::NOT_FOUND);
    }
    let port = served.address.port().to_string();
    let old = url.split("127.0.0.1:").nth(1).unwrap().split('/').next().unwrap();
    let url = url.replace(old, &port);
    let chunk = |command: &str, offset: usize, body: &'static str| {
        let request =
            Request::post(&url).header("x-goog-upload-command", command).header("x-goog-upload-offset", offset);
        ask(request, body)
    };
    assert_eq!(chunk("upload, finalize", 0, "too long").await.status, StatusCode::BAD_REQUEST, "longer than announced");
    let bobs = Request::post(&url).header("x-goog-api-key", BOB).header("x-goog-upload-command", "query");
    assert_eq!(ask(bobs, "").await.status, StatusCode::NOT_FOUND, "another tenant's token is none for it");
    let last = chunk("upload, finalize", 0, "text").await;
    assert_eq!(last.header("x-goog-upload-status"), "final", "{last:?}");
    assert_eq!(chunk("query", 0, "").await.status, StatusCode::NOT_FOUND, "dead once final");
    let name = last.json()["file"]["name"].as_str().unwrap().to_owned();
    assert_eq!(get(&served, ALICE, &format!("/v1beta/{name}")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_name_that_nobody_knows_is_tried_where_an_administrator_says_so() {
    let sim = sim().await;
    // Made beside the gateway.
    let direct = Request::post(format!("{}/v1beta/tunedModels", sim.url())).header("x-goog-api-key", TWO);
    let made = ask(direct, r#"{"baseModel":"models/gemini-2.5-flash"}"#).await;
    let name = made.json()["metadata"]["tunedModel"].as_str().unwrap().to_owned();
    let path = format!("/v1beta/{name}");
    let pool = pool(&sim);

    let (refusing, _) = Served::kept(&pool, &sim.url(), Records::default()).await;
    let arrivals = sim.report().total.arrivals;
    assert_eq!(get(&refusing, PLACEHOLDER, &path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(sim.report().total.arrivals, arrivals);
    // Whoever is alone has what a list tells.
    let list = get(&refusing, PLACEHOLDER, "/v1beta/tunedModels").await.json();
    assert_eq!(list["tunedModels"][0]["name"], name.as_str());
    assert_eq!(get(&refusing, PLACEHOLDER, &path).await.status, StatusCode::OK);

    let (trying, tenants) = Served::kept_trying(&pool, &sim.url(), Records::default(), Unknown::Try).await;
    both(&tenants);
    for _ in 0..3 {
        assert_eq!(get(&trying, ALICE, &path).await.status, StatusCode::OK);
    }
    assert_eq!(get(&trying, BOB, &path).await.status, StatusCode::NOT_FOUND, "it is whose named it first");
    for _ in 0..8 {
        assert_eq!(get(&trying, ALICE, "/v1beta/tunedModels/nowhere").await.status, StatusCode::NOT_FOUND);
    }
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.disabled_keys, snapshot.resting_keys), (0, 0), "a 403 for a name harms no key");
}

#[tokio::test]
async fn models_are_the_pools_and_cached() {
    let sim = sim().await;
    let pool = pool(&sim);
    let (served, tenants) = Served::kept(&pool, &sim.url(), Records::default()).await;
    let all = get(&served, PLACEHOLDER, "/v1beta/models?pageSize=1000").await;
    assert_eq!(all.status, StatusCode::OK);
    let all = all.json()["models"].as_array().unwrap().clone();
    let asked = sim.report().total.arrivals;
    assert_eq!(asked, 2, "each owner once");
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let page = get(&served, PLACEHOLDER, &format!("/v1beta/models?pageSize=2&pageToken={token}")).await.json();
        found.extend(page["models"].as_array().unwrap().clone());
        match page["nextPageToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(found, all);
    let one = get(&served, PLACEHOLDER, "/v1beta/models/gemini-2.5-flash").await;
    assert_eq!((one.status, one.json()["name"].clone()), (StatusCode::OK, json!("models/gemini-2.5-flash")));
    assert_eq!(sim.report().total.arrivals, asked, "all of that from the list at hand");
    assert_eq!(get(&served, PLACEHOLDER, "/v1beta/models/none").await.status, StatusCode::NOT_FOUND);

    let hash = hash_of(ALICE.as_bytes());
    let models = vec!["gemini-2.5-flash".to_owned()];
    tenants.set(From::Commands, vec![Grant { name: "alice".into(), token_hash: hash, models, ..Grant::default() }]);
    let own = get(&served, ALICE, "/v1beta/models").await.json();
    assert_eq!(own["models"].as_array().unwrap().len(), 1);
    let other = post(&served, ALICE, "/v1beta/models/gemini-2.5-pro:generateContent", json!({})).await;
    assert_eq!(other.status, StatusCode::FORBIDDEN, "{other:?}");
    let text = json!({ "contents": [{ "parts": [{ "text": "x" }] }] });
    assert_eq!(post(&served, ALICE, GENERATE, text).await.status, StatusCode::OK);
    for path in ["/v1/chat/completions", "/v1beta/openai/chat/completions"] {
        let chat = json!({ "model": "gemini-2.5-pro", "messages": [{ "role": "user", "content": "x" }] });
        assert_eq!(post(&served, ALICE, path, chat).await.status, StatusCode::FORBIDDEN, "{path}");
    }
}
