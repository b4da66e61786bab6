//! The rate headers of the `OpenAI` family.

use std::time::SystemTime;

use http::{HeaderMap, HeaderName};

use crate::{
    limit::Unit,
    provider::rate_headers::{self, Axis},
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
];

/// What remains, in an answer of any of them.
pub(super) fn read(headers: &HeaderMap, now: Option<SystemTime>) -> Vec<RateHeader> {
    let told = |name: &HeaderName| name.as_str().starts_with("x-ratelimit-remaining") || name == rate_headers::COMBINED;
    if !headers.keys().any(told) {
        return Vec::new();
    }
    rate_headers::read(AXES, headers, now)
}
