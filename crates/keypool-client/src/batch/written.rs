//! JSON that passes through, with its numbers as they were written.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Deref,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use serde_json::{Value, value::RawValue};

use crate::json;

/// JSON of a task or an answer: a value, and written as it came where a value has not every digit of its numbers. A number
/// beyond all that a value may have (`1e400`) is a very large one in the value.
#[derive(Clone, Debug)]
pub struct Json {
    value: Value,
    exact: Option<Box<RawValue>>,
}

/// An object, each of its fields as it was written.
pub(crate) type Fields = BTreeMap<String, Json>;

impl Json {
    /// A value, and the text that it was read from.
    pub(crate) fn new(value: Value, text: &str) -> Self {
        Self { value, exact: json::exact(text) }
    }

    pub(crate) fn read(text: &str) -> Result<Self, serde_json::Error> {
        Ok(Self::new(json::value(text)?, text))
    }

    /// The value.
    pub fn into_value(self) -> Value {
        self.value
    }

    /// How it was written, where the value has not all of that.
    pub fn exact(&self) -> Option<&str> {
        self.exact.as_deref().map(RawValue::get)
    }

    /// An object's fields; none of anything else.
    pub(crate) fn into_fields(self) -> Fields {
        let Value::Object(fields) = self.value else { return Fields::new() };
        let written = self.exact.as_deref().and_then(|exact| serde_json::from_str(exact.get()).ok());
        let written: HashMap<String, &RawValue> = written.unwrap_or_default();
        let exact = |name: &str| written.get(name).and_then(|written| json::exact(written.get()));
        fields.into_iter().map(|(name, value)| (name.clone(), Self { exact: exact(&name), value })).collect()
    }

    /// An object with this as its one field.
    pub(crate) fn under(self, name: &str) -> Self {
        let exact = self.exact().map(|exact| format!("{{{}:{exact}}}", Value::from(name)));
        Self { value: serde_json::json!({ name: self.value }), exact: exact.and_then(raw) }
    }

    /// Adds a field to an object that has it not.
    pub(crate) fn add_field(&mut self, name: &str, value: impl Into<Value>) {
        let Some(fields) = self.value.as_object_mut().filter(|fields| !fields.contains_key(name)) else { return };
        let value = value.into();
        self.exact = self.exact.take().and_then(|exact| begun(&exact, &format!("{}:{value}", Value::from(name))));
        fields.insert(name.to_owned(), value);
    }

    /// Puts an item before all others of a list.
    pub(crate) fn put_first(&mut self, item: Value) {
        let Some(items) = self.value.as_array_mut() else { return };
        self.exact = self.exact.take().and_then(|exact| begun(&exact, &item.to_string()));
        items.insert(0, item);
    }
}

/// An object or a list with something more at its begin. It has a number, and so is not empty.
fn begun(exact: &RawValue, more: &str) -> Option<Box<RawValue>> {
    let (bracket, rest) = exact.get().split_at(1);
    raw(format!("{bracket}{more},{rest}"))
}

fn raw(text: String) -> Option<Box<RawValue>> {
    RawValue::from_string(text).ok()
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self { value, exact: None }
    }
}

impl Deref for Json {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.value
    }
}

impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value && self.exact() == other.exact()
    }
}

impl PartialEq<Value> for Json {
    fn eq(&self, other: &Value) -> bool {
        self.value == *other
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.exact {
            Some(exact) => exact.serialize(serializer),
            None => self.value.serialize(serializer),
        }
    }
}

/// Of JSON only: other formats have no such text.
impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Box::<RawValue>::deserialize(deserializer)?;
        Self::read(written.get()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_leaves_the_rest_as_it_was() {
        let mut config = Json::read("{ \"topP\": 1.10 }").unwrap();
        config.add_field("temperature", 1.0);
        config.add_field("topP", 0.5);
        assert_eq!(serde_json::to_string(&config).unwrap(), "{\"temperature\":1.0,\"topP\":1.10}");
        assert_eq!(config["temperature"], 1.0);
        let mut list = Json::read("[1e400]").unwrap();
        list.put_first("a".into());
        assert_eq!(serde_json::to_string(&list.under("b")).unwrap(), "{\"b\":[\"a\",1e400]}");
        let fields = Json::read("{\"a\": {\"n\": 1.10}, \"b\": 1.1}").unwrap().into_fields();
        assert_eq!((fields["a"].exact(), fields["b"].exact()), (Some("{\"n\":1.10}"), None));
    }
}
