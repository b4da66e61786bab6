//! A gzip'd body that goes on with other bytes than it came with: the key in it is masked, and what comes from there on is
//! packed anew.
//!
//! Nothing of it went on yet, or what did ends where the provider flushed it: behind that any packer's blocks may
//! follow, none of ours reaching back to what stands before. The end tells the sum over all of it.

use std::{io::Write, mem};

use bytes::Bytes;
use flate2::{Compression, Crc, write::DeflateEncoder};

use super::masks::{Masks, Shown};

/// What a flushed part ends with: an empty block, byte by byte.
pub(super) const FLUSHED: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];
/// The head of a packed body: deflated, no name, no time, by nobody in particular.
const HEAD: [u8; 10] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF];
/// The most of inflated text that is kept for the chunks that have not gone on.
pub(super) const MOST_KEPT: usize = 1 << 20;

/// What was inflated of the chunks that have not gone on yet, and the sum of those that have.
#[derive(Default)]
pub(super) struct Plain {
    text: Vec<u8>,
    sum: Crc,
    /// There was more than is kept.
    lost: bool,
}

impl Plain {
    /// More of it.
    pub(super) fn keep(&mut self, text: &[u8]) {
        if !self.lost && self.text.len() + text.len() <= MOST_KEPT {
            return self.text.extend_from_slice(text);
        }
        self.sum.update(&mem::take(&mut self.text));
        self.sum.update(text);
        self.lost = true;
    }

    /// All of it has gone on, packed as it came.
    pub(super) fn gone_on(&mut self) {
        self.sum.update(&self.text);
        self.text.clear();
        self.lost = false;
    }

    /// Whether all of it is here.
    pub(super) fn is_whole(&self) -> bool {
        !self.lost
    }
}

/// Packs what comes, masked.
pub(super) struct Repack {
    packer: DeflateEncoder<Vec<u8>>,
    sum: Crc,
    masks: Masks,
    /// Something was packed since the last flush.
    fresh: bool,
}

impl Repack {
    /// Behind what has gone on, or from the beginning where nothing has.
    pub(super) fn behind(plain: &mut Plain, begins: bool, keys: Shown<'_>) -> Box<Self> {
        let Plain { text, sum, .. } = mem::take(plain);
        let head = if begins { HEAD.to_vec() } else { Vec::new() };
        let packer = DeflateEncoder::new(head, Compression::fast());
        let mut repack = Box::new(Self { packer, sum, masks: Masks::default(), fresh: false });
        repack.take(keys, &text);
        repack
    }

    /// Takes inflated text.
    pub(super) fn take(&mut self, keys: Shown<'_>, text: &[u8]) {
        let Self { packer, sum, masks, fresh } = self;
        masks.pass(keys, Bytes::copy_from_slice(text), |text| {
            sum.update(&text);
            // Writing into memory does not fail.
            let _ = packer.write_all(&text);
            *fresh = true;
        });
    }

    /// What of it can go on.
    pub(super) fn packed(&mut self) -> Bytes {
        if mem::take(&mut self.fresh) {
            let _ = self.packer.flush();
        }
        mem::take(self.packer.get_mut()).into()
    }

    /// The rest of it. One that broke off, or that did not come to its own end, gets none.
    pub(super) fn end(mut self, whole: bool) -> Bytes {
        let Self { packer, sum, masks, fresh } = &mut self;
        masks.finish(!whole, |text| {
            sum.update(&text);
            let _ = packer.write_all(&text);
            *fresh = true;
        });
        if !whole {
            return self.packed();
        }
        let mut packed = self.packer.finish().unwrap_or_default();
        packed.extend(self.sum.sum().to_le_bytes());
        packed.extend(self.sum.amount().to_le_bytes());
        packed.into()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::{read::GzDecoder, write::GzEncoder};

    use super::*;
    use crate::{Gemini, Key, KeyPool, Secret};

    const KEY: &str = "AIza-not-a-real-key-000";

    #[test]
    fn what_went_on_and_what_follows_are_one_body() {
        let pool = KeyPool::builder(Gemini::new()).key(Key::new(KEY)).build().unwrap();
        let secret = Secret::new(KEY).unwrap();
        let keys = Shown { pool: &pool, secret: &secret, earlier: &[] };
        for flushed in [0, 1, 3] {
            let mut theirs = GzEncoder::new(Vec::new(), Compression::best());
            let mut plain = Plain::default();
            for n in 0..flushed {
                let text = format!("some text, {n} times the same text\n");
                theirs.write_all(text.as_bytes()).unwrap();
                theirs.flush().unwrap();
                plain.keep(text.as_bytes());
                plain.gone_on();
            }
            let mut body = if flushed > 0 { theirs.get_ref().clone() } else { Vec::new() };
            assert!(flushed == 0 || body.ends_with(&FLUSHED));
            plain.keep(format!("the key is {KEY}, the same text\nAIza-").as_bytes());
            let mut repack = Repack::behind(&mut plain, flushed == 0, keys);
            body.extend(repack.packed());
            repack.take(keys, b"not, and AIza-not-a");
            repack.take(keys, b"-real-key-000 again");
            body.extend(repack.packed());
            body.extend(repack.end(true));
            let (mut text, stars) = (String::new(), "*".repeat(KEY.len()));
            GzDecoder::new(&*body).read_to_string(&mut text).unwrap();
            let expected = format!("the key is {stars}, the same text\nAIza-not, and {stars} again");
            assert!(text.ends_with(&expected) && text.matches("times").count() == flushed, "{text}");
        }
    }

    #[test]
    fn so_much_is_kept() {
        let mut plain = Plain::default();
        plain.keep(&vec![b'a'; MOST_KEPT]);
        assert!(plain.is_whole());
        plain.keep(b"b");
        plain.keep(b"c");
        assert!(!plain.is_whole() && plain.text.is_empty());
        plain.gone_on();
        let mut sum = Crc::new();
        sum.update(&[&vec![b'a'; MOST_KEPT][..], b"bc"].concat());
        assert_eq!((plain.sum.sum(), plain.sum.amount()), (sum.sum(), sum.amount()));
        assert!(plain.is_whole());
    }
}
