//! When keys of a lane come back: a heap of (time, slot).
//!
//! Times are kept in milliseconds since the heap's own beginning, in 32 bits, so that an entry is 8 bytes; the
//! beginning moves on before they run out. They are rounded down: a key is looked at up to a millisecond early, and
//! never late. An entry is void when the key's cell no longer names its time; void entries are passed over, and swept
//! when they are the most.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use super::cell::LaneCell;
use crate::time::Tick;

/// The beginning moves on when it lies this far back: 24 days.
const REBASE_MS: u64 = 1 << 31;

#[derive(Debug)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(u32, u32)>>,
    base_ms: u64,
    /// When the beginning is to move on, in nanoseconds.
    rebase_at: u64,
    /// When a date begins or ends somewhere, in nanoseconds. Not known at first: that is looked at.
    turns_at: u64,
    /// Before this moment, in nanoseconds, there is nothing to do.
    due: u64,
}

impl Default for Timers {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), base_ms: 0, rebase_at: rebase_at(0), turns_at: 0, due: 0 }
    }
}

fn rebase_at(base_ms: u64) -> u64 {
    base_ms.saturating_add(REBASE_MS).saturating_mul(1_000_000)
}

impl Timers {
    /// A time as cells keep it; never 0, which stands for "no timer". What is further off than 24 days is looked at
    /// earlier, and again.
    pub(super) fn unit(&self, at: Tick) -> u32 {
        u32::try_from(at.millis().saturating_sub(self.base_ms)).unwrap_or(u32::MAX).max(1)
    }

    /// Arms the timer of a key. An earlier timer of the same key becomes void.
    pub(super) fn arm(&mut self, slot: u32, at: Tick, cells: &mut [LaneCell]) {
        let unit = self.unit(at);
        if cells[slot as usize].timer == unit {
            return;
        }
        cells[slot as usize].timer = unit;
        self.heap.push(Reverse((unit, slot)));
        self.due = self.due.min(self.begins(unit));
        if self.heap.len() > 2 * cells.len() + 64 {
            self.heap.retain(|Reverse((unit, slot))| cells[*slot as usize].timer == *unit);
        }
    }

    /// Arms it unless it fires sooner anyway.
    pub(super) fn arm_sooner(&mut self, slot: u32, at: Tick, cells: &mut [LaneCell]) {
        let held = cells[slot as usize].timer;
        if held == 0 || held > self.unit(at) {
            self.arm(slot, at, cells);
        }
    }

    /// Whether a date began or ended.
    pub(super) fn turns(&self, now: Tick) -> bool {
        now.nanos() >= self.turns_at
    }

    /// The next date begins, or the guard before it ends, in nanoseconds.
    pub(super) fn turn_at(&mut self, turns_at: u64) {
        self.turns_at = turns_at;
        self.due = self.due.min(turns_at);
    }

    /// Whether there is anything to do: a date turned, a key's timer fired.
    #[inline]
    pub(super) fn may_fire(&self, now: Tick) -> bool {
        now.nanos() >= self.due
    }

    /// The next key whose timer has fired by `now`; its timer is then disarmed.
    #[inline]
    pub(super) fn fired(&mut self, now: Tick, cells: &mut [LaneCell]) -> Option<u32> {
        if now.nanos() > self.rebase_at {
            self.rebase(now, cells);
        }
        let fired = self.next_fired(now, cells);
        if fired.is_none() {
            let first = self.heap.peek().map(|Reverse((unit, _))| self.begins(*unit));
            self.due = self.rebase_at.min(self.turns_at).min(first.unwrap_or(u64::MAX));
        }
        fired
    }

    /// The first nanosecond of a time as cells keep it.
    fn begins(&self, unit: u32) -> u64 {
        // The first unit stands for all time before it as well.
        if unit == 1 { 0 } else { (self.base_ms + u64::from(unit)).saturating_mul(1_000_000) }
    }

    fn next_fired(&mut self, now: Tick, cells: &mut [LaneCell]) -> Option<u32> {
        let now = self.unit(now);
        while let Some(Reverse((unit, slot))) = self.heap.peek().copied() {
            let void = cells[slot as usize].timer != unit;
            if !void && unit > now {
                return None;
            }
            self.heap.pop();
            if !void {
                cells[slot as usize].timer = 0;
                return Some(slot);
            }
        }
        None
    }

    /// When to look again: the next timer, rounded up to the millisecond after it.
    pub(super) fn next(&mut self, cells: &[LaneCell]) -> Option<Tick> {
        while let Some(Reverse((unit, slot))) = self.heap.peek().copied() {
            if cells[slot as usize].timer == unit {
                return Some(Tick::ZERO.plus(Duration::from_millis(self.base_ms + u64::from(unit) + 1)));
            }
            self.heap.pop();
        }
        None
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.heap.capacity() * 8
    }

    #[cold]
    fn rebase(&mut self, now: Tick, cells: &mut [LaneCell]) {
        let moved = u32::try_from(now.millis() - self.base_ms).unwrap_or(u32::MAX) - 1;
        let entries = std::mem::take(&mut self.heap).into_vec();
        let live = entries.into_iter().filter(|Reverse((unit, slot))| cells[*slot as usize].timer == *unit);
        let live: Vec<u32> = live.map(|Reverse((_, slot))| slot).collect();
        self.base_ms = now.millis() - 1;
        self.rebase_at = rebase_at(self.base_ms);
        for slot in live {
            let cell = &mut cells[slot as usize];
            cell.timer = cell.timer.saturating_sub(moved).max(1);
            self.heap.push(Reverse((cell.timer, slot)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Tick {
        Tick::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn fires_in_order_never_late_and_only_the_last_timer_of_a_key() {
        let mut cells = vec![LaneCell::default(); 3];
        let mut timers = Timers::default();
        timers.arm(0, at(50), &mut cells);
        timers.arm(1, at(20), &mut cells);
        timers.arm(0, at(10), &mut cells);
        assert_eq!(timers.fired(at(9), &mut cells), None);
        assert_eq!(timers.fired(at(10), &mut cells), Some(0));
        assert_eq!(timers.fired(at(100), &mut cells), Some(1));
        assert_eq!(timers.fired(at(100), &mut cells), None, "the timer of 50 ms is void");
    }

    #[test]
    fn outlives_the_range_of_its_units() {
        let mut cells = vec![LaneCell::default(); 2];
        let mut timers = Timers::default();
        let day = 86_400_000;
        for days in 0..400u64 {
            let now = days * day;
            timers.arm(0, at(now + 3 * day + 5), &mut cells);
            assert_eq!(timers.fired(at(now + day), &mut cells), None, "day {days}");
            assert_eq!(timers.next(&cells), Some(at(now + 3 * day + 6)), "day {days}");
        }
        assert_eq!(timers.fired(at(399 * day + 3 * day + 5), &mut cells), Some(0));
    }
}
