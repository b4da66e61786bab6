//! Every key of the pool, overwritten in chunks as they pass: also where it is cut.
//!
//! Only what may be the beginning of a key at a chunk's end is kept, until the next one shows whether it is: less than the longest
//! key. That is why another bunch of keys may be looked for in the next chunk, where some came meanwhile.

use std::mem;

use bytes::Bytes;

use super::mask::overwritten;
use crate::key::{Bunch, Hit, SHORTEST};

/// Masks a stream of chunks, or only looks at them.
#[derive(Default)]
pub(super) struct EveryKey {
    /// What is held back: the first bytes of some key.
    held: Vec<u8>,
}

/// How what was held goes on.
struct Carried {
    /// As it may pass.
    before: Vec<u8>,
    /// How many bytes of the chunk are the end of a key that began there. All of a chunk may be the middle of one.
    here: usize,
    /// Whether a key is whole by now.
    found: bool,
}

impl EveryKey {
    /// Takes a chunk and gives on what may pass.
    pub(super) fn pass(&mut self, bunch: &Bunch, mut chunk: Bytes, mut give: impl FnMut(Bytes)) {
        let mut from = 0;
        if !self.held.is_empty() {
            let Carried { before, here, found } = self.carry(bunch, &chunk);
            if !before.is_empty() {
                give(before.into());
            }
            if !self.held.is_empty() {
                return;
            }
            if found && here > 0 {
                chunk = overwritten(chunk, 0, here);
            }
            from = here;
        }
        while let Some((at, hit)) = bunch.look(&chunk, from, true) {
            match hit {
                Hit::Whole(length) => {
                    chunk = overwritten(chunk, at, length);
                    from = at + length;
                }
                Hit::Begun => {
                    self.held.extend_from_slice(&chunk[at..]);
                    chunk.truncate(at);
                    break;
                }
            }
        }
        if !chunk.is_empty() {
            give(chunk);
        }
    }

    /// Goes on with what was held.
    fn carry(&mut self, bunch: &Bunch, chunk: &[u8]) -> Carried {
        let mut joint = mem::take(&mut self.held);
        let held = joint.len();
        // Whatever began before this chunk ends within so much of it.
        joint.extend_from_slice(&chunk[..chunk.len().min(bunch.longest())]);
        let (mut from, mut found) = (0, false);
        while let Some((at, hit)) = bunch.look(&joint, from, true).filter(|(at, _)| *at < held) {
            match hit {
                Hit::Whole(length) => {
                    joint[at..at + length].fill(b'*');
                    (from, found) = (at + length, true);
                }
                // Of a chunk that is longer than any key it is not.
                Hit::Begun => {
                    self.held = joint.split_off(at);
                    return Carried { before: joint, here: chunk.len(), found };
                }
            }
        }
        joint.truncate(held);
        Carried { before: joint, here: from.saturating_sub(held), found }
    }

    /// At the end: what was held back is no more than it is. Where the body broke off it may have been a key, as far as it came.
    pub(super) fn finish(&mut self, bunch: &Bunch, broken: bool) -> Bytes {
        let mut held = mem::take(&mut self.held);
        if broken && held.len() >= SHORTEST {
            held.fill(b'*');
        }
        bunch.mask(&mut held, false);
        held.into()
    }

