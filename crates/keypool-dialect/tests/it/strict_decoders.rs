//! Responses decode with the types of a strict client (`async-openai`).

use async_openai::types::{
    chat::{CreateChatCompletionResponse, CreateChatCompletionStreamResponse},
    embeddings::CreateEmbeddingResponse,
    responses::{Response, ResponseStreamEvent},
};
use keypool_dialect::{Mode, openai::embeddings::Embeddings};
use serde_json::{Value, json};

use crate::support::{CHAT, RESPONSES, gemini, hello, parse, streamed, tool, whole};

fn answers() -> [Value; 3] {
    let call = json!([{ "text": "I call" }, { "functionCall": { "name": "f", "args": { "x": 1 } }, "thoughtSignature": "c2ln" }]);
    let mut likely = gemini(&json!([{ "text": "Hi" }]), "STOP");
    likely["candidates"][0]["logprobsResult"] = json!({
        "chosenCandidates": [{ "token": "Hi", "logProbability": -0.5 }],
        "topCandidates": [{ "candidates": [{ "token": "Hi", "logProbability": -0.5 }, { "token": "Ho", "logProbability": -2 }] }],
    });
    [gemini(&call, "STOP"), likely, gemini(&json!([{ "text": "Hi" }]), "MAX_TOKENS")]
}

#[test]
fn chat_completions_decode() {
    let more = json!({
        "tools": [tool(CHAT, "f")], "logprobs": true, "top_logprobs": 2, "stream_options": { "include_usage": true },
    });
    let request = parse(CHAT, &hello(CHAT, &more)).unwrap();
    for answer in answers() {
        let json = whole(&request, &answer).1.unwrap();
        let typed: CreateChatCompletionResponse = serde_json::from_value(json).unwrap();
        assert_eq!(typed.usage.unwrap().total_tokens, 10);
        for chunk in streamed(&request, &[answer]).data() {
            let _: CreateChatCompletionStreamResponse = serde_json::from_value(chunk).unwrap();
        }
    }
}

#[test]
fn responses_decode() {
    let more = json!({
        "tools": [tool(RESPONSES, "f"), { "type": "web_search" }], "top_logprobs": 2, "tool_choice": "auto",
        "text": { "format": { "type": "text" } }, "reasoning": { "effort": "low" },
    });
    let request = parse(RESPONSES, &hello(RESPONSES, &more)).unwrap();
    for answer in answers() {
        let json = whole(&request, &answer).1.unwrap();
        let typed: Response = serde_json::from_value(json.clone()).unwrap_or_else(|error| panic!("{error}: {json}"));
        assert_eq!(typed.usage.unwrap().total_tokens, 10);
        // A later client requires this count.
        assert_eq!(json["usage"]["input_tokens_details"]["cache_write_tokens"], 0);
        for event in streamed(&request, &[answer]).data() {
            let _: ResponseStreamEvent =
                serde_json::from_value(event.clone()).unwrap_or_else(|error| panic!("{error}: {event}"));
        }
    }
}

#[test]
fn embeddings_decode() {
    let request =
        Embeddings::parse(br#"{"model": "gemini-embedding-001", "input": ["a", "b"]}"#, Mode::Strict).unwrap();
    let body = json!({ "embeddings": [{ "values": [3.0, 4.0] }, { "values": [0.0, 0.5] }] }).to_string();
    let typed: CreateEmbeddingResponse = serde_json::from_slice(&request.answer(&[body]).unwrap()).unwrap();
    assert_eq!(typed.data[0].embedding, [0.6, 0.8]);
}
