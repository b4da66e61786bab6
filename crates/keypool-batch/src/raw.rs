//! JSON objects whose values stay as they were written, with every digit.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, value::RawValue};

/// An object of which only the names are read.
pub(crate) type RawObject = BTreeMap<String, Box<RawValue>>;

/// A value as text.
pub(crate) fn raw(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("a value without maps of other keys than texts")
}

/// The text as an object, if it is one.
pub(crate) fn object(json: &RawValue) -> Option<RawObject> {
    serde_json::from_str(json.get()).ok()
}

/// Whether the value is a JSON `null`.
pub(crate) fn is_null(json: &RawValue) -> bool {
    json.get() == "null"
}

/// Adds the fields that the object does not have; a field that is an object in both is completed one level deep.
pub(crate) fn complete(object: &mut RawObject, fields: &serde_json::Map<String, Value>) {
    for (name, value) in fields {
        let Some(held) = object.get_mut(name) else {
            object.insert(name.clone(), raw(value));
            continue;
        };
        if let (Some(mut inner), Some(more)) = (self::object(held), value.as_object()) {
            for (name, value) in more {
                inner.entry(name.clone()).or_insert_with(|| raw(value));
            }
            *held = raw(&inner);
        }
    }
}
