//! What a usage object says. The three formats share no field name with different meanings, so one reader serves all:
//! the `usageMetadata` of Gemini, the `usage` of `OpenAI` and Anthropic.

use memchr::memchr;

use super::balance::Balance;
use crate::pool::Usage;

/// Counts as they stand on the wire. Later ones replace earlier ones field by field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    input: Count,
    /// Anthropic counts prompt tokens that were written to a cache apart from the others.
    written: Count,
    /// And those read from it; the other two count them in.
    read: Count,
    /// Part of the input, where the provider says so.
    cached: Count,
    output: Count,
    /// Gemini counts thoughts apart from the answer.
    thoughts: Count,
}

/// In 32 bits, since every answer carries six of them along; the largest value stands for "not said".
type Count = u32;
const UNSAID: Count = Count::MAX;

impl Default for Counts {
    fn default() -> Self {
        Self { input: UNSAID, written: UNSAID, read: UNSAID, cached: UNSAID, output: UNSAID, thoughts: UNSAID }
    }
}

impl Counts {
    /// Reads an object from its `{` on. What it cannot read it leaves out. The offset behind the object's `}`; `None`
    /// when it goes on beyond the text.
    pub(super) fn update(&mut self, text: &[u8]) -> Option<usize> {
        let (mut at, mut depth) = (0, 0_u32);
        while let Some(&byte) = text.get(at) {
            at += 1;
            match byte {
                b'"' => match self.field(&text[at..], depth) {
                    Some((length, field)) => {
                        at += length + 1;
                        if let Some(value) = value(text, &mut at)
                            && let Some(field) = field
                        {
                            *field = value;
                        }
                    }
                    // Whatever number stands behind another name is passed over.
                    None => at = behind_string(text, at)?,
                },
                b'{' | b'[' => depth += 1,
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return Some(at);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// The name of ours that a string's text is, by its length, and the field that it sets at this depth. Told apart by
    /// a letter first: most of an object's strings are looked at no further.
    #[inline]
    fn field(&mut self, text: &[u8], depth: u32) -> Option<(usize, Option<&mut Count>)> {
        let is = |name: &[u8]| text.get(name.len()) == Some(&b'"') && text.starts_with(name);
        let (name, field): (&[u8], _) = match text.first()? {
            b'p' if is(b"promptTokenCount") => (b"promptTokenCount", &mut self.input),
            b'p' if is(b"prompt_tokens") => (b"prompt_tokens", &mut self.input),
            b'i' if is(b"input_tokens") => (b"input_tokens", &mut self.input),
            b'o' if is(b"output_tokens") => (b"output_tokens", &mut self.output),
            b't' if is(b"thoughtsTokenCount") => (b"thoughtsTokenCount", &mut self.thoughts),
            b'c' if is(b"candidatesTokenCount") => (b"candidatesTokenCount", &mut self.output),
            b'c' if is(b"completion_tokens") => (b"completion_tokens", &mut self.output),
            b'c' if is(b"cachedContentTokenCount") => (b"cachedContentTokenCount", &mut self.cached),
            b'c' if is(b"cache_creation_input_tokens") => (b"cache_creation_input_tokens", &mut self.written),
            b'c' if is(b"cache_read_input_tokens") => (b"cache_read_input_tokens", &mut self.read),
            // The only one that stands in an object of its own.
            b'c' if is(b"cached_tokens") => {
                return Some((b"cached_tokens".len(), (depth == 2).then_some(&mut self.cached)));
            }
            _ => return None,
        };
        Some((name.len(), (depth == 1).then_some(field)))
    }

    /// What they come to; `None` when nothing was said.
    pub(super) fn usage(&self) -> Option<Usage> {
        let usage = Usage {
            input_tokens: sum(&[self.input, self.written, self.read]),
            output_tokens: sum(&[self.output, self.thoughts]),
            cached_tokens: sum(&[self.cached]).or_else(|| sum(&[self.read])),
        };
        (usage != Usage::default()).then_some(usage)
    }
}

fn sum(parts: &[Count]) -> Option<u64> {
    parts.iter().filter(|part| **part != UNSAID).map(|part| u64::from(*part)).reduce(u64::saturating_add)
}

/// Behind a string: the number, where it is the name of one.
#[inline]
fn value(text: &[u8], at: &mut usize) -> Option<Count> {
    skip_space(text, at);
    if text.get(*at) != Some(&b':') {
        return None;
    }
    *at += 1;
    skip_space(text, at);
    text.get(*at).is_some_and(u8::is_ascii_digit).then(|| number(text, at))
}

/// Behind the quote that ends the string whose text begins at `at`.
fn behind_string(text: &[u8], at: usize) -> Option<usize> {
    let end = at + memchr(b'"', &text[at..])?;
    if text[end - 1] != b'\\' {
        return Some(end + 1);
    }
    // Perhaps an escaped quote: no name of ours, so this may take its time.
    Some(at - 1 + Balance::default().feed(&text[at - 1..])?)
}

fn skip_space(text: &[u8], at: &mut usize) {
    while text.get(*at).is_some_and(u8::is_ascii_whitespace) {
        *at += 1;
    }
}

fn number(text: &[u8], at: &mut usize) -> Count {
    let mut value: Count = 0;
    while let Some(digit @ b'0'..=b'9') = text.get(*at) {
        value = value.saturating_mul(10).saturating_add(Count::from(digit - b'0'));
        *at += 1;
    }
    value.min(UNSAID - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(objects: &[&str]) -> Option<(Option<u64>, Option<u64>, Option<u64>)> {
        let mut counts = Counts::default();
        for object in objects {
            counts.update(object.as_bytes());
        }
        counts.usage().map(|usage| (usage.input_tokens, usage.output_tokens, usage.cached_tokens))
    }

    #[test]
    fn gemini() {
        let object = r#"{ "promptTokenCount": 20, "candidatesTokenCount" : 4,"thoughtsTokenCount":6, "totalTokenCount": 30,
            "promptTokensDetails": [{"modality": "TEXT","promptTokenCount": 99}], "cachedContentTokenCount":7, "serviceTier": "{" }"#;
        assert_eq!(usage(&[object]), Some((Some(20), Some(10), Some(7))));
        assert_eq!(usage(&[r#"{"promptTokenCount":9,"totalTokenCount":9}"#]), Some((Some(9), None, None)));
        // What a mask of fields lets through: what is not said stays as it was reserved.
        assert_eq!(usage(&[r#"{"totalTokenCount":9}"#]), None);
        assert_eq!(usage(&[r#"{"candidatesTokenCount":4}"#]), Some((None, Some(4), None)));
        let odd = r#"{"a\\":"\"","promptTokenCount":9,"x\"y":{"promptTokenCount":8}}tail"#;
        assert_eq!(usage(&[odd]), Some((Some(9), None, None)));
        assert_eq!(Counts::default().update(odd.as_bytes()), Some(odd.len() - 4));
        assert_eq!(Counts::default().update(&odd.as_bytes()[..odd.len() - 5]), None);
    }

    #[test]
    fn openai_with_nested_details() {
        let object = r#"{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":3},"completion_tokens_details":{"reasoning_tokens":1}}"#;
        assert_eq!(usage(&[object]), Some((Some(9), Some(1), Some(3))));
        let responses = r#"{"input_tokens":12,"input_tokens_details":{"cached_tokens":0},"output_tokens":5}"#;
        assert_eq!(usage(&[responses]), Some((Some(12), Some(5), Some(0))));
    }

    #[test]
    fn anthropic_counts_the_cache_apart_and_updates_field_by_field() {
        let start =
            r#"{"input_tokens":25,"cache_creation_input_tokens":10,"cache_read_input_tokens":5,"output_tokens":1}"#;
        assert_eq!(usage(&[start, r#"{"output_tokens":15}"#]), Some((Some(40), Some(15), Some(5))));
    }

    #[test]
    fn nonsense_says_nothing() {
        for object in [
            r#"{"promptTokenCount":null}"#,
            r#"{"promptTokenCount":"7"}"#,
            "{}",
            r#"{"a"#,
            r#"{"promptTokenCount":-3}"#,
        ] {
            assert_eq!(usage(&[object]), None, "{object}");
        }
        assert_eq!(
            usage(&[r#"{"input_tokens":99999999999999999999999}"#]),
            Some((Some(u64::from(UNSAID - 1)), None, None))
        );
    }
}
