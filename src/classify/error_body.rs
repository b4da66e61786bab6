//! Reads the body of an error, of whichever vendor, by one list of JSON paths.

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode, header};
use memchr::memmem::Finder;
use serde_json::Value;

use super::{QuotaViolation, google_quota, retry_after};
use crate::limit::{Span, Unit};

/// What was read from an error.
#[derive(Debug, Default)]
pub(crate) struct ErrorInfo {
    /// The answer's status; in a good answer that of the error, if it names one.
    pub(super) status: Option<u16>,
    /// The provider's codes, the most specific first; then the derived codes, see [`DERIVED_CODES`].
    pub(super) codes: Vec<String>,
    /// The message for people.
    pub(super) message: Option<String>,
    /// All messages in lower case, for the rules. Parts in quotes and names of models are left out, since the caller may have
    /// written them; not for status 429.
    pub(super) text: String,
    /// The delay that headers or body name.
    pub(super) retry_after: Option<Duration>,
    /// The quotas that it names as violated.
    pub(super) quota: Vec<QuotaViolation>,
    /// The project that it names, without `projects/`.
    pub(super) project: Option<String>,
}

/// How much of a body is read.
const MOST_BYTES: usize = 64 << 10;
/// Longer sentences are cut before they are compared.
const LONGEST_TEXT: usize = 8 << 10;
/// Letters of the message that are kept.
const LONGEST_MESSAGE: usize = 300;
const LONGEST_CODE: usize = 80;
const MOST_CODES: usize = 24;

/// The body is a web page.
pub(super) const HTML: &str = "html";
/// A limit is 0: the project may not use the model.
pub(super) const LIMIT_ZERO: &str = "limit_zero";
/// A limit of a day is used up.
pub(super) const PER_DAY: &str = "per_day";
/// A quota that does not belong to the model is used up: searches, storage.
pub(super) const BESIDE_MODEL: &str = "beside_model";
/// Codes that are derived and not part of a body. Rows of the table may name them; a [`Failure`](super::Failure) never shows them.
pub(super) const DERIVED_CODES: &[&str] = &[HTML, LIMIT_ZERO, PER_DAY, BESIDE_MODEL];

/// Paths of the error in an event or in a good answer.
const ERRORS: &[&str] = &["error[]", "response.error", "response.status_details.error", "choices[].error"];
/// More paths of it in an answer with the status of an error.
const MORE_ERRORS: &[&str] = &["details.error", "detail.error", "body.error", "data.error", "fault", "base_resp"];

/// Codes of an error, the most specific first.
#[rustfmt::skip]
const CODES: &[&str] = &[
    "details[].reason", "details[].error_code", "errors[].reason", "code", "Code", "error_code", "errorCode",
    "err_code", "status", "type", "Type", "reason", "status_code", "error", "innererror.code", "metadata.error_type",
    "metadata.limit_source", "errors[].code", "detail", "detail.code", "detail.status", "detail.type", "detail.error",
    "detail.errorcode", "error_type", "error_name", "tag", "name", "__type", "error-code", "error-type",
];
/// Codes that may be siblings of the error object.
const CODES_BESIDE: &[&str] =
    &["code", "error_code", "errorCode", "status", "tag", "reason", "errors[].reason", "error_type"];

/// Sentences of an error; the first is shown to people.
#[rustfmt::skip]
const MESSAGES: &[&str] = &[
    "message", "Message", "msg", "detail", "detail.message", "detail.msg", "detail.error", "detail[].msg",
    "error_message", "error_msg", "errorMessage", "err_msg", "error_description", "error", "description", "Error",
    "Error Message", "info", "status_message", "status.error_message", "errors[]", "errors[].message",
    "errors[].detail", "errors[].details", "status_msg", "details", "message.detail[].msg", "faultstring",
    "metadata.raw", "title",
];

/// Numbers between 400 and 599 are the error's status.
const STATUSES: &[&str] = &["code", "status", "status_code", "statusCode", "http_code", "http_status"];

