//! Invalid requests and their refusals.

use gemini_sim::{GeminiSim, Limits, Project};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::client::{Answer, MODEL, body, post, prompt, send};
use crate::samples::sample;

fn sim() -> GeminiSim {
    let project = Project::new("1").limits(Limits::none().rpm(1)).key("k");
    GeminiSim::builder().project(project).build()
}

async fn post_text(sim: &GeminiSim, text: &str, content_type: &str) -> Answer {
    let request = Request::post(format!("/v1beta/models/{MODEL}:generateContent"))
        .header("x-goog-api-key", "k")
        .header("content-type", content_type);
    send(sim, request.body(Full::new(text.to_owned().into())).unwrap()).await
}

async fn post_json(sim: &GeminiSim, path: &str, value: Value) -> Answer {
    let request = post(path).header("x-goog-api-key", "k");
    send(sim, request.body(body(&value)).unwrap()).await
}

#[tokio::test]
async fn malformed_bodies_are_refused_with_the_position() {
    let sim = sim();
    let json = "application/json";
    let cases = [
        ("{\"contents\": [}", json, "Unexpected token.\n{\"contents\": [}\n              ^"),
        ("{\"contents\": ", json, "Unexpected end of string. Expected a value."),
        ("{", json, "Unexpected end of string."),
        ("{\"contents\": [] ", json, "Unexpected end of string."),
        ("{\"contents\": [", json, "Unexpected end of string."),
        ("{\"contents\": [1", json, "Unexpected end of string."),
        ("{\"contents", json, "Unexpected end of string."),
        ("{contents: []}", json, "Expected an object key or }.\n{contents: []}\n ^"),
        ("[]", json, "Root element must be a message"),
        ("{}", json, "contents is not specified"),
        ("", json, "contents is not specified"),
        ("{\"contents\":[]}", json, "contents is not specified"),
        ("{\"contents\":\"x\"}", json, "Invalid value at 'contents'"),
        ("{\"contents\":[{\"parts\":[{\"text\":\"x\"}]}],\"top_k\":1}", json, "Unknown name \"top_k\""),
        ("{\"contents\":[]}", "application/x-www-form-urlencoded", "Cannot bind query parameter"),
        ("{\"contents\":[]}", "text/csv", "is not supported"),
    ];
    for (text, content_type, expected) in cases {
        let answer = post_text(&sim, text, content_type).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{text}");
        assert_eq!(answer.json()["error"]["status"], "INVALID_ARGUMENT");
        assert!(answer.message().contains(expected), "{text}: {}", answer.message());
    }
    let deep = "[".repeat(100_000);
    assert_eq!(post_text(&sim, &deep, json).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(sim.report().total.accepted, 0);
    // `@google/generative-ai` sends its caches without a content type, and Node then declares text/plain.
    for known in ["application/json; charset=utf-8", "text/plain;charset=UTF-8"] {
        let good = prompt("x").to_string();
        let sim = self::sim();
        assert_eq!(post_text(&sim, &good, known).await.status, StatusCode::OK, "{known}");
    }
}

#[tokio::test]
async fn contradictory_requests_are_refused_and_not_charged() {
    let sim = sim();
    let path = format!("/v1beta/models/{MODEL}:generateContent");
    let with = |name: &str, value: Value| {
        let mut request = prompt("x");
        request[name] = value;
        request
    };
    let declaring = |function: Value| with("tools", json!([{ "functionDeclarations": [function] }]));
    let own = json!([{ "functionDeclarations": [{ "name": "f" }] }, { "googleSearch": {} }]);
    let config = json!({ "responseSchema": { "type": "STRING" } });
    let mut chosen = declaring(json!({ "name": "f" }));
    chosen["toolConfig"] = json!({ "functionCallingConfig": { "mode": "AUTO", "allowedFunctionNames": ["f"] } });
    let choice = json!({ "functionCallingConfig": { "mode": "AUTO" } });
    let harm = json!({ "category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF" });
    let blob = json!({ "mimeType": "", "data": "aGk=" });
    for (request, expected) in [
        (
            json!({ "contents": [{ "parts": [{ "text": "x", "inlineData": blob }] }] }),
            "oneof field 'data' is already set",
        ),
        (json!({ "contents": [{ "parts": [{ "inlineData": blob }] }] }), "inline_data.mime_type"),
        (with("tools", json!([{ "googleSearch": { "foo": 1 } }])), "Unknown name \"foo\" at 'tools[0].google_search'"),
        (with("generationConfig", json!({ "mediaResolution": "FOO" })), "MediaResolution), \"FOO\""),
        (with("generationConfig", json!({ "responseModalities": ["FOO"] })), "Modality), \"FOO\""),
        (with("generationConfig", json!({ "speechConfig": { "foo": 1 } })), "Unknown name \"foo\""),
        (with("generationConfig", json!({ "imageConfig": { "aspectRatio": 7 } })), "(TYPE_STRING), 7"),
        (with("generationConfig", json!({ "seed": 99_999_999_999_i64 })), "(TYPE_INT32), 99999999999"),
        (with("generationConfig", json!({ "maxOutputTokens": 1.5 })), "(TYPE_INT32), 1.5"),
        (with("generationConfig", json!({ "presencePenalty": 5 })), "presence_penalty must be in the range"),
        (
            with("generationConfig", json!({ "thinkingConfig": { "thinkingBudget": -7 } })),
            "The thinking budget -7 is invalid",
        ),
        (declaring(json!({ "name": "a b" })), "Invalid function name"),
        (declaring(json!({ "name": "f", "parameters": { "type": "OBJECT" } })), "should be non-empty for OBJECT type"),
        (declaring(json!({ "name": "f", "parameters": { "type": "FOO" } })), ".v1beta.Type), \"FOO\""),
        (with("tools", own), "Tool use with function calling is unsupported"),
        (with("generationConfig", config), "response_schema: only allowed with"),
        (chosen, "only allowed where mode is ANY"),
        (with("toolConfig", choice), "Function calling config is set without function_declarations."),
        (with("generationConfig", json!({ "temperature": "NaN" })), "temperature must be in the range"),
        (with("generationConfig", json!({ "temperature": "inf" })), "(TYPE_FLOAT), \"inf\""),
        (
            with("generationConfig", json!({ "thinkingConfig": { "thinkingBudget": "999999" } })),
            "The thinking budget 999999 is invalid",
        ),
        (with("generationConfig", json!({ "responseModalities": "image" })), "response modalities (image)"),
        (with("systemInstruction", json!({ "parts": [{}] })), "system_instruction.parts[0].data: required oneof"),
        (json!({ "contents": [{ "parts": [{ "fileData": {} }] }] }), "file_uri is not specified"),
        (
            json!({ "contents": [{ "parts": [{ "functionResponse": { "response": {} } }] }] }),
            "contents[0].parts[0].function_response.name: Name cannot be empty.",
        ),
        (with("safetySettings", json!([harm, harm])), "more than one setting"),
    ] {
        let answer = post_json(&sim, &path, request).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["status"]),
            (StatusCode::BAD_REQUEST, &json!("INVALID_ARGUMENT"))
        );
        assert!(answer.message().contains(expected), "{expected}: {}", answer.message());
    }
    assert_eq!(sim.report().total.accepted, 0);
}

