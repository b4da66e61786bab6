//! What went wrong, and how each dialect says it.

use std::fmt;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::{Frontend, fields::without_nulls};

/// What kind of fault an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong (400).
    InvalidRequest,
    /// The request has more tokens than the model takes (400).
    ContextTooLong,
    /// The provider refuses the content (400).
    ContentFiltered,
    /// The caller's credential is missing or wrong (401).
    Unauthenticated,
    /// The caller's account has no money left (402).
    Billing,
    /// The caller may not do this (403).
    PermissionDenied,
    /// There is no such model, file or the like (404).
    NotFound,
    /// There is no such path (404).
    UnknownPath,
    /// It is in a state that does not allow it (409).
    Conflict,
    /// The body is too large (413).
    TooLarge,
    /// The body's type or encoding cannot be read (415).
    UnsupportedMedia,
    /// A limit is reached (429).
    RateLimited,
    /// The gateway failed (500).
    Internal,
    /// The provider's answer makes no sense, or has no end (502).
    BadUpstream,
    /// The model's call of a tool, or its whole answer, was malformed (502).
    MalformedAnswer,
    /// No key can serve the request now (503).
    NoKeys,
    /// The provider is overloaded, or dropped the request (503).
    Unavailable,
    /// The provider took too long (504).
    Timeout,
}

impl ErrorKind {
    /// Its status, `type` and `code` at OpenAI, and `type` at Anthropic.
    fn words(self) -> (u16, &'static str, Option<&'static str>, &'static str) {
        const INVALID: &str = "invalid_request_error";
        const SERVER: &str = "server_error";
        match self {
            Self::InvalidRequest => (400, INVALID, None, INVALID),
            Self::ContextTooLong => (400, INVALID, Some("context_length_exceeded"), INVALID),
            Self::ContentFiltered => (400, INVALID, Some("content_policy_violation"), INVALID),
            Self::Unauthenticated => (401, INVALID, Some("invalid_api_key"), "authentication_error"),
            Self::Billing => (402, "insufficient_quota", Some("insufficient_quota"), "billing_error"),
            Self::PermissionDenied => (403, "permission_error", None, "permission_error"),
            Self::NotFound => (404, INVALID, None, "not_found_error"),
            Self::UnknownPath => (404, INVALID, Some("unknown_url"), "not_found_error"),
            Self::Conflict => (409, INVALID, None, INVALID),
            Self::TooLarge => (413, INVALID, None, "request_too_large"),
            Self::UnsupportedMedia => (415, INVALID, None, INVALID),
            Self::RateLimited => (429, "requests", Some("rate_limit_exceeded"), "rate_limit_error"),
            Self::Internal => (500, SERVER, None, "api_error"),
            Self::BadUpstream => (502, SERVER, None, "api_error"),
            Self::MalformedAnswer => (502, SERVER, Some("malformed_answer"), "api_error"),
            Self::NoKeys => (503, SERVER, Some("no_available_keys"), "overloaded_error"),
            Self::Unavailable => (503, SERVER, None, "overloaded_error"),
            Self::Timeout => (504, SERVER, None, "timeout_error"),
        }
    }

    /// What Gemini means by a status.
    fn of_gemini(status: u64) -> Self {
        match status {
            // The keys are the gateway's: what is wrong with one is not the caller's to mend.
            401 | 402 => Self::NoKeys,
            403 => Self::PermissionDenied,
            404 => Self::NotFound,
            409 => Self::Conflict,
            413 => Self::TooLarge,
            429 => Self::RateLimited,
            // 499: Google cancelled the request by itself, and takes it when it comes again.
            499 | 503 | 529 => Self::Unavailable,
            408 | 504 => Self::Timeout,
            500 => Self::Internal,
            400..=498 => Self::InvalidRequest,
            _ => Self::BadUpstream,
        }
    }
}

/// What went wrong with a request or its answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    param: Option<String>,
}

/// A message is cut behind so many bytes: some errors repeat the whole request.
const MAX_MESSAGE: usize = 4_096;

