//! Clients of OpenAI's and Anthropic's APIs with Gemini's keys: the cases of public reports, complete and streamed, in
//! each dialect, and the gateway's additions to the translation.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use keypool_dialect::Frontend;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    dialect::{ALL, CHAT, MESSAGES, MODEL, RESPONSES, calls_of, gemini, hello, history, tool},
    support::{Answer, Gateway, TOKEN, Upstream, post, reply, sim},
};

fn path(frontend: Frontend) -> &'static str {
    match frontend {
        Frontend::Responses => "/v1/responses",
        Frontend::Messages => "/v1/messages",
        _ => "/v1/chat/completions",
    }
}

/// Starts an upstream that sends these responses in turn and then repeats the last one; streams get them as events.
async fn scripted(answers: Vec<(u16, Value)>) -> Upstream {
    let next = AtomicUsize::new(0);
    Upstream::start(move |request| {
        let n = next.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
        respond(request, &answers[n])
    })
    .await
}

fn respond(request: &Request<Bytes>, (status, body): &(u16, Value)) -> Response<Full<Bytes>> {
    if request.uri().path().ends_with(":streamGenerateContent") && *status == 200 {
        return reply(200, "text/event-stream", format!("data: {body}\r\n\r\n"));
    }
    reply(*status, "application/json", body.to_string())
}

async fn always(body: Value) -> Upstream {
    scripted(vec![(200, body)]).await
}

fn text(text: &str) -> Value {
    gemini(&json!([{ "text": text }]), "STOP")
}

fn call(name: &str) -> Value {
    gemini(&json!([{ "functionCall": { "name": name, "args": { "x": "1" } } }]), "STOP")
}

fn gateway(upstream: &Upstream, keys: usize) -> Gateway {
    Gateway::start(&upstream.url, keys, &["--db", "none"])
}

fn with_stream(body: &Value, stream: bool) -> Value {
    let mut body = body.clone();
    body["stream"] = stream.into();
    body
}

/// Returns the data of each event of a stream.
fn data(answer: &Answer) -> Vec<Value> {
    let text = answer.text();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    data.map(|data| serde_json::from_str(data).expect("JSON")).collect()
}

/// Returns the body of the last request to the upstream.
fn sent(upstream: &Upstream) -> Value {
    serde_json::from_slice(upstream.requests().last().expect("a request").body()).expect("JSON")
}

/// Each dialect, complete and streamed.
fn each() -> impl Iterator<Item = (Frontend, bool)> {
    ALL.into_iter().flat_map(|frontend| [(frontend, false), (frontend, true)])
}

fn end_of(frontend: Frontend) -> &'static str {
    match frontend {
        Frontend::Responses => "response.completed",
        Frontend::Messages => "message_stop",
        _ => "[DONE]",
    }
}

#[tokio::test]
async fn responses_are_in_the_callers_dialect() {
    let upstream = always(text("Hi there")).await;
    let gateway = gateway(&upstream, 1);
    for (frontend, stream) in each() {
        let body = with_stream(&hello(frontend, &json!({ "user": "u" })), stream);
        let mut request = post(path(frontend), &body);
        request.headers_mut().insert("accept-encoding", "gzip, br".parse().expect("a value"));
        let answer = gateway.send(request).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.text().contains("Hi there"), "{}", answer.text());
        assert_eq!(answer.header("x-keypool-key"), "key-0");
        assert_eq!(answer.header("x-keypool-attempts"), "1");
        assert_eq!(answer.header("x-keypool-model"), MODEL);
        let is_ignored = answer.header("x-keypool-ignored") == "user";
        assert!(is_ignored || frontend == MESSAGES, "{:?}", answer.headers);
        if stream {
            assert_eq!(answer.header("content-type"), "text/event-stream");
            assert_eq!((answer.header("x-accel-buffering"), answer.header("cache-control")), ("no", "no-cache"));
            assert!(answer.text().contains(end_of(frontend)), "{}", answer.text());
        } else {
            assert_eq!(answer.header("content-type"), "application/json");
        }
        let requests = upstream.requests();
        let request = requests.last().expect("a request");
        let verb = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
        assert_eq!(request.uri().to_string(), format!("/v1beta/models/{MODEL}:{verb}"));
        assert!(request.headers().get("accept-encoding").is_none(), "the response must be uncompressed");
        assert!(!format!("{:?}", request.headers()).contains(TOKEN));
    }
    gateway.wait_for_log("model=\"gemini-3.8-flash\"").await;
}

#[tokio::test]
async fn signatures_are_restored_and_call_ids_are_short() {
    let signature = "c2lnbmF0dXJl".repeat(34);
    for (frontend, stream) in each() {
        let parts = json!([
            { "functionCall": { "id": "abc", "name": "one", "args": {} }, "thoughtSignature": signature },
            { "functionCall": { "name": "one", "args": {} } },
        ]);
        let upstream = always(gemini(&parts, "STOP")).await;
        let gateway = gateway(&upstream, 1);
        let tools = json!({ "tools": [tool(frontend, "one")] });
        let body = with_stream(&hello(frontend, &tools), stream);
        let answer = gateway.post(path(frontend), &body).await;
        let ids = ids(&answer.text());
        assert_eq!(ids.len(), 2, "{}", answer.text());
        assert!(ids.iter().all(|id| id.len() <= 64), "{ids:?}");
        let calls: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "one")).collect();
        let results: Vec<(&str, &str)> = ids.iter().map(|id| (id.as_str(), "done")).collect();
        let body = history(frontend, &calls, &results);
        let answer = gateway.post(path(frontend), &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let native = sent(&upstream);
        assert_eq!(native["contents"][1]["parts"][0]["thoughtSignature"], signature.as_str(), "{native}");
        if frontend == MESSAGES {
            gateway.post("/v1/messages/count_tokens", &body).await;
            assert_eq!(sent(&upstream)["generateContentRequest"]["contents"], native["contents"]);
        }
    }
}

