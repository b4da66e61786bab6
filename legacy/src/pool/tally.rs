//! Counts for the snapshot: totals, and the last minute second by second.

use std::collections::BTreeMap;

use crate::{
    time::{Now, Tick},
    verdict::VerdictKind,
};

const SECONDS: usize = 60;
const NANOS: u64 = 1_000_000_000;

/// One second's counts.
#[derive(Clone, Copy, Debug, Default)]
struct Second {
    number: u64,
    started: u32,
    succeeded: u32,
    limited: u32,
}

pub(super) struct Tally {
    seconds: [Second; SECONDS],
    /// The second counted last: its place, when it begins and how long it is, in nanoseconds.
    place: usize,
    from: u64,
    length: u64,
    pub(super) started: u64,
    pub(super) spills: u64,
    pub(super) exhausted: u64,
    kinds: BTreeMap<VerdictKind, u64>,
    succeeded: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            seconds: [Second::default(); SECONDS],
            place: 0,
            from: 0,
            length: 0,
            started: 0,
            spills: 0,
            exhausted: 0,
            kinds: BTreeMap::new(),
            succeeded: 0,
        }
    }
}

impl Tally {
    #[expect(clippy::inline_always, reason = "on the way of every request: a call costs as much as it does")]
    #[inline(always)]
    pub(super) fn start(&mut self, now: Now) {
        self.started += 1;
        self.second(now.tick).started += 1;
    }

    /// A start that came to nothing.
    pub(super) fn unstart(&mut self, at: Tick) {
        self.started = self.started.saturating_sub(1);
        let second = at.nanos() / NANOS + 1;
        let held = &mut self.seconds[(second % SECONDS as u64) as usize];
        if held.number == second {
            held.started = held.started.saturating_sub(1);
        }
    }

    #[inline]
    pub(super) fn judged(&mut self, now: Now, kind: VerdictKind) {
        if kind == VerdictKind::Success {
            self.succeeded(now.tick);
        } else {
            self.other(now, kind);
        }
    }

    #[inline]
    pub(super) fn succeeded(&mut self, now: Tick) {
        self.succeeded += 1;
        self.second(now).succeeded += 1;
    }

    fn other(&mut self, now: Now, kind: VerdictKind) {
        *self.kinds.entry(kind).or_default() += 1;
        if kind.is_limit() {
            self.second(now.tick).limited += 1;
        }
    }

    /// (started, succeeded, limited) in the last 60 s.
    pub(super) fn last_minute(&self, now: Now) -> (u64, u64, u64) {
        let second = now.tick.millis() / 1000 + 1;
        let recent = self.seconds.iter().filter(|held| held.number > 0 && held.number + SECONDS as u64 > second);
        recent.fold((0, 0, 0), |(started, succeeded, limited), held| {
            (
                started + u64::from(held.started),
                succeeded + u64::from(held.succeeded),
                limited + u64::from(held.limited),
            )
        })
    }

    /// Verdicts so far, by kind.
    pub(super) fn verdicts(&self) -> BTreeMap<VerdictKind, u64> {
        let mut kinds = self.kinds.clone();
        if self.succeeded > 0 {
            kinds.insert(VerdictKind::Success, self.succeeded);
        }
        kinds
    }

    #[expect(clippy::inline_always, reason = "on the way of every request: a call costs as much as it does")]
    #[inline(always)]
    fn second(&mut self, tick: Tick) -> &mut Second {
        if tick.nanos().wrapping_sub(self.from) >= self.length {
            self.turn_to(tick);
        }
        &mut self.seconds[self.place]
    }

    #[inline(never)]
    fn turn_to(&mut self, tick: Tick) {
        // Second 0 stands for "never".
        let second = tick.nanos() / NANOS + 1;
        self.place = (second % SECONDS as u64) as usize;
        self.from = (second - 1) * NANOS;
        self.length = NANOS;
        let held = &mut self.seconds[self.place];
        if held.number != second {
            *held = Second { number: second, ..Second::default() };
        }
    }
}
