//! What an error body means, in short.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tower_keypool::{
    Answer, ApiKeyHeader, Elsewhere as E, OpenAi, Provider, Scope as S, Until as U, Verdict, VerdictKind as K,
};

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

pub(crate) const AGAIN: Meaning = (K::Transient, S::Caller, E::AfterPause);
pub(crate) const BLOCKED: Meaning = (K::Blocked, S::Exit, E::No);
pub(crate) const BUSY: Meaning = (K::Overloaded, S::Lane, E::AfterPause);
pub(crate) const CANCELLED: Meaning = (K::Cancelled, S::Caller, E::No);
pub(crate) const KEY_LANE: Meaning = (K::InvalidKey, S::KeyLane, E::OtherKey);
pub(crate) const NOT_FOR_ACCOUNT: Meaning = (K::ModelUnavailable, S::OwnerLane, E::OtherKey);
pub(crate) const NOT_IN_PLAN: Meaning = (K::WrongOwner, S::Caller, E::OtherKey);
pub(crate) const OURS: Meaning = (K::Misconfigured, S::Caller, E::No);
pub(crate) const SPENT: Meaning = (K::QuotaExhausted, S::Key, E::OtherKey);
pub(crate) const UNNAMED: Meaning = (K::RateLimited, S::KeyLane, E::OtherKey);

/// What a provider makes of an answer, or of an event in a good one.
pub(crate) fn answered(
    provider: &dyn Provider,
    status: u16,
    headers: &[(&str, &str)],
    body: &str,
    event: bool,
) -> Verdict {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap()))
        .collect();
    let answer = Answer::new(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes(), now());
    provider.judge(&if event { answer.event() } else { answer })
}

pub(crate) fn judge(provider: &dyn Provider, status: u16, headers: &[(&str, &str)], body: &Value) -> Verdict {
    judge_text(provider, status, headers, &body.to_string())
}

pub(crate) fn judge_text(provider: &dyn Provider, status: u16, headers: &[(&str, &str)], body: &str) -> Verdict {
    answered(provider, status, headers, body, false)
}

/// A service, its status and its body, and what it means.
pub(crate) type Row<'a> = (&'a str, u16, &'a str, Meaning);

/// Each row means what it says.
pub(crate) fn all(provider: &dyn Provider, rows: &[Row<'_>]) {
    none_differs(rows.iter().map(|(who, status, body, meaning)| {
        (format!("{who} {status} {body}"), *meaning, judge_text(provider, *status, &[], body))
    }));
}

/// Shows all that differ in one run.
pub(crate) fn none_differs(rows: impl Iterator<Item = (String, Meaning, Verdict)>) {
    let wrong: Vec<String> = rows
        .filter(|(_, meaning, verdict)| is(verdict) != *meaning)
        .map(|(what, meaning, verdict)| format!("{what}: {verdict:?}, not {meaning:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A row with the headers of its answer, and with how long what it speaks of rests.
pub(crate) type Timed<'a> = (&'a str, u16, &'a [(&'a str, &'a str)], &'a str, Meaning, U);

pub(crate) fn each_timed(provider: &dyn Provider, rows: &[Timed<'_>]) {
    let wrong: Vec<String> = rows
        .iter()
        .map(|(who, status, headers, body, meaning, until)| {
            (who, body, (*meaning, *until), judge_text(provider, *status, headers, body))
        })
        .filter(|(_, _, means, verdict)| (is(verdict), verdict.until_of()) != *means)
        .map(|(who, body, means, verdict)| format!("{who} {body}: {verdict:?}, not {means:?}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Any API that takes a key in a header.
pub(crate) fn any() -> ApiKeyHeader {
    ApiKeyHeader::header("x-key", "https://a.example").unwrap()
}

pub(crate) fn waits(seconds: u64) -> U {
    U::For(Duration::from_secs(seconds))
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
