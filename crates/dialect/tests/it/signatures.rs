//! What is signed comes back, through clients that rebuild what they were told.

use bytes::Bytes;
use keypool_dialect::{Caller, Exchange, Shape, anthropic::Anthropic, gemini, openai::OpenAi};
use serde_json::{Value, json};

use crate::support::{asked, data, events, streamed, whole};

const SIGNATURE: &str = "EpwBCpkBAdHtim9Xy+/k==";
const PLAIN: &str = "EpwBCpkBAdHtim9XyQ==";

fn answer(signature: &str) -> Value {
    json!({ "candidates": [{ "content": { "parts": [
        { "functionCall": { "id": "own-1", "name": "f", "args": { "x": 1 } }, "thoughtSignature": signature },
        { "functionCall": { "name": "g", "args": {} } },
    ] }, "finishReason": "STOP", "index": 0 }] })
}

fn signed(request: &Value) -> (Value, Value) {
    let parts = &request["contents"][1]["parts"];
    (parts[0]["thoughtSignature"].clone(), parts[1]["thoughtSignature"].clone())
}

/// A client that keeps id, name and arguments of a call, and nothing else.
fn chat(model: &str, id: &str, second: &str) -> Value {
    let call =
        |id: &str, name: &str| json!({ "id": id, "type": "function", "function": { "name": name, "arguments": "{}" } });
    json!({ "model": model, "messages": [
        { "role": "user", "content": "x" },
        { "role": "assistant", "content": null, "tool_calls": [call(id, "f"), call(second, "g")] },
        { "role": "tool", "tool_call_id": id, "content": "r" },
        { "role": "tool", "tool_call_id": second, "content": "r" },
    ] })
}

#[test]
fn in_ids_of_calls_whole_and_in_pieces() {
    for signature in [SIGNATURE, PLAIN] {
        let message = whole(&OpenAi, &answer(signature)).unwrap();
        let calls = &message["choices"][0]["message"]["tool_calls"];
        let stream = streamed(&OpenAi, &events(&[answer(signature)]), 9);
        let ids: Vec<String> = data(&stream)
            .iter()
            .filter_map(|event| serde_json::from_str::<Value>(event).ok())
            .filter_map(|event| event["choices"][0]["delta"]["tool_calls"][0]["id"].as_str().map(str::to_owned))
            .collect();
        for (first, second) in
            [(calls[0]["id"].as_str().unwrap(), calls[1]["id"].as_str().unwrap()), (&ids[0], &ids[1])]
        {
            let request = asked(&OpenAi, &chat("gemini-3.8-flash", first, second)).unwrap();
            assert_eq!(signed(&request), (signature.into(), Value::Null));
            assert_eq!(request["contents"][1]["parts"][0]["functionCall"]["id"], "own-1");
            assert_eq!(request["contents"][2]["parts"][0]["functionResponse"]["id"], "own-1");
        }
    }
}

#[test]
fn what_is_lost_is_made_up_for_where_it_must() {
    let skip = json!("skip_thought_signature_validator");
    let request = asked(&OpenAi, &chat("gemini-3.8-flash", "call_1", "call_2")).unwrap();
    assert_eq!(signed(&request), (skip.clone(), Value::Null));
    // These models want none.
    let request = asked(&OpenAi, &chat("gemini-2.5-flash", "call_1", "call_2")).unwrap();
    assert_eq!(signed(&request), (Value::Null, Value::Null));
    // Another model's would be refused.
    let message = whole(&OpenAi, &answer(PLAIN)).unwrap();
    let id = message["choices"][0]["message"]["tool_calls"][0]["id"].as_str().unwrap();
    let request = asked(&OpenAi, &chat("gemini-3.1-pro", id, "call_2")).unwrap();
    assert_eq!(signed(&request), (skip, Value::Null));
}

