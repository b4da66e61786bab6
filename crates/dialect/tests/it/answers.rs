//! Answers of the upstream, as clients of chat completions get them: every one must be what their types can read.

use async_openai::types::{
    chat::{CreateChatCompletionResponse, CreateChatCompletionStreamResponse, FinishReason},
    embeddings::{CreateBase64EmbeddingResponse, CreateEmbeddingResponse},
    models::ListModelResponse,
};
use keypool_dialect::{
    Caller, Embedded, Exchange, Fault, Kind, Model,
    anthropic::Anthropic,
    gemini,
    openai::{self, OpenAi},
};
use serde_json::{Value, json};

use crate::support::{data, events, shape, streamed, whole};

fn candidate(parts: Value, reason: &str) -> Value {
    let mut candidate = json!({ "content": { "parts": parts, "role": "model" }, "index": 0 });
    if !reason.is_empty() {
        candidate["finishReason"] = reason.into();
    }
    json!({ "candidates": [candidate], "responseId": "r1", "usageMetadata": usage() })
}

fn usage() -> Value {
    json!({
        "promptTokenCount": 10, "toolUsePromptTokenCount": 1, "cachedContentTokenCount": 4,
        "candidatesTokenCount": 5, "thoughtsTokenCount": 3, "totalTokenCount": 19,
        "promptTokensDetails": [{ "modality": "TEXT", "tokenCount": 8 }, { "modality": "AUDIO", "tokenCount": 2 }],
    })
}

fn read(answer: &Value) -> (Value, CreateChatCompletionResponse) {
    let value = whole(&OpenAi, answer).unwrap();
    let typed = serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"));
    (value, typed)
}

fn chunks(stream: &str) -> Vec<CreateChatCompletionStreamResponse> {
    let mut events = data(stream);
    assert_eq!(events.pop().as_deref(), Some("[DONE]"), "{stream}");
    events.iter().map(|event| serde_json::from_str(event).unwrap_or_else(|error| panic!("{error}: {event}"))).collect()
}

#[test]
fn text_and_what_it_cost() {
    let (value, typed) = read(&candidate(json!([{ "text": "Hel" }, { "text": "lo" }]), "STOP"));
    assert_eq!(value["id"], "chatcmpl-r1");
    assert_eq!(typed.choices[0].message.content.as_deref(), Some("Hello"));
    assert_eq!(typed.choices[0].finish_reason, Some(FinishReason::Stop));
    let usage = typed.usage.unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.total_tokens), (11, 8, 19));
    assert_eq!(value["usage"]["prompt_tokens_details"], json!({ "cached_tokens": 4, "audio_tokens": 2 }));
    assert_eq!(value["usage"]["completion_tokens_details"]["reasoning_tokens"], 3);
}

#[test]
fn thoughts_stand_beside() {
    let (value, _) = read(&candidate(json!([{ "text": "hm", "thought": true }, { "text": "yes" }]), "STOP"));
    let message = &value["choices"][0]["message"];
    assert_eq!((&message["content"], &message["reasoning_content"]), (&json!("yes"), &json!("hm")));
}

#[test]
fn why_it_ended() {
    for (reason, expected) in [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("IMAGE_SAFETY", "content_filter"),
        ("SOMETHING_NEW", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "stop"),
    ] {
        let (value, _) = read(&candidate(json!([{ "text": "x" }]), reason));
        assert_eq!(value["choices"][0]["finish_reason"], expected, "{reason}");
        // Thoughts alone came within the budget.
        let (value, _) = read(&json!({ "candidates": [{ "content": {}, "finishReason": reason }] }));
        assert_eq!(value["choices"][0]["message"]["content"], "", "{reason}");
    }
    let (value, _) = read(&json!({ "promptFeedback": { "blockReason": "SAFETY" }, "usageMetadata": usage() }));
    assert_eq!(value["choices"][0]["finish_reason"], "content_filter");
}

