//! `/v1/responses` as `OpenAI`'s own command line asks, over the whole way: gateway, stack, simulator.

#![allow(clippy::needless_pass_by_value, reason = "tables read better without the signs")]

use gemini_sim::GeminiSim;
use http::StatusCode;
use serde_json::{Value, json};
use tower_keypool::Key;

use crate::{
    dialects::{post, served},
    serving::ONE,
    support::Served,
};

fn asked(more: Value) -> Value {
    let mut body = json!({ "model": "gemini-2.5-flash", "input": "Hello" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test]
async fn tools_that_are_no_plain_functions_are_had_or_named() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = served(&sim).await;
    let spawn = json!({ "type": "function", "name": "spawn", "parameters": { "type": "object" } });
    let tools = json!([
        { "type": "function", "name": "1st", "parameters": { "type": "object" } },
        { "type": "namespace", "name": "agents", "description": "Sub-agents.", "tools": [spawn] },
        { "type": "custom", "name": "apply_patch" },
        { "type": "web_search", "external_web_access": false },
    ]);
    for stream in [false, true] {
        let body = asked(json!({ "tools": tools, "tool_choice": "auto", "stream": stream }));
        let answer = post(&served, "/v1/responses", &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.header("x-keypool-ignored"), "tools.web_search");
    }
    let searching = asked(json!({ "tools": [{ "type": "web_search" }] }));
    let answer = post(&served, "/v1/responses", &searching).await;
    assert_eq!((answer.status, answer.headers.get("x-keypool-ignored")), (StatusCode::OK, None), "{answer:?}");
}

#[tokio::test]
async fn what_would_be_asked_is_counted() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let served = served(&sim).await;
    let counted = async |body: &Value| {
        let answer = post(&served, "/v1/responses/input_tokens", body).await;
        assert_eq!((answer.status, &answer.json()["object"]), (StatusCode::OK, &json!("response.input_tokens")));
        answer.json()["input_tokens"].as_u64().unwrap()
    };
    let first = counted(&asked(json!({}))).await;
    assert!(first > 0);
    // What it goes on from counts, too.
    let before = post(&served, "/v1/responses", &asked(json!({}))).await.json()["id"].clone();
    assert!(counted(&asked(json!({ "previous_response_id": before }))).await > first);
}

/// Each of `OpenAI`'s that it runs itself, and that nobody here can.
#[tokio::test]
async fn a_built_in_tool_is_refused_by_name_or_left_out_and_told() {
    use keypool::gateway::route::Dialects;
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let strict = served(&sim).await;
    let lenient = Dialects { strict: false, ..Dialects::default() };
    let lenient = Served::meeting(lenient, Key::new(ONE), &sim.url()).await;
    for kind in [
        "local_shell",
        "shell",
        "apply_patch",
        "computer_use_preview",
        "code_interpreter",
        "file_search",
        "image_generation",
        "mcp",
    ] {
        let body = asked(json!({ "tools": [{ "type": kind }], "tool_choice": "auto" }));
        let refused = post(&strict, "/v1/responses", &body).await;
        let error = &refused.json()["error"];
        assert_eq!((refused.status.as_u16(), &error["param"]), (400, &json!("tools[0].type")), "{refused:?}");
        assert_eq!(error["type"], "invalid_request_error", "{refused:?}");
        let says = error["message"].as_str().unwrap();
        assert!(says.contains(kind) && says.contains("web_search"), "{says}");
        let answer = post(&lenient, "/v1/responses", &body).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-keypool-ignored")), (200, "tools[0].type"), "{answer:?}");
        // It alone was to be used.
        let chosen = asked(json!({ "tools": [{ "type": kind }], "tool_choice": { "type": kind } }));
        let answer = post(&lenient, "/v1/responses", &chosen).await;
        assert_eq!(answer.header("x-keypool-ignored"), "tools[0].type, tool_choice", "{answer:?}");
    }
}
