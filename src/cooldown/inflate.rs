//! Gzip: a copy of the body is inflated to be read; what the caller gets are the bytes as they came.
//!
//! The inflated bytes are never kept; they pass through a 32 KiB buffer. A body that inflates beyond all reason is
//! read no further, and passes.

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
    /// The key is in it.
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
}

impl Inflate {
    pub(super) fn new(sight: Sight, secret: Secret) -> Box<Self> {
        let masks = Masks::of(Some(&secret));
        let reading = Reading { sight, secret, masks, shown: false, room: ALLOWED };
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
        !self.blind
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
        let Some(room) = self.room.checked_sub(bytes.len() as u64) else {
            return Err(io::Error::other("inflates beyond all reason"));
        };
        self.room = room;
        self.sight.see(bytes);
        self.shown = self.shown || self.masks.spots(&self.secret, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Display for KeyInCompressedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the compressed answer holds the key that it was asked with: stopped")
    }
}

impl std::error::Error for KeyInCompressedBody {}
