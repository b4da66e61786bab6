//! OpenAI's other APIs: embeddings, images, speech, transcriptions.

use keypool_dialect::{
    Error, ErrorKind, Frontend, Mode, model_of_form,
    openai::{embeddings::Embeddings, images::Images},
};
use serde_json::{Value, json};

use crate::support::{answer, gemini, native, parse, streamed};

#[test]
fn embeddings_are_sent_in_batches_of_a_hundred() {
    let texts: Vec<String> = (0..150).map(|number| format!("text {number}")).collect();
    let body = json!({ "model": "models/text-embedding-x", "input": texts, "dimensions": 8, "encoding_format": "base64", "user": "u" });
    let request = Embeddings::parse(body.to_string().as_bytes(), Mode::Strict).unwrap();
    assert_eq!(request.ignored(), ["user"]);
    let natives = request.encode().unwrap();
    assert_eq!(natives.len(), 2);
    assert_eq!(natives[0].path, "/v1beta/models/text-embedding-x:batchEmbedContents");
    let sent: Value = serde_json::from_slice(&natives[1].body).unwrap();
    assert_eq!(sent["requests"].as_array().unwrap().len(), 50);
    assert_eq!(
        sent["requests"][0],
        json!({ "model": "models/text-embedding-x", "content": { "parts": [{ "text": "text 100" }] }, "outputDimensionality": 8 })
    );
    let vectors = |count: usize| json!({ "embeddings": vec![json!({ "values": [1.0, -2.0] }); count] }).to_string();
    let json: Value = serde_json::from_slice(&request.answer(&[vectors(100), vectors(50)]).unwrap()).unwrap();
    assert_eq!(json["data"].as_array().unwrap().len(), 150);
    assert_eq!((&json["data"][149]["index"], &json["data"][0]["embedding"]), (&json!(149), &json!("AACAPwAAAMA=")));
    assert_eq!(json["model"], "models/text-embedding-x");
    // Numbers are passed on as Gemini wrote them.
    let plain = Embeddings::parse(br#"{"model": "m", "input": "a"}"#, Mode::Strict).unwrap();
    let json = plain.answer(&[r#"{"embeddings": [{"values": [0.6, -0.0123456789]}]}"#]).unwrap();
    assert!(String::from_utf8_lossy(&json).contains("[0.6,-0.0123456789]"));
    assert_eq!(request.answer(&[vectors(100)]).unwrap_err().kind(), ErrorKind::BadUpstream);
    for (input, place) in [
        (json!([]), "input"),
        (json!([[1, 2]]), "input[0]"),
        (json!([1, 2]), "input[0]"),
        (json!(["a", ""]), "input[1]"),
        (json!(7), "input"),
    ] {
        let body = json!({ "model": "m", "input": input }).to_string();
        assert_eq!(Embeddings::parse(body.as_bytes(), Mode::Strict).unwrap_err().param(), Some(place), "{input}");
    }
}

fn images(more: &Value) -> Result<Images, Error> {
    let mut body = json!({ "model": "gemini-3-pro-image", "prompt": "a cat" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Images::parse(body.to_string().as_bytes(), Mode::Strict)
}

#[test]
fn each_image_is_one_request() {
    let request =
        images(&json!({ "n": 2, "size": "1792x1024", "quality": "auto", "response_format": "b64_json" })).unwrap();
    let natives = request.encode().unwrap();
    assert_eq!((natives.len(), &*natives[0].path), (2, "/v1beta/models/gemini-3-pro-image:generateContent"));
    let sent: Value = serde_json::from_slice(&natives[0].body).unwrap();
    assert_eq!(
        sent["generationConfig"],
        json!({ "responseModalities": ["TEXT", "IMAGE"], "imageConfig": { "aspectRatio": "16:9" } })
    );
    let drawn =
        gemini(&json!([{ "text": "Here" }, { "inlineData": { "mimeType": "image/png", "data": "AAAA" } }]), "STOP")
            .to_string();
    let json: Value = serde_json::from_slice(&request.answer(&[&drawn, &drawn], 5).unwrap()).unwrap();
    assert_eq!(json["data"], json!([{ "b64_json": "AAAA" }, { "b64_json": "AAAA" }]));
    assert_eq!((&json["created"], &json["usage"]["total_tokens"]), (&json!(5), &json!(20)));
    let details = json!({ "text_tokens": 14, "image_tokens": 0 });
    assert_eq!(json["usage"]["input_tokens_details"], details);
    // A model may draw more than was asked for.
    let image = json!({ "inlineData": { "mimeType": "image/png", "data": "AAAA" } });
    let more = gemini(&json!([image, image]), "STOP").to_string();
    let json: Value = serde_json::from_slice(&request.answer(&[&more, &more], 5).unwrap()).unwrap();
    assert_eq!(json["data"].as_array().unwrap().len(), 2);
    let refused = gemini(&json!([{ "text": "I would rather not" }]), "STOP").to_string();
    let error = request.answer(&[&refused], 5).unwrap_err();
    assert_eq!((error.kind(), error.param()), (ErrorKind::InvalidRequest, Some("prompt")));
    let blocked = json!({ "candidates": [{ "finishReason": "IMAGE_SAFETY" }] }).to_string();
    assert_eq!(request.answer(&[&blocked], 5).unwrap_err().kind(), ErrorKind::ContentFiltered);
    for (more, place) in [
        (json!({ "n": 11 }), "n"),
        (json!({ "size": "1024x100" }), "size"),
        (json!({ "size": "large" }), "size"),
        (json!({ "response_format": "url" }), "response_format"),
        (json!({ "style": "vivid" }), "style"),
        (json!({ "stream": true }), "stream"),
    ] {
        assert_eq!(images(&more).unwrap_err().param(), Some(place), "{more}");
    }
}

fn form(fields: &[(&str, &str)]) -> Vec<u8> {
    let part =
        |(head, value): &(&str, &str)| format!("--xx\r\nContent-Disposition: form-data; {head}\r\n\r\n{value}\r\n");
    (fields.iter().map(part).collect::<String>() + "--xx--\r\n").into_bytes()
}

#[test]
fn edits_are_sent_with_their_images() {
    let fields = [
        ("name=\"model\"", "gemini-3-pro-image"),
        ("name=\"prompt\"", "7"),
        ("name=\"n\"", "1"),
        ("name=\"stream\"", "false"),
        ("name=\"image[]\"; filename=\"a.png\"", "hello"),
    ];
    let request = Images::parse_edit(&form(&fields), Mode::Strict).unwrap();
    let sent: Value = serde_json::from_slice(&request.encode().unwrap()[0].body).unwrap();
    assert_eq!(
        sent["contents"][0]["parts"],
        json!([{ "inlineData": { "mimeType": "image/png", "data": "aGVsbG8=" } }, { "text": "7" }])
    );
    let masked = [&fields[..], &[("name=\"mask\"; filename=\"m.png\"", "x")]].concat();
    assert_eq!(Images::parse_edit(&form(&masked), Mode::Strict).unwrap_err().param(), Some("mask"));
    assert_eq!(Images::parse_edit(&form(&fields[..2]), Mode::Strict).unwrap_err().param(), Some("image"));
    assert!(Images::parse_edit(b"{}", Mode::Strict).is_err());
}

#[test]
fn speech_is_a_wav_file_of_geminis_samples() {
    let body = json!({ "model": "gemini-2.5-flash-preview-tts", "input": "Hello", "voice": "alloy", "instructions": "Softly" });
    let request = parse(Frontend::Speech, &body).unwrap();
    let sent = native(&request);
    assert_eq!(sent["contents"][0]["parts"], json!([{ "text": "Softly" }, { "text": "Hello" }]));
    assert_eq!(sent["generationConfig"]["speechConfig"]["voiceConfig"]["prebuiltVoiceConfig"]["voiceName"], "Kore");
    let spoken = gemini(
        &json!([{ "inlineData": { "mimeType": "audio/L16;codec=pcm;rate=16000", "data": "AQIDBA==" } }]),
        "STOP",
    );
    let mut answer = answer(&request);
    answer.whole(spoken.to_string().as_bytes()).unwrap();
    assert_eq!(answer.media_type(), "audio/wav");
    let wav = answer.finish().unwrap();
    assert_eq!(
        (&wav[..4], &wav[24..28], &wav[40..]),
        (&b"RIFF"[..], &16_000_u32.to_le_bytes()[..], &[4, 0, 0, 0, 1, 2, 3, 4][..])
    );
    // Truncated, withheld or missing speech is an error.
    for (spoken, kind) in [
        (
            gemini(&json!([{ "inlineData": { "mimeType": "audio/L16", "data": "AQID" } }]), "MAX_TOKENS"),
            ErrorKind::ContextTooLong,
        ),
        (json!({ "candidates": [{ "finishReason": "SAFETY" }] }), ErrorKind::ContentFiltered),
        (gemini(&json!([{ "text": "Hello" }]), "STOP"), ErrorKind::BadUpstream),
    ] {
        let mut answer = crate::support::answer(&request);
        answer.whole(spoken.to_string().as_bytes()).unwrap();
        assert_eq!(answer.finish().unwrap_err().kind(), kind);
    }
    for (field, value) in
        [("response_format", json!("opus")), ("speed", json!(1.5)), ("input", json!(" ")), ("voice", json!(""))]
    {
        let mut body = body.clone();
        body[field] = value;
        assert_eq!(parse(Frontend::Speech, &body).unwrap_err().param(), Some(field));
    }
    let new = json!({ "model": "gemini-3.8-flash-tts", "input": "Hello", "voice": { "id": "Kore" }, "instructions": "Softly" });
    assert_eq!(
        native(&parse(Frontend::Speech, &new).unwrap())["contents"][0]["parts"][0]["speechMetadata"]["style"],
        "Softly"
    );
}

#[test]
fn recordings_are_transcribed() {
    let fields = [
        ("name=\"model\"", "gemini-3.8-flash"),
        ("name=\"language\"", "de"),
        ("name=\"temperature\"", "0.2"),
        ("name=\"file\"; filename=\"a.MP3\"\r\nContent-Type: application/octet-stream", "hello"),
    ];
    assert_eq!(model_of_form(&form(&fields)).as_deref(), Some("gemini-3.8-flash"));
    assert_eq!(model_of_form(&form(&[fields[0], ("name=\"model\"", "another")])), None);
    let request = Frontend::Transcription.parse(&form(&fields), Mode::Strict).unwrap();
    let sent = native(&request);
    assert_eq!(
        sent["contents"][0]["parts"],
        json!([{ "inlineData": { "mimeType": "audio/mp3", "data": "aGVsbG8=" } }])
    );
    assert!(sent["systemInstruction"].to_string().contains("language is de"));
    let heard = gemini(&json!([{ "text": " Guten " }, { "text": "Tag\n" }]), "STOP");
    let json = crate::support::whole(&request, &heard).1.unwrap();
    assert_eq!((&json["text"], &json["usage"]["type"]), (&json!("Guten Tag"), &json!("tokens")));
    let data = streamed(&request, &[heard]).data();
    let kinds: Vec<&Value> = data.iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["transcript.text.delta", "transcript.text.delta", "transcript.text.done"]);
    let translation = Frontend::Translation.parse(&form(&[fields[0], fields[3]]), Mode::Strict).unwrap();
    assert!(native(&translation)["systemInstruction"].to_string().contains("in English"));
    for (more, place) in [
        (("name=\"response_format\"", "srt"), "response_format"),
        (("name=\"timestamp_granularities[]\"", "word"), "timestamp_granularities[]"),
    ] {
        let fields = [&fields[..], &[more]].concat();
        assert_eq!(Frontend::Transcription.parse(&form(&fields), Mode::Strict).unwrap_err().param(), Some(place));
        assert!(Frontend::Transcription.parse(&form(&fields), Mode::Lax).is_ok());
    }
    assert_eq!(Frontend::Transcription.parse(&form(&fields[..3]), Mode::Strict).unwrap_err().param(), Some("file"));
}