    /// How many bytes are held back.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Only looks: whether a key is whole with this chunk. What [`held`](Self::held) says afterwards is how much of one has
    /// begun.
    pub(super) fn spots(&mut self, bunch: &Bunch, chunk: &[u8]) -> bool {
        let mut from = 0;
        if !self.held.is_empty() {
            let Carried { here, found, .. } = self.carry(bunch, chunk);
            if found {
                return true;
            }
            from = here;
        }
        if self.held.is_empty() {
            match bunch.look(chunk, from, true) {
                None => return false,
                Some((_, Hit::Whole(_))) => return true,
                Some((at, Hit::Begun)) => self.held.extend_from_slice(&chunk[at..]),
            }
        }
        // The one that has begun may begin with a whole one.
        bunch.look(&self.held, 0, false).is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::key::Secret;

    const KEY: &str = "AIzaAIzbSyAIza-not-a-real-key-AIza";

    fn bunch(keys: &[&str]) -> Bunch {
        Bunch::of(0, keys.iter().map(|key| Secret::new(key).unwrap()).collect())
    }

    fn through(keys: &[&str], chunks: &[&str], broken: bool) -> (String, usize) {
        let (bunch, mut every, mut out, mut most) = (bunch(keys), EveryKey::default(), Vec::new(), 0);
        for chunk in chunks {
            every.pass(&bunch, Bytes::copy_from_slice(chunk.as_bytes()), |bytes| out.extend_from_slice(&bytes));
            most = most.max(every.held());
        }
        out.extend(every.finish(&bunch, broken));
        (String::from_utf8(out).unwrap(), most)
    }

    #[test]
    fn only_what_may_be_a_key_is_held() {
        let keys = ["AIza-not-a-key-1", "AIza-not-a-key-2", "AQ.not-a-key-3"];
        for keys in [&keys[..2], &keys] {
            for (chunks, expected, most) in [
                (&["AIza", " and ", "AIza-not"][..], "AIza and AIza-not", 8),
                (&["AIza-not-a-k", "ey-2AI", "za-not-a-key-3"], "****************AIza-not-a-key-3", 12),
                (&["AIza-not-a-key\n", "AIza\n", "\n"], "AIza-not-a-key\nAIza\n\n", 0),
                (&["AIzaAIza", "-not-a-key-", "1"], "AIza****************", 15),
            ] {
                assert_eq!(through(keys, chunks, false), (expected.to_owned(), most), "{chunks:?}");
            }
        }
        assert_eq!(through(&keys, &["AIza-not-a-key"], true).0, "**************");
        assert_eq!(through(&keys, &["AIza-no"], true).0, "AIza-no");
    }

    #[test]
    fn another_bunch_goes_on_with_what_is_held() {
        let (mut every, mut out) = (EveryKey::default(), Vec::new());
        let mut pass = |keys: &[&str], chunk: &'static str| {
            every.pass(&bunch(keys), Bytes::from_static(chunk.as_bytes()), |bytes| out.extend_from_slice(&bytes));
        };
        pass(&["AIza-not-a-key-1"], "AIza-not-");
        pass(&["AIza-not-a-key-2", "another-key-of-it"], "a-key-2 anoth");
        pass(&["another-key-too"], "er-key-of-it");
        assert_eq!(String::from_utf8(out).unwrap(), "**************** another-key-of-it");
    }

    #[test]
    fn one_that_is_whole_is_seen_though_a_longer_one_has_begun() {
        let bunch = bunch(&["AIza-not-a-key", "AIza-not-a-key-but-longer"]);
        let mut every = EveryKey::default();
        assert!(!every.spots(&bunch, b"AIza-not") && every.held() == 8);
        assert!(every.spots(&bunch, b"-a-key-but"));
        let mut every = EveryKey::default();
        assert!(!every.spots(&bunch, b"AIza-not") && !every.spots(&bunch, b", no") && every.held() == 0);
    }

    fn all_of(chunks: &[&[u8]]) -> String {
        let (bunch, mut every, mut out) = (bunch(&[KEY]), EveryKey::default(), Vec::new());
        for chunk in chunks {
            every.pass(&bunch, Bytes::copy_from_slice(chunk), |bytes| out.extend_from_slice(&bytes));
            assert!(every.held() < KEY.len());
        }
        out.extend(every.finish(&bunch, false));
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn any_chunking_masks_what_one_chunk_masks(
            pieces in prop::collection::vec(prop_oneof![Just(KEY), Just("AIza"), Just("AIzaAIz"), Just("é, "), Just("A")], 0..12),
            cuts in prop::collection::vec(0_usize..500, 0..40),
        ) {
            let text = pieces.concat();
            let expected = text.replace(KEY, &"*".repeat(KEY.len()));
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]]).collect();
            prop_assert_eq!(all_of(&chunks), expected.clone());
            let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            prop_assert_eq!(all_of(&bytes), expected);
        }
    }

    #[test]
    fn a_chunk_that_nobody_else_holds_is_changed_in_place() {
        let chunk = Bytes::from(format!("<{KEY}>"));
        let address = chunk.as_ptr();
        EveryKey::default().pass(&bunch(&[KEY]), chunk, |bytes| {
            assert_eq!(bytes.as_ptr(), address);
            assert_eq!(bytes, format!("<{}>", "*".repeat(KEY.len())));
        });
    }

    #[test]
    fn a_chunk_that_somebody_else_holds_stays_as_it_is_for_them() {
        let theirs = Bytes::from(format!("<{KEY}>"));
        EveryKey::default().pass(&bunch(&[KEY]), theirs.clone(), |bytes| assert_ne!(bytes, theirs));
        assert_eq!(theirs, format!("<{KEY}>"));
    }
}
