//! What the builder says is what goes out, under the names of the official schema.

use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use keypool_client::{
    Client,
    api::{Content, FunctionDeclaration, GenerateContentRequest, Part, Tool},
};
use serde_json::{Value, json};
use tower_keypool::{Gemini, Key, KeyPool};

use crate::stage;

type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// A provider that keeps what it is asked, and says `answer`.
fn recorder(answer: &Value) -> (Client, Asked) {
    let (asked, answer) = (Asked::default(), answer.to_string());
    let kept = Arc::clone(&asked);
    let transport = tower::service_fn(move |request: Request<_>| {
        let (kept, answer) = (Arc::clone(&kept), answer.clone());
        async move {
            let (head, body): (_, tower_keypool::ReplayBody<Full<bytes::Bytes>>) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            kept.lock().unwrap().push((head.uri.path().to_owned(), body));
            Ok::<_, tower_keypool::BoxError>(Response::new(Full::<bytes::Bytes>::from(answer)))
        }
    });
    let gemini = Gemini::at("http://provider.invalid").unwrap();
    let pool = KeyPool::builder(gemini).key(Key::new(stage::secret(0)).id("k0")).build().unwrap();
    (Client::builder(&pool).transport(transport).build(), asked)
}

fn said() -> Value {
    json!({
        "candidates": [{
            "content": { "role": "model", "parts": [{ "text": "yes", "thoughtSignature": "c2ln", "new": 1 }] },
            "finishReason": "STOP", "avgLogprobs": -0.5,
        }],
        "usageMetadata": { "promptTokenCount": 7, "candidatesTokenCount": 2, "thoughtsTokenCount": 3, "totalTokenCount": 12,
            "promptTokensDetails": [{ "modality": "TEXT", "tokenCount": 7 }] },
        "modelVersion": "gemini-2.5-flash-001", "responseId": "r", "unheardOf": { "x": 3 },
    })
}

#[tokio::test]
async fn each_word_of_the_builder_goes_out_by_its_official_name() {
    let (client, asked) = recorder(&said());
    let function = FunctionDeclaration {
        name: "weather".to_owned(),
        description: Some("Tells it.".to_owned()),
        parameters_json_schema: Some(json!({ "type": "object" })),
        ..FunctionDeclaration::default()
    };
    let schema = json!({ "type": "array", "items": { "type": "string" } });
    let mut asking = client
        .generate("What is it?")
        .model("gemini-2.5-pro")
        .system("Be brief.")
        .temperature(0.25)
        .max_output_tokens(100)
        .top_p(0.5)
        .top_k(40)
        .stop(["END", "."])
        .safety("HARM_CATEGORY_HARASSMENT", "BLOCK_ONLY_HIGH")
        .json_schema(schema.clone())
        .tool(Tool::functions([function]))
        .tool(Tool::named("googleSearch"))
        .data("image/png", [1, 2, 3])
        .file("application/pdf", "https://provider.invalid/v1beta/files/a")
        .part(Part::text("And this?"))
        .thinking_budget(128)
        .thinking_level("low")
        .request_id("req_1");
    asking.request_mut().other.insert("cachedContent".to_owned(), "cachedContents/a".into());
    let answer = asking.await.unwrap();
    let (path, body) = asked.lock().unwrap().pop().unwrap();
    assert_eq!(path, "/v1beta/models/gemini-2.5-pro:generateContent");
    assert_eq!(
        body,
        json!({
            "contents": [{ "role": "user", "parts": [
                { "text": "What is it?" },
                { "inlineData": { "mimeType": "image/png", "data": "AQID" } },
                { "fileData": { "mimeType": "application/pdf", "fileUri": "https://provider.invalid/v1beta/files/a" } },
                { "text": "And this?" },
            ] }],
            "systemInstruction": { "parts": [{ "text": "Be brief." }] },
            "generationConfig": {
                "temperature": 0.25, "maxOutputTokens": 100, "topP": 0.5, "topK": 40, "stopSequences": ["END", "."],
                "responseMimeType": "application/json", "responseJsonSchema": schema,
                "thinkingConfig": { "thinkingBudget": 128, "thinkingLevel": "low" },
            },
            "safetySettings": [{ "category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_ONLY_HIGH" }],
            "tools": [
                { "functionDeclarations": [
                    { "name": "weather", "description": "Tells it.", "parametersJsonSchema": { "type": "object" } },
                ] },
                { "googleSearch": {} },
            ],
            "cachedContent": "cachedContents/a",
        })
    );
    // All that the answer is, and what no type names is in it.
    assert_eq!((answer.text(), answer.request_id(), answer.attempts()), ("yes".to_owned(), Some("req_1"), 1));
    assert_eq!(answer.key_id().map(ToString::to_string).as_deref(), Some("k0"));
    assert_eq!((answer.requested_model(), answer.used_model()), (Some("gemini-2.5-pro"), Some("gemini-2.5-pro")));
    let usage = answer.usage().unwrap();
    assert_eq!((usage.input(), usage.output()), (7, 5), "thoughts are written, too");
    assert_eq!(serde_json::to_value(answer.response()).unwrap(), said());
}

