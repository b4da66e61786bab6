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

/// What of it counts requests or tokens and says when; nothing where a limit is zero.
pub(super) fn read(headers: &HeaderMap) -> Vec<RateHeader> {
    let fields: Vec<&str> = values(headers, COMBINED).collect();
    let of_one = fields.iter().copied().flat_map(|field| parts(field, ',')).take(MOST);
    let of_one = of_one.filter_map(|item| item.split_once('='));
    let of_one: Vec<_> = of_one.filter(|(name, _)| !name.contains(';')).collect();
    let named = |name: &str| of_one.iter().find(|(held, _)| held.trim() == name).and_then(|(_, value)| number(value));
    let first = rate(Unit::Requests, named("limit"), named("remaining"), named("reset"));
    let items = fields.iter().copied().flat_map(|field| parts(field, ',')).take(MOST);
    let rates = items.filter_map(|item| {
        let mut of_item = parts(item, ';');
        let policy = Policy::of(headers, of_item.next()?.trim());
        let unit = policy.unit?;
        let parameters: Vec<_> = of_item.filter_map(|part| part.split_once('=')).collect();
        let named = |name: &str| parameter(&parameters, name).and_then(number);
        rate(unit, policy.limit, named("r"), named("t"))
    });
    first.into_iter().chain(rates).collect()
}

fn rate(unit: Unit, limit: Option<u64>, remaining: Option<u64>, reset: Option<u64>) -> Option<RateHeader> {
    let reset = Duration::from_secs(reset?).min(LONGEST);
    (limit != Some(0)).then_some(RateHeader { unit, remaining: remaining?, limit, reset })
}

/// What is said beside it of the limit that one item is about.
struct Policy {
    limit: Option<u64>,
    /// What it counts; nothing where that is nothing we count.
    unit: Option<Unit>,
}

impl Policy {
    fn of(headers: &HeaderMap, name: &str) -> Self {
        let mut items = values(headers, POLICY).flat_map(|field| parts(field, ',')).take(MOST);
        let Some(item) = items.find(|item| parts(item, ';').next().is_some_and(|held| held.trim() == name)) else {
            return Self { limit: None, unit: Some(unit_by_name(name)) };
        };
        let parameters: Vec<_> = parts(item, ';').skip(1).filter_map(|part| part.split_once('=')).collect();
        let unit = parameter(&parameters, "qu").map(|unit| unit.trim().trim_matches('"'));
        let limit = parameter(&parameters, "q").and_then(number);
        let unit = match unit {
            None => Some(unit_by_name(name)),
            Some("requests") => Some(Unit::Requests),
            Some(unit) => of_tokens(unit),
        };
        Self { limit, unit }
    }
}

/// What a limit counts of which nobody says so: requests, as the draft has it, unless its name speaks of tokens.
fn unit_by_name(name: &str) -> Unit {
    of_tokens(name).unwrap_or(Unit::Requests)
}

fn of_tokens(name: &str) -> Option<Unit> {
    let name = name.to_ascii_lowercase();
    let of = |word: &str| name.contains(word);
    let which = if of("input") || of("prompt") {
        Unit::InputTokens
    } else if of("output") || of("completion") {
        Unit::OutputTokens
    } else {
        Unit::Tokens
    };
    of("token").then_some(which)
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
    fn tokens_are_no_requests() {
        let units = |field: &str, policy: &str| -> Vec<Unit> {
            let mut headers = HeaderMap::new();
            headers.insert(COMBINED, field.parse().unwrap());
            headers.insert(POLICY, policy.parse().unwrap());
            read(&headers).into_iter().map(|rate| rate.unit).collect()
        };
        let field =
            r#""tokens";r=0;t=5, "input-tokens";r=1;t=5, "Output_Tokens";r=2;t=5, "requests";r=3;t=5, "burst";r=4;t=5"#;
        let by_name = [Unit::Tokens, Unit::InputTokens, Unit::OutputTokens, Unit::Requests, Unit::Requests];
        assert_eq!(units(field, ""), by_name);
        assert_eq!(units(field, r#""tokens";q=9;w=60, "burst";q=9;w=60"#), by_name);
        let named = r#""tokens";q=9;qu="requests", "burst";q=9;qu="tokens", "requests";q=9;qu="content-bytes""#;
        assert_eq!(units(field, named), [Unit::Requests, Unit::InputTokens, Unit::OutputTokens, Unit::Tokens]);
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
