//! What a usage object says. The three formats share no field name with different meanings, so one reader serves all:
//! the `usageMetadata` of Gemini, the `usage` of `OpenAI` and Anthropic.

use super::balance::Balance;
use crate::pool::Usage;

/// Counts as they stand on the wire. Later ones replace earlier ones field by field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    input: Option<u64>,
    /// Anthropic counts prompt tokens that were written to a cache apart from the others.
    written: Option<u64>,
    /// And those read from it; the other two count them in.
    read: Option<u64>,
    /// Part of the input, where the provider says so.
    cached: Option<u64>,
    output: Option<u64>,
    /// Gemini counts thoughts apart from the answer.
    thoughts: Option<u64>,
}

impl Counts {
    /// Reads an object, from its `{` to its `}`. What it cannot read it leaves out.
    pub(super) fn update(&mut self, object: &[u8]) {
        let mut at = 1;
        while let Some(name) = next_string(object, &mut at) {
            skip_space(object, &mut at);
            if object.get(at) != Some(&b':') {
                continue;
            }
            at += 1;
            skip_space(object, &mut at);
            match object.get(at) {
                Some(b'0'..=b'9') => self.set(name, number(object, &mut at)),
                // Their fields are read like the outer ones: only `cached_tokens` is known in there.
                Some(b'{') if name.ends_with(b"tokens_details") => at += 1,
                Some(b'{' | b'[' | b'"') => at += Balance::default().feed(&object[at..]).unwrap_or(object.len() - at),
                _ => {}
            }
        }
    }

    fn set(&mut self, name: &[u8], value: u64) {
        let field = match name {
            b"promptTokenCount" | b"prompt_tokens" | b"input_tokens" => &mut self.input,
            b"candidatesTokenCount" | b"completion_tokens" | b"output_tokens" => &mut self.output,
            b"thoughtsTokenCount" => &mut self.thoughts,
            b"cachedContentTokenCount" | b"cached_tokens" => &mut self.cached,
            b"cache_creation_input_tokens" => &mut self.written,
            b"cache_read_input_tokens" => &mut self.read,
            _ => return,
        };
        *field = Some(value);
    }

    /// What they come to; `None` when nothing was said.
    pub(super) fn usage(&self) -> Option<Usage> {
        let usage = Usage {
            input_tokens: sum(&[self.input, self.written, self.read]),
            output_tokens: sum(&[self.output, self.thoughts]),
            cached_tokens: self.cached.or(self.read),
        };
        (usage != Usage::default()).then_some(usage)
    }
}

fn sum(parts: &[Option<u64>]) -> Option<u64> {
    parts.iter().flatten().copied().reduce(u64::saturating_add)
}

/// The next string's text; `at` moves behind its closing quote.
fn next_string<'a>(object: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let from = *at + memchr::memchr(b'"', object.get(*at..)?)?;
    let len = Balance::default().feed(&object[from..])?;
    *at = from + len;
    Some(&object[from + 1..from + len - 1])
}

fn skip_space(object: &[u8], at: &mut usize) {
    while object.get(*at).is_some_and(u8::is_ascii_whitespace) {
        *at += 1;
    }
}

fn number(object: &[u8], at: &mut usize) -> u64 {
    let mut value = 0_u64;
    while let Some(digit @ b'0'..=b'9') = object.get(*at) {
        value = value.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
        *at += 1;
    }
    value
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
        assert_eq!(usage(&[r#"{"input_tokens":99999999999999999999999}"#]), Some((Some(u64::MAX), None, None)));
    }
}
