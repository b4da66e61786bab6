//! Text that came from elsewhere, on a console: it may neither begin a line nor steer a terminal.

use std::fmt::{self, Write};

/// Writes on what is given to it, with characters that act on a terminal or on the order of text shown as `\u{…}`.
#[derive(Debug)]
pub(crate) struct Plain<W>(pub(crate) W);

/// A text as it may be shown.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    // A text takes all that is written to it.
    let _ = Plain(&mut out).write_str(text);
    out
}

/// A text of several lines as it may be shown: lines and tabs stay.
pub(crate) fn plain_text(text: &str) -> String {
    text.split_inclusive(['\n', '\t'])
        .map(|part| match part.strip_suffix(['\n', '\t']) {
            Some(line) => plain(line) + &part[line.len()..],
            None => plain(part),
        })
        .collect()
}

impl<W: Write> Write for Plain<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return self.0.write_str(text);
        }
        let mut rest = text;
        while let Some((at, acting)) = rest.char_indices().find(|(_, character)| acts(*character)) {
            self.0.write_str(&rest[..at])?;
            write!(self.0, "{}", acting.escape_unicode())?;
            rest = &rest[at + acting.len_utf8()..];
        }
        self.0.write_str(rest)
    }
}

/// Control characters, line and paragraph separators, and those that turn the direction of text.
pub(super) fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown_and_the_rest_stays() {
        assert_eq!(plain("GET /v1 200 by k-1 (größe, 模型)"), "GET /v1 200 by k-1 (größe, 模型)");
        assert_eq!(plain("a\n12:00:00 forged"), "a\\u{a}12:00:00 forged");
        assert_eq!(plain("\x1b[31m\u{9b}31m\r\u{7f}"), "\\u{1b}[31m\\u{9b}31m\\u{d}\\u{7f}");
        assert_eq!(plain_text("a\tb\n\x1b[2Jc\r\n"), "a\tb\n\\u{1b}[2Jc\\u{d}\n");
        assert_eq!(plain("\u{202e}bidi\u{2028}"), "\\u{202e}bidi\\u{2028}");
    }
}
