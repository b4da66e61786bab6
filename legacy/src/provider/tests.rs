//! Whatever a caller writes, an error that echoes it is judged as if it had written anything else: every sentence of
//! every table, in every place where providers are known to echo.

use std::time::SystemTime;

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{
    Answer, Anthropic, Gemini, OpenAi, Provider, anthropic, by_status, complaint::Mark, gemini, openai, rule::Rule,
};
use crate::verdict::{Elsewhere, Until};

/// Sentences as providers write them, beside those of the tables.
const SEEN: &[&str] = &[
    "API key not valid. Please pass a valid API key.",
    "API_KEY_INVALID",
    "You exceeded your current quota, please check your plan and billing details",
    "reported as leaked",
    "has been suspended",
    "CONSUMER_SUSPENDED",
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing.",
    "prepayment credits are depleted",
    "monthly spending cap",
    "spend-based rate limit",
    "limit: 0",
    "* Quota exceeded for metric: g/generate_requests_per_model_per_day, limit: 0, model: m",
    "on requests per min (RPM): Limit 1, Used 1",
    "billing-report-q3",
    "Rate limit reached. Please try again in 20h",
    "Please retry after 86400 seconds",
    "Insufficient credits",
    "Your IP address is not authorized",
    "Incorrect API key provided: sk-x. You can find your API key at https://platform.openai.com.",
    "Error: Invalid API key",
    "{\"error\":{\"message\":\"Invalid API key\"}}",
];

fn sentences() -> Vec<String> {
    fn of(mark: &Mark, out: &mut Vec<String>) {
        match mark {
            Mark::Begins(text) | Mark::Says(text) | Mark::Whole(text) => out.push((*text).to_owned()),
            Mark::Is(word) | Mark::IsLike(word) => out.push((*word).to_owned()),
            Mark::Frames(before, after) => out.push(format!("{before}x{after}")),
            Mark::All(marks) => marks.iter().for_each(|mark| of(mark, out)),
            _ => {}
        }
    }
    let tables: [&[Rule]; 18] = [
        gemini::rules::RULES,
        gemini::money::MONEY,
        gemini::quotas::QUOTAS,
        gemini::asked::ASKED,
        gemini::left::LEFT,
        openai::rules::RULES,
        openai::accounts::ACCOUNTS,
        openai::money::MONEY,
        openai::asked::ASKED,
        openai::asked::LEFT,
        openai::limits::LIMITS,
        openai::limits::RATES,
        anthropic::credit::CREDIT,
        anthropic::rules::LEFT,
        anthropic::rules::RULES,
        by_status::EDGE,
        by_status::PAGES,
        by_status::BY_STATUS,
    ];
    let mut all: Vec<String> = SEEN.iter().map(|text| (*text).to_owned()).collect();
    tables.iter().flat_map(|table| table.iter()).for_each(|rule| rule.marks.iter().for_each(|mark| of(mark, &mut all)));
    all
}

/// As a caller may dress a sentence.
fn dressed(sentence: &str) -> [String; 8] {
    [
        sentence.to_owned(),
        format!("{}.", sentence.trim()),
        format!("x. {sentence}. y"),
        format!("{sentence}:"),
        format!("' {sentence} '"),
        format!("x`. {sentence}. `y\n{sentence}"),
        format!("Your {sentence} (x)"),
        format!("x\"\\'] {sentence}. "),
    ]
}

/// Where the caller's words are put.
const HERE: &str = "@@";

fn google(status: u16, name: &str, message: &str) -> (u16, Value) {
    (status, json!({"error": {"code": status, "message": message, "status": name}}))
}

