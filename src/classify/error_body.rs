//! Reads the error bodies of all vendors with one list of JSON paths.

mod json;
#[rustfmt::skip]
mod paths;
mod text;

use std::{
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, StatusCode, header};
use memchr::memmem::Finder;
use serde_json::Value;

use self::{
    json::{
        at, error_of, first_value, in_events, is_error, is_limited, is_nothing_else, status, strings, text_of,
        unwrapped,
    },
    paths::LIMITED,
    text::{as_text, cut, is_page, title, without_model_names, without_quotes},
};
use super::{google_quota, retry_after};
use crate::limit::{Limit, Span, Unit};

/// The information that was read from an error.
#[derive(Debug, Default)]
pub(crate) struct ErrorInfo {
    /// The status of the response. In a successful response, the status that the error names, if any.
    pub(super) status: Option<u16>,
    /// The provider's codes, the most specific first, followed by derived codes; see [`DERIVED_CODES`].
    pub(super) codes: Vec<String>,
    /// The message for people.
    pub(super) message: Option<String>,
    /// All messages in lower case, for the rules. Quoted parts and names of models are removed, since they may come
    /// from the caller, except for status 429.
    pub(super) text: String,
    /// The parts of `text` before a colon or the end of a line, after which a provider repeats words of the request.
    pub(super) starts: String,
    /// The delay that the headers or the body name.
    pub(super) retry_after: Option<Duration>,
    /// The limits that the error names.
    pub(super) limits: Vec<Limit>,
    /// The project that the error names, without `projects/`.
    pub(super) project: Option<String>,
}

/// Maximum number of bytes of a body that are read.
const MAX_BYTES: usize = 64 << 10;
/// Maximum length of the text for the rules; the rest is cut off.
const LONGEST_TEXT: usize = 8 << 10;
/// Maximum number of characters of the message.
pub(super) const LONGEST_MESSAGE: usize = 300;
const LONGEST_CODE: usize = 80;
const MAX_CODES: usize = 24;
/// Size from which an incomplete JSON object without a sign of an error is passed on.
pub(crate) const SHORT: usize = 1 << 10;

/// Derived code: the body is a web page.
pub(super) const HTML: &str = "html";
/// Derived code: a limit is 0, so the project may not use the model.
pub(super) const LIMIT_ZERO: &str = "limit_zero";
/// Derived code: a daily limit is used up.
pub(super) const PER_DAY: &str = "per_day";
/// Derived code: a quota that does not belong to the model is used up, such as searches or storage.
pub(super) const BESIDE_MODEL: &str = "beside_model";
/// Derived code: the provider limits all its customers.
pub(super) const NO_OWN_LIMIT: &str = "no_own_limit";
/// Codes that are derived and not part of a body. Rules may name them; a [`Failure`](super::Failure) never shows them.
pub(super) const DERIVED_CODES: &[&str] = &[HTML, LIMIT_ZERO, PER_DAY, BESIDE_MODEL, NO_OWN_LIMIT];