#[test]
fn calls() {
    let parts = json!([
        { "functionCall": { "name": "f", "args": { "a": [2], "b": 1 } }, "thoughtSignature": "c2ln" },
        { "functionCall": { "name": "g" } },
    ]);
    let (value, typed) = read(&candidate(parts.clone(), "STOP"));
    assert_eq!(typed.choices[0].finish_reason, Some(FinishReason::ToolCalls));
    let calls = value["choices"][0]["message"]["tool_calls"].as_array().unwrap();
    assert_eq!(calls[0]["function"], json!({ "name": "f", "arguments": "{\"a\":[2],\"b\":1}" }));
    assert_eq!(calls[1]["function"], json!({ "name": "g", "arguments": "{}" }));
    assert_ne!(calls[0]["id"], calls[1]["id"]);
    assert_eq!(value["choices"][0]["message"]["content"], Value::Null);

    let stream = streamed(&OpenAi, &events(&[candidate(parts, "STOP")]), 7);
    let indexes: Vec<u32> = chunks(&stream)
        .iter()
        .flat_map(|chunk| chunk.choices.iter().flat_map(|choice| choice.delta.tool_calls.clone().unwrap_or_default()))
        .map(|call| call.index)
        .collect();
    assert_eq!(indexes, [0, 1]);
}

#[test]
fn several_answers_and_images() {
    let answer = json!({ "candidates": [
        { "index": 1, "content": { "parts": [{ "text": "b" }] }, "finishReason": "MAX_TOKENS" },
        { "index": 0, "content": { "parts": [{ "inlineData": { "mimeType": "image/png", "data": "AAAA" } }] }, "finishReason": "STOP" },
    ] });
    let (value, _) = read(&answer);
    assert_eq!(value["choices"][0]["message"]["images"][0]["image_url"]["url"], "data:image/png;base64,AAAA");
    assert_eq!(
        (&value["choices"][1]["message"]["content"], &value["choices"][1]["finish_reason"]),
        (&json!("b"), &json!("length"))
    );
}

/// What cannot be is written in ways that are no numbers, and no answer is lost over it.
#[test]
fn what_was_never_likely_is_as_that_provider_writes_it() {
    for (never, expected) in [
        ("\"-Infinity\"", -9_999.0),
        ("null", -9_999.0),
        ("-1e400", -9_999.0),
        ("\"NaN\"", -9_999.0),
        ("\"-2.5\"", -2.5),
    ] {
        let token = format!(r#"{{"token":"Hi","logProbability":{never}}}"#);
        let answer = format!(
            r#"{{"candidates":[{{"content":{{"parts":[{{"text":"Hi"}}]}},"finishReason":"STOP","logprobsResult":
            {{"chosenCandidates":[{token}],"topCandidates":[{{"candidates":[{token}]}}]}}}}]}}"#
        );
        let exchange = Exchange::new(Box::new(gemini::Listener::new(false)), OpenAi.voice(shape(false)));
        let told: Value = serde_json::from_slice(&exchange.whole(answer.as_bytes()).unwrap()).unwrap();
        let told = &told["choices"][0]["logprobs"]["content"][0];
        assert_eq!((&told["logprob"], &told["top_logprobs"][0]["logprob"]), (&json!(expected), &json!(expected)));
    }
}

#[test]
fn how_likely_it_was() {
    let mut answer = candidate(json!([{ "text": "Hi" }]), "STOP");
    answer["candidates"][0]["logprobsResult"] = json!({
        "chosenCandidates": [{ "token": "Hi", "tokenId": 1, "logProbability": -0.5 }],
        "topCandidates": [{ "candidates": [{ "token": "Hi", "logProbability": -0.5 }, { "token": "é", "logProbability": -1.5 }] }],
    });
    let (value, typed) = read(&answer);
    assert_eq!(typed.choices[0].logprobs.as_ref().unwrap().content.as_ref().unwrap()[0].top_logprobs.len(), 2);
    assert_eq!(value["choices"][0]["logprobs"]["content"][0]["top_logprobs"][1]["bytes"], json!([195, 169]));
    let stream = streamed(&OpenAi, &events(&[answer]), 1_000);
    assert!(chunks(&stream).iter().any(|chunk| chunk.choices.iter().any(|choice| choice.logprobs.is_some())));
}

