//! The ready keys of one priority, by headroom class: whoever wants many tokens looks only at keys that have room.

use super::{cell::LaneCell, ready::Ready};

/// Headroom classes: powers of two of the tokens that still fit; the last is "unlimited".
pub(super) const CLASSES: usize = 32;
pub(super) const UNLIMITED: usize = CLASSES - 1;

/// The class of an owner with this much room.
pub(super) fn class_of(headroom: u64) -> usize {
    match headroom {
        u64::MAX => UNLIMITED,
        0 => 0,
        room => (room.ilog2() as usize).min(UNLIMITED - 1),
    }
}

/// The first class in which every key has room for so many tokens.
pub(super) fn class_for(tokens: u64) -> usize {
    match tokens {
        0 | 1 => 0,
        tokens => ((tokens - 1).ilog2() as usize + 1).min(UNLIMITED),
    }
}

/// The keys of one priority.
#[derive(Default)]
pub(super) struct Group {
    /// By class; none until a key has one.
    classes: Vec<Ready>,
    /// The rank of each class's first key, and the key; so many that no class is out of their bounds.
    tops: Box<[(u64, u32); CLASSES]>,
    /// The classes with keys: bit `n` for class `n`.
    taken: u32,
    /// Ready keys that need no class: the lane's owners have no token limits.
    pub(super) unlimited: Ready,
    /// Waited for: at their concurrency, or between two starts.
    pub(super) busy: Vec<u32>,
    /// The stride strategies' time: the largest virtual time that was picked among these keys.
    pub(super) time: f64,
}

impl Group {
    #[inline]
    pub(super) fn push(&mut self, class: usize, slot: u32, cells: &mut [LaneCell]) {
        if class == UNLIMITED {
            return self.unlimited.push(slot, cells);
        }
        if self.classes.is_empty() {
            self.classes.resize_with(UNLIMITED, Ready::default);
        }
        self.classes[class].push(slot, cells);
        let own = (cells[slot as usize].rank, slot);
        if self.taken & (1 << class) == 0 || own < self.tops[class] {
            self.tops[class] = own;
        }
        self.taken |= 1 << class;
    }

    #[inline]
    pub(super) fn remove(&mut self, class: usize, slot: u32, cells: &mut [LaneCell]) {
        let at = cells[slot as usize].position();
        if class == UNLIMITED {
            return self.unlimited.remove(at, cells);
        }
        let order = &mut self.classes[class];
        order.remove(at, cells);
        if self.tops[class].1 == slot {
            match order.top(cells) {
                Some(top) => self.tops[class] = (cells[top as usize].rank, top),
                None => self.taken &= !(1 << class),
            }
        }
    }

    /// The first key of those with at least this class.
    #[inline]
    pub(super) fn best(&self, min_class: usize, cells: &[LaneCell]) -> Option<u32> {
        let unlimited = self.unlimited.top(cells);
        let mut best = unlimited.map_or((u64::MAX, u32::MAX), |top| (cells[top as usize].rank, top));
        let mut taken = self.taken & (u32::MAX << min_class);
        while taken != 0 {
            let top = self.tops[taken.trailing_zeros() as usize % CLASSES];
            taken &= taken - 1;
            if top.0 < best.0 || top.0 == best.0 && top.1 < best.1 {
                best = top;
            }
        }
        (best.1 != u32::MAX).then_some(best.1)
    }

    /// The one order that all its ready keys stand in, where they have no classes.
    #[inline]
    pub(super) fn sole_order(&mut self) -> Option<&mut Ready> {
        self.classes.is_empty().then_some(&mut self.unlimited)
    }

    /// The first key of one class.
    pub(super) fn first_of(&self, class: usize) -> Option<u32> {
        (self.taken & (1 << class) != 0).then(|| self.tops[class].1)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.unlimited.heap_bytes()
            + self.classes.iter().map(Ready::heap_bytes).sum::<usize>()
            + self.classes.capacity() * size_of::<Ready>()
            + size_of::<[(u64, u32); CLASSES]>()
            + self.busy.capacity() * 4
    }
}
