//! Numbers in 16-bit words.

/// How many words a number takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    One = 1,
    Two = 2,
    Four = 4,
}

impl Width {
    /// Wide enough for twice `limit` (more may be counted than is allowed: late corrections, probes).
    pub(super) fn for_limit(limit: u64) -> Self {
        match limit {
            0..=0x7fff => Self::One,
            0x8000..=0x7fff_ffff => Self::Two,
            _ => Self::Four,
        }
    }

    #[inline]
    pub(super) fn words(self) -> usize {
        self as usize
    }

    #[inline]
    pub(super) fn read(self, words: &[u16], index: usize) -> u64 {
        match self {
            Self::One => u64::from(words[index]),
            Self::Two => u64::from(words[index]) | u64::from(words[index + 1]) << 16,
            Self::Four => Self::Two.read(words, index) | Self::Two.read(words, index + 2) << 32,
        }
    }

    /// Saturates.
    #[inline]
    pub(super) fn write(self, words: &mut [u16], index: usize, value: u64) {
        match self {
            Self::One => words[index] = u16::try_from(value).unwrap_or(u16::MAX),
            Self::Two => {
                let value = u32::try_from(value).unwrap_or(u32::MAX);
                words[index] = value as u16;
                words[index + 1] = (value >> 16) as u16;
            }
            Self::Four => {
                for (n, word) in words[index..index + 4].iter_mut().enumerate() {
                    *word = (value >> (16 * n)) as u16;
                }
            }
        }
    }

    #[inline]
    pub(super) fn add(self, words: &mut [u16], index: usize, amount: u64) {
        self.write(words, index, self.read(words, index).saturating_add(amount));
    }

    /// Takes off at most what is there; says how much that was.
    #[inline]
    pub(super) fn sub(self, words: &mut [u16], index: usize, amount: u64) -> u64 {
        let held = self.read(words, index);
        let taken = held.min(amount);
        self.write(words, index, held - taken);
        taken
    }
}
