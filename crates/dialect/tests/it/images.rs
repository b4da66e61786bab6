//! Images by a description.

use keypool_dialect::{
    Kind, Picture, gemini,
    openai::{self, OpenAi},
};
use serde_json::{Value, json};

use crate::support::{asked, whole};

fn wire(body: &Value, count: u32) -> Value {
    let body = body.to_string();
    let (asked, _) = openai::drawing(body.as_bytes(), true, |_| {}).unwrap();
    serde_json::from_slice(&gemini::drawing(&asked, count).unwrap().0.concat()).unwrap()
}

#[test]
fn each_kind_of_model_in_its_way() {
    let body = |model: &str| json!({ "model": model, "prompt": "a dot", "n": 6, "size": "1792x1024" });
    assert_eq!(gemini::verb_of_drawing("models/imagen-4.0-generate-001", 6), (":predict", 4));
    assert_eq!(
        wire(&body("models/imagen-4.0-generate-001"), 4),
        json!({ "instances": [{ "prompt": "a dot" }], "parameters": { "sampleCount": 4, "aspectRatio": "16:9" } })
    );
    assert_eq!(gemini::verb_of_drawing("gemini-2.5-flash-image", 6), (":generateContent", 1));
    let expected = json!({
        "contents": [{ "role": "user", "parts": [{ "text": "a dot" }] }],
        "generationConfig": { "responseModalities": ["TEXT", "IMAGE"], "imageConfig": { "aspectRatio": "16:9" } },
    });
    assert_eq!(wire(&body("gemini-2.5-flash-image"), 1), expected);
}

#[test]
fn what_is_drawn_from_goes_before_the_words() {
    let body = json!({ "model": "gemini-2.5-flash-image", "prompt": "in red" }).to_string();
    let (mut asked, _) = openai::drawing(body.as_bytes(), true, |_| {}).unwrap();
    asked.originals = vec![Picture { mime: "image/png".to_owned(), data: "QQ==".to_owned() }];
    let (pieces, about) = gemini::drawing(&asked, 1).unwrap();
    let wire: Value = serde_json::from_slice(&pieces.concat()).unwrap();
    let image = json!({ "inlineData": { "mimeType": "image/png", "data": "QQ==" } });
    assert_eq!(wire["contents"], json!([{ "role": "user", "parts": [image, { "text": "in red" }] }]));
    assert!(about > 1_000, "an image counts: {about}");
}

#[test]
fn images_are_handed_on() {
    let predicted = json!({ "predictions": [
        { "mimeType": "image/png", "bytesBase64Encoded": "QQ==" }, { "bytesBase64Encoded": "Qg==" },
        { "raiFilteredReason": "no" },
    ] });
    let drawn = gemini::drawn("imagen-4", predicted.to_string().as_bytes()).unwrap();
    let said: Value = serde_json::from_slice(&openai::pictures(&drawn, 5)).unwrap();
    let data = json!([{ "b64_json": "QQ==" }, { "b64_json": "Qg==" }]);
    assert_eq!(said, json!({ "created": 5, "data": data, "output_format": "png" }));
    let image = json!({ "inlineData": { "mimeType": "image/jpeg", "data": "QQ==" } });
    let sketch = json!({ "inlineData": { "mimeType": "image/png", "data": "Qg==" }, "thought": true });
    let mut generated = json!({
        "candidates": [{ "content": { "parts": [sketch, { "text": "Here." }, image] }, "finishReason": "STOP" }],
        "usageMetadata": { "promptTokenCount": 3, "candidatesTokenCount": 1290 },
    });
    // What came whole is at its end, whether it says so or not.
    for reason in [json!("STOP"), json!(null)] {
        generated["candidates"][0]["finishReason"] = reason;
        let drawn = gemini::drawn("gemini-2.5-flash-image", generated.to_string().as_bytes()).unwrap();
        let said: Value = serde_json::from_slice(&openai::pictures(&drawn, 5)).unwrap();
        assert_eq!((&said["data"], &said["output_format"]), (&json!([{ "b64_json": "QQ==" }]), &json!("jpeg")));
        assert_eq!(said["usage"]["total_tokens"], 1293);
    }
}

#[test]
fn what_was_not_drawn_is_a_fault_of_the_description() {
    let blocked = json!({ "promptFeedback": { "blockReason": "SAFETY" } });
    let unsafe_image = json!({ "candidates": [{ "finishReason": "IMAGE_SAFETY" }] });
    for (model, answer) in [("imagen-4", json!({})), ("gemini-2.5-flash-image", blocked), ("g", unsafe_image)] {
        let fault = gemini::drawn(model, answer.to_string().as_bytes()).unwrap_err();
        assert_eq!((fault.kind, fault.param.as_deref()), (Kind::Filtered, Some("prompt")), "{model}");
    }
}

/// Unless it says why not: that it would say again.
#[test]
fn a_model_that_drew_nothing_for_no_reason_of_rules_may_be_asked_again() {
    let answer = |reason: &str, parts: Value| json!({ "candidates": [{ "content": { "parts": parts }, "finishReason": reason }] });
    for (reason, parts, kind, told) in [
        ("NO_IMAGE", json!([]), Kind::BadGateway, "drew nothing"),
        ("MAX_TOKENS", json!([]), Kind::BadGateway, "cut at the model's limit"),
        // It would say so again.
        ("STOP", json!([{ "text": "I cannot draw that." }]), Kind::Invalid, "It said: I cannot draw that."),
    ] {
        let fault = gemini::drawn("g", answer(reason, parts).to_string().as_bytes()).unwrap_err();
        assert!(fault.kind == kind && fault.message.contains(told), "{reason}: {fault:?}");
    }
}

#[test]
fn what_was_drawn_in_a_chat_comes_back_with_the_message_that_holds_it() {
    let drawn = json!({ "candidates": [{
        "content": { "parts": [{ "text": "a cat" }, { "inlineData": { "mimeType": "image/webp", "data": "QUFB" } }] },
        "finishReason": "STOP",
    }] });
    let mut said = whole(&OpenAi, &drawn).unwrap()["choices"][0]["message"].clone();
    let user = |text: &str| json!({ "role": "user", "content": text });
    let chat = |said: &Value| json!({ "model": "m", "messages": [user("draw"), said, user("make it blue")] });
    let got = asked(&OpenAi, &chat(&said)).unwrap();
    let parts = json!([{ "text": "a cat" }, { "inlineData": { "mimeType": "image/webp", "data": "QUFB" } }]);
    assert_eq!(got["contents"][1]["parts"], parts);
    // Others have other things under that name.
    for odd in [
        json!(null),
        json!([]),
        json!(["QUFB"]),
        json!("x"),
        json!([{ "type": "image_url", "image_url": { "url": "http://a/b.png" } }]),
    ] {
        said["images"] = odd;
        assert_eq!(
            asked(&OpenAi, &chat(&said)).unwrap()["contents"][1]["parts"],
            json!([{ "text": "a cat" }]),
            "{said}"
        );
    }
}
