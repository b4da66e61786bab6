//! What the typed client makes of answers and errors, by the words that providers find for them.

use std::{
    sync::{Arc, Mutex, atomic::Ordering::SeqCst},
    time::Duration,
};

use gemini_sim::{Fault, GeminiSim, Refusal, Rule};
use keypool_client::{
    ErrorKind,
    api::{GenerateContentResponse, UsageMetadata},
};
use serde_json::{Value, json, value::RawValue};
use tower_keypool::Models;

use crate::{
    provider::{self, Says},
    stage,
};

/// An error that came with a good status is one, in whichever form it is told, and whole answers hold what else they like.
#[tokio::test(start_paused = true)]
async fn nothing_but_an_error_is_no_answer() {
    let error = json!({ "error": { "code": 503, "message": "Busy.", "status": "UNAVAILABLE" } });
    for body in [error.clone(), json!([error.clone()])] {
        let pool = provider::pool(provider::keys(1)).build().unwrap();
        let said = body.clone();
        let (client, _) = provider::shown(&pool, move |_, _, _, _| Says::Answer(200, said.clone()));
        let whole = client.generate("x").request_id("req_1").await.unwrap_err();
        let streamed = match client.generate("x").request_id("req_1").stream().await {
            Ok(mut stream) => stream.next().await.unwrap().unwrap_err(),
            Err(error) => error,
        };
        let counted = client.generate("x").request_id("req_1").count_tokens().await.unwrap_err();
        for error in [whole, streamed, counted] {
            let ErrorKind::Refused { status, code, message, .. } = error.kind() else { panic!("{body}: {error}") };
            assert_eq!((status.as_u16(), code.as_deref(), &**message), (503, Some("UNAVAILABLE"), "Busy."), "{body}");
            assert!(error.request_id() == Some("req_1") && error.key_id().is_some(), "{error}");
        }
    }
    let said = json!({ "candidates": [{ "content": { "parts": [{ "text": "\"error\"" }] } }], "error": null });
    let pool = provider::pool(provider::keys(1)).build().unwrap();
    let (client, _) = provider::shown(&pool, move |_, _, _, _| Says::Answer(200, said.clone()));
    assert_eq!(client.generate("x").await.unwrap().text(), "\"error\"");
}

/// The last true answer comes up where no key is left, and says so as well as the pool does.
#[tokio::test(start_paused = true)]
async fn a_limit_that_the_provider_told_says_when_to_come_back() {
    let pool = provider::pool(provider::keys(2)).wait(Duration::ZERO).build().unwrap();
    let (client, asked) =
        provider::client(&pool, Models::new(), |_, _, _| (Duration::ZERO, provider::limited("Minute", "42s")));
    let error = client.generate("x").await.unwrap_err();
    assert!(error.status().is_some_and(|status| status == 429) && asked.load(SeqCst) == 2, "{error}");
    assert!(error.is_exhausted() && error.retry_after() == Some(Duration::from_secs(42)), "{:?}", error.retry_after());
    // And so does who was not asked.
    let error = client.generate("x").await.unwrap_err();
    assert!(error.pool().is_some() && error.is_exhausted() && error.retry_after().is_some(), "{error}");

    let pool = provider::pool(provider::keys(1)).wait(Duration::ZERO).build().unwrap();
    let invalid =
        || Says::Answer(400, json!({ "error": { "code": 400, "status": "INVALID_ARGUMENT", "message": "no" } }));
    let (client, _) = provider::client(&pool, Models::new(), move |_, _, _| (Duration::ZERO, invalid()));
    let error = client.generate("x").await.unwrap_err();
    assert!(!error.is_exhausted() && error.retry_after().is_none(), "{error}");
}

