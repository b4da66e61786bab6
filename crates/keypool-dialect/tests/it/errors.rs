//! Gemini's errors, as the clients of each dialect get them.

use std::{collections::BTreeMap, fs, path::Path};

use http::StatusCode;
use keypool_dialect::{Error, ErrorKind, Outcome};
use serde_json::{Value, json};
use tower_keypool::{Anthropic, OpenAi, Provider};

use crate::support::{ALL, CHAT, MESSAGES, answer, hello, parse, streamed_raw, whole};

/// Reads error bodies from public reports, by name.
fn samples() -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../gemini-sim/samples");
    let read = |path: &Path| serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named =
        files.filter_map(|path| Some((path.file_stem()?.to_str()?.strip_prefix("gemini_")?.to_owned(), read(&path))));
    named.collect()
}

fn error(sample: &Value) -> Error {
    let status = StatusCode::from_u16(sample["status"].as_u64().unwrap() as u16).unwrap();
    let body = sample["body"].as_str().map_or_else(|| sample["body"].to_string(), str::to_owned);
    Error::from_gemini(status, body.as_bytes())
}

#[test]
fn every_sample_has_its_error_kind() {
    let samples = samples();
    assert!(samples.len() > 40);
    let mut seen = 0;
    for (name, sample) in samples.iter().filter(|(name, _)| !name.starts_with("200")) {
        let expected = match &**name {
            "400_api_key_expired"
            | "400_api_key_invalid"
            | "400_api_key_not_found"
            | "400_location_not_supported"
            | "400_multiple_credentials" => ErrorKind::NoKeys,
            "400_request_too_many_tokens" => ErrorKind::ContextTooLong,
            "403_file_other_project" => ErrorKind::PermissionDenied,
            "499_cancelled" | "503_high_demand" | "503_overloaded" => ErrorKind::Unavailable,
            "500_internal" => ErrorKind::Internal,
            "502_bad_gateway_html" => ErrorKind::BadUpstream,
            "504_deadline_exceeded" => ErrorKind::Timeout,
            name if name.starts_with("400") || name.starts_with("405") => ErrorKind::InvalidRequest,
            name if name.starts_with("404") => ErrorKind::NotFound,
            name if name.starts_with("429") => ErrorKind::RateLimited,
            _ => ErrorKind::NoKeys,
        };
        let error = error(sample);
        assert_eq!(error.kind(), expected, "{name}: {error}");
        for frontend in ALL {
            let shown: Value = serde_json::from_slice(&error.body(frontend)).unwrap();
            assert!(shown["error"]["message"].as_str().is_some_and(|message| !message.is_empty()), "{name}");
            assert_eq!(shown.get("type").is_some(), frontend == MESSAGES);
        }
        seen += 1;
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn callers_names_do_not_look_like_a_fault_of_the_key() {
    let kind = |message: &str| {
        let body = json!({ "error": { "code": 400, "message": message, "status": "INVALID_ARGUMENT" } });
        Error::from_gemini(StatusCode::BAD_REQUEST, body.to_string().as_bytes()).kind()
    };
    for message in [
        "GenerateContentRequest.tools[0].function_declarations[0].parameters.properties[billing_address].type: invalid",
        "Invalid JSON payload received. Unknown name \"billing\" at 'tools[0].function_declarations[0]'",
        "Function call is missing a thought_signature in functionCall parts: function call `get_billing`, position 2.",
    ] {
        assert_eq!(kind(message), ErrorKind::InvalidRequest, "{message}");
    }
    for message in [
        "Gemini API free tier is not available in your country. Please enable billing on your project in Google AI Studio.",
        "This API method requires billing to be enabled.",
        "This project cannot be used: billing is disabled.",
    ] {
        assert_eq!(kind(message), ErrorKind::NoKeys, "{message}");
    }
}

#[test]
fn error_kinds_have_the_types_and_codes_of_each_dialect() {
    for (kind, openai, anthropic) in [
        (ErrorKind::InvalidRequest, (400, "invalid_request_error", Value::Null), (400, "invalid_request_error")),
        (
            ErrorKind::ContextTooLong,
            (400, "invalid_request_error", json!("context_length_exceeded")),
            (400, "invalid_request_error"),
        ),
        (
            ErrorKind::Unauthenticated,
            (401, "invalid_request_error", json!("invalid_api_key")),
            (401, "authentication_error"),
        ),
        (ErrorKind::PermissionDenied, (403, "invalid_request_error", Value::Null), (403, "permission_error")),
        (ErrorKind::TooLarge, (413, "invalid_request_error", Value::Null), (413, "request_too_large")),
        (ErrorKind::RateLimited, (429, "requests", json!("rate_limit_exceeded")), (429, "rate_limit_error")),
        (ErrorKind::NoKeys, (503, "server_error", json!("no_available_keys")), (503, "overloaded_error")),
        (ErrorKind::Unavailable, (503, "server_error", Value::Null), (529, "overloaded_error")),
        (ErrorKind::Timeout, (504, "server_error", Value::Null), (504, "timeout_error")),
    ] {
        let error = Error::new(kind, "why");
        let shown = |frontend| serde_json::from_slice::<Value>(&error.body(frontend)).unwrap()["error"].clone();
        let body = shown(CHAT);
        assert_eq!((error.status(CHAT).as_u16(), body["type"].as_str().unwrap(), body["code"].clone()), openai);
        assert_eq!((error.status(MESSAGES).as_u16(), shown(MESSAGES)["type"].as_str().unwrap()), anthropic);
    }
    let long = Error::new(ErrorKind::ContextTooLong, "9 > 8");
    assert!(String::from_utf8_lossy(&long.body(MESSAGES)).contains("prompt is too long: 9 > 8"));
    // A message is cut, but not within a character.
    assert!(Error::new(ErrorKind::Internal, "é".repeat(9_000)).message().len() <= 4_096);
}

#[test]
fn library_has_the_same_error_bodies() {
    for status in [400, 401, 403, 404, 405, 409, 413, 415, 421, 426, 429, 500, 502, 503, 504] {
        for message in ["no", "no model"] {
            let error = Error::new(ErrorKind::of_status(status), message);
            let providers: [(_, &dyn Provider); 2] = [(CHAT, &OpenAi::new()), (MESSAGES, &Anthropic::new())];
            for (frontend, provider) in providers {
                let status = StatusCode::from_u16(status as u16).unwrap();
                let [own, other] = [&error.body(frontend)[..], provider.error_body(status, message, None).as_bytes()]
                    .map(|body| serde_json::from_slice::<Value>(body).unwrap());
                assert_eq!(own, other, "{status} {frontend:?}");
            }
        }
    }
}

#[test]
fn disabled_key_in_a_successful_response_is_unavailable() {
    let body = json!({ "candidates": [{ "finishReason": "PUP_LIMITED_DISABLED" }] });
    for frontend in ALL {
        let request = parse(frontend, &hello(frontend, &json!({}))).unwrap();
        assert_eq!(whole(&request, &body).1.unwrap_err().kind(), ErrorKind::Unavailable);
    }
}

#[test]
fn sampled_streams_are_converted() {
    let samples = samples();
    let request = parse(CHAT, &hello(CHAT, &json!({}))).unwrap();
    let cut = streamed_raw(&request, samples["200_stream_sse_max_tokens"]["body"].as_str().unwrap());
    assert_eq!(cut.outcome, Outcome::Complete);
    assert!(cut.sent.unwrap().contains("\"finish_reason\":\"length\""));
    let failed = streamed_raw(&request, samples["200_midstream_raw_json_tail"]["body"].as_str().unwrap());
    assert_eq!(failed.data().last().unwrap()["error"]["type"], "server_error");
    let (outcome, _) = whole(&request, &samples["200_prompt_blocked"]["body"]);
    assert!(matches!(outcome, Outcome::Blocked(_)), "{outcome:?}");
    assert_eq!(whole(&request, &samples["200_ok"]["body"]).0, Outcome::Complete);
}

#[test]
fn stream_can_send_pings_and_a_failure() {
    for frontend in ALL {
        let mut request = parse(frontend, &hello(frontend, &json!({}))).unwrap();
        request.conversation.stream = true;
        let mut answer = answer(&request);
        assert_eq!(&answer.ping()[..], b": keep-alive\n\n");
        let text = r#"data: {"candidates":[{"content":{"parts":[{"text":"Hi"}]}}]}"#;
        answer.push(format!("{text}\n\n").as_bytes()).unwrap();
        let ping = answer.ping();
        assert!(ping.starts_with(if frontend == MESSAGES { b"event: ping\n" } else { b": keep-alive" }));
        let end = answer.fail(&Error::new(ErrorKind::BadUpstream, "the connection broke"));
        assert!(String::from_utf8_lossy(&end).contains("the connection broke"));
        assert!(
            answer.is_finished()
                && answer.finish().unwrap().is_empty()
                && answer.push(b"data: {}\n\n").unwrap().is_empty()
        );
    }
}
