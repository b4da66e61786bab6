//! How long a JSON body is in words: what it carries of pictures, sound and files, as base64, is no text. A picture of a
//! megabyte costs some hundred tokens, and not the 350,000 that its length would.
//!
//! It follows strings and escapes over any chunking, and keeps the beginning of one string. Where the text is no JSON it stops.

use memchr::{memchr, memchr_iter};

/// What a picture, or some seconds of sound, costs.
const OF_A_MEDIUM: u64 = 1_100;
/// A token of usual text or JSON has about so many bytes.
const OF_A_TOKEN: u64 = 4;
/// Fields that providers keep base64 in.
const FIELDS: [&[u8]; 6] = [b"data", b"file_data", b"imageBytes", b"videoBytes", b"bytesBase64Encoded", b"b64_json"];
/// What is shorter weighs nothing.
const SHORT: u64 = 1_024;
/// So much of a string is looked at.
const BEGINNING: usize = 24;

/// Measures the text in a body.
#[derive(Debug)]
pub(super) struct TextScan {
    at: At,
    /// Between two strings.
    between: Between,
    /// How the string begins that was read last.
    begins: [u8; BEGINNING],
    begun: usize,
    /// Bytes of that string.
    length: u64,
    /// It stands in a field that holds base64.
    field: bool,
    /// Bytes of whatever is no text, and how many things these were.
    media: (u64, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Start,
    Outside,
    Text {
        escaped: bool,
    },
    /// It is no JSON.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Between {
    Blanks,
    /// A colon, and nothing else: what follows is a field's value.
    Colon,
    Else,
}

impl Default for TextScan {
    fn default() -> Self {
        Self {
            at: At::Start,
            between: Between::Else,
            begins: [0; BEGINNING],
            begun: 0,
            length: 0,
            field: false,
            media: (0, 0),
        }
    }
}

impl TextScan {
    /// Reads the next chunk.
    pub(super) fn feed(&mut self, chunk: &[u8]) {
        let mut rest = chunk;
        while !rest.is_empty() && self.at != At::Nothing {
            let read = match self.at {
                At::Text { escaped } => self.text(rest, escaped),
                _ => self.outside(rest),
            };
            rest = &rest[read..];
        }
    }

    /// Nothing that is still to come can matter.
    pub(super) fn is_settled(&self) -> bool {
        self.at == At::Nothing
    }

    /// About how many tokens a body of so many bytes has, as far as it was read: what follows is more of what it was in.
    pub(super) fn tokens(&self, bytes: u64, read: u64) -> u64 {
        let (mut away, mut media) = self.media;
        if matches!(self.at, At::Text { .. }) && self.is_medium() {
            away += self.length + bytes.saturating_sub(read);
            media += 1;
        }
        bytes.saturating_sub(away) / OF_A_TOKEN + media * OF_A_MEDIUM
    }

    fn outside(&mut self, rest: &[u8]) -> usize {
        if self.between == Between::Else && self.at == At::Outside {
            // Numbers, say, up to the next string.
            let Some(at) = memchr(b'"', rest) else { return rest.len() };
            self.begin();
            return at + 1;
        }
        match rest[0] {
            byte if byte.is_ascii_whitespace() => {}
            // A byte order mark is no JSON, but some parsers take it.
            0xEF | 0xBB | 0xBF if self.at == At::Start => {}
            b'{' | b'[' if self.at == At::Start => self.at = At::Outside,
            _ if self.at == At::Start => self.at = At::Nothing,
            b'"' => self.begin(),
            b':' if self.between == Between::Blanks => self.between = Between::Colon,
            _ => self.between = Between::Else,
        }
        1
    }

    /// Behind a string's opening quote.
    fn begin(&mut self) {
        self.field = self.between == Between::Colon && FIELDS.contains(&self.beginning());
        (self.at, self.begun, self.length) = (At::Text { escaped: false }, 0, 0);
    }

    fn beginning(&self) -> &[u8] {
        // A longer string than is kept is none of the fields.
        &self.begins[..self.begun]
    }