#[tokio::test]
async fn fallback_model_gets_thinking_settings_that_it_accepts() {
    // The simulator knows only the last model of each chain, and refuses settings that this model would refuse.
    let sim = sim(1).await;
    for (chain, settings) in [
        ("gemini-3-pro-preview,gemini-2.5-flash", json!({ "reasoning_effort": "low" })),
        ("gemini-2.5-pro-preview,gemini-2.5-flash", json!({ "reasoning": { "max_tokens": 31_999 } })),
        ("gemini-2.5-flash-preview,gemini-2.5-pro", json!({ "reasoning_effort": "none" })),
    ] {
        let gateway = Gateway::start(&sim.url(), 1, &["--db", "none", "--fallback", chain]);
        let (asked, served) = chain.split_once(',').expect("two models");
        for stream in [false, true] {
            let mut body = with_stream(&hello(CHAT, &settings), stream);
            body["model"] = asked.into();
            let answer = gateway.post(path(CHAT), &body).await;
            assert_eq!((answer.status.as_u16(), answer.header("x-keypool-model")), (200, served), "{}", answer.text());
        }
    }
    let models = "[[models]]\nname = \"gemini-2.5-flash\"\naliases = [\"gemini-best\"]\n";
    let gateway = Gateway::configured(&sim.url(), 1, models);
    let body = hello(CHAT, &json!({ "model": "gemini-best", "reasoning_effort": "low" }));
    let answer = gateway.post(path(CHAT), &body).await;
    assert_eq!(answer.status, 200, "the alias is encoded for its model: {}", answer.text());
    let upstream = always(json!({ "totalTokens": 3 })).await;
    let gateway = Gateway::configured(&upstream.url, 1, models);
    let body = hello(MESSAGES, &json!({ "model": "gemini-best" }));
    assert_eq!(gateway.post("/v1/messages/count_tokens", &body).await.json()["input_tokens"], 3);
    assert_eq!(sent(&upstream)["generateContentRequest"]["model"], "models/gemini-2.5-flash");
}

#[tokio::test]
async fn signature_is_kept_for_the_model_that_served() {
    const ASKED: &str = "gemini-3-pro-preview";
    let signature = "c2lnbmF0dXJl";
    let upstream = Upstream::start(move |request| {
        if request.uri().path().contains(ASKED) {
            let message = format!("models/{ASKED} is not found for API version v1beta");
            return respond(
                request,
                &(404, json!({ "error": { "code": 404, "message": message, "status": "NOT_FOUND" } })),
            );
        }
        let call = json!({ "functionCall": { "name": "one", "args": {} }, "thoughtSignature": signature });
        respond(request, &(200, gemini(&json!([call]), "STOP")))
    })
    .await;
    for (frontend, stream) in each() {
        let gateway = Gateway::start(&upstream.url, 1, &["--db", "none", "--fallback", &format!("{ASKED},{MODEL}")]);
        let mut body = with_stream(&hello(frontend, &json!({ "tools": [tool(frontend, "one")] })), stream);
        body["model"] = ASKED.into();
        let answer = gateway.post(path(frontend), &body).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-keypool-model")), (200, MODEL), "{}", answer.text());
        let ids = ids(&answer.text());
        let mut body = history(frontend, &[(&ids[0], "one")], &[(&ids[0], "done")]);
        for model in [MODEL, ASKED] {
            body["model"] = model.into();
            assert_eq!(gateway.post(path(frontend), &body).await.status, 200);
            // Both requests are served by the model that created the signature.
            let contents = &sent(&upstream)["contents"];
            assert_eq!(contents[1]["parts"][0]["thoughtSignature"], signature, "{frontend:?} {model}");
        }
        let first = upstream.requests();
        let to_asked = first.iter().rfind(|request| request.uri().path().contains(ASKED)).expect("a request");
        assert!(!String::from_utf8_lossy(to_asked.body()).contains(signature), "another model refuses it");
    }
}

/// Returns the distinct ids of the calls in a response of any dialect, in order.
fn ids(answer: &str) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    for word in answer.split('"').filter(|word| word.contains("_kp") && !word.starts_with("fc_")) {
        if !ids.iter().any(|id| id == word) {
            ids.push(word.to_owned());
        }
    }
    ids
}

/// Starts a gateway with providers of the other dialects beside Gemini.
fn with_providers(gemini: &Upstream, openai: &str, anthropic: &str) -> Gateway {
    let providers = [("openai", openai), ("anthropic", anthropic)].map(|(kind, url)| {
        let key = format!("sk-not-a-real-key-of-{kind}");
        format!("[[providers]]\nkind = \"{kind}\"\nupstream = \"{url}\"\nkeys = [{{ secret = \"{key}\" }}]\n")
    });
    let more = "[[models]]\nname = \"gemini-3.8-flash\"\naliases = [\"fast\"]\n\
                [[tenants]]\nname = \"few\"\ntoken = \"the-token-of-a-few-models\"\nmodels = [\"fast\", \"claude-*\"]\n";
    Gateway::configured(&gemini.url, 1, &(providers.concat() + more))
}

#[tokio::test]
async fn our_blocks_are_not_sent_to_other_providers() {
    let thinking = json!([{ "text": "Hm", "thought": true }, { "text": "Hi" }]);
    let (gemini, other) = (always(gemini(&thinking, "STOP")).await, always(json!({})).await);
    let gateway = with_providers(&gemini, &other.url, &other.url);
    let ask = json!({ "thinking": { "type": "enabled", "budget_tokens": 2_000 }, "max_tokens": 5_000 });
    let answer = gateway.post(path(MESSAGES), &hello(MESSAGES, &ask)).await.json();
    assert_eq!(answer["content"][0]["type"], "thinking");
    let messages = json!([
        { "role": "user", "content": "Go" }, { "role": "assistant", "content": answer["content"] },
        { "role": "user", "content": "more" },
    ]);
    let body = json!({ "model": "claude-x", "max_tokens": 9, "messages": messages });
    assert_eq!(gateway.post(path(MESSAGES), &body).await.status, 200);
    assert_eq!(sent(&other)["messages"][1]["content"], json!([answer["content"][1]]));
    let answer = gateway.post(path(RESPONSES), &hello(RESPONSES, &json!({ "reasoning": { "summary": "auto" } }))).await;
    let mut input = answer.json()["output"].as_array().expect("a list").clone();
    assert_eq!(input[0]["type"], "reasoning");
    input.push(json!({ "role": "user", "content": "more" }));
    let body = json!({ "model": "gpt-x", "input": input });
    assert_eq!(gateway.post(path(RESPONSES), &body).await.status, 200);
    assert!(!sent(&other).to_string().contains("reasoning"), "{}", sent(&other));
}

