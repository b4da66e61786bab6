//! Gzip: a copy of the body is inflated to be read; what the caller gets are the bytes as they came.
//!
//! The inflated bytes are never kept; they pass through a 32 KiB buffer. In a body that inflates beyond all reason
//! nothing is looked for any more but the key; one that goes on and on is stopped.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, Write},
};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;

use super::{masks::Masks, sight::Sight};
use crate::key::Secret;

/// What any body may inflate to.
const ALLOWED: u64 = 1 << 20;
/// And how many bytes for each of its own. Text rarely exceeds 20; a bomb has 1,000.
const RATIO: u64 = 100;
/// What is looked through for the key, once a body inflated to more than that.
const SEARCHED: u64 = 1 << 30;
/// Compressed bytes that wait for the end of what may be the key. More for so few inflated ones is no honest answer.
const WAITING: usize = 64 << 10;

/// Reads a gzip'd body.
pub(super) struct Inflate {
    decoder: MultiGzDecoder<Reading>,
    taken: u64,
    /// It cannot be read any further.
    blind: bool,
    /// Chunks whose inflated end may be the key's beginning.
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
}

/// What becomes of a chunk.
pub(super) enum Inflated {
    /// It may pass, behind all that waited.
    Passes(Bytes),
    /// It waits for the next one.
    Waits,
    /// The key is in it, or may be in it unseen.
    ShowsKey,
}

/// The key stood in a body that cannot be masked: it is compressed.
#[derive(Debug)]
pub(super) struct KeyInCompressedBody;

/// Where the inflated bytes go.
struct Reading {
    sight: Sight,
    secret: Secret,
    masks: Masks,
    shown: bool,
    room: u64,
    /// It inflated beyond all reason: what may be looked through still.
    beyond: Option<u64>,
}

impl Inflate {
    pub(super) fn new(sight: Sight, secret: Secret) -> Box<Self> {
        let masks = Masks::of(Some(&secret));
        let reading = Reading { sight, secret, masks, shown: false, room: ALLOWED, beyond: None };
        Box::new(Self {
            decoder: MultiGzDecoder::new(reading),
            taken: 0,
            blind: false,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        })
    }

    pub(super) fn sight(&mut self) -> &mut Sight {
        &mut self.decoder.get_mut().sight
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
            self.blind = self.decoder.write_all(&chunk).and_then(|()| self.decoder.flush()).is_err();
        }
        let reading = self.decoder.get_ref();
        if reading.shown {
            return Inflated::ShowsKey;
        }
        if self.blind || reading.masks.held() == 0 {
            return Inflated::Passes(chunk);
        }
        self.waiting_bytes += chunk.len();
        if self.waiting_bytes > WAITING {
            return Inflated::ShowsKey;
        }
        self.waiting.push_back(chunk);
        Inflated::Waits
    }

    /// Gives up what waits, where it is hardly anything but the key: the body broke off.
    pub(super) fn abandon(&mut self) {
        if self.decoder.get_ref().masks.is_likely() {
            self.waiting.clear();
            self.waiting_bytes = 0;
        }
    }

    /// The next chunk that waited.
    pub(super) fn waited(&mut self) -> Option<Bytes> {
        let chunk = self.waiting.pop_front()?;
        self.waiting_bytes -= chunk.len();
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
                // No honest answer is so large and so empty: what cannot be looked through does not pass.
                self.shown |= left.is_none();
            }
        }
        self.shown = self.shown || self.masks.spots(&self.secret, bytes);
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
    use super::*;

    #[test]
    fn what_can_be_looked_through_no_longer_does_not_pass() {
        let secret = Secret::new("AIza-not-a-real-key-000").unwrap();
        let masks = Masks::of(Some(&secret));
        let mut reading = Reading { sight: Sight::default(), secret, masks, shown: false, room: 4, beyond: None };
        reading.write_all(b"1234").unwrap();
        assert_eq!((reading.beyond, reading.shown), (None, false));
        reading.write_all(b"5").unwrap();
        assert_eq!((reading.beyond, reading.shown), (Some(SEARCHED - 1), false));
        reading.beyond = Some(2);
        reading.write_all(b"67").unwrap();
        assert!(!reading.shown);
        reading.write_all(b"8").unwrap();
        assert!(reading.shown);
    }
}
