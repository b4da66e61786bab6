//! The values that settings are made of, each with the form it has in a file.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;

use super::{
    scalar::{Scalar, WHOLE, scalar, whole},
    wording,
};
use crate::key::{Priority, Tier};

scalar! {
    /// A share of the load: above 0, at most 1,000,000.
    Weight(f32),
    schema: { "anyOf": [
        { "type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000 },
        { "type": "string", "pattern": r"^\s*\+?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$" },
    ] },
    show: |weight| json!(weight)
}

impl Scalar for Weight {
    fn expected() -> Cow<'static, str> {
        "a number above 0, at most 1000000".into()
    }

    fn of_text(text: &str) -> Option<Self> {
        text.trim().parse().ok().and_then(Self::of_number)
    }

    fn of_number(number: f64) -> Option<Self> {
        let weight = number as f32;
        (weight > 0.0 && weight <= 1e6).then_some(Self(weight))
    }
}

scalar! {
    /// A place in the order: 0 to 65535, lower first; `free` is 0, `paid` is 10.
    Place(Priority),
    schema: { "anyOf": [
        { "type": "integer", "minimum": 0, "maximum": 65_535 },
        { "type": "string", "pattern": r"^\s*(\+?[0-9]+|free|paid)\s*$" },
    ] },
    show: |priority| json!(priority.0)
}

impl Scalar for Place {
    fn expected() -> Cow<'static, str> {
        "a whole number from 0 to 65535, lower first, or \"free\" (0) or \"paid\" (10)".into()
    }

    fn of_text(text: &str) -> Option<Self> {
        match text.trim() {
            "free" => Some(Self(Priority::FREE)),
            "paid" => Some(Self(Priority::PAID)),
            number => number.parse().ok().map(|number| Self(Priority(number))),
        }
    }

    fn of_whole(number: i64) -> Option<Self> {
        u16::try_from(number).ok().map(|number| Self(Priority(number)))
    }
}

scalar! {
    /// What the account pays: `free`, `paid`, or a paid tier by name such as `tier-2`.
    TierName(Tier),
    schema: { "type": "string", "pattern": "^(free|paid|tier-[A-Za-z0-9]{1,16})$" },
    show: |tier| json!(tier.name())
}

impl Scalar for TierName {
    fn expected() -> Cow<'static, str> {
        "\"free\", \"paid\", or a paid tier by name such as \"tier-2\"".into()
    }

    fn of_text(text: &str) -> Option<Self> {
        tier(text).map(Self)
    }
}

/// A tier by its name.
pub(super) fn tier(name: &str) -> Option<Tier> {
    match name {
        "free" => Some(Tier::Free),
        "paid" => Some(Tier::Paid),
        _ => name
            .strip_prefix("tier-")
            .filter(|rest| (1..=16).contains(&rest.len()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            .map(|_| Tier::Named(name.to_owned())),
    }
}

scalar! {
    /// Requests in flight: 1 to 65534.
    Concurrent(u16),
    schema: { "anyOf": [
        { "type": "integer", "minimum": 1, "maximum": 65_534 },
        { "type": "string", "pattern": WHOLE },
    ] },
    show: |most| json!(most)
}

impl Scalar for Concurrent {
    fn expected() -> Cow<'static, str> {
        "a whole number from 1 to 65534".into()
    }

    fn of_text(text: &str) -> Option<Self> {
        whole(text).and_then(Self::of_whole)
    }

    fn of_whole(number: i64) -> Option<Self> {
        u16::try_from(number).ok().filter(|most| (1..=65_534).contains(most)).map(Self)
    }
}

scalar! {
    /// How much a limit allows.
    Amount(u64),
    schema: { "anyOf": [
        { "type": "integer", "minimum": 0, "maximum": 1_000_000_000_000_u64 },
        { "type": "string", "pattern": WHOLE },
    ] },
    show: |amount| json!(amount)
}

impl Scalar for Amount {
    fn expected() -> Cow<'static, str> {
        "a whole number from 0 to 1000000000000".into()
    }

    fn of_text(text: &str) -> Option<Self> {
        whole(text).and_then(Self::of_whole)
    }

    fn of_whole(number: i64) -> Option<Self> {
        u64::try_from(number).ok().filter(|amount| *amount <= 1_000_000_000_000).map(Self)
    }
}

scalar! {
    /// A name that is shown: 1 to 64 visible characters, and no key.
    Name(String),
    schema: { "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[!-~]+$", "not": { "pattern": "^(AIza|AQ\\.|sk-)" } },
    show: |name| json!(name)
}

impl Scalar for Name {
    fn expected() -> Cow<'static, str> {
        "1 to 64 visible characters that are not a key, since names are shown".into()
    }

    fn of_text(text: &str) -> Option<Self> {
        is_name(text).then(|| Self(text.to_owned()))
    }
}

impl Name {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a text may be shown as the name of something.
pub(super) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && !["AIza", "AQ.", "sk-"].iter().any(|prefix| text.starts_with(prefix))
}

scalar! {
    /// The name of a key: such a name, and a part of a path that means itself.
    KeyName(String),
    schema: { "type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[!-~]+$", "not": {
        "pattern": r"^(AIza|AQ\.|sk-)|(^|[/\\;])\.\.?($|[/\\;])|%[0-9A-Fa-f]{2}",
    } },
    show: |name| json!(name)
}

impl Scalar for KeyName {
    fn expected() -> Cow<'static, str> {
        KEY_NAME.into()
    }

    fn of_text(text: &str) -> Option<Self> {
        is_key_name(text).then(|| Self(text.to_owned()))
    }
}

/// What [`is_key_name`] asks for.
pub(super) const KEY_NAME: &str = "1 to 64 visible characters that are not a key, since names are shown, and no dot segment \
     (. or ..) or percent-encoding, since it stands in paths of the admin API";

/// Whether a key may be called so. It stands in paths of the admin API, where dot segments are refused in any spelling.
pub(super) fn is_key_name(text: &str) -> bool {
    let dots = |segment: &str| matches!(segment, "." | "..");
    let is_hex = |byte: &u8| byte.is_ascii_hexdigit();
    let encoded = text.as_bytes().windows(3).any(|three| three[0] == b'%' && three[1..].iter().all(is_hex));
    is_name(text) && !encoded && !text.split(['/', '\\', ';']).any(dots)
}

scalar! {
    /// A time zone of the IANA database.
    ZoneName(String),
    schema: { "type": "string", "examples": ["America/Los_Angeles", "UTC"] },
    show: |zone| json!(zone)
}

impl Scalar for ZoneName {
    fn expected() -> Cow<'static, str> {
        "an IANA time zone such as \"America/Los_Angeles\"".into()
    }

    fn of_text(text: &str) -> Option<Self> {
        (!wording::may_be_secret(text) && jiff::tz::TimeZone::get(text).is_ok()).then(|| Self(text.to_owned()))
    }
}

/// A text that nobody may see: it is shown as `***` wherever it is shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// This text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        super::scalar::read(deserializer)
    }
}

impl Scalar for SecretText {
    fn expected() -> Cow<'static, str> {
        "a text (its value is not shown)".into()
    }

    fn of_text(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }
}

impl schemars::JsonSchema for SecretText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SecretText".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "writeOnly": true })
    }
}
