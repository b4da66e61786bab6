//! What kinds of contents are called on the way up, whichever dialect they come in.

use keypool_dialect::{Caller, anthropic::Anthropic, openai::OpenAi, responses::Responses};
use serde_json::{Value, json};

use crate::support::asked;

fn sent(caller: &dyn Caller, body: Value) -> Value {
    let wire = asked(caller, &body).unwrap();
    let parts = wire["contents"][0]["parts"].as_array().unwrap();
    parts.iter().find_map(|part| part.get("inlineData")).unwrap()["mimeType"].clone()
}

fn chat(part: Value) -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": [part] }] })
}

#[test]
fn every_dialect_knows_the_same_synonyms() {
    for (said, expected) in [
        ("image/jpg", "image/jpeg"),
        ("image/x-png", "image/png"),
        ("IMAGE/PJPEG", "image/jpeg"),
        ("application/x-pdf", "application/pdf"),
        ("video/x-msvideo", "video/avi"),
        ("image/png", "image/png"),
        ("text/x-something", "text/x-something"),
    ] {
        let url = format!("data:{said};base64,AAAA");
        let image = json!({ "type": "image_url", "image_url": { "url": url } });
        assert_eq!(sent(&OpenAi, chat(image)), expected, "{said}");
        let source = json!({ "type": "base64", "media_type": said, "data": "AAAA" });
        assert_eq!(sent(&Anthropic, chat(json!({ "type": "image", "source": source }))), expected, "{said}");
        let item = json!([{ "role": "user", "content": [{ "type": "input_image", "image_url": url }] }]);
        assert_eq!(sent(&Responses, json!({ "model": "m", "input": item })), expected, "{said}");
    }
    for (format, expected) in [("x-wav", None), ("wave", Some("audio/wav")), ("mp3", Some("audio/mp3"))] {
        let part = json!({ "type": "input_audio", "input_audio": { "data": "AAAA", "format": format } });
        match expected {
            Some(expected) => assert_eq!(sent(&OpenAi, chat(part)), expected, "{format}"),
            None => assert!(asked(&OpenAi, &chat(part)).is_err(), "{format}"),
        }
    }
}

#[test]
fn a_beginning_tells_what_is_called_octets_in_every_dialect() {
    let source = json!({ "type": "base64", "media_type": "application/octet-stream", "data": "JVBERi0xLjQ=" });
    let document = json!({ "type": "document", "source": source });
    assert_eq!(sent(&Anthropic, chat(document)), "application/pdf");
}