impl ErrorInfo {
    /// Reads a response with an error status.
    pub(super) fn of_error(status: StatusCode, headers: &HeaderMap, body: &[u8], wall: SystemTime) -> Self {
        let mut info = Self { status: Some(status.as_u16()), ..Self::default() };
        let text = as_text(body);
        // Some gateways send the JSON as a JSON string.
        let text = serde_json::from_str::<String>(&text).map_or(text, Into::into);
        // Amazon's services name the error in a header.
        let header = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
        if let Some(code) = header {
            info.add_code(code);
        }
        // Google redirects the addresses of suspected robots to a page.
        let location = headers.get(header::LOCATION).and_then(|url| url.to_str().ok()).unwrap_or_default();
        if status.is_redirection()
            && ["/sorry/", "//consent.", "//accounts."].iter().any(|page| location.contains(page))
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
                // A redirect has a page for people; its location is judged above.
                if !status.is_redirection() {
                    info.codes.push(HTML.to_owned());
                }
                info.message = title(&text);
                info.text = text.to_lowercase();
                info.starts.clone_from(&info.text);
            }
            None => info.add_message(&text),
        }
        info.finish(headers, wall)
    }

    /// Reads the error in a successful response: an event of a stream that contains one, or an object that is nothing but
    /// an error. Returns `None` if there is no error.
    pub(super) fn of_success(headers: &HeaderMap, body: &[u8], wall: SystemTime) -> Option<Self> {
        let root = error_in(body)?;
        let is_limited = is_limited(&root);
        let is_json = matches!(body.trim_ascii_start(), [b'{' | b'[', ..]);
        (is_limited || !is_json || is_nothing_else(&root)).then(|| {
            let mut info = Self::default();
            if is_limited {
                info.codes.push(LIMITED.to_owned());
            }
            info.read_json(&root, wall);
            // The message of a caller's error may quote any text, as one with status 400.
            let is_callers =
                |code: &String| ["invalid_request", "bad_request"].iter().any(|start| code.starts_with(start));
            if info.status.is_none() && !info.codes.is_empty() && info.codes.iter().all(is_callers) {
                info.status = Some(400);
            }
            info.finish(headers, wall)
        })
    }

    fn read_json(&mut self, root: &Value, wall: SystemTime) {
        let error = error_of(root);
        let nested = self.nested(error);
        let error = nested.as_ref().unwrap_or(error);
        let has_siblings = !std::ptr::eq(error, root);
        let of_both = |path: &'static str| at(error, path).into_iter().chain(at(root, path));
        self.status = self.status.or_else(|| paths::STATUSES.iter().copied().flat_map(of_both).find_map(status));
        self.read_words(error, paths::CODES, paths::MESSAGES);
        if has_siblings {
            self.read_words(root, paths::CODES_BESIDE, paths::MESSAGES_BESIDE);
        }
        if let Some(word) = error.as_str() {
            self.add_message(word);
        }
        let delays = paths::DELAYS.iter().flat_map(|&(path, scale)| of_both(path).zip(std::iter::repeat(scale)));
        let delay = delays.filter_map(|(value, scale)| retry_after::in_value(value, scale)).max();
        let moments = paths::MOMENTS.iter().copied().flat_map(of_both);
        self.retry_after = delay.max(moments.filter_map(|value| retry_after::moment_in_value(value, wall)).max());
        let details = at(error, "details[]");
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
        let quotas = google_quota::read(&details, message);
        let read = [(quotas.zero, LIMIT_ZERO), (quotas.day, PER_DAY), (quotas.beside, BESIDE_MODEL)];
        self.codes.extend(read.into_iter().filter(|(is, _)| *is).map(|(_, code)| code.to_owned()));
        self.limits = quotas.limits;
        if self.limits.is_empty() {
            self.limits.extend(limit_per_minute(message));
        }
        self.project = at(error, "details[].metadata.consumer").into_iter().find_map(|value| project(value.as_str()?));
    }

    /// Reads a body in which the paths find neither a code nor a message. Words in a single case are codes, and the
    /// longest sentence is the message.
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

    /// Returns an upstream's error that is JSON inside `message` or `detail`. It is trusted for status 429, if it repeats
    /// the HTTP status, or if it names none and the status is 401 or 402.
    fn nested(&self, error: &Value) -> Option<Value> {
        let is_limit = self.status == Some(429);
        let inner = match error.get("message").or_else(|| error.get("detail")).unwrap_or(error) {
            Value::String(message) if is_limit => first_value(&message[message.find('{')?..])?,
            Value::String(message) => first_value(message)?,
            Value::Object(message) if message.contains_key("error") => Value::Object(message.clone()),
            _ => return None,
        };
        let inner = unwrapped(inner);
        let inner = at(&inner, "error").into_iter().find(|inner| inner.is_object())?;
        let named = paths::STATUSES.iter().flat_map(|path| at(inner, path)).find_map(status);
        let same = named == self.status || named.is_none() && matches!(self.status, Some(401 | 402));
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
        let fits = code.len() <= LONGEST_CODE && self.codes.len() < MAX_CODES;
        if fits && !known && !is_status && !means_nothing.contains(&code.to_ascii_lowercase().as_str()) {
            self.codes.push(code.to_owned());
        }
    }

    fn add_message(&mut self, text: &str) {
        let text = text.trim();
        if self.message.is_none() && !text.is_empty() {
            self.message = Some(text.to_owned());
        }
        if text.is_ascii() && !text.contains(' ') {
            self.add_code(text);
        } else if text.get(..14).is_some_and(|begin| begin.eq_ignore_ascii_case("<!doctype html")) {
            self.codes.push(HTML.to_owned());
        }
        self.add_text(text);
    }

    fn add_text(&mut self, text: &str) {
        if !text.is_empty() && self.text.len() + text.len() < MAX_BYTES {
            self.text.extend([text, "\n"]);
            let start = text.split([':', '\n']).find(|part| !part.trim().eq_ignore_ascii_case("error"));
            self.starts.extend([start.unwrap_or_default(), "\n"]);
        }
    }

    fn finish(mut self, headers: &HeaderMap, wall: SystemTime) -> Self {
        cut(&mut self.text, LONGEST_TEXT);
        cut(&mut self.starts, LONGEST_TEXT);
        // A relayed message may have wrapped lines.
        self.text = self.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let has = |code: &str| self.codes.iter().any(|known| known == code);
        // A page advises people. A program may try again sooner.
        let in_text = if has(HTML) { None } else { retry_after::in_text(&self.text, wall) };
        let in_body = self.retry_after.max(in_text);
        self.retry_after = retry_after::in_headers(headers, wall)
            .or(in_body)
            .or_else(|| retry_after::in_rate_limit_headers(headers, wall));
        let lower = |text: &str| text.to_lowercase().replace('\u{2019}', "'");
        let text = lower(&self.text);
        if text == "rate limited" && has("rate_limit_error") && self.retry_after.is_none() {
            self.codes.push(NO_OWN_LIMIT.to_owned());
        }
        if self.project.is_none() && self.status == Some(429) {
            let named = text.split_once("consumer 'project_number:").map(|(_, rest)| rest);
            self.project = named.and_then(|rest| project(rest.split('\'').next()?));
        }
        self.text = if self.status == Some(429) { text } else { without_model_names(&without_quotes(&text)) };
        self.starts = without_model_names(&without_quotes(&lower(&self.starts)));
        if let Some(message) = &mut self.message {
            *message = message.chars().take(LONGEST_MESSAGE).collect();
        }
        self
    }
}