#[test]
fn a_stream_is_the_same_in_pieces() {
    let stream = events(&[
        candidate(json!([{ "text": "hm", "thought": true }]), ""),
        candidate(json!([{ "text": "Hé" }]), ""),
        candidate(json!([{ "text": "llo" }]), ""),
        candidate(json!([{ "text": "", "thoughtSignature": "c2ln" }]), "STOP"),
    ]);
    let said = streamed(&OpenAi, &stream, stream.len());
    for size in 1..40 {
        assert_eq!(streamed(&OpenAi, &stream, size), said, "{size}");
    }
    let chunks = chunks(&said);
    let text: String =
        chunks.iter().flat_map(|chunk| &chunk.choices).filter_map(|choice| choice.delta.content.clone()).collect();
    assert_eq!(text, "Héllo");
    let last = chunks.last().unwrap();
    assert!(last.choices.is_empty() && last.usage.as_ref().unwrap().total_tokens == 19);
    assert_eq!(chunks[chunks.len() - 2].choices[0].finish_reason, Some(FinishReason::Stop));
    assert!(chunks.iter().all(|chunk| chunk.id == "chatcmpl-r1"));
}

#[test]
fn a_stream_that_fails_says_so_and_is_not_done() {
    let good = events(&[candidate(json!([{ "text": "x" }]), "")]);
    let error = json!({ "error": { "code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED" } });
    for (end, code) in [
        (events(std::slice::from_ref(&error)), json!("rate_limit_exceeded")),
        (error.to_string(), json!("rate_limit_exceeded")),
        (format!("[{error}]\n"), json!("rate_limit_exceeded")),
        // Broken off without an end.
        (String::new(), Value::Null),
        ("data: {\"cand".to_owned(), Value::Null),
        ("data: nonsense\n\n".to_owned(), Value::Null),
    ] {
        for size in [1, 11, 10_000] {
            let said = streamed(&OpenAi, &format!("{good}{end}"), size);
            assert!(!said.contains("[DONE]"), "{said}");
            let last: Value = serde_json::from_str(data(&said).last().unwrap()).unwrap();
            assert_eq!(last["error"]["code"], code, "{said}");
        }
    }
}

#[test]
fn what_is_no_answer_is_a_fault() {
    for answer in [json!({}), json!([]), json!("x"), json!({ "candidates": 1 }), json!({ "candidates": [{}] })] {
        assert_eq!(whole(&OpenAi, &answer).unwrap_err().kind, Kind::BadGateway, "{answer}");
    }
}

#[test]
fn only_the_first_of_several_calls_where_one_was_asked_for() {
    let answer = candidate(json!([{ "functionCall": { "name": "f" } }, { "functionCall": { "name": "g" } }]), "STOP");
    let voice = OpenAi.voice(shape(false));
    let said =
        Exchange::new(Box::new(gemini::Listener::new(true)), voice).whole(answer.to_string().as_bytes()).unwrap();
    let value: Value = serde_json::from_slice(&said).unwrap();
    assert_eq!(value["choices"][0]["message"]["tool_calls"].as_array().map(Vec::len), Some(1));
}

/// Of a request for an answer of a form, beside a tool.
fn listener(model: &str) -> gemini::Listener {
    let body = json!({
        "model": model, "messages": [{ "role": "user", "content": "x" }],
        "tools": [{ "type": "function", "function": { "name": "f" } }],
        "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": { "type": "object" } } },
    });
    gemini::Listener::of(&OpenAi.conversation(body.to_string().as_bytes(), true).unwrap().conversation)
}

fn answering_by_call() -> gemini::Listener {
    listener("gemini-2.5-flash")
}

