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

#[derive(Serialize)]
struct Envelope<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
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

    /// The body, indented as the provider does; in a list of one where the
    /// endpoint answers with lists.
    pub(crate) fn text(&self, in_list: bool) -> String {
        if let Some(page) = self.page {
            return page.to_owned();
        }
        let envelope = self.envelope();
        let mut text =
            if in_list { serde_json::to_string_pretty(&[envelope]) } else { serde_json::to_string_pretty(&envelope) }
                .expect("plain data");
        text.push('\n');
        text
    }

    /// The body on one line, as an event of a stream carries it.
    pub(crate) fn line(&self) -> String {
        serde_json::to_string(&self.envelope()).expect("plain data")
    }

    fn envelope(&self) -> Envelope<'_> {
        Envelope {
            error: Inner { code: self.code, message: &self.message, status: self.status, details: &self.details },
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