fn openly(status: u16, code: &Value, message: &str) -> (u16, Value) {
    (status, json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": code}}))
}

fn claude(status: u16, kind: &str, message: &str) -> (u16, Value) {
    (status, json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_x"}))
}

fn of_gemini() -> Vec<(u16, Value)> {
    let file = "You do not have permission to access the File @@ or it may not exist.";
    let tuned = "You do not have permission to access tunedModels/@@ or it may not exist";
    let mut violation = google(400, "INVALID_ARGUMENT", "Invalid value at 'contents[0].role' (TYPE_ENUM), \"@@\"");
    violation.1["error"]["details"] =
        json!([{"fieldViolations": [{"field": "x", "description": "Invalid value, \"@@\""}]}]);
    vec![
        google(
            404,
            "NOT_FOUND",
            "models/@@ is not found for API version v1beta, or is not supported for generateContent.",
        ),
        google(400, "INVALID_ARGUMENT", "* GenerateContentRequest.model: unexpected model name format: @@"),
        google(400, "INVALID_ARGUMENT", "Invalid JSON payload received. Unknown name \"@@\": Cannot find field."),
        google(
            400,
            "INVALID_ARGUMENT",
            "Cannot fetch content from the provided URL. Please ensure the URL @@ is valid",
        ),
        google(400, "FAILED_PRECONDITION", "The File @@ is not in an ACTIVE state and usage is not allowed."),
        google(403, "PERMISSION_DENIED", file),
        google(403, "PERMISSION_DENIED", tuned),
        google(403, "PERMISSION_DENIED", "Permission denied on resource @@"),
        google(404, "NOT_FOUND", "Requested entity was not found. cachedContents/@@"),
        google(429, "RESOURCE_EXHAUSTED", "Resource exhausted for prompt '@@'"),
        google(500, "INTERNAL", "An internal error has occurred. @@"),
        (
            404,
            json!([{"error": {"code": 404, "message": "models/@@ is not found for API version v1main", "status": "NOT_FOUND"}}]),
        ),
        (400, json!({"error": {"code": "invalid_request", "message": "unknown field @@"}})),
        (404, json!({"error": {"code": "model_not_found", "message": "Model '@@' was not found"}})),
        violation,
    ]
}

fn of_openai() -> Vec<(u16, Value)> {
    let none = Value::Null;
    vec![
        openly(400, &json!("invalid_value"), "Invalid value: '@@'. Supported values are: 'system', 'user'."),
        openly(400, &none, "Unrecognized request argument supplied: @@"),
        openly(400, &none, "'@@' is not one of ['system', 'user'] - 'messages.0.role'"),
        openly(404, &json!("model_not_found"), "The model `@@` does not exist or you do not have access to it."),
        openly(404, &none, "Invalid URL (POST /v1/@@)"),
        openly(404, &none, "No such File object: @@"),
        openly(500, &none, "error processing @@"),
        (400, json!({"error": {"message": "@@ is not a valid model ID", "code": 400}, "user_id": "u"})),
        (
            400,
            json!({"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": "{\"error\": \"@@\"}"}}}),
        ),
        (
            403,
            json!({"error": {"message": "Your input was flagged", "code": 403, "metadata": {"flagged_input": "@@"}}}),
        ),
        (
            400,
            json!({"object": "error", "message": "[{'type': 'literal_error', 'input': '@@'}]", "type": "BadRequestError", "code": 400}),
        ),
        (
            404,
            json!({"object": "error", "message": "The model `@@` does not exist.", "type": "NotFoundError", "code": 404}),
        ),
        (
            422,
            json!({"detail": [{"type": "literal_error", "loc": ["body", "x"], "msg": "Input should be 'a'", "input": "@@"}]}),
        ),
        (400, json!({"object": "error", "message": "Invalid model: @@", "type": "invalid_model", "code": "1500"})),
        (
            400,
            json!({"code": "Client specified an invalid argument", "error": "The model @@ does not exist or your team has no access."}),
        ),
        (404, json!({"error": "model '@@' not found"})),
        (400, json!({"error": "@@: Extra inputs are not permitted"})),
    ]
}

fn of_anthropic() -> Vec<(u16, Value)> {
    vec![
        claude(404, "not_found_error", "model: @@"),
        claude(404, "not_found_error", "File not found: @@"),
        claude(400, "invalid_request_error", "messages.0.role: Input should be 'user', got '@@'"),
        claude(400, "invalid_request_error", "@@: Extra inputs are not permitted"),
        claude(400, "invalid_request_error", "tools.0.custom.name: String should match pattern; @@"),
        claude(403, "permission_error", "Your API key does not have permission to use @@"),
    ]
}

