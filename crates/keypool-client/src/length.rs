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

/// What is shorter carries nothing that would weigh much: nobody reads it for that.
const READ: usize = 16 << 10;
/// A picture or a file that a request carries, at the least.
const OF_A_MEDIUM: u64 = 258;

/// Bytes of text in a request; what it carries of pictures and files counts otherwise.
pub(crate) fn of_text(body: &[u8]) -> u64 {
    measured(body).text
}

/// About how many tokens a request needs.
pub(crate) fn about_tokens(body: &[u8]) -> u64 {
    if body.len() < READ {
        return body.len() as u64 / OF_A_TOKEN;
    }
    let Measured { text, media } = measured(body);
    text / OF_A_TOKEN + media * OF_A_MEDIUM
}

/// What a request holds: bytes of text, and media.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    text: u64,
    media: u64,
}

fn measured(body: &[u8]) -> Measured {
    let unread = Measured { text: body.len() as u64, media: 0 };
    serde_json::from_slice::<Value>(body).map_or(unread, |whole| {
        let mut all = Measured::default();
        all.add(&whole);
        all
    })
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

impl Measured {
    fn add(&mut self, value: &Value) {
        match value {
            Value::String(text) if text.starts_with("data:") => self.media += 1,
            Value::String(text) => self.text += text.len() as u64,
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    if name == "data" && value.is_string() {
                        self.media += 1;
                    } else {
                        self.add(value);
                    }
                }
            }
            _ => self.text += 1,
        }
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
        assert_eq!(about_tokens(body.to_string().as_bytes()), 5 / 4 + 2 * 258);
        assert_eq!(about_tokens(b"of what is short all counts"), 6);
    }
}
