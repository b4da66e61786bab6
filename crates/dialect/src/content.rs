//! What somebody said: a text, or a list of parts.

use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use crate::{Fault, Text, fields, text::mistaken};

/// A text, or a list of some kind, neither of which was looked into.
pub(crate) enum Content<'a, T> {
    Text(Text<'a>),
    List(Unread<'a, T>),
}

/// A list as it stands.
///
/// (serde knows what comes only once it has read it, and a text is to stay as it was written. So a list is passed over
/// once, and read by whoever wants it. Lists inside of lists that nobody wants are never read.)
pub(crate) struct Unread<'a, T>(&'a RawValue, PhantomData<fn() -> T>);

impl<'a, T: Deserialize<'a>> Unread<'a, T> {
    /// Reads it; `place` is where it stands.
    ///
    /// # Errors
    /// A fault that names what inside of it is wrong.
    pub(crate) fn read(self, place: impl FnOnce() -> String) -> Result<Vec<T>, Fault> {
        serde_json::from_str(self.0.get()).map_err(|_| fields::wrong::<Vec<T>>(self.0, &place()))
    }
}

impl<'de: 'a, 'a, T> Deserialize<'de> for Content<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?;
        match json.get().as_bytes().first() {
            Some(b'"') => Text::of(json).map(Self::Text).map_err(de::Error::custom),
            Some(b'[') => Ok(Self::List(Unread(json, PhantomData))),
            _ => Err(de::Error::custom(mistaken(json, "a string or a list"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Content<'_, u8>, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn a_text_stays_where_it_was_read() {
        assert!(matches!(read(r#""plain""#), Ok(Content::Text(text)) if text.borrowed() == Some("plain")));
        assert!(matches!(read(r#""a\nb""#), Ok(Content::Text(text)) if &*text == "a\nb"));
        for wrong in ["null", "1", "{}", "true", r#""\ud800""#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        let said = read("{}").err().unwrap().to_string();
        assert!(said.starts_with("invalid type: map, expected a string or a list"), "{said}");
    }

    #[test]
    fn a_list_says_where_it_is_wrong() {
        let list = |json| match read(json) {
            Ok(Content::List(list)) => list.read(|| "here".to_owned()),
            _ => panic!("{json} is a list"),
        };
        assert_eq!(list("[1,2]").unwrap(), [1, 2]);
        let fault = list(r#"[1,"x"]"#).unwrap_err();
        assert_eq!(fault.param.as_deref(), Some("here[1]"));
        assert!(fault.message.starts_with("here[1]: invalid type") && !fault.message.contains("line"), "{fault:?}");
    }

    #[test]
    fn a_deep_one_overflows_no_stack() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        if let Ok(Content::List(list)) = serde_json::from_str::<Content<'_, serde_json::Value>>(&deep) {
            assert!(list.read(String::new).is_err());
        }
    }
}
