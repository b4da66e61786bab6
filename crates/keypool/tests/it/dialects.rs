//! Clients of other APIs than the provider's, over the whole way: gateway, stack, simulator.

#![allow(clippy::needless_pass_by_value, reason = "tables read better without the signs")]

use std::time::Duration;

use gemini_sim::{AnswerText, Fault, Finish, GeminiSim, Limits, Project, Refusal, Rule};
use http::{Request, StatusCode};
use keypool::gateway::token::PLACEHOLDER;
use serde_json::{Value, json};
use tower_keypool::Key;

use crate::{
    serving::{ONE, TWO, one_suspended},
    support::{Answer, Served, ask},
};

pub(crate) async fn served(sim: &GeminiSim) -> Served {
    Served::keys([Key::new(ONE).id("one")], &sim.url(), Duration::ZERO).await
}

pub(crate) async fn post(served: &Served, path: &str, body: &Value) -> Answer {
    let request = Request::post(served.url(path))
        .header("authorization", format!("Bearer {PLACEHOLDER}"))
        .header("content-type", "application/json")
        // What official clients send, and what must not go on.
        .header("accept-encoding", "gzip, deflate, br")
        .header("openai-organization", "org-x")
        .header("x-stainless-lang", "python");
    ask(request, body.to_string()).await
}

async fn get(served: &Served, path: &str, header: &str) -> Answer {
    ask(Request::get(served.url(path)).header(header, bearer(header)), "").await
}

fn bearer(header: &str) -> String {
    if header == "authorization" { format!("Bearer {PLACEHOLDER}") } else { PLACEHOLDER.to_owned() }
}