fn beside_calls() -> gemini::Listener {
    listener("gemini-3.8-flash")
}

/// Where the answer is a call, it is said as the text that was asked for.
#[test]
fn an_answer_by_call_is_a_text() {
    let call = |name: &str| json!({ "functionCall": { "name": name, "args": { "a": 1 } }, "thoughtSignature": "c2ln" });
    let listener = || Box::new(answering_by_call());
    let said = |parts: Value| -> Value {
        let exchange = Exchange::new(listener(), OpenAi.voice(shape(false)));
        let whole = exchange.whole(candidate(parts, "STOP").to_string().as_bytes()).unwrap();
        serde_json::from_slice::<Value>(&whole).unwrap()["choices"][0].clone()
    };
    let answered = said(json!([call("final_answer")]));
    assert_eq!((&answered["message"]["content"], &answered["finish_reason"]), (&json!("{\"a\":1}"), &json!("stop")));
    assert_eq!(answered["message"].get("tool_calls"), None);
    let called = said(json!([call("f")]));
    assert_eq!((&called["message"]["content"], &called["finish_reason"]), (&Value::Null, &json!("tool_calls")));
}

/// Another model than the first may answer: how it gives the answer is its own matter.
#[test]
fn an_answer_is_heard_as_its_own_model_gives_it() {
    let call = json!({ "functionCall": { "name": "final_answer", "args": { "a": 1 } } });
    let said = |first: &str, then: &str, parts: &[Value]| {
        let listener = || {
            let mut listener = listener(first);
            keypool_dialect::Listener::answers(&mut listener, then);
            listener
        };
        content_of(listener, parts, "STOP")
    };
    let words = [json!({ "text": "{\"a\"" }), json!({ "text": ":1}" })];
    for (first, then) in [("gemini-3.8-flash", "gemini-2.5-flash"), ("gemini-2.5-pro", "models/gemini-2.5-flash")] {
        assert_eq!(said(first, then, &[json!({ "text": "Here:" }), call.clone()]), json!("{\"a\":1}"), "{first}");
    }
    assert_eq!(said("gemini-2.5-flash", "gemini-3.8-flash", &words), json!("{\"a\":1}"));
}

/// Some that stand in front of the upstream end its streams as others' end.
#[test]
fn a_mark_of_the_end_is_none_of_the_answer() {
    let last = events(&[candidate(json!([{ "text": "Hello" }]), "STOP")]);
    for mark in ["data: [DONE]\n\n", "data: [DONE]\r\n\r\n", "data:[DONE]", "data: [DONE]"] {
        assert_eq!(streamed(&OpenAi, &format!("{last}{mark}"), 7), streamed(&OpenAi, &last, 7), "{mark:?}");
    }
    let open = events(&[candidate(json!([{ "text": "Hello" }]), "")]);
    assert!(streamed(&OpenAi, &format!("{open}data: [DONE]\n\n"), 7).contains("has no end"));
}

/// Each part becomes events of many times its length: one small event of the upstream would fill the memory.
#[test]
fn no_answer_comes_in_thousands_of_pieces_at_once() {
    let parts = |count: usize| (0..count).map(|n| json!({ "text": "x", "thought": n % 2 == 0 })).collect::<Value>();
    let of_many = |candidates: u32, parts: &Value| {
        let one = |index| json!({ "content": { "parts": parts }, "index": index, "finishReason": "STOP" });
        json!({ "candidates": (0..candidates).map(one).collect::<Value>() })
    };
    assert!(whole(&OpenAi, &candidate(parts(4_096), "STOP")).is_ok());
    assert!(whole(&OpenAi, &of_many(8, &parts(10))).is_ok());
    for answer in [candidate(parts(4_097), "STOP"), of_many(2, &parts(3_000)), of_many(65, &parts(1))] {
        assert_eq!(whole(&OpenAi, &answer).unwrap_err().kind, Kind::BadGateway);
        assert!(streamed(&OpenAi, &events(&[answer]), 1_000).contains("not what it should be"));
    }
    assert!(whole(&OpenAi, &json!({ "candidates": null })).unwrap_err().message.contains("no end"));
}

