//! The 429 that names the quotas in the way.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::{ApiError, go_duration};
use crate::Tier;
use crate::quota::{Axis, Family, Violation, quota_name};

pub(super) const QUOTA_MESSAGE: &str = "You exceeded your current quota, please check your plan \
and billing details. For more information on this error, head to: \
https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, head to: \
https://ai.dev/rate-limit. ";

pub(super) fn help() -> Value {
    json!({
        "@type": "type.googleapis.com/google.rpc.Help",
        "links": [{
            "description": "Learn more about Gemini API quotas",
            "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
        }],
    })
}

/// 429 for limits that are full. A free project's requests per day are
/// answered with a delay of less than a minute, as the real provider does:
/// `decoy` is that delay.
pub(crate) fn over_quota(
    violations: &[Violation],
    (family, tier, model): (Family, Tier, &str),
    decoy: Duration,
) -> ApiError {
    let wait = violations
        .iter()
        .map(|violation| match violation.axis {
            Axis::RequestsPerDay if tier == Tier::Free => decoy,
            _ => violation.wait,
        })
        .max()
        .unwrap_or(decoy);
    let named: Vec<_> = violations
        .iter()
        .map(|violation| (violation.axis, violation.limit))
        .collect();
    quota_failure("over_limit", &named, (family, tier, model), wait)
}

/// 429 for a model to which a free project has no entitlement.
pub(super) fn limit_zero(model: &str) -> ApiError {
    let all = [
        (Axis::TokensPerDay, 0),
        (Axis::TokensPerMinute, 0),
        (Axis::RequestsPerMinute, 0),
        (Axis::RequestsPerDay, 0),
    ];
    let of = (Family::Generate, Tier::Free, model);
    quota_failure("limit_zero", &all, of, Duration::from_nanos(59_953_424_872))
}

fn quota_failure(
    kind: &'static str,
    exceeded: &[(Axis, u64)],
    (family, tier, model): (Family, Tier, &str),
    wait: Duration,
) -> ApiError {
    let mut message = QUOTA_MESSAGE.to_owned();
    let mut violations = Vec::new();
    for &(axis, limit) in exceeded {
        let (id, metric) = quota_name(axis, family, tier);
        let metric = format!("generativelanguage.googleapis.com/{metric}");
        let _ = write!(
            message,
            "\n* Quota exceeded for metric: {metric}, limit: {limit}, model: {model}"
        );
        let mut violation = json!({
            "quotaMetric": metric,
            "quotaId": id,
            "quotaDimensions": { "location": "global", "model": model },
        });
        // Zero is the default of the field, and proto3 JSON leaves it out.
        if limit > 0 {
            violation["quotaValue"] = limit.to_string().into();
        }
        violations.push(violation);
    }
    let _ = write!(message, "\nPlease retry in {}.", go_duration(wait));
    ApiError::new(429, kind, "RESOURCE_EXHAUSTED", message).with([
        help(),
        json!({
            "@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": violations,
        }),
        json!({
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{}s", wait.as_secs()),
        }),
    ])
}