    fn text(&mut self, rest: &[u8], escaped: bool) -> usize {
        // Quotes alone are looked for, which stops at no line's end of a text: one behind an odd number of backslashes is
        // part of it.
        let begin = usize::from(escaped);
        let escapes = |end: usize| rest[begin..end].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
        let mut quotes = memchr_iter(b'"', &rest[begin..]).map(|found| begin + found);
        let closing = quotes.find(|quote| !escapes(*quote));
        let (at, closed) = (closing.unwrap_or(rest.len()), closing.is_some());
        if !closed {
            self.at = At::Text { escaped: escapes(at) };
        }
        let kept = at.min(BEGINNING - self.begun);
        self.begins[self.begun..self.begun + kept].copy_from_slice(&rest[..kept]);
        self.begun += kept;
        self.length += at as u64;
        if !closed {
            return at;
        }
        if self.is_medium() {
            self.media = (self.media.0 + self.length, self.media.1 + 1);
        }
        (self.at, self.between) = (At::Outside, Between::Blanks);
        at + 1
    }

    fn is_medium(&self) -> bool {
        // Some write a slash as `\/`.
        let packed = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/-_=\\".contains(byte);
        self.length >= SHORT
            && (self.beginning().starts_with(b"data:") || (self.field && self.beginning().iter().all(packed)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// However it is cut, and however it is written.
    fn tokens(body: &Value) -> u64 {
        let of = |text: &str, cut: usize| {
            let mut scan = TextScan::default();
            let (first, last) = text.as_bytes().split_at(cut);
            scan.feed(first);
            scan.feed(last);
            let length = text.len() as u64;
            scan.tokens(length, length)
        };
        let text = body.to_string();
        let whole = of(&text, 0);
        for cut in 0..text.len() {
            assert_eq!(of(&text, cut), whole, "cut at {cut}");
        }
        let mut scan = TextScan::default();
        text.as_bytes().chunks(1).for_each(|byte| scan.feed(byte));
        assert_eq!(scan.tokens(text.len() as u64, text.len() as u64), whole);
        let wide = serde_json::to_string_pretty(body).unwrap();
        assert!(of(&wide, 0).abs_diff(whole) < 60, "{} of {whole}", of(&wide, 0));
        whole
    }

    #[test]
    fn what_a_body_carries_is_no_text() {
        let packed = "iVBORw0KGgo/".repeat(300);
        let url = format!("data:image/png;base64,{packed}");
        for (body, media) in [
            (json!({ "contents": [{ "parts": [{ "inlineData": { "mimeType": "image/png", "data": packed } }] }] }), 1),
            (json!({ "contents": [{ "parts": [{ "inline_data": { "data": packed, "mime_type": "a/b" } }] }] }), 1),
            (json!({ "messages": [{ "content": [{ "type": "image_url", "image_url": { "url": url } }] }] }), 1),
            (
                json!({ "messages": [{ "content": [{ "source": { "type": "base64", "data": packed } }, { "data": packed }] }] }),
                2,
            ),
            (json!({ "instances": [{ "image": { "bytesBase64Encoded": packed } }] }), 1),
            (json!({ "a": "\\\"", "file": { "file_data": packed }, "b": "\\" }), 1),
        ] {
            let told = tokens(&body);
            assert!((media * 1_100..media * 1_100 + 60).contains(&told), "{told}: {body}");
        }
    }

    #[test]
    fn what_is_text_counts() {
        let words = "What is a text counts. ".repeat(200);
        for body in [
            json!({ "contents": [{ "parts": [{ "text": words }] }] }),
            json!({ "contents": [{ "parts": [{ "text": "x".repeat(4_000) }] }] }),
            // The answer of a tool.
            json!({ "response": { "data": words } }),
            json!({ "data": { "text": words } }),
            json!({ "data": [1, 2, 3, "x".repeat(2_000)] }),
            json!({ "text": words, "inlineData": { "data": "short" } }),
        ] {
            assert_eq!(tokens(&body), body.to_string().len() as u64 / 4);
        }
    }

    #[test]
    fn what_is_no_json_is_as_long_as_it_is() {
        let mut scan = TextScan::default();
        scan.feed(b"--boundary\r\n");
        assert!(scan.is_settled());
        assert_eq!(scan.tokens(4_000, 12), 1_000);
    }

    #[test]
    fn where_reading_ends_more_of_the_same_follows() {
        let begins = format!("{{\"inlineData\":{{\"data\":\"{}", "A".repeat(2_000));
        let mut scan = TextScan::default();
        scan.feed(begins.as_bytes());
        let read = begins.len() as u64;
        assert!(scan.tokens(1_000_000, read) < 1_200);
        scan.feed(b"\"}, \"text\": \"");
        assert!(scan.tokens(1_000_000, read + 13) > 249_000);
    }
}