#[tokio::test]
async fn aliases_go_to_the_provider_of_their_model() {
    let (gemini, claude) = (always(text("Hi")).await, always(json!({ "type": "message" })).await);
    let config = "[[providers]]\nkind = \"anthropic\"\nupstream = \"CLAUDE\"\nkeys = [{ secret = \"sk-not-a-real-key\" }]\n\
                  [[models]]\nname = \"claude-sonnet-4-5\"\naliases = [\"smart\"]\n\
                  [[models]]\nname = \"gemini-2.5-flash\"\naliases = [\"fast\"]\n\
                  [[models]]\nname = \"gemini-3-pro-preview\"\naliases = [\"newest\"]\n\
                  [[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\nmodels = [\"gemini-2.5-flash\"]\n";
    let gateway = Gateway::configured(&gemini.url, 1, &config.replace("CLAUDE", &claude.url));
    let answer = gateway.post(path(MESSAGES), &hello(MESSAGES, &json!({ "model": "smart" }))).await;
    assert_eq!(answer.header("x-keypool-model"), "claude-sonnet-4-5", "{}", answer.text());
    assert_eq!(sent(&claude)["model"], "claude-sonnet-4-5");
    assert!(gemini.requests().is_empty());
    for (model, status) in [("fast", 200), ("models/fast", 200), ("smart", 403)] {
        let mut request = post(path(CHAT), &hello(CHAT, &json!({ "model": model })));
        request.headers_mut().insert("authorization", "Bearer token-of-a".parse().expect("a value"));
        let answer = gateway.send(request).await;
        assert_eq!(answer.status.as_u16(), status, "{model}: {}", answer.text());
    }
    // An alias accepts what its model accepts: only Gemini 3 follows a schema beside a search.
    let search = json!({ "model": "newest", "input": "Hi", "tools": [{ "type": "web_search" }],
        "text": { "format": { "type": "json_schema", "name": "x", "schema": { "type": "array", "items": {} } } } });
    let answer = gateway.post(path(RESPONSES), &search).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // The aliases in a batch are not replaced, so they do not count as their models.
    let batch = json!({ "requests": [{ "custom_id": "1", "params": { "model": "fast" } }] });
    let mut request = post("/v1/messages/batches", &batch);
    request.headers_mut().insert("x-api-key", "token-of-a".parse().expect("a value"));
    assert_eq!(gateway.send(request).await.status, 403);
}

#[tokio::test]
async fn requests_go_to_a_provider_with_their_api() {
    let upstream = always(json!({})).await;
    let providers = [
        "[[providers]]\nkind = \"gemini\"\nname = \"gemini\"\n",
        "[[providers]]\nkind = \"openai\"\nname = \"acme\"\nmodels = [\"acme-*\"]\n",
        "[[providers]]\nkind = \"anthropic\"\nname = \"acme-2\"\nmodels = [\"acme-*\"]\n",
        "[[providers]]\nkind = \"api-key-header\"\nname = \"voices\"\nheader = \"xi-api-key\"\n",
    ];
    let with_keys = providers.map(|provider| {
        let name = provider.split('"').nth(3).expect("a name");
        format!(
            "{provider}upstream = \"{}\"\nkeys = [{{ secret = \"sk-of-{name}\", id = \"{name}\" }}]\n",
            upstream.url
        )
    });
    let config = format!("[gateway]\nprovider = \"openai\"\n{}", with_keys.concat());
    let gateway = Gateway::configured(&upstream.url, 1, &config);
    for (path, header, model, key) in [
        ("/v1/chat/completions", "authorization", "acme-1", "acme"),
        ("/v1/messages", "x-api-key", "acme-1", "acme-2"),
        ("/openai/deployments/acme-1/chat/completions?api-version=1", "api-key", "acme-1", "acme"),
        // Requests are not translated for the gateway's own provider.
        ("/v1/messages", "x-api-key", "unlisted", "acme-2"),
        ("/v1/messages", "x-api-key", "gpt-5", ""),
        ("/v1beta/models/unlisted:generateContent", "x-goog-api-key", "unlisted", "gemini"),
        ("/to/acme/v1/rerank", "x-api-key", "unlisted", "acme"),
        ("/to/voices/v1/speech", "xi-api-key", "unlisted", "voices"),
    ] {
        let request = Request::post(path).header(header, TOKEN).header("content-type", "application/json");
        let body = json!({ "model": model, "messages": [] }).to_string();
        let answer = gateway.send(request.body(Full::from(body)).expect("a request")).await;
        assert_eq!(answer.header("x-keypool-key"), key, "{path} {header}: {}", answer.text());
    }
}

/// Starts an upstream that alternates between two responses.
async fn by_turns(answers: [(u16, Value); 2]) -> Upstream {
    let next = AtomicUsize::new(0);
    Upstream::start(move |request| respond(request, &answers[next.fetch_add(1, Ordering::SeqCst) % 2])).await
}

/// Returns the keys of the last requests.
fn last_keys(upstream: &Upstream, count: usize) -> HashSet<String> {
    let requests = upstream.requests();
    let last = requests.iter().rev().take(count);
    last.map(|request| request.headers()["x-goog-api-key"].to_str().expect("text").to_owned()).collect()
}

#[tokio::test]
async fn malformed_responses_are_retried_once_with_another_key() {
    for reason in ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE"] {
        let malformed = json!({ "candidates": [{ "content": {}, "finishReason": reason }] });
        let (mended, lasting) =
            (by_turns([(200, malformed.clone()), (200, text("Hi"))]).await, always(malformed).await);
        let (of_two, of_one) = (gateway(&mended, 2), gateway(&lasting, 1));
        for (frontend, stream) in each() {
            let body = with_stream(&hello(frontend, &json!({})), stream);
            // Repeated immediately, since no key cools down.
            for _ in 0..3 {
                let answer = of_two.post(path(frontend), &body).await;
                assert!(answer.status == 200 && answer.text().contains("Hi"), "{}", answer.text());
                assert_eq!(answer.header("x-keypool-attempts"), "2");
                assert_eq!(last_keys(&mended, 2).len(), 2, "the second attempt uses another key");
            }
            let before = lasting.requests().len();
            let answer = of_one.post(path(frontend), &body).await;
            assert_eq!(answer.status, 502, "{}", answer.text());
            let message = answer.json()["error"]["message"].to_string();
            assert!(message.contains(reason) && message.contains("send the request again"), "{message}");
            assert_eq!(lasting.requests().len() - before, 2);
        }
    }
}

