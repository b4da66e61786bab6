//! Errors, and their form in each dialect.

use std::fmt;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};

use crate::{Frontend, fields::without_nulls};

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong (400).
    InvalidRequest,
    /// The request has more tokens than the model accepts (400).
    ContextTooLong,
    /// The provider rejects the content (400).
    ContentFiltered,
    /// The caller's credential is missing or wrong (401).
    Unauthenticated,
    /// The caller may not do this (403).
    PermissionDenied,
    /// The model, file or other resource does not exist (404).
    NotFound,
    /// The path does not exist (404).
    UnknownPath,
    /// The state of the resource does not allow the request (409).
    Conflict,
    /// The body is too large (413).
    TooLarge,
    /// The type or encoding of the body is not supported (415).
    UnsupportedMedia,
    /// A limit is reached (429).
    RateLimited,
    /// The gateway failed (500).
    Internal,
    /// The provider's response is invalid or incomplete (502).
    BadUpstream,
    /// The model's tool call or whole output was malformed (502).
    MalformedAnswer,
    /// No key can serve the request now (503).
    NoKeys,
    /// The provider is overloaded, or dropped the request (503).
    Unavailable,
    /// The provider took too long (504).
    Timeout,
}

impl ErrorKind {
    /// Returns the status, OpenAI's `type` and `code`, and Anthropic's `type`.
    fn words(self) -> (u16, &'static str, Option<&'static str>, &'static str) {
        const INVALID: &str = "invalid_request_error";
        const SERVER: &str = "server_error";
        match self {
            Self::InvalidRequest => (400, INVALID, None, INVALID),
            Self::ContextTooLong => (400, INVALID, Some("context_length_exceeded"), INVALID),
            Self::ContentFiltered => (400, INVALID, Some("content_policy_violation"), INVALID),
            Self::Unauthenticated => (401, INVALID, Some("invalid_api_key"), "authentication_error"),
            Self::PermissionDenied => (403, INVALID, None, "permission_error"),
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

    /// Returns the kind of the gateway's own error with a status.
    pub fn of_status(status: u64) -> Self {
        match status {
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::NotFound,
            409 => Self::Conflict,
            413 => Self::TooLarge,
            415 => Self::UnsupportedMedia,
            429 => Self::RateLimited,
            502 => Self::BadUpstream,
            503 => Self::NoKeys,
            408 | 504 => Self::Timeout,
            400..=499 => Self::InvalidRequest,
            _ => Self::Internal,
        }
    }

    /// Returns the kind of an error that Gemini sent with a status.
    fn of_gemini(status: u64) -> Self {
        match status {
            // The keys are the gateway's: the caller cannot fix a fault of one.
            401 | 402 => Self::NoKeys,
            // 499: Google cancelled the request itself, and accepts it when it is sent again.
            499 | 503 | 529 => Self::Unavailable,
            400..=500 | 504 => Self::of_status(status),
            _ => Self::BadUpstream,
        }
    }
}

/// An error of a request or its response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    param: Option<String>,
}

/// Maximum length of a message in bytes; longer ones are truncated, because some errors repeat the whole request.
const MAX_MESSAGE: usize = 4_096;

impl Error {
    /// Creates an error that concerns no field.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MAX_MESSAGE {
            let end = (0..=MAX_MESSAGE).rev().find(|end| message.is_char_boundary(*end)).unwrap_or_default();
            message.truncate(end);
        }
        Self { kind, message, param: None }
    }

    /// Creates a 400 for the field `param`; `why` follows its name in the message.
    pub(crate) fn invalid(param: impl Into<String>, why: impl fmt::Display) -> Self {
        let param = param.into();
        Self::new(ErrorKind::InvalidRequest, format!("{param}: {why}")).with_param(param)
    }

    pub(crate) fn bad_upstream() -> Self {
        Self::new(ErrorKind::BadUpstream, "the provider's response could not be read")
    }

    /// Sets the field that caused the error.
    #[must_use]
    pub fn with_param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Returns the message with the field in Anthropic's notation: `messages.0.content.0`.
    fn dotted(&self) -> String {
        let Some(param) = self.param() else { return self.message.clone() };
        self.message.replacen(param, &param.replace('[', ".").replace(']', ""), 1)
    }

    /// Returns the kind.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the message for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the request field that caused the error.
    pub fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// Converts an error that Gemini sent with this status.
    pub fn from_gemini(status: StatusCode, body: &[u8]) -> Self {
        // Proxies and other vendors put the error at the top level, or send plain text.
        let body: Value = serde_json::from_slice(body).unwrap_or_else(|_| String::from_utf8_lossy(body).into());
        let error = Some(gemini_error(&body)).filter(|error| !error.is_null()).unwrap_or(&body);
        Self::from_gemini_value(error, u64::from(status.as_u16()))
    }

    /// Returns the error inside a response whose status was a success; `None` if there is none.
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
        (!error.is_null()).then(|| Self::from_gemini_value(error, error["code"].as_u64().unwrap_or_else(by_word)))
    }

    fn from_gemini_value(error: &Value, status: u64) -> Self {
        let text = error["message"].as_str().or(error["detail"].as_str()).or(error.as_str()).unwrap_or_default().trim();
        let mut message = text.to_owned();
        if message.is_empty() || message.starts_with('<') {
            message = format!("the provider returned an error ({status}) without a message");
        }
        let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
        // The caller cannot fix a fault of the gateway's key, account or address, whatever the status is.
        let mut details = error["details"].as_array().into_iter().flatten();
        let of_key = details.any(|detail| detail["reason"] == "API_KEY_INVALID")
            || says(&["API key", "authentication credentials", "location is not supported"])
            // The word alone is also in names of the caller's functions and their fields.
            || says(&["enable billing", "requires billing", "billing is not enabled", "billing is disabled"]);
        let of_file = says(&["permission to access the File", "CachedContent", "tuned model"]);
        match ErrorKind::of_gemini(status) {
            kind @ (ErrorKind::InvalidRequest | ErrorKind::NoKeys | ErrorKind::PermissionDenied)
                if !of_file && (of_key || kind != ErrorKind::InvalidRequest) =>
            {
                let what = "the provider rejected the gateway's API key; the client's token is not the cause";
                Self::new(ErrorKind::NoKeys, format!("{what}. The provider's message: {message}"))
            }
            ErrorKind::InvalidRequest if says(&["exceeds the maximum number of tokens", "input token count"]) => {
                Self::new(ErrorKind::ContextTooLong, message)
            }
            kind => Self::new(kind, message),
        }
    }

    /// Returns the status that clients of a dialect expect.
    pub fn status(&self, frontend: Frontend) -> StatusCode {
        let is_overloaded = self.kind == ErrorKind::Unavailable && frontend == Frontend::Messages;
        let status = if is_overloaded { 529 } else { self.kind.words().0 };
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Returns the body that clients of a dialect expect.
    pub fn body(&self, frontend: Frontend) -> Bytes {
        self.value(frontend).to_string().into()
    }

    pub(crate) fn value(&self, frontend: Frontend) -> Value {
        let (_, mut kind, mut code, anthropic) = self.kind.words();
        if frontend == Frontend::Messages {
            // Claude Code shortens the conversation when it reads these words.
            let front = if self.kind == ErrorKind::ContextTooLong { "prompt is too long: " } else { "" };
            let message = format!("{front}{}", self.dotted());
            // This code makes clients send the whole conversation.
            let hint = (self.param() == Some("thread")).then(|| json!({ "error_code": "thread_unsupported_request" }));
            let error = without_nulls(json!({ "type": anthropic, "message": message, "details": hint }));
            return json!({ "type": "error", "error": error });
        }
        let says = |word: &str| self.message.to_ascii_lowercase().contains(word);
        match (self.kind, self.param()) {
            // This code has the same effect.
            (_, Some("previous_response_id")) => code = Some("previous_response_not_found"),
            (ErrorKind::NotFound, _) if says("model") => code = Some("model_not_found"),
            (ErrorKind::RateLimited, _) if says("token") => kind = "tokens",
            _ => {}
        }
        json!({ "error": { "message": self.message, "type": kind, "param": self.param, "code": code } })
    }
}

/// Returns the member `error`. If a stream was requested, the body is a list of one object.
fn gemini_error(body: &Value) -> &Value {
    body.get(0).unwrap_or(body).get("error").unwrap_or(&Value::Null)
}
