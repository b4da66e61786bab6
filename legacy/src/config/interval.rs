//! Lengths of time as people write them.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::scalar::{self, Scalar};

/// A length of time: `"500ms"`, `"41s"`, `"1.5m"`, `"2h"`, `"1d"`, or a number of seconds. From `LEAST` milliseconds to
/// `MOST` seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval<const LEAST: u64 = 0, const MOST: u64 = YEAR>(pub Duration);

/// The longest unless said otherwise.
pub(super) const YEAR: u64 = 366 * 86_400;

impl<const LEAST: u64, const MOST: u64> Interval<LEAST, MOST> {
    /// This many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// This many milliseconds.
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }
}

impl<const LEAST: u64, const MOST: u64> Scalar for Interval<LEAST, MOST> {
    fn expected() -> Cow<'static, str> {
        let most = shown(Duration::from_secs(MOST));
        let range = match LEAST {
            0 => format!("at most {most}"),
            least => format!("from {} to {most}", shown(Duration::from_millis(least))),
        };
        format!("a length of time such as \"500ms\", \"41s\", \"5m\", or a number of seconds; {range}").into()
    }

    fn of_text(text: &str) -> Option<Self> {
        let text = text.trim();
        let (number, unit) =
            text.split_at(text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len()));
        let factor = match unit {
            "ms" => 0.001,
            "" | "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        let number = number.trim();
        // As the schema has it: no sign, which `parse` would take.
        let plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        Self::of_number(number.parse::<f64>().ok().filter(|_| plain)? * factor)
    }

    fn of_number(seconds: f64) -> Option<Self> {
        // To the microsecond: 0.3 has no exact form, and nobody means its 17th digit.
        let micros = (seconds * 1e6).round();
        (LEAST as f64 * 1e3..=MOST as f64 * 1e6).contains(&micros).then(|| Self(Duration::from_micros(micros as u64)))
    }
}

/// In its largest unit that makes it a whole number.
pub(super) fn shown(length: Duration) -> String {
    let ms = length.as_millis();
    match () {
        () if length.is_zero() => "0s".to_owned(),
        () if ms == 0 || !length.subsec_nanos().is_multiple_of(1_000_000) => format!("{}s", length.as_secs_f64()),
        () if ms.is_multiple_of(86_400_000) => format!("{}d", ms / 86_400_000),
        () if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        () if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        () if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        () => format!("{ms}ms"),
    }
}

impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for Interval<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        scalar::read(deserializer)
    }
}

impl<const LEAST: u64, const MOST: u64> Serialize for Interval<LEAST, MOST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&shown(self.0))
    }
}

impl<const LEAST: u64, const MOST: u64> schemars::JsonSchema for Interval<LEAST, MOST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Interval".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": format!("Expected: {}", Self::expected()),
            "anyOf": [
                { "type": "string", "pattern": r"^\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*(ms|s|m|min|h|d)?\s*$" },
                { "type": "number", "minimum": LEAST as f64 / 1e3, "maximum": MOST },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_and_plain_seconds() {
        let of = |text| Interval::<0, 3_600>::of_text(text).map(|interval| interval.0.as_millis());
        for (text, ms) in [
            ("500ms", 500),
            ("41s", 41_000),
            ("41", 41_000),
            ("0.25", 250),
            ("1.5m", 90_000),
            ("2 min", 120_000),
            ("1h", 3_600_000),
            ("0", 0),
        ] {
            assert_eq!(of(text), Some(ms), "{text}");
        }
        for text in ["", "s", "-1s", "+1s", "1x", "nan", "inf", "2h", "1s2", "1e9"] {
            assert_eq!(of(text), None, "{text}");
        }
        for (text, fits) in [("100ms", true), ("0.099", false), ("2s", true), ("2.001", false)] {
            assert_eq!(Interval::<100, 2>::of_text(text).is_some(), fits, "{text}");
        }
        assert!(Interval::<100, 2>::expected().ends_with("; from 100ms to 2s"));
        assert_eq!(Interval::<0, YEAR>::of_text("32d"), Some(Interval::seconds(32 * 86_400)));
    }

    #[test]
    fn it_is_shown_as_it_is_read() {
        for text in ["0s", "250ms", "41s", "10m", "1h", "32d", "90s", "0.0005s"] {
            let read = Interval::<0, YEAR>::of_text(text).unwrap();
            assert_eq!(shown(read.0), text);
        }
    }
}
