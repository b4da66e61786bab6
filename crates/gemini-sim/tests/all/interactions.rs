//! Interactions: whole, in events, and again by their id.

use gemini_sim::GeminiSim;
use http::Request;
use serde_json::json;

use crate::client::{body, post, send};

#[tokio::test(start_paused = true)]
async fn an_interaction_is_told_whole_or_in_events_when_made_and_later() {
    let sim = GeminiSim::builder().key("AIzaSy-one").build();
    let ask = json!({ "model": "gemini-2.5-flash", "input": "Hello" });
    let made = post("/v1beta/interactions").header("x-goog-api-key", "AIzaSy-one");
    let made = send(&sim, made.body(body(&ask)).unwrap()).await.json();
    assert_eq!(made["status"], "completed");
    assert_eq!(made["steps"][0]["type"], "model_output");

    let streamed = json!({ "model": "gemini-2.5-flash", "input": "Hello", "stream": true });
    let request = post("/v1beta/interactions").header("x-goog-api-key", "AIzaSy-one");
    let answer = send(&sim, request.body(body(&streamed)).unwrap()).await;
    let events: Vec<_> = answer.text().lines().filter_map(|line| line.strip_prefix("event: ")).collect();
    let expected = ["interaction.created", "step.start", "step.delta", "step.stop", "interaction.completed", "done"];
    assert_eq!(events, expected);

    let get = async |query: &str| {
        let path = format!("/v1beta/interactions/{}{query}", made["id"].as_str().unwrap());
        let request = Request::get(path).header("x-goog-api-key", "AIzaSy-one");
        send(&sim, request.body(body(&json!(null))).unwrap()).await
    };
    // As the official client asks.
    assert_eq!(get("?stream=false&include_input=false").await.json()["id"], made["id"]);
    assert!(get("?stream=true").await.text().ends_with("event: done\ndata: [DONE]\n\n"));
}
