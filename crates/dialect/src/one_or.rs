//! What may be a text or a list.

use std::{fmt, marker::PhantomData};

use serde::{Deserialize, Deserializer, de};

use crate::{Text, ahead};

/// A text, or a list of some kind.
pub(crate) enum OneOr<'a, T> {
    Text(Text<'a>),
    List(Vec<T>),
}

impl<T> OneOr<'_, T> {
    /// The list; of a text an empty one.
    pub(crate) fn list(&self) -> &[T] {
        match self {
            Self::Text(_) => &[],
            Self::List(list) => list,
        }
    }
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for OneOr<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(ahead::TEXT_OR_LIST, Reader(PhantomData))
    }
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Reader<T> {
    type Value = OneOr<'de, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list")
    }

    fn visit_some<D: Deserializer<'de>>(self, text: D) -> Result<OneOr<'de, T>, D::Error> {
        Text::deserialize(text).map(OneOr::Text)
    }

    /// Nobody saw which of them it is: of a text with escapes there is what it says, not how it stands.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, either: D) -> Result<OneOr<'de, T>, D::Error> {
        either.deserialize_any(self)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<OneOr<'de, T>, E> {
        Ok(OneOr::Text(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<OneOr<'de, T>, E> {
        Ok(OneOr::Text(text.to_owned().into()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<OneOr<'de, T>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = seq.next_element()? {
            list.push(item);
        }
        Ok(OneOr::List(list))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(json: &str) -> [Result<OneOr<'_, u8>, serde_json::Error>; 2] {
        [ahead::read(json), serde_json::from_str(json)]
    }

    #[test]
    fn a_text_stays_where_it_was_read() {
        for read in both(r#""plain""#) {
            assert!(matches!(read, Ok(OneOr::Text(text)) if text.borrowed() == Some("plain")));
        }
        for read in both(r#""a\nb""#) {
            assert!(matches!(read, Ok(OneOr::Text(text)) if &*text == "a\nb"));
        }
        for read in both(" [1,2] ") {
            assert!(matches!(read, Ok(OneOr::List(list)) if list == [1, 2]));
        }
        for wrong in ["null", "1", "{}", "true", "[\"x\"]", r#""\ud800""#, "", "\"a", "[1", "\"a\"b"] {
            assert!(both(wrong).iter().all(Result::is_err), "{wrong}");
        }
        for read in both("{}") {
            let said = read.err().unwrap().to_string();
            assert!(said.starts_with("invalid type: map, expected a string or a list"), "{said}");
        }
    }

    #[test]
    fn escapes_stay_where_it_was_seen_ahead() {
        let read: OneOr<'_, u8> = ahead::read(r#""a\u00e9\n""#).unwrap();
        let OneOr::Text(text) = read else { panic!("a text") };
        assert_eq!(serde_json::to_string(&text).unwrap(), r#""a\u00e9\n""#);
    }

    #[test]
    fn a_deep_one_overflows_no_stack() {
        #[derive(Deserialize)]
        struct Deep<'a> {
            #[serde(borrow)]
            #[expect(dead_code, reason = "only read")]
            deeper: Option<OneOr<'a, Deep<'a>>>,
        }
        let deep = [r#"{"deeper":["#.repeat(100_000), "]}".repeat(100_000)].concat();
        assert!(ahead::read::<Deep<'_>>(&deep).is_err());
        assert!(ahead::read::<OneOr<'_, serde_json::Value>>(&"[".repeat(200_000)).is_err());
    }
}
