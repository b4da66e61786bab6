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
        let of = books.has.clone();
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
            ("POST", [.., kind]) => (200, json!({ "id": make(kind), "usage": { "total_tokens": 1 } })),
            ("GET", [.., id]) => (200, json!({ "id": id })),
            _ => error(405, "no such call".to_owned()),
        }
    }
}

fn toml(kind: &str, address: SocketAddr) -> String {
    let keys = |front: &str| {
        let of = |(at, key)| format!("{{ id = \"{front}{at}\", owner = \"{front}-org{at}\", secret = \"{key}\" }}");
        KEYS.iter().enumerate().map(of).collect::<Vec<_>>().join(", ")
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

async fn send(running: &Running, (method, path): (Method, &str), body: &Value) -> Answer {
    let request = Request::builder().method(method).uri(format!("{}{path}", running.url));
    let request = request.header("authorization", format!("Bearer {PLACEHOLDER}"));
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
    let mut owners = Vec::new();
    for front in ["/v1", "/to/there/v1", "/v1", "/to/there/v1", "/v1"] {
        let (path, jobs) = (format!("{front}/files"), format!("{front}/fine_tuning/jobs"));
        let (one, other, last) =
            tokio::join!(upload(&running, &path), upload(&running, &path), upload(&running, &path));
        let asked = provider.arrivals();
        assert!(asked.len() == 3 && asked.iter().all(|(key, _)| *key == asked[0].0), "{asked:?}");
        let job = json!({ "model": "gpt-4.1-mini", "training_file": one, "validation_file": other, "other": last });
        good(&send(&running, (Method::POST, &jobs), &job).await);
        assert_eq!(provider.only_one(), asked[0].0);
        owners.push(asked[0].0.clone());
    }
    // Once it was asked about them, the next are another's.
    owners.sort();
    owners.dedup();
    assert!(owners.len() > 1, "{owners:?}");
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
