//! Opens an answer's body: whatever bytes came, the JSON value that tells of an error, if there is one.
//!
//! Bodies are hostile until read: cut short, no JSON at all, a web page, deeper than a stack, with bytes that are no
//! text. Structure is kept as far as the body goes; where there is none, its text stays to be matched.

use std::borrow::Cow;

use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};

/// More than this is not looked at.
const ENOUGH: usize = 64 * 1024;

/// Brackets of a body that was cut short are closed up to this depth; `serde_json` itself stops at 128.
const DEEPEST: usize = 64;

/// An opened body.
pub(super) struct Envelope<'a> {
    /// The body as text; bytes that are none are replaced.
    pub(super) text: Cow<'a, str>,
    /// The value that tells of the error: taken out of an array or an event, mended where it was cut short.
    pub(super) json: Option<Value>,
    /// It was an item of a list.
    pub(super) listed: bool,
    /// It was cut short.
    cut: bool,
}

impl<'a> Envelope<'a> {
    /// Opens the body of an answer whose status is that of an error.
    pub(super) fn open(body: &'a [u8]) -> Self {
        let text = String::from_utf8_lossy(&body[..body.len().min(ENOUGH)]);
        let whole = value(&text).or_else(|| in_events(&text));
        let cut = whole.is_none();
        let json = whole.or_else(|| mended(&text));
        let listed = json.as_ref().is_some_and(Value::is_array);
        let json = json.map(unwrapped);
        if json.is_none()
            && let Some(told) = lone_string(&text)
        {
            return Self { text: told.into(), json: None, listed: false, cut: false };
        }
        if let Some(code) = json.as_ref().and_then(edge_code) {
            return Self { text: format!("error code: {code}").into(), json: None, listed: false, cut: false };
        }
        Self { text, json, listed, cut }
    }

    /// The same of a limit: where the whole message is the text of another's error, as gateways pass on what they were told,
    /// that one names the limit and the time. What it says of a key is of the gateway's own, perhaps.
    pub(super) fn open_limit(body: &'a [u8]) -> Self {
        let mut envelope = Self::open(body);
        let message = envelope.error().and_then(|error| error.as_str().or_else(|| error.get("message")?.as_str()));
        let inner =
            message.filter(|message| message.trim_start().starts_with(['{', '['])).and_then(value).map(unwrapped);
        if let Some(inner) = inner.filter(|inner| told(inner).is_some_and(|error| error.get("message").is_some())) {
            envelope.json = Some(inner);
        }
        envelope
    }

    /// Of an error that was no text.
    pub(super) fn of(json: Value) -> Self {
        Self { text: Cow::Borrowed(""), json: Some(json), listed: false, cut: false }
    }

    /// Opens a body whose status was good; `None` unless it is an error all the same.
    ///
    /// An event of a stream is one when it has an error in it. A whole body is one only when it is nothing else: an
    /// operation or a batch that failed is a good answer about something bad.
    pub(super) fn open_good(body: &'a [u8], event: bool) -> Option<Self> {
        // Nearly every good answer ends here: no error object without this word.
        if memchr::memmem::find(&body[..body.len().min(ENOUGH)], b"\"error\"").is_none() && !may_be_an_outcome(body) {
            return None;
        }
        let envelope = Self::open(body);
        let json = envelope.json.as_ref()?;
        let wrapping =
            |name: &String| matches!(name.as_str(), "error" | "code" | "type" | "request_id" | "user_id" | OUTCOME);
        let bare = || {
            json.as_object().is_some_and(|members| {
                is_of_kind_error(json)
                    || is_denial(json)
                    || members.keys().all(wrapping)
                    || members.iter().all(is_beside_an_outcome)
                    || is_chat_of_nothing(members)
                    || is_response_of_nothing(members)
            })
        };
        (told(json).is_some() && (event || bare())).then_some(envelope)
    }

