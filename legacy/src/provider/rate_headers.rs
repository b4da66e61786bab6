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

/// No server has more quotas than this.
const MOST: usize = 16;

/// Reads every axis that is there, and the one field that the IETF has for it. Times of day are measured by the answer's own
/// `Date`, else against `now`, which is asked for only then.
///
/// Negative and unreadable figures are ignored, and so is a limit of zero: some gateways send zeros for "unknown".
pub(super) fn read(axes: &[Axis], headers: &HeaderMap, now: impl FnOnce() -> SystemTime) -> Vec<RateHeader> {
    let now = retry_after::server_time(headers).unwrap_or_else(now);
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let read = |unit, (remaining, reset, limit): (&str, &str, Option<&str>)| {
        let (remaining, limit) = (number(remaining)?, limit.and_then(number));
        let reset = retry_after::reset(reset, now)?;
        (limit != Some(0)).then_some(RateHeader { unit, remaining, limit, reset })
    };
    let mut rates = Vec::new();
    for axis in axes {
        let (Some(remaining), Some(reset)) = (text(axis.remaining), text(axis.reset)) else { continue };
        let limit = text(axis.limit);
        // Brave tells several quotas in one field each: `1, 0` of `1, 2000`, back in `1, 1419704`. A date has a comma, too.
        let counts = [Some(remaining), Some(reset), limit].into_iter().flatten().map(|list| list.split(',').count());
        if remaining.contains(',') && counts.clone().min() == counts.max() {
            let limits = limit.map(|limit| limit.split(','));
            let mut limits = limits.into_iter().flatten();
            let each = remaining.split(',').zip(reset.split(',')).take(MOST);
            rates.extend(each.filter_map(|(remaining, reset)| read(axis.unit, (remaining, reset, limits.next()))));
        } else {
            rates.extend(read(axis.unit, (remaining, reset, limit)));
        }
    }
    rates.extend(rate_field::read(headers));
    rates
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

    fn all(limit: &str, remaining: &str, reset: &str) -> Vec<RateHeader> {
        let pairs = [("l", limit), ("r", remaining), ("x", reset)];
        let headers = pairs.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
        read(AXES, &headers.into_iter().collect(), || now)
    }

    fn one(limit: &str, remaining: &str, reset: &str) -> Option<RateHeader> {
        all(limit, remaining, reset).pop()
    }

    #[test]
    fn several_quotas_may_stand_in_one_field_each() {
        for (remaining, reset, seconds) in
            [("1, 0", "1, 1419704", Some(1_419_704)), ("0, 1448", "1, 1419704", Some(1)), ("1, 7", "1, 9", None)]
        {
            let rates = all("1, 2000", remaining, reset);
            assert_eq!(rates.iter().map(|rate| rate.limit).collect::<Vec<_>>(), [Some(1), Some(2_000)]);
            assert_eq!(restored(&rates), seconds.map(Duration::from_secs), "{remaining} {reset}");
        }
        assert_eq!(all("1", "1, 0", "1, 2"), [], "who belongs to whom nobody knows");
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