#[tokio::test]
async fn a_whole_conversation_goes_out_with_all_that_it_has() {
    let (client, asked) = recorder(&said());
    let conversation = json!({
        "contents": [
            { "role": "user", "parts": [{ "text": "one" }] },
            { "role": "model", "parts": [
                { "functionCall": { "name": "f", "args": { "a": 1 }, "id": "c1" }, "thoughtSignature": "c2ln" },
            ] },
            { "role": "user", "parts": [{ "functionResponse": { "name": "f", "response": { "b": 2 }, "id": "c1" } }] },
        ],
        "toolConfig": { "functionCallingConfig": { "mode": "ANY" } },
        "generationConfig": { "seed": 7, "temperature": 0.5 },
        "tools": [{ "codeExecution": {}, "functionDeclarations": [{ "name": "f", "behavior": "BLOCKING" }] }],
        "safetySettings": [{ "category": "c", "threshold": "t", "method": "m" }],
        "labels": { "team": "a" },
    });
    let request: GenerateContentRequest = serde_json::from_value(conversation.clone()).unwrap();
    client.generate_content(request).await.unwrap();
    assert_eq!(asked.lock().unwrap().pop().unwrap().1, conversation, "nothing is lost that no type names");
    let built =
        GenerateContentRequest::new([Content::user(["one"]), Content::model(["two"]), Content::user(["three"])]);
    client.generate_content(built).await.unwrap();
    let (_, body) = asked.lock().unwrap().pop().unwrap();
    let roles: Vec<&Value> = body["contents"].as_array().unwrap().iter().map(|content| &content["role"]).collect();
    assert_eq!(roles, ["user", "model", "user"]);
}

#[tokio::test]
async fn whole_requests_of_a_batch_have_what_is_said_beside_them_and_keep_what_they_say() {
    use keypool_client::batch::{Batch, Task};
    let (client, asked) = recorder(&said());
    let asked = async |task: Value| {
        let task = Task::from_value(task).unwrap();
        let batch = Batch::new(client.clone()).system("Of all.").temperature(0.5);
        let (_, statistics) = batch.run([task]).finish().await;
        assert_eq!(statistics.ok, 1, "{statistics}");
        asked.lock().unwrap().pop().unwrap().1
    };
    let turn = json!([{ "role": "user", "parts": [{ "text": "hello" }] }]);
    let of = |text: &str| json!({ "parts": [{ "text": text }] });
    let body = asked(json!({ "id": "a", "request": { "contents": turn }, "course": 7 })).await;
    let whole =
        json!({ "contents": turn, "systemInstruction": of("Of all."), "generationConfig": { "temperature": 0.5 } });
    assert_eq!(body, whole, "and nothing that is carried through");
    for task in [
        json!({ "request": { "contents": turn }, "system": "Its own.", "temperature": 0.25 }),
        json!({ "contents": turn, "system": "Its own.", "temperature": 0.25 }),
        json!({ "contents": turn, "systemInstruction": of("Its own."), "generationConfig": { "temperature": 0.25 } }),
    ] {
        let body = asked(task.clone()).await;
        assert_eq!(body["systemInstruction"], of("Its own."), "{task}");
        assert_eq!(body["generationConfig"], json!({ "temperature": 0.25 }), "{task}");
    }
    let snake = json!({ "contents": turn, "system_instruction": of("x"), "generation_config": { "topK": 3 } });
    let body = asked(snake).await;
    assert_eq!(body["generation_config"], json!({ "topK": 3, "temperature": 0.5 }));
    assert!(body.get("systemInstruction").is_none() && body.get("generationConfig").is_none(), "{body}");
}
