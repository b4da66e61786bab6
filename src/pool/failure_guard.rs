//! Detects an outage: if nearly every key is permanently refused, disabling pauses.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use super::{breaker::Target, registry::Slot};
use crate::time::Tick;

/// Failures older than this are ignored.
const SPAN: Duration = Duration::from_secs(30);
/// Minimum number of permanently refused keys. They must also be nine tenths of the failed keys.
const KEYS: usize = 5;
/// Minimum time between two releases. A release tries all held targets again after an outage. Without it, each
/// success in a list of mostly bad keys would look like the end of an outage.
const RELEASE: Duration = Duration::from_secs(600);
/// Maximum time that the end of an outage takes.
const RECOVERY: Duration = Duration::from_secs(60);
/// Maximum number of remembered failures.
const MAX_FAILURES: usize = 1_024;

/// Detects when nearly every key is permanently refused, which is an outage and not a fault of the keys. An example:
///
/// | s | event | |
/// |---|---|---|
/// | 0-4 | five keys are refused for good | disabling is paused, the five are held |
/// | 10 | a sixth key is refused | it is held, too, and cools down |
/// | 40 | a success | all held keys get a trial at once (release) |
/// | 41 | the trial of one fails | it is held, and cools down |
/// | 90 | a success | within a minute of the release: nothing changes |
/// | 110 | a success | disabling resumes; the held key is tried when its cooldown ends |
#[derive(Debug, Default)]
pub(crate) struct FailureGuard {
    /// The failures in the span, with their key and, if permanent, the target that they disable.
    failures: VecDeque<(Tick, Slot, Option<Target>)>,
    /// The number of failures since the last success.
    in_a_row: usize,
    paused: bool,
    /// The targets that are not disabled while disabling is paused.
    pub(crate) held: BTreeSet<Target>,
    /// When held targets were last tried again.
    released: Option<Tick>,
}

impl FailureGuard {
    /// Reports whether disabling is paused.
    pub(crate) fn disabling_paused(&self) -> bool {
        self.paused
    }

    /// Records a failure of a key, and the target that it disables if permanent. Returns whether disabling is paused.
    pub(crate) fn failed(&mut self, slot: Slot, disables: Option<Target>, now: Tick) -> bool {
        let begins = now.minus(SPAN);
        while self.failures.front().is_some_and(|(at, ..)| *at < begins) || self.failures.len() >= MAX_FAILURES {
            self.failures.pop_front();
        }
        self.in_a_row = (self.in_a_row + 1).min(self.failures.len() + 1);
        self.failures.push_back((now, slot, disables));
        let Some(target) = disables else { return self.paused };
        if self.paused {
            self.held.insert(target);
            return true;
        }
        if self.in_a_row < KEYS {
            return false;
        }
        let in_a_row = self.failures.iter().rev().take(self.in_a_row);
        let mut keys: Vec<_> = in_a_row.map(|(_, slot, disables)| (*slot, disables.is_some())).collect();
        keys.sort_unstable();
        keys.dedup();
        let failed = keys.iter().filter(|(_, permanent)| *permanent).count();
        if failed >= KEYS && failed * 10 >= keys.len() * 9 {
            self.paused = true;
            // Targets that failed earlier have had their trial.
            let recently_released = self.was_released(now, RELEASE);
            let row = if recently_released { self.in_a_row } else { usize::MAX };
            self.held = self.failures.iter().rev().take(row).filter_map(|(.., disables)| *disables).collect();
        }
        self.paused
    }

    /// Records a success. Returns the held targets, which are tried again now; targets held later are tried when their
    /// cooldown ends. Disabling resumes with a success more than a minute after that, since an outage may end
    /// gradually.
    pub(crate) fn succeeded(&mut self, now: Tick) -> BTreeSet<Target> {
        self.in_a_row = 0;
        if !self.paused || self.was_released(now, RECOVERY) {
            return BTreeSet::new();
        }
        let held = std::mem::take(&mut self.held);
        if held.is_empty() || self.was_released(now, RELEASE) {
            self.paused = false;
            self.failures.clear();
            return BTreeSet::new();
        }
        self.released = Some(now);
        held
    }

    fn was_released(&self, now: Tick, within: Duration) -> bool {
        self.released.is_some_and(|released| now.since(released) < within)
    }
}
