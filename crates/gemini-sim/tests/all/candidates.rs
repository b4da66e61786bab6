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
async fn candidate_count_is_respected() {
    let one = generate_with("generateContent", json!({})).await.json();
    let three = generate_with("generateContent", json!({ "candidateCount": 3 })).await.json();
    let candidates = three["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 3);
    for (index, candidate) in candidates.iter().enumerate() {
        assert_eq!(candidate["index"], index);
        assert_eq!(candidate["finishReason"], "STOP");
        assert_eq!(candidate["content"], one["candidates"][0]["content"]);
    }
    let tokens = |answer: &Value| answer["usageMetadata"]["candidatesTokenCount"].as_u64().unwrap();
    assert_eq!(tokens(&three), 3 * tokens(&one));
    // In a stream, each chunk has all candidates.
    let stream = generate_with("streamGenerateContent", json!({ "candidateCount": "2" })).await.json();
    let chunks = stream.as_array().unwrap();
    assert!(chunks.iter().all(|chunk| chunk["candidates"].as_array().unwrap().len() == 2));
    assert_eq!(tokens(chunks.last().unwrap()), 2 * tokens(&one));
    let many = generate_with("generateContent", json!({ "candidateCount": 9 })).await;
    assert!(many.message().contains("[1, 8]"));
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

#[tokio::test]
async fn n_sets_the_number_of_choices() {
    let request = json!({ "model": MODEL, "messages": [{ "role": "user", "content": "x" }], "n": 2, "stop": "three" });
    let request = post("/v1beta/openai/chat/completions").header("authorization", "Bearer k").body(body(&request));
    let answer = send(&sim(), request.unwrap()).await.json();
    let choices = answer["choices"].as_array().unwrap();
    assert_eq!(choices.len(), 2);
    assert!(choices.iter().all(|choice| choice["message"]["content"] == "one two "));
    assert_eq!(choices[1]["index"], 1);
}
