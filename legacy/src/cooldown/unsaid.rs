//! What of an answer nobody told the cost of: a stream that is left, or breaks off, in front of its usage. Its pieces are
//! `delta`s with the three kinds of streams that tell their usage last (a chat's, a response's, a message's). What stands in
//! them is guessed at four bytes a token, and one a piece at least, from the last usage on.
//!
//! A chunk costs one search, and a look at each piece in it. One that stands across two chunks counts as far as it stands
//! in one of them, behind its name.

use std::sync::LazyLock;

use memchr::{memmem, memmem::Finder};

use super::balance::Balance;

const NAME: &[u8] = b"\"delta\":";
const USAGE: &[u8] = b"\"usage";
static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(NAME));

/// What the texts of these fields of a piece are made of costs no tokens, or a few.
const NO_TEXT: [&[u8]; 4] = [b"type", b"role", b"id", b"signature"];
/// Bytes of a token.
const TOKEN: usize = 4;

/// How many tokens came since the last usage.
#[derive(Default)]
pub(super) struct Unsaid(u64);

impl Unsaid {
    /// Looks at the next chunk, which tells no usage.
    pub(super) fn see(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while let Some(at) = FINDER.find(rest) {
            rest = &rest[at + NAME.len()..];
            let (text, end) = text_of(rest);
            self.0 += text.div_ceil(TOKEN) as u64;
            rest = &rest[end..];
        }
    }

    /// Looks at one that does: what stands before that is in it.
    #[cold]
    pub(super) fn told(&mut self, chunk: &[u8]) {
        self.0 = 0;
        let end = memmem::rfind(chunk, USAGE).unwrap_or(0);
        self.see(&chunk[end..]);
    }

    /// A guess.
    pub(super) fn tokens(&self) -> u64 {
        self.0
    }
}

/// How long the text in a piece is, be it a string or an object, and where the piece ends, as far as it is here.
fn text_of(piece: &[u8]) -> (usize, usize) {
    let (mut at, mut depth, mut length) = (0, 0_u32, 0);
    let mut name: &[u8] = b"";
    while let Some(&byte) = piece.get(at) {
        at += 1;
        match byte {
            b'"' => {
                let quoted = Balance::default().feed(&piece[at - 1..]);
                let end = quoted.map_or(piece.len(), |length| at - 1 + length);
                let string = &piece[at..end - usize::from(quoted.is_some())];
                at = end;
                at += piece[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                if depth > 0 && piece.get(at) == Some(&b':') {
                    name = string;
                } else if !NO_TEXT.contains(&name) {
                    length += string.len();
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            // A number, `null`, or the space in front of a value.
            _ if depth > 0 || byte != b',' => continue,
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    (length, at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(chunk: &str) -> u64 {
        let mut unsaid = Unsaid::default();
        unsaid.see(chunk.as_bytes());
        unsaid.tokens()
    }

    #[test]
    fn pieces_of_the_three_kinds() {
        for (chunk, expected) in [
            (r#"data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#, 0),
            (r#"data: {"choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":null}],"usage":null}"#, 1),
            (r#"data: {"choices":[{"delta": {"content" : "twelve bytes" } },{"delta":{"content":"a"}}]}"#, 4),
            (
                r#"{"delta":{"tool_calls":[{"index":0,"id":"call_0123456789","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]}}"#,
                3,
            ),
            (r#"{"delta":{"content":null,"reasoning_content":"eight by"},"x":"more that is no piece"}"#, 2),
            (r#"data: {"type":"response.output_text.delta","delta":"four","obfuscation":"0123456789abcdef"}"#, 1),
            (r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"quoted \" too"}}"#, 4),
            (r#"{"delta":{"type":"input_json_delta","partial_json":""}}"#, 0),
            (r#"{"delta":{"type":"signature_delta","signature":"0123456789012345678901234567890123456789"}}"#, 0),
            (r#"{"delta":null,"text":"none"} {"delta":7}"#, 0),
            (r#"{"type":"text","text":"he wrote \"delta\": \"all of this\""}"#, 0),
        ] {
            assert_eq!(tokens(chunk), expected, "{chunk}");
        }
    }

    #[test]
    fn what_was_told_is_not_guessed_at() {
        let mut unsaid = Unsaid::default();
        unsaid.see(br#"{"delta":"all of this was told"}"#);
        unsaid.told(br#"{"delta":"this too"} {"usage":{"completion_tokens":9}} {"delta":"this not"}"#);
        assert_eq!(unsaid.tokens(), 2);
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_no_more_than_its_length(
            parts in prop::collection::vec(prop::sample::select(vec![
                "\"delta\":", "\"delta\"", "{", "}", "[", "]", ":", ",", "\"", "\\", "\\\"", "text", "\"type\":", "null", " ",
            ]), 0..40),
        ) {
            let text = parts.concat();
            prop_assert!(tokens(&text) as usize <= text.len());
        }
    }
}