fn chat(more: Value) -> Value {
    let mut body = json!({
        "model": "gemini-2.5-flash",
        "messages": [{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "Hello" }],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

/// The data of each event, comments left out.
pub(crate) fn events(answer: &Answer) -> Vec<String> {
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_chat_is_answered_whole() {
    let sim = GeminiSim::builder().key(ONE).answer(AnswerText::Fixed("Good day.".into())).start().await.unwrap();
    let served = served(&sim).await;
    for path in ["/v1/chat/completions", "/openai/v1/chat/completions", "/openai/chat/completions"] {
        let answer = post(&served, path, &chat(json!({ "user": "u", "temperature": 0.5, "max_tokens": 100 }))).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!((answer.header("x-keypool-key"), answer.header("x-keypool-model")), ("one", "gemini-2.5-flash"));
        assert_eq!(answer.header("x-keypool-ignored"), "user");
        let body = answer.json();
        assert_eq!(body["choices"][0]["message"]["content"], "Good day.");
        assert_eq!(
            (&body["choices"][0]["finish_reason"], &body["object"]),
            (&json!("stop"), &json!("chat.completion"))
        );
        assert!(body["usage"]["prompt_tokens"].as_u64() > Some(0) && body["created"].as_u64() > Some(1_700_000_000));
    }
}

/// `@azure/openai` names the model in the path alone; `openai` in both.
#[tokio::test]
async fn a_deployment_is_the_model_of_a_body_that_names_none() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = served(&sim).await;
    let ask = async |path: &str, kind: &str, body: String| {
        let request = Request::post(served.url(&format!("/openai/deployments/{path}?api-version=2024-02-01")));
        ask(request.header("api-key", PLACEHOLDER).header("content-type", kind), body).await
    };
    let json = "application/json";
    let hello = json!({ "messages": [{ "role": "user", "content": "Hello" }] });
    let answer = ask("gemini-2.5-flash/chat/completions", json, hello.to_string()).await;
    assert_eq!((answer.status, answer.header("x-keypool-model")), (StatusCode::OK, "gemini-2.5-flash"), "{answer:?}");
    let text = ask("gemini-2.5-flash/completions", json, json!({ "prompt": ["Once"] }).to_string()).await;
    assert_eq!((text.status, &text.json()["object"]), (StatusCode::OK, &json!("text_completion")), "{text:?}");
    let both = ask("elsewhere/chat/completions", json, chat(json!({})).to_string()).await;
    assert_eq!((both.status, both.header("x-keypool-model")), (StatusCode::OK, "gemini-2.5-flash"), "{both:?}");
    let vectors = ask("gemini-embedding-001/embeddings", json, json!({ "input": ["a"] }).to_string()).await;
    assert_eq!(vectors.status, StatusCode::OK, "{vectors:?}");
    let sound = "--xx\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nsound\r\n--xx--\r\n";
    let heard = ask("gemini-2.5-flash/audio/transcriptions", "multipart/form-data; boundary=xx", sound.into()).await;
    assert_eq!(heard.status, StatusCode::OK, "{heard:?}");
    let unknown = ask("nope/chat/completions", json, hello.to_string()).await;
    assert_eq!(unknown.json()["error"]["code"], "model_not_found");
}

#[tokio::test]
async fn a_chat_is_answered_in_pieces() {
    let sim = GeminiSim::builder().key(ONE).chunks(4).answer(AnswerText::Fixed("one two three".into())).start().await;
    let sim = sim.unwrap();
    let served = served(&sim).await;
    // As routers' clients ask for it, and as everybody does.
    let older =
        post(&served, "/v1/chat/completions", &chat(json!({ "stream": true, "usage": { "include": true } }))).await;
    assert!(String::from_utf8_lossy(&older.body).contains("total_tokens"), "{older:?}");
    let answer = post(
        &served,
        "/v1/chat/completions",
        &chat(json!({ "stream": true, "stream_options": { "include_usage": true } })),
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.header("content-type"), "text/event-stream; charset=utf-8");
    let mut events = events(&answer);
    assert_eq!(events.pop().unwrap(), "[DONE]");
    let events: Vec<Value> = events.iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    let text: String = events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert_eq!(text, "one two three");
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let last = events.last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert!(last["usage"]["total_tokens"].as_u64() > Some(0));
    assert_eq!(events[events.len() - 2]["choices"][0]["finish_reason"], "stop");
}

#[tokio::test]
async fn a_tool_is_called_and_its_answer_understood() {
    let sim = GeminiSim::builder().key(ONE).answer(AnswerText::Echo).start().await.unwrap();
    let served = served(&sim).await;
    let tools = json!([{ "type": "function", "function": {
        "name": "weather", "description": "d", "parameters": {
            "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"],
            "additionalProperties": false, "$schema": "https://json-schema.org/draft/2020-12/schema",
        },
    } }]);
    let first = post(
        &served,
        "/v1/chat/completions",
        &chat(json!({ "tools": tools, "tool_choice": { "type": "function", "function": { "name": "weather" } } })),
    )
    .await;
    assert_eq!(first.status, StatusCode::OK, "{first:?}");
    let message = first.json()["choices"][0]["message"].clone();
    assert_eq!(first.json()["choices"][0]["finish_reason"], "tool_calls");
    let id = message["tool_calls"][0]["id"].as_str().unwrap();
    let mut again = chat(json!({ "tools": tools }));
    let messages = again["messages"].as_array_mut().unwrap();
    messages.push(message.clone());
    messages.push(json!({ "role": "tool", "tool_call_id": id, "content": "{\"celsius\": 20}" }));
    messages.push(json!({ "role": "user", "content": "thank you" }));
    let second = post(&served, "/v1/chat/completions", &again).await;
    assert_eq!(second.status, StatusCode::OK, "{second:?}");
    assert_eq!(second.json()["choices"][0]["message"]["content"], "thank you");
}

#[tokio::test]
async fn signatures_survive_clients_that_rebuild_calls() {
    let sim = GeminiSim::builder().key(ONE).answer(AnswerText::Echo).start().await.unwrap();
    let served = served(&sim).await;
    let tools = json!([{ "type": "function", "function": { "name": "weather", "parameters": {
        "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"],
    } } }]);
    let mut asked = chat(json!({ "model": "gemini-3.8-flash", "tools": tools, "tool_choice": "required" }));
    let first = post(&served, "/v1/chat/completions", &asked).await;
    let call = first.json()["choices"][0]["message"]["tool_calls"][0].clone();
    assert_eq!(call["function"]["arguments"], r#"{"city":"simulated"}"#, "{first:?}");
    let id = call["id"].as_str().unwrap();
    asked.as_object_mut().unwrap().remove("tool_choice");
    // The simulator refuses a signature that is not its own, and a call without any.
    for id in [id, &id[..id.len() - 3], "call_of_nobody"] {
        let mut again = asked.clone();
        let rebuilt = json!({ "id": id, "type": "function", "function": call["function"] });
        again["messages"].as_array_mut().unwrap().extend([
            json!({ "role": "assistant", "tool_calls": [rebuilt] }),
            json!({ "role": "tool", "tool_call_id": id, "content": "20 degrees" }),
        ]);
        let answer = post(&served, "/v1/chat/completions", &again).await;
        assert_eq!(answer.status, StatusCode::OK, "{id}: {answer:?}");
    }
}

#[tokio::test]
async fn thoughts_and_schemas() {
    let sim = GeminiSim::builder().key(ONE).answer(AnswerText::Fixed("yes".into())).start().await.unwrap();
    let served = served(&sim).await;
    let google = json!({ "google": { "thinking_config": { "include_thoughts": true } } });
    let thought = post(&served, "/v1/chat/completions", &chat(json!({ "extra_body": google }))).await.json();
    assert_eq!(thought["choices"][0]["message"]["reasoning_content"], "Simulated thoughts.");
    assert_eq!(thought["usage"]["completion_tokens_details"]["reasoning_tokens"], 5);
    let thought =
        post(&served, "/v1/messages", &message(json!({ "thinking": { "type": "enabled", "budget_tokens": 1024 } })))
            .await;
    assert_eq!(thought.json()["content"][0]["thinking"], "Simulated thoughts.", "{thought:?}");
    let schema = json!({ "type": "object", "properties": { "kind": { "const": "a" }, "n": { "type": "integer" } } });
    let format = json!({ "type": "json_schema", "json_schema": { "name": "x", "schema": schema } });
    let answer = post(&served, "/v1/chat/completions", &chat(json!({ "response_format": format }))).await.json();
    let content = answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    assert_eq!(serde_json::from_str::<Value>(&content).unwrap(), json!({ "kind": "a", "n": 1 }));
}

#[tokio::test]
async fn faults_have_the_shape_that_clients_know() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = served(&sim).await;
    let mut wrong_model = chat(json!({}));
    wrong_model["model"] = "gemini-of-nowhere".into();
    for (body, status, param, code) in [
        (chat(json!({ "logit_bias": { "1": 2 } })), 400, json!("logit_bias"), Value::Null),
        (chat(json!({ "temperature": "hot" })), 400, json!("temperature"), Value::Null),
        (wrong_model, 404, Value::Null, json!("model_not_found")),
        (
            chat(json!({ "messages": [{ "role": "user", "content": [
                { "type": "image_url", "image_url": { "url": "https://example.com/a.png" } },
            ] }] })),
            400,
            json!("messages[0].content[0].image_url.url"),
            Value::Null,
        ),
        // The upstream's own 400.
        (chat(json!({ "n": 9 })), 400, Value::Null, Value::Null),
    ] {
        for stream in [false, true] {
            let mut body = body.clone();
            body["stream"] = stream.into();
            let answer = post(&served, "/v1/chat/completions", &body).await;
            let error = &answer.json()["error"];
            assert_eq!(
                (answer.status.as_u16(), &error["param"], &error["code"]),
                (status, &param, &code),
                "{answer:?}"
            );
            assert_eq!(error["type"], "invalid_request_error");
        }
    }
    let path = "/v1/chat/completions";
    let unknown = ask(Request::post(served.url(path)).header("authorization", "Bearer wrong"), "{}").await;
    assert_eq!(
        (unknown.status, &unknown.json()["error"]["code"]),
        (StatusCode::UNAUTHORIZED, &json!("invalid_api_key"))
    );
    // LiteLLM tells a wrong token from other wrong requests by these words alone.
    let said = unknown.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(said.contains("Incorrect API key provided") && said.contains("API key not valid."), "{said}");
    for path in ["/v1/files", "/v1/batches"] {
        let shared = get(&served, path, "authorization").await;
        assert_eq!((shared.status, &shared.json()["error"]["code"]), (StatusCode::NOT_FOUND, &json!("unknown_url")));
        let message = shared.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(message.contains("x-goog-api-key") && message.contains("/gemini/v1beta/files"), "{message}");
    }
    // As it says: no longer ours to refuse. (The simulator has files under /v1beta alone.)
    for (path, header) in [("/v1beta/files", "x-goog-api-key"), ("/gemini/v1beta/files", "authorization")] {
        assert_eq!(get(&served, path, header).await.status, StatusCode::OK, "{path}");
    }
    let nowhere = post(&served, "/v1/images/variations", &json!({})).await;
    assert_eq!((nowhere.status, &nowhere.json()["error"]["code"]), (StatusCode::NOT_FOUND, &json!("unknown_url")));
    let past = get(&served, "/v1/responses/resp_1", "authorization").await;
    let why = past.json()["error"]["message"].to_string();
    assert!(past.status == StatusCode::NOT_FOUND && why.contains("no such response is known"), "{past:?}");
    assert_eq!(past.json()["error"]["code"], json!(null), "its path is known");
    let asked = json!({ "model": "gemini-2.5-flash", "input": "x", "previous_response_id": "resp_1" });
    let lost = post(&served, "/v1/responses", &asked).await;
    let error = &lost.json()["error"];
    assert_eq!(
        (lost.status, &error["code"], &error["param"]),
        (StatusCode::BAD_REQUEST, &json!("previous_response_not_found"), &json!("previous_response_id"))
    );
    let method = get(&served, path, "authorization").await;
    assert_eq!((method.status, &method.json()["error"]["code"]), (StatusCode::NOT_FOUND, &json!("unknown_url")));
}

#[tokio::test]
async fn a_bad_key_is_not_seen_by_these_clients_either() {
    let sim = one_suspended().await;
    let keys = [Key::new(ONE).priority(tower_keypool::Priority(0)), Key::new(TWO).priority(tower_keypool::Priority(1))];
    let served = Served::keys(keys, &sim.url(), Duration::ZERO).await;
    for stream in [true, false] {
        let answer = post(&served, "/v1/chat/completions", &chat(json!({ "stream": stream }))).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
}

#[tokio::test]
async fn when_every_key_is_out_each_dialect_says_until_when() {
    let sim =
        GeminiSim::builder().project(Project::new("1").limits(Limits::none().rpm(1)).key(ONE)).start().await.unwrap();
    let limits = tower_keypool::Limits::new().per_minute(1);
    let served = Served::keys([Key::new(ONE).limits("*", limits)], &sim.url(), Duration::ZERO).await;
    assert_eq!(post(&served, "/v1/chat/completions", &chat(json!({}))).await.status, StatusCode::OK);
    for stream in [false, true] {
        let openai = post(&served, "/v1/chat/completions", &chat(json!({ "stream": stream }))).await;
        let anthropic = post(&served, "/v1/messages", &message(json!({ "stream": stream }))).await;
        for (answer, path) in [(openai, "code"), (anthropic, "type")] {
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
            assert!((55..=61).contains(&answer.header("retry-after").parse::<u64>().unwrap()));
            let expected = if path == "code" { "no_available_keys" } else { "overloaded_error" };
            assert_eq!(answer.json()["error"][path], expected);
        }
    }
}

#[tokio::test]
async fn an_error_inside_of_a_stream_is_told_there() {
    let error = r#"{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}"#;
    let event = r#"{"candidates":[{"content":{"parts":[{"text":"so far"}],"role":"model"},"index":0}]}"#;
    for end in [format!("data: {error}\r\n\r\n"), format!("{error}\n"), String::new()] {
        let served = canned(format!("data: {event}\r\n\r\n{end}")).await;
        let openai = post(&served, "/v1/chat/completions", &chat(json!({ "stream": true }))).await;
        let told = events(&openai);
        let last: Value = serde_json::from_str(told.last().unwrap()).unwrap();
        assert_eq!(last["error"]["type"], "server_error", "{told:?}");
        let anthropic = post(&served, "/v1/messages", &message(json!({ "stream": true }))).await;
        let text = String::from_utf8(anthropic.body.to_vec()).unwrap();
        assert!(text.contains("so far") && text.contains("event: error\n"), "{text}");
    }
}

/// A gateway over an upstream that answers every request with these events.
async fn canned(events: String) -> Served {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let events = events.clone();
            tokio::spawn(async move {
                let _ = stream.read(&mut vec![0; 65_536]).await;
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(format!("{head}{events}").as_bytes()).await;
            });
        }
    });
    Served::keys([Key::new(ONE)], &upstream, Duration::ZERO).await
}