    /// Whether more of it was to come: JSON that is not whole, or as much as is looked at.
    pub(super) fn lacks_its_end(&self) -> bool {
        (self.cut && self.json.is_some()) || self.text.len() >= ENOUGH
    }

    /// The body's text, for where its message could not be read: what is left of the message where it was cut short.
    pub(super) fn message(&self) -> &str {
        let text: &str = &self.text;
        if !self.cut || !text.trim_start().starts_with(['{', '[']) {
            return text;
        }
        // In a string its quotes would be escaped; deeper inside it is not the error's own.
        let depth = |at: usize| {
            let count = |brackets: [char; 2]| text[..at].matches(brackets).count();
            count(['{', '[']).saturating_sub(count(['}', ']']))
        };
        let mut names =
            text.match_indices("\"message\"").filter(|(at, _)| !text[..*at].ends_with('\\') && depth(*at) <= 3);
        let value = |(at, name): (usize, &str)| {
            text[at + name.len()..].trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')
        };
        let Some(begun) = names.find_map(value) else { return text };
        let mut escaped = false;
        let is_end = |c: char| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        };
        begun.split(is_end).next().unwrap_or(begun)
    }

    /// The error object, wherever the provider keeps it; the value itself where it has none.
    pub(super) fn error(&self) -> Option<&Value> {
        self.json.as_ref().map(|json| told(json).unwrap_or(json))
    }
}

/// Where `MiniMax` keeps how it went, with a good status: `{"base_resp": {"status_code": 1008, "status_msg": "…"}}`.
const OUTCOME: &str = "base_resp";

/// No larger is an answer that holds nothing but how it went.
const LARGEST_OUTCOME: usize = 2 << 10;

/// Whether a body may be nothing but how it went.
pub(crate) fn may_be_an_outcome(body: &[u8]) -> bool {
    let holds = |word: &[u8]| memchr::memmem::find(body, word).is_some();
    body.len() <= LARGEST_OUTCOME && [&b"\"base_resp\""[..], b"\"error\"", b"\"success\""].into_iter().any(holds)
}

/// Of a response so much stands in front of what it repeats of its request, with its status.
const HEAD_OF_RESPONSE: usize = 512;

/// Whether a text that begins as an answer of `/v1/responses` says early that it failed.
pub(crate) fn may_have_failed(body: &[u8]) -> bool {
    memchr::memmem::find(&body[..body.len().min(HEAD_OF_RESPONSE)], b"\"failed\"").is_some()
}

/// Whether a member is [`OUTCOME`] itself, or what stands beside it in an answer that holds nothing.
fn is_beside_an_outcome((name, value): (&String, &Value)) -> bool {
    let heads = || matches!(name.as_str(), "id" | "trace_id" | "model" | "object" | "usage" | OUTCOME);
    is_void(value) || value.is_number() || value.is_boolean() || heads()
}

/// Whether an answer of a chat holds an error and not a word: `{"id": "gen-1", "choices": [], "error": {…}}`.
fn is_chat_of_nothing(members: &Map<String, Value>) -> bool {
    let is_chat = |kind: &Value| kind.as_str().is_some_and(|kind| kind.ends_with("completion"));
    // Of other things that failed (a batch, an operation) the answer tells as it should.
    let is_answer = members.contains_key("choices") || members.contains_key("provider");
    is_answer
        && members.iter().all(|(name, value)| match name.as_str() {
            "object" => is_chat(value),
            "choices" => value.as_array().is_some_and(|choices| choices.iter().all(is_choice_of_nothing)),
            "error" | "usage" => value.is_object() || value.is_null(),
            "id" | "model" | "provider" | "created" | "system_fingerprint" | "service_tier" | "user_id" => true,
            _ => false,
        })
}

