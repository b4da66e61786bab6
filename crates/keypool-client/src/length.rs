//! How long what is asked is: its words, and nothing that is no text.

use std::sync::Arc;

use serde_json::Value;
use tower_keypool::{Demand, KeyPool};

/// A token is hardly ever more bytes of text than this.
const MOST_OF_A_TOKEN: u64 = 8;
/// Of fewer tokens no limit is asked.
const SMALL: u64 = 1_000;
/// And about so many.
pub(crate) const OF_A_TOKEN: u64 = 4;

/// Bytes of text in a request; what it carries of pictures and files counts otherwise.
pub(crate) fn of_text(body: &[u8]) -> u64 {
    serde_json::from_slice::<Value>(body).map_or(body.len() as u64, |whole| of(&whole))
}

/// What is said of a request with so many bytes of text.
pub(crate) fn too_long(text: u64, most: u64) -> String {
    let about = text / OF_A_TOKEN;
    format!("it is too long: it needs about {about} tokens, and the largest limit of a key is {most} a minute")
}

/// The same of one that is so whatever its words are; `None` of any other. Of what is short nobody need ask what a minute allows.
pub(crate) fn never_fits(body: &[u8], most: impl FnOnce() -> Option<u64>) -> Option<String> {
    let bytes = body.len() as u64;
    if bytes / OF_A_TOKEN < SMALL {
        return None;
    }
    let most = most().filter(|most| *most > 0 && bytes / MOST_OF_A_TOKEN > *most)?;
    let text = of_text(body);
    (text / MOST_OF_A_TOKEN > most).then(|| too_long(text, most))
}

/// The most tokens that any key's minute allows, of any of these models; `None` where one has no such limit.
pub(crate) fn most_tokens<'a>(pool: &KeyPool, chain: impl IntoIterator<Item = &'a Arc<str>>) -> Option<u64> {
    let most = |model: &Arc<str>| pool.most_tokens(Demand::new(Arc::clone(model)));
    chain.into_iter().map(most).try_fold(0, |held, most| Some(held.max(most?))).filter(|most| *most > 0)
}

fn of(value: &Value) -> u64 {
    match value {
        Value::String(text) if text.starts_with("data:") => 0,
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(of).sum(),
        Value::Object(fields) => fields.iter().filter(|(name, _)| *name != "data").map(|(_, value)| of(value)).sum(),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_carries_is_no_text() {
        let picture = "A".repeat(10_000);
        let body = serde_json::json!({ "contents": [{ "parts": [
            { "text": "hello" }, { "inlineData": { "mimeType": "", "data": picture } },
            { "image_url": { "url": format!("data:image/png;base64,{picture}") } },
        ] }] });
        assert_eq!(of_text(body.to_string().as_bytes()), 5);
        assert_eq!(of_text(b"no JSON"), 7);
    }
}