/// What is said of an answer's parts, whole and in pieces alike.
fn content_of(listener: impl Fn() -> gemini::Listener, parts: &[Value], why: &str) -> Value {
    let exchange = |stream| Exchange::new(Box::new(listener()), OpenAi.voice(shape(stream)));
    let whole = exchange(false).whole(candidate(json!(parts), why).to_string().as_bytes()).unwrap();
    let whole = serde_json::from_slice::<Value>(&whole).unwrap()["choices"][0]["message"]["content"].clone();
    let (mut exchange, mut out) = (exchange(true), Vec::new());
    for (number, part) in parts.iter().enumerate() {
        let why = if number + 1 == parts.len() { why } else { "" };
        exchange.hear(events(&[candidate(json!([part]), why)]).into_bytes().into(), &mut out);
    }
    exchange.end(&mut out);
    let events = data(std::str::from_utf8(&out).unwrap());
    let pieces = events.iter().filter_map(|event| serde_json::from_str::<Value>(event).ok());
    let pieces: String =
        pieces.filter_map(|event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned())).collect();
    assert_eq!(pieces, whole.as_str().unwrap_or_default());
    whole
}

/// What a model says before it calls would make no JSON of the whole; and it may call for the answer twice.
#[test]
fn an_answer_by_call_is_that_text_alone() {
    let call = |name: &str| json!({ "functionCall": { "name": name, "args": { "a": 1 } } });
    let words = |text: &str| json!({ "text": text });
    let said = |parts: &[Value], why: &str| content_of(answering_by_call, parts, why);
    let json = json!("{\"a\":1}");
    assert_eq!(said(&[words("Here it is:"), call("final_answer"), words("Done.")], "STOP"), json);
    assert_eq!(said(&[call("final_answer"), call("final_answer")], "STOP"), json);
    assert_eq!(said(&[words("I look it up."), call("f")], "STOP"), Value::Null);
    // It calls nothing, though it must: then these words are all there is.
    assert_eq!(said(&[words("I can"), words("not.")], "STOP"), json!("I cannot."));
    assert_eq!(said(&[words("I ca")], "MAX_TOKENS"), json!("I ca"));
}

/// Where an answer has a form, the official clients read whatever stands beside a call as one of that form.
#[test]
fn words_beside_a_call_are_no_answer_of_a_form() {
    let call = json!({ "functionCall": { "name": "f" } });
    let words = |text: &str| json!({ "text": text });
    let said = |parts: &[Value]| content_of(beside_calls, parts, "STOP");
    assert_eq!(said(&[words("Let me"), words(" see."), call.clone()]), Value::Null);
    assert_eq!(said(&[call.clone(), words("\n")]), Value::Null);
    assert_eq!(said(&[words("{\"a\""), words(":1}"), call]), json!("{\"a\":1}"));
    assert_eq!(said(&[words("\n"), words(" [1"), words("]")]), json!(" [1]"));
    assert_eq!(said(&[words("I can"), words("not.")]), json!("I cannot."));
    let thought = json!({ "text": "{thinking", "thought": true });
    assert_eq!(said(&[thought, words("no"), words("ne")]), json!("none"));
}

#[test]
fn vectors_and_models() {
    let body = br#"{"model":"gemini-embedding-001","input":["a","b"],"encoding_format":"base64"}"#;
    let (mut asked, _) = openai::embedding(body, true).unwrap();
    let embedded = Embedded { vectors: vec![vec![0.5, -1.0], vec![0.25, 2.0]], tokens: 3 };
    let packed: CreateBase64EmbeddingResponse = serde_json::from_slice(&openai::vectors(&asked, &embedded)).unwrap();
    assert_eq!((packed.data.len(), packed.usage.prompt_tokens), (2, 3));
    asked.packed = false;
    let floats: CreateEmbeddingResponse = serde_json::from_slice(&openai::vectors(&asked, &embedded)).unwrap();
    assert_eq!(floats.data[1].embedding, [0.25, 2.0]);
    let model = Model { id: "m".into(), title: "M".into(), owner: "google".into() };
    let models: ListModelResponse = serde_json::from_str(&OpenAi.models(&[model])).unwrap();
    assert_eq!(models.data[0].id, "m");
}

