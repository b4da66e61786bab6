//! The one field that the IETF's draft has for what remains of a quota, in both forms that servers send: `RateLimit:
//! limit=10, remaining=0, reset=5` as it was first, `RateLimit: "burst";r=0;t=5, "day";r=3;t=3600` as it became, with
//! `RateLimit-Policy: "burst";q=10;w=60` beside it.

use std::time::Duration;

use http::HeaderMap;

use crate::{
    limit::Unit,
    verdict::{RateHeader, retry_after::LONGEST},
};

/// Its name.
pub(super) const COMBINED: &str = "ratelimit";
const POLICY: &str = "ratelimit-policy";
/// No server has more limits than this: each is looked up among all.
const MOST: usize = 16;

/// What of it counts requests and says when; nothing where a limit is zero.
pub(super) fn read(headers: &HeaderMap) -> Vec<RateHeader> {
    let fields: Vec<&str> = values(headers, COMBINED).collect();
    let of_one = fields.iter().copied().flat_map(|field| parts(field, ',')).take(MOST);
    let of_one = of_one.filter_map(|item| item.split_once('='));
    let of_one: Vec<_> = of_one.filter(|(name, _)| !name.contains(';')).collect();
    let named = |name: &str| of_one.iter().find(|(held, _)| held.trim() == name).and_then(|(_, value)| number(value));
    let first = rate(named("limit"), named("remaining"), named("reset"));
    let items = fields.iter().copied().flat_map(|field| parts(field, ',')).take(MOST);
    let rates = items.filter_map(|item| {
        let mut of_item = parts(item, ';');
        let policy = Policy::of(headers, of_item.next()?.trim());
        if !policy.is_of_requests {
            return None;
        }
        let parameters: Vec<_> = of_item.filter_map(|part| part.split_once('=')).collect();
        let named = |name: &str| parameter(&parameters, name).and_then(number);
        rate(policy.limit, named("r"), named("t"))
    });
    first.into_iter().chain(rates).collect()
}

fn rate(limit: Option<u64>, remaining: Option<u64>, reset: Option<u64>) -> Option<RateHeader> {
    let reset = Duration::from_secs(reset?).min(LONGEST);
    (limit != Some(0)).then_some(RateHeader { unit: Unit::Requests, remaining: remaining?, limit, reset })
}

/// What is said beside it of the limit that one item is about.
struct Policy {
    limit: Option<u64>,
    is_of_requests: bool,
}

impl Policy {
    fn of(headers: &HeaderMap, name: &str) -> Self {
        let mut items = values(headers, POLICY).flat_map(|field| parts(field, ',')).take(MOST);
        let Some(item) = items.find(|item| parts(item, ';').next().is_some_and(|held| held.trim() == name)) else {
            return Self { limit: None, is_of_requests: true };
        };
        let parameters: Vec<_> = parts(item, ';').skip(1).filter_map(|part| part.split_once('=')).collect();
        let unit = parameter(&parameters, "qu").map(|unit| unit.trim().trim_matches('"'));
        let limit = parameter(&parameters, "q").and_then(number);
        Self { limit, is_of_requests: unit.is_none_or(|unit| unit == "requests") }
    }
}

fn parameter<'a>(parameters: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    parameters.iter().find(|(held, _)| held.trim() == name).map(|(_, value)| *value)
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

fn values<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
}

/// What stands between the separators that are in no quotes.
fn parts(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        quoted ^= c == '"';
        c == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn told(field: &str, policy: &str) -> Vec<(Option<u64>, u64, u64)> {
        let pairs = [(COMBINED, field), (POLICY, policy)];
        let headers = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        let headers = headers
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()))
            .collect();
        read(&headers).into_iter().map(|rate| (rate.limit, rate.remaining, rate.reset.as_secs())).collect()
    }

    #[test]
    fn both_forms_are_read() {
        assert_eq!(told("limit=10, remaining=0, reset=5", ""), [(Some(10), 0, 5)]);
        assert_eq!(told("limit=10,remaining=3,reset=5", "10;w=60"), [(Some(10), 3, 5)]);
        assert_eq!(told("\"default\";r=0;t=5", ""), [(None, 0, 5)]);
        assert_eq!(told("\"default\"; r=50; t=30", "\"default\";q=100;w=60"), [(Some(100), 50, 30)]);
        let policies =
            "\"fixed, window\";w=1, \"day\";q=1000;w=86400;qu=\"requests\", \"bytes\";q=9;qu=\"content-bytes\"";
        let both = "\"day\";r=3;t=3600, \"bytes\";r=0;t=60, \"fixed, window\";r=1;t=1";
        assert_eq!(told(both, policies), [(Some(1000), 3, 3600), (None, 1, 1)]);
    }

    #[test]
    fn nonsense_is_left_out() {
        for field in [
            "",
            "limit=10, remaining=-1, reset=5",
            "limit=0, remaining=0, reset=0",
            "limit=10, remaining=0",
            "\"default\";r=0",
            "\"default\";t=5",
            "\"default;r=0;t=5",
            "r=0;t=5x",
            ",;=,\"",
        ] {
            assert_eq!(told(field, ""), [], "{field}");
        }
        assert_eq!(told("\"d\";r=0;t=99999999999999", ""), [(None, 0, LONGEST.as_secs())]);
        let endless = "\"d\";r=0;t=5, ".repeat(5_000);
        assert_eq!(told(&endless, &endless).len(), MOST);
    }
}
