//! What was used in any span of a fixed length.

use std::{collections::VecDeque, time::Duration};

use crate::time::Tick;

/// How much longer than its span a window counts at most, in milliseconds: a request is on its way for a while.
const GUARD_MS: u64 = 250;

/// Into how many parts a coalesced window divides its span.
const PARTS: u32 = 256;

/// Counts amounts in any span of a given length, of 1 ms to 24 h.
///
/// An amount counts from when it is added until its span and the guard have passed: late and never early.
#[derive(Clone, Debug)]
pub(crate) struct SlidingWindow {
    /// In the order of their ticks.
    entries: VecDeque<Entry>,
    /// The sum of the entries.
    used: u64,
    /// The latest tick that any entry had.
    newest: Tick,
    span_ms: u32,
    /// Amounts of one part are one entry, whose tick is the part's end.
    part_ms: u32,
}

/// What was added at one tick. Eight bytes, since a window of a thousand requests has a thousand of them.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The lower half of its tick. The entries of a window are less than 2^32 ms apart, so `newest` tells the rest.
    tick: u32,
    amount: u32,
}

impl SlidingWindow {
    /// A window that tells apart what was added at different ticks.
    pub(crate) fn exact(span: Duration) -> Self {
        let span_ms = Tick::ZERO.plus(span).millis().clamp(1, 86_400_000) as u32;
        Self { entries: VecDeque::new(), used: 0, newest: Tick::ZERO, span_ms, part_ms: 1 }
    }

    /// A window of at most about 260 entries: what was added in one 256th of the span leaves together, at the end of
    /// that part's time.
    pub(crate) fn coalesced(span: Duration) -> Self {
        let exact = Self::exact(span);
        Self { part_ms: (exact.span_ms / PARTS).max(1), ..exact }
    }

    /// From now on it is exact; what it has counted stays.
    pub(crate) fn make_exact(&mut self) {
        self.part_ms = 1;
    }

    /// Its length, rounded up to a millisecond.
    pub(crate) fn span(&self) -> Duration {
        Duration::from_millis(u64::from(self.span_ms))
    }

    /// What counts now.
    pub(crate) fn used(&mut self, now: Tick) -> u64 {
        self.prune(now);
        self.used
    }

    /// When `amount` fits under `limit`: `now` if it does already, [`Tick::NEVER`] if it is more than the limit.
    pub(crate) fn opens(&mut self, now: Tick, amount: u64, limit: u64) -> Tick {
        if amount > limit {
            return Tick::NEVER;
        }
        let mut over = self.used(now).saturating_add(amount).saturating_sub(limit);
        if over == 0 {
            return now;
        }
        for entry in &self.entries {
            over = over.saturating_sub(u64::from(entry.amount));
            if over == 0 {
                return self.leaves(self.tick(*entry));
            }
        }
        now
    }

    /// Counts `amount` (up to 2^32 - 1 of one tick) as used at `at`, which is usually now. A tick of the past counts as
    /// long as it would have if it had been added in time.
    pub(crate) fn add(&mut self, at: Tick, amount: u64) {
        self.prune(at);
        let at = self.part_end(at);
        let amount = u32::try_from(amount).unwrap_or(u32::MAX);
        if at > self.newest {
            self.newest = at;
            self.entries.push_back(Entry { tick: at.millis() as u32, amount });
            self.used += u64::from(amount);
        } else if self.leaves(at) > self.newest {
            self.add_to_past(at, amount);
        }
    }

    fn add_to_past(&mut self, at: Tick, amount: u32) {
        let place = self.first_after(at);
        let tick = at.millis() as u32;
        match place.checked_sub(1).and_then(|last| self.entries.get_mut(last)) {
            Some(entry) if entry.tick == tick => {
                let added = amount.min(u32::MAX - entry.amount);
                entry.amount += added;
                self.used += u64::from(added);
            }
            _ => {
                self.entries.insert(place, Entry { tick, amount });
                self.used += u64::from(amount);
            }
        }
    }

    /// Takes back an amount that was added at `at`, as far as it still counts.
    pub(crate) fn remove(&mut self, at: Tick, amount: u64) {
        let at = self.part_end(at);
        let Some(place) = self.first_after(at).checked_sub(1) else { return };
        if self.tick(self.entries[place]) != at {
            return;
        }
        let entry = &mut self.entries[place];
        let removed = entry.amount.min(u32::try_from(amount).unwrap_or(u32::MAX));
        entry.amount -= removed;
        if entry.amount == 0 {
            self.entries.remove(place);
        }
        self.used -= u64::from(removed);
    }

    /// What counts, with the tick of each amount, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Tick, u64)> {
        self.entries.iter().map(|entry| (self.tick(*entry), u64::from(entry.amount)))
    }

    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }

    #[inline]
    fn prune(&mut self, now: Tick) {
        while let Some(entry) = self.entries.front().copied()
            && self.leaves(self.tick(entry)) <= now
        {
            self.entries.pop_front();
            self.used -= u64::from(entry.amount);
        }
    }

    /// The whole tick of an entry.
    #[inline]
    fn tick(&self, entry: Entry) -> Tick {
        let newest = self.newest.millis();
        Tick::from_millis(newest - u64::from((newest as u32).wrapping_sub(entry.tick)))
    }

    /// When an entry of this tick counts no longer.
    #[inline]
    fn leaves(&self, tick: Tick) -> Tick {
        let span = u64::from(self.span_ms);
        Tick::from_millis(tick.millis().saturating_add(span + span.div_ceil(64).min(GUARD_MS)))
    }

    #[inline]
    fn part_end(&self, at: Tick) -> Tick {
        let part = u64::from(self.part_ms);
        Tick::from_millis(at.millis().div_ceil(part).saturating_mul(part))
    }

    /// The place of the first entry that is later than `at`.
    #[inline]
    fn first_after(&self, at: Tick) -> usize {
        match self.entries.back() {
            Some(last) if self.tick(*last) > at => self.entries.partition_point(|entry| self.tick(*entry) <= at),
            _ => self.entries.len(),
        }
    }
}
