//! The simulator's responses are equal to real ones, which are kept in `samples/`.

use gemini_sim::{Canned, Fault, Finish, GeminiSim, Key, Limits, Model, Project, Refusal, Rule, Tier};
use http::StatusCode;
use serde_json::Value;

use crate::client::{Answer, MODEL, body, generate, post, prompt, send};

const KEY: &str = "AIzaSyFAKE-FAKE-FAKE-FAKE-FAKE-FAKE-000";

pub(crate) fn sample(name: &str) -> Value {
    let path = format!("{}/samples/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect(&path);
    serde_json::from_str(&text).expect("a sample")
}

fn builder(project: Project) -> gemini_sim::Builder {
    GeminiSim::builder().project(project).wall("2026-11-20T12:00:00Z".parse().unwrap())
}

fn project() -> Project {
    Project::new("projects/123456789012")
}

async fn generate_with_model(sim: &GeminiSim, model: &str) -> Answer {
    let request = generate(model).header("x-goog-api-key", KEY);
    send(sim, request.body(body(&prompt("hello"))).unwrap()).await
}

#[tokio::test]
async fn refusals_equal_their_samples() {
    let table = [
        (Refusal::ApiKeyInvalid, "gemini_400_api_key_invalid"),
        (Refusal::ApiKeyNotFound, "gemini_400_api_key_not_found"),
        (Refusal::ApiKeyExpired, "gemini_400_api_key_expired"),
        (Refusal::InvalidArgument, "gemini_400_invalid_argument_generic"),
        (Refusal::LocationUnsupported, "gemini_400_location_not_supported"),
        (Refusal::MultipleCredentials, "gemini_400_multiple_credentials"),
        (Refusal::TooManyTokens, "gemini_400_request_too_many_tokens"),
        (Refusal::AccessTokenUnsupported, "gemini_401_access_token_type_unsupported"),
        (Refusal::ApiKeysUnsupported, "gemini_401_unauthenticated_api_keys_not_supported"),
        (Refusal::BadCredentials, "gemini_401_unauthenticated_bad_credentials"),
        (Refusal::PrepayDepletedPaymentRequired, "gemini_402_prepay_depleted"),
        (Refusal::ReferrerBlocked, "gemini_403_api_key_http_referrer_blocked"),
        (Refusal::IpAddressBlocked, "gemini_403_api_key_ip_address_blocked"),
        (Refusal::ServiceBlocked, "gemini_403_api_key_service_blocked"),
        (Refusal::NoPermission, "gemini_403_caller_no_permission"),
        (Refusal::ConsumerSuspended, "gemini_403_consumer_suspended"),
        (Refusal::AddressBlocked, "gemini_403_ip_banned_html"),
        (Refusal::KeyLeaked, "gemini_403_key_reported_leaked"),
        (Refusal::ServiceDisabled, "gemini_403_service_disabled"),
        (Refusal::UnregisteredCaller, "gemini_403_unregistered_callers"),
        (Refusal::ModelRetired, "gemini_404_model_retired_new_users"),
        (Refusal::Exhausted, "gemini_429_exhausted_no_details"),
        (Refusal::CapacityExhausted, "gemini_429_model_capacity_exhausted"),
        (Refusal::QuotaHelpOnly, "gemini_429_quota_help_only"),
        (Refusal::PrepayDepleted, "gemini_429_prepay_depleted"),
        (Refusal::SpendRate, "gemini_429_spend_rate_limit"),
        (Refusal::SpendingCap, "gemini_429_spending_cap"),
        (Refusal::Cancelled, "gemini_499_cancelled"),
        (Refusal::Internal, "gemini_500_internal"),
        (Refusal::BadGateway, "gemini_502_bad_gateway_html"),
        (Refusal::Overloaded, "gemini_503_overloaded"),
        (Refusal::HighDemand, "gemini_503_high_demand"),
        (Refusal::DeadlineExceeded, "gemini_504_deadline_exceeded"),
    ];
    for (refusal, name) in table {
        let sim = builder(project().key(KEY)).build();
        sim.script([Fault::Refuse(refusal.clone())]);
        let answer = generate_with_model(&sim, "gemini-2.5-flash").await;
        let sample = sample(name);
        assert_eq!(answer.status, refusal.status(), "{name}");
        assert_eq!(sample["status"], answer.status.as_u16(), "{name}");
        assert_eq!(sample["headers"]["content-type"], answer.headers["content-type"].to_str().unwrap());
        match &sample["body"] {
            Value::String(page) => assert_eq!(answer.text(), page, "{name}"),
            json => assert_eq!(&answer.json(), json, "{name}"),
        }
    }
}

/// Returns a 429 without its delays, which depend on the time.
fn timeless(value: &Value) -> Value {
    let mut value = value.clone();
    let error = &mut value["error"];
    let message = error["message"].as_str().unwrap();
    let message = message.replace("ai.dev/usage?tab=rate-limit", "ai.dev/rate-limit");
    let (before, delay) = message.split_once("Please retry in ").unwrap();
    assert!(delay.ends_with("s."), "{delay}");
    error["message"] = before.into();
    let delay = error["details"][2]["retryDelay"].take();
    assert!(delay.as_str().unwrap().ends_with('s'));
    value
}

#[tokio::test(start_paused = true)]
async fn exceeded_quotas_are_named_as_in_the_samples() {
    let none = Limits::none();
    let table = [
        (Tier::Free, none.rpm(15), "gemini-2.5-flash-lite", "gemini_429_rpm_free"),
        (Tier::Free, none.rpd(20), "gemini-2.5-flash-lite", "gemini_429_rpd_free"),
        (Tier::Free, none.tpm(250_000), "gemini-2.5-flash", "gemini_429_tpm_free"),
        (Tier::Free, none.tpd(1_000_000), "gemini-2.5-pro", "gemini_429_tpd_free"),
        (Tier::Tier1, none.tpm(1_000_000), "gemini-3.1-pro", "gemini_429_tpm_paid_tier1"),
    ];
    for (tier, limits, model, name) in table {
        let sim = builder(project().tier(tier).limits(limits).key(KEY)).build();
        let long = "x".repeat(4 * 50_000);
        let answer = loop {
            let request = generate(model).header("x-goog-api-key", KEY);
            let answer = send(&sim, request.body(body(&prompt(&long))).unwrap()).await;
            if answer.status != StatusCode::OK {
                break answer;
            }
        };
        let sample = sample(name);
        assert_eq!(answer.status, StatusCode::TOO_MANY_REQUESTS, "{name}: {}", answer.text());
        assert_eq!(timeless(&answer.json()), timeless(&sample["body"]), "{name}");
    }
}

#[tokio::test]
async fn embeddings_have_their_own_quota_name() {
    let sim = builder(project().limits(Limits::none().rpm(100)).key(KEY)).build();
    let item = serde_json::json!({
        "model": "models/gemini-embedding-001",
        "content": { "parts": [{ "text": "x" }] },
    });
    let batch = serde_json::json!({ "requests": vec![item; 100] });
    let ask = || {
        let path = "/v1beta/models/gemini-embedding-001:batchEmbedContents";
        let request = post(path).header("x-goog-api-key", KEY);
        send(&sim, request.body(body(&batch)).unwrap())
    };
    assert_eq!(ask().await.status, StatusCode::OK);
    let refused = ask().await.json();
    assert_eq!(timeless(&refused), timeless(&sample("gemini_429_embed_rpm_free")["body"]));
    assert_eq!(sim.report().total.charged, 100, "each item is charged as a request");
}

#[tokio::test]
async fn limit_of_zero_is_named_without_a_value() {
    let sim = builder(project().limit("gemini-3.1-pro", Limits::zero()).key(KEY)).build();
    // The preview is counted against the base model, which is the one named in the error.
    let answer = generate_with_model(&sim, "gemini-3.1-pro-preview-customtools").await.json();
    let quotas = |value: &Value| {
        let message = value["error"]["message"].as_str().unwrap();
        let mut named: Vec<_> = message.lines().skip(1).take(4).map(str::to_owned).collect();
        named.sort();
        let violations = value["error"]["details"][1]["violations"].clone();
        (named, violations, value["error"]["details"][2].clone())
    };
    let sample = &sample("gemini_429_free_tier_limit_zero")["body"];
    assert_eq!(quotas(&answer), quotas(sample));
    // On a paid tier, no quota of the free tier is named.
    let paid = project().tier(Tier::Tier1).limit(MODEL, Limits::zero()).key(KEY);
    let answer = generate_with_model(&builder(paid).build(), MODEL).await;
    assert!(answer.message().contains("limit: 0") && !answer.text().contains("free_tier"), "{}", answer.text());
    assert!(answer.text().contains("\"GenerateRequestsPerDayPerProjectPerModel\""), "{}", answer.text());
}

#[tokio::test]
async fn unknown_models_files_and_fields_are_refused_as_in_the_samples() {
    let sim = builder(project().key(KEY)).build();
    let answer = generate_with_model(&sim, "gemini-1.0-pro").await;
    assert_eq!(answer.json(), sample("gemini_404_model_not_found")["body"]);

    let mut request = prompt("x");
    request["contents"][0]["parts"] = serde_json::json!([
        { "fileData": { "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc123fake" } },
    ]);
    let ask = generate("gemini-2.5-flash").header("x-goog-api-key", KEY);
    let answer = send(&sim, ask.body(body(&request)).unwrap()).await;
    assert_eq!(answer.json(), sample("gemini_403_file_other_project")["body"]);

    let request = serde_json::json!({ "contents": [{ "parts": { "role": "user" } }] });
    let ask = generate("gemini-2.5-flash").header("x-goog-api-key", KEY);
    let answer = send(&sim, ask.body(body(&request)).unwrap()).await;
    assert_eq!(answer.json(), sample("gemini_400_invalid_json_field")["body"]);

    let chat = serde_json::json!({ "model": "gemini-2.5-flash", "messages": [], "google": {} });
    let ask = post("/v1beta/openai/chat/completions").header("authorization", format!("Bearer {KEY}"));
    let answer = send(&sim, ask.body(body(&chat)).unwrap()).await;
    assert_eq!(answer.json(), sample("geminiopenai_400_unknown_field_array")["body"]);
}

#[tokio::test]
async fn error_in_the_list_form_is_a_list() {
    let sim = builder(project().key(KEY)).build();
    sim.script([Fault::Refuse(Refusal::Exhausted)]);
    let ask = post("/v1beta/models/gemini-2.5-flash:streamGenerateContent");
    let ask = ask.header("x-goog-api-key", KEY);
    let answer = send(&sim, ask.body(body(&prompt("x"))).unwrap()).await;
    assert_eq!(answer.json(), sample("gemini_429_stream_array_error")["body"]);
}

#[tokio::test]
async fn finish_reasons_are_as_in_the_samples() {
    let table = [
        (Finish::Reason("BLOCKLIST".into()), "gemini_200_finish_blocklist"),
        (Finish::Reason("SAFETY".into()), "gemini_200_finish_safety"),
        (Finish::Reason("RECITATION".into()), "gemini_200_finish_recitation"),
        (Finish::OnlyThoughts, "gemini_200_finish_max_tokens_thinking"),
        (Finish::PromptBlocked("PROHIBITED_CONTENT".into()), "gemini_200_prompt_blocked"),
    ];
    for (finish, name) in table {
        let sim = builder(project().key(KEY)).build();
        sim.script([Fault::Finish(finish)]);
        let answer = generate_with_model(&sim, "gemini-2.5-flash").await;
        let (answer, sample) = (answer.json(), &sample(name)["body"]);
        let outcome = |value: &Value| {
            let candidate = &value["candidates"][0];
            let usage = &value["usageMetadata"];
            (
                candidate["finishReason"].clone(),
                candidate.get("content").cloned(),
                value["promptFeedback"].clone(),
                usage.get("thoughtsTokenCount").cloned(),
            )
        };
        assert_eq!(outcome(&answer), outcome(sample), "{name}");
    }
}

/// Returns the structure of a value: its field names and the types of its values.
fn outline(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| *name != "thoughtSignature")
            .map(|(name, value)| (name.clone(), outline(value)))
            .collect(),
        Value::Array(items) => items.first().map(outline).into_iter().collect(),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        other => other.clone(),
    }
}

