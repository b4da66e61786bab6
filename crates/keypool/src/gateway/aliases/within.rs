//! Models in the places of their other names within a body, where the stack does not look for them. All else stays as it is,
//! byte for byte.

use std::{borrow::Cow, collections::HashMap, ops::Range, sync::Arc};

use keypool_dialect::model_of_form;
use serde_json::value::RawValue;

/// Fields that name a model.
const MODELS: [&str; 3] = ["model", "baseModel", "base_model"];
/// Fields in which others may: requests in others, and what sets a session up. What callers write themselves is in none.
const WITHIN: [&str; 12] = [
    "batch",
    "bidiGenerateContentSetup",
    "bidi_generate_content_setup",
    "generateContentRequest",
    "generate_content_request",
    "inputConfig",
    "input_config",
    "liveConnectConstraints",
    "live_connect_constraints",
    "request",
    "requests",
    "setup",
];

/// A body in which models stand that `find` knows the names of; `None`: none is named so.
pub(super) fn resolved<'m>(body: &[u8], find: impl Fn(&str) -> Option<&'m Arc<str>>) -> Option<Vec<u8>> {
    let mut found = Vec::new();
    look(serde_json::from_slice(body).ok()?, &mut |text: &RawValue| {
        let Ok(named) = serde_json::from_str::<Cow<'_, str>>(text.get()) else { return };
        if let (Some(model), Some(place)) = (find(&named), place(body, text.get())) {
            let front = if named.starts_with("models/") && !model.contains('/') { "models/" } else { "" };
            found.push((place, serde_json::Value::from(format!("{front}{model}")).to_string()));
        }
    });
    spliced(body, found)
}

/// The same of a form that brings a file.
pub(super) fn resolved_in_form<'m>(form: &[u8], find: impl Fn(&str) -> Option<&'m Arc<str>>) -> Option<Vec<u8>> {
    let named = model_of_form(form)?;
    spliced(form, vec![(place(form, named)?, find(named)?.to_string())])
}

/// Tells of every model that is named.
fn look<'a>(value: &'a RawValue, tell: &mut impl FnMut(&'a RawValue)) {
    if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(value.get()) {
        for item in items {
            look(item, tell);
        }
    } else if let Ok(fields) = serde_json::from_str::<HashMap<Cow<'_, str>, &RawValue>>(value.get()) {
        for (name, value) in fields {
            if MODELS.contains(&&*name) {
                tell(value);
            } else if WITHIN.contains(&&*name) {
                look(value, tell);
            }
        }
    }
}

/// Where a piece of a body lies in it.
fn place(body: &[u8], piece: &str) -> Option<Range<usize>> {
    let start = (piece.as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
    (start + piece.len() <= body.len()).then(|| start..start + piece.len())
}

fn spliced(body: &[u8], mut found: Vec<(Range<usize>, String)>) -> Option<Vec<u8>> {
    if found.is_empty() {
        return None;
    }
    found.sort_by_key(|(place, _)| place.start);
    let (mut out, mut at) = (Vec::with_capacity(body.len() + 64 * found.len()), 0);
    for (place, new) in found {
        out.extend_from_slice(&body[at..place.start]);
        out.extend_from_slice(new.as_bytes());
        at = place.end;
    }
    out.extend_from_slice(&body[at..]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(name: &str) -> Option<&'static Arc<str>> {
        static REAL: std::sync::LazyLock<Arc<str>> = std::sync::LazyLock::new(|| "real-1".into());
        (name.trim_start_matches("models/") == "fast").then_some(&REAL)
    }

    #[test]
    fn models_stand_where_their_other_names_stood() {
        for (body, expected) in [
            (r#"{ "model" : "fast","x":1.50}"#, Some(r#"{ "model" : "real-1","x":1.50}"#)),
            (
                r#"{"generateContentRequest":{"model":"models/fa\u0073t"}}"#,
                Some(r#"{"generateContentRequest":{"model":"models/real-1"}}"#),
            ),
            (
                r#"{"requests":[{"model":"models/fast","content":{}},{"model":"m"},{"content":1,"model":"fast"}]}"#,
                Some(
                    r#"{"requests":[{"model":"models/real-1","content":{}},{"model":"m"},{"content":1,"model":"real-1"}]}"#,
                ),
            ),
            (r#"{"setup":{"model":"models/fast"}}"#, Some(r#"{"setup":{"model":"models/real-1"}}"#)),
            (r#"{"contents":[{"model":"fast"}],"args":{"model":"fast"},"model":"m"}"#, None),
            (r#"{"model":["fast"]}"#, None),
            ("no JSON", None),
        ] {
            let told = resolved(body.as_bytes(), find).map(|body| String::from_utf8(body).unwrap());
            assert_eq!(told.as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn and_in_forms() {
        let form =
            |model: &str| format!("--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\n{model}\r\n--x--\r\n");
        let told = resolved_in_form(form("fast").as_bytes(), find).unwrap();
        assert_eq!(String::from_utf8(told).unwrap(), form("real-1"));
        assert_eq!(resolved_in_form(form("m").as_bytes(), find), None);
    }
}