#[tokio::test]
async fn by_a_switch_it_is_the_providers_own_endpoint() {
    use keypool::gateway::route::Dialects;
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let dialects = Dialects { translates_openai: false, strict: false, ..Dialects::default() };
    let served = Served::meeting(dialects, Key::new(ONE), &sim.url()).await;
    for path in ["/v1/chat/completions", "/openai/v1/chat/completions"] {
        let answer = post(&served, path, &chat(json!({}))).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        // Its own words, in the shape that clients know: that endpoint refuses what is translated else.
        let refused = post(&served, path, &chat(json!({ "frequency_penalty": 0.5 }))).await;
        assert_eq!((refused.status.as_u16(), refused.header("x-keypool-attempts")), (400, "1"), "{refused:?}");
        let error = &refused.json()["error"];
        assert_eq!(error["type"], "invalid_request_error", "{error}");
        assert!(error["message"].as_str().unwrap().contains("frequency_penalty"), "{error}");
        let missing = post(&served, path, &chat(json!({ "model": "gemini-of-nowhere" }))).await;
        assert_eq!((missing.status.as_u16(), &missing.json()["error"]["code"]), (404, &json!("model_not_found")));
    }
    // The other dialect is translated all the same, and nobody is strict.
    let answer = post(&served, "/v1/messages", &message(json!({ "container": "c" }))).await;
    assert_eq!((answer.status, answer.header("x-keypool-ignored")), (StatusCode::OK, "container"), "{answer:?}");
}