/// Delays, with the seconds that their unit has.
#[rustfmt::skip]
const DELAYS: &[(&str, f64)] = &[
    ("details[].retryDelay", 1.0), ("details[].retryDelay.seconds", 1.0), ("details[].retry_delay", 1.0),
    ("details[].retry_delay.seconds", 1.0), ("details[].metadata.quotaResetDelay", 1.0), ("retry_after", 1.0),
    ("retryAfter", 1.0), ("retry_after_seconds", 1.0), ("retryAfterSeconds", 1.0), ("retry_after_ms", 1e-3),
    ("resets_in_seconds", 1.0), ("reset_seconds", 1.0), ("estimated_time", 1.0), ("metadata.retry_after", 1.0),
    ("metadata.retry_after_seconds", 1.0), ("metadata.headers.Retry-After", 1.0), ("detail.retry_after", 1.0),
    ("parameters.retry_after", 1.0),
];
/// Moments at which the limit opens.
const MOMENTS: &[&str] = &["metadata.headers.X-RateLimit-Reset", "resets_at", "reset_at", "resetAt"];

impl ErrorInfo {
    /// Reads an answer whose status is that of an error.
    pub(super) fn of_error(status: StatusCode, headers: &HeaderMap, body: &[u8], wall: SystemTime) -> Self {
        let mut info = Self { status: Some(status.as_u16()), ..Self::default() };
        let text = as_text(body);
        // Amazon's services name the error in a header.
        let header = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
        if let Some(code) = header {
            info.add_code(code);
        }
        // Google redirects addresses that it takes for robots to a page.
        let leads_to = headers.get(header::LOCATION).and_then(|url| url.to_str().ok()).unwrap_or_default();
        if status.is_redirection()
            && ["/sorry/", "//consent.", "//accounts."].iter().any(|page| leads_to.contains(page))
        {
            info.codes.push(HTML.to_owned());
        }
        match first_value(&text).or_else(|| in_events(&text)) {
            Some(root) => {
                let root = unwrapped(root);
                info.read_json(&root, wall);
                if info.codes.is_empty() && info.message.is_none() {
                    info.read_unknown(&root);
                }
            }
            None if is_page(headers, &text) => {
                info.codes.push(HTML.to_owned());
                info.message = title(&text);
                info.text = text.to_lowercase();
            }
            None => info.add_message(&serde_json::from_str(&text).unwrap_or_else(|_| text.trim().to_owned())),
        }
        info.finish(headers, wall)
    }

    /// Reads the error in a good answer: an event of a stream that has one, or a whole body that is only an error. `None` if there
    /// is no error.
    pub(super) fn of_success(headers: &HeaderMap, body: &[u8], in_stream: bool, wall: SystemTime) -> Option<Self> {
        let text = as_text(body);
        if !may_be_error(text.as_bytes()) {
            return None;
        }
        let root = unwrapped(first_value(&text).or_else(|| in_events(&text))?);
        let mut info = Self::default();
        if at(&root, "candidates[].finishReason").iter().any(|reason| *reason == LIMITED) {
            info.codes.push(LIMITED.to_owned());
            return Some(info);
        }
        let is_error = is_error(&root) && (in_stream || is_nothing_else(&root));
        is_error.then(|| {
            info.read_json(&root, wall);
            info.finish(headers, wall)
        })
    }

    fn read_json(&mut self, root: &Value, wall: SystemTime) {
        let error = error_of(root);
        let nested = self.nested(error);
        let error = nested.as_ref().unwrap_or(error);
        let has_siblings = !std::ptr::eq(error, root);
        let of_both = |path: &'static str| at(error, path).into_iter().chain(at(root, path));
        self.status = self.status.or_else(|| STATUSES.iter().copied().flat_map(of_both).find_map(status));
        self.read_words(error, CODES, MESSAGES);
        if has_siblings {
            self.read_words(root, CODES_BESIDE, &["message"]);
        }
        if let Some(word) = error.as_str() {
            self.add_message(word);
        }
        let delays = DELAYS.iter().flat_map(|&(path, scale)| of_both(path).zip(std::iter::repeat(scale)));
        let delay = delays.filter_map(|(value, scale)| retry_after::in_value(value, scale)).max();
        let moments = MOMENTS.iter().copied().flat_map(of_both);
        self.retry_after = delay.max(moments.filter_map(|value| retry_after::moment_in_value(value, wall)).max());
        let details = at(error, "details[]");
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
        let quotas = google_quota::read(&details, message);
        let read = [(quotas.zero, LIMIT_ZERO), (quotas.day, PER_DAY), (quotas.beside, BESIDE_MODEL)];
        self.codes.extend(read.into_iter().filter(|(is, _)| *is).map(|(_, code)| code.to_owned()));
        self.quota = quotas.violations;
        if self.quota.is_empty() {
            self.quota.extend(limit_of_a_minute(message));
        }
        self.project = at(error, "details[].metadata.consumer").into_iter().find_map(|value| project(value.as_str()?));
    }

