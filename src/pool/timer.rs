//! When keys of a lane come back: a heap of (time, slot).
//!
//! Times are kept in units of 16 ms (32 bits: two years), rounded up, so that an entry is 8 bytes. An entry is void
//! when the key's cell no longer names its time; void entries are passed over, and swept when they are the most.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::cell::LaneCell;
use crate::time::Tick;

/// Nanoseconds in a wake unit.
const UNIT_NANOS: u64 = 16_000_000;

#[derive(Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(u32, u32)>>);

/// The wake unit at or after `tick`; never 0, which stands for "no timer".
pub(super) fn wake_unit(tick: Tick) -> u32 {
    u32::try_from(tick.nanos().div_ceil(UNIT_NANOS)).unwrap_or(u32::MAX).max(1)
}

impl Timers {
    /// Arms the timer of a key. An earlier timer of the same key becomes void.
    pub(super) fn arm(&mut self, slot: u32, at: Tick, cells: &mut [LaneCell]) {
        let unit = wake_unit(at);
        if cells[slot as usize].timer == unit {
            return;
        }
        cells[slot as usize].timer = unit;
        self.0.push(Reverse((unit, slot)));
        if self.0.len() > 2 * cells.len() + 64 {
            self.0.retain(|Reverse((unit, slot))| cells[*slot as usize].timer == *unit);
        }
    }

    /// The next key whose timer has fired by `now`; its timer is then disarmed.
    pub(super) fn fired(&mut self, now: Tick, cells: &mut [LaneCell]) -> Option<u32> {
        // Rounded down here and up when armed: never early.
        let now = u32::try_from(now.nanos() / UNIT_NANOS).unwrap_or(u32::MAX);
        while let Some(Reverse((unit, slot))) = self.0.peek().copied() {
            let void = cells[slot as usize].timer != unit;
            if !void && unit > now {
                return None;
            }
            self.0.pop();
            if !void {
                cells[slot as usize].timer = 0;
                return Some(slot);
            }
        }
        None
    }

    /// When the next timer fires.
    pub(super) fn next(&mut self, cells: &[LaneCell]) -> Option<Tick> {
        while let Some(Reverse((unit, slot))) = self.0.peek().copied() {
            if cells[slot as usize].timer == unit {
                return Some(Tick::from_nanos(u64::from(unit) * UNIT_NANOS));
            }
            self.0.pop();
        }
        None
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.0.capacity() * 8
    }
}
