//! Whatever comes: no panic, and what goes out is whole.

use bytes::Bytes;
use keypool_dialect::{
    Caller, Exchange,
    anthropic::Anthropic,
    gemini,
    openai::{self, OpenAi},
    responses::Responses,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{shape, streamed};

/// Any JSON, small.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e3..1e3).prop_map(|number: f64| json!(number)),
        "[a-z\"\\\\é]{0,6}".prop_map(Value::from),
        words(),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((names(), inner), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Words that mean something.
fn words() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        "user",
        "assistant",
        "tool",
        "system",
        "text",
        "image_url",
        "file",
        "function",
        "json_schema",
        "auto",
        "tool_use",
        "tool_result",
        "image",
        "base64",
        "enabled",
        "data:image/png;base64,AA",
        "{}",
        "low",
        "STOP",
        "MAX_TOKENS",
        "gemini-3.8-flash",
    ])
    .prop_map(Value::from)
}

/// Names of fields that mean something somewhere.
fn names() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "role",
        "content",
        "type",
        "text",
        "image_url",
        "url",
        "file",
        "file_data",
        "tool_calls",
        "tool_call_id",
        "id",
        "function",
        "name",
        "arguments",
        "parameters",
        "json_schema",
        "schema",
        "source",
        "media_type",
        "data",
        "input",
        "tool_use_id",
        "parts",
        "candidates",
        "finishReason",
        "functionCall",
        "args",
        "index",
        "usageMetadata",
        "promptTokenCount",
        "error",
        "message",
        "code",
        "thought",
        "thoughtSignature",
        "promptFeedback",
        "const",
        "properties",
        "input_schema",
        "mode",
        "logprobsResult",
        "chosenCandidates",
        "token",
    ])
    .prop_map(str::to_owned)
}

/// A request of the right outer shape, whose fields hold anything.
fn any_request() -> impl Strategy<Value = Value> {
    const FIELDS: [&str; 24] = [
        "messages",
        "tools",
        "tool_choice",
        "response_format",
        "stop",
        "temperature",
        "seed",
        "n",
        "max_tokens",
        "stream",
        "stream_options",
        "reasoning_effort",
        "extra_body",
        "logprobs",
        "top_logprobs",
        "system",
        "thinking",
        "stop_sequences",
        "output_config",
        "input",
        "dimensions",
        "encoding_format",
        "functions",
        "model",
    ];
    let field = (prop::sample::select(FIELDS.to_vec()), any_json());
    let message = prop::collection::vec((names(), any_json()), 0..4).prop_map(|fields| {
        let mut message: Value = json!({ "role": "user", "content": "x" });
        message.as_object_mut().unwrap().extend(fields);
        message
    });
    (prop::collection::vec(field, 0..4), prop::collection::vec(message, 1..4)).prop_map(|(fields, messages)| {
        let mut body = json!({ "model": "gemini-3.8-flash", "messages": messages });
        body.as_object_mut().unwrap().extend(fields.into_iter().map(|(name, value)| (name.to_owned(), value)));
        body
    })
}

fn callers() -> [&'static dyn Caller; 3] {
    [&OpenAi, &Anthropic, &Responses]
}

proptest! {
    #[test]
    fn any_request_is_refused_or_written_as_json(request in any_request(), strict: bool) {
        let chat = Bytes::from(request.to_string());
        let mut items = request;
        let messages = items["messages"].take();
        items.as_object_mut().unwrap().remove("messages");
        items["input"] = messages;
        let respond = Bytes::from(items.to_string());
        for (caller, bytes) in callers().into_iter().zip([&chat, &chat, &respond]) {
            match caller.conversation(bytes, strict) {
                Ok(asked) => {
                    if let Ok(pieces) = gemini::generate(&asked.conversation, bytes.clone()) {
                        let written: Value = serde_json::from_slice(&pieces.concat()).unwrap();
                        prop_assert!(!written["contents"].as_array().unwrap().is_empty());
                        for turn in written["contents"].as_array().unwrap() {
                            prop_assert!(!turn["parts"].as_array().unwrap().is_empty(), "{written}");
                        }
                    }
                }
                Err(fault) => {
                    let refused = caller.refused(&fault);
                    prop_assert!(refused.status.is_client_error());
                    prop_assert!(serde_json::from_slice::<Value>(&refused.body).is_ok());
                }
            }
        }
        let _ = openai::embedding(&chat, strict);
    }

    #[test]
    fn any_bytes_are_refused(bytes: Vec<u8>) {
        for caller in callers() {
            prop_assert!(caller.conversation(&bytes, true).is_err());
        }
    }

    #[test]
    fn any_answer_is_a_fault_or_said_as_json(answer in any_json(), parts in prop::collection::vec(any_json(), 0..4)) {
        let likely = json!({ "candidates": [{ "content": { "parts": parts }, "finishReason": "STOP" }] });
        for caller in callers() {
            for answer in [&answer, &likely] {
                let exchange = Exchange::new(Box::new(gemini::Listener::new(false)), caller.voice(shape(false)));
                if let Ok(said) = exchange.whole(answer.to_string().as_bytes()) {
                    prop_assert!(serde_json::from_slice::<Value>(&said).is_ok());
                }
            }
        }
        let _ = gemini::fault(http::StatusCode::BAD_REQUEST, answer.to_string().as_bytes());
        let _ = gemini::page(answer.to_string().as_bytes());
    }

    #[test]
    fn borders_of_chunks_mean_nothing(
        texts in prop::collection::vec("[a-zé\\n\"]{0,8}", 1..5),
        sizes in prop::collection::vec(1usize..60, 1..20),
        tail in prop::sample::select(vec!["", "{\"error\":{\"code\":503}}", "data: {\"x", ": c\n\n", "data: [1]\n\n"]),
    ) {
        let mut stream: String = texts
            .iter()
            .map(|text| json!({ "candidates": [{ "content": { "parts": [{ "text": text }] }, "finishReason": "STOP" }] }))
            .map(|event| format!("data: {event}\r\n\r\n"))
            .collect();
        stream.push_str(tail);
        for caller in callers() {
            let whole = streamed(caller, &stream, stream.len());
            let mut exchange = Exchange::new(Box::new(gemini::Listener::new(false)), caller.voice(shape(true)));
            let (mut out, mut rest, mut sizes) = (Vec::new(), stream.as_bytes(), sizes.iter().cycle());
            while !rest.is_empty() {
                let (chunk, behind) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                exchange.hear(Bytes::copy_from_slice(chunk), &mut out);
                rest = behind;
            }
            exchange.end(&mut out);
            prop_assert_eq!(String::from_utf8(out).unwrap(), whole);
        }
    }

    #[test]
    fn any_bytes_of_a_stream_are_survived(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..10)) {
        for caller in callers() {
            let mut exchange = Exchange::new(Box::new(gemini::Listener::new(false)), caller.voice(shape(true)));
            let mut out = Vec::new();
            for chunk in &chunks {
                exchange.hear(Bytes::copy_from_slice(chunk), &mut out);
                exchange.pause(&mut out);
            }
            exchange.end(&mut out);
            prop_assert!(std::str::from_utf8(&out).is_ok());
        }
    }
}
