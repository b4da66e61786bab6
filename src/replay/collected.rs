//! Reads the model, and the number of items of an array, from a collected JSON body.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use crate::json::Members;

/// The collected body of a request. [`ReplayLayer`](crate::ReplayLayer) inserts it as an extension of the request.
///
/// Clones share the bytes and the model, so that the model is parsed only once for several attempts.
#[derive(Clone)]
pub struct CollectedBody(Arc<Inner>);

struct Inner {
    data: Bytes,
    model: OnceLock<Option<Arc<str>>>,
}

impl CollectedBody {
    /// Creates the extension for a service that collects bodies itself. `ReplayLayer` then sends this data.
    pub fn new(data: Bytes) -> Self {
        Self(Arc::new(Inner { data, model: OnceLock::new() }))
    }

    /// Returns the bytes of the body.
    pub fn data(&self) -> &Bytes {
        &self.0.data
    }

    /// Returns the top-level `"model"` string, if the body is a JSON object that has one.
    pub fn model(&self) -> Option<&Arc<str>> {
        self.0.model.get_or_init(|| model_in(&self.0.data).map(Arc::from)).as_ref()
    }

    /// Returns the number of items of the top-level array with this name, or `None` if there is no such array.
    pub fn count_items(&self, field: &str) -> Option<u32> {
        let members = serde_json::from_slice::<Members<'_>>(&self.0.data).ok()?;
        let items = serde_json::from_str::<Vec<IgnoredAny>>(members.get(field)?.get()).ok()?;
        items.len().try_into().ok()
    }
}

debug_with_fields!([] CollectedBody, "CollectedBody");

#[derive(Deserialize)]
struct Model<'a> {
    #[serde(borrow)]
    model: &'a RawValue,
}

fn model_in(data: &[u8]) -> Option<Cow<'_, str>> {
    let json = raw_model_in(data)?;
    // A name without escapes is borrowed.
    match serde_json::from_str::<&str>(json) {
        Ok(model) => Some(Cow::Borrowed(model)),
        Err(_) => serde_json::from_str::<String>(json).ok().map(Cow::Owned),
    }
}

/// Returns the model as it is written in the body, including the quotes. Returns `None` if the body has two of them.
fn raw_model_in(data: &[u8]) -> Option<&str> {
    Some(serde_json::from_slice::<Model<'_>>(data).ok()?.model.get())
}

/// Replaces the top-level `"model"` of a body and keeps all other bytes. Returns `None` if the body has no such string.
pub(crate) fn with_model(data: &[u8], model: &str) -> Option<Bytes> {
    let held = raw_model_in(data).filter(|held| held.starts_with('"'))?;
    let start = held.as_ptr() as usize - data.as_ptr() as usize;
    let model = serde_json::to_string(model).ok()?;
    let mut changed = BytesMut::with_capacity(data.len() - held.len() + model.len());
    changed.put_slice(&data[..start]);
    changed.put_slice(model.as_bytes());
    changed.put_slice(&data[start + held.len()..]);
    Some(changed.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collected(body: &str) -> CollectedBody {
        CollectedBody::new(Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn the_top_level_model_is_read() {
        for (body, model) in [
            (r#"{"messages":[{"model":"no"}],"model":"gpt-5"}"#, Some("gpt-5")),
            (r#" { "model" : "a\u0062\"c" } "#, Some("ab\"c")),
            (r#"{"model":7}"#, None),
            (r#"{"model":null}"#, None),
            (r#"{"model":"a","model":"b"}"#, None),
            (r#"{"input":{"model":"no"}}"#, None),
            (r#"["model","a"]"#, None),
            (r#"{"model":"a""#, None),
            ("", None),
        ] {
            assert_eq!(collected(body).model().map(|model| &**model), model, "{body}");
        }
    }

    #[test]
    fn another_model_keeps_all_other_bytes() {
        let body = "{ \"a\": [1,  2], \"model\" :\t\"old\" ,\"b\":{\"model\":\"old\"}}\n";
        let changed = with_model(body.as_bytes(), "new \"one\"").unwrap();
        assert_eq!(changed, body.replacen("\"old\"", "\"new \\\"one\\\"\"", 1));
        assert_eq!(with_model(br#"{"model":7}"#, "a"), None);
        assert_eq!(with_model(br#"{"models":"x"}"#, "a"), None);
    }

    #[test]
    fn items_are_counted_at_the_top_level_only() {
        let body = r#"{"requests":[{"requests":[1,2,3]},"]",{}],"other":[1]}"#;
        assert_eq!(collected(body).count_items("requests"), Some(3));
        assert_eq!(collected(r#"{"input":"text"}"#).count_items("input"), None);
        assert_eq!(collected(r#"{"input":[]}"#).count_items("input"), Some(0));
        assert_eq!(collected("[1]").count_items("input"), None);
        assert_eq!(collected(r#"{"a":1}"#).count_items("input"), None);
    }

    #[test]
    fn deep_nesting_is_harmless() {
        let deep = format!(r#"{{"a":{},"model":"m"}}"#, "[".repeat(200_000));
        assert_eq!(collected(&deep).model(), None);
        let deep = format!(r#"{{"a":{}{},"model":"m"}}"#, "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(collected(&deep).model().map(|model| &**model), Some("m"));
        assert_eq!(collected(&deep).count_items("a"), Some(1));
        assert!(with_model(deep.as_bytes(), "n").unwrap().ends_with(br#""model":"n"}"#));
    }
}