#[tokio::test]
async fn responses_over_the_whole_way() {
    let sim = GeminiSim::builder().key(ONE).chunks(2).answer(AnswerText::Fixed("Good day.".into())).start().await;
    let sim = sim.unwrap();
    let served = served(&sim).await;
    let wish = |stream: bool| json!({ "model": "gemini-2.5-flash", "input": "Hello", "stream": stream });
    let whole = post(&served, "/v1/responses", &wish(false)).await.json();
    assert_eq!(whole["output"][0]["content"][0]["text"], "Good day.", "{whole}");
    let pieces = events(&post(&served, "/openai/v1/responses", &wish(true)).await);
    let last: Value = serde_json::from_str(pieces.last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["response"]["status"]), (&json!("response.completed"), &json!("completed")));
}

#[tokio::test]
async fn embeddings_in_both_forms() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = served(&sim).await;
    let body = |more: Value| {
        let mut body = json!({ "model": "gemini-embedding-001", "input": ["a", "b"], "dimensions": 256 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let floats = post(&served, "/v1/embeddings", &body(json!({}))).await;
    assert_eq!(floats.status, StatusCode::OK, "{floats:?}");
    let floats = floats.json();
    let vector: Vec<f64> =
        floats["data"][1]["embedding"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    assert_eq!((vector.len(), &floats["data"][1]["index"]), (256, &json!(1)));
    assert!((vector.iter().map(|value| value * value).sum::<f64>() - 1.0).abs() < 1e-3);
    let packed = post(&served, "/v1/embeddings", &body(json!({ "encoding_format": "base64" }))).await.json();
    // 256 floats of four bytes.
    assert_eq!(packed["data"][0]["embedding"].as_str().unwrap().len(), (256 * 4_usize).div_ceil(3) * 4);
    // More than one request of the upstream holds.
    let many: Vec<String> = (0..150).map(|n| format!("text {n}")).collect();
    let many = post(&served, "/v1/embeddings", &body(json!({ "input": many, "dimensions": 8 }))).await;
    assert_eq!(many.json()["data"].as_array().map(Vec::len), Some(150), "{many:?}");
    // As LangChain cuts texts: into ids of tokens.
    let texts = post(&served, "/v1/embeddings", &body(json!({ "input": ["Hello world", "Hello"] }))).await.json();
    let tokens = post(&served, "/v1/embeddings", &body(json!({ "input": [[9906, 1917], [9906]] }))).await.json();
    assert!(texts["data"][1]["embedding"].is_array() && texts["data"] == tokens["data"], "{tokens}");
    assert_ne!(texts["data"][0]["embedding"], texts["data"][1]["embedding"]);
}

/// A key's limit counts texts: what is more than one key may carry goes to several.
#[tokio::test]
async fn more_texts_than_a_key_may_carry_go_in_pieces() {
    const THREE: &str = "AIzaSyTEST-serving-key-three-0000000003";
    let sim = GeminiSim::builder().key(ONE).key(TWO).key(THREE).start().await.unwrap();
    let limits = || tower_keypool::Limits::new().per_minute(10);
    let keys = [ONE, TWO, THREE].map(|secret| Key::new(secret).limits("*", limits()));
    let served = Served::keys(keys, &sim.url(), Duration::ZERO).await;
    let texts = |count: usize| (0..count).map(|n| format!("text {n}")).collect::<Vec<_>>();
    let asked = |count| json!({ "model": "gemini-embedding-001", "input": texts(count), "dimensions": 8 });
    let answer = post(&served, "/v1/embeddings", &asked(25)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let data = answer.json()["data"].as_array().unwrap().clone();
    assert!(data.len() == 25 && data.iter().enumerate().all(|(n, one)| one["index"] == n), "{data:?}");
    // Five are left of this minute.
    let answer = post(&served, "/v1/embeddings", &asked(20)).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|after| after <= 62), "{answer:?}");
    let answer = post(&served, "/v1/embeddings", &asked(5)).await;
    assert_eq!(answer.status, StatusCode::OK, "nothing was spent on what cannot be served whole: {answer:?}");
}

#[tokio::test]
async fn more_texts_than_all_keys_may_ever_carry_are_refused_before_one_is_paid_for() {
    let sim = GeminiSim::builder().key(ONE).key(TWO).start().await.unwrap();
    let limits = |most| tower_keypool::Limits::new().per_minute(most);
    let asked = |count: usize| {
        let texts: Vec<_> = (0..count).map(|n| format!("text {n}")).collect();
        json!({ "model": "gemini-embedding-001", "input": texts, "dimensions": 8 })
    };
    // What fits into one call to the provider, and what does not.
    for (each, count) in [(10, 30), (90, 190)] {
        let keys = [ONE, TWO].map(|secret| Key::new(secret).limits("*", limits(each)));
        let served = Served::keys(keys, &sim.url(), Duration::ZERO).await;
        let answer = post(&served, "/v1/embeddings", &asked(count)).await;
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{answer:?}");
        let error = answer.json()["error"].clone();
        assert_eq!((&error["type"], &error["param"]), (&json!("invalid_request_error"), &json!("input")), "{error}");
        let most = (each * 2).to_string();
        assert!(error["message"].as_str().unwrap().contains(&most), "{error}");
        let answer = post(&served, "/v1/embeddings", &asked(2 * each as usize)).await;
        assert_eq!(answer.status, StatusCode::OK, "nothing was spent on what can never be served: {answer:?}");
    }
}

/// An account that was switched off says so in a good answer: another one's key is asked.
#[tokio::test]
async fn a_key_that_is_switched_off_in_a_whole_answer_gives_way_to_another() {
    for (path, body, text) in [
        ("/v1/chat/completions", chat(json!({})), "/choices/0/message/content"),
        ("/v1/messages", message(json!({})), "/content/0/text"),
        ("/v1/responses", json!({ "model": "gemini-2.5-flash", "input": "Hello" }), "/output/0/content/0/text"),
    ] {
        let off = Rule::new(Fault::Finish(Finish::Reason("PUP_LIMITED_DISABLED".into())));
        let project = |name: &str, key: &str| Project::new(name).key(key);
        let sim = GeminiSim::builder().project(project("1", ONE)).project(project("2", TWO));
        let sim = sim.answer(AnswerText::Fixed("Good day.".into())).script(vec![off.key(ONE)]).start().await.unwrap();
        let keys = [Key::new(ONE).id("one"), Key::new(TWO).id("two").priority(tower_keypool::Priority(1))];
        let served = Served::keys(keys, &sim.url(), Duration::ZERO).await;
        let answer = post(&served, path, &body).await;
        assert_eq!((answer.status, answer.header("x-keypool-key")), (StatusCode::OK, "two"), "{path}: {answer:?}");
        assert_eq!(answer.json().pointer(text), Some(&json!("Good day.")), "{path}: {answer:?}");
        // Where there is no other, it is the caller's to come back.
        let served = Served::keys([Key::new(ONE).id("one")], &sim.url(), Duration::ZERO).await;
        let answer = post(&served, path, &body).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {answer:?}");
        assert!(!answer.header("retry-after").is_empty(), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn models_are_told_apart_by_credential() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = served(&sim).await;
    let openai = get(&served, "/v1/models", "authorization").await.json();
    assert_eq!((&openai["object"], &openai["data"][0]["object"]), (&json!("list"), &json!("model")));
    assert!(openai["data"].as_array().unwrap().iter().any(|model| model["id"] == "gemini-2.5-flash"));
    let native = get(&served, "/v1/models", "x-goog-api-key").await.json();
    assert!(native["models"][0]["name"].as_str().unwrap().starts_with("models/"));
    let native = get(&served, "/gemini/v1beta/models/gemini-2.5-flash", "authorization").await.json();
    assert_eq!(native["name"], "models/gemini-2.5-flash");
    let one = get(&served, "/v1/models/gemini-2.5-flash", "authorization").await.json();
    assert_eq!(one["id"], "gemini-2.5-flash");
    let anthropic = get(&served, "/anthropic/v1/models", "x-api-key").await.json();
    assert_eq!((&anthropic["data"][0]["type"], &anthropic["has_more"]), (&json!("model"), &json!(false)));
    let none = get(&served, "/v1/models/nothing", "authorization").await;
    assert_eq!((none.status, &none.json()["error"]["code"]), (StatusCode::NOT_FOUND, &json!("model_not_found")));
}

/// Each kind of client has its own half of the path: base URLs that were copied from another's are understood.
#[tokio::test]
async fn a_base_url_may_end_as_any_client_has_it() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = served(&sim).await;
    let native = json!({ "contents": [{ "parts": [{ "text": "Hello" }] }] });
    let verb = "/models/gemini-2.5-flash:generateContent";
    for (bases, path, body, member) in [
        (
            &["", "/", "/v1", "/v1/", "/v1beta", "/openai", "/openai/", "/openai/v1", "/openai/v1/", "/openai/v1/v1"][..],
            "/chat/completions",
            chat(json!({})),
            "choices",
        ),
        (
            &["", "/", "/v1", "/v1/", "/anthropic", "/anthropic/", "/anthropic/v1/"],
            "/v1/messages",
            message(json!({})),
            "stop_reason",
        ),
        (
            &["", "/", "/v1beta", "/v1beta/", "/v1beta/v1beta", "/v1/v1beta", "/gemini", "/gemini/", "/gemini/v1beta/"],
            verb,
            native,
            "candidates",
        ),
    ] {
        for base in bases {
            let request =
                Request::post(served.url(&format!("{base}{path}"))).header("authorization", bearer("authorization"));
            let answer = ask(request, body.to_string()).await;
            assert_eq!(answer.status, StatusCode::OK, "{base} {path}: {answer:?}");
            assert!(!answer.json()[member].is_null(), "{base} {path}: {answer:?}");
        }
    }
    for (header, member) in [("authorization", "data"), ("x-goog-api-key", "models")] {
        let models = get(&served, "/models", header).await;
        assert!(models.status == StatusCode::OK && models.json()[member].is_array(), "{header}: {models:?}");
    }
    // Behind that it may stand for anything.
    let empty = post(&served, "/v1/chat//completions", &chat(json!({}))).await;
    assert_eq!(empty.status, StatusCode::BAD_REQUEST, "{empty:?}");
}

fn message(more: Value) -> Value {
    let mut body = json!({
        "model": "gemini-2.5-flash", "max_tokens": 100, "system": "Be brief.",
        "messages": [{ "role": "user", "content": [{ "type": "text", "text": "Hello" }] }],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn a_message_is_answered_whole_and_in_pieces() {
    let sim = GeminiSim::builder().key(ONE).chunks(3).answer(AnswerText::Fixed("Good day.".into())).start().await;
    let sim = sim.unwrap();
    let served = served(&sim).await;
    let whole = post(&served, "/v1/messages", &message(json!({ "metadata": { "user_id": "u" } }))).await;
    assert_eq!((whole.status, whole.header("x-keypool-ignored")), (StatusCode::OK, "metadata"), "{whole:?}");
    let body = whole.json();
    assert_eq!(body["content"], json!([{ "type": "text", "text": "Good day." }]));
    assert_eq!((&body["stop_reason"], &body["type"]), (&json!("end_turn"), &json!("message")));
    let pieces = post(&served, "/anthropic/v1/messages", &message(json!({ "stream": true }))).await;
    let kinds: Vec<String> = events(&pieces)
        .iter()
        .map(|event| serde_json::from_str::<Value>(event).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    let delta = "content_block_delta";
    assert_eq!(
        kinds,
        [
            "message_start",
            "content_block_start",
            delta,
            delta,
            delta,
            "content_block_stop",
            "message_delta",
            "message_stop"
        ]
    );
    let counted = post(&served, "/v1/messages/count_tokens", &message(json!({}))).await;
    assert!(counted.json()["input_tokens"].as_u64() > Some(0), "{counted:?}");
    let wrong = post(&served, "/v1/messages", &message(json!({ "messages": [] }))).await;
    assert_eq!(
        (wrong.status, &wrong.json()["error"]["type"]),
        (StatusCode::BAD_REQUEST, &json!("invalid_request_error"))
    );
}

#[tokio::test]
async fn a_large_image_arrives_as_it_was() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = served(&sim).await;
    let image = "iVBORw0KGgo".repeat(100_000);
    let body = chat(json!({ "messages": [{ "role": "user", "content": [
        { "type": "text", "text": "What is it?" },
        { "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{image}") } },
    ] }] }));
    let answer = post(&served, "/v1/chat/completions", &body).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let huge = "A".repeat(33 << 20);
    let body = chat(json!({ "messages": [{ "role": "user", "content": huge }] }));
    let refused = post(&served, "/v1/chat/completions", &body).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_upstreams_answer() {
    use http_body_util::{BodyExt, Full};
    let sim = GeminiSim::builder().key(ONE).chunks(50).chunk_latency(Duration::from_secs(2)).start().await.unwrap();
    let served = Served::keys([Key::new(ONE).max_concurrent(1)], &sim.url(), Duration::from_secs(60)).await;
    let open = || {
        let request = Request::post(served.url("/v1/chat/completions"))
            .header("authorization", format!("Bearer {PLACEHOLDER}"))
            .body(Full::from(chat(json!({ "stream": true })).to_string()))
            .unwrap();
        crate::support::client().request(request)
    };
    let mut first = open().await.unwrap();
    assert!(first.body_mut().frame().await.is_some());
    drop(first);
    let second = tokio::time::timeout(Duration::from_secs(60), open()).await.expect("the slot came back").unwrap();
    assert_eq!(second.status(), StatusCode::OK);
}

#[tokio::test]
async fn keys_are_in_no_refusal() {
    let text = "sorry, {key} may not".to_owned();
    let sim = GeminiSim::builder()
        .key(ONE)
        .script([Rule::new(Fault::Refuse(Refusal::NoPermission)), Rule::new(Fault::AnswerText(text))])
        .start()
        .await;
    let sim = sim.unwrap();
    let served = served(&sim).await;
    for _ in 0..2 {
        let answer = post(&served, "/v1/chat/completions", &chat(json!({}))).await;
        assert!(!String::from_utf8_lossy(&answer.body).contains(ONE), "{answer:?}");
    }
}

/// Some clients pack what is long.
#[tokio::test]
async fn requests_in_gzip_are_read_and_other_encodings_are_a_415() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = served(&sim).await;
    let pack = |text: &str| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
        packed.finish().unwrap()
    };
    let chat = |words: &str| json!({ "model": "gemini-2.5-flash", "messages": [{ "role": "user", "content": words }] });
    let send = async |encoding: &str, body: Vec<u8>| {
        let request = Request::post(served.url("/v1/chat/completions")).header("content-encoding", encoding);
        let request = request.header("authorization", format!("Bearer {PLACEHOLDER}"));
        ask(request.header("content-type", "application/json"), body).await
    };
    let long = (0..40_000).map(|n| (n * 7_919).to_string()).collect::<Vec<_>>().join(" ");
    for (encoding, words) in [("gzip", "hello"), ("GZIP", "hello"), ("x-gzip", &*long)] {
        let answer = send(encoding, pack(&chat(words).to_string())).await;
        assert_eq!(answer.status.as_u16(), 200, "{encoding}: {answer:?}");
        assert_eq!(answer.json()["object"], "chat.completion");
    }
    assert_eq!(send("identity", chat("hello").to_string().into()).await.status.as_u16(), 200);
    let bomb = pack(&" ".repeat(33 << 20));
    for (encoding, body, status) in [
        ("br", pack("{}"), 415),
        ("gzip, gzip", pack("{}"), 415),
        ("gzip", b"{\"model\":1}".to_vec(), 400),
        ("gzip", pack(&chat("hello").to_string())[..40].to_vec(), 400),
        ("gzip", bomb, 413),
    ] {
        let answer = send(encoding, body).await;
        assert_eq!(answer.status.as_u16(), status, "{encoding}: {answer:?}");
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    }
}