/// Whether an answer of `/v1/responses` failed and holds not a word. Of one that went on in the background whoever asks about it
/// hears as they should.
fn is_response_of_nothing(members: &Map<String, Value>) -> bool {
    let is = |name: &str, word: &str| members.get(name).is_some_and(|value| value == word);
    let nothing = |name: &str| members.get(name).is_none_or(is_void);
    is("object", "response") && is("status", "failed") && nothing("output") && nothing("background")
}

/// Whether a choice says nothing but how it failed.
fn is_choice_of_nothing(choice: &Value) -> bool {
    if choice.get("error").is_none_or(is_void) {
        return false;
    }
    let is_empty = |name: &str| {
        let said = choice.get(name);
        let parts = ["content", "tool_calls", "audio"].into_iter().filter_map(|part| said?.get(part));
        parts.into_iter().all(is_void)
    };
    ["message", "delta"].into_iter().all(is_empty) && choice.get("text").is_none_or(is_void)
}

/// Whether there is nothing in a value, nor in what it holds.
fn is_void(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.values().all(is_void),
    }
}

/// The error object of a value: `error`, `response.error` (a failed event; over sockets its `status_details` have it), that of a choice,
/// an event of type `error` itself, what went wrong by [`OUTCOME`], or a [denial](is_denial).
fn told(json: &Value) -> Option<&Value> {
    // Some have it in every answer, with nothing in it.
    let present = |value: &&Value| !is_void(value);
    json.get("error")
        .filter(present)
        .or_else(|| json.get("response")?.get("error").filter(present))
        .or_else(|| json.get("response")?.get("status_details")?.get("error").filter(present))
        .or_else(|| json.get("choices")?.get(0)?.get("error").filter(present))
        .or_else(|| (json.get("type")?.as_str()? == "error").then_some(json))
        .or_else(|| is_of_kind_error(json).then_some(json))
        .or_else(|| json.get(OUTCOME).filter(|outcome| outcome.get("status_code").is_some_and(|code| *code != 0)))
        .or_else(|| is_denial(json).then_some(json))
}

/// Whether a value is nothing but a refusal, as Zhipu's front has them with a good status: `{"code": 401, "msg": "token expired or
/// incorrect", "success": false}`.
fn is_denial(json: &Value) -> bool {
    let Some(members) = json.as_object() else { return false };
    json.get("success").is_some_and(|success| *success == false)
        && json.get("code").is_some_and(|code| code.as_u64().is_some_and(|code| (400..600).contains(&code)))
        && members.iter().all(|(name, value)| matches!(name.as_str(), "success" | "code" | "msg") || is_void(value))
}

/// Whether a value calls itself an error as others call themselves a list or a completion: vLLM's.
fn is_of_kind_error(json: &Value) -> bool {
    json.get("object").is_some_and(|kind| kind == "error") && json.get("message").is_some_and(Value::is_string)
}

/// Of an error of the network in front (Cloudflare's, as it writes them to whoever takes JSON) its number: it says the same
/// without JSON as `error code: 1015`.
fn edge_code(json: &Value) -> Option<u64> {
    (json.get("cloudflare_error")? == true).then(|| json.get("error_code")?.as_u64()).flatten()
}

/// Whether the body is a web page, by its type or its beginning. What begins as XML is one where it goes on as one alone: storage and
/// older APIs tell their errors so, under whatever type.
pub(super) fn is_page(headers: &HeaderMap, body: &[u8]) -> bool {
    let body = &body[..body.len().min(ENOUGH)];
    if body.trim_ascii_start().starts_with(b"<?xml") {
        let body = body.to_ascii_lowercase();
        return [&b"<html"[..], b"<!doctype html"].into_iter().any(|tag| memchr::memmem::find(&body, tag).is_some());
    }
    let html = headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    html || body.trim_ascii_start().starts_with(b"<")
}

/// Whether a text is no more than what a status is called (`Too Many Requests`): so do many frameworks (Nest, Fastify, Spring) head an
/// error whose sentence stands beside.
pub(super) fn is_reason(text: &str, status: u16) -> bool {
    let reason = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    reason.is_some_and(|reason| reason.eq_ignore_ascii_case(text.trim()))
}

