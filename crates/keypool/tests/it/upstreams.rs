//! Strict stand-ins for the APIs of `OpenAI` and Anthropic, over real sockets.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, request::Parts};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use keypool::gateway::token::PLACEHOLDER;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Whose API it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    OpenAi,
    Anthropic,
}

/// How a key is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    /// A limit was reached, for so many seconds.
    Limited(u64),
    /// The key is known no more.
    Unknown,
    /// No capacity, so many times.
    Overloaded(u32),
    /// It may call models, and not list them.
    Unlisting,
}

/// A request as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) key: String,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Default)]
struct Books {
    moods: HashMap<String, Mood>,
    arrivals: Vec<Arrival>,
    /// Which key's account has a stored answer.
    made: HashMap<String, String>,
    /// Which model a key's account alone has.
    own: HashMap<String, String>,
    /// What no provider should ever see.
    faults: Vec<String>,
}

/// One that listens, until its runtime ends.
pub(crate) struct Upstream {
    address: SocketAddr,
    books: Arc<Mutex<Books>>,
}

/// What a stream of each says, byte for byte; uneven on purpose.
pub(crate) const OPENAI_STREAM: &str = concat!(
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":",
    "{\"role\":\"assistant\",\"content\":\"H\\u00e9\"}}]}\n\n",
    ": a comment\n\n",
    "data:{\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"llo\"},\"finish_reason\":\"stop\"}],",
    "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}\r\n\r\n",
    "data: [DONE]\n\n",
);
pub(crate) const ANTHROPIC_STREAM: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",",
    "\"role\":\"assistant\",\"model\":\"claude-x\",\"content\":[],\"usage\":{\"input_tokens\":25,\"output_tokens\":1}}}\n\n",
    "event: ping\ndata: {\"type\": \"ping\"}\n\n",
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",",
    "\"text\":\"Hi\"}}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},",
    "\"usage\":{\"output_tokens\":15}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

/// The models that each has.
pub(crate) const GPT: &str = "gpt-5";
/// Whose answers are kept.
pub(crate) const STORED: &str = "gpt-5-stored";
pub(crate) const CLAUDE: &str = "claude-x";

