//! The client: requests to each provider, the meaning of their responses, and errors.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use gemini_sim::{Fault, GeminiSim, Limits, Rule};
use http::Response;
use http_body_util::{BodyExt, Full};
use keypool_batch::{Client, ErrorKind, Finish, Prompt, PromptOptions, Usage};
use serde_json::{Value, json};
use tower_keypool::{Anthropic, BoxError, Gemini, Key, KeyPool, OpenAi, Provider};

use crate::{MODEL, paused, paused_with, pool};

/// Sent requests: address and body.
type Sent = Arc<Mutex<Vec<(String, Value)>>>;

/// Returns a client whose provider always sends this response.
fn client_with_response(provider: impl Provider, content_type: &'static str, body: String) -> (Sent, Client) {
    let sent = Sent::default();
    let log = Arc::clone(&sent);
    let service = tower::service_fn(move |request: keypool_batch::client::TransportRequest| {
        let (log, body) = (Arc::clone(&log), body.clone());
        async move {
            let (head, sent) = request.into_parts();
            let bytes = sent.collect().await.map_err(BoxError::from)?.to_bytes();
            log.lock().unwrap().push((head.uri.to_string(), serde_json::from_slice(&bytes).unwrap()));
            let answer = Response::builder().header("content-type", content_type);
            Ok::<_, BoxError>(answer.body(Full::<Bytes>::from(body))?)
        }
    });
    let pool = KeyPool::builder(provider).key(Key::new("not-a-real-key-0000001").named("k0")).build().unwrap();
    (sent, Client::builder(&pool).service(service))
}

fn chat(text: &str, finish: &str) -> String {
    json!({
        "model": "gpt-x", "usage": { "prompt_tokens": 3, "completion_tokens": 5 },
        "choices": [{ "message": { "role": "assistant", "content": text }, "finish_reason": finish }],
    })
    .to_string()
}