    /// Reads an error that no path matches: words of one case are codes, the longest sentence is the message.
    fn read_unknown(&mut self, root: &Value) {
        const DEPTH: usize = 3;
        let mut texts = Vec::new();
        strings(root, DEPTH, &mut texts);
        let (codes, sentences): (Vec<&str>, Vec<&str>) = texts.into_iter().partition(|text| is_code(text));
        for code in codes {
            self.add_code(code);
        }
        let sentences = sentences.into_iter().filter(|text| text.contains(' ') || !text.is_ascii());
        if let Some(longest) = sentences.max_by_key(|text| text.len()) {
            self.add_message(longest);
        }
    }

    fn read_words(&mut self, of: &Value, codes: &[&str], messages: &[&str]) {
        if let Some(text) = of.as_str() {
            if text.contains(' ') { self.add_message(text) } else { self.add_code(text) }
        }
        for code in codes.iter().flat_map(|path| at(of, path)).filter_map(text_of) {
            self.add_code(&code);
        }
        for text in messages.iter().flat_map(|path| at(of, path)).filter_map(text_of) {
            self.add_message(&text);
        }
    }

    /// An upstream's error as JSON inside `message`. Trusted for 429, or when it repeats the HTTP status.
    fn nested(&self, error: &Value) -> Option<Value> {
        let is_limit = self.status == Some(429);
        let inner = match error.get("message").unwrap_or(error) {
            Value::String(message) if is_limit => first_value(&message[message.find('{')?..])?,
            Value::String(message) => first_value(message)?,
            Value::Object(message) if message.contains_key("error") => Value::Object(message.clone()),
            _ => return None,
        };
        let inner = unwrapped(inner);
        let inner = at(&inner, "error").into_iter().find(|inner| inner.is_object())?;
        let same = STATUSES.iter().flat_map(|path| at(inner, path)).find_map(status) == self.status;
        (is_limit || same).then(|| inner.clone())
    }

    fn add_code(&mut self, text: &str) {
        // `com.amazon.coral.service#AccessDeniedException`, `AccessDeniedException:http://…`
        let code = text.rsplit('#').next().unwrap_or_default();
        let code = code.split(":http").next().unwrap_or_default();
        if code.contains(char::is_whitespace) {
            return self.add_text(text);
        }
        let means_nothing = ["", "error", "fail", "failed", "false", "none", "null"];
        let known = self.codes.iter().any(|known| known == code);
        let is_status = code.parse().is_ok_and(|number: u16| (400..600).contains(&number));
        let fits = code.len() <= LONGEST_CODE && self.codes.len() < MOST_CODES;
        if fits && !known && !is_status && !means_nothing.contains(&code.to_ascii_lowercase().as_str()) {
            self.codes.push(code.to_owned());
        }
    }

    fn add_message(&mut self, text: &str) {
        let text = text.trim();
        if self.message.is_none() && !text.is_empty() {
            self.message = Some(text.to_owned());
        }
        if !text.contains(' ') {
            self.add_code(text);
        } else if text.get(..14).is_some_and(|begin| begin.eq_ignore_ascii_case("<!doctype html")) {
            self.codes.push(HTML.to_owned());
        }
        self.add_text(text);
    }

    fn add_text(&mut self, text: &str) {
        if !text.is_empty() && self.text.len() + text.len() < MOST_BYTES {
            self.text.push_str(text);
            self.text.push('\n');
        }
    }

