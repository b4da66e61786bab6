//! What may stand behind a key: the same names in a line, in a CSV's header and in a JSON object.

use std::path::Path;

use super::LineError;
use crate::{
    config::{
        Interval, KeySpec,
        plain_values::{self, Amount, Concurrent, Place, Weight, ZoneName},
        scalar::Scalar,
        wording,
    },
    key::Exit,
    limit::{Limit, Span, Unit},
};

/// Every option but `label`, which may stand there several times.
const ONCE: [&str; 15] = [
    "id",
    "tier",
    "priority",
    "weight",
    "owner",
    "exit",
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
const ALSO: [(&str, &str); 4] = [
    ("max_concurrent_requests", "concurrent"),
    ("max_concurrent", "concurrent"),
    ("min_interval", "interval"),
    ("name", "id"),
];

/// The option that a name stands for.
pub(in crate::config) fn known(name: &str) -> Option<&'static str> {
    let name = ALSO.iter().find(|(also, _)| *also == name).map_or(name, |(_, option)| option);
    ONCE.into_iter().find(|option| *option == name)
}

/// Every name of an option, but `label`: what is nearly that is a label as well.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    ONCE.into_iter().filter(|name| *name != "label").chain(ALSO.iter().map(|(also, _)| *also))
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
        "id" => {
            let id = shown(value, &spec.secret).filter(|id| plain_values::is_key_name(id));
            spec.id = Some(id.ok_or(wrong(plain_values::KEY_NAME))?);
        }
        "owner" => spec.owner = Some(shown(value, &spec.secret).ok_or(wrong(NAME))?),
        "exit" => {
            let name = shown(value, &spec.secret).filter(|name| Exit::is_valid(name));
            spec.exit = Some(name.ok_or(wrong(EXIT))?);
        }
        "billing_account" => spec.billing_account = Some(shown(value, &spec.secret).ok_or(wrong(NAME))?),
        "source" => {
            if holds(value, &spec.secret) {
                return Err(wrong(SOURCE));
            }
            put_label(spec, "source", value).map_err(|_| wrong(SOURCE))?;
        }
        "tier" => {
            let tier = plain_values::tier(value).ok_or(wrong("free, paid, or a paid tier by name such as tier-2"))?;
            spec.tier = Some(tier);
        }
        "priority" => {
            let place = Place::of_text(value).ok_or(wrong("0 to 65535, lower first; or free, paid"))?;
            spec.priority = Some(place.0);
        }
        "weight" => spec.weight = Some(Weight::of_text(value).ok_or(wrong("a number above 0, at most 1000000"))?.0),
        "rpm" => limit(spec, Unit::Requests, Span::MINUTE, value).ok_or(wrong(AMOUNT))?,
        "tpm" => limit(spec, Unit::InputTokens, Span::MINUTE, value).ok_or(wrong(AMOUNT))?,
        "rpd" => limit(spec, Unit::Requests, Span::Day, value).ok_or(wrong(AMOUNT))?,
        "concurrent" => {
            let most = Concurrent::of_text(value).ok_or(wrong("1 to 65534 requests in flight"))?;
            spec.max_concurrent = Some(most.0);
        }
        "interval" => {
            let interval =
                Interval::<0, 3_600>::of_text(value).ok_or(wrong("seconds, or 500ms, 2s, 1m; at most 1h"))?;
            spec.min_interval = Some(interval.0);
        }
        "zone" => {
            let zone = ZoneName::of_text(value).ok_or(wrong("an IANA zone such as America/Los_Angeles"))?;
            spec.zone = Some(zone.0);
        }
        _ => label(spec, value)?,
    }
    Ok(())
}

const NAME: &str = "1 to 64 visible characters that are not a key, since names are shown";
const EXIT: &str = "1 to 64 of A-Z a-z 0-9 . _ - that are not a key, since names are shown";
const SOURCE: &str = "1 to 256 bytes of text without control characters that holds no key, since it is shown";
const AMOUNT: &str = "a whole number from 0 to 1000000000000";

/// A name that will be printed: short, and not the secret or a part or form of one.
fn shown(value: &str, secret: &str) -> Option<String> {
    (plain_values::is_name(value) && !holds(value, secret)).then(|| value.to_owned())
}

/// Whether a text holds the secret, or is a part of it.
fn holds(value: &str, secret: &str) -> bool {
    !secret.is_empty() && value.contains(secret) || (value.len() >= 8 && secret.contains(value))
}

/// `k:v`, or free text.
fn label(spec: &mut KeySpec, value: &str) -> Result<(), LineError> {
    let (name, value) = match value.split_once(':') {
        Some((name, value)) if !name.is_empty() => (name, value),
        _ => ("label", value),
    };
    put_label(spec, name, value)
}

/// A label by its name.
pub(super) fn put_label(spec: &mut KeySpec, name: &str, value: &str) -> Result<(), LineError> {
    if let Some(expected) = wrong_label(name, value) {
        return Err(LineError::Value { option: "label", expected });
    }
    spec.labels.insert(name.to_owned(), value.to_owned());
    Ok(())
}

/// What a label must be, where this is none: it is shown, and is part of metrics.
pub(in crate::config) fn wrong_label(name: &str, value: &str) -> Option<&'static str> {
    let shows = |text: &str, most: usize| (1..=most).contains(&text.len()) && !text.chars().any(char::is_control);
    if !shows(name, 64) || wording::may_be_secret(name) {
        return Some("a label's name of 1 to 64 bytes that is not a key, since names are shown");
    }
    if value.split(char::is_whitespace).any(|word| wording::is_key_for_path(Path::new(word))) {
        return Some("a text, and this one holds a key; labels are shown");
    }
    (!shows(value, 256)).then_some("1 to 256 bytes of text without control characters")
}

fn limit(spec: &mut KeySpec, unit: Unit, span: Span, value: &str) -> Option<()> {
    let amount = Amount::of_text(value)?.0;
    let limits = spec.limits.entry("*".to_owned()).or_default();
    *limits = std::mem::take(limits).with(Limit { unit, span, amount });
    Some(())
}