impl Upstream {
    /// Takes these keys.
    pub(crate) async fn start(kind: Kind, keys: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let moods = keys.iter().map(|&key| (key.to_owned(), Mood::Good)).collect();
        let books = Arc::new(Mutex::new(Books { moods, ..Books::default() }));
        let held = Arc::clone(&books);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let books = Arc::clone(&held);
                let service = service_fn(move |request| answer(kind, request, Arc::clone(&books)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, books }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a key is met so.
    pub(crate) fn mood(&self, key: &str, mood: Mood) {
        self.books().moods.insert(key.to_owned(), mood);
    }

    /// A model that the account of this key alone has.
    pub(crate) fn has_alone(&self, key: &str, model: &str) {
        self.books().own.insert(key.to_owned(), model.to_owned());
    }

    /// What came in since the last time.
    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        std::mem::take(&mut self.books().arrivals)
    }

    /// Whether all that came in was as it should be.
    #[track_caller]
    pub(crate) fn is_unharmed(&self) {
        let faults = &self.books().faults;
        assert!(faults.is_empty(), "{faults:#?}");
    }
}

async fn answer(
    kind: Kind,
    request: Request<Incoming>,
    books: Arc<Mutex<Books>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let mut books = books.lock().unwrap_or_else(PoisonError::into_inner);
    let books = &mut *books;
    books.faults.extend(faults(kind, &head, &body));
    let key = match kind {
        Kind::OpenAi => {
            head.headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        }
        Kind::Anthropic => head.headers.get("x-api-key").and_then(|value| value.to_str().ok()),
    };
    let key = key.unwrap_or_default().to_owned();
    let mood = books.moods.get(&key).copied().unwrap_or(Mood::Unknown);
    if !books.moods.contains_key(&key) {
        books.faults.push(format!("a key of somebody else: {} bytes", key.len()));
    }
    if let Mood::Overloaded(times) = mood {
        books.moods.insert(key.clone(), if times > 1 { Mood::Overloaded(times - 1) } else { Mood::Good });
    }
    let foreign = (kind, mood) == (Kind::OpenAi, Mood::Good) && books.is_anothers(&key, &body);
    let named = head.uri.path().split_once("/responses/").and_then(|(_, behind)| behind.split('/').next());
    let named = named.filter(|named| named.starts_with("resp"));
    let has_made = named.is_some_and(|id| books.made.get(id) == Some(&key));
    let target = head.uri.to_string();
    let head_key = &*key.clone();
    books.arrivals.push(Arrival { key, target, headers: head.headers.clone(), body: body.clone() });
    if let (Some(id), Mood::Good) = (named, mood) {
        if has_made {
            return Ok(told(200, &[], &json!({ "id": id, "object": "response", "status": "completed", "output": [] })));
        }
        let message = format!("Response with id '{id}' not found.");
        let error = json!({ "message": message, "type": "invalid_request_error", "param": null, "code": null });
        return Ok(told(404, &[], &json!({ "error": error })));
    }
    if foreign {
        let message = "Previous response with id 'resp_x' not found.";
        let error = json!({ "message": message, "type": "invalid_request_error", "param": "previous_response_id",
            "code": "previous_response_not_found" });
        return Ok(told(400, &[], &json!({ "error": error })));
    }
    let runs = kind == Kind::Anthropic && mood == Mood::Good && head.uri.path() == "/v1/messages";
    if runs && let Some(answer) = books.in_container(head_key, &body) {
        return Ok(answer);
    }
    let own = books.own.get(head_key).map(String::as_str);
    Ok(match kind {
        Kind::OpenAi => openai(&head, &body, mood, own),
        Kind::Anthropic => anthropic(&head, &body, mood, own),
    })
}

impl Books {
    /// The answer to a request that runs code: in the container that it names, which is an account's own, or in a new one.
    fn in_container(&mut self, key: &str, body: &[u8]) -> Option<Response<Full<Bytes>>> {
        let asked: Value = serde_json::from_slice(body).ok()?;
        asked["tools"][0]["type"].as_str().filter(|kind| kind.starts_with("code_execution"))?;
        let named = asked["container"].as_str().or(asked["container"]["id"].as_str()).map(str::to_owned);
        let id = named.clone().unwrap_or_else(|| format!("container_{}", self.made.len()));
        if named.is_none() {
            self.made.insert(id.clone(), key.to_owned());
        }
        if self.made.get(&id).is_none_or(|made| made != key) {
            let error = json!({ "type": "not_found_error", "message": format!("Container {id} not found.") });
            return Some(told(404, &[], &json!({ "type": "error", "error": error })));
        }
        let container = json!({ "id": id, "expires_at": "2026-12-01T00:00:00Z" });
        let usage = json!({ "input_tokens": 9, "output_tokens": 4 });
        if asked["stream"] == true {
            let start = json!({ "type": "message_start", "message": { "id": "msg_1", "type": "message", "role": "assistant",
                "model": CLAUDE, "content": [], "usage": usage } });
            let delta =
                json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn", "container": container } });
            let text = format!(
                "event: message_start\ndata: {start}\n\nevent: message_delta\ndata: {delta}\n\nevent: message_stop\ndata: \
                 {{\"type\":\"message_stop\"}}\n\n"
            );
            return Some(
                Response::builder().header("content-type", "text/event-stream").body(Full::from(text)).unwrap(),
            );
        }
        let answer = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": CLAUDE, "content": [],
            "container": container, "stop_reason": "end_turn", "usage": usage });
        Some(told(200, &[], &answer))
    }

    /// Whether a request goes on from what another account has. What it makes is this key's.
    fn is_anothers(&mut self, key: &str, body: &[u8]) -> bool {
        let Ok(asked) = serde_json::from_slice::<Value>(body) else { return false };
        let before = asked["previous_response_id"].as_str().and_then(|id| self.made.get(id));
        if before.is_some_and(|made| made != key) {
            return true;
        }
        if asked["model"] == STORED {
            let said = asked["input"].as_str().unwrap_or("something");
            self.made.entry(format!("resp_{said}")).or_insert_with(|| key.to_owned());
        }
        false
    }
}

