//! What a closing frame says of a key: its reason is judged as the message of an error would be.

use http::{HeaderMap, StatusCode};
use serde_json::json;
use tower_keypool::{Answer, KeyPool, Scope, Until, Verdict};

use super::session::POLICY;

/// How reasons begin that speak of a limit: in the provider's words, before any that a caller may have chosen.
const LIMITS: [&str; 5] = [
    "You exceeded your current quota",
    "Resource has been exhausted",
    "Resource exhausted",
    "Quota exceeded",
    "RESOURCE_EXHAUSTED",
];

/// The statuses with which an answer may say the same, and Google's words for them.
const LIMITED: (StatusCode, &str) = (StatusCode::TOO_MANY_REQUESTS, "RESOURCE_EXHAUSTED");
const INVALID: (StatusCode, &str) = (StatusCode::BAD_REQUEST, "INVALID_ARGUMENT");
const FORBIDDEN: (StatusCode, &str) = (StatusCode::FORBIDDEN, "PERMISSION_DENIED");
const NOT_FOUND: (StatusCode, &str) = (StatusCode::NOT_FOUND, "NOT_FOUND");

/// An answer that says what a closing frame said.
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) body: String,
    pub(super) verdict: Verdict,
}

/// What was closed with, in the body of such an answer.
pub(super) const CLOSED: &str = "closed";

/// The answer that says the same, where the provider's rules then speak of a limit, or blame the key, whose it is, or the
/// way out. A reason that is not clear blames nobody.
pub(super) fn refused(pool: &KeyPool, model: Option<&str>, code: u16, reason: &str) -> Option<Refused> {
    if limits(reason) {
        return Some(said(pool, model, (code, reason), LIMITED));
    }
    let tried = if code == POLICY { [FORBIDDEN, NOT_FOUND, INVALID] } else { [INVALID, FORBIDDEN, NOT_FOUND] };
    let mut said = tried.into_iter().map(|as_status| said(pool, model, (code, reason), as_status));
    said.find(|said| blames(&said.verdict))
}

/// Whether it speaks of a limit.
pub(super) fn limits(reason: &str) -> bool {
    LIMITS.iter().any(|limit| reason.starts_with(limit))
}

fn said(
    pool: &KeyPool,
    model: Option<&str>,
    (code, reason): (u16, &str),
    (status, word): (StatusCode, &str),
) -> Refused {
    let error = json!({ "code": status.as_u16(), "status": word, "message": reason, CLOSED: code });
    let body = json!({ "error": error }).to_string();
    let headers = HeaderMap::new();
    let answer = Answer::new(status, &headers, body.as_bytes(), pool.clock().wall());
    let verdict = pool.provider().judge(&answer.asked(model));
    Refused { status, body, verdict }
}

fn blames(verdict: &Verdict) -> bool {
    let lasts = verdict.until_of() != Until::Now;
    verdict.is_named() && lasts && !matches!(verdict.scope_of(), Scope::Caller | Scope::Lane)
}
