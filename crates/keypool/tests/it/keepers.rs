//! Several accounts of a provider that is not Gemini's: what is made of a file (a batch, a store of vectors, an answer) is made
//! where the file is, and what came of it is fetched there.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use keypool::gateway::token::PLACEHOLDER;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    binary::Running,
    home::{Home, end},
    support::{Answer, ask},
};

const KEYS: [&str; 5] = [
    "sk-proj-TEST-not-a-real-key-0000000051",
    "sk-proj-TEST-not-a-real-key-0000000052",
    "sk-proj-TEST-not-a-real-key-0000000053",
    "sk-proj-TEST-not-a-real-key-0000000054",
    "sk-proj-TEST-not-a-real-key-0000000055",
];

#[derive(Default)]
struct Books {
    /// Which key's account has what.
    has: HashMap<String, String>,
    /// What each batch was made of.
    arrivals: Vec<(String, String)>,
    made: usize,
    /// Accounts that take no more.
    full: Vec<String>,
    /// It speaks Anthropic's dialect.
    anthropics: bool,
}

/// A strict provider: an account knows its own things alone.
#[derive(Clone, Default)]
struct Provider(Arc<Mutex<Books>>);

impl Provider {
    async fn start() -> (Self, SocketAddr) {
        let provider = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answering = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let provider = answering.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let provider = provider.clone();
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                        let key =
                            parts.headers.get("authorization").or_else(|| parts.headers.get("x-api-key")).unwrap();
                        let key = key.to_str().unwrap().trim_start_matches("Bearer ").to_owned();
                        let (status, body) = provider.answer(&key, (&parts.method, parts.uri.path()), &body);
                        let response = Response::builder().status(status).header("content-type", "application/json");
                        Ok::<_, Infallible>(response.body(Full::<Bytes>::from(body.to_string())).unwrap())
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        (provider, address)
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who was asked what since the last time.
    fn arrivals(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.books().arrivals)
    }

    /// Whose the one thing is that was asked since the last time; it was asked of nobody else.
    #[track_caller]
    fn only_one(&self) -> String {
        let arrivals = self.arrivals();
        assert_eq!(arrivals.len(), 1, "{arrivals:?}");
        arrivals[0].0.clone()
    }

    fn answer(&self, key: &str, (method, path): (&Method, &str), body: &[u8]) -> (u16, Value) {
        let mut books = self.books();
        books.arrivals.push((key.to_owned(), format!("{method} {path}")));
        let error = |status: u16, message: String| {
            (status, json!({ "error": { "message": message, "type": "invalid_request_error", "code": null } }))
        };
        if books.full.iter().any(|full| full == key) {
            return error(429, "Rate limit reached for requests".to_owned());
        }
        let segments: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
        let (of, anthropics) = (books.has.clone(), books.anthropics);
        let lacks = |id: &str| of.get(id).is_none_or(|owner| owner != key);
        // What a path or a body names is the account's own.
        if let Some(id) = segments.iter().find(|part| part.contains("_t_")).filter(|id| lacks(id)) {
            return error(404, format!("No such object: {id}"));
        }
        let text = String::from_utf8_lossy(body);
        if let Some(id) = text.split('"').find(|word| word.contains("_t_") && !word.contains(' ') && lacks(word)) {
            return error(400, format!("The file {id} does not exist"));
        }
        let mut make = |kind: &str| {
            books.made += 1;
            let id = format!("{kind}_t_{}", books.made);
            books.has.insert(id.clone(), key.to_owned());
            id
        };
        match (method.as_str(), &segments[..]) {
            ("DELETE", [.., id]) if anthropics => {
                books.has.remove(*id);
                (200, json!({ "id": id, "type": "file_deleted" }))
            }
            ("DELETE", [.., id]) => {
                books.has.remove(*id);
                (200, json!({ "id": id, "object": "file", "deleted": true }))
            }
            ("POST", ["files"]) => (200, json!({ "id": make("file"), "object": "file", "created_at": 1 })),
            ("POST", ["batches"]) => (200, json!({ "id": make("batch"), "status": "validating", "created_at": 1 })),
            ("GET", ["batches", id]) => {
                (200, json!({ "id": id, "status": "completed", "output_file_id": make("out"), "created_at": 1 }))
            }
            ("POST", ["uploads"]) => (200, json!({ "id": make("upload"), "object": "upload" })),
            ("POST", ["uploads", _, "parts"]) => (200, json!({ "id": make("part"), "object": "upload.part" })),
            ("POST", ["uploads", id, "complete"]) => {
                (200, json!({ "id": id, "status": "completed", "file": { "id": make("file"), "object": "file" } }))
            }
            ("POST", ["responses"]) => (200, json!({ "id": make("resp"), "object": "response", "output": [] })),
            ("POST", ["messages", "batches"]) => (200, batch(&make("batch"))),
            ("GET", ["messages", "batches"]) => {
                let its = of.iter().filter(|(id, owner)| id.starts_with("batch_") && *owner == key);
                let its: Vec<Value> = its.map(|(id, _)| batch(id)).collect();
                (200, json!({ "data": its, "has_more": false, "first_id": null, "last_id": null }))
            }
            ("GET", ["messages", "batches", id]) | ("POST", ["messages", "batches", id, "cancel"]) => (200, batch(id)),
            ("POST", [.., kind]) => (200, json!({ "id": make(kind), "usage": { "total_tokens": 1 } })),
            ("GET", [.., id]) => (200, json!({ "id": id })),
            _ => error(405, "no such call".to_owned()),
        }
    }
}

