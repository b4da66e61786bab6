//! JSON within an event. Only line feeds and carriage returns end a line there, but many a client splits at all that ends one in
//! Unicode (Python's `splitlines`, and so httpx's `iter_lines`): it would find half an event, and lose it.

use memchr::memchr2_iter;
use serde::Serialize;

/// Writes a value with these escaped.
pub(crate) fn write(value: &impl Serialize, out: &mut Vec<u8>) {
    let from = out.len();
    // Writing plain data into memory does not fail.
    let _ = serde_json::to_writer(&mut *out, value);
    let mut borders = memchr2_iter(0xC2, 0xE2, &out[from..]).map(|at| from + at);
    if let Some(first) = borders.find(|at| border(&out[*at..]).is_some()) {
        escape_from(first, out);
    }
}

#[cold]
fn escape_from(first: usize, out: &mut Vec<u8>) {
    let rest = out.split_off(first);
    let mut done = 0;
    for at in memchr2_iter(0xC2, 0xE2, &rest) {
        if let Some((length, escaped)) = border(&rest[at..]) {
            out.extend_from_slice(&rest[done..at]);
            out.extend_from_slice(escaped);
            done = at + length;
        }
    }
    out.extend_from_slice(&rest[done..]);
}

/// What ends a line in Unicode, and is escaped in no JSON (others are control characters), with how it is escaped. Outside of a
/// string none of it stands.
fn border(text: &[u8]) -> Option<(usize, &'static [u8])> {
    match text {
        [0xC2, 0x85, ..] => Some((2, b"\\u0085")),
        [0xE2, 0x80, 0xA8, ..] => Some((3, b"\\u2028")),
        [0xE2, 0x80, 0xA9, ..] => Some((3, b"\\u2029")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        let mut out = "before\u{2028}".as_bytes().to_vec();
        write(&text, &mut out);
        let out = String::from_utf8(out).unwrap();
        out.strip_prefix("before\u{2028}").unwrap().to_owned()
    }

    #[test]
    fn what_ends_a_line_anywhere_is_escaped_and_nothing_else() {
        assert_eq!(written("\u{2028}a\u{85}“é”\u{2029}\u{2028}"), r#""\u2028a\u0085“é”\u2029\u2028""#);
        for whole in ["", "plain", "“é” ’ Â â € \u{2027}\u{202a}\u{84}\u{86}", "\u{1F600}\n\r\u{b}\u{c}\u{1c}"]
        {
            assert_eq!(written(whole), serde_json::to_string(whole).unwrap());
        }
        let all: String = (0..0x3000).filter_map(char::from_u32).collect();
        let text = written(&all);
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), all);
        assert!(
            !text.contains([
                '\u{85}', '\u{2028}', '\u{2029}', '\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}'
            ])
        );
    }
}
