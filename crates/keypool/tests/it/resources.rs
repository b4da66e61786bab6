//! Files, caches, batches and similar resources are used with their own project and visible only to their own tenant.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::{
    hostile::gzip,
    support::{Answer, GENERATE, Gateway, TOKEN, Upstream, hello, key, reply, sim},
};

const TENANTS: &str =
    "[[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\n[[tenants]]\nname = \"b\"\ntoken = \"token-of-b\"\n";

fn with_tenants(upstream: &str, keys: usize) -> Gateway {
    Gateway::start_with(upstream, keys, |command, folder| {
        std::fs::write(folder.join("keypool.toml"), TENANTS).expect("a writable file");
        command.args(["--db", "keypool.db"]);
    })
}

async fn send(gateway: &Gateway, token: &str, method: Method, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let request = Request::builder().method(method).uri(path).header("x-goog-api-key", token);
    gateway.send(request.header("content-type", "application/json").body(Full::from(body)).expect("a request")).await
}

async fn get(gateway: &Gateway, token: &str, path: &str) -> Answer {
    send(gateway, token, Method::GET, path, &Value::Null).await
}

/// Uploads a file in one request and returns its name.
async fn upload(gateway: &Gateway, token: &str) -> String {
    let body = "--b\r\ncontent-type: application/json\r\n\r\n{\"file\":{\"mimeType\":\"text/plain\"}}\r\n--b\r\n\
                content-type: text/plain\r\n\r\nhello\r\n--b--\r\n";
    let request = Request::post("/upload/v1beta/files?uploadType=multipart")
        .header("x-goog-api-key", token)
        .header("x-goog-upload-protocol", "multipart")
        .header("content-type", "multipart/related; boundary=b");
    let answer = gateway.send(request.body(Full::from(body)).expect("a request")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["file"]["name"].as_str().expect("a name").to_owned()
}

fn request_with_file(file: &str) -> Value {
    json!({ "contents": [{ "parts": [{ "text": "What is it?" }, { "fileData": { "fileUri": file, "mimeType": "text/plain" } }] }] })
}

#[tokio::test]
async fn file_is_read_by_its_own_project() {
    let sim = sim(3).await;
    let gateway = Gateway::start(&sim.url(), 3, &["--db", "none"]);
    for _ in 0..3 {
        let file = upload(&gateway, TOKEN).await;
        for n in 0..6 {
            let name = if n % 2 == 0 {
                file.clone()
            } else {
                format!("https://generativelanguage.googleapis.com/v1beta/{file}")
            };
            let answer = gateway.post(GENERATE, &request_with_file(&name)).await;
            assert_eq!(answer.status, 200, "{name}: {}", answer.text());
            let answer = gateway.get(&format!("/v1beta/{file}")).await;
            assert_eq!(answer.json()["name"], file.as_str(), "{}", answer.text());
        }
    }
    let used = |n: usize| sim.report().key(&format!("key-{n}")).map_or(0, |tally| tally.accepted);
    assert!((0..3).all(|n| used(n) > 0), "uploads use all projects: {:?}", sim.report());
}

#[tokio::test]
async fn caches_stay_with_their_project() {
    let sim = sim(3).await;
    let gateway = Gateway::start(&sim.url(), 3, &["--db", "none"]);
    let text = "words ".repeat(6_000);
    for _ in 0..3 {
        let cache = json!({ "model": "models/gemini-2.5-flash", "contents": [{ "role": "user", "parts": [{ "text": text }] }] });
        let answer = gateway.post("/v1beta/cachedContents", &cache).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let cache = answer.json()["name"].as_str().expect("a name").to_owned();
        for _ in 0..4 {
            let mut ask = hello();
            ask["cachedContent"] = cache.as_str().into();
            let answer = gateway.post(GENERATE, &ask).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
}

/// A provider whose keys can access only resources that they created themselves.
fn only_own_resources(request: &Request<Bytes>) -> Response<Full<Bytes>> {
    let key = request.headers()["x-goog-api-key"].to_str().expect("a key").to_owned();
    let owner = format!("of-{}", &key[key.len() - 2..]);
    let path = request.uri().path();
    let body = String::from_utf8_lossy(request.body()).into_owned();
    let made = |name: String| reply(200, "application/json", json!({ "name": name }).to_string());
    if request.method() == Method::GET {
        let status = if path.ends_with(&owner) { 200 } else { 403 };
        return reply(status, "application/json", json!({ "name": path }).to_string());
    }
    if path.ends_with(":batchGenerateContent") {
        return made(format!("batches/{owner}"));
    }
    if path.ends_with(":predictLongRunning") {
        return made(format!("models/veo/operations/{owner}"));
    }
    if body.contains("previous_interaction_id") && !body.contains(&owner) {
        return reply(403, "application/json", "{}");
    }
    if body.contains("\"stream\":true") {
        let event = json!({ "event_type": "interaction.start", "interaction": { "id": owner } });
        return reply(200, "text/event-stream", format!("data: {event}\n\n"));
    }
    reply(200, "application/json", json!({ "id": owner, "object": "interaction" }).to_string())
}

#[tokio::test]
async fn batches_operations_and_interactions_stay_with_their_project() {
    let upstream = Upstream::start(only_own_resources).await;
    let gateway = Gateway::start(&upstream.url, 3, &["--db", "none"]);
    for _ in 0..3 {
        for (verb, asked) in
            [("batchGenerateContent", json!({ "batch": {} })), ("predictLongRunning", json!({ "instances": [] }))]
        {
            let answer = gateway.post(&format!("/v1beta/models/gemini-2.5-flash:{verb}"), &asked).await;
            assert_eq!(answer.status, 200, "{verb}: {}", answer.text());
            let name = answer.json()["name"].as_str().expect("a name").to_owned();
            for _ in 0..3 {
                let answer = gateway.get(&format!("/v1beta/{name}")).await;
                assert_eq!(answer.status, 200, "{name}: {}", answer.text());
            }
        }
        for stream in [false, true] {
            let ask = json!({ "model": "gemini-2.5-flash", "input": "Hello", "stream": stream });
            let answer = gateway.post("/v1beta/interactions", &ask).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let id = answer.text().split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next().map(str::to_owned));
            let id = id.expect("an id");
            for _ in 0..3 {
                let next = json!({ "model": "gemini-2.5-flash", "input": "And?", "previous_interaction_id": id });
                let answer = gateway.post("/v1beta/interactions", &next).await;
                assert_eq!(answer.status, 200, "stream {stream}: {}", answer.text());
                assert_eq!(gateway.get(&format!("/v1beta/interactions/{id}")).await.status, 200);
            }
        }
    }
}

#[tokio::test]
async fn resource_of_another_tenant_is_not_found_and_takes_no_key() {
    let sim = sim(2).await;
    let gateway = with_tenants(&sim.url(), 2);
    let file = upload(&gateway, "token-of-a").await;
    assert_eq!(get(&gateway, "token-of-a", &format!("/v1beta/{file}")).await.status, 200);
    let before = sim.report().total.arrivals;
    for (token, name) in [("token-of-b", &*file), (TOKEN, &file), ("token-of-a", "files/of-nobody")] {
        let answer = get(&gateway, token, &format!("/v1beta/{name}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{}", answer.text());
        assert_eq!(answer.json()["error"]["status"], "NOT_FOUND");
        for (method, path, body) in [
            (Method::DELETE, format!("/v1beta/{name}"), Value::Null),
            (Method::GET, format!("/v1beta/{}", name.replace('/', "%2F")), Value::Null),
            (Method::GET, format!("/download/v1beta/{name}:download?alt=media"), Value::Null),
            (Method::POST, GENERATE.to_owned(), request_with_file(name)),
        ] {
            let answer = send(&gateway, token, method, &path, &body).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {}", answer.text());
        }
    }
    assert_eq!(sim.report().total.arrivals, before);
}

#[tokio::test]
async fn file_keeps_its_owner_if_another_tenant_chooses_its_name() {
    let file = r#"{"file":{"name":"files/same"},"name":"files/same"}"#;
    let upstream = Upstream::always(200, "application/json", file).await;
    let gateway = with_tenants(&upstream.url, 1);
    let statuses = async || {
        let mut found = Vec::new();
        for token in ["token-of-a", "token-of-b", TOKEN] {
            found.push(get(&gateway, token, "/v1beta/files/same").await.status.as_u16());
        }
        found
    };
    upload(&gateway, "token-of-a").await;
    upload(&gateway, "token-of-b").await;
    upload(&gateway, TOKEN).await;
    assert_eq!(statuses().await, [200, 404, 404]);
    gateway.wait_for_log("a resource of this name has another owner").await;
    assert_eq!(send(&gateway, "token-of-a", Method::DELETE, "/v1beta/files/same", &Value::Null).await.status, 200);
    upload(&gateway, "token-of-b").await;
    assert_eq!(statuses().await, [404, 200, 404]);
}

#[tokio::test]
async fn unreadable_body_that_could_name_a_resource_is_refused() {
    let sim = sim(2).await;
    let gateway = with_tenants(&sim.url(), 2);
    let lenient = "{contents:[{parts:[{fileData:{fileUri:'files/a'}}]}]}";
    let request = || Request::post(GENERATE).header("x-goog-api-key", "token-of-b");
    let answer = gateway.send(request().body(Full::from(lenient)).expect("a request")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let names_one = gzip(request_with_file("files/of-nobody").to_string().as_bytes());
    for (coding, status) in [("br", StatusCode::UNSUPPORTED_MEDIA_TYPE), ("gzip", StatusCode::NOT_FOUND)] {
        let packed =
            request().header("content-encoding", coding).body(Full::new(names_one.clone())).expect("a request");
        assert_eq!(gateway.send(packed).await.status, status);
    }
    assert_eq!(sim.report().total.arrivals, 0);
}

#[tokio::test]
async fn request_with_resources_of_two_projects_is_refused() {
    let sim = sim(2).await;
    let gateway = Gateway::start(&sim.url(), 2, &["--db", "none"]);
    let mut files = Vec::new();
    let mut keys = std::collections::HashMap::new();
    for _ in 0..8 {
        let file = upload(&gateway, TOKEN).await;
        let answer = gateway.get(&format!("/v1beta/{file}")).await;
        if keys.insert(answer.header("x-keypool-key").to_owned(), file.clone()).is_none() {
            files.push(file);
        }
    }
    let [first, second] = &files[..] else { panic!("uploads went to one project") };
    let mut ask = request_with_file(first);
    let parts = ask["contents"][0]["parts"].as_array_mut().expect("parts");
    parts.push(json!({ "file_data": { "file_uri": second, "mime_type": "text/plain" } }));
    let answer = gateway.post(GENERATE, &ask).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.text().contains(first) && answer.text().contains(second), "{}", answer.text());
    assert!(answer.text().contains("create one of them again"), "{}", answer.text());
}

#[tokio::test]
async fn deleted_file_is_forgotten_and_others_survive_a_restart() {
    let sim = sim(2).await;
    let mut gateway = with_tenants(&sim.url(), 2);
    let (first, second) = (upload(&gateway, "token-of-a").await, upload(&gateway, "token-of-a").await);
    let path = format!("/v1beta/{first}");
    assert_eq!(send(&gateway, "token-of-a", Method::DELETE, &path, &Value::Null).await.status, 200);
    assert_eq!(get(&gateway, "token-of-a", &path).await.status, 404);
    gateway.signal("TERM");
    assert!(gateway.wait().success());
    let folder = std::mem::replace(&mut gateway.folder, tempfile::tempdir().expect("a folder"));
    let mut command = crate::support::program(folder.path());
    command.args([
        "serve",
        "--keys",
        "keys.txt",
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        &sim.url(),
        "--db",
        "keypool.db",
    ]);
    let gateway = Gateway::spawn(command, folder);
    for _ in 0..4 {
        assert_eq!(get(&gateway, "token-of-a", &format!("/v1beta/{second}")).await.status, 200);
    }
    assert_eq!(get(&gateway, "token-of-a", &path).await.status, 404);
}

#[tokio::test]
async fn list_has_the_tenants_files_of_all_projects_in_pages() {
    let sim = sim(3).await;
    let gateway = with_tenants(&sim.url(), 3);
    let mut own = Vec::new();
    for _ in 0..7 {
        own.push(upload(&gateway, "token-of-a").await);
    }
    own.sort();
    let others = upload(&gateway, "token-of-b").await;
    let (mut listed, mut token) = (Vec::new(), String::new());
    for _ in 0..3 {
        let answer = get(&gateway, "token-of-a", &format!("/v1beta/files?pageSize=3&pageToken={token}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let page = answer.json();
        for file in page["files"].as_array().expect("files") {
            assert_eq!(file["state"], "ACTIVE");
            listed.push(file["name"].as_str().expect("a name").to_owned());
        }
        token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
    }
    assert_eq!((listed, &*token), (own, ""));
    let names = |answer: Answer| answer.json()["files"].as_array().map_or(0, Vec::len);
    assert_eq!(get(&gateway, "token-of-b", "/v1beta/files").await.json()["files"][0]["name"], others.as_str());
    assert_eq!(names(gateway.get("/v1beta/files").await), 0, "the gateway's own token has no files");
}

#[tokio::test]
async fn resources_of_openai_are_pinned() {
    let upstream = Upstream::start(|request| {
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        match (request.method().as_str(), request.uri().path()) {
            ("POST", "/v1/files") => reply(200, "application/json", r#"{"id":"file-1","object":"file"}"#),
            ("POST", "/v1/responses") if body["stream"] == true => reply(
                200,
                "text/event-stream",
                "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_2\"}}\n\n\
                 data: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_2\"}}\n\n",
            ),
            ("POST", "/v1/responses") => {
                reply(200, "application/json", r#"{"id":"resp_1","object":"response","output":[]}"#)
            }
            (_, path) => {
                reply(200, "application/json", format!("{{\"id\":\"{}\"}}", path.rsplit('/').next().unwrap_or("")))
            }
        }
    })
    .await;
    let gateway = Gateway::start(&upstream.url, 4, &["--db", "none", "--provider", "openai"]);
    let form = "--b\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nassistants\r\n--b--\r\n";
    let request = Request::post("/v1/files").header("authorization", format!("Bearer {TOKEN}"));
    let request = request.header("content-type", "multipart/form-data; boundary=b").body(Full::from(form));
    assert_eq!(gateway.send(request.expect("a request")).await.status, 200);
    let (whole, streamed) =
        (json!({ "model": "gpt-5", "input": "Hi" }), json!({ "model": "gpt-5", "input": "Hi", "stream": true }));
    assert_eq!(gateway.post("/v1/responses", &whole).await.status, 200);
    assert!(gateway.post("/v1/responses", &streamed).await.text().contains("resp_2"));
    let keys_of = |from: usize| {
        let requests = upstream.requests();
        let keys =
            requests[from..].iter().map(|sent| sent.headers()["authorization"].to_str().expect("text").to_owned());
        keys.collect::<std::collections::HashSet<_>>()
    };
    for (n, ask) in [
        (1, json!({ "model": "gpt-5", "input": "And?", "previous_response_id": "resp_1" })),
        (2, json!({ "model": "gpt-5", "input": "And?", "previous_response_id": "resp_2" })),
        (
            0,
            json!({ "model": "gpt-5", "input": [{ "role": "user", "content": [{ "type": "input_file", "file_id": "file-1" }] }], "store": false }),
        ),
    ] {
        let first = upstream.requests()[n].headers()["authorization"].to_str().expect("text").to_owned();
        let from = upstream.requests().len();
        for _ in 0..4 {
            let answer = gateway.post("/v1/responses", &ask).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        assert_eq!(keys_of(from), [first].into());
    }
    let answer = gateway.get("/v1/files").await;
    assert_eq!(answer.json()["data"][0]["id"], "file-1", "{}", answer.text());
    assert_eq!(gateway.get("/v1/files/file-9").await.status, 404);
    let unknown = json!({ "model": "gpt-5", "input": "x", "previous_response_id": "resp_9" });
    assert_eq!(gateway.post("/v1/responses", &unknown).await.status, 404);
}

/// Starts a gateway with two tenants and a provider of each kind.
async fn with_all_kinds(
    answer: impl Fn(&Request<Bytes>) -> Response<Full<Bytes>> + Send + Sync + 'static,
) -> (Upstream, Gateway) {
    let upstream = Upstream::start(answer).await;
    let provider = |kind: &str, name: &str| {
        format!(
            "[[providers]]\nkind = \"{kind}\"\nname = \"{name}\"\nkeys = [{{ secret = \"sk-{name}-not-a-real-key\" }}]\nupstream = \"{}\"\n",
            upstream.url
        )
    };
    let providers = [("openai", "openai"), ("anthropic", "anthropic"), ("api-key-header", "other")];
    let config = providers.map(|(kind, name)| provider(kind, name)).concat() + TENANTS;
    let gateway = Gateway::configured(&upstream.url, 1, &config);
    (upstream, gateway)
}

fn empty_object(_: &Request<Bytes>) -> Response<Full<Bytes>> {
    reply(200, "application/json", "{}")
}

#[tokio::test]
async fn names_are_found_in_every_place_of_a_body() {
    let (upstream, gateway) = with_all_kinds(empty_object).await;
    let send = async |token: &str, path: &str, body: &str| {
        let request = Request::post(path).header("x-goog-api-key", token).header("content-type", "application/json");
        gateway.send(request.body(Full::from(body.to_owned())).expect("a request")).await
    };
    let (responses, messages) = ("/openai/v1/responses", "/anthropic/v1/messages");
    let tool =
        r#"{"model":"m","tools":[{"type":"code_interpreter","container":{"type":"auto","file_ids":["file-1"]}}]}"#;
    let skill = |kind: &str, id: &str| {
        json!({ "model": "m", "container": { "skills": [{ "type": kind, "skill_id": id }] } }).to_string()
    };
    let file = |more: &str| format!(r#"{{"model":"m","input":[{{"file_id":"file-1"}}],"x":{more}}}"#);
    let deep = file(&format!("{}{}", "[".repeat(200), "]".repeat(200)));
    for (path, body, status) in [
        (responses, tool, StatusCode::NOT_FOUND),
        (messages, &skill("custom", "skill_1"), StatusCode::NOT_FOUND),
        (responses, &deep, StatusCode::BAD_REQUEST),
        (responses, &file("1e999"), StatusCode::BAD_REQUEST),
        (responses, &file(r#""\ud800""#), StatusCode::BAD_REQUEST),
    ] {
        let answer = send("token-of-a", path, body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }
    assert_eq!(upstream.requests().len(), 0);
    let answer = send("token-of-a", messages, &skill("anthropic", "pptx")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn tenant_reads_its_own_resources_only() {
    let (upstream, gateway) = with_all_kinds(empty_object).await;
    for (method, path) in [
        (Method::GET, "/openai/v1/chat/completions"),
        (Method::HEAD, "/openai/v1/chat/completions"),
        (Method::GET, "/openai/v1/chat/completions/chatcmpl-1"),
        (Method::DELETE, "/openai/v1/chat/completions/chatcmpl-1"),
        (Method::POST, "/openai/v1/chat/completions/chatcmpl-1"),
        // Unknown paths.
        (Method::GET, "/openai/v1/chatkit/threads/cthr_1"),
        (Method::POST, "/openai/v1/chatkit/sessions/cksess_1/cancel"),
        (Method::GET, "/openai/v1/organization/usage/completions"),
        (Method::GET, "/openai/v1/Files/file-1"),
        (Method::POST, "/anthropic/v1/sessions"),
        (Method::POST, "/v1beta/agents/a"),
        (Method::DELETE, "/openai/v1/models/ft:gpt-5:a::b"),
        (Method::GET, "/openai/v1/audio/speech"),
        // Runs may read stored chats and files.
        (Method::POST, "/openai/v1/evals"),
        (Method::POST, "/openai/v1/evals/eval_1/runs"),
        (Method::GET, "/openai/v1/skills"),
        (Method::GET, "/anthropic/v1/skills"),
        (Method::GET, "/anthropic/v1/sessions"),
        (Method::DELETE, "/v1beta/models/m"),
        (Method::GET, "/v1beta/models/m/operations"),
        (Method::GET, "/v1beta/generatedFiles"),
        (Method::GET, "/v1beta/corpora"),
        (Method::POST, "/gemini/batch"),
    ] {
        let answer = send(&gateway, "token-of-a", method.clone(), path, &Value::Null).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}: {}", answer.text());
    }
    assert_eq!(upstream.requests().len(), 0);
    for path in [
        "/openai/v1/models",
        "/openai/v1/models/gpt-5",
        "/v1beta/openai/models",
        "/v1beta/openai/models/gemini-2.5-pro",
    ] {
        let status = get(&gateway, "token-of-a", path).await.status;
        assert!(status == 200 || path == "/openai/v1/models/gpt-5", "{path}: {status}");
    }
    for path in ["/openai/v1/evals", "/openai/v1/chatkit/threads/cthr_1", "/anthropic/v1/sessions/sesn_1"] {
        assert_eq!(get(&gateway, TOKEN, path).await.status, 200, "the gateway's own token sees everything");
    }
    // A provider of the kind `api-key-header` may have any paths.
    for (path, status) in [("/to/other/v1/voices/21m00Tcm4TlvDq8ikWAM", 200), ("/to/other/v1/files/file-1", 404)] {
        let request = Request::get(path).header("authorization", "Bearer token-of-a").body(Full::default());
        let answer = gateway.send(request.expect("a request")).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn resources_that_other_answers_create_are_known() {
    let (_upstream, gateway) = with_all_kinds(|request| {
        let path = request.uri().path();
        let is_stream = request.body().windows(13).any(|bytes| bytes == b"\"stream\":true");
        let id = |id: &str| json!({ "id": id });
        let ran = json!({ "type": "bash_code_execution_tool_result", "content": { "content": [{ "file_id": "file_1" }] } });
        let answer = match (request.method().as_str(), path) {
            ("POST", "/v1/uploads") => id("upload_1"),
            ("POST", "/v1/uploads/upload_1/complete") => json!({ "id": "upload_1", "file": { "id": "file-1" } }),
            ("POST", "/v1/videos") => id("video_1"),
            ("POST", "/v1/videos/video_1/remix") => id("video_2"),
            ("POST", "/v1/threads/runs") => json!({ "id": "run_1", "thread_id": "thread_1" }),
            ("POST", "/v1/videos/edits") => id("video_3"),
            ("POST", "/v1/videos/extensions") => id("video_4"),
            ("POST", "/v1/videos/generations") => json!({ "request_id": "5d1c" }),
            ("POST", "/v1/videos/characters") => id("char_1"),
            ("POST", "/v1/chat/completions") if is_stream => {
                json!({ "id": "chatcmpl-2", "object": "chat.completion.chunk" })
            }
            ("POST", "/v1/chat/completions") => id("chatcmpl-1"),
            ("POST", "/v1/assistants") => id("asst_1"),
            ("POST", "/v1/responses") if is_stream => {
                json!({ "type": "response.output_item.done", "item": { "container_id": "cntr_2" } })
            }
            ("POST", "/v1/responses") => json!({ "id": "resp_1", "output": [{ "container_id": "cntr_1" }] }),
            ("POST", "/v1/messages") if is_stream => json!({ "type": "content_block_start", "content_block": { "content": { "content": [{ "file_id": "file_2" }] } } }),
            ("POST", "/v1/messages") => json!({ "id": "msg_1", "content": [{ "type": "text", "text": "" }, ran] }),
            ("POST", _) => return reply(404, "application/json", "{}"),
            (_, path) => id(path.rsplit('/').next().unwrap_or_default()),
        };
        if is_stream {
            return reply(200, "text/event-stream", format!("data: {answer}\n\n"));
        }
        reply(200, "application/json", answer.to_string())
    })
    .await;
    let run = json!({ "model": "m", "tools": [{ "type": "code_execution_20250825" }] });
    let streamed = |body: &Value| {
        let mut body = body.clone();
        body["stream"] = true.into();
        body
    };
    let (ask, kept) = (json!({ "model": "m" }), json!({ "model": "m", "store": true }));
    assert_eq!(send(&gateway, "token-of-a", Method::POST, "/openai/v1/chat/completions", &ask).await.status, 200);
    for (path, body, created) in [
        ("/openai/v1/uploads", json!({}), "/openai/v1/uploads/upload_1"),
        ("/openai/v1/uploads/upload_1/complete", json!({}), "/openai/v1/files/file-1"),
        ("/openai/v1/videos", ask.clone(), "/openai/v1/videos/video_1"),
        ("/openai/v1/videos/video_1/remix", json!({}), "/openai/v1/videos/video_2"),
        ("/openai/v1/videos/edits", json!({ "video": { "id": "video_1" } }), "/openai/v1/videos/video_3"),
        ("/openai/v1/videos/extensions", json!({}), "/openai/v1/videos/video_4"),
        ("/openai/v1/videos/generations", ask.clone(), "/openai/v1/videos/5d1c"),
        ("/openai/v1/videos/characters", json!({}), "/openai/v1/videos/characters/char_1"),
        ("/openai/v1/chat/completions", kept.clone(), "/openai/v1/chat/completions/chatcmpl-1/messages"),
        ("/openai/v1/chat/completions", streamed(&kept), "/openai/v1/chat/completions/chatcmpl-2"),
        ("/openai/v1/assistants", ask.clone(), "/openai/v1/assistants/asst_1"),
        ("/openai/v1/threads/runs", json!({ "assistant_id": "asst_1" }), "/openai/v1/threads/thread_1"),
        ("/openai/v1/responses", ask.clone(), "/openai/v1/containers/cntr_1/files/cfile_1/content"),
        ("/openai/v1/responses", streamed(&ask), "/openai/v1/containers/cntr_2"),
        ("/anthropic/v1/messages", run.clone(), "/anthropic/v1/files/file_1"),
        ("/anthropic/v1/messages", streamed(&run), "/anthropic/v1/files/file_2"),
    ] {
        assert_eq!(get(&gateway, "token-of-a", created).await.status, StatusCode::NOT_FOUND, "{created}");
        let answer = send(&gateway, "token-of-a", Method::POST, path, &body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let answer = get(&gateway, "token-of-a", created).await;
        assert_eq!(answer.status, 200, "{created}: {}", answer.text());
        assert_eq!(get(&gateway, "token-of-b", created).await.status, StatusCode::NOT_FOUND, "{created}");
    }
}

#[tokio::test]
async fn list_leaves_out_resources_of_an_unavailable_project() {
    let sim = sim(2).await;
    let gateway = with_tenants(&sim.url(), 2);
    let mut of_key = std::collections::HashMap::new();
    for _ in 0..8 {
        let file = upload(&gateway, "token-of-a").await;
        let answer = get(&gateway, "token-of-a", &format!("/v1beta/{file}")).await;
        of_key.entry(answer.header("x-keypool-key").to_owned()).or_insert_with(Vec::new).push(file);
    }
    assert_eq!(of_key.len(), 2, "uploads use both projects");
    std::fs::write(gateway.folder.path().join("keys.txt"), format!("{} id=key-1 project=project-1\n", key(1)))
        .expect("a writable file");
    gateway.wait_for_log("configuration reloaded").await;
    let answer = get(&gateway, "token-of-a", "/v1beta/files").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let listed = answer.json()["files"].as_array().map(|files| {
        files
            .iter()
            .map(|file| file["name"].as_str().expect("a name").to_owned())
            .collect::<std::collections::HashSet<_>>()
    });
    assert_eq!(listed, Some(of_key["key-1"].iter().cloned().collect()));
    gateway.wait_for_log("left out of a list").await;
}

#[tokio::test]
async fn failing_database_refuses_requests() {
    let sim = sim(2).await;
    let gateway = with_tenants(&sim.url(), 2);
    let file = upload(&gateway, "token-of-a").await;
    let before = sim.report().total.arrivals;
    // The file is damaged in place, so that every reader sees it.
    for name in ["keypool.db", "keypool.db-wal"] {
        let path = gateway.folder.path().join(name);
        let length = std::fs::metadata(&path).map_or(0, |data| data.len() as usize).max(1 << 16);
        let mut database = std::fs::OpenOptions::new().write(true).open(path).expect("an existing file");
        std::io::Write::write_all(&mut database, &vec![0xa5; length]).expect("a writable file");
    }
    for name in [&*file.replace("files/", "files/x"), "files/of-nobody"] {
        let answer = get(&gateway, "token-of-b", &format!("/v1beta/{name}")).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.text());
        assert!(answer.text().contains("database"), "{}", answer.text());
    }
    let answer = get(&gateway, "token-of-b", "/v1beta/files").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(sim.report().total.arrivals, before);
    gateway.wait_for_log_of(&answer).await;
    assert!(!gateway.log().contains(&key(0)));
}

#[tokio::test]
async fn redirected_download_stays_at_the_gateway() {
    let upstream = Upstream::start(|request| {
        let host = request.headers()["host"].to_str().expect("text");
        let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
        if path.starts_with("/upload/") {
            return reply(200, "application/json", r#"{"file":{"name":"files/f"}}"#);
        }
        if path.starts_with("/download/") {
            return reply(200, "text/plain", "the file");
        }
        let location = match query {
            "alt=media" => format!("http://{host}/download{path}?alt=media"),
            "relative" => format!("/download{path}?alt=media"),
            _ => "https://storage.example/f?signature=s".to_owned(),
        };
        let mut response = reply(302, "text/plain", "");
        response.headers_mut().insert("location", location.parse().expect("a value"));
        response
    })
    .await;
    let gateway = Gateway::start(&upstream.url, 2, &["--db", "none"]);
    upload(&gateway, TOKEN).await;
    for prefix in ["", "/gemini", "/to/gemini"] {
        for query in ["alt=media", "relative"] {
            let answer = gateway.get(&format!("{prefix}/v1beta/files/f:download?{query}")).await;
            let ours = format!("{}{prefix}", gateway.url);
            let location = answer.header("location");
            assert_eq!(location, format!("{ours}/download/v1beta/files/f:download?alt=media"), "{}", answer.text());
            let file = get(&gateway, TOKEN, &location[gateway.url.len()..]).await;
            assert_eq!((file.status.as_u16(), &*file.text()), (200, "the file"));
        }
        let answer = gateway.get(&format!("{prefix}/v1beta/files/f:download")).await;
        assert_eq!(answer.header("location"), "https://storage.example/f?signature=s");
    }
}

#[tokio::test]
async fn results_of_anthropic_batches_are_fetched_through_the_gateway() {
    let upstream = Upstream::start(|request| {
        let batch = |url: Value| json!({ "id": "msgbatch_1", "type": "message_batch", "results_url": url });
        let ended = batch("https://api.anthropic.com/v1/messages/batches/msgbatch_1/results".into());
        match (request.method().as_str(), request.uri().path()) {
            ("POST", "/v1/messages/batches") => reply(200, "application/json", batch(Value::Null).to_string()),
            (_, path) if path.ends_with("/results") => reply(200, "application/x-jsonl", "{}\n"),
            _ if request.headers().contains_key("accept-encoding") => {
                let mut response = reply(200, "application/json", gzip(ended.to_string().as_bytes()));
                response.headers_mut().insert("content-encoding", "gzip".parse().expect("a value"));
                response
            }
            _ => reply(200, "application/json", ended.to_string()),
        }
    })
    .await;
    let gateway = Gateway::start(&upstream.url, 2, &["--db", "none", "--provider", "anthropic"]);
    let request =
        json!({ "custom_id": "a", "params": { "model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [] } });
    let made = gateway.post("/v1/messages/batches", &json!({ "requests": [request] })).await;
    assert_eq!((made.status.as_u16(), &made.json()["results_url"]), (200, &Value::Null), "{}", made.text());
    for prefix in ["", "/anthropic", "/to/anthropic"] {
        let path = format!("{prefix}/v1/messages/batches/msgbatch_1");
        let expected = format!("{}{path}/results", gateway.url);
        for (method, path, place) in [
            ("GET", path.clone(), "/results_url"),
            ("POST", format!("{path}/cancel"), "/results_url"),
            ("GET", format!("{prefix}/v1/messages/batches"), "/data/0/results_url"),
        ] {
            let request =
                Request::builder().method(method).uri(&path).header("authorization", format!("Bearer {TOKEN}"));
            let request = request.header("anthropic-version", "2023-06-01").header("accept-encoding", "gzip");
            let answer = gateway.send(request.body(Full::default()).expect("a request")).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            assert_eq!(answer.json().pointer(place), Some(&expected.as_str().into()), "{method} {path}");
        }
        assert_eq!(gateway.get(&format!("{path}/results")).await.text(), "{}\n");
    }
}