/// Tokens are counted for the model that is asked, whatever its name begins with and whichever took its place.
#[tokio::test(start_paused = true)]
async fn what_is_counted_names_the_model_that_counts() {
    let named = Arc::new(Mutex::new(Vec::new()));
    let models = Models::new().for_model("first", ["second", "third"]).alias("best", ["first", "second"]);
    let client = {
        let named = Arc::clone(&named);
        let pool = provider::pool(provider::keys(1)).wait(Duration::ZERO).build().unwrap();
        let says = move |_, _, model: &str, body: &str| {
            let body: Value = serde_json::from_str(body).unwrap();
            let of_body = body["generateContentRequest"]["model"].as_str().map(str::to_owned);
            named.lock().unwrap().push((model.to_owned(), of_body));
            let limited = model == "first";
            let counted = || Says::Answer(200, json!({ "totalTokens": 3 }));
            (Duration::ZERO, if limited { provider::limited("Day", "3600s") } else { counted() })
        };
        provider::reading(&pool, models, says).0
    };
    for (asked, names) in [
        ("m", &["models/m"][..]),
        ("models/m", &["models/m"]),
        ("tunedModels/mine", &["tunedModels/mine"]),
        ("first", &["models/first", "models/second"]),
        // Known from then on.
        ("best", &["models/second"]),
    ] {
        named.lock().unwrap().clear();
        let counted = client.generate("x").model(asked).system("Be brief.").count_tokens().await;
        assert_eq!(counted.unwrap_or_else(|error| panic!("{asked}: {error}")), 3);
        let expected: Vec<_> = names.iter().map(|name| Some((*name).to_owned())).collect();
        let told = std::mem::take(&mut *named.lock().unwrap());
        let agree =
            told.iter().all(|(path, body)| body.as_ref().is_some_and(|body| body.ends_with(&format!("/{path}"))));
        assert!(agree && told.iter().map(|(_, body)| body.clone()).eq(expected), "{asked}: {told:?}");
    }
    // What no list helps is said as it was.
    let pool = provider::pool(provider::keys(1)).wait(Duration::ZERO).build().unwrap();
    let says = |_, _, _: &str| (Duration::ZERO, provider::limited("Day", "3600s"));
    let (client, _) = provider::client(&pool, Models::new().for_model("first", ["second"]), says);
    let error = client.generate("x").model("first").request_id("req_1").count_tokens().await.unwrap_err();
    assert!(error.status().is_some_and(|status| status == 429) && error.request_id() == Some("req_1"), "{error}");
}

/// Whatever becomes of a request, its id stands in the error and in the log.
#[tokio::test]
async fn a_requests_id_is_in_every_error_and_every_line() {
    let (log, _guard) = stage::logged();
    let (sim, client) = stage::served(GeminiSim::builder().chunks(3), 1).await;
    // What is never sent.
    for wrong in [client.generate("x").model(".."), client.generate("x").temperature(f64::NAN)] {
        let of = |what: &str| wrong.clone().request_id(format!("unmade_{what}"));
        let whole = of("whole").await.unwrap_err();
        assert_eq!(whole.request_id(), Some("unmade_whole"), "{whole}");
        let streamed = of("stream").stream().await.map(|_| ()).unwrap_err();
        assert_eq!(streamed.request_id(), Some("unmade_stream"), "{streamed}");
    }
    let counted = client.generate("x").model("..").request_id("unmade_count").count_tokens().await.unwrap_err();
    assert_eq!(counted.request_id(), Some("unmade_count"), "{counted}");
    let drained = async |id: &str| {
        let mut stream = client.generate("x").request_id(id).stream().await.unwrap();
        while let Some(piece) = stream.next().await {
            if piece.is_err() {
                break;
            }
        }
    };
    drained("good").await;
    sim.script(Rule::new(Fault::ErrorEventAfter(1, Refusal::Internal)));
    drained("broken").await;
    let refused = Rule::new(Fault::Refuse(Refusal::InvalidArgument));
    sim.clear_script();
    sim.script(refused);
    client.generate("x").request_id("refused").count_tokens().await.unwrap_err();
    for (id, what) in [
        ("unmade_whole", ": not answered"),
        ("unmade_stream", ": not answered"),
        ("unmade_count", ": not answered"),
        ("good", ": answered"),
        ("broken", ": not answered"),
        ("refused", ": not answered"),
    ] {
        assert!(log.says_of(id, what), "{id}: {what} is missing: {}", log.text());
    }
    assert!(!log.says_of("broken", ": answered") && !log.says_of("good", "not answered"), "{}", log.text());
    assert!(!log.text().contains(&stage::secret(0)), "a secret is logged");
}