#[tokio::test]
async fn empty_responses_are_retried_once_and_then_returned() {
    let thoughts = gemini(&json!([{ "text": "Hm", "thought": true }]), "STOP");
    let empty = json!({ "candidates": [{ "content": { "role": "model" }, "finishReason": "STOP" }] });
    let refused = json!({ "error": { "code": 400, "message": "no", "status": "INVALID_ARGUMENT" } });
    for nothing in [empty, thoughts, text("")] {
        let mended = by_turns([(200, nothing.clone()), (200, text("Hi"))]).await;
        let (lasting, failing) =
            (always(nothing.clone()).await, by_turns([(200, nothing), (400, refused.clone())]).await);
        let (of_two, of_one, of_failing) = (gateway(&mended, 2), gateway(&lasting, 1), gateway(&failing, 1));
        for (frontend, stream) in each() {
            let body = with_stream(&hello(frontend, &json!({})), stream);
            let answer = of_two.post(path(frontend), &body).await;
            assert!(answer.status == 200 && answer.text().contains("Hi"), "{}", answer.text());
            assert_eq!(last_keys(&mended, 2).len(), 2);
            // If both attempts are empty, or the second one fails, the empty response is returned.
            for gateway in [&of_one, &of_failing] {
                let answer = gateway.post(path(frontend), &body).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert!(!stream || answer.text().contains(end_of(frontend)), "{}", answer.text());
            }
            assert_eq!((lasting.requests().len() % 2, failing.requests().len() % 2), (0, 0), "two attempts");
        }
    }
}

#[tokio::test]
async fn googles_499_becomes_a_retryable_status() {
    let cancelled = json!({ "error": { "code": 499, "message": "The operation was cancelled.", "status": "CANCELLED",
        "errors": [{ "reason": "backendError" }] } });
    for status in [499, 200] {
        let upstream = scripted(vec![(status, cancelled.clone())]).await;
        let gateway = Gateway::start(&upstream.url, 2, &["--db", "none", "--wait", "0"]);
        for (frontend, stream) in each() {
            let answer = gateway.post(path(frontend), &with_stream(&hello(frontend, &json!({})), stream)).await;
            // Anthropic uses 529 for it. Once the breaker is open, the pool responds with 503.
            let is_retried = [503, if frontend == MESSAGES { 529 } else { 503 }].contains(&answer.status.as_u16());
            assert!(is_retried, "{status} {frontend:?} {stream}: {} {}", answer.status, answer.text());
        }
    }
}

#[tokio::test]
async fn tools_of_any_shape_are_called_by_their_declared_names() {
    let schema = json!({ "type": "object", "properties": { "x": { "type": "string" } } });
    let flat = json!({ "type": "function", "name": "create-docx-file", "parameters": schema });
    let anthropic = json!({ "name": "create-docx-file", "input_schema": schema });
    for said in ["create_docx_file", "default_api:create_docx_file", "default_api.create_docx_file"] {
        let upstream = always(call(said)).await;
        let gateway = gateway(&upstream, 1);
        for (frontend, stream) in each() {
            for shape in [&flat, &anthropic, &tool(frontend, "create-docx-file")] {
                let body = hello(frontend, &json!({ "tools": [shape, tool(frontend, "read_file")] }));
                let answer = gateway.post(path(frontend), &with_stream(&body, stream)).await;
                assert_eq!(answer.status, 200, "{}", answer.text());
                assert!(answer.text().contains("\"create-docx-file\""), "{}", answer.text());
                if !stream {
                    assert_eq!(calls_of(frontend, &answer.json())[0].2, json!({ "x": "1" }));
                }
            }
        }
    }
}

#[tokio::test]
async fn body_at_the_wrong_path_is_served_or_refused_with_the_right_path() {
    let upstream = always(text("Hi")).await;
    let gateway = gateway(&upstream, 1);
    let answer = gateway.post(path(CHAT), &hello(RESPONSES, &json!({}))).await;
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "Hi");
    let answer = gateway.post(path(CHAT), &with_stream(&hello(RESPONSES, &json!({})), true)).await;
    assert!(answer.text().contains("chat.completion.chunk"));
    for (at, body, names) in [
        (RESPONSES, hello(CHAT, &json!({})), "/v1/chat/completions"),
        (MESSAGES, hello(RESPONSES, &json!({})), "/v1/responses"),
    ] {
        let answer = gateway.post(path(at), &body).await;
        assert!(answer.status == 400 && answer.text().contains(names), "{}", answer.text());
    }
}

#[tokio::test]
async fn tool_references_are_accepted() {
    let upstream = Upstream::start(|request| {
        let counted = request.uri().path().ends_with(":countTokens");
        respond(request, &(200, if counted { json!({ "totalTokens": 31 }) } else { text("Hi") }))
    })
    .await;
    let gateway = gateway(&upstream, 1);
    let mut body = history(MESSAGES, &[("toolu_1", "ToolSearch")], &[("toolu_1", "")]);
    body["messages"][2]["content"][0]["content"] = json!([{ "type": "tool_reference", "tool_name": "TaskStop" }]);
    for stream in [false, true] {
        assert_eq!(gateway.post(path(MESSAGES), &with_stream(&body, stream)).await.status, 200);
        assert!(sent(&upstream).to_string().contains("The tool TaskStop is available."));
    }
    let answer = gateway.post("/v1/messages/count_tokens", &body).await;
    assert_eq!(answer.json(), json!({ "input_tokens": 31 }));
    assert!(sent(&upstream)["generateContentRequest"].to_string().contains("The tool TaskStop is available."));
}