/// The first JSON value of a text, whatever follows it.
fn value(text: &str) -> Option<Value> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let text = text.strip_prefix(")]}'").unwrap_or(text);
    let first = |text: &str| serde_json::Deserializer::from_str(text).into_iter::<Value>().next();
    let value = first(text)?.ok().or_else(|| first(&without_endless(text)?)?.ok())?;
    matches!(value, Value::Object(_) | Value::Array(_)).then_some(value)
}

/// The text of a body that is nothing but one string of JSON: what it says is the message, and quotes nobody.
fn lone_string(text: &str) -> Option<String> {
    let text = text.trim();
    text.starts_with('"').then(|| serde_json::from_str(text).ok()).flatten()
}

/// The same with a 0 where numbers stand that no value can hold (`1e999`), if any do: nothing is judged by such a number, and
/// all else counts.
fn without_endless(text: &str) -> Option<String> {
    let (mut out, mut copied) = (String::new(), 0);
    let (mut quoted, mut escaped, mut begun) = (false, false, None::<usize>);
    for (at, byte) in text.bytes().enumerate() {
        let is_of_one = !quoted && (byte.is_ascii_digit() || b"+-.eE".contains(&byte));
        if is_of_one {
            // No number begins with a letter.
            begun = begun.or((byte.is_ascii_digit() || byte == b'-').then_some(at));
        } else if let Some(from) = begun.take()
            && text[from..at].parse::<f64>().is_ok_and(f64::is_infinite)
        {
            out.push_str(&text[copied..from]);
            out.push('0');
            copied = at;
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
    }
    (copied > 0).then(|| out + &text[copied..])
}

/// The error among server-sent events, or in a raw object behind them (Gemini ends broken streams so).
fn in_events(text: &str) -> Option<Value> {
    let (mut data, mut at) = (String::new(), 0);
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end();
        if let Some(more) = bare.strip_prefix("data:") {
            data.push_str(more);
        } else if bare.is_empty() {
            if let Some(found) = erring(&data) {
                return Some(found);
            }
            data.clear();
        } else if bare.starts_with('{') {
            return erring(&text[at..]);
        }
        at += line.len();
    }
    erring(&data)
}

fn erring(text: &str) -> Option<Value> {
    text.contains("\"error\"").then(|| value(text)).flatten().filter(|json| told(json).is_some())
}

/// Takes the error out of an array: the first object that has one, else the first object.
pub(super) fn unwrapped(json: Value) -> Value {
    match json {
        Value::Array(mut items) => {
            let at = items.iter().position(|item| told(item).is_some()).unwrap_or(0);
            if items.is_empty() { Value::Null } else { items.swap_remove(at) }
        }
        other => other,
    }
}