    fn finish(mut self, headers: &HeaderMap, wall: SystemTime) -> Self {
        cut(&mut self.text, LONGEST_TEXT);
        let in_body = self.retry_after.max(retry_after::in_text(&self.text, wall));
        self.retry_after = retry_after::in_headers(headers, wall)
            .or(in_body)
            .or_else(|| retry_after::in_rate_limit_headers(headers, wall));
        let text = self.text.to_lowercase().replace('\u{2019}', "'");
        if self.project.is_none() && self.status == Some(429) {
            let named = text.split_once("consumer 'project_number:").map(|(_, rest)| rest);
            self.project = named.and_then(|rest| project(rest.split('\'').next()?));
        }
        self.text = if self.status == Some(429) { text } else { without_model_names(&without_quotes(&text)) };
        if let Some(message) = &mut self.message {
            *message = message.chars().take(LONGEST_MESSAGE).collect();
        }
        self
    }
}

/// Whether a good answer, or an event of one, may be an error: it contains one of these words.
pub(crate) fn may_be_error(body: &[u8]) -> bool {
    static MEMBERS: LazyLock<[Finder<'static>; 4]> =
        LazyLock::new(|| ["\"error\"", "\"base_resp\"", "\"success\"", LIMITED].map(Finder::new));
    static EVENTS: LazyLock<[Finder<'static>; 2]> = LazyLock::new(|| ["event: error", "event:error"].map(Finder::new));
    let holds = |words: &[Finder<'_>]| words.iter().any(|word| word.find(body).is_some());
    holds(&*MEMBERS) || (!body.starts_with(b"{") && holds(&*EVENTS))
}

/// The answer ended because the account is limited for a breach of policy.
const LIMITED: &str = "PUP_LIMITED_DISABLED";

/// The values at a path such as `details[].reason`; a lone object counts as a list of itself.
fn at<'v>(value: &'v Value, path: &str) -> Vec<&'v Value> {
    const MOST: usize = 32;
    let mut found = vec![value];
    for step in path.split('.') {
        let (name, each) = step.strip_suffix("[]").map_or((step, false), |name| (name, true));
        let members = found.into_iter().filter_map(|value| value.get(name));
        let items = |value: &'v Value| value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        found = if each { members.flat_map(items).take(MOST).collect() } else { members.collect() };
    }
    found
}

/// The strings in a value, down to this many levels below it.
fn strings<'v>(value: &'v Value, depth: usize, found: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) if depth > 0 => items.iter().for_each(|item| strings(item, depth - 1, found)),
        Value::Object(members) if depth > 0 => members.values().for_each(|item| strings(item, depth - 1, found)),
        _ => {}
    }
}

/// Whether a text looks like `WALLET_EMPTY` or `wallet_empty`. Digits are more often part of an id.
fn is_code(text: &str) -> bool {
    let all = |is: fn(char) -> bool| text.chars().all(|c| c == '_' || is(c));
    let one_case = all(|c| c.is_ascii_uppercase()) || all(|c| c.is_ascii_lowercase());
    one_case && !text.is_empty() && text.len() <= 64
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

fn status(value: &Value) -> Option<u16> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u16::try_from(number).ok().filter(|status| (400..600).contains(status))
}

/// Whether a value is empty: many answers have `"error": null`.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.iter().all(is_empty),
        Value::Object(members) => members.values().all(is_empty),
    }
}

/// The error object, or the whole value if that is one itself.
fn error_of(root: &Value) -> &Value {
    let found = |is: fn(&Value) -> bool| {
        let all = ERRORS.iter().chain(MORE_ERRORS).flat_map(|path| at(root, path));
        all.filter(|error| !is_empty(error)).find(|error| is(error))
    };
    // `{"error": "…", "message": …}`
    let calls_itself_one = is_named_error(root) && root.get("message").is_some_and(Value::is_string);
    let word = || found(Value::is_string).filter(|_| !calls_itself_one);
    found(Value::is_object).or_else(word).unwrap_or(root)
}

/// `{"type": "error", …}`, `{"object": "error", …}`
fn is_named_error(root: &Value) -> bool {
    ["type", "object", "event_type"].iter().any(|name| root.get(name).is_some_and(|kind| kind == "error"))
}

