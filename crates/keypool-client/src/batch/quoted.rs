//! Texts as JSON writes them. Most have nothing that is escaped: those are found so in pieces, and copied whole.

use std::{fmt, io::Write};

/// Adds a text, in quotes.
pub(super) fn push_text(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    push_escaped(out, text.as_bytes());
    out.push(b'"');
}

/// Adds what something reads as, in quotes.
pub(super) fn push_shown(out: &mut Vec<u8>, shown: &dyn fmt::Display) {
    out.push(b'"');
    let begin = out.len();
    // Memory takes it all.
    let _ = write!(out, "{shown}");
    if plain(&out[begin..]) < out.len() - begin {
        let text = out.split_off(begin);
        push_escaped(out, &text);
    }
    out.push(b'"');
}

fn push_escaped(out: &mut Vec<u8>, mut text: &[u8]) {
    loop {
        let (as_it_is, rest) = text.split_at(plain(text));
        out.extend_from_slice(as_it_is);
        let Some((&byte, behind)) = rest.split_first() else { return };
        let letter = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            8 => b'b',
            12 => b'f',
            _ => b'u',
        };
        out.extend_from_slice(&[b'\\', letter]);
        if letter == b'u' {
            let _ = write!(out, "{byte:04x}");
        }
        text = behind;
    }
}

/// How many bytes at the begin stand as they are. Looked at a few dozen at a time, then some, which compiles to a few vector
/// instructions each.
fn plain(text: &[u8]) -> usize {
    let mut plain = in_steps::<32>(text);
    plain += in_steps::<8>(&text[plain..]);
    plain + in_steps::<1>(&text[plain..])
}

/// The same, up to the step that has one that does not.
fn in_steps<const STEP: usize>(text: &[u8]) -> usize {
    let escaped = |byte: &u8| u8::from(*byte < 0x20) | u8::from(*byte == b'"') | u8::from(*byte == b'\\');
    let none = |step: &&[u8; STEP]| step.iter().map(escaped).fold(0, |any, one| any | one) == 0;
    text.as_chunks().0.iter().take_while(none).count() * STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_written_as_serde_json_writes_them() {
        let signs = (0..=0x7f).map(char::from).chain(['é', '\u{2028}', '語', '🔑']);
        for sign in signs {
            for (before, behind) in [(0, 0), (1, 40), (31, 1), (32, 0), (70, 33)] {
                let text = format!("{}{sign}{}{sign}", "a".repeat(before), "ü".repeat(behind));
                let (mut quoted, mut shown) = (Vec::new(), Vec::new());
                push_text(&mut quoted, &text);
                push_shown(&mut shown, &text);
                let expected = serde_json::to_vec(&text).unwrap();
                assert_eq!(String::from_utf8_lossy(&quoted), String::from_utf8_lossy(&expected));
                assert_eq!(shown, expected, "{text:?}");
            }
        }
    }
}