#[tokio::test]
async fn successful_responses_have_the_structure_of_the_samples() {
    let sim = builder(project().key(KEY)).build();
    let answer = generate_with_model(&sim, "gemini-3.8-flash").await;
    let ok = sample("gemini_200_ok");
    assert_eq!(outline(&answer.json()), outline(&ok["body"]));
    for name in ["vary", "server", "x-xss-protection", "x-frame-options", "x-content-type-options"] {
        assert_eq!(ok["headers"][name], answer.headers[name].to_str().unwrap());
    }

    let ask = |path: &str| {
        let request = post(path).header("x-goog-api-key", KEY);
        send(&sim, request.body(body(&prompt("x"))).unwrap())
    };
    let events = ask("/v1/models/gemini-3.8-flash:streamGenerateContent?alt=sse").await;
    assert_eq!(events.headers["content-type"], "text/event-stream");
    let sampled = sample("gemini_200_stream_sse_max_tokens");
    let first = |text: &str| -> Value {
        let line = text.split("\r\n\r\n").next().unwrap().split("\n\n").next().unwrap();
        serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap()
    };
    assert_eq!(outline(&first(events.text())), outline(&first(sampled["body"].as_str().unwrap())));
    let last = events.text().trim_end().rsplit("\r\n\r\n").next().unwrap();
    let last: Value = serde_json::from_str(&last[6..]).unwrap();
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");

    let list = ask("/v1/models/gemini-3.8-flash:streamGenerateContent").await;
    assert!(list.text().contains("}\n,\r\n{"), "{}", list.text());
    assert_eq!(list.json().as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn any_sample_can_be_canned() {
    // The sample with several quotas without values, returned unchanged.
    let sample = sample("gemini_429_multi_violation_2_0_flash");
    let sim = builder(project().key(Key::new(KEY)))
        .model(Model::generative("gemini-2.0-flash"))
        .script([Rule::new(Fault::Canned(Canned::new(429).json(&sample["body"]))).times(1)])
        .build();
    assert_eq!(generate_with_model(&sim, "gemini-2.0-flash").await.json(), sample["body"]);
    assert_eq!(generate_with_model(&sim, "gemini-2.0-flash").await.status, StatusCode::OK);
}

#[tokio::test]
async fn broken_stream_ends_as_in_the_sample() {
    let sample = sample("gemini_200_midstream_raw_json_tail");
    let tail = |text: &str| -> Value {
        let at = text.find("\n{\n").expect("a bare object");
        serde_json::from_str(&text[at..]).unwrap()
    };
    let sim = builder(project().key(KEY)).build();
    sim.script([Fault::RawErrorAfter(1, Refusal::HighDemand)]);
    let ask = post("/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
    let ask = ask.header("x-goog-api-key", KEY);
    let answer = send(&sim, ask.body(body(&prompt("x"))).unwrap()).await;
    assert_eq!(tail(answer.text()), tail(sample["body"].as_str().unwrap()));
    assert_eq!(answer.headers["content-type"], sample["headers"]["content-type"].as_str().unwrap());

    // The list form has no raw tail; its chunks are compared with another sample.
    let sampled = sample_text("gemini_200_stream_json_array");
    let sampled: Value = serde_json::from_str(&sampled).unwrap();
    sim.clear_script();
    let ask = post("/v1beta/models/gemini-2.5-flash:streamGenerateContent");
    let ask = ask.header("x-goog-api-key", KEY);
    let list = send(&sim, ask.body(body(&prompt("x"))).unwrap()).await;
    assert_eq!(outline(&list.json()[0]["candidates"]), outline(&sampled[0]["candidates"]));
    // Google's generated clients (`google.api_core`, over REST) accept nothing after the list.
    assert!(list.text().ends_with("}\n]"), "{}", list.text());
}

fn sample_text(name: &str) -> String {
    sample(name)["body"].as_str().expect("a text").to_owned()
}

#[tokio::test]
async fn upload_responses_equal_the_samples() {
    let sim = builder(project().key(KEY)).build();
    let start = post("/upload/v1beta/files")
        .header("x-goog-api-key", KEY)
        .header("x-goog-upload-protocol", "resumable")
        .header("x-goog-upload-command", "start")
        .body(body(&serde_json::json!({ "file": { "displayName": "a.txt" } })));
    let started = send(&sim, start.unwrap()).await;
    let sampled = sample("geminiupload_200_start_response");
    for (name, value) in sampled["headers"].as_object().unwrap() {
        let found = started.headers[name].to_str().unwrap();
        if name == "x-goog-upload-url" {
            let base = value.as_str().unwrap().split("upload_id=").next().unwrap();
            assert!(found.starts_with(base), "{found}");
        } else {
            assert_eq!(found, value, "{name}");
        }
    }
    let url = started.headers["x-goog-upload-url"].to_str().unwrap();
    let finish = post(url)
        .header("x-goog-upload-command", "upload, finalize")
        .header("x-goog-upload-offset", 0)
        .body("hello".into());
    let finished = send(&sim, finish.unwrap()).await;
    let sampled = sample("geminiupload_200_final_response");
    assert_eq!(sampled["headers"]["x-goog-upload-status"], "final");
    assert_eq!(finished.headers["x-goog-upload-status"], "final");
    assert_eq!(outline(&finished.json()), outline(&sampled["body"]));
    // The hash is the base64 of its hex digits; the typed client of google-gemini-php requires it.
    let digits = "MmNmMjRkYmE1ZmIwYTMwZTI2ZTgzYjJhYzViOWUyOWUxYjE2MWU1YzFmYTc0MjVlNzMwNDMzNjI5MzhiOTgyNA==";
    assert_eq!(finished.json()["file"]["sha256Hash"], digits);
}

#[test]
fn every_sample_is_compared() {
    let folder = format!("{}/samples", env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let name = format!("\"{}\"", name.trim_end_matches(".json"));
        let compared = [include_str!("samples.rs"), include_str!("strict.rs")].concat();
        assert!(compared.contains(&name), "{name} is not used in any test");
    }
}
