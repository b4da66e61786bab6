//! The body that is read, by where things stand in it.

use memchr::{memchr, memchr2};

use crate::segments::LARGE;

/// It.
#[derive(Clone, Copy)]
pub(super) struct Body<'de>(pub(super) &'de str);

impl<'de> Body<'de> {
    /// Where the next thing stands.
    pub(super) fn behind_blanks(self, at: usize) -> usize {
        let rest = self.0.as_bytes().get(at..).unwrap_or_default();
        at + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\t' | b'\r')).count()
    }

    /// What a thing begins with.
    pub(super) fn first(self, at: usize) -> Option<u8> {
        self.0.as_bytes().get(at).copied()
    }

    /// What the string says that begins here, where it is worth a look ahead and stands there as it is: no escapes in it,
    /// and nothing that would have to be one.
    pub(super) fn long_text(self, at: usize) -> Option<&'de str> {
        let rest = self.0.get(at + 1..).filter(|rest| rest.len() > LARGE)?;
        let end = memchr2(b'"', b'\\', rest.as_bytes()).filter(|end| *end >= LARGE)?;
        let (text, rest) = rest.split_at(end);
        (rest.starts_with('"') && is_shown(text)).then_some(text)
    }

    /// The string that begins here; `None` where it is none, or has no end.
    pub(super) fn string(self, at: usize) -> Option<Quoted<'de>> {
        let rest = self.0.get(at + 1..).filter(|_| self.first(at) == Some(b'"'))?;
        let bytes = rest.as_bytes();
        // A name is at its end before `memchr` has begun.
        let stop = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..b' ');
        let near = bytes.iter().take(NEAR).position(stop).filter(|end| bytes[*end] == b'"');
        if let Some(end) = near {
            return Some(Quoted { json: &self.0[at..at + end + 2], escapes: Escapes::None });
        }
        let mut end = memchr(b'"', bytes)?;
        // One behind an odd number of backslashes is part of it.
        while bytes[..end].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1 {
            end += 1;
            end += memchr(b'"', bytes.get(end..)?)?;
        }
        let escapes = escapes_of(&rest[..end])?;
        Some(Quoted { json: &self.0[at..at + end + 2], escapes })
    }
}

/// A string of JSON, as it stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quoted<'de> {
    /// With its quotes.
    pub(super) json: &'de str,
    pub(super) escapes: Escapes,
}

/// What of a string's letters stands for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escapes {
    None,
    /// Ends of lines and the like, if any: two letters each, and none that says a number.
    Short,
    Any,
}

/// So far names go.
const NEAR: usize = 24;

/// What escapes are in a text, up to its quote; `None` where one is none, or something would have to be one.
#[expect(clippy::needless_bitwise_bool, reason = "a step that ends early is none for many bytes")]
fn escapes_of(inner: &str) -> Option<Escapes> {
    let text = inner.as_bytes();
    // Of what most texts are made of each step is one for many bytes at once; behind the last byte there is none.
    let pairs = text.chunks(1 << 10).zip(text.get(1..).unwrap_or_default().chunks(1 << 10));
    let is_odd = |(these, next): (&[u8], &[u8])| {
        these.iter().zip(next).fold(false, |odd, (byte, next)| {
            let is_short = (*next == b'n') | (*next == b'"') | (*next == b't') | (*next == b'r');
            odd | (*byte < b' ') | ((*byte == b'\\') & !is_short)
        })
    };
    let ends_odd = text.last().is_some_and(|last| *last < b' ' || *last == b'\\');
    if !ends_odd && !pairs.into_iter().any(is_odd) {
        return Some(Escapes::Short);
    }
    (is_shown(inner) && are_escapes(text)).then_some(Escapes::Any)
}

/// Whether nothing in it would have to be an escape. Each step is one for all bytes of it at once.
fn is_shown(text: &str) -> bool {
    let shown = |bytes: &[u8]| bytes.iter().fold(u8::MAX, |least, byte| least.min(*byte)) >= b' ';
    text.as_bytes().chunks(1 << 10).all(shown)
}

/// Whether each backslash begins an escape.
fn are_escapes(text: &[u8]) -> bool {
    // Most texts have none; where there is one, the next is not far.
    let Some(mut at) = memchr(b'\\', text) else { return true };
    loop {
        at += match text.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') if text.get(at + 2..at + 6).is_some_and(|code| code.iter().all(u8::is_ascii_hexdigit)) => 6,
            _ => return false,
        };
        match next_backslash(&text[at..]) {
            Some(next) => at += next,
            None => return true,
        }
    }
}

/// Eight bytes at a time: for a few dozen of them that is half of what `memchr` takes to begin.
fn next_backslash(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::MAX / 255;
    let (words, rest) = text.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word) ^ (ONES * u64::from(b'\\'));
        // The lowest bit that is set is that of the first byte which is zero now.
        let found = word.wrapping_sub(ONES) & !word & (ONES << 7);
        if found != 0 {
            return Some(8 * n + found.trailing_zeros() as usize / 8);
        }
    }
    Some(8 * words.len() + rest.iter().position(|byte| *byte == b'\\')?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_backslash_is_found_wherever_it_stands() {
        for length in 0..40 {
            assert_eq!(next_backslash(&vec![b'x'; length]), None);
            for at in 0..length {
                for around in [b'x', b']', b'[', 0, 0xff, 0xdc, 0x5d] {
                    let mut text = vec![around; length];
                    text[at] = b'\\';
                    assert_eq!(next_backslash(&text), Some(at), "{around} of {length}");
                    text[length - 1] = b'\\';
                    assert_eq!(next_backslash(&text), Some(at), "{around} of {length}, two");
                }
            }
        }
    }

    #[test]
    fn a_long_text_needs_no_escape() {
        let long = "x".repeat(LARGE);
        let seen = |said: &str| Body(&format!("\"{said}\", 1")).long_text(0).map(str::len);
        assert_eq!(seen(&long), Some(LARGE));
        assert_eq!(seen(&format!("{long}\u{e9}")), Some(LARGE + 2));
        assert_eq!(seen(&long[1..]), None, "not long enough");
        for wrong in ["\\n", "\n", "\0", "\u{1f}"] {
            assert_eq!((seen(&format!("{long}{wrong}")), seen(&format!("{wrong}{long}"))), (None, None), "{wrong:?}");
        }
        assert_eq!(Body(&format!("\"{long}")).long_text(0), None, "it has no end");
        assert_eq!(Body("").long_text(0), None);
    }
}
