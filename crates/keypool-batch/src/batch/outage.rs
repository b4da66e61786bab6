//! Waiting while no key is ready or the provider cannot be reached.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};
use tower_keypool::{ErrorClass, KeyPool, Unavailable, pool::UnavailableReason as Reason, provider::whole_seconds};

use crate::{
    client::cooling,
    time::{now, time_left},
};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// The state of a run that waits for keys or for the provider.
#[derive(Debug)]
pub(super) struct Outage {
    state: Mutex<State>,
    over: Notify,
}

#[derive(Debug)]
struct State {
    /// Time of the provider's last response, or of the start.
    last_answer: Instant,
    /// Latest start of a request that was answered.
    last_answered: Option<Instant>,
    /// A description of the wait, with its end if that is known.
    waits_for: Option<(String, Option<Instant>)>,
    /// Time of the next try while the provider cannot be reached.
    next_try: Option<Instant>,
    /// Whether a worker is trying to reach the provider.
    is_trying: bool,
    failed_tries: u32,
    /// The reason why the key of each slot is not ready.
    slots: Vec<Option<Unavailability>>,
}

/// The reasons why no key is ready.
#[derive(Clone, Debug, Default)]
pub(super) struct Unavailability {
    reasons: BTreeMap<Reason, usize>,
    pub(super) retry_after: Option<Duration>,
}

/// The action to take without a key.
#[derive(Debug)]
pub(super) enum Advice {
    /// A key may be ready later.
    Wait,
    /// The daily quota or the credit of all keys is used up. The first key is tried again after this time.
    Exhausted(Duration),
    /// All keys are disabled.
    NoKeys,
    /// The task exceeds the limits of every key.
    TooLarge,
    /// No key may be used for the model.
    NoModel,
}

impl Unavailability {
    pub(super) fn of(unavailable: &Unavailable) -> Self {
        let reasons = unavailable.reasons().iter().copied().filter(|(reason, _)| *reason != Reason::Affinity);
        Self { reasons: reasons.collect(), retry_after: unavailable.retry_after() }
    }

    pub(super) fn has(&self, reason: Reason) -> bool {
        self.reasons.contains_key(&reason)
    }

    /// Formats the reasons, most keys first, with this number of workers for each key.
    pub(super) fn text(&self, model: &str, workers_per_key: usize) -> String {
        let mut reasons: Vec<_> = self.reasons.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let keys = reasons.iter().map(|(reason, count)| format!("{} {reason}", count.div_ceil(workers_per_key)));
        format!("no key is available for {model}: {}", keys.collect::<Vec<_>>().join(", "))
    }

    fn merge(mut self, other: &Self) -> Self {
        for (reason, count) in &other.reasons {
            *self.reasons.entry(*reason).or_default() += count;
        }
        self.retry_after = match (self.retry_after, other.retry_after) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self
    }

    pub(super) fn advice(&self, pool: &KeyPool) -> Advice {
        let soon = [Reason::Limit, Reason::Trial, Reason::Busy, Reason::Store];
        if soon.iter().any(|reason| self.has(*reason)) {
            return Advice::Wait;
        }
        if let Some(after) = self.retry_after {
            return if self.is_of_the_day(pool, after) { Advice::Exhausted(after) } else { Advice::Wait };
        }
        match () {
            () if self.has(Reason::Cooling) || self.has(Reason::DailyLimit) || self.has(Reason::Tried) => Advice::Wait,
            () if self.has(Reason::TooLarge) => Advice::TooLarge,
            () if self.has(Reason::Model) => Advice::NoModel,
            () => Advice::NoKeys,
        }
    }

    /// Reports whether the key that is ready first waits for a daily quota.
    fn is_of_the_day(&self, pool: &KeyPool, after: Duration) -> bool {
        if !self.has(Reason::Cooling) {
            return self.has(Reason::DailyLimit);
        }
        let cooling = cooling(pool, usize::MAX);
        // A model that a project may not use has a daily quota of 0. Credit is tried again each hour.
        let is_daily =
            |class| matches!(class, Some(ErrorClass::DailyQuota | ErrorClass::NotEntitled | ErrorClass::Billing));
        let others = cooling.iter().filter(|breaker| !is_daily(breaker.class));
        let any = self.has(Reason::DailyLimit) || cooling.iter().any(|breaker| is_daily(breaker.class));
        any && others.filter_map(|breaker| breaker.seconds_left).all(|left| left > whole_seconds(after))
    }
}

impl Outage {
    pub(super) fn new() -> Self {
        let state = State {
            last_answer: now(),
            last_answered: None,
            waits_for: None,
            next_try: None,
            is_trying: false,
            failed_tries: 0,
            slots: Vec::new(),
        };
        Self { state: Mutex::new(state), over: Notify::new() }
    }

