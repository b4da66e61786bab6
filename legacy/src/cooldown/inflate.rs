//! Gzip: a copy of the body is inflated to be read; what the caller gets are the bytes as they came.
//!
//! Of the inflated bytes only those are kept whose chunks have not gone on: should the key turn up in them, they are masked
//! and packed anew, and so is the rest. In a body that inflates beyond all reason nothing is looked for any more but the
//! key; one that goes on and on is stopped, and so is what is no gzip: nobody knows what the caller would read in it.
//! What of gzip is not packed (a name, a comment) the flow masks as it does plain text.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, Write},
};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;

use super::{
    masks::{KeptKeys, Masks},
    repack::{FLUSHED, Plain, Repack},
    sight::Sight,
};

/// What any body may inflate to.
const ALLOWED: u64 = 1 << 20;
/// And how many bytes for each of its own. Text rarely exceeds 20; a bomb has 1,000.
const RATIO: u64 = 100;
/// What is looked through for the key, once a body inflated to more than that: a moment's work, since nothing else is done
/// meanwhile.
const SEARCHED: u64 = 64 << 20;
/// Compressed bytes that wait for the end of what may be the key. More for so few inflated ones is no honest answer.
const WAITING: usize = 64 << 10;

/// Reads a gzip'd body.
pub(super) struct Inflate {
    decoder: MultiGzDecoder<Reading>,
    taken: u64,
    /// It cannot be read any further.
    blind: bool,
    /// Chunks whose inflated end may be the key's beginning, or that nobody is to have yet.
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    /// How many of them have nothing of the key.
    clean: usize,
    /// Nothing goes on yet.
    holding: bool,
    passed: Passed,
    /// Its length was told, and its head is out by the time anything goes on.
    sized: bool,
}

/// What has gone on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Passed {
    Nothing,
    /// Something, and behind it other bytes than the provider's may follow.
    UpToFlush,
    Some,
}

/// What becomes of a chunk.
pub(super) enum Inflated {
    /// It may pass, behind all that waited.
    Passes(Bytes),
    /// It waits for the next one.
    Waits,
    /// This goes on for it and for all that waited: the key is masked in it.
    Anew(Bytes),
    /// The key is in it, or may be in it unseen.
    ShowsKey,
}

/// The key stood in a compressed body where it could not be masked.
#[derive(Debug)]
pub(super) struct KeyInCompressedBody;

/// Where the inflated bytes go.
struct Reading {
    sight: Sight,
    keys: KeptKeys,
    masks: Masks,
    plain: Plain,
    /// It goes on masked.
    repack: Option<Box<Repack>>,
    shown: bool,
    room: u64,
    /// It inflated beyond all reason: what may be looked through still.
    beyond: Option<u64>,
}

impl Reading {
    fn new(sight: Sight, keys: KeptKeys) -> Self {
        let (masks, plain) = (Masks::default(), Plain::default());
        Self { sight, keys, masks, plain, repack: None, shown: false, room: ALLOWED, beyond: None }
    }

    /// Nothing of it is looked through any more.
    fn is_spent(&self) -> bool {
        self.beyond == Some(0)
    }
}

impl Inflate {
    /// `sized`: its length was told. `holding`: its head is not out yet, nor goes anything on before
    /// [`release`](Self::release).
    pub(super) fn new(sight: Sight, keys: KeptKeys, sized: bool, holding: bool) -> Box<Self> {
        Box::new(Self {
            decoder: MultiGzDecoder::new(Reading::new(sight, keys)),
            taken: 0,
            blind: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            clean: 0,
            holding,
            passed: Passed::Nothing,
            sized,
        })
    }

    pub(super) fn sight(&mut self) -> &mut Sight {
        &mut self.decoder.get_mut().sight
    }

    /// Whether it is no gzip, or no longer.
    pub(super) fn is_broken(&self) -> bool {
        self.blind
    }

    /// Whether all of it was read so far.
    pub(super) fn is_readable(&self) -> bool {
        !self.blind && self.decoder.get_ref().beyond.is_none()
    }

    /// Whether the key was seen in it.
    pub(super) fn shows_key(&self) -> bool {
        self.decoder.get_ref().shown
    }

    /// Takes the next chunk as it came.
    pub(super) fn take(&mut self, chunk: Bytes) -> Inflated {
        if !self.blind {
            self.taken += chunk.len() as u64;
            self.decoder.get_mut().room += RATIO * chunk.len() as u64;
            let read = self.decoder.write_all(&chunk).and_then(|()| self.decoder.flush());
            self.blind = read.is_err() && !self.decoder.get_ref().is_spent();
        }
        if self.blind || self.decoder.get_ref().is_spent() {
            return Inflated::ShowsKey;
        }
        let reading = self.decoder.get_mut();
        if let Some(repack) = &mut reading.repack {
            return Inflated::Anew(repack.packed());
        }
        if reading.shown {
            return self.begin_anew();
        }
        let begun = reading.masks.held() > 0;
        if !self.holding && !begun {
            reading.plain.gone_on();
            self.passed = if chunk.ends_with(&FLUSHED) { Passed::UpToFlush } else { Passed::Some };
            return Inflated::Passes(chunk);
        }
        self.waiting_bytes += chunk.len();
        if !self.holding && self.waiting_bytes > WAITING {
            return self.begin_anew();
        }
        self.waiting.push_back(chunk);
        if !begun {
            self.clean = self.waiting.len();
        }
        Inflated::Waits
    }