fn message(text: &str, stop: &str) -> String {
    json!({
        "type": "message", "model": "claude-x", "stop_reason": stop, "content": [
            { "type": "thinking", "thinking": "hm" }, { "type": "text", "text": text },
        ],
        "usage": { "input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 5 },
    })
    .to_string()
}

async fn sent_by(client: &Client, sent: &Sent, prompt: &Prompt) -> (String, Value) {
    client.send(prompt).await.unwrap();
    sent.lock().unwrap().pop().unwrap()
}

fn gemini() -> (Sent, Client) {
    let answer = json!({ "candidates": [{ "content": { "parts": [{ "text": "x" }] }, "finishReason": "STOP" }] });
    client_with_response(Gemini::new(), "application/json", answer.to_string())
}

#[tokio::test]
async fn options_reach_every_provider() {
    let schema = json!({ "type": "object" });
    let options = || PromptOptions::new().model("m").system("Be brief.").temperature(0.25).max_output_tokens(77);
    let prompt = |options| Prompt::text("hello").options(options);
    let (sent, client) = gemini();
    let (uri, body) = sent_by(&client, &sent, &prompt(options().json_schema(schema.clone()))).await;
    assert_eq!(uri, "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent");
    assert_eq!(body["contents"], json!([{ "role": "user", "parts": [{ "text": "hello" }] }]));
    assert_eq!(body["systemInstruction"], json!({ "parts": [{ "text": "Be brief." }] }));
    let config = json!({
        "temperature": 0.25, "maxOutputTokens": 77, "responseMimeType": "application/json",
        "responseJsonSchema": schema,
    });
    assert_eq!(body["generationConfig"], config);

    let (sent, client) = client_with_response(OpenAi::new(), "application/json", chat("x", "stop"));
    let (uri, body) = sent_by(&client, &sent, &prompt(options().json_schema(schema.clone()))).await;
    assert_eq!(uri, "https://api.openai.com/v1/chat/completions");
    let messages = json!([{ "role": "system", "content": "Be brief." }, { "role": "user", "content": "hello" }]);
    assert_eq!((&body["model"], &body["messages"]), (&json!("m"), &messages));
    assert_eq!((&body["max_completion_tokens"], &body["temperature"]), (&json!(77), &json!(0.25)));
    assert_eq!(body["response_format"]["json_schema"]["schema"], schema);

    let other = OpenAi::at("https://llm.example/v1").unwrap().named("other");
    let (sent, client) = client_with_response(other, "application/json", chat("x", "stop"));
    let (uri, body) = sent_by(&client, &sent, &prompt(options().json())).await;
    assert_eq!((&*uri, &body["max_tokens"]), ("https://llm.example/v1/chat/completions", &json!(77)));
    assert_eq!(body["response_format"], json!({ "type": "json_object" }));
    assert_eq!(body["messages"][0]["content"], "Be brief.\nAnswer in JSON.");
    let own = json!({ "messages": [{ "role": "system", "content": "S" }, { "role": "user", "content": "x" }] });
    let (_, body) = sent_by(&client, &sent, &Prompt::request(&own).unwrap().options(options().json())).await;
    assert_eq!(body["messages"][0]["content"], "Answer in JSON.", "OpenAI refuses `json_object` without the word");
    assert_eq!(body["messages"][1]["content"], "S");

    let (sent, client) = client_with_response(Anthropic::new(), "application/json", message("x", "end_turn"));
    let (uri, body) = sent_by(&client, &sent, &prompt(options().json_schema(schema.clone()))).await;
    assert_eq!(uri, "https://api.anthropic.com/v1/messages");
    assert_eq!((&body["max_tokens"], &body["system"]), (&json!(77), &json!("Be brief.")));
    let (_, asked) = sent_by(&client, &sent, &prompt(options().json())).await;
    assert_eq!(asked["system"], "Be brief.\nAnswer in JSON.");
    for (own, all) in [
        (json!("S"), json!("S\nAnswer in JSON.")),
        (
            json!([{ "type": "text", "text": "S" }]),
            json!([{ "type": "text", "text": "S" }, { "type": "text", "text": "Answer in JSON." }]),
        ),
    ] {
        let whole = json!({ "system": own, "messages": [{ "role": "user", "content": "x" }] });
        let (_, body) = sent_by(&client, &sent, &Prompt::request(&whole).unwrap().options(options().json())).await;
        assert_eq!(body["system"], all);
    }
    assert_eq!(body["output_config"]["format"]["schema"], schema);
    let (_, body) = sent_by(&client, &sent, &Prompt::text("hello").model("m")).await;
    assert_eq!(body["max_tokens"], 8192, "the field is required");
}

#[tokio::test]
async fn complete_request_keeps_its_own_fields() {
    let options = || PromptOptions::new().system("S").temperature(0.25).max_output_tokens(77);
    let (sent, client) = gemini();
    let whole = json!({
        "contents": [{ "parts": [{ "text": "x" }] }], "system_instruction": { "parts": [] },
        "generation_config": { "temperature": 1, "max_output_tokens": 5, "topK": 3 }, "model": "models/own",
    });
    let prompt = Prompt::request(&whole).unwrap();
    let (uri, body) = sent_by(&client, &sent, &prompt.options(options())).await;
    assert!(uri.ends_with("/v1beta/models/own:generateContent"), "{uri}");
    let mut expected = whole.clone();
    expected.as_object_mut().unwrap().remove("model");
    assert_eq!(body, expected);

    // A request with `messages` goes to Gemini's compatible path.
    let (sent, client) = client_with_response(Gemini::new(), "application/json", chat("x", "stop"));
    let messages = json!({ "messages": [{ "role": "developer", "content": "D" }, { "role": "user", "content": "x" }] });
    let (uri, body) = sent_by(&client, &sent, &Prompt::request(&messages).unwrap().options(options().model("m"))).await;
    assert_eq!(uri, "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions");
    assert_eq!((&body["messages"], &body["max_tokens"]), (&messages["messages"], &json!(77)));
    for system in [json!("own"), json!([{ "type": "text", "text": "own" }])] {
        let request = json!({ "messages": [{ "role": "user", "content": "x" }], "system": system });
        let prompt = Prompt::request(&request).unwrap().options(options().model("m"));
        let (_, body) = sent_by(&client, &sent, &prompt).await;
        let messages = json!([{ "role": "system", "content": system }, { "role": "user", "content": "x" }]);
        assert_eq!((&body["messages"], body.get("system")), (&messages, None));
    }

    let (_, client) = client_with_response(OpenAi::new(), "application/json", chat("x", "stop"));
    let error = client.send(&Prompt::request(&whole).unwrap().model("m")).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("`messages`")), (ErrorKind::Invalid, true), "{error}");
    assert!(Prompt::request(&json!({ "prompt": "x" })).is_err() && Prompt::request(&json!([])).is_err());
    let error = client.send(&Prompt::text("x")).await.unwrap_err();
    assert_eq!(error.to_string(), "no model is set");
}

