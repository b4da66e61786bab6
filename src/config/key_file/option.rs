//! What may stand behind a key: the same names in a line, in a CSV's header and in a JSON object.

use std::time::Duration;

use super::LineError;
use crate::{
    config::{Interval, KeySpec, plain_values, scalar::Scalar},
    key::{Priority, Tier},
    limit::{Limit, Span, Unit},
};

/// Every option but `label`, which may stand there several times.
const ONCE: [&str; 14] = [
    "id",
    "tier",
    "priority",
    "weight",
    "owner",
    "rpm",
    "tpm",
    "rpd",
    "concurrent",
    "interval",
    "zone",
    "source",
    "billing_account",
    "label",
];

/// Other names of the same.
const ALSO: [(&str, &str); 3] =
    [("max_concurrent_requests", "concurrent"), ("min_interval", "interval"), ("name", "id")];

/// The option that a name stands for.
pub(super) fn known(name: &str) -> Option<&'static str> {
    let name = ALSO.iter().find(|(also, _)| *also == name).map_or(name, |(_, option)| option);
    ONCE.into_iter().find(|option| *option == name)
}

/// Reads `name=value` words behind a key.
pub(super) fn words(spec: &mut KeySpec, words: &[String]) -> Result<(), LineError> {
    let mut seen = Vec::with_capacity(words.len());
    for (n, word) in words.iter().enumerate() {
        // The key itself is word 1.
        let unknown = LineError::UnknownOption(n + 2);
        let (name, value) = word.split_once('=').ok_or(unknown)?;
        let option = known(name).ok_or(unknown)?;
        if option != "label" && seen.contains(&option) {
            return Err(LineError::Twice(option));
        }
        seen.push(option);
        set(spec, option, value)?;
    }
    Ok(())
}

/// Takes one option by its name.
pub(in crate::config) fn named(spec: &mut KeySpec, name: &str, value: &str) -> Result<(), LineError> {
    set(spec, known(name).ok_or(LineError::UnknownOption(1))?, value)
}

/// Takes one option of those that [`known`] names.
pub(super) fn set(spec: &mut KeySpec, option: &'static str, value: &str) -> Result<(), LineError> {
    let wrong = |expected| LineError::Value { option, expected };
    match option {
        "id" => spec.id = Some(shown(value, &spec.secret).ok_or(wrong(NAME))?),
        "owner" => spec.owner = Some(shown(value, &spec.secret).ok_or(wrong(NAME))?),
        "billing_account" => spec.billing_account = Some(shown(value, &spec.secret).ok_or(wrong(NAME))?),
        "source" => {
            let source = shown(value, &spec.secret).ok_or(wrong(NAME))?;
            spec.labels.insert("source".to_owned(), source);
        }
        "tier" => spec.tier = Some(tier(value).ok_or(wrong("free, paid, or a paid tier by name such as tier-2"))?),
        "priority" => spec.priority = Some(priority(value).ok_or(wrong("0 to 65535, lower first; or free, paid"))?),
        "weight" => spec.weight = Some(weight(value).ok_or(wrong("a number above 0, at most 1000000"))?),
        "rpm" => limit(spec, Unit::Requests, Span::MINUTE, value).ok_or(wrong(AMOUNT))?,
        "tpm" => limit(spec, Unit::InputTokens, Span::MINUTE, value).ok_or(wrong(AMOUNT))?,
        "rpd" => limit(spec, Unit::Requests, Span::Day, value).ok_or(wrong(AMOUNT))?,
        "concurrent" => {
            let most = value.parse().ok().filter(|most| (1..=65_534).contains(most));
            spec.max_concurrent = Some(most.ok_or(wrong("1 to 65534 requests in flight"))?);
        }
        "interval" => {
            let most = wrong("seconds, or 500ms, 2s, 1m; at most 1h");
            spec.min_interval = Some(interval(value).ok_or(most)?);
        }
        "zone" => {
            let zone =
                plain_values::ZoneName::of_text(value).ok_or(wrong("an IANA zone such as America/Los_Angeles"))?;
            spec.zone = Some(zone.0);
        }
        _ => label(spec, value)?,
    }
    Ok(())
}

const NAME: &str = "1 to 64 visible characters that are not a key, since names are shown";
const AMOUNT: &str = "a whole number from 0 to 1000000000000";

/// A name that will be printed: short, and not the secret or a part or form of one.
fn shown(value: &str, secret: &str) -> Option<String> {
    let part = value.contains(secret) || (value.len() >= 8 && secret.contains(value));
    (plain_values::is_name(value) && !part).then(|| value.to_owned())
}

/// `k:v`, or free text.
fn label(spec: &mut KeySpec, value: &str) -> Result<(), LineError> {
    if value.is_empty() || value.len() > 256 || value.chars().any(char::is_control) {
        return Err(LineError::Value { option: "label", expected: "name:value or text, at most 256 bytes" });
    }
    let (name, value) = match value.split_once(':') {
        Some((name, value)) if !name.is_empty() => (name, value),
        _ => ("label", value),
    };
    spec.labels.insert(name.to_owned(), value.to_owned());
    Ok(())
}

fn tier(value: &str) -> Option<Tier> {
    plain_values::tier(value)
}

fn priority(value: &str) -> Option<Priority> {
    plain_values::Place::of_text(value).map(|place| place.0)
}

fn weight(value: &str) -> Option<f32> {
    plain_values::Weight::of_text(value).map(|weight| weight.0)
}

fn limit(spec: &mut KeySpec, unit: Unit, span: Span, value: &str) -> Option<()> {
    let amount = plain_values::Amount::of_text(value)?.0;
    let limits = spec.limits.entry("*".to_owned()).or_default();
    *limits = std::mem::take(limits).with(Limit { unit, span, amount });
    Some(())
}

fn interval(value: &str) -> Option<Duration> {
    Interval::<3_600>::of_text(value).map(|interval| interval.0)
}
