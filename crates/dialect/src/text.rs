//! Text that stays where it was read.

use std::{
    borrow::Cow,
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::{LazyLock, OnceLock},
};

use memchr::{memchr, memmem::Finder};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

use crate::ahead;

/// Text of a request or an answer. What was read from JSON stays in its body as it stands there, quotes and escapes
/// included: an escape is decoded when somebody looks, and what nobody looks at is written as it was read.
#[derive(Clone)]
pub struct Text<'a>(Held<'a>);

#[derive(Clone)]
enum Held<'a> {
    /// No JSON.
    Plain(Cow<'a, str>),
    /// A string of JSON that says what is between its quotes.
    Quoted(&'a RawValue),
    /// One with escapes, none of which says a number, and what it says, once somebody looked.
    Short(&'a RawValue, OnceLock<Box<str>>),
    /// One with escapes, and what it says, once somebody looked. It says something: that was made sure of.
    Escaped(&'a RawValue, OnceLock<Box<str>>),
}

static UNICODE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(r"\u"));

impl<'a> Text<'a> {
    /// What a string of JSON says.
    ///
    /// # Errors
    /// When this is something else, or says nothing: an escape is one half of a character, of which the other is missing.
    pub(crate) fn of(json: &'a RawValue) -> Result<Self, serde_json::Error> {
        let Some(inner) = json.get().strip_prefix('"') else { return Err(mistaken(json, "a string")) };
        if memchr(b'\\', inner.as_bytes()).is_none() {
            return Ok(Self(Held::Quoted(json)));
        }
        let said = OnceLock::new();
        // Halves are written as D800 to DFFF; that all else is right was seen when this was found to be JSON.
        let halves = |at: usize| matches!(inner.as_bytes().get(at + 2), Some(b'd' | b'D'));
        if UNICODE.find_iter(inner.as_bytes()).any(halves) {
            let _ = said.set(serde_json::from_str(json.get())?);
        }
        Ok(Self(Held::Escaped(json, said)))
    }

    /// The same of one whose escapes are seen to say no number: none is half of a character.
    fn of_short(json: &'a RawValue) -> Self {
        let is_plain = memchr(b'\\', json.get().as_bytes()).is_none();
        Self(if is_plain { Held::Quoted(json) } else { Held::Short(json, OnceLock::new()) })
    }

    /// What it says, where that stands in a body.
    pub(crate) fn borrowed(&self) -> Option<&'a str> {
        match &self.0 {
            Held::Plain(Cow::Borrowed(text)) => Some(text),
            Held::Quoted(json) => Some(unquoted(json)),
            Held::Plain(Cow::Owned(_)) | Held::Short(..) | Held::Escaped(..) => None,
        }
    }

    /// The same of what has no quotes around it.
    pub(crate) fn bare(&self) -> Option<&'a str> {
        self.borrowed().filter(|_| matches!(self.0, Held::Plain(_)))
    }

    /// Whether it says nothing.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Held::Plain(text) => text.is_empty(),
            Held::Quoted(json) => unquoted(json).is_empty(),
            // An escape is a character.
            Held::Short(..) | Held::Escaped(..) => false,
        }
    }

    /// Whether it may begin with this, blanks aside. `false` is sure, and no escape is decoded for it.
    pub(crate) fn may_begin_with(&self, start: char) -> bool {
        match &self.0 {
            Held::Short(json, _) | Held::Escaped(json, _) => unquoted(json).trim_start().starts_with([start, '\\']),
            _ => self.trim_start().starts_with(start),
        }
    }

    /// About how many bytes more its escapes take than what they say.
    pub(crate) fn surplus(&self) -> usize {
        match &self.0 {
            // Six letters for what are two or three bytes; other escapes are of two.
            Held::Escaped(json, _) => 4 * UNICODE.find_iter(json.get().as_bytes()).count(),
            _ => 0,
        }
    }

    /// The part behind `at` bytes, as borrowed as the whole.
    #[must_use]
    pub fn behind(self, at: usize) -> Self {
        match self.borrowed() {
            Some(text) => Self::from(&text[at..]),
            None => Self::from(self[at..].to_owned()),
        }
    }
}

/// What is between the quotes.
fn unquoted(json: &RawValue) -> &str {
    let json = json.get();
    &json[1..json.len() - 1]
}

/// Why JSON is not what was expected.
pub(crate) fn mistaken(json: &RawValue, expected: &'static str) -> serde_json::Error {
    struct Nothing(&'static str);
    impl de::Visitor<'_> for Nothing {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }
    let read = serde_json::Deserializer::from_str(json.get()).deserialize_any(Nothing(expected));
    read.err().unwrap_or_else(|| de::Error::custom(format!("expected {expected}")))
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self::from("")
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Held::Plain(text) => text,
            Held::Quoted(json) => unquoted(json),
            Held::Short(json, said) | Held::Escaped(json, said) => {
                said.get_or_init(|| serde_json::from_str(json.get()).expect("its escapes are whole"))
            }
        }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text<'_> {}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        (**self).cmp(&**other)
    }
}

