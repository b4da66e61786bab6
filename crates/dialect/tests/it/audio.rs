//! Sound: words spoken, and spoken words written down.

use bytes::Bytes;
use keypool_dialect::{Caller, Exchange, Fault, Form, Kind, Shape, gemini, openai::Audio};
use serde_json::{Value, json};

use crate::support::{asked, data, events, shape};

fn speech(more: Value) -> Value {
    let mut body =
        json!({ "model": "gemini-2.5-flash-preview-tts", "input": "Hi.", "voice": "Puck", "response_format": "wav" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn words_are_spoken_by_a_voice() {
    let wire = asked(&Audio::Speech, &speech(json!({}))).unwrap();
    assert_eq!(wire["contents"], json!([{ "role": "user", "parts": [{ "text": "Hi." }] }]));
    assert_eq!(
        wire["generationConfig"],
        json!({ "responseModalities": ["AUDIO"], "speechConfig": {
            "voiceConfig": { "prebuiltVoiceConfig": { "voiceName": "Puck" } },
        } })
    );
    for (voice, expected) in [(json!("alloy"), "Kore"), (json!({ "id": "Zubenelgenubi" }), "Zubenelgenubi")] {
        let wire = asked(&Audio::Speech, &speech(json!({ "voice": voice }))).unwrap();
        let config = &wire["generationConfig"]["speechConfig"]["voiceConfig"]["prebuiltVoiceConfig"];
        assert_eq!(config["voiceName"], expected);
    }
}

#[test]
fn a_manner_stands_where_the_model_reads_it() {
    let wire = asked(&Audio::Speech, &speech(json!({ "instructions": "Whisper:" }))).unwrap();
    assert_eq!(wire["contents"][0]["parts"], json!([{ "text": "Whisper:" }, { "text": "Hi." }]));
    let later = speech(json!({ "instructions": "Whisper", "model": "gemini-3.8-flash-tts" }));
    let wire = asked(&Audio::Speech, &later).unwrap();
    let part = json!({ "text": "Hi.", "speechMetadata": { "style": "Whisper" } });
    assert_eq!(wire["contents"][0]["parts"], json!([part]));
}

/// The official clients name no format unless they are told to; that provider gives mp3 then, and some clients (Vercel's)
/// name that.
#[test]
fn sound_of_which_nobody_said_what_it_is_is_a_wav() {
    for usual in [json!(null), json!("mp3")] {
        let body = speech(json!({ "response_format": usual })).to_string();
        let asked = Audio::Speech.conversation(body.as_bytes(), true).unwrap();
        assert_eq!((asked.form, asked.ignored.listed().as_deref()), (Form::Wav, Some("response_format")));
    }
}

#[test]
fn what_cannot_be_spoken_is_named() {
    for (more, place) in [
        (json!({ "response_format": "aac" }), "response_format"),
        (json!({ "response_format": "opus" }), "response_format"),
        (json!({ "speed": 1.5 }), "speed"),
        (json!({ "stream_format": "sse" }), "stream_format"),
        (json!({ "voice": null }), "voice"),
        (json!({ "input": "" }), "input"),
        (json!({ "model": "" }), "model"),
        (json!({ "something": 1 }), "something"),
    ] {
        let body = speech(more);
        assert_eq!(asked(&Audio::Speech, &body).unwrap_err().param.as_deref(), Some(place), "{body}");
    }
    let body = speech(json!({ "speed": 1.5, "response_format": "flac" })).to_string();
    let loose = Audio::Speech.conversation(body.as_bytes(), false).unwrap();
    assert_eq!(loose.ignored.listed().as_deref(), Some("speed, response_format"));
    assert_eq!(loose.form, Form::Wav);
}

fn answered(audio: Audio, form: Form, answer: &Value) -> Result<(Vec<u8>, &'static str), Fault> {
    let shape = Shape { form, ..shape(false) };
    let exchange = Exchange::new(Box::new(gemini::Listener::new(false)), audio.voice(shape));
    let media_type = exchange.media_type();
    exchange.whole(answer.to_string().as_bytes()).map(|said| (said, media_type))
}

fn answer(part: Value) -> Value {
    let usage = json!({ "promptTokenCount": 9, "candidatesTokenCount": 3, "promptTokensDetails": [
        { "modality": "AUDIO", "tokenCount": 7 }, { "modality": "TEXT", "tokenCount": 2 },
    ] });
    json!({ "candidates": [{ "content": { "parts": [part] }, "finishReason": "STOP" }], "usageMetadata": usage })
}

#[test]
fn sound_comes_as_it_was_asked_for() {
    let blob = json!({ "inlineData": { "mimeType": "audio/L16;codec=pcm;rate=16000", "data": "AQIDBA==" } });
    let (wav, kind) = answered(Audio::Speech, Form::Wav, &answer(blob.clone())).unwrap();
    assert_eq!((kind, &wav[..4], &wav[44..]), ("audio/wav", &b"RIFF"[..], &[1, 2, 3, 4][..]));
    assert_eq!(wav[24..28], 16_000u32.to_le_bytes());
    let (pcm, kind) = answered(Audio::Speech, Form::Pcm, &answer(blob)).unwrap();
    assert_eq!((kind, pcm), ("audio/pcm", vec![1, 2, 3, 4]));
    // A model that only writes.
    assert!(answered(Audio::Speech, Form::Wav, &answer(json!({ "text": "Hi." }))).is_err());
}

fn form(fields: &[(&str, &str)], file: Option<(&str, &str)>) -> String {
    let part = |(name, value): &(&str, &str)| {
        format!("--xx\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let file = file.map(|(name, mime)| {
        format!(
            "--xx\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\nContent-Type: {mime}\r\n\r\n\
             sound\r\n"
        )
    });
    fields.iter().map(part).chain(file).chain(["--xx--\r\n".to_owned()]).collect()
}

fn heard(audio: Audio, body: &str) -> Result<Value, Fault> {
    let bytes = Bytes::from(body.to_owned());
    let asked = audio.conversation(&bytes, true)?;
    Ok(serde_json::from_slice(&gemini::generate(&asked.conversation, bytes.clone())?.concat()).unwrap())
}

#[test]
fn a_recording_is_written_down() {
    let fields = [("model", "gemini-2.5-flash"), ("language", "de"), ("prompt", "Grüße"), ("temperature", "0.5")];
    let wire = heard(Audio::Transcription, &form(&fields, Some(("a.bin", "audio/wav")))).unwrap();
    let part = json!({ "inlineData": { "mimeType": "audio/wav", "data": "c291bmQ=" } });
    assert_eq!(wire["contents"], json!([{ "role": "user", "parts": [part] }]));
    assert_eq!(wire["generationConfig"]["temperature"], 0.5);
    let system = wire["systemInstruction"].to_string();
    assert!(system.contains("word for word") && system.contains("is de") && system.contains("Grüße"), "{system}");
    let translated = heard(Audio::Translation, &form(&fields[..1], Some(("a.mp3", "application/octet-stream"))));
    let wire = translated.unwrap();
    assert_eq!(wire["contents"][0]["parts"][0]["inlineData"]["mimeType"], "audio/mp3");
    assert!(wire["systemInstruction"].to_string().contains("in English"));
}

#[test]
fn what_cannot_be_written_down_is_named() {
    let file = Some(("a.wav", "audio/wav"));
    for (fields, file, place) in [
        (vec![("model", "m"), ("response_format", "srt")], file, "response_format"),
        (vec![("model", "m"), ("response_format", "verbose_json")], file, "response_format"),
        (vec![("model", "m"), ("timestamp_granularities[]", "word")], file, "timestamp_granularities[]"),
        (vec![("model", "m"), ("temperature", "hot")], file, "temperature"),
        (vec![("model", "m"), ("include[]", "logprobs")], file, "include[]"),
        (vec![("model", "m")], None, "file"),
        (vec![("model", "m")], Some(("a.xyz", "application/octet-stream")), "file"),
        (vec![], file, "model"),
    ] {
        let fault = heard(Audio::Transcription, &form(&fields, file)).unwrap_err();
        assert_eq!(fault.param.as_deref(), Some(place), "{fields:?}");
    }
    assert!(heard(Audio::Transcription, "{}").unwrap_err().message.contains("multipart/form-data"));
}

#[test]
fn a_transcript_comes_as_it_was_asked_for() {
    let said = answer(json!({ "text": " Good day.\n" }));
    let (object, kind) = answered(Audio::Transcription, Form::Object, &said).unwrap();
    let object: Value = serde_json::from_slice(&object).unwrap();
    assert_eq!((kind, &object["text"]), ("application/json", &json!("Good day.")));
    assert_eq!(object["usage"]["input_token_details"], json!({ "audio_tokens": 7, "text_tokens": 2 }));
    let (bare, kind) = answered(Audio::Translation, Form::Bare, &said).unwrap();
    assert_eq!((kind, &bare[..]), ("text/plain; charset=utf-8", &b"Good day.\n"[..]));
    let mut exchange = Exchange::new(Box::new(gemini::Listener::new(false)), Audio::Transcription.voice(shape(true)));
    let mut out = Vec::new();
    exchange.hear(events(&[said]).into(), &mut out);
    exchange.end(&mut out);
    let told = data(&String::from_utf8(out).unwrap());
    let told: Vec<Value> = told[..2].iter().map(|event| serde_json::from_str(event).unwrap()).collect();
    assert_eq!((&told[0]["type"], &told[0]["delta"]), (&json!("transcript.text.delta"), &json!(" Good day.\n")));
    assert_eq!((&told[1]["type"], &told[1]["usage"]["total_tokens"]), (&json!("transcript.text.done"), &json!(12)));
}

#[test]
fn a_type_goes_up_under_the_name_that_the_upstream_documents() {
    // What Python's mimetypes say of .wav, .flac, .m4a and .webm, and what browsers say of them.
    for (name, said, expected) in [
        ("a.wav", "audio/x-wav", "audio/wav"),
        ("a.wav", "audio/vnd.wave", "audio/wav"),
        ("a.wav", "Audio/Wave; codecs=1", "audio/wav"),
        ("a.flac", "audio/x-flac", "audio/flac"),
        ("a.m4a", "audio/x-m4a", "audio/m4a"),
        ("a.webm", "video/webm", "audio/webm"),
        ("a.webm", "audio/webm;codecs=opus", "audio/webm"),
        ("a.mp3", "audio/x-mp3", "audio/mp3"),
        ("a.aac", "audio/x-aac", "audio/aac"),
        ("a.mp4", "video/mp4", "video/mp4"),
        // What says nothing goes by its name.
        ("a.aiff", "application/octet-stream", "audio/aiff"),
        ("a.AIF", "", "audio/aiff"),
        ("a.opus", "application/octet-stream", "audio/ogg"),
        (r#"a \"b\" c\\.wav"#, "application/octet-stream", "audio/wav"),
        ("a %22b%22.wav", "application/octet-stream", "audio/wav"),
        ("C:\\a\\b.wav", "application/octet-stream", "audio/wav"),
        (r#"a.mp3\"; filename=\"b.wav"#, "application/octet-stream", "audio/wav"),
        (r#"a"; filename*="UTF-8''b%20b.wav"#, "application/octet-stream", "audio/wav"),
    ] {
        let wire = heard(Audio::Transcription, &form(&[("model", "m")], Some((name, said)))).unwrap();
        assert_eq!(wire["contents"][0]["parts"][0]["inlineData"]["mimeType"], expected, "{said}");
    }
}

/// What was blocked or cut, of which the dialect has no word in an answer.
#[test]
fn what_was_blocked_or_cut_is_no_answer() {
    let finished =
        |parts: Value, why: &str| json!({ "candidates": [{ "content": { "parts": parts }, "finishReason": why }] });
    let sound = json!([{ "inlineData": { "mimeType": "audio/L16;rate=24000", "data": "AQIDBA==" } }]);
    let words = json!([{ "text": "Hello" }]);
    let blocked = json!({ "promptFeedback": { "blockReason": "PROHIBITED_CONTENT" } });
    for (answer, expected) in [
        (blocked, (Kind::Filtered, "content_policy_violation")),
        (finished(json!([]), "SAFETY"), (Kind::Filtered, "content_policy_violation")),
        (finished(words.clone(), "SAFETY"), (Kind::Filtered, "content_policy_violation")),
        (finished(words.clone(), "MAX_TOKENS"), (Kind::TooLong, "context_length_exceeded")),
        (finished(sound.clone(), "RECITATION"), (Kind::Filtered, "content_policy_violation")),
        (finished(sound.clone(), "MAX_TOKENS"), (Kind::TooLong, "context_length_exceeded")),
    ] {
        for (audio, param) in [(Audio::Speech, "input"), (Audio::Transcription, "file"), (Audio::Translation, "file")] {
            let fault = answered(audio, Form::Object, &answer).unwrap_err();
            assert_eq!((fault.kind, fault.param.as_deref()), (expected.0, Some(param)), "{audio:?} {answer}");
            let refused = audio.refused(&fault);
            let code = serde_json::from_slice::<Value>(&refused.body).unwrap()["error"]["code"].clone();
            assert_eq!((refused.status.as_u16(), code), (400, json!(expected.1)));
        }
        let mut exchange =
            Exchange::new(Box::new(gemini::Listener::new(false)), Audio::Transcription.voice(shape(true)));
        let mut out = Vec::new();
        exchange.hear(Bytes::from(events(std::slice::from_ref(&answer))), &mut out);
        exchange.end(&mut out);
        let said = data(std::str::from_utf8(&out).unwrap());
        let last: Value = serde_json::from_str(said.last().unwrap()).unwrap();
        assert_eq!(last["error"]["code"], expected.1, "{answer}: {said:?}");
        // Before anything of it was told, its head can say so.
        let nothing = said.len() == 1 && !answer.to_string().contains("inlineData");
        assert_eq!(exchange.stillborn().is_some(), nothing, "{answer}");
    }
    // Nothing was spoken.
    let (said, _) = answered(Audio::Transcription, Form::Bare, &finished(json!([]), "STOP")).unwrap();
    assert_eq!(said, b"\n");
}