    /// From here on all goes on masked, if it can.
    fn begin_anew(&mut self) -> Inflated {
        let may = match self.passed {
            Passed::Nothing => self.holding || !self.sized,
            Passed::UpToFlush => !self.sized,
            Passed::Some => false,
        };
        let reading = self.decoder.get_mut();
        if !may || reading.beyond.is_some() || !reading.plain.is_whole() {
            return Inflated::ShowsKey;
        }
        self.waiting.clear();
        self.waiting_bytes = 0;
        let begins = self.passed == Passed::Nothing;
        let repack = reading.repack.insert(Repack::behind(&mut reading.plain, begins, reading.keys.shown()));
        Inflated::Anew(repack.packed())
    }

    /// From here on nothing waits but for the key. Whether what waited may go on.
    pub(super) fn release(&mut self) -> bool {
        self.holding = false;
        let reading = self.decoder.get_mut();
        let Some(last) = self.waiting.back().filter(|_| reading.masks.held() == 0) else { return false };
        reading.plain.gone_on();
        self.passed = if last.ends_with(&FLUSHED) { Passed::UpToFlush } else { Passed::Some };
        true
    }

    /// No more comes: the end of what goes on masked.
    pub(super) fn end(&mut self, broken: bool) -> Option<Bytes> {
        self.decoder.get_ref().repack.as_ref()?;
        let whole = !broken && self.decoder.try_finish().is_ok();
        let reading = self.decoder.get_mut();
        let repack = reading.repack.take()?;
        Some(repack.end(whole))
    }

    /// Gives up what waits, where it is hardly anything but the key: the body broke off.
    pub(super) fn abandon(&mut self) {
        if self.decoder.get_ref().masks.is_likely() {
            self.waiting.truncate(self.clean);
            self.waiting_bytes = self.waiting.iter().map(Bytes::len).sum();
        }
    }

    /// The next chunk that waited.
    pub(super) fn waited(&mut self) -> Option<Bytes> {
        let chunk = self.waiting.pop_front()?;
        self.waiting_bytes -= chunk.len();
        self.clean = self.clean.saturating_sub(1);
        Some(chunk)
    }

    /// How many bytes wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting_bytes
    }
}

impl Write for Reading {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len() as u64;
        match (self.beyond, self.room.checked_sub(length)) {
            (None, Some(room)) => {
                self.room = room;
                self.sight.see(bytes);
            }
            (beyond, _) => {
                let left = beyond.unwrap_or(SEARCHED).checked_sub(length);
                self.beyond = Some(left.unwrap_or(0));
                // No honest answer is so large and so empty: what cannot be looked through does not pass, nor is it inflated.
                if self.is_spent() {
                    self.shown = true;
                    return Err(io::Error::other("it inflates to more than is looked through"));
                }
            }
        }
        if let Some(repack) = &mut self.repack {
            repack.take(self.keys.shown(), bytes);
        } else {
            self.shown = self.shown || self.masks.spots(self.keys.shown(), bytes);
            if self.beyond.is_none() {
                self.plain.keep(bytes);
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Display for KeyInCompressedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the compressed answer holds, or may hide, the key that it was asked with: stopped")
    }
}

impl std::error::Error for KeyInCompressedBody {}

#[cfg(test)]
mod tests {
    use super::{super::masks::Shown, *};
    use crate::{Gemini, Key, KeyPool, Secret};

    #[test]
    fn what_can_be_looked_through_no_longer_does_not_pass() {
        let key = "AIza-not-a-real-key-000";
        let pool = KeyPool::builder(Gemini::new()).key(Key::new(key)).build().unwrap();
        let secret = Secret::new(key).unwrap();
        let keys = KeptKeys::of(Shown { pool: &pool, secret: &secret, earlier: &[] });
        let mut reading = Reading { room: 4, ..Reading::new(Sight::default(), keys) };
        reading.write_all(b"1234").unwrap();
        assert_eq!((reading.beyond, reading.shown), (None, false));
        reading.write_all(b"5").unwrap();
        assert_eq!((reading.beyond, reading.shown), (Some(SEARCHED - 1), false));
        reading.beyond = Some(3);
        reading.write_all(b"67").unwrap();
        assert!(!reading.shown);
        assert!(reading.write_all(b"8").is_err() && reading.shown);
    }
}
