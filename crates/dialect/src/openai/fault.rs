//! Faults, as the dialect's clients know them.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{Fault, Kind, Refused};

pub(super) fn refused(fault: &Fault) -> Refused {
    Refused { status: status(fault.kind), body: body(fault).to_string().into() }
}

fn status(kind: Kind) -> StatusCode {
    match kind {
        // Clients send it again only where it may help.
        Kind::Billing => StatusCode::TOO_MANY_REQUESTS,
        kind => kind.status(),
    }
}

/// Whether it is a model that is not there: files, caches and items are looked for, too.
fn is_of_a_model(fault: &Fault) -> bool {
    fault.param.as_deref() == Some("model") || fault.message.contains("model") || fault.message.contains("Model")
}

/// Whether a conversation cannot go on, since nobody remembers it: clients begin it anew by this.
fn is_of_a_lost_response(fault: &Fault) -> bool {
    fault.param.as_deref() == Some("previous_response_id") && fault.message.contains(" not found")
}

/// Whether the limit is one of tokens: ours says so, and the provider names its quota.
fn is_of_tokens(fault: &Fault) -> bool {
    fault.message.contains("tokens") || fault.message.contains("token_count")
}

/// `{"error": …}`
pub(super) fn body(fault: &Fault) -> Value {
    let (kind, code) = match fault.kind {
        Kind::Invalid if is_of_a_lost_response(fault) => ("invalid_request_error", Some("previous_response_not_found")),
        Kind::Invalid | Kind::TooLarge | Kind::Conflict | Kind::Encoded => ("invalid_request_error", None),
        Kind::TooLong => ("invalid_request_error", Some("context_length_exceeded")),
        Kind::Filtered => ("invalid_request_error", Some("content_policy_violation")),
        Kind::Unauthenticated => ("invalid_request_error", Some("invalid_api_key")),
        Kind::Billing => ("insufficient_quota", Some("insufficient_quota")),
        Kind::Denied => ("permission_error", None),
        Kind::NotFound => ("invalid_request_error", is_of_a_model(fault).then_some("model_not_found")),
        Kind::NotSupported => ("invalid_request_error", Some("unknown_url")),
        Kind::RateLimited if is_of_tokens(fault) => ("tokens", Some("rate_limit_exceeded")),
        Kind::RateLimited => ("requests", Some("rate_limit_exceeded")),
        Kind::NoKeys => ("server_error", Some("no_available_keys")),
        Kind::Overloaded | Kind::TimedOut | Kind::Internal | Kind::BadGateway | Kind::NotThere => {
            ("server_error", None)
        }
    };
    json!({ "error": { "message": fault.message, "type": kind, "param": fault.param, "code": code } })
}