#[tokio::test]
async fn finish_reason_is_known_for_every_provider() {
    let blocked = |reason: &str| Finish::Blocked(reason.to_owned());
    for (body, finish) in [
        (chat("x", "stop"), Finish::Stop),
        (chat("x", "length"), Finish::MaxTokens),
        (chat("x", "content_filter"), blocked("content_filter")),
        (chat(" ", "stop"), Finish::Empty),
        (chat("x", "insufficient_system_resource"), Finish::Other("insufficient_system_resource".to_owned())),
    ] {
        let (_, client) = client_with_response(OpenAi::new(), "application/json", body);
        let answer = client.send(&Prompt::text("x").model("m")).await.unwrap();
        assert_eq!((answer.finish, answer.usage), (finish, Some(Usage { input_tokens: 3, output_tokens: 5 })));
    }
    let refusal = json!({ "choices": [{ "message": { "refusal": "I cannot." }, "finish_reason": "stop" }] });
    let (_, client) = client_with_response(OpenAi::new(), "application/json", refusal.to_string());
    let answer = client.send(&Prompt::text("x").model("m")).await.unwrap();
    assert_eq!((&*answer.text, answer.finish), ("I cannot.", blocked("refusal")));
    assert_eq!(answer.finish_reason.as_deref(), Some("stop"));
    for (body, finish) in [
        (message("x", "end_turn"), Finish::Stop),
        (message("x", "max_tokens"), Finish::MaxTokens),
        (message("x", "refusal"), blocked("refusal")),
        (message("", "end_turn"), Finish::Empty),
    ] {
        let (_, client) = client_with_response(Anthropic::new(), "application/json", body);
        let answer = client.send(&Prompt::text("x").model("m")).await.unwrap();
        assert_eq!((answer.finish, answer.usage), (finish, Some(Usage { input_tokens: 7, output_tokens: 5 })));
        assert!(!answer.text.contains("hm"), "thoughts are not part of the text");
        assert_eq!((answer.key.unwrap().as_str(), answer.attempts.len()), ("k0", 1));
    }
}

fn events(events: &[Value]) -> String {
    events.iter().flat_map(|event| ["data: ".to_owned(), event.to_string(), "\n\n".to_owned()]).collect()
}

#[tokio::test]
async fn response_can_be_read_in_pieces() {
    let openai = events(&[
        json!({ "model": "m", "choices": [{ "delta": { "role": "assistant", "content": "" } }] }),
        json!({ "choices": [{ "delta": { "content": "one " } }] }),
        json!({ "choices": [{ "delta": { "content": "two" }, "finish_reason": "stop" }] }),
        json!({ "choices": [], "usage": { "prompt_tokens": 3, "completion_tokens": 5 } }),
    ]) + "data: [DONE]\n\n";
    let anthropic = events(&[
        json!({ "type": "message_start", "message": { "model": "m", "content": [], "usage": { "input_tokens": 3, "output_tokens": 1 } } }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
        json!({ "type": "ping" }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "one " } }),
        json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "two" } }),
        json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" }, "usage": { "output_tokens": 5 } }),
        json!({ "type": "message_stop" }),
    ]);
    let (sent, openai) = client_with_response(OpenAi::new(), "text/event-stream", openai);
    let (_, anthropic) = client_with_response(Anthropic::new(), "text/event-stream", anthropic);
    for client in [openai, anthropic] {
        let mut stream = client.stream(&Prompt::text("x").model("m")).await.unwrap();
        let mut pieces = Vec::new();
        while let Some(piece) = stream.next().await {
            pieces.push(piece.unwrap());
        }
        assert_eq!(pieces, ["one ", "two"]);
        let answer = stream.finish().unwrap();
        assert_eq!((&*answer.text, answer.finish), ("one two", Finish::Stop));
        assert_eq!(answer.usage, Some(Usage { input_tokens: 3, output_tokens: 5 }));
    }
    let (_, body) = sent.lock().unwrap().pop().unwrap();
    assert_eq!((&body["stream"], &body["stream_options"]["include_usage"]), (&json!(true), &json!(true)));
}