impl Error {
    /// An error that concerns no field.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MAX_MESSAGE {
            let end = (0..=MAX_MESSAGE).rev().find(|end| message.is_char_boundary(*end)).unwrap_or_default();
            message.truncate(end);
        }
        Self { kind, message, param: None }
    }

    /// A 400 for the field `param`; `why` follows its name in the message.
    pub(crate) fn invalid(param: impl Into<String>, why: impl fmt::Display) -> Self {
        let param = param.into();
        Self::new(ErrorKind::InvalidRequest, format!("{param}: {why}")).with_param(param)
    }

    pub(crate) fn bad_upstream() -> Self {
        Self::new(ErrorKind::BadUpstream, "the provider's answer could not be read")
    }

    /// The same with the field that is to blame.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Its field as Anthropic's clients look for it: `messages.0.content.0`.
    pub(crate) fn dotted(mut self) -> Self {
        if let Some(param) = self.param.take() {
            let dotted = param.replace('[', ".").replace(']', "");
            self.message = self.message.replacen(&param, &dotted, 1);
            self.param = Some(dotted);
        }
        self
    }

    /// Its kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What happened, for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The field of the request that is to blame.
    pub fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// An error that Gemini answered with this status.
    pub fn from_gemini(status: StatusCode, body: &[u8]) -> Self {
        // Proxies and other vendors in between say it at the top, or as plain text.
        let body: Value = serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into());
        let error = Some(gemini_error(&body)).filter(|error| !error.is_null()).unwrap_or(&body);
        Self::said_by_gemini(error, u64::from(status.as_u16()))
    }

    /// An error inside of an answer whose status was good; `None`: there is none.
    pub(crate) fn in_gemini_answer(body: &Value) -> Option<Self> {
        let error = gemini_error(body);
        let by_word = || match error["status"].as_str() {
            Some("INVALID_ARGUMENT" | "FAILED_PRECONDITION") => 400,
            Some("PERMISSION_DENIED") => 403,
            Some("NOT_FOUND") => 404,
            Some("RESOURCE_EXHAUSTED") => 429,
            Some("UNAVAILABLE" | "CANCELLED") => 503,
            Some("DEADLINE_EXCEEDED") => 504,
            _ => 500,
        };
        (!error.is_null()).then(|| Self::said_by_gemini(error, error["code"].as_u64().unwrap_or_else(by_word)))
    }

    fn said_by_gemini(error: &Value, status: u64) -> Self {
        let said = error["message"].as_str().or(error["detail"].as_str()).or(error.as_str()).unwrap_or_default().trim();
        let mut message = said.to_owned();
        if message.is_empty() || message.starts_with('<') {
            message = format!("the provider answered with an error ({status}) that says nothing");
        }
        let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
        // What is wrong with the gateway's key, account or address is not the caller's to mend, whatever the status.
        let mut details = error["details"].as_array().into_iter().flatten();
        let of_key = details.any(|detail| detail["reason"] == "API_KEY_INVALID")
            || says(&["API key", "authentication credentials", "location is not supported", "billing"]);
        let of_file = says(&["permission to access the File", "CachedContent", "tuned model"]);
        match ErrorKind::of_gemini(status) {
            kind @ (ErrorKind::InvalidRequest | ErrorKind::NoKeys | ErrorKind::PermissionDenied)
                if !of_file && (of_key || kind != ErrorKind::InvalidRequest) =>
            {
                let what = "the provider refused the gateway's API key, which says nothing of the client's token";
                Self::new(ErrorKind::NoKeys, format!("{what}. It said: {message}"))
            }
            ErrorKind::InvalidRequest if says(&["exceeds the maximum number of tokens", "input token count"]) => {
                Self::new(ErrorKind::ContextTooLong, message)
            }
            kind => Self::new(kind, message),
        }
    }

    /// The status that clients of a dialect know it by.
    pub fn status(&self, frontend: Frontend) -> StatusCode {
        let status = match (self.kind, frontend.is_anthropic()) {
            (ErrorKind::Unavailable, true) => 529,
            // OpenAI's clients know by the code that it is no use to try again.
            (ErrorKind::Billing, false) => 429,
            (kind, _) => kind.words().0,
        };
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The body that clients of a dialect know it by.
    pub fn body(&self, frontend: Frontend) -> Bytes {
        self.value(frontend).to_string().into()
    }

    pub(crate) fn value(&self, frontend: Frontend) -> Value {
        let (_, mut kind, mut code, anthropic) = self.kind.words();
        if frontend.is_anthropic() {
            // Claude Code shortens the conversation by these words.
            let front = if self.kind == ErrorKind::ContextTooLong { "prompt is too long: " } else { "" };
            let message = format!("{front}{}", self.message);
            // After this code clients send the whole conversation.
            let hint = (self.param() == Some("thread")).then(|| json!({ "error_code": "thread_unsupported_request" }));
            let error = without_nulls(json!({ "type": anthropic, "message": message, "details": hint }));
            return json!({ "type": "error", "error": error });
        }
        let says = |word: &str| self.message.to_ascii_lowercase().contains(word);
        match (self.kind, self.param()) {
            // After this code, too.
            (_, Some("previous_response_id")) => code = Some("previous_response_not_found"),
            (ErrorKind::NotFound, _) if says("model") => code = Some("model_not_found"),
            (ErrorKind::RateLimited, _) if says("token") => kind = "tokens",
            _ => {}
        }
        json!({ "error": { "message": self.message, "type": kind, "param": self.param, "code": code } })
    }
}

/// Opens the envelope, which stands in a list of one where a stream was asked for.
fn gemini_error(body: &Value) -> &Value {
    body.get(0).unwrap_or(body).get("error").unwrap_or(&Value::Null)
}