/// Whether a value of a good answer is an error.
fn is_error(root: &Value) -> bool {
    let holds_one = ERRORS.iter().flat_map(|path| at(root, path)).any(|error| !is_empty(error));
    // MiniMax's, with a status of its own; Zhipu's and Cloudflare's.
    let failed = || at(root, "base_resp.status_code").iter().any(|code| code.as_u64() != Some(0));
    let is_listed = || root.get("errors").is_some_and(|errors| !is_empty(errors));
    let has_code = || root.get("code").and_then(status).is_some();
    let denied = || root.get("success") == Some(&Value::Bool(false)) && (has_code() || is_listed());
    holds_one || is_named_error(root) || failed() || denied()
}

/// Members allowed in a 200 body that counts as an error.
#[rustfmt::skip]
const BESIDE_ERROR: &[&str] = &[
    "error", "code", "type", "message", "msg", "status", "status_code", "statusCode", "success", "detail",
    "base_resp", "event_type", "request_id", "requestId", "trace_id", "user_id", "timestamp", "path", "param",
    "sequence_number", "object", "errors", "id", "model", "created", "provider", "usage", "system_fingerprint", "service_tier",
];

/// Whether a body is only an error. A good answer may describe an operation or a batch that failed.
fn is_nothing_else(root: &Value) -> bool {
    let Some(members) = root.as_object() else { return false };
    let is = |name: &str, word: &str| members.get(name).is_some_and(|value| value == word);
    if is("object", "response") {
        let holds = |name: &str| members.get(name).is_some_and(|value| !is_empty(value));
        return is("status", "failed") && !holds("output") && !holds("background");
    }
    let is_empty_choice = |choice: &Value| {
        let said = ["message.content", "message.tool_calls", "delta.content", "delta.tool_calls", "text"];
        said.iter().flat_map(|path| at(choice, path)).all(is_empty)
    };
    members.iter().all(|(name, value)| match name.as_str() {
        "choices" => is_empty(value) || value.as_array().is_some_and(|choices| choices.iter().all(is_empty_choice)),
        name => BESIDE_ERROR.contains(&name) || is_empty(value),
    }) && !is("object", "batch")
}

/// The item of an array that is an error, else the first item.
fn unwrapped(mut value: Value) -> Value {
    while let Value::Array(mut items) = value {
        if items.is_empty() {
            return Value::Null;
        }
        let erring = items.iter().position(is_error).unwrap_or(0);
        value = items.swap_remove(erring);
    }
    value
}

/// The limit of a sentence: `on requests per min (RPM): Limit 3, Used 3`, as OpenAI and Groq say, or `of 20,000 input tokens per
/// minute`, as Anthropic does. Their headers say it too, but not for every account, and not behind every proxy.
fn limit_of_a_minute(message: &str) -> Option<QuotaViolation> {
    let before = |sign| Some(message.split_once(sign)?.0.rsplit(' ').next().unwrap_or_default());
    let after = |sign| message.split_once(sign)?.1.split(' ').next();
    let limits = [
        (Unit::Requests, after("(RPM): Limit ")),
        (Unit::Tokens, after("(TPM): Limit ")),
        (Unit::Requests, before(" requests per minute")),
        (Unit::InputTokens, before(" input tokens per minute")),
        (Unit::OutputTokens, before(" output tokens per minute")),
    ];
    let number = |text: &str| text.trim_end_matches([',', '.']).replace(',', "").parse().ok();
    limits.into_iter().find_map(|(unit, text)| {
        let limit = number(text?)?;
        Some(QuotaViolation { limit: Some(limit), ..QuotaViolation::new(unit, Span::MINUTE) })
    })
}

/// The first object or array of a text, whatever follows it. `serde_json` limits its depth.
fn first_value(text: &str) -> Option<Value> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    // A prefix against scripts, and separators between the items of a streamed array.
    let text = text.strip_prefix(")]}'").unwrap_or(text).trim_start_matches(|c: char| c.is_whitespace() || c == ',');
    if !text.starts_with(['{', '[']) {
        return None;
    }
    serde_json::Deserializer::from_str(text).into_iter().next()?.ok()
}

