//! The rate headers of the `OpenAI` family.

use std::{
    cell::LazyCell,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName};

use crate::{
    limit::Unit,
    provider::rate_headers::{self, Axis},
    time::Clock,
    verdict::RateHeader,
};

const AXES: &[Axis] = &[
    Axis {
        unit: Unit::Requests,
        limit: "x-ratelimit-limit-requests",
        remaining: "x-ratelimit-remaining-requests",
        reset: "x-ratelimit-reset-requests",
    },
    Axis {
        unit: Unit::Tokens,
        limit: "x-ratelimit-limit-tokens",
        remaining: "x-ratelimit-remaining-tokens",
        reset: "x-ratelimit-reset-tokens",
    },
    Axis {
        unit: Unit::Tokens,
        limit: "x-ratelimit-limit-project-tokens",
        remaining: "x-ratelimit-remaining-project-tokens",
        reset: "x-ratelimit-reset-project-tokens",
    },
    // Cerebras.
    Axis {
        unit: Unit::Requests,
        limit: "x-ratelimit-limit-requests-day",
        remaining: "x-ratelimit-remaining-requests-day",
        reset: "x-ratelimit-reset-requests-day",
    },
    Axis {
        unit: Unit::Tokens,
        limit: "x-ratelimit-limit-tokens-day",
        remaining: "x-ratelimit-remaining-tokens-day",
        reset: "x-ratelimit-reset-tokens-day",
    },
    Axis {
        unit: Unit::Tokens,
        limit: "x-ratelimit-limit-tokens-minute",
        remaining: "x-ratelimit-remaining-tokens-minute",
        reset: "x-ratelimit-reset-tokens-minute",
    },
    // OpenRouter; its reset is in milliseconds since the epoch.
    Axis {
        unit: Unit::Requests,
        limit: "x-ratelimit-limit",
        remaining: "x-ratelimit-remaining",
        reset: "x-ratelimit-reset",
    },
    // Of gateways, as the IETF's draft had them first.
    Axis { unit: Unit::Requests, limit: "ratelimit-limit", remaining: "ratelimit-remaining", reset: "ratelimit-reset" },
];

/// Of quotas that are out for no longer than this the end is waited for.
const LONG: Duration = Duration::from_secs(60);

/// What a good answer says remains. A quota of requests for longer than a minute refills all the while, and its reset is when
/// all of it is back (`OpenAI`'s and Groq's requests a day: one every few seconds): once one is back another may go.
pub(super) fn of_good(headers: &HeaderMap, clock: &Clock) -> Vec<RateHeader> {
    // One time for both looks, so that they find the same.
    let now = LazyCell::new(|| clock.wall());
    let mut rates = read(headers, || *now);
    if rates.iter().any(|rate| rate.reset > LONG) {
        let refills = rate_headers::read(&AXES[..1], headers, || *now).first().copied();
        if let Some(rate) = rates.iter_mut().find(|rate| Some(**rate) == refills) {
            rate.reset = until_one(*rate);
        }
    }
    rates
}

/// When the next one is back of a quota that refills evenly.
fn until_one(rate: RateHeader) -> Duration {
    let used = rate.limit.map_or(0, |limit| limit.saturating_sub(rate.remaining));
    match u32::try_from(used) {
        Ok(used) if used > 0 && rate.reset > LONG => (rate.reset / used).max(Duration::from_secs(1)),
        _ => rate.reset,
    }
}

/// What remains, in an answer of any of them.
pub(super) fn read(headers: &HeaderMap, now: impl FnOnce() -> SystemTime) -> Vec<RateHeader> {
    let told = |name: &HeaderName| {
        let name = name.as_str();
        name.starts_with("x-ratelimit-remaining") || name.starts_with(rate_headers::COMBINED)
    };
    if !headers.keys().any(told) {
        return Vec::new();
    }
    rate_headers::read(AXES, headers, now)
}