#[tokio::test]
async fn later_system_messages_keep_their_place() {
    let upstream = always(text("Hi")).await;
    let gateway = gateway(&upstream, 1);
    let said = [("system", "one"), ("user", "a"), ("assistant", "b"), ("system", "three"), ("user", "c")];
    for (frontend, stream) in each() {
        let field = if frontend == RESPONSES { "input" } else { "messages" };
        let mut before: Option<Value> = None;
        for count in [2, 5] {
            let messages: Vec<Value> =
                said[..count].iter().map(|(role, text)| json!({ "role": role, "content": text })).collect();
            let body = json!({ "model": MODEL, "max_tokens": 9, field: messages, "stream": stream });
            let body =
                if frontend == RESPONSES { json!({ "model": MODEL, field: messages, "stream": stream }) } else { body };
            let answer = gateway.post(path(frontend), &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let native = sent(&upstream);
            assert_eq!(native["systemInstruction"], json!({ "parts": [{ "text": "one" }] }));
            if let Some(before) = &before {
                assert_eq!(before["contents"][0], native["contents"][0], "the previous turn comes first");
            }
            before = Some(native);
        }
        let last = before.expect("a body")["contents"][2].clone();
        assert_eq!(last, json!({ "role": "user", "parts": [{ "text": "three" }, { "text": "c" }] }));
    }
}

#[tokio::test]
async fn neutral_values_are_ignored_and_others_are_refused() {
    let upstream = always(text("Hi")).await;
    let gateway = gateway(&upstream, 1);
    for (frontend, stream) in each() {
        for (name, neutral, other) in [
            ("repetition_penalty", json!(1), json!(1.1)),
            ("min_p", json!(0), json!(0.05)),
            ("top_k", json!(-1), json!(-2)),
            ("think", json!(false), json!(true)),
            ("chat_template_kwargs", json!({}), json!({ "enable_thinking": false })),
        ] {
            let body = with_stream(&hello(frontend, &json!({ name: neutral })), stream);
            let answer = gateway.post(path(frontend), &body).await;
            assert_eq!((answer.status.as_u16(), answer.header("x-keypool-ignored")), (200, name), "{}", answer.text());
            let body = with_stream(&hello(frontend, &json!({ name: other })), stream);
            let answer = gateway.post(path(frontend), &body).await;
            assert!(answer.status == 400 && answer.text().contains(name), "{name}: {}", answer.text());
            // A request can ask for lax parsing.
            if name != "top_k" {
                let mut lax = post(path(frontend), &body);
                lax.headers_mut().insert("x-keypool-strict", "false".parse().expect("a value"));
                let answer = gateway.send(lax).await;
                assert_eq!((answer.status.as_u16(), answer.header("x-keypool-ignored")), (200, name));
            }
        }
    }
}

#[tokio::test]
async fn call_without_a_result_is_refused_or_repaired() {
    let upstream = always(text("Hi")).await;
    let strict = gateway(&upstream, 1);
    let lax = Gateway::configured(&upstream.url, 1, "[gateway]\nstrict = false\n");
    for (frontend, stream) in each() {
        for body in [history(frontend, &[("call_7", "one")], &[]), history(frontend, &[], &[("call_7", "done")])] {
            let body = with_stream(&body, stream);
            let answer = strict.post(path(frontend), &body).await;
            assert!(answer.status == 400 && answer.text().contains("call_7"), "{}", answer.text());
            assert_eq!(lax.post(path(frontend), &body).await.status, 200);
        }
    }
}

#[tokio::test]
async fn gemini_errors_are_in_the_callers_dialect() {
    let error = |code: u16, status: &str, message: &str| {
        (code, json!({ "error": { "code": code, "message": message, "status": status } }))
    };
    for (answer, openai, anthropic) in [
        (
            error(400, "INVALID_ARGUMENT", "Invalid value at 'x'"),
            (400, "invalid_request_error"),
            (400, "invalid_request_error"),
        ),
        (error(404, "NOT_FOUND", "models/x is not found"), (404, "invalid_request_error"), (404, "not_found_error")),
        (
            error(400, "INVALID_ARGUMENT", "The input token count exceeds the maximum number of tokens allowed"),
            (400, "invalid_request_error"),
            (400, "invalid_request_error"),
        ),
    ] {
        let upstream = scripted(vec![answer]).await;
        let gateway = gateway(&upstream, 1);
        for (frontend, stream) in each() {
            let response = gateway.post(path(frontend), &with_stream(&hello(frontend, &json!({})), stream)).await;
            let (status, kind) = if frontend == MESSAGES { anthropic } else { openai };
            assert_eq!(response.status, status, "{}", response.text());
            assert_eq!(response.json()["error"]["type"], kind, "{}", response.text());
        }
    }
}

#[tokio::test]
async fn missing_key_is_a_503_with_retry_after() {
    let quota = json!({ "error": { "code": 429, "message": "Quota exceeded", "status": "RESOURCE_EXHAUSTED", "details": [
        { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "31s" },
    ] } });
    let upstream = scripted(vec![(429, quota)]).await;
    let gateway = Gateway::start(&upstream.url, 1, &["--db", "none", "--wait", "0"]);
    for (frontend, stream) in each() {
        let response = gateway.post(path(frontend), &with_stream(&hello(frontend, &json!({})), stream)).await;
        assert_eq!(response.status, 503, "{}", response.text());
        let after: u64 = response.header("retry-after").parse().unwrap_or_else(|_| panic!("{:?}", response.headers));
        assert!((1..=40).contains(&after), "{after}");
        assert!(response.json()["error"]["message"].is_string());
    }
}

#[tokio::test]
async fn untranslatable_endpoints_name_an_alternative() {
    let upstream = always(text("Hi")).await;
    let gateway = gateway(&upstream, 1);
    for (path, names) in [
        ("/v1/completions", "/v1/chat/completions"),
        ("/v1/files", "/upload/v1beta/files"),
        ("/v1/batches", "keypool batch"),
        ("/v1/moderations", "safety"),
        ("/v1/vector_stores", "/v1beta"),
        ("/v1/messages/batches", "/v1/messages"),
        ("/v1/images/variations", "/v1/images/edits"),
        ("/v1/responses/input_tokens", ":countTokens"),
        ("/v1/responses/resp_1/cancel", "whole conversation"),
    ] {
        let answer = gateway.post(path, &json!({ "model": MODEL })).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
        let message = answer.json()["error"]["message"].to_string();
        assert!(message.contains(path) && message.contains(names), "{message}");
    }
    assert_eq!(gateway.get("/v1/responses/resp_1").await.status, 404);
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn clients_get_a_request_id() {
    let upstream = always(text("Hi")).await;
    let gateway = gateway(&upstream, 1);
    for (dialect, body) in [(MESSAGES, hello(MESSAGES, &json!({}))), (MESSAGES, json!({})), (CHAT, json!({}))] {
        let answer = gateway.post(path(dialect), &body).await;
        assert!(!answer.header("request-id").is_empty(), "{:?}", answer.headers);
        assert_eq!(answer.header("request-id"), answer.header("x-request-id"));
    }
}

#[tokio::test]
async fn provider_of_another_dialect_names_the_path_to_use() {
    let (gemini, other) = (always(text("Hi")).await, always(json!({})).await);
    let gateway = with_providers(&gemini, &other.url, &other.url);
    for (path, body, names) in [
        ("/v1/chat/completions", json!({ "model": "claude-x", "messages": [] }), "/v1/messages"),
        ("/v1/messages", json!({ "model": "gpt-x", "messages": [] }), "/v1/chat/completions"),
        ("/v1/messages", json!({ "model": "ft:gpt-x:acme::1", "messages": [] }), "/v1/chat/completions"),
        ("/v1/messages", json!({ "model": "davinci-002", "messages": [] }), "/v1/chat/completions"),
        ("/v1beta/models/gpt-x:generateContent", json!({}), "/v1/chat/completions"),
    ] {
        let answer = gateway.post(path, &body).await;
        assert!(answer.status == 400 && answer.text().contains(names), "{}", answer.text());
        let error = &answer.json()["error"];
        let is_gemini = path.starts_with("/v1beta/");
        let (field, value) = if is_gemini { ("status", "INVALID_ARGUMENT") } else { ("type", "invalid_request_error") };
        assert_eq!(error[field], value, "{}", answer.text());
    }
    assert!(gemini.requests().is_empty() && other.requests().is_empty());
}

#[tokio::test]
async fn embeddings_are_requested_in_batches_of_100() {
    let upstream = Upstream::start(|request| {
        let asked: Value = serde_json::from_slice(request.body()).expect("JSON");
        let texts = asked["requests"].as_array().expect("a list").iter();
        let vectors: Vec<Value> = texts
            .map(|request| {
                let n: f64 =
                    request["content"]["parts"][0]["text"].as_str().and_then(|n| n.parse().ok()).expect("a number");
                json!({ "values": [n, 0.5] })
            })
            .collect();
        respond(request, &(200, json!({ "embeddings": vectors, "usageMetadata": { "promptTokenCount": 5 } })))
    })
    .await;
    let gateway = gateway(&upstream, 2);
    let texts: Vec<String> = (0..250).map(|n| n.to_string()).collect();
    let body = json!({ "model": "gemini-embedding-2", "input": texts, "encoding_format": "float" });
    let answer = gateway.post("/v1/embeddings", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(upstream.requests().len(), 3);
    assert_eq!(answer["data"].as_array().expect("a list").len(), 250);
    assert!((0..250).all(|n| answer["data"][n]["embedding"][0] == json!(n as f64)), "in order");
    assert_eq!(answer["usage"]["total_tokens"], 15);
    let answer = gateway.post("/v1/embeddings", &json!({ "model": "gemini-embedding-2", "input": [[1, 2]] })).await;
    assert!(answer.status == 400 && answer.text().contains("input[0]"));
}

fn form(fields: &[(&str, &str, &str)]) -> Bytes {
    let fields = fields.iter().map(|(name, rest, value)| {
        format!("--border\r\nContent-Disposition: form-data; name=\"{name}\"{rest}\r\n\r\n{value}\r\n")
    });
    Bytes::from(fields.chain(["--border--\r\n".to_owned()]).collect::<String>())
}

async fn post_form(gateway: &Gateway, path: &str, fields: &[(&str, &str, &str)]) -> Answer {
    let mut request = post(path, &json!({}));
    let value = "multipart/form-data; boundary=border".parse().expect("a value");
    request.headers_mut().insert("content-type", value);
    *request.body_mut() = Full::from(form(fields));
    gateway.send(request).await
}

#[tokio::test]
async fn images_and_audio_are_translated() {
    let drawn = gemini(&json!([{ "inlineData": { "mimeType": "image/png", "data": "iVBORw0K" } }]), "STOP");
    let upstream = always(drawn).await;
    let images = gateway(&upstream, 2);
    let body = json!({ "model": "gemini-image", "prompt": "a cat", "n": 2, "size": "1024x1024" });
    let answer = images.post("/v1/images/generations", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["data"], json!([{ "b64_json": "iVBORw0K" }, { "b64_json": "iVBORw0K" }]));
    assert_eq!(upstream.requests().len(), 2);
    let fields = [
        ("image", "; filename=\"a.png\"\r\nContent-Type: image/png", "PNG"),
        ("prompt", "", "a dog"),
        ("model", "", "gemini-image"),
    ];
    let answer = post_form(&images, "/v1/images/edits", &fields).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(sent(&upstream)["contents"][0]["parts"][0]["inlineData"]["data"], "UE5H");

    let spoken = gemini(&json!([{ "inlineData": { "mimeType": "audio/L16;rate=24000", "data": "AAAA" } }]), "STOP");
    let speech = gateway(&always(spoken).await, 1);
    let body = json!({ "model": "gemini-tts", "input": "Hello", "voice": "alloy", "response_format": "wav" });
    let answer = speech.post("/v1/audio/speech", &body).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "audio/wav"), "{}", answer.text());
    assert!(answer.body.starts_with(b"RIFF") && answer.body.len() == 47);

    let upstream = always(text("as it was said")).await;
    let heard = gateway(&upstream, 1);
    let file = ("file", "; filename=\"a.mp3\"\r\nContent-Type: audio/mpeg", "MP3");
    for path in ["/v1/audio/transcriptions", "/v1/audio/translations"] {
        let answer = post_form(&heard, path, &[file, ("model", "", MODEL)]).await;
        assert_eq!(answer.json()["text"], "as it was said");
    }
    let answer =
        post_form(&heard, "/v1/audio/transcriptions", &[file, ("model", "", MODEL), ("stream", "", "true")]).await;
    assert!(answer.text().contains("transcript.text.done"), "{}", answer.text());
}

#[tokio::test]
async fn media_urls_are_refused_unless_public_and_allowed() {
    let upstream = always(text("Hi")).await;
    let off = gateway(&upstream, 1);
    let on = Gateway::configured(&upstream.url, 1, "[gateway]\nfetch_images = true\n");
    let body = |url: &str| {
        let image = json!({ "type": "image_url", "image_url": { "url": url } });
        json!({ "model": MODEL, "messages": [{ "role": "user", "content": [image] }] })
    };
    let answer = off.post(path(CHAT), &body("https://example.com/a.png")).await;
    assert!(answer.status == 400 && answer.text().contains("gateway.fetch_images"), "{}", answer.text());
    let image = json!({ "type": "image", "source": { "type": "url", "url": "https://example.com/a.png" } });
    let message = json!({ "role": "user", "content": [image] });
    let answer = off.post("/v1/messages", &json!({ "model": MODEL, "max_tokens": 9, "messages": [message] })).await;
    assert!(answer.text().contains("messages.0.content.0.source.url: "), "{}", answer.text());
    let port = upstream.url.rsplit(':').next().expect("a port");
    for host in ["127.0.0.1", "localhost", "[::1]", "169.254.169.254", "10.0.0.1", "[::ffff:127.0.0.1]", "0.0.0.0"] {
        let answer = on.post(path(CHAT), &body(&format!("http://{host}:{port}/a.png"))).await;
        assert_eq!(answer.status, 400, "{host}: {}", answer.text());
        assert!(answer.text().contains("messages[0].content[0]"), "{}", answer.text());
    }
    assert!(upstream.requests().is_empty());
}

/// An upstream for one stream, whose events the test writes.
struct Paced(TcpListener);

impl Paced {
    async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        (Self(listener), url)
    }

    /// Accepts a request and sends the head of a stream.
    async fn accept(&self) -> TcpStream {
        let (mut stream, _) = self.0.accept().await.expect("a connection");
        let mut head = vec![0; 65_536];
        let _ = stream.read(&mut head).await.expect("a request");
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(answer).await.expect("an open connection");
        stream
    }
}

