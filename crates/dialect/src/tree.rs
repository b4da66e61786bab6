//! JSON whose order is kept: the order of a schema's properties is the order that a model answers in.

use std::fmt;

use serde::{Deserialize, Serialize, de, ser::SerializeMap};
use serde_json::value::RawValue;

use crate::Text;

/// A JSON value, its objects in their order. Depth is bounded by the limit of 128 that the parser has.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree<'a> {
    /// A number, `true`, `false` or `null`, as `serde_json` has it.
    Plain(serde_json::Value),
    String(Text<'a>),
    List(Vec<Tree<'a>>),
    Object(Vec<(Text<'a>, Tree<'a>)>),
}

impl<'a> Tree<'a> {
    /// Reads JSON that is known to be some.
    pub(crate) fn of(json: &'a RawValue) -> Option<Self> {
        serde_json::from_str(json.get()).ok()
    }

    /// Written out.
    pub(crate) fn raw(&self) -> Option<Box<RawValue>> {
        serde_json::value::to_raw_value(self).ok()
    }
}

impl Serialize for Tree<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(value) => value.serialize(serializer),
            Self::String(text) => text.serialize(serializer),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(&**name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Tree<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> de::Visitor<'de> for Reader {
    type Value = Tree<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree<'de>, E> {
        Ok(Tree::Plain(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree<'de>, E> {
        Ok(Tree::Plain(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree<'de>, E> {
        Ok(Tree::Plain(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree<'de>, E> {
        Ok(Tree::Plain(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Tree<'de>, E> {
        Ok(Tree::Plain(serde_json::Value::Null))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Tree<'de>, E> {
        Ok(Tree::String(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree<'de>, E> {
        Ok(Tree::String(text.to_owned().into()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Tree<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Tree::List(items))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Tree<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Tree::Object(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept() {
        let json = r#"{"z":1,"a":[true,null,-2,1.5,"x"],"m":{"y":"","b":0}}"#;
        let raw = RawValue::from_string(json.to_owned()).unwrap();
        assert_eq!(Tree::of(&raw).unwrap().raw().unwrap().get(), json);
    }

    #[test]
    fn a_deep_one_is_refused() {
        let deep = RawValue::from_string(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000)));
        // Either refuses it; none overflows the stack.
        assert!(deep.is_err() || Tree::of(&deep.unwrap()).is_none());
    }
}
