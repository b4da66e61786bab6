//! Numbers in 16-bit words.

/// How many words a number takes: [`One`], [`Two`], [`Four`].
pub(super) trait Width: Copy + std::fmt::Debug {
    const WORDS: usize;
    /// The largest number; it may stand for any larger one.
    const MOST: u64;

    fn read(words: &[u16], index: usize) -> u64;

    /// Saturates.
    fn write(words: &mut [u16], index: usize, value: u64);

    #[inline]
    fn add(words: &mut [u16], index: usize, amount: u64) {
        Self::write(words, index, Self::read(words, index).saturating_add(amount));
    }

    /// Takes off at most what is there; says how much that was.
    #[inline]
    fn sub(words: &mut [u16], index: usize, amount: u64) -> u64 {
        let held = Self::read(words, index);
        let taken = held.min(amount);
        Self::write(words, index, held - taken);
        taken
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct One;
#[derive(Clone, Copy, Debug)]
pub(super) struct Two;
#[derive(Clone, Copy, Debug)]
pub(super) struct Four;

impl Width for One {
    const WORDS: usize = 1;
    const MOST: u64 = 0xffff;

    #[inline]
    fn read(words: &[u16], index: usize) -> u64 {
        words[index].into()
    }

    #[inline]
    fn write(words: &mut [u16], index: usize, value: u64) {
        words[index] = value.min(Self::MOST) as u16;
    }
}

impl Width for Two {
    const WORDS: usize = 2;
    const MOST: u64 = 0xffff_ffff;

    #[inline]
    fn read(words: &[u16], index: usize) -> u64 {
        let words = &words[index..index + 2];
        u64::from(words[0]) | u64::from(words[1]) << 16
    }

    #[inline]
    fn write(words: &mut [u16], index: usize, value: u64) {
        let value = value.min(Self::MOST);
        words[index..index + 2].copy_from_slice(&[value as u16, (value >> 16) as u16]);
    }
}

impl Width for Four {
    const WORDS: usize = 4;
    const MOST: u64 = u64::MAX;

    #[inline]
    fn read(words: &[u16], index: usize) -> u64 {
        Two::read(words, index) | Two::read(words, index + 2) << 32
    }

    #[inline]
    fn write(words: &mut [u16], index: usize, value: u64) {
        Two::write(words, index, value & 0xffff_ffff);
        Two::write(words, index + 2, value >> 32);
    }
}