/// What a provider should never see: two credentials, the placeholder, what was said to the gateway.
fn faults(kind: Kind, head: &Parts, body: &[u8]) -> Vec<String> {
    let mut faults = Vec::new();
    let own = if kind == Kind::OpenAi { "authorization" } else { "x-api-key" };
    for (name, value) in &head.headers {
        let name = name.as_str();
        let is_credential = ["authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie"].contains(&name);
        if is_credential && name != own {
            faults.push(format!("another credential: {name}"));
        }
        if name.starts_with("x-keypool") || String::from_utf8_lossy(value.as_bytes()).contains(PLACEHOLDER) {
            faults.push(format!("what is the gateway's alone: {name}"));
        }
    }
    if head.headers.get_all(own).iter().count() != 1 {
        faults.push(format!("not one {own}: {}", head.uri));
    }
    if head.uri.to_string().contains("key=") || head.uri.to_string().contains(PLACEHOLDER) {
        faults.push(format!("a credential in {}", head.uri));
    }
    if String::from_utf8_lossy(body).contains(PLACEHOLDER) {
        faults.push("the placeholder in a body".to_owned());
    }
    faults
}

fn told(status: u16, headers: &[(&str, String)], body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(status).header("content-type", "application/json");
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    response.body(Full::from(body.to_string())).unwrap()
}

fn streamed(text: &'static str) -> Response<Full<Bytes>> {
    let response = Response::builder().header("content-type", "text/event-stream; charset=utf-8");
    response.header("x-request-id", "req_of_a_stream").body(Full::from(text)).unwrap()
}

/// An answer that the provider keeps, called by what was said first.
fn stored(asked: &Value) -> Response<Full<Bytes>> {
    let said = asked["input"].as_str().unwrap_or("something");
    let item =
        json!({ "id": format!("ci_{said}"), "type": "code_interpreter_call", "container_id": format!("cntr_{said}") });
    let mut output = vec![item];
    if asked["tools"][0]["type"] == "image_generation" {
        let picture = "A".repeat(5 << 20);
        output.push(json!({ "id": format!("ig_{said}"), "type": "image_generation_call", "result": picture }));
    }
    let usage = json!({ "input_tokens": 3, "output_tokens": 4, "total_tokens": 7 });
    let response = json!({ "id": format!("resp_{said}"), "object": "response", "status": "completed", "model": STORED,
        "output": output, "usage": usage });
    if asked["stream"] != true {
        return told(200, &[], &response);
    }
    let event = |kind: &str| format!("event: {kind}\ndata: {}\n\n", json!({ "type": kind, "response": response }));
    let text = [event("response.created"), event("response.completed")].concat();
    Response::builder().header("content-type", "text/event-stream").body(Full::from(text)).unwrap()
}

