//! What a lane keeps of each key: 16 bytes, since there are keys × lanes of them.

/// Where a key stands in a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In no order: disabled, removed, or resting without end. Comes back by an event.
    Out,
    /// In the ready order of its class.
    Ready,
    /// Waited for: as many requests in flight as it may carry, or its shortest interval is not over.
    Busy,
    /// Comes back when its timer fires.
    Timed,
}

/// One key in one lane.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LaneCell {
    /// Lower comes first; made by the strategy.
    pub(super) rank: u64,
    /// Position in its order (25 bits), headroom class (5 bits), place (2 bits).
    packed: u32,
    /// When its timer fires, in the units of its heap; 0: none armed. An entry of the timer heap that differs is void.
    pub(super) timer: u32,
}

const POSITION: u32 = (1 << 25) - 1;
const CLASS_SHIFT: u32 = 25;
const PLACE_SHIFT: u32 = 30;

/// How many keys a pool can hold: what a position in a ring of twice as many places can count.
pub(super) const MAX_KEYS: usize = (1 << 23) - 1;

impl LaneCell {
    #[inline]
    pub(super) fn position(self) -> u32 {
        self.packed & POSITION
    }

    #[inline]
    pub(super) fn set_position(&mut self, at: u32) {
        self.packed = (self.packed & !POSITION) | (at & POSITION);
    }

    /// The power of two of the tokens that still fit.
    #[inline]
    pub(super) fn class(self) -> usize {
        ((self.packed >> CLASS_SHIFT) & 31) as usize
    }

    #[inline]
    pub(super) fn set_class(&mut self, class: usize) {
        self.packed = (self.packed & !(31 << CLASS_SHIFT)) | ((class as u32 & 31) << CLASS_SHIFT);
    }

    #[inline]
    pub(super) fn place(self) -> Place {
        match self.packed >> PLACE_SHIFT {
            0 => Place::Out,
            1 => Place::Ready,
            2 => Place::Busy,
            _ => Place::Timed,
        }
    }

    #[inline]
    pub(super) fn set_place(&mut self, place: Place) {
        self.packed = (self.packed & !(3 << PLACE_SHIFT)) | ((place as u32) << PLACE_SHIFT);
    }
}
