//! Answers: JSON, and never a secret.

use std::{borrow::Cow, convert::Infallible};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use serde::Serialize;
use serde_json::json;

/// What an administrator gets.
pub(crate) type AdminBody = UnsyncBoxBody<Bytes, Infallible>;
pub(crate) type Answer = Response<AdminBody>;

/// Why something was not done.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: Cow<'static, str>,
    pub(super) header: Option<(header::HeaderName, HeaderValue)>,
}

impl Fault {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), header: None }
    }

    pub(super) fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    pub(super) fn wrong(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
    }

    /// The database did not do it.
    pub(super) fn store(error: &dyn std::fmt::Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", error.to_string())
    }

    pub(super) fn with(self, name: header::HeaderName, value: HeaderValue) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    pub(super) fn answer(self) -> Answer {
        let told = json!({ "error": { "code": self.code, "message": self.message } });
        let mut response = json(self.status, &told);
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(text) => told(status, "application/json; charset=utf-8", Full::from(text).boxed_unsync()),
        Err(_) => Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the answer could not be written").answer(),
    }
}

pub(super) fn fine(value: &impl Serialize) -> Answer {
    json(StatusCode::OK, value)
}

pub(super) fn told(status: StatusCode, kind: &'static str, body: AdminBody) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