fn openai(head: &Parts, body: &[u8], mood: Mood, own: Option<&str>) -> Response<Full<Bytes>> {
    let id = ("x-request-id", "req_openai_0001".to_owned());
    let error = |status: u16, kind: &str, code: &str, message: &str, headers: &[(&str, String)]| {
        let body = json!({ "error": { "message": message, "type": kind, "param": null, "code": code } });
        told(status, &[std::slice::from_ref(&id), headers].concat(), &body)
    };
    match mood {
        Mood::Unknown => {
            let message =
                "Incorrect API key provided: sk-****. You can find your API key at https://platform.openai.com.";
            return error(401, "invalid_request_error", "invalid_api_key", message, &[]);
        }
        Mood::Limited(after) => {
            let message = format!(
                "Rate limit reached for {GPT} in organization org-x on requests per min (RPM): Limit 3, Used 3, Requested 1. \
                 Please try again in {after}s."
            );
            let headers = [
                ("x-ratelimit-limit-requests", "3".to_owned()),
                ("x-ratelimit-remaining-requests", "0".to_owned()),
                ("x-ratelimit-reset-requests", format!("{after}s")),
                ("retry-after", after.to_string()),
            ];
            return error(429, "requests", "rate_limit_exceeded", &message, &headers);
        }
        Mood::Overloaded(_) => return error(503, "server_error", "overloaded", "The server is overloaded.", &[]),
        Mood::Unlisting if head.uri.path().starts_with("/v1/models") => {
            let message = "You have insufficient permissions for this operation. Missing scopes: api.model.read.";
            return error(403, "invalid_request_error", "missing_scope", message, &[]);
        }
        Mood::Good | Mood::Unlisting => {}
    }
    let path = head.uri.path();
    let model = |id: &str| json!({ "id": id, "object": "model", "created": 1, "owned_by": "openai" });
    if path == "/v1/models" {
        let all = [Some(GPT), Some("gpt-5-mini"), Some("curie-001"), own].into_iter().flatten();
        return told(200, &[id], &json!({ "object": "list", "data": all.map(model).collect::<Vec<_>>() }));
    }
    if let Some(own) = own.filter(|own| path.strip_prefix("/v1/models/") == Some(own)) {
        return told(200, &[id], &model(own));
    }
    if path == format!("/v1/models/{GPT}") {
        return told(200, &[id], &json!({ "id": GPT, "object": "model", "owned_by": "openai" }));
    }
    if path == "/v1/files" {
        return told(200, &[id], &json!({ "object": "list", "data": [{ "id": "file-1" }] }));
    }
    if path == "/v1/audio/transcriptions" {
        let is_form = head.headers["content-type"].to_str().unwrap().starts_with("multipart/form-data; boundary=");
        assert!(is_form, "{:?}", head.headers);
        return told(200, &[id], &json!({ "text": "spoken" }));
    }
    if !["/v1/chat/completions", "/v1/responses", "/v1/responses/compact", "/v1/embeddings"].contains(&path) {
        return error(404, "invalid_request_error", "unknown_url", "Unknown request URL", &[]);
    }
    let Ok(asked) = serde_json::from_slice::<Value>(body) else {
        return error(400, "invalid_request_error", "", "We could not parse the JSON body of your request.", &[]);
    };
    if !asked["model"].as_str().unwrap_or_default().starts_with(GPT) {
        return error(404, "invalid_request_error", "model_not_found", "The model does not exist", &[]);
    }
    if asked["model"] == STORED {
        return stored(&asked);
    }
    if asked["stream"] == true {
        return streamed(OPENAI_STREAM);
    }
    let message = json!({ "role": "assistant", "content": "Hello from OpenAI" });
    let usage = json!({ "prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12 });
    let answer = json!({ "id": "chatcmpl-1", "object": "chat.completion", "model": asked["model"],
        "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }], "usage": usage });
    told(200, &[id], &answer)
}

fn anthropic(head: &Parts, body: &[u8], mood: Mood, own: Option<&str>) -> Response<Full<Bytes>> {
    let id = ("request-id", "req_anthropic_0001".to_owned());
    let error = |status: u16, kind: &str, message: &str, headers: &[(&str, String)]| {
        let body = json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": "req_1" });
        told(status, &[std::slice::from_ref(&id), headers].concat(), &body)
    };
    if !head.headers.contains_key("anthropic-version") {
        return error(400, "invalid_request_error", "anthropic-version: header is required", &[]);
    }
    match mood {
        Mood::Unknown => return error(401, "authentication_error", "invalid x-api-key", &[]),
        Mood::Limited(after) => {
            let headers = [("retry-after", after.to_string())];
            return error(
                429,
                "rate_limit_error",
                "This request would exceed your organization's rate limit",
                &headers,
            );
        }
        Mood::Overloaded(_) => return error(529, "overloaded_error", "Overloaded", &[]),
        Mood::Good | Mood::Unlisting => {}
    }
    let path = head.uri.path();
    if path == "/v1/models" {
        let model = |id: &str| json!({ "type": "model", "id": id, "display_name": "Claude X", "created_at": "2026-01-01T00:00:00Z" });
        let all = [Some(CLAUDE), own].into_iter().flatten();
        let last = own.unwrap_or(CLAUDE);
        let all: Vec<Value> = all.map(model).collect();
        return told(200, &[id], &json!({ "data": all, "has_more": false, "first_id": CLAUDE, "last_id": last }));
    }
    if path == "/v1/messages/batches" {
        return told(200, &[id], &json!({ "data": [], "has_more": false }));
    }
    let Ok(asked) = serde_json::from_slice::<Value>(body) else {
        return error(400, "invalid_request_error", "The request body is not valid JSON", &[]);
    };
    if asked["model"] != CLAUDE {
        let message = format!("model: {}", asked["model"].as_str().unwrap_or_default());
        return error(404, "not_found_error", &message, &[]);
    }
    match path {
        "/v1/messages/count_tokens" => told(200, &[id], &json!({ "input_tokens": 11 })),
        "/v1/messages" if asked["stream"] == true => streamed(ANTHROPIC_STREAM),
        "/v1/messages" => {
            let answer = json!({ "id": "msg_1", "type": "message", "role": "assistant", "model": CLAUDE,
                "content": [{ "type": "text", "text": "Hello from Anthropic" }], "stop_reason": "end_turn",
                "usage": { "input_tokens": 9, "output_tokens": 4 } });
            told(200, &[id], &answer)
        }
        _ => error(404, "not_found_error", "Not found", &[]),
    }
}
