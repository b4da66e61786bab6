//! The 429 that names the exceeded quotas.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use super::ApiError;
use crate::Tier;
use crate::quota::{QuotaName, Unit, Violation};

const MESSAGE: &str = "You exceeded your current quota, please check your plan and billing details. For more \
information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits. To monitor your current usage, \
head to: https://ai.dev/rate-limit. ";

/// What a quota error is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuotaOwner<'a> {
    pub(crate) tier: Tier,
    pub(crate) model: &'a str,
    pub(crate) embeds: bool,
}

/// 429 for limits that are full. The real provider answers a free project whose requests of a day are used up with a
/// delay of less than a minute: `short_delay`.
pub(crate) fn over_limit(violations: &[Violation], owner: QuotaOwner<'_>, short_delay: Duration) -> ApiError {
    let delay = |violation: &Violation| match violation.unit {
        Unit::RequestsPerDay if owner.tier == Tier::Free => short_delay,
        _ => violation.wait,
    };
    let delay = violations.iter().map(delay).max().unwrap_or(short_delay);
    let exceeded: Vec<_> = violations.iter().map(|violation| (violation.unit, violation.limit)).collect();
    quota_failure("over_limit", &exceeded, owner, delay)
}

/// 429 for a model that a project has no quota for.
pub(crate) fn limit_zero(owner: QuotaOwner<'_>) -> ApiError {
    let all = [Unit::TokensPerDay, Unit::TokensPerMinute, Unit::RequestsPerMinute, Unit::RequestsPerDay];
    quota_failure("limit_zero", &all.map(|unit| (unit, 0)), owner, Duration::from_nanos(59_953_424_872))
}

fn quota_failure(kind: &'static str, exceeded: &[(Unit, u64)], owner: QuotaOwner<'_>, delay: Duration) -> ApiError {
    let model = owner.model;
    let mut message = MESSAGE.to_owned();
    let mut violations = Vec::new();
    for &(unit, limit) in exceeded {
        let QuotaName { id, metric } = QuotaName::of(unit, owner.tier, owner.embeds);
        let metric = format!("generativelanguage.googleapis.com/{metric}");
        let _ = write!(message, "\n* Quota exceeded for metric: {metric}, limit: {limit}, model: {model}");
        let mut violation = json!({
            "quotaMetric": metric,
            "quotaId": id,
            "quotaDimensions": { "location": "global", "model": model },
        });
        // Zero is the default of the field, which proto3's JSON leaves out.
        if limit > 0 {
            violation["quotaValue"] = limit.to_string().into();
        }
        violations.push(violation);
    }
    let _ = write!(message, "\nPlease retry in {}.", go_duration(delay));
    let help = json!({
        "description": "Learn more about Gemini API quotas",
        "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
    });
    let retry_delay = format!("{}s", delay.as_secs());
    ApiError::new(429, kind, "RESOURCE_EXHAUSTED", message).with([
        json!({ "@type": "type.googleapis.com/google.rpc.Help", "links": [help] }),
        json!({ "@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations }),
        json!({ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": retry_delay }),
    ])
}

/// As Go prints durations: `18h24m54.846222292s`, `38.5s`, `644ms`.
fn go_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 {
        return format!("{}ms", f64::from(duration.subsec_nanos()) / 1e6);
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
    fn durations_are_written_as_go_writes_them() {
        let of = |seconds, nanos| go_duration(Duration::new(seconds, nanos));
        assert_eq!(of(66_294, 846_222_292), "18h24m54.846222292s");
        assert_eq!(
            (of(38, 500_000_000), of(0, 644_000_000), of(60, 0)),
            ("38.5s".into(), "644ms".into(), "1m0s".into())
        );
    }
}