/// Whatever was asked for: the same model by another name has it back, and of several that one name stands for the one that
/// answered.
#[test]
fn whoever_answered_has_it_back() {
    let shape = Shape { model: "best".into(), unique: "0abc".into(), ..Shape::default() };
    let mut exchange = Exchange::new(Box::new(gemini::Listener::new(false)), OpenAi.voice(shape));
    exchange.answers("gemini-3.8-flash");
    let message = exchange.whole(answer(PLAIN).to_string().as_bytes()).unwrap();
    let message: Value = serde_json::from_slice(&message).unwrap();
    let body = chat("best", message["choices"][0]["message"]["tool_calls"][0]["id"].as_str().unwrap(), "call_2");
    let bytes = Bytes::from(body.to_string());
    for (model, expected) in [
        ("gemini-3.8-flash", PLAIN),
        ("models/gemini-3.8-flash", PLAIN),
        ("google/gemini-3.8-flash", PLAIN),
        ("gemini-3.1-pro", "skip_thought_signature_validator"),
    ] {
        let mut conversation = OpenAi.conversation(&bytes, true).unwrap().conversation;
        conversation.model = model.into();
        let pieces = gemini::generate(&conversation, bytes.clone()).unwrap().concat();
        assert_eq!(signed(&serde_json::from_slice(&pieces).unwrap()), (expected.into(), Value::Null), "{model}");
    }
}

#[test]
fn beside_the_call_as_googles_own_endpoint_has_it() {
    let mut body = chat("gemini-3.8-flash", "call_1", "call_2");
    body["messages"][1]["tool_calls"][0]["extra_content"] = json!({ "google": { "thought_signature": PLAIN } });
    assert_eq!(signed(&asked(&OpenAi, &body).unwrap()), (PLAIN.into(), Value::Null));
}

#[test]
fn in_ids_of_the_other_dialect_too() {
    let message = whole(&Anthropic, &answer(PLAIN)).unwrap();
    let uses: Vec<&Value> = message["content"].as_array().unwrap().iter().collect();
    let id = |index: usize| uses[index]["id"].as_str().unwrap();
    assert!(id(0).bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')), "{}", id(0));
    let body = json!({ "model": "gemini-3.8-flash", "max_tokens": 1, "messages": [
        { "role": "user", "content": "x" },
        { "role": "assistant", "content": uses },
        { "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": id(0), "content": "r" },
            { "type": "tool_result", "tool_use_id": id(1), "content": "r" },
        ] },
    ] });
    assert_eq!(signed(&asked(&Anthropic, &body).unwrap()), (PLAIN.into(), Value::Null));
    let caller: &dyn Caller = &Anthropic;
    assert!(caller.conversation(body.to_string().as_bytes(), true).is_ok());
}

/// Gemini 3 refuses what it said before where it draws, unless each part of that is signed, and images and texts carry no id.
#[test]
fn all_that_a_model_said_is_signed_where_it_draws() {
    let none = json!("skip_thought_signature_validator");
    let said = json!({ "role": "assistant", "content": "a cat", "images": [
        { "type": "image_url", "image_url": { "url": "data:image/png;base64,QUFB" } },
    ] });
    let user = |text: &str| json!({ "role": "user", "content": text });
    let chat = |model: &str| json!({ "model": model, "messages": [user("draw"), said, user("make it blue")] });
    for model in ["gemini-3-pro-image-preview", "models/gemini-3.1-flash-image"] {
        let got = asked(&OpenAi, &chat(model)).unwrap();
        assert_eq!(signed(&got), (none.clone(), none.clone()), "{got}");
        for asked in [&got["contents"][0]["parts"][0], &got["contents"][2]["parts"][0]] {
            assert_eq!(asked["thoughtSignature"], Value::Null, "{got}");
        }
    }
    for model in ["gemini-2.5-flash-image", "gemini-3-pro-preview", "gemini-2.5-flash"] {
        let got = asked(&OpenAi, &chat(model)).unwrap();
        assert_eq!(signed(&got), (Value::Null, Value::Null), "{got}");
    }
    let message = json!({ "model": "gemini-3-pro-image-preview", "max_tokens": 9, "messages": [
        user("x"), { "role": "assistant", "content": [{ "type": "text", "text": "y" }] }, user("z"),
    ] });
    assert_eq!(signed(&asked(&Anthropic, &message).unwrap()).0, none);
}