/// A value that was cut short, closed behind its last whole member.
fn mended(text: &str) -> Option<Value> {
    let text = text.trim_start();
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let mut open = Vec::new();
    // Where it may be cut: how far the text is kept, and how many brackets are open there.
    let mut cut = (0, 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => {
                if open.len() == DEEPEST {
                    return None;
                }
                open.push(if byte == b'{' { '}' } else { ']' });
                cut = (at + 1, open.len());
            }
            b'}' | b']' => {
                open.pop();
                cut = (at + 1, open.len());
            }
            b',' => cut = (at, open.len()),
            _ => {}
        }
    }
    let mut whole = String::with_capacity(cut.0 + cut.1);
    whole.push_str(&text[..cut.0]);
    whole.extend(open[..cut.1.min(open.len())].iter().rev());
    value(&whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> Option<String> {
        let envelope = Envelope::open(body.as_bytes());
        Some(envelope.error()?.get("message")?.as_str()?.to_owned())
    }

    #[test]
    fn opens_what_providers_wrap() {
        for body in [
            r#"{"error":{"message":"m"}}"#,
            r#" [{"error":{"message":"m"}}]"#,
            r#"[{"candidates":[]},{"error":{"message":"m"}}]"#,
            "\u{feff}{\"error\":{\"message\":\"m\"}} trailing",
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":\"m\"}}\n\n",
            "data: {\"a\":1}\r\n\r\n{\n \"error\": {\"message\": \"m\"}\n}\n",
            "data: {\"type\":\"response.failed\",\"response\":{\"error\":{\"message\":\"m\"}}}\n\n",
            r#"{"type":"error","message":"m"}"#,
            r#"{"error":{"message":"m","details":[{"reason":"X"},{"rea"#,
            r#"{"error":{"message":"m","details":[{"reason":"#,
        ] {
            assert_eq!(message(body).as_deref(), Some("m"), "{body}");
        }
    }

    #[test]
    fn a_cut_body_keeps_its_whole_members() {
        let whole = r#"{"error":{"code":429,"details":[{"reason":"A","metadata":{"x":"y, }"}},{"retryDelay":"5s"}]}}"#;
        for end in 0..whole.len() {
            // Whatever the cut, there is no panic, and what is there is true.
            let envelope = Envelope::open(&whole.as_bytes()[..end]);
            if let Some(code) = envelope.error().and_then(|error| error.get("code")) {
                assert_eq!(code, 429);
            }
        }
        let cut = Envelope::open(&whole.as_bytes()[..whole.len() - 3]);
        assert_eq!(cut.error().unwrap()["details"][0]["reason"], "A");
    }

    #[test]
    fn a_message_is_read_as_far_as_it_came() {
        let said = |body: &str| Envelope::open(body.as_bytes()).message().to_owned();
        assert_eq!(said(r#"{"error": {"code": 429, "message": "Out of \"it"#), r#"Out of \"it"#);
        assert_eq!(said(r#"[{"error": {"message" : "Out.", "details": [{"a"#), "Out.");
        assert_eq!(said("Out."), "Out.");
        // What a caller sent is not the error's own message, and a body that is whole has its members.
        for body in [
            r#"{"detail":[{"loc":[1],"input":{"message":"Out."}}]}"#,
            r#"{"detail":[{"loc":[1],"input":{"message":"Out."}}"#,
            r#"{"error":{"status":"say \"message\": \"Out.\"","#,
        ] {
            assert_eq!(said(body), body);
        }
    }

    #[test]
    fn depth_and_nonsense_open_to_nothing() {
        for body in ["[".repeat(100_000), "{\"a\":".repeat(50_000), String::new(), "null".into(), "\"text\"".into()] {
            assert!(Envelope::open(body.as_bytes()).json.is_none_or(|json| json.is_null()));
        }
        assert!(Envelope::open(b"\xff\xfe{\"error\":1}").text.contains("error"));
    }

    #[test]
    fn a_good_body_is_no_error_unless_it_says_so() {
        let is_error = |body: &str, event| Envelope::open_good(body.as_bytes(), event).is_some();
        for event in [false, true] {
            assert!(!is_error(r#"{"candidates":[{"content":"the \"error\" word"}],"error":null}"#, event));
            assert!(!is_error(r#"{"text":"say \"error\" twice"}"#, event));
            assert!(is_error(r#"{"error":{"code":503}}"#, event));
            assert!(is_error(r#"[{"error":{"code":503}}]"#, event));
            assert!(is_error(r#" { "base_resp":{"status_code":1004,"status_msg":"login fail"}}"#, event));
            assert!(!is_error(r#"{"base_resp":{"status_code":0,"status_msg":""},"choices":[]}"#, event));
        }
        let operation = r#"{"name":"operations/1","done":true,"error":{"code":3,"message":"m"}}"#;
        assert!(!is_error(operation, false));
        assert!(is_error(r#"{"id":"gen","choices":[],"error":{"code":502}}"#, true));
    }
}