fn put(json: &Value, words: &str) -> Value {
    match json {
        Value::String(text) => Value::String(text.replace(HERE, words)),
        Value::Array(items) => items.iter().map(|item| put(item, words)).collect(),
        Value::Object(members) => members.iter().map(|(name, value)| (name.clone(), put(value, words))).collect(),
        other => other.clone(),
    }
}

fn check(provider: &dyn Provider, templates: Vec<(u16, Value)>) {
    // Each of them at each place by hand: `ECHOES=all cargo test --release --lib provider::tests`.
    check_some(provider, templates, if std::env::var_os("ECHOES").is_some() { 1 } else { 5 });
}

/// Every so manieth of the words at each place, and others at the next one.
fn check_some(provider: &dyn Provider, templates: Vec<(u16, Value)>, every: usize) {
    let sentences = sentences();
    let mut place = 0;
    let headers = HeaderMap::new();
    for (status, template) in templates {
        let judged = |words: &str, event: bool| {
            let body = put(&template, words).to_string();
            let status = StatusCode::from_u16(status).unwrap();
            let answer = Answer::new(status, &headers, body.as_bytes(), SystemTime::UNIX_EPOCH).asked(Some(words));
            provider.judge(&if event { answer.event() } else { answer })
        };
        for event in [false, true] {
            let plain = judged("zzz", event);
            // Nobody is known to echo at a limit; whoever quotes there is not doubted beyond his quotes.
            let is_told = |words: &String| status != 429 || !words.contains(['\'', '`', '"']);
            place += 1;
            let words = sentences.iter().flat_map(|sentence| dressed(sentence)).filter(is_told);
            for words in words.skip(place % every).step_by(every) {
                let is = judged(&words, event);
                let same = (is.kind(), is.scope_of(), is.until_of(), is.elsewhere_of())
                    == (plain.kind(), plain.scope_of(), plain.until_of(), plain.elsewhere_of());
                // A caller may talk itself out of an answer, never a key into a rest.
                let harmless = is.until_of() == Until::Now && is.elsewhere_of() != Elsewhere::OtherKey;
                assert!(same || harmless, "{status} {template}\nwith {words:?} is {is:?}\ninstead of {plain:?}");
                let learned = is.news_of().is_some_and(|news| !news.violations.is_empty());
                assert!(!learned, "{status} {template} with {words:?} teaches {:?}", is.news_of());
            }
        }
    }
}

#[test]
fn what_gemini_echoes() {
    check(&Gemini::new(), of_gemini());
}

#[test]
fn what_openai_and_its_likes_echo() {
    check(&OpenAi::new(), of_openai());
    // It reads the same words; what differs is told by a part of them.
    check_some(&OpenAi::azure("https://a.example").unwrap(), of_openai(), 7);
}

#[test]
fn what_anthropic_echoes() {
    check(&Anthropic::new(), of_anthropic());
}

/// A name in front of a sentence that nobody knows: only that the request named it tells whose words they are.
#[test]
fn a_models_name_is_taken_out_wherever_it_stands() {
    let template = || vec![(400, json!({"error": {"message": "@@ is just now not to be had", "code": 400}}))];
    for sentence in ["Invalid API key:", "Incorrect API key provided."] {
        let body = put(&template()[0].1, sentence).to_string();
        let headers = HeaderMap::new();
        let answer = Answer::new(StatusCode::BAD_REQUEST, &headers, body.as_bytes(), SystemTime::UNIX_EPOCH);
        assert!(OpenAi::new().judge(&answer).is_key_fault());
        assert!(OpenAi::new().judge(&answer).is_worded(), "so that the pool may doubt it");
        assert!(OpenAi::new().judge(&answer.asked(Some(sentence))).is_caller_fault());
    }
}
