//! What may stand behind a key.

use std::time::Duration;

use tower_keypool::{Key, Limits, Priority, Tier};

use super::{LineError, line::Parsed};

/// Every option but `label`, which may stand there several times.
const ONCE: [&str; 11] =
    ["id", "tier", "priority", "weight", "owner", "rpm", "tpm", "rpd", "concurrent", "interval", "zone"];

/// Reads the words behind a key.
pub(super) fn parse(secret: &str, words: &[String]) -> Result<Parsed, LineError> {
    let mut key = Key::new(secret);
    let (mut id, mut owner, mut tier, mut priority) = (None, None, None, None);
    let mut limits = Limits::new();
    let mut seen = Vec::with_capacity(words.len());
    for (n, word) in words.iter().enumerate() {
        // The key itself is word 1.
        let unknown = LineError::UnknownOption(n + 2);
        let (name, value) = word.split_once('=').ok_or(unknown)?;
        if name == "label" {
            key = label(key, value)?;
            continue;
        }
        let option = *ONCE.iter().find(|option| **option == name).ok_or(unknown)?;
        if seen.contains(&option) {
            return Err(LineError::Twice(option));
        }
        seen.push(option);
        let wrong = |expected| LineError::Value { option, expected };
        match option {
            "id" => id = Some(shown(value, secret).ok_or(wrong(NAME))?),
            "owner" => owner = Some(shown(value, secret).ok_or(wrong(NAME))?),
            "tier" => tier = Some(tier_of(value).ok_or(wrong("free, paid, or a paid tier by name such as tier-2"))?),
            "priority" => priority = Some(priority_of(value).ok_or(wrong("0 to 65535, lower first; or free, paid"))?),
            "weight" => key = key.weight(weight(value).ok_or(wrong("a number above 0, at most 1000000"))?),
            "rpm" => limits = limits.per_minute(amount(value).ok_or(wrong(AMOUNT))?),
            "tpm" => limits = limits.tokens_per_minute(amount(value).ok_or(wrong(AMOUNT))?),
            "rpd" => limits = limits.per_day(amount(value).ok_or(wrong(AMOUNT))?),
            "concurrent" => {
                let most = value.parse().ok().filter(|most| (1..=65_534).contains(most));
                key = key.max_concurrent(most.ok_or(wrong("1 to 65534 requests in flight"))?);
            }
            "interval" => {
                key = key.min_interval(interval(value).ok_or(wrong("seconds, or 500ms, 2s, 1m; at most 1h"))?);
            }
            "zone" => {
                jiff::tz::TimeZone::get(value).map_err(|_| wrong("an IANA zone such as America/Los_Angeles"))?;
                key = key.zone(value);
            }
            _ => return Err(unknown),
        }
    }
    if let Some(id) = &id {
        key = key.id(id.as_str());
    }
    if let Some(owner) = &owner {
        key = key.owner(owner.as_str());
    }
    if let Some(tier) = &tier {
        key = key.tier(tier.clone());
    }
    let by_tier = if matches!(tier, None | Some(Tier::Free)) { Priority::FREE } else { Priority::PAID };
    key = key.priority(priority.unwrap_or(by_tier));
    if !limits.is_empty() {
        key = key.limits("*", limits.clone());
    }
    Ok(Parsed { secret: secret.to_owned(), key, id, owner, tier, limits })
}

const NAME: &str = "1 to 64 visible characters that are not a key, since names are shown";
const AMOUNT: &str = "a whole number from 0 to 1000000000000";

/// A name that will be printed: short, and not the secret or a part or form of one.
fn shown(value: &str, secret: &str) -> Option<String> {
    let fine = (1..=64).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_graphic())
        && !value.contains(secret)
        && !(value.len() >= 8 && secret.contains(value))
        && !["AIza", "AQ.", "sk-"].iter().any(|prefix| value.starts_with(prefix));
    fine.then(|| value.to_owned())
}

/// `k:v`, or free text.
fn label(key: Key, value: &str) -> Result<Key, LineError> {
    if value.is_empty() || value.len() > 256 || value.chars().any(char::is_control) {
        return Err(LineError::Value { option: "label", expected: "name:value or text, at most 256 bytes" });
    }
    Ok(match value.split_once(':') {
        Some((name, value)) if !name.is_empty() => key.label(name, value),
        _ => key.label("label", value),
    })
}

fn tier_of(value: &str) -> Option<Tier> {
    match value {
        "free" => Some(Tier::Free),
        "paid" => Some(Tier::Paid),
        _ => value
            .strip_prefix("tier-")
            .filter(|rest| (1..=16).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            .map(|_| Tier::Named(value.to_owned())),
    }
}

fn priority_of(value: &str) -> Option<Priority> {
    match value {
        "free" => Some(Priority::FREE),
        "paid" => Some(Priority::PAID),
        _ => value.parse().ok().map(Priority),
    }
}

fn weight(value: &str) -> Option<f32> {
    value.parse().ok().filter(|weight: &f32| *weight > 0.0 && *weight <= 1e6)
}

fn amount(value: &str) -> Option<u64> {
    value.parse().ok().filter(|amount| *amount <= 1_000_000_000_000)
}

fn interval(value: &str) -> Option<Duration> {
    let (number, unit) = match value.find(|character: char| character.is_ascii_alphabetic()) {
        Some(at) => value.split_at(at),
        None => (value, "s"),
    };
    let factor = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let seconds = number.parse::<f64>().ok()? * factor;
    (0.0..=3600.0).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}
