//! Finds the usage objects in a body as it passes. Until one begins, a chunk costs one search for `"usage`; nothing is
//! copied but one object, and of that at most 4 KiB.
//!
//! A stream may tell its usage with every event, and only the last counts: where a chunk ends with an event, the object
//! is put aside unread, and read when nothing comes behind it.
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
/// The largest object that is kept.
const LARGEST: usize = 4 << 10;

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(NEEDLE));

/// What a body says that is here as a whole.
pub(super) fn usage_of(text: &[u8]) -> Option<Usage> {
    let mut counts = Counts::default();
    let mut rest = text;
    while let Some(at) = FINDER.find(rest) {
        rest = &rest[at + NEEDLE.len()..];
        let object = written_plainly(rest);
        let Some((object, end)) = object.and_then(|object| Some((object, counts.update(object)?))) else {
            let mut scan = UsageScan { at: At::Rest { which: 0, met: 0 }, counts, ..UsageScan::default() };
            scan.see(rest);
            return scan.usage();
        };
        rest = &object[end..];
    }
    counts.usage()
}

/// Finds usage objects in a body.
#[derive(Default)]
pub(super) struct UsageScan {
    at: At,
    /// Every later object says all that an earlier one said.
    cumulative: bool,
    /// An object that is put aside, or the beginning of one.
    kept: Vec<u8>,
    counts: Counts,
    /// An object began since that was asked.
    began: bool,
}

#[derive(Clone, Copy, Default)]
enum At {
    /// Looking for the needle.
    #[default]
    Text,
    /// This many bytes of the needle stood at the end of what came before.
    Begun(u8),
    /// Behind the needle: this many bytes of this rest were met.
    Rest { which: u8, met: u8 },
    /// Inside an object that goes on in the next chunk.
    Object(Balance),
}

impl UsageScan {
    /// `cumulative`: each object of a stream says all that the ones before it said.
    pub(super) fn new(cumulative: bool) -> Self {
        Self { cumulative, ..Self::default() }
    }

    /// Looks at the next chunk.
    pub(super) fn see(&mut self, mut chunk: &[u8]) {
        let aside = self.cumulative && (chunk.ends_with(b"\n\r\n") || chunk.ends_with(b"\n\n"));
        while !chunk.is_empty() {
            chunk = match std::mem::take(&mut self.at) {
                At::Text => self.seek(chunk),
                At::Begun(begun) => match carry(NEEDLE, usize::from(begun), chunk) {
                    Carried::Whole { here, .. } => {
                        self.at = At::Rest { which: 0, met: 0 };
                        &chunk[here..]
                    }
                    Carried::Partly(begun) => {
                        self.at = At::Begun(begun as u8);
                        return;
                    }
                    Carried::Broken => self.seek(chunk),
                },
                At::Rest { which, met } => match self.rest(which, met, chunk) {
                    (rest, true) => self.begin(rest, aside),
                    (rest, false) => rest,
                },
                At::Object(balance) => self.object(balance, chunk),
            };
        }
    }

    /// Whether what was looked at since the last call tells usage.
    pub(super) fn tells(&mut self) -> bool {
        std::mem::take(&mut self.began)
    }

    /// What the body said, all in all.
    pub(super) fn usage(&mut self) -> Option<Usage> {
        self.read_kept();
        self.counts.usage()
    }

    fn seek<'a>(&mut self, chunk: &'a [u8]) -> &'a [u8] {
        if let Some(at) = FINDER.find(chunk) {
            self.at = At::Rest { which: 0, met: 0 };
            return &chunk[at + NEEDLE.len()..];
        }
        match begun_at_end(NEEDLE, chunk) {
            0 => {}
            begun => self.at = At::Begun(begun as u8),
        }
        &[]
    }

    /// Matches what must follow the needle; spaces may stand around the colon. Whether an object begins there.
    fn rest<'a>(&mut self, mut which: u8, mut met: u8, chunk: &'a [u8]) -> (&'a [u8], bool) {
        if met == 0
            && let Some(object) = written_plainly(chunk)
        {
            return (object, true);
        }
        for (at, &byte) in chunk.iter().enumerate() {
            if met == 0 {
                which = u8::from(byte == REST[1][0]);
            }
            let wanted = REST[usize::from(which)];
            // Behind the closing quote, and behind the colon.
            if byte.is_ascii_whitespace() && wanted.len() - usize::from(met) <= 2 {
                continue;
            }
            if byte != wanted[usize::from(met)] {
                return (&chunk[at..], false);
            }
            met += 1;
            if usize::from(met) == wanted.len() {
                return (&chunk[at..], true);
            }
        }
        self.at = At::Rest { which, met };
        (&[], false)
    }

    /// At an object's brace. `aside`: it is known to end in this chunk, and need not be read yet.
    fn begin<'a>(&mut self, chunk: &'a [u8], aside: bool) -> &'a [u8] {
        self.began = true;
        if aside {
            self.kept.clear();
            self.kept.extend_from_slice(&chunk[..chunk.len().min(LARGEST)]);
            return &chunk[1..];
        }
        self.read_kept();
        if let Some(end) = self.counts.update(chunk) {
            return &chunk[end..];
        }
        let mut balance = Balance::default();
        if balance.feed(chunk).is_none() && chunk.len() <= LARGEST {
            self.kept.extend_from_slice(chunk);
            self.at = At::Object(balance);
        }
        &[]
    }

    fn object<'a>(&mut self, mut balance: Balance, chunk: &'a [u8]) -> &'a [u8] {
        let end = balance.feed(chunk);
        let part = &chunk[..end.unwrap_or(chunk.len())];
        if self.kept.len() + part.len() > LARGEST {
            self.kept.clear();
            return &chunk[part.len()..];
        }
        self.kept.extend_from_slice(part);
        if end.is_some() {
            self.read_kept();
        } else {
            self.at = At::Object(balance);
        }
        &chunk[part.len()..]
    }

    fn read_kept(&mut self) {
        if !self.kept.is_empty() {
            self.counts.update(&self.kept);
            self.kept.clear();
        }
    }
}