/// One of Anthropic's, which says where its results are.
fn batch(id: &str) -> Value {
    let results = format!("https://api.anthropic.com/v1/messages/batches/{id}/results");
    json!({ "id": id, "type": "message_batch", "created_at": "2026-01-01T00:00:00Z", "results_url": results })
}

fn toml(kind: &str, address: SocketAddr) -> String {
    toml_of(kind, address, &KEYS)
}

fn toml_of(kind: &str, address: SocketAddr, all: &[&str]) -> String {
    let keys = |front: &str| {
        let of = |(at, key)| format!("{{ id = \"{front}{at}\", owner = \"{front}-org{at}\", secret = \"{key}\" }}");
        all.iter().enumerate().map(of).collect::<Vec<_>>().join(", ")
    };
    let upstream = format!("http://{address}{}", if kind == "openai" { "/v1" } else { "" });
    format!(
        r#"
        keys = [{}]
        [gateway]
        listen = "127.0.0.1:0"
        provider = "{kind}"
        upstream = "{upstream}"
        [pool]
        wait = 0
        [[providers]]
        name = "there"
        kind = "{kind}"
        upstream = "{upstream}"
        keys = [{}]
        "#,
        keys("k"),
        keys("p"),
    )
}

async fn send(running: &Running, to: (Method, &str), body: &Value) -> Answer {
    send_in("", running, to, body).await
}

/// The same in a session.
async fn send_in(session: &str, running: &Running, (method, path): (Method, &str), body: &Value) -> Answer {
    let mut request = Request::builder().method(method).uri(format!("{}{path}", running.url));
    request = request.header("authorization", format!("Bearer {PLACEHOLDER}"));
    if !session.is_empty() {
        request = request.header("x-keypool-session", session);
    }
    match body {
        Value::Null => ask(request, String::new()).await,
        Value::String(form) => {
            ask(request.header("content-type", "multipart/form-data; boundary=b"), form.clone()).await
        }
        body => ask(request.header("content-type", "application/json"), body.to_string()).await,
    }
}

/// What a good answer says.
#[track_caller]
fn good(answer: &Answer) -> Value {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.json()
}

fn id(answer: &Value) -> String {
    answer["id"].as_str().unwrap().to_owned()
}

const FORM: &str = "--b\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b\r\ncontent-disposition: \
                    form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n{}\r\n--b--\r\n";

