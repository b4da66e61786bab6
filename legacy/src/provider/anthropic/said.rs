//! Reads Anthropic's errors, `{"type": "error", "error": {type, message, details: {error_code}}}`, and rate headers.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

use crate::{
    limit::{Span, Unit},
    provider::{
        Answer,
        complaint::Complaint,
        envelope::{Envelope, is_reason},
        error_words, long_quota,
        openai::said::{note_asked, note_model_budget, note_passed_on},
        rate_headers::{self, Axis},
    },
    verdict::{RateHeader, Violation, retry_after},
};

/// Our word for a limit of a subscription, whose windows are told in headers.
pub(super) const WINDOWS: &str = "UNIFIED_WINDOWS";

/// Reads an error.
pub(super) fn read(envelope: &Envelope<'_>, answer: &Answer<'_>) -> Complaint {
    let mut said = Complaint::of(answer, Some(envelope));
    let mut message: &str = envelope.message();
    let mut told_wait = None;
    if let Some(error) = envelope.error() {
        let detail = error.get("details").and_then(|details| details.get("error_code"));
        for word in [detail, error.get("type"), error.get("code")].into_iter().flatten() {
            match word {
                Value::String(word) => said.say(word),
                // Of gateways that speak its language (Zhipu's).
                Value::Number(number) => said.say(&number.to_string()),
                _ => {}
            }
        }
        if answer.status.is_success() {
            said.status = error_words::status_of(error, envelope.json.as_ref(), super::GOOD).unwrap_or(500);
        }
        let beside = || envelope.json.as_ref()?.get("message")?.as_str();
        message = match error.as_str() {
            Some(text) if is_reason(text, said.status) => beside().unwrap_or(text),
            Some(text) => text,
            None => ["message", "Message", "msg"]
                .iter()
                .find_map(|name| error.get(name))
                .and_then(Value::as_str)
                .unwrap_or(message),
        };
        told_wait = [Some(error), envelope.json.as_ref()].into_iter().flatten().find_map(retry_after::in_members);
    }
    said.tell(message);
    note_passed_on(&mut said);
    note_model_budget(&mut said);
    let remaining = rates(answer.headers, || answer.now);
    let windows = unified(answer);
    if windows.is_some() {
        said.say(WINDOWS);
    }
    said.wait = said
        .wait
        .or_else(|| rate_headers::restored(&remaining))
        .or(windows)
        .or(told_wait.filter(|_| said.is_of_waiting()))
        .or_else(|| said.wait_in_text());
    if said.wait.is_none() {
        said.hit = long_quota::hit_of(&said);
    }
    said.wait = said.wait.or_else(|| said.wait_for_a_moment());
    note_asked(&mut said);
    if said.is_of_limits() && said.hit.is_none() {
        let violation = violation(said.message());
        said.news.violations.extend(violation);
        said.news.decisive = violation;
    }
    said.news.remaining = remaining;
    said
}

/// `… exceed the rate limit for your organization (…) of 50 requests per minute. …`, in lower case.
///
/// One of tokens is left out: what an answer read from a cache does not count there, and how much that will be a request does
/// not tell. Held by its length, long prompts that are read from a cache would wait for a limit that they do not touch.
fn violation(message: &str) -> Option<Violation> {
    let (before, _) = message.split_once(" requests per minute")?;
    let (sentence, amount) = before.rsplit_once(" of ")?;
    let named = sentence.contains("rate limit") && !sentence.contains(". ");
    let amount: u64 = amount.replace(',', "").parse().ok().filter(|amount| named && *amount > 0)?;
    Some(Violation { unit: Unit::Requests, span: Span::MINUTE, amount: Some(amount) })
}

/// When the one limit that stands for all of an account is restored, where an answer says that it was met; else when its windows
/// are (`5h`, `7d`) that refused.
fn unified(answer: &Answer<'_>) -> Option<Duration> {
    const LIMIT: &str = "anthropic-ratelimit-unified-";
    let headers = Some(answer.headers).filter(|_| answer.status.as_u16() == 429)?;
    let now = retry_after::server_time(headers).unwrap_or(answer.now);
    let reset = |of: &str| retry_after::reset(headers.get(format!("{LIMIT}{of}reset"))?.to_str().ok()?, now);
    let refused = |(name, value): (&HeaderName, &HeaderValue)| {
        let window = name.as_str().strip_prefix(LIMIT)?.strip_suffix("status")?.to_owned();
        // What is beyond them (`overage`) has no window.
        (value == "rejected" && window.starts_with(|c: char| c.is_ascii_digit())).then_some(window)
    };
    reset("").or_else(|| headers.iter().filter_map(refused).filter_map(|window| reset(&window)).max())
}

const AXES: &[Axis] = &[
    Axis {
        unit: Unit::Requests,
        limit: "anthropic-ratelimit-requests-limit",
        remaining: "anthropic-ratelimit-requests-remaining",
        reset: "anthropic-ratelimit-requests-reset",
    },
    Axis {
        unit: Unit::InputTokens,
        limit: "anthropic-ratelimit-input-tokens-limit",
        remaining: "anthropic-ratelimit-input-tokens-remaining",
        reset: "anthropic-ratelimit-input-tokens-reset",
    },
    Axis {
        unit: Unit::OutputTokens,
        limit: "anthropic-ratelimit-output-tokens-limit",
        remaining: "anthropic-ratelimit-output-tokens-remaining",
        reset: "anthropic-ratelimit-output-tokens-reset",
    },
    Axis {
        unit: Unit::Tokens,
        limit: "anthropic-ratelimit-tokens-limit",
        remaining: "anthropic-ratelimit-tokens-remaining",
        reset: "anthropic-ratelimit-tokens-reset",
    },
];

/// What remains.
pub(super) fn rates(headers: &HeaderMap, now: impl FnOnce() -> SystemTime) -> Vec<RateHeader> {
    // Gateways that speak its language send the one of the IETF.
    let told = |name: &HeaderName| name.as_str().starts_with("anthropic-ratelimit-") || name == rate_headers::COMBINED;
    if !headers.keys().any(told) {
        return Vec::new();
    }
    rate_headers::read(AXES, headers, now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_in_sentences() {
        let requests = |amount| Some(Violation { unit: Unit::Requests, span: Span::MINUTE, amount: Some(amount) });
        for (text, expected) in [
            (
                "this request would exceed the rate limit for your organization (0a-1) of 50 requests per minute. for details, …",
                requests(50),
            ),
            (
                "this request would exceed your organization's rate limit of 4,000 requests per minute (org: 0a-1)",
                requests(4_000),
            ),
            (
                "this request would exceed the rate limit for your organization (0a-1) of 20,000 input tokens per minute.",
                None,
            ),
            ("this request would exceed the rate limit for your organization (0a-1) of 0 requests per minute.", None),
            ("this request would exceed your organization's maximum usage increase rate for requests per minute", None),
            ("rate limit. see what becomes of 9 requests per minute", None),
            ("one of 9 requests per minute", None),
            ("number of requests has exceeded your per-minute rate limit", None),
            ("", None),
        ] {
            assert_eq!(violation(text), expected, "{text}");
        }
    }
}
