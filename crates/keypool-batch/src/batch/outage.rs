//! When nobody can be asked: no key is ready, or the provider cannot be reached.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};
use tower_keypool::{
    ErrorClass, KeyPool, Unavailable,
    pool::{CircuitBreaker, UnavailableReason as Reason},
};

use crate::time::now;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What a run knows of its waiting.
#[derive(Debug)]
pub(super) struct Outage {
    state: Mutex<State>,
    over: Notify,
}

#[derive(Debug)]
struct State {
    /// The last answer of the provider, or the start.
    last_answer: Instant,
    /// What the run waits for, and until when, where that is known.
    waits_for: Option<(String, Option<Instant>)>,
    /// The provider cannot be reached: the next try is not before this.
    next_try: Option<Instant>,
    /// Somebody tries.
    is_trying: bool,
    failed_tries: u32,
    /// Why the key of each slot is not ready.
    slots: Vec<Option<Unavailability>>,
}

/// Why no key is ready.
#[derive(Clone, Debug, Default)]
pub(super) struct Unavailability {
    reasons: BTreeMap<Reason, usize>,
    retry_after: Option<Duration>,
}

/// What to do without a key.
#[derive(Debug)]
pub(super) enum Advice {
    /// A key may be ready later.
    Wait,
    /// The day's quota of all keys is used up for so long.
    Exhausted(Duration),
    /// All keys are disabled.
    NoKeys,
    /// The task needs more than any key's limit.
    TooLarge,
    /// No key may be used for the model.
    NoModel,
}

impl Unavailability {
    pub(super) fn of(unavailable: &Unavailable) -> Self {
        let reasons = unavailable.reasons().iter().copied().filter(|(reason, _)| *reason != Reason::Affinity);
        Self { reasons: reasons.collect(), retry_after: unavailable.retry_after() }
    }

    fn has(&self, reason: Reason) -> bool {
        self.reasons.contains_key(&reason)
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

    /// Whether a key may be ready any time.
    pub(super) fn may_end_any_time(&self) -> bool {
        self.has(Reason::Busy) || self.has(Reason::Trial)
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

    /// Whether the first key to be ready waits for the end of a day.
    fn is_of_the_day(&self, pool: &KeyPool, after: Duration) -> bool {
        if !self.has(Reason::Cooling) {
            return self.has(Reason::DailyLimit);
        }
        let snapshot = pool.snapshot(0, usize::MAX);
        let cooling: Vec<_> = (snapshot.keys.iter().flat_map(|key| &key.breakers))
            .chain(snapshot.projects.iter().flat_map(|project| &project.breakers))
            .chain(&snapshot.breakers)
            .filter(|breaker| breaker.state == CircuitBreaker::Cooling)
            .collect();
        // A model that a project may not use has a quota of 0.
        let is_daily = |class| matches!(class, Some(ErrorClass::DailyQuota | ErrorClass::NotEntitled));
        let others = cooling.iter().filter(|breaker| !is_daily(breaker.class));
        let any = self.has(Reason::DailyLimit) || cooling.iter().any(|breaker| is_daily(breaker.class));
        any && others.filter_map(|breaker| breaker.seconds_left).all(|left| left > after.as_secs())
    }
}

impl Outage {
    pub(super) fn new() -> Self {
        let state = State {
            last_answer: now(),
            waits_for: None,
            next_try: None,
            is_trying: false,
            failed_tries: 0,
            slots: Vec::new(),
        };
        Self { state: Mutex::new(state), over: Notify::new() }
    }

    /// The provider answered.
    pub(super) fn answered(&self) {
        let mut state = self.lock();
        state.last_answer = now();
        state.waits_for = None;
        drop(state);
        self.reached();
    }

    /// The provider answered, if only about a key.
    pub(super) fn reached(&self) {
        let mut state = self.lock();
        if state.next_try.take().is_some() {
            (state.failed_tries, state.is_trying) = (0, false);
            drop(state);
            self.over.notify_waiters();
        }
    }

    /// Waits while the provider cannot be reached, for as long as `patience`; whether that is over. Of all who wait, one at a time
    /// goes on to try.
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

    /// The provider, or the store, could not be reached.
    pub(super) fn unreachable(&self, what: &str, cause: &str) {
        let mut state = self.lock();
        // Of requests that fail together the first counts.
        if state.next_try.is_some() && !std::mem::take(&mut state.is_trying) {
            return;
        }
        state.failed_tries = state.failed_tries.saturating_add(1);
        let pause = pause(state.failed_tries);
        state.next_try = Some(now() + pause);
        state.waits_for = Some((format!("waiting for {what}: {cause}; next try"), state.next_try));
    }

    /// Waits until keys may be ready, or something changed.
    pub(super) async fn wait_for_change(&self, pause: Duration) {
        tokio::select! {
            () = self.over.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }

    /// Something changed in the pool: whoever waits for a change looks again.
    pub(super) fn notify_change(&self) {
        self.over.notify_waiters();
    }

    /// No key is ready, in all or for a slot; returns why no slot has one, if none has.
    pub(super) fn no_key(&self, slot: Option<usize>, why: Unavailability, message: &str) -> Option<Unavailability> {
        let mut state = self.lock();
        let until = why.retry_after.and_then(|after| now().checked_add(after));
        state.waits_for = Some(match message.split_once("; try again in ") {
            Some((what, _)) => (format!("{what}; try again"), until),
            None => (message.to_owned(), None),
        });
        let Some(slot) = slot else { return Some(why) };
        if let Some(held) = state.slots.get_mut(slot) {
            *held = Some(why);
        }
        let mut slots = state.slots.iter();
        slots.try_fold(Unavailability::default(), |all, slot| Some(all.merge(slot.as_ref()?)))
    }

    /// A slot begins; returns its number.
    pub(super) fn add_slot(&self) -> usize {
        let mut state = self.lock();
        state.slots.push(None);
        state.slots.len() - 1
    }

    /// A slot tries its key.
    pub(super) fn slot_tries(&self, slot: usize) {
        if let Some(held) = self.lock().slots.get_mut(slot) {
            *held = None;
        }
    }

    /// For how long there was no answer.
    pub(super) fn since_last_answer(&self) -> Duration {
        now().saturating_duration_since(self.lock().last_answer)
    }

    /// What the run waits for, and how long from now on.
    pub(super) fn waits_for(&self) -> Option<String> {
        let (what, until) = self.lock().waits_for.clone()?;
        let left = |until: Instant| until.saturating_duration_since(now()).as_secs().max(1);
        Some(until.map_or(what.clone(), |until| format!("{what} in {} s", left(until))))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long nobody tries after so many failures, with up to a quarter more.
fn pause(failures: u32) -> Duration {
    let pause = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(LONGEST_PAUSE);
    pause.mul_f64(1.0 + fastrand::f64() / 4.0)
}
