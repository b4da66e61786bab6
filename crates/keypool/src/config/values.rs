//! Value types of settings.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest, Sha256};

/// A length of time: a number of seconds, or a text such as `500ms`, `5s`, `2m`, `1h`, `1d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub struct HumanDuration(pub Duration);

impl HumanDuration {
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

/// Parses an option, a setting or a header. The maximum is 366 days.
impl FromStr for HumanDuration {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const UNITS: [(&str, f64); 6] =
            [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3_600.0), ("d", 86_400.0), ("", 1.0)];
        let text = text.trim();
        let split = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
        let span = split
            .and_then(|(number, unit)| Duration::try_from_secs_f64(number.trim().parse::<f64>().ok()? * unit).ok());
        span.filter(|span| *span <= Duration::from_secs(366 * 86_400)).map(Self).ok_or(EXPECTED)
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            ms if ms % 1_000 != 0 => write!(f, "{ms}ms"),
            ms => write!(f, "{}s", ms / 1_000),
        }
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Number(f64),
            Text(String),
        }
        let text = match Raw::deserialize(deserializer).map_err(|_| D::Error::custom(EXPECTED))? {
            Raw::Number(number) => number.to_string(),
            Raw::Text(text) => text,
        };
        text.parse().map_err(D::Error::custom)
    }
}

const EXPECTED: &str = "expected seconds, or a time such as 500ms, 5s, 2m, 1h or 1d";

/// Serializes as a number of seconds.
impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.subsec_nanos() {
            0 => serializer.serialize_u64(self.0.as_secs()),
            _ => serializer.serialize_f64(self.0.as_secs_f64()),
        }
    }
}

impl JsonSchema for HumanDuration {
    fn schema_name() -> Cow<'static, str> {
        "HumanDuration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Seconds, or a time such as 500ms, 5s, 2m, 1h or 1d.",
            "anyOf": [{ "type": "number", "minimum": 0 }, { "type": "string", "pattern": "^[0-9.]+ *(ms|s|m|h|d)?$" }]
        })
    }
}

/// Deserializes a flag, also in the spellings that are usual in container variables: `1`, `yes`, `on`, `"false"`.
pub fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Raw {
        Flag(bool),
        Number(u8),
        Text(String),
    }
    let text = match Raw::deserialize(deserializer) {
        Ok(Raw::Flag(flag)) => flag.to_string(),
        Ok(Raw::Number(number)) => number.to_string(),
        Ok(Raw::Text(text)) => text.to_ascii_lowercase(),
        Err(_) => String::new(),
    };
    match text.as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(D::Error::custom("expected true or false")),
    }
}

/// A secret that is never printed: a token, a password, a private key.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Text(String),
            Number(u64),
        }
        match Raw::deserialize(deserializer).map_err(|_| D::Error::custom("expected a string"))? {
            Raw::Text(text) => Ok(Self(text)),
            // A variable that has only digits is read as a number.
            Raw::Number(number) => Ok(Self(number.to_string())),
        }
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

impl JsonSchema for SecretText {
    fn schema_name() -> Cow<'static, str> {
        "SecretText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "writeOnly": true })
    }
}

/// The hash of a token.
pub type TokenHash = [u8; 32];

/// Returns the hash by which a token is looked up.
pub fn hash(token: &str) -> TokenHash {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_shown() {
        for (text, ms) in [("5", 5_000), ("500ms", 500), ("2m", 120_000), ("1.5h", 5_400_000), ("1d", 86_400_000)] {
            assert_eq!(text.parse::<HumanDuration>().map(|span| span.0.as_millis()), Ok(ms), "{text}");
        }
        for text in ["", "-1", "NaN", "inf", "5 weeks", "400d"] {
            assert!(text.parse::<HumanDuration>().is_err(), "{text}");
        }
        assert_eq!(HumanDuration::seconds(90).to_string(), "90s");
    }

    #[test]
    fn secrets_are_never_shown() {
        let secret = SecretText::new("hunter2");
        assert_eq!(format!("{secret:?}"), "***");
        assert_eq!(serde_json::to_string(&secret).expect("a string"), "\"***\"");
    }
}
