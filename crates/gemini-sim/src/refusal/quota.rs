//! The 429 that names the quotas in the way.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::ApiError;
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
    let named: Vec<_> = violations.iter().map(|violation| (violation.axis, violation.limit)).collect();
    quota_failure("over_limit", &named, (family, tier, model), wait)
}

/// 429 for a model to which a project has no entitlement.
pub(crate) fn limit_zero(of: (Family, Tier, &str)) -> ApiError {
    let all =
        [(Axis::TokensPerDay, 0), (Axis::TokensPerMinute, 0), (Axis::RequestsPerMinute, 0), (Axis::RequestsPerDay, 0)];
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
        let _ = write!(message, "\n* Quota exceeded for metric: {metric}, limit: {limit}, model: {model}");
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

/// A duration as the provider's messages write it: `18h24m54.846222292s`,
/// `38.5s`, `644ms`.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 {
        let micros = f64::from(duration.subsec_nanos()) / 1_000_000.0;
        return format!("{micros}ms");
    }
    let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
    let rest = format!("{}.{:09}", seconds % 60, duration.subsec_nanos());
    let rest = rest.trim_end_matches('0').trim_end_matches('.');
    match (hours, minutes) {
        (0, 0) => format!("{rest}s"),
        (0, _) => format!("{minutes}m{rest}s"),
        _ => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_the_provider_writes_them() {
        let written = |nanos| go_duration(Duration::from_nanos(nanos));
        assert_eq!(written(66_294_846_222_292), "18h24m54.846222292s");
        assert_eq!(written(38_500_000_000), "38.5s");
        assert_eq!(written(62_500_000_000), "1m2.5s");
        assert_eq!(written(644_000_000), "644ms");
        assert_eq!(written(43_200_000_000_000), "12h0m0s");
    }
}
