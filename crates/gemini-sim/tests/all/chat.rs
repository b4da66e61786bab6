//! The OpenAI-compatible paths.

use gemini_sim::{AnswerText, GeminiSim, Limits, Project};
use http::{Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::client::{Answer, MODEL, body, post, send};

fn sim() -> GeminiSim {
    let project = Project::new("1").limits(Limits::none().rpm(2)).key("k");
    let answer = AnswerText::Fixed("It is quite warm today.".into());
    GeminiSim::builder().project(project).answer(answer).build()
}

async fn call(sim: &GeminiSim, path: &str, value: &Value) -> Answer {
    let request = post(&format!("/v1beta/openai/{path}")).header("authorization", "Bearer k");
    send(sim, request.body(body(value)).unwrap()).await
}

fn chat() -> Value {
    json!({
        "model": MODEL,
        "messages": [
            { "role": "system", "content": "be brief" },
            { "role": "user", "content": [{ "type": "text", "text": "How warm?" }] },
        ],
    })
}

#[tokio::test]
async fn completion_and_its_stream_agree() {
    let sim = sim();
    let whole = call(&sim, "chat/completions", &chat()).await.json();
    assert_eq!(whole["object"], "chat.completion");
    let choice = &whole["choices"][0];
    assert_eq!(choice["message"]["content"], "It is quite warm today.");
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(whole["usage"]["prompt_tokens"], 5);

    let mut request = chat();
    request["stream"] = true.into();
    request["stream_options"] = json!({ "include_usage": true });
    let stream = call(&sim, "chat/completions", &request).await;
    assert_eq!(stream.headers["content-type"], "text/event-stream");
    let mut events: Vec<_> = stream.text().split_terminator("\n\n").collect();
    assert_eq!(events.pop(), Some("data: [DONE]"));
    let events: Vec<Value> = events.iter().map(|event| serde_json::from_str(&event[6..]).unwrap()).collect();
    let (usage, chunks) = events.split_last().unwrap();
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"], whole["usage"]);
    let text: String = chunks.iter().map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().unwrap()).collect();
    assert_eq!(text, "It is quite warm today.");
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");

    // Both requests were charged against the model's quota; an error is a list with one element.
    let full = call(&sim, "chat/completions", &chat()).await;
    assert_eq!(full.status, StatusCode::TOO_MANY_REQUESTS);
    let error = full.json();
    let violation = &error[0]["error"]["details"][1]["violations"][0];
    assert_eq!(violation["quotaDimensions"]["model"], MODEL);
}

#[tokio::test]
async fn required_tool_is_called() {
    let mut request = chat();
    request["tools"] = json!([{ "type": "function", "function": { "name": "warmth" } }]);
    request["tool_choice"] = "required".into();
    let answer = call(&sim(), "chat/completions", &request).await.json();
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["tool_calls"][0]["function"]["name"], "warmth");
}

#[tokio::test]
async fn response_format_and_tool_choice_none_are_respected() {
    let sim = GeminiSim::builder().key("k").build();
    let mut request = chat();
    request["messages"] = json!([{ "role": "user", "content": "warmth()" }]);
    request["tools"] = json!([{ "type": "function", "function": { "name": "warmth" } }]);
    request["tool_choice"] = "none".into();
    let answer = call(&sim, "chat/completions", &request).await.json();
    assert_eq!(answer["choices"][0]["finish_reason"], "stop", "{answer}");
    let mut request = chat();
    let schema = json!({ "type": "object", "properties": { "warm": { "type": "boolean" } } });
    request["response_format"] = json!({ "type": "json_schema", "json_schema": { "name": "n", "schema": schema } });
    let answer = call(&sim, "chat/completions", &request).await.json();
    assert_eq!(
        answer["choices"][0]["message"]["content"],
        "{\"answer\":\"simulated answers are plain words in one order simulated answers are plain words in one order simulated answers are plain words in one order\"}"
    );
}

#[tokio::test]
async fn malformed_completions_are_refused() {
    let sim = sim();
    let mut penalised = chat();
    penalised["frequency_penalty"] = 1.into();
    let refused = call(&sim, "chat/completions", &penalised).await;
    assert!(refused.message().contains("Unknown name \"frequency_penalty\""));
    for (name, value) in [("temperature", 9), ("top_p", 2), ("n", 9), ("max_tokens", 0)] {
        let mut odd = chat();
        odd[name] = value.into();
        let refused = call(&sim, "chat/completions", &odd).await;
        assert!(refused.message().contains("must be in the range"), "{name}: {}", refused.text());
    }
    let mut nobody = chat();
    nobody["model"] = "gpt-4o".into();
    assert_eq!(call(&sim, "chat/completions", &nobody).await.status, StatusCode::NOT_FOUND);
    let empty = json!({ "model": MODEL, "messages": [] });
    assert_eq!(call(&sim, "chat/completions", &empty).await.status, StatusCode::BAD_REQUEST);
    for header in ["x-goog-api-key", "x-api-key"] {
        let request = post("/v1beta/openai/chat/completions").header(header, "k");
        let refused = send(&sim, request.body(body(&chat())).unwrap()).await;
        assert_eq!(refused.message(), "Missing or invalid Authorization header.");
    }
    assert_eq!(sim.report().total.accepted, 0);
}

#[tokio::test]
async fn embeddings_and_models_are_served() {
    let sim = GeminiSim::builder().key("k").build();
    let request = json!({ "model": "text-embedding-004", "input": ["a", "b"], "dimensions": 4 });
    let floats = call(&sim, "embeddings", &request).await.json();
    assert_eq!(floats["data"].as_array().unwrap().len(), 2);
    assert_eq!(floats["data"][1]["embedding"].as_array().unwrap().len(), 4);
    assert_eq!(sim.report().total.charged, 2);
    let mut packed = request;
    packed["encoding_format"] = "base64".into();
    let packed = call(&sim, "embeddings", &packed).await.json();
    assert_eq!(packed["data"][0]["embedding"].as_str().unwrap().len(), 24);

    let get = |path: &str| {
        let request = Request::get(format!("/v1beta/openai/{path}"));
        let request = request.header("authorization", "Bearer k");
        send(&sim, request.body(Full::default()).unwrap())
    };
    let listed = get("models").await.json();
    let one = get(&format!("models/{MODEL}")).await.json();
    assert!(listed["data"].as_array().unwrap().contains(&one));
}
