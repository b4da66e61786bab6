//! An error as it goes over the wire.

use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};

/// An error before it is written: Google's envelope, or a page of HTML.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) code: u16,
    pub(crate) kind: &'static str,
    message: String,
    status: &'static str,
    details: Vec<Value>,
    page: Option<&'static str>,
}

/// How an endpoint wraps its errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrapping {
    Bare,
    /// In a list of one.
    Listed,
    /// With a word for a code and nothing beside the message, as interactions have them.
    Worded,
}

#[derive(Serialize)]
struct Envelope<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    event_type: Option<&'static str>,
    error: Inner<'a>,
}

/// The one that an endpoint has.
#[derive(Serialize)]
#[serde(untagged)]
enum Inner<'a> {
    Rpc(Rpc<'a>),
    Worded { code: &'static str, message: &'a str },
}

#[derive(Serialize)]
struct Rpc<'a> {
    code: u16,
    message: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "<[Value]>::is_empty")]
    details: &'a [Value],
}

// === impl ApiError ===

impl ApiError {
    pub(crate) fn new(code: u16, kind: &'static str, status: &'static str, message: impl Into<String>) -> Self {
        Self { code, kind, message: message.into(), status, details: Vec::new(), page: None }
    }

    pub(crate) fn invalid_argument(kind: &'static str, message: impl Into<String>) -> Self {
        Self::new(400, kind, "INVALID_ARGUMENT", message)
    }

    pub(crate) fn denied(kind: &'static str, message: impl Into<String>) -> Self {
        Self::new(403, kind, "PERMISSION_DENIED", message)
    }

    pub(super) fn page(code: u16, kind: &'static str, page: &'static str) -> Self {
        Self { page: Some(page), ..Self::new(code, kind, "", "") }
    }

    pub(crate) fn with(mut self, details: impl IntoIterator<Item = Value>) -> Self {
        self.details.extend(details);
        self
    }

    /// Adds the two details that a named refusal carries: reason and text.
    pub(super) fn because(self, reason: &str, metadata: &Value) -> Self {
        let message = self.message.clone();
        self.with([
            error_info(reason, metadata),
            json!({
                "@type": "type.googleapis.com/google.rpc.LocalizedMessage",
                "locale": "en-US",
                "message": message,
            }),
        ])
    }

    pub(crate) fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code).expect("a three-digit status")
    }

    pub(crate) fn content_type(&self) -> &'static str {
        if self.page.is_some() { "text/html; charset=UTF-8" } else { "application/json; charset=UTF-8" }
    }

    /// The body, indented as the provider does.
    pub(crate) fn text(&self, wrapping: Wrapping) -> String {
        if let Some(page) = self.page {
            return page.to_owned();
        }
        let envelope = Envelope { event_type: None, error: self.inner(wrapping) };
        let mut text = match wrapping {
            Wrapping::Listed => serde_json::to_string_pretty(&[envelope]),
            Wrapping::Bare | Wrapping::Worded => serde_json::to_string_pretty(&envelope),
        }
        .expect("plain data");
        text.push('\n');
        text
    }

    /// The body on one line, as an event of a stream carries it.
    pub(crate) fn line(&self, wrapping: Wrapping) -> String {
        let event_type = (wrapping == Wrapping::Worded).then_some("error");
        serde_json::to_string(&Envelope { event_type, error: self.inner(wrapping) }).expect("plain data")
    }

    fn inner(&self, wrapping: Wrapping) -> Inner<'_> {
        let Self { code, message, status, details, .. } = self;
        match wrapping {
            Wrapping::Worded => Inner::Worded { code: self.word(), message },
            Wrapping::Bare | Wrapping::Listed => Inner::Rpc(Rpc { code: *code, message, status, details }),
        }
    }

    /// What interactions call it.
    fn word(&self) -> &'static str {
        match (self.code, self.kind) {
            (401, _) | (_, "api_key_invalid" | "api_key_not_found" | "api_key_expired") => "authentication",
            (403, _) => "permission_denied",
            (404, "model_not_found" | "model_retired") => "model_not_found",
            (404, _) => "not_found",
            (402, _) | (_, "limit_zero" | "prepay_depleted" | "spending_cap") => "quota_exceeded",
            (429, _) => "rate_limit_exceeded",
            (499, _) => "cancelled",
            (503, _) => "overloaded",
            (504, _) => "deadline_exceeded",
            (500.., _) => "internal",
            _ => "invalid_request",
        }
    }
}

pub(super) fn error_info(reason: &str, metadata: &Value) -> Value {
    json!({
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": metadata,
    })
}

/// 400 with the `BadRequest` detail; `field` is left out where the real one
/// names none.
pub(crate) fn bad_request(field: Option<&str>, description: &str) -> ApiError {
    let violation = match field {
        Some(field) => json!({ "field": field, "description": description }),
        None => json!({ "description": description }),
    };
    ApiError::invalid_argument("malformed", description).with([json!({
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [violation],
    })])
}