/// Of several candidates the first is told, whichever a piece holds.
#[test]
fn the_first_candidate_is_the_first_by_its_index() {
    let read = |candidates: Value| -> GenerateContentResponse {
        serde_json::from_value(json!({ "candidates": candidates })).unwrap()
    };
    let said = |index: u32, text: &str| json!({ "content": { "parts": [{ "text": text }] }, "index": index });
    let pieces = [said(0, "A1 "), said(1, "B1 "), said(0, "A2"), said(1, "B2")];
    let text: String = pieces.iter().map(|piece| read(json!([piece])).text()).collect();
    assert_eq!(text, "A1 A2");
    assert_eq!(read(json!([said(1, "B"), said(0, "A")])).text(), "A");
    let unnumbered = json!({ "content": { "parts": [{ "text": "A" }] }, "finishReason": "STOP" });
    let both = read(json!([unnumbered, said(1, "B")]));
    assert_eq!((&*both.text(), both.finish_reason()), ("A", Some("STOP")));
    let second = json!({ "content": { "parts": [] }, "finishReason": "SAFETY", "index": 1 });
    assert_eq!(read(json!([second])).finish_reason(), None);
}

/// What a provider leaves out or empty makes nothing of the rest unreadable, and what was read is written again.
#[test]
fn what_is_left_open_makes_no_answer_unreadable() {
    for (part, text) in [
        (json!({ "content": { "parts": null, "role": "model" }, "finishReason": "STOP" }), ""),
        (json!({ "content": { "role": "model" }, "finishReason": "MAX_TOKENS" }), ""),
        (json!({ "content": { "parts": [{ "functionCall": { "args": { "a": 1 } } }, { "text": "t" }] } }), "t"),
        (json!({ "content": { "parts": [{ "functionCall": { "name": null } }, { "text": "t" }] } }), "t"),
        (json!({ "content": { "parts": [{ "inlineData": { "data": "AAAA" } }, { "text": "t" }] } }), "t"),
        (json!({ "content": { "parts": [{ "fileData": { "mimeType": "a/b" } }, { "text": "t" }] } }), "t"),
    ] {
        let answer = json!({ "candidates": [part], "promptFeedback": null });
        let read = serde_json::from_value::<GenerateContentResponse>(answer.clone());
        assert_eq!(read.unwrap_or_else(|error| panic!("{answer}: {error}")).text(), text);
    }
    let none: GenerateContentResponse = serde_json::from_value(json!({ "candidates": null })).unwrap();
    assert!(none.candidates.is_empty());
}

/// A number of more digits than a value has is there for whoever asks for it.
#[tokio::test(start_paused = true)]
async fn every_digit_of_a_number_is_to_be_had() {
    #[derive(serde::Deserialize)]
    struct Told {
        id: u128,
        share: Box<RawValue>,
    }
    let text = r#"So: {"id": 123456789012345678901234567890, "of": 1e400, "share": 0.10000000000000000555}"#;
    let answer = json!({ "candidates": [{ "content": { "parts": [{ "text": text }] }, "finishReason": "STOP" }] });
    let pool = provider::pool(provider::keys(1)).build().unwrap();
    let (client, _) = provider::shown(&pool, move |_, _, _, _| Says::Answer(200, answer.clone()));
    let answer = client.generate("x").await.unwrap();
    let told: Told = answer.json().unwrap();
    assert_eq!((told.id, told.share.get()), (123_456_789_012_345_678_901_234_567_890, "0.10000000000000000555"));
    let raw: Box<RawValue> = answer.json().unwrap();
    assert!(raw.get().contains("123456789012345678901234567890") && raw.get().contains("1e400"), "{raw}");
    // As large as there are any.
    assert_eq!(answer.json_value().unwrap()["of"].as_f64(), Some(1e308));
    assert!(answer.json::<std::collections::BTreeMap<String, f64>>().is_ok());
}

/// What a tool put into the prompt is paid for as well.
#[test]
fn what_tools_say_counts_as_input() {
    let usage = json!({ "promptTokenCount": 4, "toolUsePromptTokenCount": 30, "candidatesTokenCount": 5 });
    let usage: UsageMetadata = serde_json::from_value(usage).unwrap();
    assert_eq!((usage.input(), usage.output()), (34, 5));
}