#[tokio::test(start_paused = true)]
async fn broken_stream_is_an_error_after_the_received_pieces() {
    for (fault, kind) in [
        (Fault::ErrorEventAfter(2, gemini_sim::Refusal::HighDemand), ErrorKind::Provider),
        (Fault::ResetAfter(400), ErrorKind::Closed),
        (Fault::StallAfter(400), ErrorKind::Timeout),
    ] {
        let (_sim, client) = paused(GeminiSim::builder().script([Rule::new(fault)]), 1);
        let mut stream = client.stream(&Prompt::text("x").model(MODEL)).await.unwrap();
        let mut text = String::new();
        let error = loop {
            match stream.next().await.expect("the stream fails") {
                Ok(piece) => text.push_str(&piece),
                Err(error) => break error,
            }
        };
        assert_eq!((error.kind(), text.is_empty()), (kind, false), "{error}");
        assert!(stream.next().await.is_none());
        assert_eq!(stream.finish().unwrap_err().kind(), ErrorKind::Closed);
    }
    let (_sim, client) = paused(GeminiSim::builder(), 1);
    let mut stream = client.stream(&Prompt::text("x").model(MODEL)).await.unwrap();
    let mut text = String::new();
    while let Some(piece) = stream.next().await {
        text.push_str(&piece.unwrap());
    }
    assert_eq!(stream.finish().unwrap().text, text);
}

#[tokio::test]
async fn connection_error_names_the_cause_and_the_address() {
    let client = Client::builder(&pool("http://127.0.0.1:9", 1).build().unwrap()).max_provider_faults(1).build();
    let error = client.send(&Prompt::text("x").model(MODEL)).await.unwrap_err();
    assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::Connect, "connection refused at 127.0.0.1:9"));
    assert_eq!(error.key().map(tower_keypool::KeyId::as_str), Some("k0"));
    // The system refuses to connect to this address, and asks nobody.
    let client = Client::builder(&pool("http://255.255.255.255", 1).build().unwrap()).max_provider_faults(1).build();
    let error = client.send(&Prompt::text("x").model(MODEL)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Connect, "{error}");
    assert!(error.to_string().ends_with("at 255.255.255.255:80"), "{error}");
    // A caller's client may wrap the cause, as the gateway's does.
    let service = tower::service_fn(async |_: keypool_batch::client::TransportRequest| {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        Err::<Response<Full<Bytes>>, BoxError>(std::io::Error::new(std::io::ErrorKind::HostUnreachable, refused).into())
    });
    let pool = pool("http://127.0.0.1:9", 1).build().unwrap();
    let client = Client::builder(&pool).max_provider_faults(1).service(service);
    let error = client.send(&Prompt::text("x").model(MODEL)).await.unwrap_err();
    assert_eq!((error.kind(), &*error.to_string()), (ErrorKind::Connect, "connection refused at 127.0.0.1:9"));
}

#[tokio::test]
async fn response_of_another_server_names_the_address() {
    let page = "<html>Welcome</html>";
    for (status, body) in [(404, ""), (307, ""), (200, page), (404, page), (405, page), (501, page)] {
        let service = tower::service_fn(move |_: keypool_batch::client::TransportRequest| async move {
            let answer = Response::builder().status(status).header("content-type", "text/html");
            Ok::<_, BoxError>(answer.body(Full::<Bytes>::from(body))?)
        });
        let client = Client::builder(&pool("http://web.example", 1).build().unwrap()).service(service);
        let prompt = Prompt::text("x").model(MODEL);
        let sent = client.send(&prompt).await.unwrap_err();
        let streamed = match client.stream(&prompt).await {
            Ok(mut stream) => {
                assert!(stream.next().await.is_none());
                stream.finish().unwrap_err()
            }
            Err(error) => error,
        };
        for error in [sent, streamed] {
            assert_eq!(error.kind(), ErrorKind::Unreadable, "{error}");
            let text = error.to_string();
            assert!(text.contains("from http://web.example") && text.contains("the provider's address?"), "{text}");
        }
    }
}