#[test]
fn faults_have_the_status_that_clients_know() {
    for (kind, status, code) in [
        (Kind::Invalid, 400, Value::Null),
        (Kind::TooLong, 400, json!("context_length_exceeded")),
        (Kind::Unauthenticated, 401, json!("invalid_api_key")),
        (Kind::Billing, 429, json!("insufficient_quota")),
        (Kind::Denied, 403, Value::Null),
        (Kind::NotFound, 404, Value::Null),
        (Kind::TooLarge, 413, Value::Null),
        (Kind::Encoded, 415, Value::Null),
        (Kind::RateLimited, 429, json!("rate_limit_exceeded")),
        (Kind::NoKeys, 503, json!("no_available_keys")),
        (Kind::Overloaded, 503, Value::Null),
        (Kind::Internal, 500, Value::Null),
        (Kind::TimedOut, 504, Value::Null),
    ] {
        let refused = OpenAi.refused(&Fault::new(kind, "why").at("p"));
        let body: Value = serde_json::from_slice(&refused.body).unwrap();
        assert_eq!(
            (refused.status.as_u16(), &body["error"]["code"], &body["error"]["param"]),
            (status, &code, &json!("p"))
        );
    }
    let told = |fault: &Fault| -> Value { serde_json::from_slice(&OpenAi.refused(fault).body).unwrap() };
    let gone = Fault::new(Kind::NotFound, "models/m is not found");
    assert_eq!(told(&gone)["error"]["code"], "model_not_found", "files and items are looked for, too");
    for (message, kind) in [("this token has used its tokens of this minute", "tokens"), ("slow down", "requests")] {
        assert_eq!(told(&Fault::new(Kind::RateLimited, message))["error"]["type"], kind, "{message}");
    }
}

#[test]
fn the_last_event_is_heard_though_no_blank_line_follows() {
    let stream = format!(
        "{}data: {}",
        events(&[candidate(json!([{ "text": "Hel" }]), "")]),
        candidate(json!([{ "text": "lo" }]), "STOP")
    );
    for ending in ["", "\n", "\r\n", "\r"] {
        for size in [1, 7, 4_096] {
            let told = streamed(&OpenAi, &format!("{stream}{ending}"), size);
            let text: String =
                chunks(&told).iter().filter_map(|chunk| chunk.choices.first()?.delta.content.clone()).collect();
            assert_eq!(text, "Hello", "{ending:?} {size}");
            assert!(!told.contains("error"), "{told}");
        }
    }
    // What was cut in its midst is no event, and said to have broken off.
    let cut = streamed(&OpenAi, &stream[..stream.len() - 9], 4_096);
    assert!(cut.contains("error"), "{cut}");
}

#[test]
fn statuses_that_clients_tell_apart_stay() {
    for (upstream, expected) in [(409, 409), (501, 501), (412, 400), (405, 404)] {
        let fault = gemini::fault(http::StatusCode::from_u16(upstream).unwrap(), b"{}");
        assert_eq!(OpenAi.refused(&fault).status.as_u16(), expected, "{upstream}");
        assert_eq!(Anthropic.refused(&fault).status.as_u16(), expected, "{upstream}");
    }
}

#[test]
fn a_key_that_was_switched_off_is_no_filter() {
    let fault = whole(&OpenAi, &candidate(json!([]), "PUP_LIMITED_DISABLED")).unwrap_err();
    assert_eq!(fault.kind, Kind::Overloaded, "{fault:?}");
}
