//! Looking for a few bytes that may stand across the border of two chunks, without keeping any chunk: what came
//! before is fully told by how many bytes of the needle stood at its end.

use memchr::memchr_iter;

/// How a needle that had begun in the chunks before goes on in this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carried {
    /// It is whole: its last `from_before` bytes before this chunk and the first `here` bytes of it.
    Whole { from_before: usize, here: usize },
    /// Not yet: this many of its bytes stand at the end now (the chunk is used up).
    Partly(usize),
    /// It was something else.
    Broken,
}

/// The longest beginning of `needle`, short of all of it, that stands at the end of `text`. No needle holds a line's end.
pub(super) fn begun_at_end(needle: &[u8], text: &[u8]) -> usize {
    // So ends nearly every chunk of a stream.
    if text.ends_with(b"\n") {
        return 0;
    }
    let Some(&first) = needle.first() else { return 0 };
    let tail = &text[text.len() - text.len().min(needle.len() - 1)..];
    memchr_iter(first, tail).find(|&at| needle.starts_with(&tail[at..])).map_or(0, |at| tail.len() - at)
}

/// How the needle, of which `begun` bytes stood at the end of what came before, goes on in `chunk`.
pub(super) fn carry(needle: &[u8], begun: usize, chunk: &[u8]) -> Carried {
    // The longest first: where the text `AAIza` came as `AA`, `Iza`, the needle `AIza` begins at the second byte.
    for kept in (1..=begun).rev() {
        if needle[begun - kept..begun] != needle[..kept] {
            continue;
        }
        let rest = &needle[kept..];
        if chunk.starts_with(rest) {
            return Carried::Whole { from_before: kept, here: rest.len() };
        }
        if rest.starts_with(chunk) {
            return Carried::Partly(kept + chunk.len());
        }
    }
    Carried::Broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_beginning_counts() {
        assert_eq!(begun_at_end(b"abcabd", b"xxabcab"), 5);
        assert_eq!(begun_at_end(b"abcabd", b"abcabd"), 0);
        assert_eq!(begun_at_end(b"aab", b"aaa"), 2);
        assert_eq!(begun_at_end(b"k", b"k"), 0);
        assert_eq!(begun_at_end(b"key", b""), 0);
    }

    #[test]
    fn a_shorter_beginning_takes_over_where_the_longer_one_broke() {
        assert_eq!(carry(b"abcabd", 5, b"d!"), Carried::Whole { from_before: 5, here: 1 });
        assert_eq!(carry(b"abcabd", 5, b"cabd"), Carried::Whole { from_before: 2, here: 4 });
        assert_eq!(carry(b"abcabd", 5, b"c"), Carried::Partly(3));
        assert_eq!(carry(b"abcabd", 5, b"x"), Carried::Broken);
        assert_eq!(carry(b"abcabd", 3, b""), Carried::Partly(3));
    }
}
