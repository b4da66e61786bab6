//! What is sent fits the model that it is sent to, also where that is another than the one that was asked for.

use gemini_sim::{GeminiSim, Limits, Project};
use http::{Request, StatusCode};
use keypool::gateway::token::PLACEHOLDER;
use serde_json::{Value, json};
use tower_keypool::{Gemini, Key, KeyPool, Models};

use crate::{
    serving::ONE,
    support::{Answer, Served, ask},
};

/// A gateway whose first model is out, and the second takes its place.
async fn stepping(models: [&'static str; 2]) -> (GeminiSim, Served) {
    let project = Project::new("1").limit(models[0], Limits::zero()).key(ONE);
    let sim = GeminiSim::builder().project(project).start().await.unwrap();
    let pool = KeyPool::builder(Gemini::at(&sim.url()).unwrap()).key(Key::new(ONE)).build().unwrap();
    let lists = Models::new().for_all(models).alias("best", models);
    let served = Served::falling_back(&pool, &sim.url(), lists).await;
    (sim, served)
}

async fn post(served: &Served, path: &str, body: &Value) -> Answer {
    let request = Request::post(served.url(path)).header("content-type", "application/json");
    let request = request.header("authorization", format!("Bearer {PLACEHOLDER}"));
    ask(request.header("anthropic-version", "2023-06-01"), body.to_string()).await
}

/// The same in each dialect: an effort, and what two generations take in two ways.
fn requests(model: &str, stream: bool) -> Vec<(&'static str, Value)> {
    let parameters = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    let schema = json!({ "type": "object", "properties": { "answer": { "type": "string" } }, "required": ["answer"] });
    let call = json!({ "id": "c1", "type": "function", "function": { "name": "weather", "arguments": "{}" } });
    let long = "x".repeat(20_000);
    vec![
        (
            "/openai/v1/chat/completions",
            json!({
                "model": model, "stream": stream, "reasoning_effort": "high",
                "messages": [
                    { "role": "user", "content": long },
                    { "role": "assistant", "tool_calls": [call] },
                    { "role": "tool", "tool_call_id": "c1", "content": "sun" },
                ],
                "tools": [{ "type": "function", "function": { "name": "weather", "parameters": parameters } }],
                "response_format": { "type": "json_schema", "json_schema": { "name": "s", "schema": schema } },
            }),
        ),
        (
            "/openai/v1/responses",
            json!({
                "model": model, "stream": stream, "reasoning": { "effort": "low" }, "input": long,
                "tools": [{ "type": "function", "name": "weather", "parameters": parameters, "strict": false }],
                "text": { "format": { "type": "json_schema", "name": "s", "schema": schema } },
            }),
        ),
        (
            "/anthropic/v1/messages",
            json!({
                "model": model, "stream": stream, "max_tokens": 4_000,
                "thinking": { "type": "enabled", "budget_tokens": 2_000 },
                "messages": [{ "role": "user", "content": long }],
            }),
        ),
    ]
}

#[tokio::test]
async fn what_steps_down_is_said_in_the_words_of_the_model_below() {
    for models in [["gemini-3.8-flash", "gemini-2.5-flash"], ["gemini-2.5-flash", "gemini-3.8-flash"]] {
        let (_sim, served) = stepping(models).await;
        for stream in [false, true] {
            // First it is told that the model is out, then that is known; another name stands for both.
            for model in [models[0], models[0], "best"] {
                for (path, body) in requests(model, stream) {
                    let answer = post(&served, path, &body).await;
                    assert_eq!(answer.status, StatusCode::OK, "{models:?} {model} {path} {stream}: {answer:?}");
                    // The one below can neither have that effort nor that budget.
                    let left_out = answer.headers.get("x-keypool-ignored").map(|value| value.to_str().unwrap());
                    assert_eq!(left_out, None, "{models:?} {path} {stream}");
                    if !stream {
                        assert_eq!(answer.header("x-keypool-model"), models[1], "{path}");
                        assert_eq!(answer.json()["model"], model, "{path}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn what_the_model_below_cannot_have_is_named() {
    let (_sim, served) = stepping(["gemini-2.5-flash", "gemini-2.0-flash"]).await;
    for (at, field) in ["reasoning_effort", "reasoning.effort", "thinking"].into_iter().enumerate() {
        for stream in [false, true] {
            // It calls functions or keeps to a form.
            let (path, mut body) = requests("gemini-2.5-flash", stream).swap_remove(at);
            for either in ["response_format", "text"] {
                body.as_object_mut().unwrap().remove(either);
            }
            let answer = post(&served, path, &body).await;
            assert_eq!(answer.status, StatusCode::OK, "{path} {stream}: {answer:?}");
            assert_eq!(answer.header("x-keypool-ignored"), field, "{path} {stream}");
            assert_eq!(answer.header("x-keypool-model"), "gemini-2.0-flash", "{path} {stream}");
        }
    }
    // Who is served by the first one has it.
    let (_sim, served) = stepping(["gemini-2.0-flash-lite", "gemini-2.5-flash"]).await;
    let (path, body) = requests("gemini-2.5-flash", false).swap_remove(2);
    let answer = post(&served, path, &body).await;
    assert_eq!((answer.status, answer.headers.get("x-keypool-ignored")), (StatusCode::OK, None), "{answer:?}");
}

/// A call that the model must make or, once it was made and answered, what follows.
fn calling(path: &str, (model, stream): (&str, bool), called: Option<&str>) -> Value {
    let parameters = json!({ "type": "object", "properties": { "city": { "type": "string" } } });
    let id = called.unwrap_or_default();
    let mut body = match path {
        "/openai/v1/chat/completions" => {
            let call = json!({ "id": id, "type": "function", "function": { "name": "weather", "arguments": "{}" } });
            json!({
                "messages": [
                    { "role": "user", "content": "x" },
                    { "role": "assistant", "tool_calls": [call] },
                    { "role": "tool", "tool_call_id": id, "content": "sun" },
                ],
                "tools": [{ "type": "function", "function": { "name": "weather", "parameters": parameters } }],
            })
        }
        "/openai/v1/responses" => json!({
            "input": [
                { "role": "user", "content": "x" },
                { "type": "function_call", "call_id": id, "name": "weather", "arguments": "{}" },
                { "type": "function_call_output", "call_id": id, "output": "sun" },
            ],
            "tools": [{ "type": "function", "name": "weather", "parameters": parameters, "strict": false }],
        }),
        _ => json!({
            "max_tokens": 100,
            "messages": [
                { "role": "user", "content": "x" },
                { "role": "assistant", "content": [{ "type": "tool_use", "id": id, "name": "weather", "input": {} }] },
                { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": id, "content": "sun" }] },
            ],
            "tools": [{ "name": "weather", "input_schema": parameters }],
        }),
    };
    (body["model"], body["stream"]) = (model.into(), stream.into());
    if called.is_none() {
        let said = if body["input"].is_null() { "messages" } else { "input" };
        body[said].as_array_mut().unwrap().truncate(1);
        let anthropic = path.starts_with("/anthropic");
        body["tool_choice"] = if anthropic { json!({ "type": "any" }) } else { json!("required") };
    }
    body
}

/// The id of the call in an answer, which one client and another finds in other places.
fn id_of_call(answer: &Answer) -> String {
    let text = std::str::from_utf8(&answer.body).unwrap();
    let id = text.split('"').find(|word| word.contains("_kp1"));
    id.unwrap_or_else(|| panic!("it signs: {text}")).to_owned()
}

#[tokio::test]
async fn a_signature_goes_back_to_the_model_that_gave_it_alone() {
    let models = ["gemini-3.8-flash", "gemini-3.1-pro"];
    let (_sim, below) = stepping(models).await;
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let pool = KeyPool::builder(Gemini::at(&sim.url()).unwrap()).key(Key::new(ONE)).build().unwrap();
    let lists = Models::new().for_all(models).alias("best", models);
    let first = Served::falling_back(&pool, &sim.url(), lists).await;
    for path in ["/openai/v1/chat/completions", "/openai/v1/responses", "/anthropic/v1/messages"] {
        for asked in [(models[0], false), (models[0], true), ("best", false), ("best", true)] {
            for turns in [[&first, &below], [&below, &first], [&below, &below]] {
                let called = post(turns[0], path, &calling(path, asked, None)).await;
                assert_eq!(called.status, StatusCode::OK, "{path} {asked:?}: {called:?}");
                // The simulator refuses a signature that is not this model's own.
                let again = calling(path, asked, Some(&id_of_call(&called)));
                let answer = post(turns[1], path, &again).await;
                assert_eq!(answer.status, StatusCode::OK, "{path} {asked:?}: {answer:?}");
            }
        }
    }
}
