//! The amount used in any span of a fixed length.

use std::{collections::VecDeque, time::Duration};

use crate::time::Tick;

/// Maximum time that a window counts beyond its span, in milliseconds: a request takes a while to reach the provider.
const GUARD_MS: u32 = 250;

/// Number of parts into which a coalesced window divides its span.
const PARTS: u32 = 256;

/// How long a window counts an amount, and its resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Length {
    /// The span plus the guard.
    counts_ms: u32,
    /// Amounts within one part share an entry, whose tick is the end of the part.
    part_ms: u32,
}

/// Counts amounts in any span of a given length, from 1 ms to 24 h.
///
/// An amount counts from when it is added until the span and the guard have passed. It may expire late, never early.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlidingWindow {
    /// The entries, ordered by tick.
    entries: VecDeque<Entry>,
    /// The sum of the entries.
    used: u64,
}

/// The amount added at one tick: the tick in the upper 40 bits, the amount in the others. An entry has only eight
/// bytes, since a window of a thousand requests has a thousand of them.
#[derive(Clone, Copy, Debug)]
struct Entry(u64);

impl Length {
    /// Returns the length of a window that keeps amounts of different ticks apart.
    pub(crate) fn exact(span: Duration) -> Self {
        let span_ms = span.as_millis().clamp(1, 86_400_000) as u32;
        Self { counts_ms: span_ms + span_ms.div_ceil(64).min(GUARD_MS), part_ms: 1 }
    }

    /// Returns the length of a window of at most about 260 entries: amounts added within one 256th of the span expire
    /// together, when the last of them would.
    pub(crate) fn coalesced(span: Duration) -> Self {
        let part_ms = (span.as_millis().min(86_400_000) as u32 / PARTS).max(1);
        Self { part_ms, ..Self::exact(span) }
    }

    /// Returns when an amount of this tick no longer counts.
    #[inline]
    fn expires(self, tick: Tick) -> Tick {
        Tick::from_millis(tick.millis() + u64::from(self.counts_ms))
    }

    #[inline]
    fn part_end(self, at: Tick) -> Tick {
        Tick::from_millis(at.millis().next_multiple_of(u64::from(self.part_ms)))
    }
}

impl SlidingWindow {
    /// Returns the amount that counts now.
    pub(crate) fn used(&mut self, length: Length, now: Tick) -> u64 {
        self.prune(length, now);
        self.used
    }

    /// Returns when `amount` fits under `limit`: `now` if it already does, [`Tick::NEVER`] if it exceeds the limit.
    pub(crate) fn opens_at(&mut self, length: Length, now: Tick, amount: u64, limit: u64) -> Tick {
        if amount > limit {
            return Tick::NEVER;
        }
        let mut over = self.used(length, now).saturating_add(amount).saturating_sub(limit);
        if over == 0 {
            return now;
        }
        for (tick, amount) in self.entries() {
            over = over.saturating_sub(amount);
            if over == 0 {
                return length.expires(tick);
            }
        }
        now
    }

    /// Counts `amount` (at most 2^32 - 1) as used at `at`, which is usually now. An amount of a past tick expires as if
    /// it had been added then.
    pub(crate) fn add(&mut self, length: Length, at: Tick, amount: u64) {
        self.prune(length, at);
        let at = length.part_end(at);
        let place = self.first_after(at);
        if place < self.entries.len() && self.entries.back().is_some_and(|newest| length.expires(at) <= newest.tick()) {
            return;
        }
        let mut rest = amount.min(u64::from(u32::MAX));
        self.used += rest;
        if let Some(last) = place.checked_sub(1).and_then(|last| self.entries.get_mut(last))
            && last.tick() == at
        {
            let more = rest.min(Entry::MOST - last.amount());
            last.0 += more;
            rest -= more;
        }
        // Most windows of a large pool hold one entry.
        if self.entries.capacity() == 0 {
            self.entries.reserve_exact(1);
        }
        while rest > 0 {
            let entry = Entry::new(at, rest.min(Entry::MOST));
            rest -= entry.amount();
            if place == self.entries.len() {
                self.entries.push_back(entry);
            } else {
                self.entries.insert(place, entry);
            }
        }
    }

    /// Removes an amount that was added at `at`, as far as it still counts.
    pub(crate) fn remove(&mut self, length: Length, at: Tick, amount: u64) {
        let at = length.part_end(at);
        let mut rest = amount;
        while rest > 0
            && let Some(place) = self.first_after(at).checked_sub(1)
            && self.entries[place].tick() == at
        {
            let entry = &mut self.entries[place];
            let removed = entry.amount().min(rest);
            entry.0 -= removed;
            if entry.amount() == 0 {
                self.entries.remove(place);
            }
            self.used -= removed;
            rest -= removed;
        }
    }

    /// Returns the amounts that count with their ticks, oldest first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Tick, u64)> {
        self.entries.iter().map(|entry| (entry.tick(), entry.amount()))
    }

    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }

    #[inline]
    fn prune(&mut self, length: Length, now: Tick) {
        while let Some(entry) = self.entries.front()
            && length.expires(entry.tick()) <= now
        {
            self.used -= entry.amount();
            self.entries.pop_front();
        }
    }

    /// Returns the index of the first entry that is later than `at`.
    #[inline]
    fn first_after(&self, at: Tick) -> usize {
        match self.entries.back() {
            Some(last) if last.tick() > at => self.entries.partition_point(|entry| entry.tick() <= at),
            _ => self.entries.len(),
        }
    }
}

impl Entry {
    const AMOUNT_BITS: u32 = 24;
    /// Maximum amount of an entry; a larger amount takes several entries.
    const MOST: u64 = (1 << Self::AMOUNT_BITS) - 1;

    fn new(tick: Tick, amount: u64) -> Self {
        Self(tick.millis() << Self::AMOUNT_BITS | amount)
    }

    fn tick(self) -> Tick {
        Tick::from_millis(self.0 >> Self::AMOUNT_BITS)
    }

    fn amount(self) -> u64 {
        self.0 & Self::MOST
    }
}
