//! What may be a text or a list.

use std::{fmt, marker::PhantomData};

use serde::{Deserialize, Deserializer, de};

use crate::Text;

/// A text, or a list of some kind.
pub(crate) enum OneOr<'a, T> {
    Text(Text<'a>),
    List(Vec<T>),
}

impl<'de: 'a, 'a, T: Deserialize<'de>> Deserialize<'de> for OneOr<'a, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Reader<T> {
    type Value = OneOr<'de, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list")
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

    #[test]
    fn a_text_stays_where_it_was_read() {
        let read = |json| serde_json::from_str::<OneOr<'_, u8>>(json);
        assert!(matches!(read(r#""plain""#), Ok(OneOr::Text(text)) if text.borrowed() == Some("plain")));
        assert!(matches!(read(r#""a\nb""#), Ok(OneOr::Text(text)) if &*text == "a\nb"));
        assert!(matches!(read("[1,2]"), Ok(OneOr::List(list)) if list == [1, 2]));
        for wrong in ["null", "1", "{}", "true", "[\"x\"]"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
