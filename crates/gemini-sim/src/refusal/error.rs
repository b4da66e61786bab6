//! An error as it goes over the wire.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// An error of the API: Google's envelope, or a page of HTML.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    /// The word for it in reports.
    pub(crate) kind: &'static str,
    pub(super) body: Body,
}

#[derive(Clone, Debug)]
pub(super) enum Body {
    Json(RpcStatus),
    Html(String),
}

/// `google.rpc.Status` in JSON, in the real order of its fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RpcStatus {
    pub(super) code: u16,
    pub(super) message: String,
    pub(super) status: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) details: Vec<Value>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: &'a RpcStatus,
}

impl ApiError {
    pub(crate) fn new(code: u16, kind: &'static str, status: &str, message: impl Into<String>) -> Self {
        let body = RpcStatus { code, message: message.into(), status: status.to_owned(), details: Vec::new() };
        Self { status: StatusCode::from_u16(code).expect("a valid status"), kind, body: Body::Json(body) }
    }

    pub(crate) fn invalid_argument(kind: &'static str, message: impl Into<String>) -> Self {
        Self::new(400, kind, "INVALID_ARGUMENT", message)
    }

    /// 400 for a request that is wrong in itself.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self::invalid_argument("malformed", message)
    }

    pub(crate) fn denied(kind: &'static str, message: impl Into<String>) -> Self {
        Self::new(403, kind, "PERMISSION_DENIED", message)
    }

    pub(crate) fn with(mut self, more: impl IntoIterator<Item = Value>) -> Self {
        if let Body::Json(RpcStatus { details, .. }) = &mut self.body {
            details.extend(more);
        }
        self
    }

    pub(crate) fn content_type(&self) -> &'static str {
        match self.body {
            Body::Json(_) => "application/json; charset=UTF-8",
            Body::Html(_) => "text/html; charset=UTF-8",
        }
    }

    /// The body, indented as the provider does; in a list of one where the endpoint streams a list or is OpenAI's.
    pub(crate) fn to_body(&self, in_list: bool) -> String {
        match &self.body {
            Body::Html(page) => page.clone(),
            Body::Json(error) => {
                let envelope = Envelope { error };
                let text = if in_list {
                    serde_json::to_string_pretty(&[envelope])
                } else {
                    serde_json::to_string_pretty(&envelope)
                };
                text.expect("plain data") + "\n"
            }
        }
    }

    /// The body on one line, as an event of a stream carries it.
    pub(crate) fn to_line(&self) -> String {
        match &self.body {
            Body::Html(page) => page.clone(),
            Body::Json(error) => serde_json::to_string(&Envelope { error }).expect("plain data"),
        }
    }
}

/// 400 with the `BadRequest` detail: fields with what is wrong with them. Where the real error names no field, it is empty.
pub(crate) fn bad_request(violations: &[(String, String)]) -> ApiError {
    let message: Vec<_> = violations.iter().map(|(_, description)| description.as_str()).collect();
    let violations = violations.iter().map(|(field, description)| match &**field {
        "" => json!({ "description": description }),
        field => json!({ "field": field, "description": description }),
    });
    let details = json!({
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": violations.collect::<Vec<_>>(),
    });
    ApiError::malformed(message.join("\n")).with([details])
}