async fn event(stream: &mut TcpStream, value: &Value) {
    let data = format!("data: {value}\r\n\r\n");
    stream.write_all(format!("{:x}\r\n{data}\r\n", data.len()).as_bytes()).await.expect("an open connection");
}

fn part(text: &str) -> Value {
    json!({ "candidates": [{ "content": { "role": "model", "parts": [{ "text": text }] } }] })
}

async fn next(body: &mut hyper::body::Incoming) -> String {
    let frame = tokio::time::timeout(Duration::from_secs(20), body.frame()).await.expect("in time");
    let data = frame.expect("not the end").expect("no error").into_data().expect("data");
    String::from_utf8(data.to_vec()).expect("text")
}

#[tokio::test]
async fn streams_are_not_buffered_and_a_disconnected_client_ends_the_upstream_request() {
    for frontend in ALL {
        let (upstream, url) = Paced::start().await;
        let gateway = Gateway::start(&url, 1, &["--db", "none"]);
        let request = post(path(frontend), &with_stream(&hello(frontend, &json!({})), true));
        let (answer, mut stream) = tokio::join!(gateway.open(request), async {
            let mut stream = upstream.accept().await;
            event(&mut stream, &part("first")).await;
            stream
        });
        let mut body = answer.into_body();
        let mut seen = String::new();
        while !seen.contains("first") {
            seen.push_str(&next(&mut body).await);
        }
        event(&mut stream, &part("second")).await;
        while !seen.contains("second") {
            seen.push_str(&next(&mut body).await);
        }
        drop(body);
        let gone = async { while stream.read(&mut [0; 1_024]).await.unwrap_or(0) > 0 {} };
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the request upstream ends");
    }
}

