//! Whatever comes: no panic, and what goes out is whole.

use bytes::Bytes;
use keypool_dialect::{
    Caller, Exchange, Fault,
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

/// Written so that in its strings every character by this pattern is an escape.
fn with_escapes(json: &Value, pattern: &[bool]) -> String {
    let text = |text: &str| {
        let escapes = text.chars().zip(pattern.iter().cycle());
        let written = escapes.map(|(character, escape)| match character {
            '/' if *escape => r"\/".to_owned(),
            _ if *escape => {
                let mut halves = [0; 2];
                character.encode_utf16(&mut halves).iter().map(|half| format!(r"\u{half:04x}")).collect()
            }
            _ => {
                let quoted = json!(character.to_string()).to_string();
                quoted[1..quoted.len() - 1].to_owned()
            }
        });
        format!("\"{}\"", written.collect::<String>())
    };
    match json {
        Value::String(said) => text(said),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| with_escapes(item, pattern)).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{}:{}", text(name), with_escapes(value, pattern)));
            format!("{{{}}}", fields.collect::<Vec<String>>().join(","))
        }
        plain => plain.to_string(),
    }
}

/// What is asked of the upstream, or why nothing is.
fn translated(caller: &dyn Caller, body: &str, strict: bool) -> Result<Value, Fault> {
    let body = Bytes::from(body.to_owned());
    let asked = caller.conversation(&body, strict)?;
    let pieces = gemini::generate(&asked.conversation, body.clone())?;
    Ok(serde_json::from_slice(&pieces.concat()).expect("JSON is written"))
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

    /// A text that goes on as it was read says what it would say had it been read and written anew.
    #[test]
    fn escapes_mean_nothing(
        request in any_request(),
        said in prop::collection::vec("[a-z\"\\\\/é😀\u{0}\n{ ]{0,12}", 3),
        pattern in prop::collection::vec(any::<bool>(), 1..9),
        strict: bool,
    ) {
        let mut chat = request;
        let [first, second, third] = &said[..] else { unreachable!() };
        if !chat["messages"].is_array() {
            chat["messages"] = json!([]);
        }
        let messages = chat["messages"].as_array_mut().unwrap();
        messages.push(json!({ "role": "user", "content": first }));
        messages.push(json!({ "role": "user", "content": [{ "type": "text", "text": second }] }));
        messages.push(json!({ "role": "system", "content": third }));
        let mut items = chat.clone();
        let messages = items["messages"].take();
        items.as_object_mut().unwrap().remove("messages");
        items["input"] = messages;
        for (caller, request) in callers().into_iter().zip([&chat, &chat, &items]) {
            let (plain, escaped) = (request.to_string(), with_escapes(request, &pattern));
            let read = |json: &str| serde_json::from_str::<Value>(json).unwrap();
            prop_assert_eq!(read(&escaped), read(&plain));
            let (one, other) = (translated(caller, &plain, strict), translated(caller, &escaped, strict));
            prop_assert_eq!(one, other);
        }
    }

    /// And so does an answer.
    #[test]
    fn escapes_of_an_answer_mean_nothing(
        said in "[a-z\"\\\\/é😀\u{0}\n{ ]{0,12}",
        pattern in prop::collection::vec(any::<bool>(), 1..9),
    ) {
        let parts = json!([{ "text": said }, { "functionCall": { "name": said, "args": { "a": said } } }]);
        let answer = json!({ "candidates": [{ "content": { "parts": parts }, "finishReason": "STOP" }] });
        let (answer, escaped) = (answer.to_string(), with_escapes(&answer, &pattern));
        for caller in callers() {
            let whole = |answer: &str| {
                let exchange = Exchange::new(Box::new(gemini::Listener::new(false)), caller.voice(shape(false)));
                serde_json::from_slice::<Value>(&exchange.whole(answer.as_bytes()).unwrap()).unwrap()
            };
            // A call's arguments are JSON in JSON, and stay as the model wrote them.
            let (one, mut other) = (whole(&answer), whole(&escaped));
            let written = other.pointer("/choices/0/message/tool_calls/0/function/arguments").cloned();
            if let Some(written) = written {
                let args: Value = serde_json::from_str(written.as_str().unwrap()).unwrap();
                prop_assert_eq!(&args["a"], &json!(said));
                other["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = json!(args.to_string());
            }
            if one.get("output").is_none() {
                prop_assert_eq!(one, other);
            }
            let data = |answer: &str| {
                let told = streamed(caller, &format!("data: {answer}\n\n"), 1 << 20);
                let data = told.lines().filter_map(|line| line.strip_prefix("data: "));
                let texts = data.filter_map(|data| {
                    let data: Value = serde_json::from_str(data).ok()?;
                    let places = ["/choices/0/delta/content", "/delta/text"];
                    let text = places.iter().find_map(|place| data.pointer(place)?.as_str().map(str::to_owned));
                    text.or_else(|| data["delta"].as_str().map(str::to_owned))
                });
                texts.collect::<Vec<String>>().concat()
            };
            prop_assert!(data(&escaped).starts_with(&said), "{}", data(&escaped));
        }
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