impl Hash for Text<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Held::Plain(Cow::Borrowed(text)))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Held::Plain(Cow::Owned(text)))
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Held::Plain(text) => serializer.serialize_str(text),
            Held::Quoted(json) | Held::Short(json, _) | Held::Escaped(json, _) => json.serialize(serializer),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(ahead::TEXT, Reader)
    }
}

/// Takes a text as it stands, or one that was seen ahead.
struct Reader;

impl<'de> de::Visitor<'de> for Reader {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(text.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(text.to_owned().into())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text<'de>, D::Error> {
        Deserialize::deserialize(deserializer).map(Text::of_short)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text<'de>, D::Error> {
        Text::of(Deserialize::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(json: &str) -> Result<Text<'_>, serde_json::Error> {
        serde_json::from_str(json)
    }

    fn is_decoded(text: &Text<'_>) -> bool {
        matches!(&text.0, Held::Escaped(_, said) if said.get().is_some())
    }

    #[test]
    fn an_escape_is_decoded_when_somebody_looks() {
        let read: Vec<Text<'_>> = serde_json::from_str(r#"["plain", "a\nb\u00e9"]"#).unwrap();
        assert_eq!((read[0].borrowed(), read[1].borrowed()), (Some("plain"), None));
        assert!(!read[1].is_empty() && !read[1].may_begin_with('{'));
        assert_eq!(serde_json::to_string(&read).unwrap(), r#"["plain","a\nb\u00e9"]"#);
        assert!(!is_decoded(&read[1]), "nobody looked");
        assert_eq!((&*read[1], read[1].len()), ("a\nb\u{e9}", 5));
        assert!(is_decoded(&read[1]));
        assert_eq!(serde_json::to_string(&read).unwrap(), r#"["plain","a\nb\u00e9"]"#);
        assert_eq!((&*read[0].clone().behind(2), &*read[1].clone().behind(2)), ("ain", "b\u{e9}"));
        assert_eq!((read[0].bare(), read[0].clone().behind(2).bare()), (None, Some("ain")));
    }

    #[test]
    fn what_it_says_is_what_counts() {
        let all = [read(r#""\u007b\/""#).unwrap(), read(r#""{/""#).unwrap(), Text::from("{/")];
        for one in &all {
            assert!(all.iter().all(|other| one == other && one.cmp(other).is_eq()));
            assert!(one.may_begin_with('{'));
        }
        assert_eq!(std::collections::HashSet::from(all).len(), 1);
        for empty in [read(r#""""#).unwrap(), Text::from("")] {
            assert!(empty.is_empty() && !empty.may_begin_with('{'));
        }
        assert!(!read(r#""\u0000""#).unwrap().is_empty());
    }

    #[test]
    fn half_a_character_is_no_text() {
        for half in [r#""\ud800""#, r#""a\uDBFFb""#, r#""\udc00\ud800""#, r#""\ud83d\n""#, r#""\ud83d\ud83d\ude00""#] {
            assert!(read(half).is_err(), "{half}");
        }
        assert_eq!(&*read(r#""\ud83d\uDE00""#).unwrap(), "\u{1f600}");
        // Of a path in Windows there are two backslashes.
        assert_eq!(&*read(r#""C:\\users\\udo\\ud800""#).unwrap(), r"C:\users\udo\ud800");
        for wrong in [r#""\x""#, r#""\u12""#, "\"a\nb\"", "1", "null", "[\"a\"]", "\"a"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(serde_json::from_slice::<Text<'_>>(b"\"\xff\"").is_err());
        assert!(read("1").unwrap_err().to_string().starts_with("invalid type: integer `1`, expected a string"));
    }

    proptest! {
        /// Pieces that may go wrong beside each other.
        #[test]
        fn it_reads_what_serde_reads(
            pieces in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(vec![
                        r"\n", r"\\", r"\/", "\\\"", r"\u", r"\ud8", r"\ud83d", r"\ude00", r"\uD83D\uDE00", r"\u00e9",
                        r"\u0000", "u", "d", "00", "\\", "\"", "\u{1f600}", "\u{e9}", "\n", "\u{7f}", " ",
                    ])
                    .prop_map(str::to_owned),
                    "[ -~]{0,4}",
                ],
                0..8,
            ),
        ) {
            let json = format!("\"{}\"", pieces.concat());
            match (read(&json), serde_json::from_str::<String>(&json)) {
                (Ok(text), Ok(said)) => {
                    let written = serde_json::to_string(&text).unwrap();
                    prop_assert_eq!(&written, &json);
                    prop_assert_eq!(&serde_json::from_str::<String>(&written).unwrap(), &said);
                    prop_assert_eq!((text.is_empty(), text.clone().borrowed()),
                        (said.is_empty(), (!json.contains('\\')).then_some(&*said)));
                    for start in ['{', ' ', '\\'] {
                        prop_assert!(text.may_begin_with(start) || !said.trim_start().starts_with(start));
                    }
                    prop_assert_eq!(&*text, &*said);
                }
                (Err(_), Err(_)) => {}
                (ours, theirs) => prop_assert!(false, "{json}: {ours:?}, {theirs:?}"),
            }
        }
    }
}
