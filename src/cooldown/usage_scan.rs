//! Finds the usage objects in a body as it passes. Until one begins, a chunk costs one search for `"usage`; nothing is
//! copied but an object that stands across the border of two chunks, and of that at most 4 KiB.
//!
//! A quote inside of a JSON string is always escaped, so `"usage` followed by its closing quote, a colon and a brace is
//! never text that somebody wrote.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::{
    balance::Balance,
    needle::{Carried, begun_at_end, carry},
    usage_object::Counts,
};
use crate::pool::Usage;

const NEEDLE: &[u8] = b"\"usage";
/// What may follow the needle up to the object's brace, spaces left out.
const REST: [&[u8]; 2] = [b"\":{", b"Metadata\":{"];
/// The largest object that is kept across chunks.
const LARGEST: usize = 4 << 10;

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(NEEDLE));

/// Finds usage objects in a body.
#[derive(Default)]
pub(super) struct UsageScan {
    at: At,
    counts: Counts,
}

#[derive(Default)]
enum At {
    /// Looking for the needle, of which this many bytes stood at the end of what came before.
    #[default]
    Text,
    Begun(usize),
    /// Behind the needle: this many bytes of this rest were met.
    Rest {
        which: usize,
        met: usize,
    },
    /// Inside an object that goes on in the next chunk.
    Object(Box<Kept>),
}

struct Kept {
    balance: Balance,
    text: Vec<u8>,
}

impl UsageScan {
    /// Looks at the next chunk.
    pub(super) fn see(&mut self, mut chunk: &[u8]) {
        while !chunk.is_empty() {
            chunk = match std::mem::take(&mut self.at) {
                At::Text => self.seek(chunk),
                At::Begun(begun) => match carry(NEEDLE, begun, chunk) {
                    Carried::Whole { here, .. } => {
                        self.at = At::Rest { which: REST.len(), met: 0 };
                        &chunk[here..]
                    }
                    Carried::Partly(begun) => {
                        self.at = At::Begun(begun);
                        return;
                    }
                    Carried::Broken => self.seek(chunk),
                },
                At::Rest { which, met } => self.rest(which, met, chunk),
                At::Object(kept) => self.object(kept, chunk),
            };
        }
    }

    /// What the body said, all in all.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.counts.usage()
    }

    fn seek<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        if let Some(at) = FINDER.find(chunk) {
            self.at = At::Rest { which: REST.len(), met: 0 };
            return &chunk[at + NEEDLE.len()..];
        }
        match begun_at_end(NEEDLE, chunk) {
            0 => {}
            begun => self.at = At::Begun(begun),
        }
        &[]
    }

    /// Matches what must follow the needle; spaces may stand around the colon.
    fn rest<'a>(&mut self, mut which: usize, mut met: usize, chunk: &'a [u8]) -> &'a [u8] {
        for (at, &byte) in chunk.iter().enumerate() {
            if met == 0 {
                which = usize::from(byte == REST[1][0]);
            }
            let wanted = REST[which];
            // Behind the closing quote, and behind the colon.
            if byte.is_ascii_whitespace() && wanted.len() - met <= 2 {
                continue;
            }
            if byte != wanted[met] {
                return &chunk[at..];
            }
            met += 1;
            if met == wanted.len() {
                return self.begin(&chunk[at..]);
            }
        }
        self.at = At::Rest { which, met };
        &[]
    }

    /// At an object's brace.
    fn begin<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        let mut balance = Balance::default();
        if let Some(end) = balance.feed(chunk) {
            self.counts.update(&chunk[..end]);
            return &chunk[end..];
        }
        if chunk.len() <= LARGEST {
            self.at = At::Object(Box::new(Kept { balance, text: chunk.to_vec() }));
        }
        &[]
    }

    fn object<'a>(&mut self, mut kept: Box<Kept>, chunk: &'a [u8]) -> &'a [u8] {
        let end = kept.balance.feed(chunk);
        let part = &chunk[..end.unwrap_or(chunk.len())];
        if kept.text.len() + part.len() > LARGEST {
            return &chunk[part.len()..];
        }
        kept.text.extend_from_slice(part);
        if end.is_some() {
            self.counts.update(&kept.text);
        } else {
            self.at = At::Object(kept);
        }
        &chunk[part.len()..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans the text whole, cut in two at every place, and byte by byte: always the same.
    fn scan(text: &str) -> Option<(Option<u64>, Option<u64>)> {
        let of = |chunks: &mut dyn Iterator<Item = &[u8]>| {
            let mut scan = UsageScan::default();
            chunks.for_each(|chunk| scan.see(chunk));
            scan.usage().map(|usage| (usage.input_tokens, usage.output_tokens))
        };
        let bytes = text.as_bytes();
        let whole = of(&mut std::iter::once(bytes));
        assert_eq!(of(&mut bytes.chunks(1)), whole);
        for cut in 0..bytes.len() {
            assert_eq!(of(&mut [&bytes[..cut], &bytes[cut..]].into_iter()), whole, "cut at {cut}");
        }
        whole
    }

    #[test]
    fn the_last_one_that_is_not_null_holds() {
        let text = r#"data: {"usageMetadata": {"promptTokenCount":4,"candidatesTokenCount":1}}
            data: {"usageMetadata" :
              {"promptTokenCount":4,"candidatesTokenCount":9}} data: {"usageMetadata":null}"#;
        assert_eq!(scan(text), Some((Some(4), Some(9))));
    }

    #[test]
    fn the_other_two_formats() {
        let openai = r#"data: {"usage":null} data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1}} data: [DONE]"#;
        assert_eq!(scan(openai), Some((Some(9), Some(1))));
        let anthropic = r#"{"message":{"usage":{"input_tokens":25,"output_tokens":1}}} {"usage":{"output_tokens":15}}"#;
        assert_eq!(scan(anthropic), Some((Some(25), Some(15))));
    }

    #[test]
    fn text_that_speaks_of_usage_is_not_usage() {
        let escaped =
            r#"{"text":"he wrote \"usageMetadata\": {\"promptTokenCount\":7} and \"usage\":{\"input_tokens\":3}"}"#;
        assert_eq!(scan(escaped), None);
        assert_eq!(scan(r#"{"a":"usage","b":"usageMetadata","usages":{"input_tokens":3},"usage":7}"#), None);
    }

    #[test]
    fn an_object_beyond_the_scratch_is_left_out() {
        let long =
            format!(r#"{{"usage":{{"x":"{}","input_tokens":3}},"usage":{{"input_tokens":4}}}}"#, "y".repeat(LARGEST));
        let mut scan = UsageScan::default();
        long.as_bytes().chunks(100).for_each(|chunk| scan.see(chunk));
        assert_eq!(scan.usage().and_then(|usage| usage.input_tokens), Some(4));
    }
}
