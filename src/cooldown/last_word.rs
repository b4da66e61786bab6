//! Whether a stream of Gemini's said why it ends: `finishReason`, or the `blockReason` of a prompt. One that ends without
//! was cut, though its last byte came as any other's.
//!
//! Until it said so a chunk costs one search. A quote inside of a JSON string is always escaped, and a text's own end has no
//! colon behind it: only a field's name is met. Whose field it is nobody looks: rather is a stream taken for whole.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::needle::{Carried, begun_at_end, carry};

const NEEDLE: &[u8] = b"Reason\":";

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(NEEDLE));

/// Looks for the reason to end.
#[derive(Default)]
pub(super) struct LastWord {
    said: bool,
    /// This many bytes of the needle stood at the end of what came before.
    begun: u8,
}

impl LastWord {
    /// Looks at the next bytes of the stream.
    pub(super) fn see(&mut self, bytes: &[u8]) {
        if self.said {
            return;
        }
        if self.begun > 0 {
            match carry(NEEDLE, usize::from(self.begun), bytes) {
                Carried::Whole { .. } => self.said = true,
                Carried::Partly(begun) => self.begun = begun as u8,
                Carried::Broken => self.begun = 0,
            }
            if self.said || self.begun > 0 {
                return;
            }
        }
        if FINDER.find(bytes).is_some() {
            self.said = true;
        } else {
            self.begun = begun_at_end(NEEDLE, bytes) as u8;
        }
    }

    /// Whether it was there.
    pub(super) fn was_said(&self) -> bool {
        self.said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whole, cut in two at every place, and byte by byte: always the same.
    fn is_said(text: &str) -> bool {
        let of = |chunks: &mut dyn Iterator<Item = &[u8]>| {
            let mut word = LastWord::default();
            chunks.for_each(|chunk| word.see(chunk));
            word.was_said()
        };
        let bytes = text.as_bytes();
        let whole = of(&mut std::iter::once(bytes));
        assert_eq!(of(&mut bytes.chunks(1)), whole, "{text}");
        for cut in 0..bytes.len() {
            assert_eq!(of(&mut [&bytes[..cut], &bytes[cut..]].into_iter()), whole, "{text}, cut at {cut}");
        }
        whole
    }

    #[test]
    fn wherever_it_is_cut() {
        for said in [
            r#"data: {"candidates":[{"finishReason":"STOP"}]}"#,
            r#"{"promptFeedback": {"blockReason": "SAFETY"}}"#,
            r#"{"text":"ReasReason","finishReason":"STOP"}"#,
            r#"{"a":"Reason"},{"finishReason":"MAX_TOKENS"}"#,
        ] {
            assert!(is_said(said), "{said}");
        }
        for not in [
            r#"{"text":"the \"finishReason\": \"STOP\" of Gemini"}"#,
            r#"{"text":"Reason"}"#,
            r#"["Reason","finishReason"]"#,
            "",
        ] {
            assert!(!is_said(not), "{not}");
        }
    }
}
