//! What a client's frames must be (RFC 6455): masked, of a kind that there is, in order, and texts in UTF-8.

use super::frames::{CLOSE, CONTROL, NOT_UTF8, PONG, PROTOCOL};

/// A rule that was broken: the code of the closing frame, and what was wrong.
pub(super) type Fault = (u16, &'static str);

const TEXT: u8 = 0x1;
const BYTES: u8 = 0x2;
const CONTINUED: u8 = 0x0;
const IS_NO_TEXT: Fault = (NOT_UTF8, "a text that is not UTF-8");

/// How far a client kept to them.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// What the message under way is.
    message: Option<u8>,
    /// The beginning of a letter of it whose end is still to come.
    letter: Vec<u8>,
}

impl Rules {
    /// A frame begins so: its first two bytes, and how many are inside.
    pub(super) fn begins(&mut self, [first, second]: [u8; 2], length: u64) -> Result<(), Fault> {
        let (code, last) = (first & 0xf, first & 0x80 != 0);
        let broken = |what| Err((PROTOCOL, what));
        // No extension was agreed on that would give them a meaning.
        if first & 0x70 != 0 {
            return broken("a frame with reserved bits");
        }
        if second & 0x80 == 0 {
            return broken("a frame without a mask");
        }
        if length >> 63 != 0 {
            return broken("a frame of an impossible length");
        }
        match (code, self.message) {
            (CLOSE..=PONG, _) if last && length <= CONTROL as u64 => return Ok(()),
            (CLOSE..=PONG, _) => return broken("a control frame that is long or in parts"),
            (TEXT | BYTES, None) => self.message = Some(code),
            (TEXT | BYTES, Some(_)) => return broken("a message within another"),
            (CONTINUED, Some(_)) => {}
            (CONTINUED, None) => return broken("the rest of no message"),
            _ => return broken("a frame of no kind that there is"),
        }
        Ok(())
    }

    /// This much more of a message came, without its mask.
    pub(super) fn inside(&mut self, mut piece: &[u8]) -> Result<(), Fault> {
        if self.message != Some(TEXT) {
            return Ok(());
        }
        while let (false, [next, rest @ ..]) = (self.letter.is_empty(), piece) {
            self.letter.push(*next);
            piece = rest;
            match std::str::from_utf8(&self.letter) {
                Ok(_) => self.letter.clear(),
                Err(error) if error.error_len().is_some() => return Err(IS_NO_TEXT),
                Err(_) => {}
            }
        }
        match std::str::from_utf8(piece) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(IS_NO_TEXT),
            Err(error) => {
                self.letter.extend_from_slice(&piece[error.valid_up_to()..]);
                Ok(())
            }
        }
    }

    /// The message under way is whole.
    pub(super) fn ends(&mut self) -> Result<(), Fault> {
        self.message = None;
        if std::mem::take(&mut self.letter).is_empty() { Ok(()) } else { Err(IS_NO_TEXT) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_wherever_it_is_cut() {
        let text = "aäß€😀z".repeat(2);
        let told = |bytes: &[u8], step: usize| {
            let mut rules = Rules { message: Some(TEXT), ..Rules::default() };
            bytes.chunks(step).try_for_each(|piece| rules.inside(piece)).and_then(|()| rules.ends())
        };
        for step in 1..=text.len() {
            assert_eq!(told(text.as_bytes(), step), Ok(()), "{step}");
            let cut = &text.as_bytes()[..text.len() - 2];
            assert_eq!(told(cut, step), Err(IS_NO_TEXT), "{step}: half a letter at the end");
            for wrong in [&b"a\xffb"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\xe2\x82z"] {
                assert_eq!(told(wrong, step), Err(IS_NO_TEXT), "{step} {wrong:?}");
            }
        }
        let mut bytes = Rules { message: Some(BYTES), ..Rules::default() };
        assert_eq!(bytes.inside(b"\xff"), Ok(()), "bytes may be any");
    }
}