#[tokio::test]
async fn unknown_paths_get_an_html_page() {
    let sim = sim();
    let ask = |method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path).header("x-goog-api-key", "k");
        send(&sim, request.body(Full::default()).unwrap())
    };
    let generate = format!("/v1beta/models/{MODEL}:generateContent");
    let unknown_path = sample("gemini_404_unknown_path_html");
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/models"),
        (Method::GET, "/v9/models"),
        (Method::POST, "/v1/chat/completions"),
        (Method::GET, generate.as_str()),
        (Method::DELETE, "/v1beta/models/x"),
        (Method::POST, "/v1beta/models/x:dance"),
    ] {
        let answer = ask(method.clone(), path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}");
        assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/html"));
        assert_eq!(unknown_path["body"], answer.text());
    }
    let odd = ask(Method::from_bytes(b"BREW").unwrap(), &generate).await;
    assert_eq!(odd.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(sample("gemini_405_unknown_method_html")["body"], odd.text());
}

#[tokio::test]
async fn unknown_query_parameters_are_refused() {
    let path = format!("/v1beta/models/{MODEL}:generateContent?model=x");
    let answer = post_json(&sim(), &path, prompt("x")).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.message().contains("Unknown name \"model\": Cannot bind query parameter"));
    for (form, status) in [
        ("$alt=json%3Benum-encoding%3Dint", StatusCode::OK),
        ("%24alt=json;enum-encoding=int", StatusCode::OK),
        ("alt=xml", StatusCode::BAD_REQUEST),
        ("alt=xml;json", StatusCode::BAD_REQUEST),
    ] {
        let path = format!("/v1beta/models/{MODEL}:generateContent?{form}");
        assert_eq!(post_json(&sim(), &path, prompt("x")).await.status, status, "{form}");
    }
}