/// The object, where it stands as everybody writes it.
fn written_plainly(chunk: &[u8]) -> Option<&[u8]> {
    let value = chunk.strip_prefix(b"Metadata\":").or_else(|| chunk.strip_prefix(b"\":"))?;
    let value = value.strip_prefix(b" ").unwrap_or(value);
    value.starts_with(b"{").then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scans the text whole, cut in two at every place, and byte by byte: always the same.
    fn scan_in_any_cut(text: &str, cumulative: bool) -> Option<(Option<u64>, Option<u64>)> {
        let of = |chunks: &mut dyn Iterator<Item = &[u8]>| {
            let mut scan = UsageScan::new(cumulative);
            chunks.for_each(|chunk| scan.see(chunk));
            scan.usage().map(|usage| (usage.input_tokens, usage.output_tokens))
        };
        let bytes = text.as_bytes();
        let whole = of(&mut std::iter::once(bytes));
        assert_eq!(usage_of(bytes).map(|usage| (usage.input_tokens, usage.output_tokens)), whole);
        assert_eq!(of(&mut bytes.chunks(1)), whole);
        for cut in 0..bytes.len() {
            assert_eq!(of(&mut [&bytes[..cut], &bytes[cut..]].into_iter()), whole, "cut at {cut}");
        }
        whole
    }

    fn scan(text: &str) -> Option<(Option<u64>, Option<u64>)> {
        scan_in_any_cut(text, text.ends_with("\n\n"))
    }

    proptest! {
        #[test]
        fn no_cut_hides_or_makes_usage(
            tokens in prop::collection::vec(prop::sample::select(vec![
                "\"usage", "\"usage\"", "\"usageMetadata\"", "Metadata\"", ":", " ", "{", "}", "\"", "\\\"", "\\", "\n\n", "null",
                "\"usage\":{\"input_tokens\":3}", "\"usageMetadata\": {\"promptTokenCount\": 5, \"x\": [{\"a\":\"}\"}]}",
                "\"input_tokens\":", "7",
            ]), 0..16),
        ) {
            scan_in_any_cut(&tokens.concat(), false);
        }
    }

    #[test]
    fn the_last_one_that_is_not_null_holds() {
        let text = r#"data: {"usageMetadata": {"promptTokenCount":4,"candidatesTokenCount":1}}
            data: {"usageMetadata" :
              {"promptTokenCount":4,"candidatesTokenCount":9}} data: {"usageMetadata":null}"#;
        assert_eq!(scan(text), Some((Some(4), Some(9))));
        assert_eq!(scan(&format!("{text}\n\n")), Some((Some(4), Some(9))));
    }

    #[test]
    fn what_was_put_aside_does_not_come_back_over_what_came_later() {
        let mut scan = UsageScan::new(true);
        let event = |tokens: u32| format!("data: {{\"usageMetadata\":{{\"promptTokenCount\":{tokens}}}}}\r\n\r\n");
        scan.see(event(1).as_bytes());
        scan.see(event(2).as_bytes());
        let (begin, end) = (&event(3)[..40], &event(3)[40..]);
        scan.see(begin.as_bytes());
        assert_eq!(scan.counts.usage().and_then(|usage| usage.input_tokens), Some(2));
        scan.see(end.as_bytes());
        assert_eq!(scan.usage().and_then(|usage| usage.input_tokens), Some(3));
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
        let mut scan = UsageScan::new(false);
        long.as_bytes().chunks(100).for_each(|chunk| scan.see(chunk));
        assert_eq!(scan.usage().and_then(|usage| usage.input_tokens), Some(4));
    }
}
