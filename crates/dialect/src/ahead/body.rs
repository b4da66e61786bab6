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
        let near = near_stop(bytes).filter(|end| bytes[*end] == b'"');
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

/// Where the first quote or backslash stands, or what would have to be an escape, if it is near. Eight bytes at a time.
fn near_stop(bytes: &[u8]) -> Option<usize> {
    let (words, rest) = bytes[..bytes.len().min(NEAR)].as_chunks::<8>();
    let near = words.iter().enumerate().find_map(|(n, word)| {
        let word = u64::from_le_bytes(*word);
        let found = zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\'))) | controls(word);
        (found != 0).then(|| 8 * n + found.trailing_zeros() as usize / 8)
    });
    let stop = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..b' ');
    near.or_else(|| Some(8 * words.len() + rest.iter().position(stop)?))
}

/// What escapes are in a text, up to its quote; `None` where one is none, or something would have to be one.
fn escapes_of(inner: &str) -> Option<Escapes> {
    let text = inner.as_bytes();
    // Nearly all of most texts' escapes are ends of lines and quotes.
    if are_of(text, |next| is(next, b'n') | is(next, b'"'))
        || are_of(text, |next| is(next, b'n') | is(next, b'"') | is(next, b't') | is(next, b'r'))
    {
        return Some(Escapes::Short);
    }
    (is_shown(inner) && are_escapes(text)).then_some(Escapes::Any)
}

/// All bits, or none: what an instruction for many bytes at once says.
fn is(byte: u8, other: u8) -> u8 {
    if byte == other { u8::MAX } else { 0 }
}

/// Whether nothing in it would have to be an escape, and each backslash stands before one of these. Of some that are escapes
/// themselves it says no.
fn are_of(text: &[u8], these: impl Fn(u8) -> u8) -> bool {
    /// After so many bytes it is asked whether it is known already.
    const STRETCH: usize = 1 << 10;
    // Behind the last byte there is none.
    let Some((last, before)) = text.split_last() else { return true };
    if *last < b' ' || *last == b'\\' {
        return false;
    }
    let next = &text[1..];
    let Some(end) = before.last_chunk().zip(next.last_chunk()) else {
        let mut pairs = before.iter().zip(next);
        return pairs.all(|(byte, next)| *byte >= b' ' && (*byte != b'\\' || these(*next) != 0));
    };
    let mut seen = Seen::default();
    // Some of it is seen twice.
    seen.see(end, &these);
    before.chunks(STRETCH).zip(next.chunks(STRETCH)).all(|(bytes, next)| {
        bytes.as_chunks().0.iter().zip(next.as_chunks().0).for_each(|pair| seen.see(pair, &these));
        seen.is_fine()
    })
}

const SIDE: usize = 32;

/// What of many bytes at once was seen so far.
struct Seen {
    /// All bits where a backslash stood before something else.
    odd: [u8; SIDE],
    least: [u8; SIDE],
}

impl Default for Seen {
    fn default() -> Self {
        Self { odd: [0; SIDE], least: [u8::MAX; SIDE] }
    }
}

impl Seen {
    #[inline]
    fn see(&mut self, (bytes, next): (&[u8; SIDE], &[u8; SIDE]), these: impl Fn(u8) -> u8) {
        for at in 0..SIDE {
            self.odd[at] |= is(bytes[at], b'\\') & !these(next[at]);
            self.least[at] = self.least[at].min(bytes[at]);
        }
    }

    fn is_fine(&self) -> bool {
        self.odd.iter().all(|odd| *odd == 0) && self.least.iter().all(|least| *least >= b' ')
    }
}

/// Whether nothing in it would have to be an escape. Eight bytes at a time by hand: a plain loop, over what may be a picture
/// of many MiB, went byte by byte in a build that a profile guided.
fn is_shown(text: &str) -> bool {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    let shown = |words: &[[u8; 8]]| words.iter().fold(0, |seen, word| seen | controls(u64::from_le_bytes(*word))) == 0;
    words.chunks(1 << 7).all(shown) && rest.iter().all(|byte| *byte >= b' ')
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
    let (words, rest) = text.as_chunks::<8>();
    for (n, word) in words.iter().enumerate() {
        let found = zeros(u64::from_le_bytes(*word) ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return Some(8 * n + found.trailing_zeros() as usize / 8);
        }
    }
    Some(8 * words.len() + rest.iter().position(|byte| *byte == b'\\')?)
}

/// One in each byte.
const ONES: u64 = u64::MAX / 255;
const HIGHEST: u64 = ONES << 7;

/// The highest bit of each byte that is zero. Of those behind the first, in the order of memory, it may say more.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHEST
}

/// The same of each byte below a blank.
fn controls(word: u64) -> u64 {
    word.wrapping_sub(ONES * u64::from(b' ')) & !word & HIGHEST
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
    fn the_end_of_a_name_is_found_wherever_it_stands() {
        for length in 0..40 {
            for at in 0..length {
                for stop in [b'"', b'\\', 0, 1, 0x1f, b'\n'] {
                    for around in [b'x', b' ', b'!', b'#', b'[', b']', 0x7f, 0x80, 0xff, 0xa2, 0xdc] {
                        let mut text = vec![around; length];
                        text[at] = stop;
                        let seen = (at < NEAR).then_some(at);
                        assert_eq!(near_stop(&text), seen, "{stop} at {at} of {length}, {around}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_escapes_a_text_has_is_told_wherever_they_stand() {
        for length in [2, 3, 31, 32, 33, 34, 63, 64, 65, 100, 1_023, 1_024, 1_025, 1_026, 1_060, 2_049] {
            for at in 0..length {
                let with = |letters: &str| {
                    let mut text = "x".repeat(length);
                    text.replace_range(
                        at..(at + letters.len()).min(length),
                        &letters[..letters.len().min(length - at)],
                    );
                    escapes_of(&text)
                };
                let is_whole = at + 1 < length;
                for short in ["\\n", "\\\"", "\\t", "\\r"] {
                    assert_eq!(with(short), is_whole.then_some(Escapes::Short), "{short} at {at} of {length}");
                }
                for other in ["\\\\", "\\/", "\\b", "\\f"] {
                    assert_eq!(with(other), is_whole.then_some(Escapes::Any), "{other} at {at} of {length}");
                }
                for wrong in ["\\x", "\\ ", "\n", "\0", "\u{1f}", "\\u00"] {
                    assert_eq!(with(wrong), None, "{wrong:?} at {at} of {length}");
                }
                assert_eq!(with("\u{7f}"), Some(Escapes::Short));
                if at + 6 <= length {
                    assert_eq!(with("\\u00e9"), Some(Escapes::Any));
                }
            }
        }
        assert_eq!(escapes_of(""), Some(Escapes::Short));
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