#[tokio::test]
async fn response_that_was_compressed_without_request_is_named() {
    let service = tower::service_fn(async |_: keypool_batch::client::TransportRequest| {
        let answer = Response::builder().header("content-type", "application/json").header("content-encoding", "gzip");
        Ok::<_, BoxError>(answer.body(Full::<Bytes>::from(&b"\x1f\x8b\x08\0"[..]))?)
    });
    let client = Client::builder(&pool("http://web.example", 1).build().unwrap()).service(service);
    let prompt = Prompt::text("x").model(MODEL);
    for error in [client.send(&prompt).await.unwrap_err(), client.stream(&prompt).await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Unreadable);
        let expected = "the response from http://web.example is compressed (gzip) without being requested";
        assert_eq!(error.to_string(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn unavailable_error_carries_retry_after() {
    let limits = tower_keypool::Limits::new().per_minute(1);
    let (_sim, client) = paused_with(GeminiSim::builder(), 1, Limits::none(), |pool| pool.limits(MODEL, limits));
    let prompt = Prompt::text("x").model(MODEL);
    client.send(&prompt).await.unwrap();
    let error = client.send(&prompt).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!((58..=61).contains(&error.retry_after().unwrap().as_secs()), "{error}");
    assert!(error.as_unavailable().is_some());
}

#[tokio::test(start_paused = true)]
async fn providers_error_is_returned_without_the_key() {
    let (_sim, client) = paused(GeminiSim::builder(), 4);
    let error = client.send(&Prompt::request(&json!({ "contents": [] })).unwrap().model(MODEL)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, Some("INVALID_ARGUMENT")), "{error}");
    assert_eq!(error.status().map(|status| status.as_u16()), Some(400));
    let error = client.send(&Prompt::text("x").model("no-such-model")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ModelNotFound, "{error}");
    for text in [format!("{error}"), format!("{error:?}"), format!("{client:?}")] {
        assert!(!text.contains("not-a-real-key"), "{text}");
    }
}

#[tokio::test]
async fn requests_can_be_sent_by_the_callers_client() {
    // The request of the caller's client carries the key in its head.
    let service = tower::service_fn(|request: keypool_batch::client::TransportRequest| async move {
        assert!(request.extensions().get::<Arc<tower_keypool::Lease>>().is_some());
        let key = request.headers()["x-goog-api-key"].to_str().unwrap().to_owned();
        let answer = json!({ "candidates": [{ "content": { "parts": [{ "text": key }] }, "finishReason": "STOP" }] });
        Ok::<_, BoxError>(Response::new(Full::<Bytes>::from(answer.to_string())))
    });
    let client = Client::builder(&pool("http://somewhere.invalid", 1).build().unwrap()).service(service);
    assert_eq!(client.send(&Prompt::text("x").model(MODEL)).await.unwrap().text, crate::secret(0));
}

#[tokio::test]
async fn absurd_usage_does_not_overflow() {
    let usage = json!({ "promptTokenCount": u64::MAX, "toolUsePromptTokenCount": u64::MAX });
    let answer = json!({ "candidates": [{ "content": { "parts": [{ "text": "x" }] } }], "usageMetadata": usage });
    let (_, client) = client_with_response(Gemini::new(), "application/json", answer.to_string());
    let answer = client.send(&Prompt::text("hello").model("m")).await.unwrap();
    assert_eq!(answer.usage, Some(Usage { input_tokens: 2 << 40, output_tokens: 0 }));
}

#[tokio::test]
async fn endless_response_is_an_error() {
    let service = tower::service_fn(async |_: keypool_batch::client::TransportRequest| {
        let chunk = Bytes::from(vec![b' '; 1 << 20]);
        let frames = std::iter::repeat_with(move || Ok::<_, BoxError>(http_body::Frame::data(chunk.clone())));
        let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
        Ok::<_, BoxError>(Response::builder().header("content-type", "application/json").body(body)?)
    });
    let pool = KeyPool::builder(Gemini::new()).key(Key::new("not-a-real-key-0000001")).build().unwrap();
    let error = Client::builder(&pool).service(service).send(&Prompt::text("x").model(MODEL)).await.unwrap_err();
    assert!(error.to_string().contains("length limit"), "{error}");
}
