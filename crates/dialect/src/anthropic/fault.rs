//! Faults, as the dialect's clients know them.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{Fault, Kind, Refused};

/// The field that asks for a conversation to be held.
pub(super) const THREAD: &str = "thread";

pub(super) fn refused(fault: &Fault) -> Refused {
    let status = match fault.kind {
        // Their own status for it.
        Kind::Overloaded => StatusCode::from_u16(529).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
        kind => kind.status(),
    };
    Refused { status, body: body(fault).to_string().into() }
}

/// `{"type": "error", …}`
pub(super) fn body(fault: &Fault) -> Value {
    let kind = match fault.kind {
        Kind::Invalid | Kind::TooLong | Kind::Filtered | Kind::Conflict | Kind::Encoded => "invalid_request_error",
        Kind::Unauthenticated => "authentication_error",
        Kind::Billing => "billing_error",
        Kind::Denied => "permission_error",
        Kind::NotFound | Kind::NotSupported => "not_found_error",
        Kind::TooLarge => "request_too_large",
        Kind::RateLimited => "rate_limit_error",
        Kind::NoKeys | Kind::Overloaded => "overloaded_error",
        Kind::TimedOut => "timeout_error",
        Kind::Internal | Kind::BadGateway | Kind::NotThere => "api_error",
    };
    let message = match fault.kind {
        // Clients know it by these words, and shorten what they send.
        Kind::TooLong => format!("prompt is too long: {}", fault.message),
        _ => fault.message.clone(),
    };
    let mut body = json!({ "type": "error", "error": { "type": kind, "message": message } });
    if fault.param.as_deref() == Some(THREAD) {
        // By this code the clients' own loops over tools know that they go on without.
        body["error"]["details"] = json!({ "error_code": "thread_unsupported_request" });
    }
    body
}