async fn upload(running: &Running, path: &str) -> String {
    id(&good(&send(running, (Method::POST, path), &json!(FORM)).await))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_of_a_file_is_made_where_it_is() {
    let (provider, address) = Provider::start().await;
    let home = Home::new();
    home.write("keypool.toml", &toml("openai", address));
    let mut running = Running::of(home.command(&["serve"]));
    for front in ["/v1", "/to/there/v1"] {
        let at = |path: &str| format!("{front}{path}");
        for round in 0..4 {
            let file = upload(&running, &at("/files")).await;
            let owner = provider.only_one();
            let batch =
                json!({ "input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h" });
            let batch = id(&good(&send(&running, (Method::POST, &at("/batches")), &batch).await));
            assert_eq!(provider.only_one(), owner, "{front} {round}");
            if round == 2 {
                end(running).await;
                running = Running::of(home.command(&["serve"]));
            }
            let done = good(&send(&running, (Method::GET, &at(&format!("/batches/{batch}"))), &Value::Null).await);
            assert_eq!(provider.only_one(), owner, "{front} {round}");
            let output = done["output_file_id"].as_str().unwrap();
            good(&send(&running, (Method::GET, &at(&format!("/files/{output}/content"))), &Value::Null).await);
            assert_eq!(provider.only_one(), owner, "{front} {round}");
            for (path, body) in [
                ("/fine_tuning/jobs", json!({ "training_file": file, "model": "gpt-4.1-mini" })),
                ("/vector_stores", json!({ "file_ids": [file] })),
                (
                    "/responses",
                    json!({ "model": "gpt-5", "input": [{ "role": "user", "content": [{ "type": "input_file", "file_id": file }] }] }),
                ),
                (
                    "/chat/completions",
                    json!({ "model": "gpt-5", "messages": [{ "role": "user", "content": [{ "type": "file", "file": { "file_id": file } }] }] }),
                ),
            ] {
                good(&send(&running, (Method::POST, &at(path)), &body).await);
                assert_eq!(provider.only_one(), owner, "{front}{path}");
            }
            let store =
                id(&good(&send(&running, (Method::POST, &at("/vector_stores")), &json!({ "file_ids": [file] })).await));
            good(
                &send(
                    &running,
                    (Method::POST, &at(&format!("/vector_stores/{store}/files"))),
                    &json!({ "file_id": file }),
                )
                .await,
            );
            let search = json!({ "model": "gpt-5", "input": "x", "tools": [{ "type": "file_search", "vector_store_ids": [store] }] });
            good(&send(&running, (Method::POST, &at("/responses")), &search).await);
            assert!(provider.arrivals().iter().all(|(key, _)| *key == owner));
            good(&send(&running, (Method::DELETE, &at(&format!("/files/{file}"))), &Value::Null).await);
            assert_eq!(provider.only_one(), owner, "{front} {round}");
        }
        // In parts.
        let part = id(&good(&send(&running, (Method::POST, &at("/uploads")), &json!({ "bytes": 2 })).await));
        let owner = provider.only_one();
        for _ in 0..3 {
            good(&send(&running, (Method::POST, &at(&format!("/uploads/{part}/parts"))), &json!(FORM)).await);
        }
        let complete = at(&format!("/uploads/{part}/complete"));
        let whole = good(&send(&running, (Method::POST, &complete), &json!({ "part_ids": [] })).await);
        let file = whole["file"]["id"].as_str().unwrap();
        good(&send(&running, (Method::GET, &at(&format!("/files/{file}"))), &Value::Null).await);
        let asked = provider.arrivals();
        assert!(asked.len() == 5 && asked.iter().all(|(key, _)| *key == owner), "{asked:?}");
    }
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_come_together_lie_together() {
    let (provider, address) = Provider::start().await;
    let home = Home::new();
    home.write("keypool.toml", &toml("openai", address));
    let running = Running::of(home.command(&["serve"]));
    let mut owners = HashMap::new();
    for front in ["/v1", "/to/there/v1", "/v1", "/to/there/v1", "/v1"] {
        let (path, jobs) = (format!("{front}/files"), format!("{front}/fine_tuning/jobs"));
        let (one, other, last) =
            tokio::join!(upload(&running, &path), upload(&running, &path), upload(&running, &path));
        let asked = provider.arrivals();
        assert!(asked.len() == 3 && asked.iter().all(|(key, _)| *key == asked[0].0), "{asked:?}");
        let job = json!({ "model": "gpt-4.1-mini", "training_file": one, "validation_file": other, "other": last });
        good(&send(&running, (Method::POST, &jobs), &job).await);
        assert_eq!(provider.only_one(), asked[0].0);
        // Also after it was asked about those before.
        assert_eq!(owners.entry(front).or_insert_with(|| asked[0].0.clone()), &asked[0].0, "{front}");
    }
    // Where that account takes none, they lie with another, together.
    let first = upload(&running, "/v1/files").await;
    let full = provider.only_one();
    provider.books().full.push(full.clone());
    let second = upload(&running, "/v1/files").await;
    let elsewhere = provider.arrivals().pop().unwrap().0;
    assert_ne!(elsewhere, full);
    let third = upload(&running, "/v1/files").await;
    assert_eq!(provider.only_one(), elsewhere);
    good(&send(&running, (Method::POST, "/v1/vector_stores"), &json!({ "file_ids": [second, third] })).await);
    assert_eq!(provider.only_one(), elsewhere);
    // What lies there alone cannot be had elsewhere: nobody else is asked.
    let lost = send(&running, (Method::POST, "/v1/batches"), &json!({ "input_file_id": first })).await;
    assert_eq!(lost.status, StatusCode::SERVICE_UNAVAILABLE, "{lost:?}");
    assert!(provider.arrivals().iter().all(|(key, _)| *key == full));
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropics_files_are_read_where_they_are() {
    let (provider, address) = Provider::start().await;
    let home = Home::new();
    home.write("keypool.toml", &toml("anthropic", address));
    let running = Running::of(home.command(&["serve"]));
    let send = async |path: &str, body: &Value| {
        let request = Request::post(format!("{}{path}", running.url)).header("x-api-key", PLACEHOLDER);
        let request =
            request.header("anthropic-version", "2023-06-01").header("anthropic-beta", "files-api-2025-04-14");
        let kind = if body.is_string() { "multipart/form-data; boundary=b" } else { "application/json" };
        let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
        good(&ask(request.header("content-type", kind), body).await)
    };
    for front in ["/v1", "/to/there/v1"] {
        for _ in 0..4 {
            let file = id(&send(&format!("{front}/files"), &json!(FORM)).await);
            let owner = provider.only_one();
            let source = json!({ "type": "document", "source": { "type": "file", "file_id": file } });
            let message =
                json!({ "model": "claude-x", "max_tokens": 9, "messages": [{ "role": "user", "content": [source] }] });
            send(&format!("{front}/messages"), &message).await;
            assert_eq!(provider.only_one(), owner);
            let batch = json!({ "requests": [{ "custom_id": "a", "params": message }] });
            send(&format!("{front}/messages/batches"), &batch).await;
            assert_eq!(provider.only_one(), owner);
        }
    }
    end(running).await;
}

/// What is made in this session, and who has it.
async fn made(running: &Running, provider: &Provider, session: &str, (path, body): (&str, &Value)) -> (String, String) {
    let made = id(&good(&send_in(session, running, (Method::POST, path), body).await));
    (made, provider.only_one())
}

/// A file that lies with another account than this one.
async fn file_elsewhere(running: &Running, provider: &Provider, path: &str, here: &str) -> (String, String) {
    for session in 0..64 {
        let (file, owner) = made(running, provider, &format!("s{session}"), (path, &json!(FORM))).await;
        if owner != here {
            return (file, owner);
        }
    }
    panic!("all sessions meet {here}");
}

fn with_file(file: &str, more: &Value) -> Value {
    let mut body = json!({ "model": "gpt-5", "input": [{ "role": "user", "content": [{ "type": "input_file", "file_id": file }] }] });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_one_after_the_other_lies_together() {
    let (provider, address) = Provider::start().await;
    let home = Home::new();
    home.write("keypool.toml", &toml("openai", address));
    let running = Running::of(home.command(&["serve"]));
    let post = async |path: &str, body: &Value| id(&good(&send(&running, (Method::POST, path), body).await));
    for front in ["/v1", "/to/there/v1"] {
        let at = |path: &str| format!("{front}{path}");
        for round in 0..3 {
            // An answer that was named, and a file that came after it.
            let answer = post(&at("/responses"), &json!({ "model": "gpt-5", "input": "hello" })).await;
            let file = upload(&running, &at("/files")).await;
            post(&at("/responses"), &with_file(&file, &json!({ "previous_response_id": answer }))).await;
            // Things that are filled once they were made.
            let store = post(&at("/vector_stores"), &json!({ "name": "n" })).await;
            for _ in 0..2 {
                let file = upload(&running, &at("/files")).await;
                post(&at(&format!("/vector_stores/{store}/files")), &json!({ "file_id": file })).await;
            }
            let assistant = post(&at("/assistants"), &json!({ "model": "gpt-5" })).await;
            let thread = post(&at("/threads"), &json!({})).await;
            post(&at(&format!("/threads/{thread}/runs")), &json!({ "assistant_id": assistant })).await;
            let conversation = post(&at("/conversations"), &json!({})).await;
            let file = upload(&running, &at("/files")).await;
            post(&at("/responses"), &with_file(&file, &json!({ "conversation": conversation }))).await;
            let container = post(&at("/containers"), &json!({ "name": "n" })).await;
            post(&at(&format!("/containers/{container}/files")), &json!({ "file_id": file })).await;
            let asked = provider.arrivals();
            assert!(asked.iter().all(|(key, _)| *key == asked[0].0), "{front} {round}: {asked:?}");
        }
        // What is looked at is what the next file is for.
        let (_, here) = made(&running, &provider, "", (&at("/files"), &json!(FORM))).await;
        let (file, there) = file_elsewhere(&running, &provider, &at("/files"), &here).await;
        let store = post(&at("/vector_stores"), &json!({ "file_ids": [file] })).await;
        post(&at("/vector_stores"), &json!({ "file_ids": [upload(&running, &at("/files")).await] })).await;
        assert!(provider.arrivals().iter().all(|(key, _)| *key == there), "{front}: what names it moves the run");
        let (file, _) = file_elsewhere(&running, &provider, &at("/files"), &there).await;
        post(&at("/vector_stores"), &json!({ "file_ids": [file] })).await;
        good(&send(&running, (Method::GET, &at(&format!("/vector_stores/{store}"))), &Value::Null).await);
        provider.arrivals();
        let (file, _) = made(&running, &provider, "", (&at("/files"), &json!(FORM))).await;
        post(&at(&format!("/vector_stores/{store}/files")), &json!({ "file_id": file })).await;
        assert_eq!(provider.only_one(), there, "{front}");
    }
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_without_anything_made_are_everybodys() {
    let (provider, address) = Provider::start().await;
    let home = Home::new();
    home.write("keypool.toml", &toml("openai", address).replace("wait = 0", "wait = 0\nstrategy = \"round-robin\""));
    let running = Running::of(home.command(&["serve"]));
    for _ in 0..2 * KEYS.len() {
        good(&send(&running, (Method::POST, "/v1/responses"), &json!({ "model": "gpt-5", "input": "hello" })).await);
    }
    let mut asked: Vec<String> = provider.arrivals().into_iter().map(|(key, _)| key).collect();
    asked.sort();
    asked.dedup();
    assert_eq!(asked, KEYS);
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_with_two_accounts_is_told_and_asked_of_none() {
    let (provider, address) = Provider::start().await;
    let home = Home::new();
    home.write("keypool.toml", &toml("openai", address));
    let running = Running::of(home.command(&["serve"]));
    for front in ["/v1", "/to/there/v1"] {
        let at = |path: &str| format!("{front}{path}");
        let (one, here) = made(&running, &provider, "", (&at("/files"), &json!(FORM))).await;
        let (other, _) = file_elsewhere(&running, &provider, &at("/files"), &here).await;
        let (store, _) = made(&running, &provider, "", (&at("/vector_stores"), &json!({ "file_ids": [one] }))).await;
        for (path, body) in [
            ("/vector_stores", json!({ "file_ids": [one, other] })),
            (&*format!("/vector_stores/{store}/files"), json!({ "file_id": other })),
            (
                "/responses",
                with_file(&other, &json!({ "tools": [{ "type": "file_search", "vector_store_ids": [store] }] })),
            ),
        ] {
            let told = send(&running, (Method::POST, &at(path)), &body).await;
            assert_eq!(told.status, StatusCode::BAD_REQUEST, "{path}: {told:?}");
            let error = &told.json()["error"];
            assert!(error["message"].as_str().unwrap().contains("several accounts"), "{path}: {error}");
            assert_eq!(error["type"], "invalid_request_error", "{path}");
            assert!(provider.arrivals().is_empty(), "{path}");
        }
    }
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_its_calls_and_its_things_with_one_account() {
    let (provider, address) = Provider::start().await;
    let home = Home::new();
    home.write("keypool.toml", &toml("openai", address));
    let running = Running::of(home.command(&["serve"]));
    let mut owners = Vec::new();
    for front in ["/v1", "/to/there/v1"] {
        let at = |path: &str| format!("{front}{path}");
        for n in 0..8 {
            let session = format!("session {n}");
            // Nothing is kept of this: where the session is does not depend on it.
            let chat = (
                at("/chat/completions"),
                json!({ "model": "gpt-5", "messages": [{ "role": "user", "content": "x" }] }),
            );
            let (_, owner) = made(&running, &provider, &session, (&chat.0, &chat.1)).await;
            for (path, body) in [
                (at("/conversations"), json!({})),
                (at("/files"), json!(FORM)),
                (at("/responses"), json!({ "model": "gpt-5", "input": "hello" })),
                (at("/vector_stores"), json!({})),
                chat,
            ] {
                assert_eq!(made(&running, &provider, &session, (&path, &body)).await.1, owner, "{session} {path}");
            }
            owners.push(owner);
        }
    }
    owners.sort();
    owners.dedup();
    assert!(owners.len() > 1, "{owners:?}");
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_batch_is_made_where_its_file_is_and_what_was_deleted_is_nowhere() {
    let (provider, address) = Provider::start().await;
    provider.books().anthropics = true;
    let home = Home::new();
    home.write("keypool.toml", &toml("anthropic", address));
    let running = Running::of(home.command(&["serve"]));
    for front in ["/v1", "/to/there/v1"] {
        let at = |path: &str| format!("{front}{path}");
        let (file_here, here) = made(&running, &provider, "", (&at("/files"), &json!(FORM))).await;
        let (file, there) = file_elsewhere(&running, &provider, &at("/files"), &here).await;
        for (said, requests) in [("w", 400), (&*"long ".repeat(5_000), 100)] {
            let of = |n: usize, content: Value| {
                let messages = json!([{ "role": "user", "content": content }]);
                json!({ "custom_id": format!("c{n}"), "params": { "model": "claude-x", "max_tokens": 9, "messages": messages } })
            };
            for (file, owner) in [(&file_here, &here), (&file, &there)] {
                let document = json!([{ "type": "document", "source": { "type": "file", "file_id": file } }]);
                let mut all = vec![of(0, document)];
                all.extend((1..requests).map(|n| of(n, json!(format!("{said}{n}")))));
                let batch = json!({ "requests": all });
                let made = made(&running, &provider, "", (&at("/messages/batches"), &batch)).await;
                assert_eq!(made.1, *owner, "{front} {requests}");
            }
        }
        // What was deleted is no more known to be there: what names it goes where the run is.
        good(&send(&running, (Method::DELETE, &at(&format!("/files/{file}"))), &Value::Null).await);
        assert_eq!(provider.only_one(), there);
        let naming =
            |file: &str| json!({ "requests": [{ "custom_id": "a", "params": { "container": "", "file_id": file } }] });
        good(&send(&running, (Method::POST, &at("/messages/batches")), &naming(&file_here)).await);
        assert_eq!(provider.only_one(), here);
        send(&running, (Method::POST, &at("/messages/batches")), &naming(&file)).await;
        assert_eq!(provider.arrivals()[0].0, here, "{front}");
    }
    end(running).await;
}

/// As official clients fetch them: by the whole URL that a batch names, with the token that they have.
#[tokio::test(flavor = "multi_thread")]
async fn results_are_fetched_here() {
    for keys in [&KEYS[..1], &KEYS] {
        let (provider, address) = Provider::start().await;
        let home = Home::new();
        home.write("keypool.toml", &toml_of("anthropic", address, keys));
        let running = Running::of(home.command(&["serve"]));
        for front in ["/v1", "/anthropic/v1", "/to/there/v1"] {
            let path = format!("{front}/messages/batches");
            let answer = good(&send(&running, (Method::POST, &path), &json!({ "requests": [] })).await);
            let (batch, owner) = (id(&answer), provider.only_one());
            let ours = format!("{}{path}/{batch}/results", running.url);
            assert_eq!(answer["results_url"], ours, "{answer}");
            for (method, below) in [(Method::GET, ""), (Method::POST, "/cancel")] {
                let told = send(&running, (method, &format!("{path}/{batch}{below}")), &Value::Null).await;
                assert_eq!(good(&told)["results_url"], ours, "{below}");
                assert_eq!(told.header("content-length"), told.body.len().to_string(), "{below}");
            }
            let list = good(&send(&running, (Method::GET, &path), &Value::Null).await);
            let all = list["data"].as_array().unwrap();
            assert!(all.iter().any(|one| one["results_url"] == ours), "{list}");
            provider.arrivals();
            good(&send(&running, (Method::GET, ours.strip_prefix(&running.url).unwrap()), &Value::Null).await);
            assert_eq!(provider.only_one(), owner, "{front}");
        }
        end(running).await;
    }
}
