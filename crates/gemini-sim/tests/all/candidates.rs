//! Length and number of the candidates.

use gemini_sim::{AnswerText, GeminiSim};
use serde_json::{Value, json};

use crate::client::{Answer, MODEL, body, post, prompt, send};

fn sim() -> GeminiSim {
    GeminiSim::builder().key("k").answer(AnswerText::Fixed("one two three four".into())).build()
}

async fn generate_with(method: &str, config: Value) -> Answer {
    let mut request = prompt("hello");
    request["generationConfig"] = config;
    let request = post(&format!("/v1beta/models/{MODEL}:{method}")).header("x-goog-api-key", "k").body(body(&request));
    send(&sim(), request.unwrap()).await
}

#[tokio::test]
async fn stop_sequence_ends_the_text() {
    let answer = generate_with("generateContent", json!({ "stopSequences": ["three"] })).await.json();
    let candidate = &answer["candidates"][0];
    assert_eq!(
        (&candidate["finishReason"], &candidate["content"]["parts"][0]["text"]),
        (&json!("STOP"), &json!("one two "))
    );
    let half = generate_with("generateContent", json!({ "maxOutputTokens": 1.5 })).await;
    assert!(half.message().contains("(TYPE_INT32), 1.5"), "{}", half.message());
}
