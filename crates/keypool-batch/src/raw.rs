//! JSON objects that keep the text of their values, with every digit.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

/// An object whose values are not parsed.
pub(crate) type RawObject = BTreeMap<String, Box<RawValue>>;

/// Serializes a value.
pub(crate) fn raw(value: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("the keys of all maps are strings")
}

/// Returns the text as an object, if it is one.
pub(crate) fn object(json: &RawValue) -> Option<RawObject> {
    serde_json::from_str(json.get()).ok()
}

/// Reports whether the value is `null`.
pub(crate) fn is_null(json: &RawValue) -> bool {
    json.get() == "null"
}
