//! Messages whose letters are written as numbers, as many writers of JSON do with some: a `+` of base64 in .NET, a `<` in Go.

use std::borrow::Cow;

use memchr::memmem;

/// How such a letter begins.
pub(super) const ESCAPE: &[u8] = b"\\u00";

/// A piece of a message as its reader sees it, as far as letters of ASCII go. What only looks like a letter's number is taken
/// for one, too; one whose number is cut off is read with the next piece.
pub(super) fn plain(piece: &[u8]) -> Cow<'_, [u8]> {
    let mut escapes = memmem::find_iter(piece, ESCAPE).peekable();
    if escapes.peek().is_none() {
        return Cow::Borrowed(piece);
    }
    let (mut out, mut copied) = (Vec::with_capacity(piece.len()), 0);
    for at in escapes {
        let Some(digits) = piece.get(at + ESCAPE.len()..at + ESCAPE.len() + 2) else {
            out.extend_from_slice(&piece[copied..at]);
            return Cow::Owned(out);
        };
        let number = std::str::from_utf8(digits).ok();
        let Some(letter) = number.and_then(|number| u8::from_str_radix(number, 16).ok()) else { continue };
        out.extend_from_slice(&piece[copied..at]);
        out.push(letter);
        copied = at + ESCAPE.len() + 2;
    }
    out.extend_from_slice(&piece[copied..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_by_number_are_letters() {
        for (written, read) in [
            (&br#"{"a":"QUF+"}"#[..], &br#"{"a":"QUF+"}"#[..]),
            (br#"{"a":"QUF\u002B\u002b"}"#, br#"{"a":"QUF++"}"#),
            (br#"{"pr\u006Fmpt\u0022:1}"#, br#"{"prompt":1}"#),
            (br"\u00e9\u0", b"\xe9\\u0"),
            (br"\u00zz\u006", br"\u00zz"),
            (br"QUF\u002B\u00", b"QUF+"),
            (br"QUF\u00", b"QUF"),
        ] {
            assert_eq!(*plain(written), *read);
        }
    }
}