#[tokio::test]
async fn broken_stream_ends_with_an_error_event() {
    for frontend in ALL {
        let (upstream, url) = Paced::start().await;
        let gateway = Gateway::start(&url, 1, &["--db", "none"]);
        let body = with_stream(&hello(frontend, &json!({})), true);
        let (answer, ()) = tokio::join!(gateway.post(path(frontend), &body), async {
            let mut stream = upstream.accept().await;
            event(&mut stream, &part("begun")).await;
        });
        assert_eq!(answer.status, 200);
        let last = data(&answer).pop().expect("an event").to_string();
        assert!(last.contains("broke off") && answer.text().contains("begun"), "{}", answer.text());
        assert!(!answer.text().contains(end_of(frontend)));
    }
}

#[tokio::test]
async fn silent_stream_is_kept_alive() {
    let (upstream, url) = Paced::start().await;
    let gateway = Gateway::start(&url, 1, &["--db", "none"]);
    let request = post(path(MESSAGES), &with_stream(&hello(MESSAGES, &json!({})), true));
    let begun = Instant::now();
    let (answer, mut stream) = tokio::join!(gateway.open(request), upstream.accept());
    let mut body = answer.into_body();
    let first = next(&mut body).await;
    assert!(first.contains("keep-alive"), "{first}");
    assert!(begun.elapsed().as_secs() >= 14, "{:?}", begun.elapsed());
    event(&mut stream, &text("Hi")).await;
    stream.write_all(b"0\r\n\r\n").await.expect("an open connection");
    let rest = body.collect().await.expect("no error").to_bytes();
    assert!(String::from_utf8_lossy(&rest).contains("message_stop"));
}

#[tokio::test]
async fn requests_with_the_same_prompt_cache_key_use_the_same_project() {
    let upstream = always(text("Hi")).await;
    let gateway = gateway(&upstream, 8);
    let body = hello(CHAT, &json!({ "prompt_cache_key": "session-1" }));
    let mut keys = HashSet::new();
    for _ in 0..6 {
        keys.insert(gateway.post(path(CHAT), &body).await.header("x-keypool-key").to_owned());
    }
    assert_eq!(keys.len(), 1, "{keys:?}");
    let body = hello(CHAT, &json!({}));
    for _ in 0..6 {
        keys.insert(gateway.post(path(CHAT), &body).await.header("x-keypool-key").to_owned());
    }
    assert!(keys.len() > 1, "without it, other keys serve, too");
}

