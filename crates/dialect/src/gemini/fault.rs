//! The upstream's errors.

use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Fault, Kind};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Error {
    code: serde_json::Value,
    message: String,
    status: String,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    error: &'a RawValue,
}

const KEYS_REFUSED: &str = "the provider does not take the gateway's keys for this request (401), which says nothing of the \
     client's token; none comes back by itself";

/// What an answer with this status says.
pub fn fault(status: StatusCode, body: &[u8]) -> Fault {
    let body = body.trim_ascii();
    let inside = if body.starts_with(b"[") {
        serde_json::from_slice::<Vec<Envelope<'_>>>(body).ok().and_then(|mut all| all.pop())
    } else {
        serde_json::from_slice::<Envelope<'_>>(body).ok()
    };
    let read = inside.map(|envelope| read(envelope.error)).filter(|(_, message)| !message.is_empty());
    let message = read.map_or_else(|| format!("the upstream answered {status}"), |(_, message)| message);
    // A redirect, which nobody follows here, is no error of the caller's.
    let is_error = status.is_client_error() || status.is_server_error();
    told(if is_error { Kind::of(status) } else { Kind::BadGateway }, message)
}

/// An error inside of an answer whose status was good.
pub(super) fn fault_in(error: &RawValue) -> Fault {
    let (kind, message) = read(error);
    let message = if message.is_empty() { "the upstream failed".to_owned() } else { message };
    told(kind, message)
}

fn read(error: &RawValue) -> (Kind, String) {
    let error: Error = serde_json::from_str(error.get()).unwrap_or_default();
    let code = error.code.as_u64().and_then(|code| u16::try_from(code).ok());
    let status = code.and_then(|code| StatusCode::from_u16(code).ok());
    let kind = match (status, error.status.as_str()) {
        (Some(status), _) => Kind::of(status),
        (None, "RESOURCE_EXHAUSTED") => Kind::RateLimited,
        (None, "UNAVAILABLE") => Kind::Overloaded,
        (None, "DEADLINE_EXCEEDED") => Kind::TimedOut,
        (None, "INVALID_ARGUMENT" | "FAILED_PRECONDITION") => Kind::Invalid,
        (None, "NOT_FOUND") => Kind::NotFound,
        (None, "PERMISSION_DENIED") => Kind::Denied,
        (None, _) => Kind::Internal,
    };
    (kind, error.message)
}

fn told(kind: Kind, message: String) -> Fault {
    let kind = match kind {
        // The keys are this side's: what is wrong with one is not the caller's to mend, and their own token was taken.
        Kind::Unauthenticated => {
            return Fault::new(Kind::NoKeys, format!("{KEYS_REFUSED}. It said: {message}"));
        }
        Kind::Invalid if is_too_long(&message) => Kind::TooLong,
        kind => kind,
    };
    Fault::new(kind, message)
}

fn is_too_long(message: &str) -> bool {
    message.contains("exceeds the maximum number of tokens") || message.contains("input token count")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> (Kind, String) {
        let fault = fault(StatusCode::from_u16(status).unwrap(), body.as_bytes());
        (fault.kind, fault.message)
    }

    #[test]
    fn every_envelope_is_opened() {
        let plain = r#"{"error":{"code":404,"message":"no","status":"NOT_FOUND"}}"#;
        assert_eq!(of(404, plain), (Kind::NotFound, "no".to_owned()));
        assert_eq!(of(404, &format!("[{plain}]\n")), (Kind::NotFound, "no".to_owned()));
        assert_eq!(
            of(429, r#"{"error":{"code":"quota_exceeded","message":"m"}}"#),
            (Kind::RateLimited, "m".to_owned())
        );
        assert_eq!(of(502, "<html>").0, Kind::BadGateway);
        assert_eq!(of(302, "").0, Kind::BadGateway);
        assert_eq!(of(500, "").1, "the upstream answered 500 Internal Server Error");
        assert_eq!(of(401, plain).0, Kind::NoKeys);
        let long =
            r#"{"error":{"message":"The input token count (2) exceeds the maximum number of tokens allowed (1)."}}"#;
        assert_eq!(of(400, long).0, Kind::TooLong);
        let endless = format!(r#"{{"error":{{"message":"{}"}}}}"#, "é".repeat(9_000));
        assert!(of(400, &endless).1.len() <= 4_096);
    }
}
