//! Notices an outage: when nearly every key is refused for good, disabling pauses.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use super::{breaker::Target, registry::Slot};
use crate::time::Tick;

/// Failures that are older say nothing any more.
const SPAN: Duration = Duration::from_secs(30);
/// So many keys must be refused for good, and nine of ten of those that were tried.
const KEYS: usize = 5;
/// After an outage all keys are tried again at once, but not more often than this: in a list of mostly bad keys each success would
/// look like the end of an outage.
const RELEASE: Duration = Duration::from_secs(600);
/// The end of an outage may take so long.
const RECOVERY: Duration = Duration::from_secs(60);
/// At most so many failures are remembered.
const OUTCOMES: usize = 1_024;

/// Notices when nearly every key is refused for good, which is an outage and no fault of the keys.
#[derive(Debug, Default)]
pub(crate) struct FailureGuard {
    /// The failures in the span: of which key, and what they disable where they are for good.
    outcomes: VecDeque<(Tick, Slot, Option<Target>)>,
    /// How many of them came after the last success.
    in_a_row: usize,
    paused: bool,
    held: BTreeSet<Target>,
    /// When targets that were held were last tried again.
    released: Option<Tick>,
}

impl FailureGuard {
    /// Whether disabling is paused.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// A key failed; for good, where that disables a target. Whether disabling is paused.
    pub(crate) fn failed(&mut self, slot: Slot, disables: Option<Target>, now: Tick) -> bool {
        let begins = now.minus(SPAN);
        while self.outcomes.front().is_some_and(|(at, ..)| *at < begins) || self.outcomes.len() >= OUTCOMES {
            self.outcomes.pop_front();
        }
        self.in_a_row = (self.in_a_row + 1).min(self.outcomes.len() + 1);
        self.outcomes.push_back((now, slot, disables));
        let Some(target) = disables else { return self.paused };
        if self.paused {
            self.held.insert(target);
            return true;
        }
        if self.in_a_row < KEYS {
            return false;
        }
        let in_a_row = self.outcomes.iter().rev().take(self.in_a_row);
        let mut keys: Vec<_> = in_a_row.map(|(_, slot, disables)| (*slot, disables.is_some())).collect();
        keys.sort_unstable();
        keys.dedup();
        let failed = keys.iter().filter(|(_, permanent)| *permanent).count();
        if failed >= KEYS && failed * 10 >= keys.len() * 9 {
            self.paused = true;
            let row = if self.was_released(now, RELEASE) { self.in_a_row } else { usize::MAX };
            self.held = self.outcomes.iter().rev().take(row).filter_map(|(.., disables)| *disables).collect();
        }
        self.paused
    }

    /// A key succeeded. Returns the targets that were held and are tried again now; others are when their cooldown ends. Disabling
    /// goes on when a key succeeds later than a minute after that: an outage may end little by little.
    pub(crate) fn succeeded(&mut self, now: Tick) -> BTreeSet<Target> {
        self.in_a_row = 0;
        if !self.paused || self.was_released(now, RECOVERY) {
            return BTreeSet::new();
        }
        let held = std::mem::take(&mut self.held);
        if held.is_empty() || self.was_released(now, RELEASE) {
            self.paused = false;
            self.outcomes.clear();
            return BTreeSet::new();
        }
        self.released = Some(now);
        held
    }

    fn was_released(&self, now: Tick, within: Duration) -> bool {
        self.released.is_some_and(|released| now.since(released) < within)
    }

    /// What is not disabled while that is paused.
    pub(crate) fn held(&self) -> Vec<Target> {
        self.held.iter().copied().collect()
    }
}
