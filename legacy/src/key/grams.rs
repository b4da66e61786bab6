//! Where in a text keys may stand that do not begin alike, without a look at each byte of it: every key is longer than one step,
//! so that some piece of it stands at the end of a step.

/// A piece is so many bytes.
pub(super) const PIECE: usize = 4;
/// Longer steps would cost more room than they spare looks.
const LONGEST_STEP: usize = 32;
/// The same of so many keys and more, of which most pieces are in what is looked at anyway.
const LONGEST_OF_MANY: usize = 8;
const MANY: usize = 4_096;

/// The pieces with which keys begin.
pub(super) struct Grams {
    /// A bit for each of them.
    seen: Box<[u64]>,
    step: usize,
}

impl Grams {
    /// Of these keys, none of which is shorter than `shortest`.
    pub(super) fn of<'k>(keys: impl ExactSizeIterator<Item = &'k [u8]>, shortest: usize) -> Self {
        let most = if keys.len() < MANY { LONGEST_STEP } else { LONGEST_OF_MANY };
        let step = (shortest + 1).saturating_sub(PIECE).clamp(1, most);
        let words = (keys.len() * step / 4).next_power_of_two();
        let mut grams = Self { seen: vec![0; words].into(), step };
        for piece in keys.flat_map(|key| key.windows(PIECE).take(step)) {
            let bit = grams.bit_of(piece);
            grams.seen[bit / 64] |= 1 << (bit % 64);
        }
        grams
    }

    /// The first place from there on where a whole key may begin.
    pub(super) fn next(&self, text: &[u8], from: usize) -> Option<usize> {
        let mut begin = from;
        while let Some(step) = text.get(begin..begin + self.step + PIECE - 1) {
            if self.has(&step[self.step - 1..])
                && let Some(at) = step.windows(PIECE).position(|piece| self.has(piece))
            {
                return Some(begin + at);
            }
            begin += self.step;
        }
        // Behind the last whole step there is no room for a key.
        None
    }

    /// Whether a key may have these bytes where it begins.
    pub(super) fn has(&self, piece: &[u8]) -> bool {
        let bit = self.bit_of(piece);
        self.seen[bit / 64] >> (bit % 64) & 1 == 1
    }

    fn bit_of(&self, piece: &[u8]) -> usize {
        let number = piece.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        (u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize & (self.seen.len() * 64 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_stepped_over() {
        for length in [8, 9, 20, 35, 36, 60] {
            let key: Vec<u8> = (b'A'..).take(length).collect();
            let grams = Grams::of([&key[..]].into_iter(), length);
            for before in 0..100 {
                let text = [&vec![b' '; before][..], &key].concat();
                assert_eq!(grams.next(&text, 0), Some(before), "{length}");
                assert_eq!(
                    grams.next(&text[..before + length - 1], before + 1),
                    None.or(grams.next(&text, before + 1))
                );
            }
        }
    }

    #[test]
    fn of_many_it_takes_a_few_bytes_each() {
        let keys: Vec<Vec<u8>> = (0..5_000_u64)
            .map(|n| format!("{:016x}{n:020}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).into_bytes())
            .collect();
        let grams = Grams::of(keys.iter().map(Vec::as_slice), 36);
        assert!(grams.seen.len() * 8 <= 32 * keys.len());
        for key in &keys {
            assert_eq!(grams.next(key, 0), Some(0));
        }
    }
}
