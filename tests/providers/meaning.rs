//! What an error body means, in short.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tower_keypool::{Answer, Elsewhere as E, OpenAi, Provider, Scope as S, Verdict, VerdictKind as K};

use crate::sample::now;

pub(crate) type Meaning = (K, S, E);

pub(crate) const KEY: Meaning = (K::InvalidKey, S::Key, E::OtherKey);
pub(crate) const MONEY: Meaning = (K::QuotaExhausted, S::Owner, E::OtherKey);
pub(crate) const QUOTA: Meaning = (K::QuotaExhausted, S::OwnerLane, E::OtherKey);
pub(crate) const RATE: Meaning = (K::RateLimited, S::OwnerLane, E::OtherKey);
pub(crate) const SUSPENDED: Meaning = (K::Suspended, S::Owner, E::OtherKey);
pub(crate) const WRONG_OWNER: Meaning = (K::WrongOwner, S::Caller, E::OtherOwner);
pub(crate) const NO_SUCH_MODEL: Meaning = (K::ModelUnavailable, S::Lane, E::OtherModel);
pub(crate) const NOT_FOR_KEY: Meaning = (K::ModelUnavailable, S::KeyLane, E::OtherKey);
pub(crate) const CALLER: Meaning = (K::CallerFault, S::Caller, E::No);

pub(crate) fn judge(provider: &dyn Provider, status: u16, headers: &[(&str, &str)], body: &Value) -> Verdict {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap()))
        .collect();
    let body = body.to_string();
    provider.judge(&Answer::new(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes(), now()))
}

pub(crate) fn openai(status: u16, body: &Value) -> Verdict {
    judge(&OpenAi::new(), status, &[], body)
}

pub(crate) fn is(verdict: &Verdict) -> Meaning {
    (verdict.kind(), verdict.scope_of(), verdict.elsewhere_of())
}

/// An error as `OpenAI` has it.
pub(crate) fn said(message: &str, kind: &str, code: &str) -> Value {
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
}