    /// Records a response of the provider to a request that was started at this time.
    pub(super) fn answered(&self, started: Instant) {
        let mut state = self.lock();
        state.last_answer = now();
        state.last_answered = state.last_answered.max(Some(started));
        state.waits_for = None;
        drop(state);
        self.reached();
    }

    /// Records that the provider was reached, even if it refused a key.
    pub(super) fn reached(&self) {
        let mut state = self.lock();
        if state.next_try.take().is_some() {
            (state.failed_tries, state.is_trying) = (0, false);
            drop(state);
            self.over.notify_waiters();
        }
    }

    /// Waits while the provider cannot be reached, up to `patience`. Returns whether that time has expired. Only one
    /// waiting worker at a time is let through, to try.
    pub(super) async fn wait_until_reachable(&self, patience: Duration) -> bool {
        let given_up = now().checked_add(patience);
        loop {
            let mut over = std::pin::pin!(self.over.notified());
            over.as_mut().enable();
            let until = {
                let mut state = self.lock();
                let Some(next) = state.next_try else { return false };
                if next <= now() {
                    state.is_trying = true;
                    state.next_try = Some(now() + pause(state.failed_tries));
                    return false;
                }
                next
            };
            if given_up.is_some_and(|given_up| given_up <= now()) {
                return true;
            }
            tokio::select! {
                () = &mut over => {}
                () = tokio::time::sleep_until(given_up.map_or(until, |given_up| given_up.min(until))) => {}
            }
        }
    }

    /// Records that the provider or the store could not be reached. Returns the pause before the next try, and whether
    /// this was the one request that tested if the outage is over.
    pub(super) fn unreachable(&self, what: &str, cause: &str) -> (Duration, bool) {
        let mut state = self.lock();
        let was_test = state.next_try.is_some() && std::mem::take(&mut state.is_trying);
        // Requests that fail at the same time are counted once.
        if state.next_try.is_some() && !was_test {
            return (pause(state.failed_tries), false);
        }
        state.failed_tries = state.failed_tries.saturating_add(1);
        let pause = pause(state.failed_tries);
        state.next_try = Some(now() + pause);
        state.waits_for = Some((format!("waiting for {what}: {cause}; next try"), state.next_try));
        (pause, was_test)
    }

    /// Waits for a change in the pool, or for this time.
    pub(super) async fn wait_for_change(&self, pause: Duration) {
        tokio::select! {
            () = self.over.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// Wakes the workers that wait for a change in the pool.
    pub(super) fn notify_change(&self) {
        self.over.notify_waiters();
    }

    /// Records that no key is ready, with this text.
    pub(super) fn no_key(&self, text: &str, why: &Unavailability) {
        let until = why.retry_after.and_then(|after| now().checked_add(after));
        let what = if until.is_some() { format!("{text}; try again") } else { text.to_owned() };
        self.lock().waits_for = Some((what, until));
    }

    /// Records that the key of a slot is not ready. Returns the merged reasons of all slots, and whether no slot has a
    /// ready key.
    pub(super) fn slot_without_key(&self, slot: usize, why: Unavailability) -> (Unavailability, bool) {
        let mut state = self.lock();
        if let Some(held) = state.slots.get_mut(slot) {
            *held = Some(why);
        }
        let merged = state.slots.iter().flatten().fold(Unavailability::default(), Unavailability::merge);
        (merged, state.slots.iter().all(Option::is_some))
    }

    /// Adds a slot and returns its number.
    pub(super) fn add_slot(&self) -> usize {
        let mut state = self.lock();
        state.slots.push(None);
        state.slots.len() - 1
    }

    /// Records that a slot tries its key.
    pub(super) fn slot_tries(&self, slot: usize) {
        if let Some(held) = self.lock().slots.get_mut(slot) {
            *held = None;
        }
    }

    /// Reports whether a request that was started after this time was answered.
    pub(super) fn has_answered(&self, after: Instant) -> bool {
        self.lock().last_answered > Some(after)
    }

    /// Returns the time since the last response.
    pub(super) fn since_last_answer(&self) -> Duration {
        now().saturating_duration_since(self.lock().last_answer)
    }

    /// Describes what the run waits for, and for how long.
    pub(super) fn waits_for(&self) -> Option<String> {
        let (what, until) = self.lock().waits_for.clone()?;
        let left = |until: Instant| until.saturating_duration_since(now()).as_secs().max(1);
        Some(until.map_or(what.clone(), |until| format!("{what} in {}", time_left(left(until)))))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the pause after this number of failures, plus up to a quarter of it at random.
fn pause(failures: u32) -> Duration {
    let pause = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(MAX_PAUSE);
    pause.mul_f64(1.0 + fastrand::f64() / 4.0)
}
