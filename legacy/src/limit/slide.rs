//! How sliding windows divide time.
//!
//! A *moment* is 2^16 ns (66 µs), the time in which all windows of a log agree. Each window counts in *units* of a
//! power of two of moments, chosen so that its whole length fits 16 bits: about 1 ms for a minute, 2 s for 24 h.
//! A start is rounded down to its unit and leaves when the whole unit is older than the window: late by at most one
//! unit, never early.

use std::time::Duration;

use crate::time::Tick;

const MOMENT_BITS: u32 = 16;

/// Into how many slices a window of amounts is cut at least.
pub(super) const SLICES: u32 = 256;

#[inline]
pub(super) fn moment(tick: Tick) -> u64 {
    tick.nanos() >> MOMENT_BITS
}

/// Whether no window can tell two ticks apart.
#[inline]
pub(crate) fn same_moment(a: Tick, b: Tick) -> bool {
    moment(a) == moment(b)
}

#[inline]
pub(super) fn tick(moment: u64) -> Tick {
    Tick::from_nanos(moment << MOMENT_BITS)
}

/// A window's length, and its unit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slide {
    /// A unit is 2^`shift` moments.
    shift: u32,
    /// A start of unit `n` has left in unit `n + units`.
    units: u32,
}

impl Slide {
    /// A window of (closed) length `window`; less than a year.
    pub(super) fn new(window: Duration) -> Self {
        let moments = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX).div_ceil(1 << MOMENT_BITS);
        // One unit more than the window's length: the start's own. The rest is for the slice that the newest amount
        // stands in, so that a window and a slice can be told apart in 16 bits.
        let units = |shift: u32| moments.div_ceil(1 << shift) + 1;
        let fits = |shift: &u32| u16::try_from(units(*shift) + units(*shift) / u64::from(SLICES) + 2).is_ok();
        let shift = (0..48).find(fits).unwrap_or(48);
        Self { shift, units: u32::try_from(units(shift)).unwrap_or(u32::from(u16::MAX)) }
    }

    #[inline]
    pub(super) fn units(self) -> u32 {
        self.units
    }

    #[inline]
    pub(super) fn unit(self, moment: u64) -> u64 {
        moment >> self.shift
    }

    /// The last moment of a unit.
    pub(super) fn last_moment(self, unit: u64) -> u64 {
        ((unit + 1) << self.shift) - 1
    }

    /// The first tick at which a start of `unit` has left.
    pub(super) fn leaves(self, unit: u64) -> Tick {
        let moment = (unit + u64::from(self.units)) << self.shift;
        Tick::from_nanos(moment.saturating_mul(1 << MOMENT_BITS))
    }

    /// The whole number of a unit of which only 16 bits were kept, not after the unit of `now`.
    #[inline]
    pub(super) fn whole(self, low: u16, now: u64) -> u64 {
        let now = self.unit(now);
        now.saturating_sub(u64::from((now as u16).wrapping_sub(low)))
    }

    /// Whether a start at `then` has left at `now`.
    pub(super) fn has_left(self, then: u64, now: u64) -> bool {
        self.unit(now) >= self.unit(then) + u64::from(self.units)
    }

    /// How old a start must have been in unit `from`, when the log was seen last (so 16 bits tell its age then), to have
    /// left in unit `to`; `None`: all have left.
    #[inline]
    pub(super) fn left_at(self, from: u64, to: u64) -> Option<u16> {
        let passed = to - from;
        if passed < u64::from(self.units) { Some((self.units - passed as u32) as u16) } else { None }
    }
}
