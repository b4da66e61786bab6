//! Values as people write them, and messages that say what is expected without the value that was found.

use std::{
    fmt,
    marker::PhantomData,
    num::{NonZeroU16, NonZeroU32},
    time::Duration,
};

use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use crate::{Base, Secret, Tier};

/// A value that is read from text, whether it stands in a file as text or as a number.
pub(super) trait Plain: Sized {
    /// What is expected.
    const EXPECTED: &'static str;

    /// The value; `None` where the text is none.
    fn parse(text: &str) -> Option<Self>;
}

/// For `deserialize_with`: an empty text or a null is as good as nothing.
pub(super) fn plain<'de, T: Plain, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(PlainVisitor(PhantomData))
}

struct PlainVisitor<T>(PhantomData<T>);

impl<'de, T: Plain> Visitor<'de> for PlainVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        match text.trim() {
            "" => Ok(None),
            text => T::parse(text).map(Some).ok_or_else(|| E::custom(format!("expected {}", T::EXPECTED))),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<String>()? {
            list.push(item);
        }
        self.visit_str(&list.join(","))
    }
}

/// Types whose own parser says all.
macro_rules! plain_by_parse {
    ($($type:ty: $expected:literal),* $(,)?) => {$(
        impl Plain for $type {
            const EXPECTED: &'static str = $expected;

            fn parse(text: &str) -> Option<Self> {
                text.replace('_', "").parse().ok()
            }
        }
    )*};
}

plain_by_parse! {
    u16: "a whole number from 0 to 65535",
    u64: "a whole number, 0 or more",
    NonZeroU16: "a whole number from 1 to 65535",
    NonZeroU32: "a whole number, 1 or more",
}

impl Plain for String {
    const EXPECTED: &'static str = "a text of 1 to 256 characters";

    fn parse(text: &str) -> Option<Self> {
        (text.chars().count() <= 256 && !text.chars().any(char::is_control)).then(|| text.to_owned())
    }
}

impl Plain for Vec<String> {
    const EXPECTED: &'static str = "names with commas between them";

    fn parse(text: &str) -> Option<Self> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(<String as Plain>::parse).collect()
    }
}

impl Plain for Tier {
    const EXPECTED: &'static str = "free, paid or unknown";

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "free" => Some(Self::Free),
            "paid" => Some(Self::Paid),
            "unknown" => Some(Self::Unknown),
            _ => None,
        }
    }
}

impl Plain for Secret {
    const EXPECTED: &'static str = "a key: visible ASCII characters without commas and quotes";

    fn parse(text: &str) -> Option<Self> {
        Self::new(text).ok().filter(|_| !text.contains([',', ';', '"', '\'', '`']))
    }
}

impl Plain for Base {
    const EXPECTED: &'static str = "a URL such as https://api.example/v1, without a query";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Plain for Duration {
    const EXPECTED: &'static str = "seconds, or a time such as 500ms, 2s, 1m or 1h; at most 24h";

    fn parse(text: &str) -> Option<Self> {
        let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let seconds: f64 = match unit {
            "ms" => 0.001,
            "" | "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3_600.0,
            _ => return None,
        };
        let duration = Self::try_from_secs_f64(number.trim().parse::<f64>().ok()? * seconds).ok()?;
        (duration <= Self::from_secs(86_400)).then_some(duration)
    }
}

struct Zone(String);

impl Plain for Zone {
    const EXPECTED: &'static str = "an IANA time zone such as America/Los_Angeles";

    fn parse(text: &str) -> Option<Self> {
        jiff::tz::TimeZone::get(text).ok().map(|_| Self(text.to_owned()))
    }
}

/// The same as [`plain`] for the name of an IANA time zone.
pub(super) fn zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(plain::<Zone, D>(deserializer)?.map(|zone| zone.0))
}

/// A reader's message without the value that it quotes.
pub(super) fn without_values(message: &str) -> String {
    let message = message.trim_end();
    if message.starts_with("unknown field") {
        let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
        let (unknown, known) = names.split_first().unwrap_or((&"", &[]));
        return unknown_option(unknown, known);
    }
    for (start, end) in [("missing field", "is missing"), ("duplicate field", "is given twice")] {
        if message.starts_with(start) {
            return format!("{} {end}", message.split('`').nth(1).unwrap_or_default());
        }
    }
    let quotes = ["invalid type", "invalid value", "invalid length", "unknown variant"];
    if quotes.iter().any(|start| message.starts_with(start)) {
        let expected = message.rsplit_once("expected ").map_or("another value", |(_, expected)| expected);
        let expected = match expected {
            "a sequence" => "a list",
            "a map" => "a table",
            "a boolean" => "true or false",
            "a string" | "path string" => "a text",
            "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number in range",
            _ if expected.starts_with("struct ") => "a table",
            other => other,
        };
        return format!("expected {}", expected.replace('`', ""));
    }
    message.to_owned()
}

/// What to say of an option that nothing reads.
pub(super) fn unknown_option(name: &str, known: &[&str]) -> String {
    let most = if name.len() < 8 { 1 } else { 2 };
    let near = known.iter().map(|known| (distance(name, known), known)).filter(|(distance, _)| *distance <= most);
    if let Some((_, near)) = near.min() {
        return format!("\"{name}\" is not an option; did you mean \"{near}\"?");
    }
    // It may be a key that was pasted in.
    let word = name.len() <= 24 && name.bytes().all(|byte| byte.is_ascii_lowercase() || b"_-".contains(&byte));
    let name = if word { format!("\"{name}\"") } else { "this".to_owned() };
    format!("{name} is not an option; there are {}", known.join(", "))
}

/// How many letters must be changed, added, left out or exchanged with their neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (rows[i][j] + usize::from(x != y)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// Whether a text begins as providers' keys do and is as long.
pub(super) fn looks_like_key(text: &str) -> bool {
    let begins = |part: &str| ["AIza", "AQ.", "sk-", "ya29."].iter().any(|start| part.starts_with(start));
    text.split(['/', '\\', ' ', ':']).any(|part| part.len() >= 20 && begins(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_hold_no_values() {
        for (message, shown) in [
            ("unknown field `teir`, expected one of `id`, `tier`", "\"teir\" is not an option; did you mean \"tier\"?"),
            ("unknown field `AIzaSy-secret`, expected `id` or `tier`", "this is not an option; there are id, tier"),
            ("unknown field `region`, expected `id`", "\"region\" is not an option; there are id"),
            ("unknown variant `AIzaSy-secret`, expected `lru` or `weighted`", "expected lru or weighted"),
            ("invalid type: string \"AIzaSy, expected x\", expected a boolean", "expected true or false"),
            ("missing field `class`", "class is missing"),
            ("duplicate field `project`", "project is given twice"),
        ] {
            assert_eq!(without_values(message), shown);
        }
    }

    #[test]
    fn mistyped_names_are_near_and_other_words_are_not() {
        for (name, known, near) in
            [("wieght", "weight", true), ("owners", "owner", true), ("rpn", "rpm", true), ("team", "tier", false)]
        {
            assert_eq!(distance(name, known) <= 1, near, "{name}");
        }
        assert_eq!(distance(&"x".repeat(1 << 20), "id"), usize::MAX);
    }

    #[test]
    fn times() {
        for (text, millis) in [("5", 5_000), ("0.5", 500), ("500ms", 500), ("2 s", 2_000), ("1m", 60_000), ("24h", 86_400_000)] {
            assert_eq!(<Duration as Plain>::parse(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in ["-1", "NaN", "inf", "25h", "1d", "", "h"] {
            assert_eq!(<Duration as Plain>::parse(text), None, "{text}");
        }
    }
}