#[tokio::test]
async fn models_that_a_client_can_use_are_listed_in_its_dialect() {
    let gemini = Upstream::start(|request| {
        let second = request.uri().query().is_some_and(|query| query.contains("pageToken=p%2F2"));
        let methods = json!(["generateContent"]);
        let body = if second {
            let pro = json!({ "name": "models/pro", "supportedGenerationMethods": methods });
            json!({ "models": [{ "name": "models/gemini-3.8-flash", "displayName": "Flash", "supportedGenerationMethods": methods }, pro] })
        } else {
            json!({ "models": [{ "name": "models/aqa", "supportedGenerationMethods": ["generateAnswer"] }], "nextPageToken": "p/2" })
        };
        reply(200, "application/json", body.to_string())
    })
    .await;
    // Requests for `unlisted` go to Gemini.
    let openai = always(json!({ "data": [{ "id": "gpt-x", "created": 7 }, { "id": "unlisted" }] })).await;
    let refused = scripted(vec![(500, json!({}))]).await;
    let gateway = with_providers(&gemini, &openai.url, &refused.url);
    // Concurrent requests for the list share one request upstream.
    let answers = futures_util::future::join_all((0..10).map(|_| gateway.get("/v1/models"))).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!((gemini.requests().len(), openai.requests().len()), (2, 1));
    let ids = |list: &Value, field: &str| -> Vec<String> {
        list.as_array().expect("a list").iter().map(|model| model[field].as_str().expect("text").to_owned()).collect()
    };
    assert_eq!(ids(&answers[0].json()["data"], "id"), ["gemini-3.8-flash", "pro", "gpt-x", "fast"]);
    assert_eq!(answers[0].json()["data"][2]["created"], 7, "the provider's fields are kept");
    let listed = gateway.get("/v1beta/models").await.json();
    assert_eq!(ids(&listed["models"], "name"), ["models/aqa", "models/gemini-3.8-flash", "models/pro", "models/fast"]);
    let anthropic = |path: &str, token: &str| {
        let request = Request::get(path).header("x-api-key", token).header("anthropic-version", "2023-06-01");
        request.body(Full::default()).expect("a request")
    };
    let listed = gateway.send(anthropic("/v1/models", TOKEN)).await.json();
    assert_eq!((&listed["first_id"], &listed["has_more"]), (&json!("gemini-3.8-flash"), &json!(false)));
    assert_eq!(listed["data"][0]["lifecycle"], "active");
    for (query, page, more) in [
        ("limit=2", &["gemini-3.8-flash", "pro"][..], true),
        ("limit=2&after_id=pro", &["fast"], false),
        ("after_id=gemini-3.8-flash", &["pro", "fast"], false),
        ("after_id=unknown", &[], false),
        ("before_id=unknown", &[], false),
        ("limit=1&before_id=fast", &["pro"], true),
        ("limit=0&before_id=gemini-3.8-flash", &[], false),
    ] {
        let listed = gateway.send(anthropic(&format!("/v1/models?{query}"), TOKEN)).await.json();
        assert_eq!(
            (ids(&listed["data"], "id"), &listed["has_more"]),
            (page.iter().map(|id| (*id).to_owned()).collect(), &json!(more)),
            "{query}"
        );
    }
    // A tenant sees only the models that it may use.
    let few = gateway.send(anthropic("/v1/models", "the-token-of-a-few-models")).await.json();
    assert_eq!(ids(&few["data"], "id"), ["fast"]);
    for (path, status) in [("/v1/models/gpt-x", 200), ("/v1/models/fast", 200), ("/v1/models/none", 404)] {
        assert_eq!(gateway.get(path).await.status, status, "{path}");
    }
    let hidden = gateway.send(anthropic("/v1/models/gpt-x", "the-token-of-a-few-models")).await;
    assert_eq!(hidden.status, 404);
    assert_eq!(gateway.get("/v1beta/models/gemini-3.8-flash").await.json()["displayName"], "Flash");
    assert_eq!(gemini.requests().len(), 2, "the list is cached");
}

#[tokio::test]
async fn bare_array_of_models_is_accepted_and_invalid_lists_are_skipped() {
    let gemini = always(json!("none")).await;
    let openai = always(json!([{ "id": "gpt-x", "object": "model" }, "odd"])).await;
    let odd = always(json!(["odd", 7])).await;
    let gateway = with_providers(&gemini, &openai.url, &odd.url);
    let answer = gateway.get("/v1/models").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let ids: Vec<Value> =
        answer.json()["data"].as_array().expect("a list").iter().map(|model| model["id"].clone()).collect();
    assert_eq!(ids, ["gpt-x"]);
}

#[tokio::test]
async fn list_of_a_single_provider_is_passed_on_unchanged() {
    let body = "{ \"models\": [ ],\n \"nextPageToken\": \"x\" }";
    let upstream = Upstream::always(200, "application/json", body).await;
    let gateway = gateway(&upstream, 1);
    let answer = gateway.get("/v1beta/models?pageSize=3&pageToken=a").await;
    assert_eq!(answer.text(), body);
    assert_eq!(upstream.requests()[0].uri().query(), Some("pageSize=3&pageToken=a"));
    let answer = gateway.get("/v1/models").await;
    assert_eq!(answer.json(), json!({ "object": "list", "data": [] }));
}

#[tokio::test]
async fn stream_ends_when_its_tenant_is_revoked() {
    let (upstream, url) = Paced::start().await;
    let tenant = "[[tenants]]\nname = \"a\"\ntoken = \"the-token-of-a-tenant\"\n";
    let gateway = Gateway::configured(&url, 1, tenant);
    let mut request = post(path(CHAT), &with_stream(&hello(CHAT, &json!({})), true));
    request.headers_mut().insert("authorization", "Bearer the-token-of-a-tenant".parse().expect("a value"));
    let (answer, _stream) = tokio::join!(gateway.open(request), async {
        let mut stream = upstream.accept().await;
        event(&mut stream, &part("first")).await;
        stream
    });
    let mut body = answer.into_body();
    assert!(next(&mut body).await.contains("first"));
    std::fs::write(gateway.folder.path().join("keypool.toml"), "").expect("a writable file");
    gateway.signal("HUP");
    let rest = tokio::time::timeout(Duration::from_secs(20), body.collect()).await.expect("in time");
    let rest = rest.expect("no error").to_bytes();
    assert!(String::from_utf8_lossy(&rest).contains("revoked"), "{rest:?}");
}