/// The error among server-sent events, or in a raw object after them, which is how Gemini ends broken streams.
fn in_events(text: &str) -> Option<Value> {
    const MOST_OBJECTS: usize = 32;
    let erring = |text: &str| first_value(text).map(unwrapped).filter(is_error);
    let (mut data, mut is_named_error, mut begin, mut objects) = (String::new(), false, 0, 0);
    for line in text.split_inclusive('\n').chain(["\n"]) {
        let bare = line.trim();
        if let Some(more) = bare.strip_prefix("data:") {
            data.push_str(more.trim_start());
        } else if let Some(name) = bare.strip_prefix("event:") {
            is_named_error = name.trim() == "error";
        } else if bare.is_empty() {
            let found = erring(&data);
            if found.is_some() {
                return found;
            }
            if is_named_error && !data.is_empty() {
                let error = first_value(&data).unwrap_or_else(|| data.into());
                return Some(serde_json::json!({ "error": error }));
            }
            (data, is_named_error) = (String::new(), false);
        } else if bare.starts_with(['{', '[', ',']) && objects < MOST_OBJECTS {
            objects += 1;
            let found = erring(&text[begin..]);
            if found.is_some() {
                return found;
            }
        }
        begin += line.len();
    }
    None
}

fn as_text(body: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(&body[..body.len().min(MOST_BYTES)])
}

fn is_page(headers: &HeaderMap, text: &str) -> bool {
    let html = headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    let text = text.trim_start();
    let begins = |tag: &str| text.get(..tag.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(tag));
    html && !text.is_empty() || begins("<html") || begins("<!doctype html")
}

/// The title of a web page.
fn title(page: &str) -> Option<String> {
    let (_, rest) = page.split_once("<title>")?;
    rest.split('<').next().map(|title| title.trim().to_owned()).filter(|title| !title.is_empty())
}

/// `projects/123` or `123` is `123`; `None` if it is no name of a project, such as `api_key:…`.
fn project(text: &str) -> Option<String> {
    let name = text.strip_prefix("projects/").or_else(|| text.strip_prefix("project_number:")).unwrap_or(text);
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:".contains(c);
    ((1..=64).contains(&name.len()) && name.chars().all(is_plain)).then(|| name.to_owned())
}

fn cut(text: &mut String, most: usize) {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
}

/// Leaves out what is quoted: `model 'x' not found` becomes `model '' not found`. A quote that is not closed goes on to the end.
fn without_quotes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find(['\'', '"', '`', '\u{201c}']) {
        let (before, quoted) = rest.split_at(open);
        out.push_str(before);
        let mark = quoted.chars().next().unwrap_or('"');
        rest = &quoted[mark.len_utf8()..];
        if mark == '\'' && before.ends_with(char::is_alphanumeric) {
            // An apostrophe.
            out.push(mark);
            continue;
        }
        out.push_str("''");
        let close = if mark == '\u{201c}' { '\u{201d}' } else { mark };
        let closes = |at: &usize| {
            let is_escaped = rest[..*at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
            let is_apostrophe = close == '\'' && rest[at + 1..].starts_with(char::is_alphanumeric);
            !is_escaped && !is_apostrophe
        };
        let end = rest.match_indices(close).map(|(at, _)| at).find(closes);
        rest = end.map_or("", |end| &rest[end + close.len_utf8()..]);
    }
    out.push_str(rest);
    out
}

/// `model meta/llama-3.1 does not exist` becomes `model '' does not exist`, as if the name stood in quotes.
fn without_model_names(text: &str) -> String {
    const BEFORE: &str = "model ";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(BEFORE) {
        let (before, after) = rest.split_at(at + BEFORE.len());
        out.push_str(before);
        let word = after.split(char::is_whitespace).next().unwrap_or_default();
        let name = word.trim_end_matches(['.', ',', ':', ';']);
        let is_name = name.contains(|c: char| c.is_ascii_digit() || "/-_".contains(c));
        rest = if is_name { &after[name.len()..] } else { after };
        if is_name {
            out.push_str("''");
        }
    }
    out + rest
}

#[cfg(test)]
mod tests;