/// Reports whether a successful response, or an event of one, may be an error, because it contains a certain word.
pub(crate) fn may_be_error(body: &[u8]) -> bool {
    type Finders = LazyLock<Vec<Finder<'static>>>;
    static IN_MEMBERS: Finders = LazyLock::new(|| paths::MEMBERS.iter().map(Finder::new).collect());
    static IN_EVENTS: Finders = LazyLock::new(|| paths::EVENTS.iter().map(Finder::new).collect());
    static CODE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("code\""));
    let holds = |words: &[Finder<'_>]| words.iter().any(|word| word.find(body).is_some());
    // A short object may be an error that only has a code.
    let has_code = || body.len() < SHORT && CODE.find(body).is_some();
    holds(&IN_MEMBERS) || if body.starts_with(b"{") { has_code() } else { holds(&IN_EVENTS) }
}

/// Reports whether a successful response, or an event of one, contains an error.
pub(crate) fn holds_error(body: &[u8]) -> bool {
    error_in(body).is_some()
}

/// Reports whether the start of a JSON body may be that of an error: it is incomplete, or contains an error.
pub(crate) fn may_become_error(start: &[u8]) -> bool {
    first_value(&as_text(start)).is_none_or(|value| is_limited(&value) || is_error(&value) && is_nothing_else(&value))
}

/// Returns the value in a successful response, or in an event of one, that is an error.
fn error_in(body: &[u8]) -> Option<Value> {
    if !may_be_error(body) {
        return None;
    }
    let text = as_text(body);
    Some(unwrapped(first_value(&text).or_else(|| in_events(&text))?)).filter(is_error)
}

/// Reports whether a text looks like `WALLET_EMPTY` or `wallet_empty`. A text with digits is more likely an id.
fn is_code(text: &str) -> bool {
    let all = |is: fn(char) -> bool| text.chars().all(|c| c == '_' || is(c));
    let one_case = all(|c| c.is_ascii_uppercase()) || all(|c| c.is_ascii_lowercase());
    one_case && !text.is_empty() && text.len() <= 64
}

/// Parses the limit in a message: `on requests per min (RPM): Limit 3, Used 3` of OpenAI and Groq, or `of 8,000 output
/// tokens per minute` of Anthropic. Their headers also contain the limit, but not for every account and not behind
/// every proxy. Leaves out Anthropic's limit of input tokens, since tokens read from a cache do not count against it,
/// and OpenRouter's `limit_rpm/…`, which applies only while the demand is high.
fn limit_per_minute(message: &str) -> Option<Limit> {
    if message.contains("limit_rpm/") {
        return None;
    }
    let before = |sign| Some(message.split_once(sign)?.0.rsplit(' ').next().unwrap_or_default());
    let after = |sign| message.split_once(sign)?.1.split(' ').next();
    let limits = [
        (Unit::Requests, after("(RPM): Limit ")),
        (Unit::Tokens, after("(TPM): Limit ")),
        (Unit::Requests, before(" requests per minute")),
        (Unit::OutputTokens, before(" output tokens per minute")),
    ];
    let number = |text: &str| text.trim_end_matches([',', '.']).replace(',', "").parse().ok();
    limits.into_iter().find_map(|(unit, text)| {
        let amount = number(text?)?;
        Some(Limit { unit, span: Span::MINUTE, amount })
    })
}

/// Returns `123` for `projects/123` or `123`, or `None` if the text does not name a project, such as `api_key:…`.
fn project(text: &str) -> Option<String> {
    let name = text.strip_prefix("projects/").or_else(|| text.strip_prefix("project_number:")).unwrap_or(text);
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.:".contains(c);
    ((1..=64).contains(&name.len()) && name.chars().all(is_plain)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests;