#[tokio::test]
async fn models_refuse_unsupported_methods() {
    let sim = sim();
    let path = "/v1beta/models/gemini-embedding-001:generateContent";
    let answer = post_json(&sim, path, prompt("x")).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.message().contains("not supported for generateContent"));
    let content = json!({ "content": { "parts": [{ "text": "x" }] } });
    let answer = post_json(&sim, &format!("/v1/models/{MODEL}:embedContent"), content).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.message().contains("for API version v1,"), "{}", answer.message());
}

#[tokio::test]
async fn batches_are_checked_item_by_item() {
    let sim = sim();
    let path = "/v1beta/models/text-embedding-004:batchEmbedContents";
    let content = json!({ "parts": [{ "text": "x" }] });
    let bare = json!({ "requests": [{ "content": content }] });
    let answer = post_json(&sim, path, bare).await;
    assert!(answer.message().contains("requests[0].model: unexpected model name format"));
    let other = json!({ "requests": [{ "model": "models/gemini-embedding-001", "content": content }] });
    assert!(post_json(&sim, path, other).await.message().contains("must match"));
    let item = json!({ "model": "models/text-embedding-004", "content": content });
    let many = json!({ "requests": vec![item; 101] });
    assert!(post_json(&sim, path, many).await.message().contains("at most 100"));
    assert!(post_json(&sim, path, json!({})).await.message().contains("requests is not specified"));
}

/// Single values in place of lists, numbers as text or with a zero fraction, and enum values in any case are accepted.
#[tokio::test]
async fn alternative_spellings_are_accepted() {
    let sim = GeminiSim::builder().key("k").build();
    let path = format!("/v1beta/models/{MODEL}:generateContent");
    let asked = |config: Value, tools: Value| {
        let mut request = prompt("f()");
        request["generationConfig"] = config;
        request["tools"] = tools;
        request["toolConfig"] = json!({ "functionCallingConfig": { "mode": "none" } });
        post_json(&sim, &path, request)
    };
    let function = json!({ "functionDeclarations": { "name": "f" } });
    let answer = asked(json!({ "candidateCount": 2.0, "stopSequences": "are" }), function.clone()).await.json();
    assert_eq!(answer["candidates"].as_array().unwrap().len(), 2);
    assert_eq!(answer["candidates"][1]["content"]["parts"], json!([{ "text": "simulated answers " }]));
    let cut = asked(json!({ "maxOutputTokens": 1.0 }), function.clone()).await.json();
    assert_eq!(cut["candidates"][0]["finishReason"], "MAX_TOKENS");
    let mut request = prompt("x");
    request["tools"] = function;
    request["toolConfig"] = json!({ "functionCallingConfig": { "mode": 2, "allowedFunctionNames": "f" } });
    let called = post_json(&sim, &path, request).await.json();
    assert_eq!(called["candidates"][0]["content"]["parts"][0]["functionCall"]["name"], "f");
}
