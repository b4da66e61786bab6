//! Headers that tell what remains of a quota: a limit, what is left of it, and when it is restored.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use super::rate_field;
pub(super) use super::rate_field::COMBINED;
use crate::{
    limit::Unit,
    verdict::{RateHeader, retry_after},
};

/// The three headers of one quota.
pub(super) struct Axis {
    pub(super) unit: Unit,
    pub(super) limit: &'static str,
    pub(super) remaining: &'static str,
    pub(super) reset: &'static str,
}

/// Reads every axis that is there, and the one field that the IETF has for it. Times of day are measured by the answer's own
/// `Date`, else against `now`, which is asked for only then.
///
/// Negative and unreadable figures are ignored, and so is a limit of zero: some gateways send zeros for "unknown".
pub(super) fn read(axes: &[Axis], headers: &HeaderMap, now: impl FnOnce() -> SystemTime) -> Vec<RateHeader> {
    let now = retry_after::server_time(headers).unwrap_or_else(now);
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let number = |name: &str| text(name).and_then(|value| value.trim().parse::<u64>().ok());
    let read = |axis: &Axis| {
        let remaining = number(axis.remaining)?;
        let limit = number(axis.limit);
        let reset = retry_after::reset(text(axis.reset)?, now)?;
        (limit != Some(0)).then_some(RateHeader { unit: axis.unit, remaining, limit, reset })
    };
    axes.iter().filter_map(read).chain(rate_field::read(headers)).collect()
}

/// When everything that has run out is restored.
pub(super) fn restored(rates: &[RateHeader]) -> Option<Duration> {
    rates.iter().filter(|rate| rate.remaining == 0).map(|rate| rate.reset).max()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    const AXES: &[Axis] = &[Axis { unit: Unit::Requests, limit: "l", remaining: "r", reset: "x" }];

    fn one(limit: &str, remaining: &str, reset: &str) -> Option<RateHeader> {
        let pairs = [("l", limit), ("r", remaining), ("x", reset)];
        let headers = pairs.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        read(AXES, &headers.into_iter().collect(), || now).pop()
    }

    #[test]
    fn sentinels_and_nonsense_are_left_out() {
        let rate = one("10", "3", "6m0s").unwrap();
        assert_eq!((rate.limit, rate.remaining, rate.reset), (Some(10), 3, Duration::from_secs(360)));
        assert_eq!(one("10", "3", "20").unwrap().reset, Duration::from_secs(20));
        assert_eq!(one("10", "3", "1795000060").unwrap().reset, Duration::from_secs(60), "a time of day");
        assert_eq!(one("-1", "3", "1s").unwrap().limit, None);
        for (limit, remaining, reset) in
            [("10", "-1", "1s"), ("0", "0", "0"), ("10", "3", "-1"), ("10", "NaN", "1s"), ("9", "1", "soon")]
        {
            assert_eq!(one(limit, remaining, reset), None, "{limit} {remaining} {reset}");
        }
    }
}
