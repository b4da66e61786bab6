//! Circuit breakers of keys, projects, models, billing accounts and exits.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    model::ModelIx,
    registry::{GroupIx, ProjectIx, Slot},
};
use crate::{
    classify::{Cooldown, End, ErrorClass, Failure, Scope},
    time::Tick,
};

/// The target of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Target {
    Key(Slot),
    KeyModel(Slot, ModelIx),
    Project(ProjectIx),
    ProjectModel(ProjectIx, ModelIx),
    Model(ModelIx),
    Account(GroupIx),
    Exit(GroupIx),
}

impl Target {
    pub(crate) fn scope(self) -> Scope {
        match self {
            Self::Key(_) => Scope::Key,
            Self::KeyModel(..) => Scope::KeyModel,
            Self::Project(_) => Scope::Project,
            Self::ProjectModel(..) => Scope::ProjectModel,
            Self::Model(_) => Scope::Model,
            Self::Account(_) => Scope::BillingAccount,
            Self::Exit(_) => Scope::Exit,
        }
    }
}

/// The state of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BreakerState {
    /// The target is used.
    Closed,
    /// The target is not used until a time.
    Cooling,
    /// After a cooldown of guessed length, or after an outage, one request at a time is sent as a trial. Its outcome
    /// decides.
    HalfOpen,
    /// The target is not used until a person enables it.
    Disabled,
}

display_serialized!(BreakerState);

/// The state of a breaker, with its times.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    Closed,
    Cooling { until: Tick, guessed: bool },
    HalfOpen { trial: bool },
    Disabled,
}

#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    phase: Phase,
    /// When the phase began. Outcomes of requests that started before it can only extend a cooldown.
    since: Tick,
    /// The number of failures of the class in a row.
    failures: u16,
    class: Option<ErrorClass>,
    /// The provider's message, or why a person disabled the target.
    reason: Option<Box<str>>,
}

/// Whether a request may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    Pass,
    /// As the only trial.
    Trial,
    /// Not before this tick.
    Until(Tick),
    /// Not while a trial is under way.
    TrialUnderWay,
    Disabled,
}

/// A view of a breaker that is not closed.
#[derive(Clone, Debug)]
pub(crate) struct OpenBreaker<'a> {
    pub(crate) state: BreakerState,
    pub(crate) until: Option<Tick>,
    pub(crate) class: Option<ErrorClass>,
    pub(crate) reason: Option<&'a str>,
}

/// Number of failures in a row that open the breaker of a model.
const MODEL_FAILURES: u16 = 5;
/// Number of unclear refusals in a row that disable a target.
const STRIKES: u16 = 3;
/// Time after which a key that was called invalid once is tried again.
const CONFIRM: Duration = Duration::from_secs(60);
/// Cooldown of a refused target while disabling is paused; it grows with each failure, up to four times.
const PAUSED_STEP: Duration = Duration::from_secs(30);
/// Maximum length of a cooldown that the provider named.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

#[derive(Debug, Default)]
pub(crate) struct Breakers {
    map: HashMap<Target, Breaker, BuildHasherDefault<TargetHasher>>,
    /// The number of breakers of each scope, so that a scope without any needs no look-up.
    scopes: [usize; Scope::Exit as usize + 1],
}

/// The times from which the end of a cooldown is computed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) now: Tick,
    /// When the failed request started.
    pub(crate) started: Tick,
    /// When the project's daily limits have room again after midnight.
    pub(crate) midnight: Tick,
    /// Whether disabling is paused: a target that would be disabled cools down and gets a trial instead.
    pub(crate) paused: bool,
}

impl Breakers {
    /// Returns whether a request may pass.
    pub(crate) fn gate(&self, target: Target, now: Tick) -> Gate {
        if self.scopes[target.scope() as usize] == 0 {
            return Gate::Pass;
        }
        let Some(breaker) = self.map.get(&target) else { return Gate::Pass };
        match breaker.phase {
            Phase::Cooling { until, .. } if until > now => Gate::Until(until),
            Phase::Closed | Phase::Cooling { guessed: false, .. } => Gate::Pass,
            Phase::Cooling { .. } | Phase::HalfOpen { trial: false } => Gate::Trial,
            Phase::HalfOpen { trial: true } => Gate::TrialUnderWay,
            Phase::Disabled => Gate::Disabled,
        }
    }

    /// Starts a trial.
    pub(crate) fn begin_trial(&mut self, target: Target, now: Tick) {
        if let Some(breaker) = self.map.get_mut(&target) {
            breaker.phase = Phase::HalfOpen { trial: true };
            breaker.since = now;
        }
    }

    /// Ends a trial that had no outcome; `began` is the tick at which it started.
    pub(crate) fn end_trial(&mut self, target: Target, began: Tick) {
        if let Some(breaker) = self.map.get_mut(&target)
            && breaker.since == began
            && let Phase::HalfOpen { trial } = &mut breaker.phase
        {
            *trial = false;
        }
    }

    /// Records a failure of the target. Returns its phase if it is now cooling or disabled because of this failure.
    pub(crate) fn fail(&mut self, target: Target, failure: &Failure, times: Times) -> Option<Phase> {
        let Times { now, started, .. } = times;
        let breaker = self.entry(target, now);
        let fixed = match failure.end {
            End::OfClass => None,
            End::Named(delay) | End::Guessed(delay) => Some(now.plus(delay.min(LONGEST))),
        };
        if matches!(breaker.phase, Phase::Disabled) {
            return None;
        }
        // The request started before this cooldown, so it may only extend it.
        if let Phase::Cooling { until, .. } = &mut breaker.phase
            && started <= breaker.since
        {
            *until = fixed.filter(|end| end > until)?;
            return Some(breaker.phase);
        }
        // The trial itself starts at `since`.
        if matches!(breaker.phase, Phase::HalfOpen { .. }) && started < breaker.since {
            return None;
        }
        // A failure of another class starts a new count.
        let before = if breaker.class == Some(failure.class) { breaker.failures } else { 0 };
        breaker.failures = before.saturating_add(1);
        breaker.class = Some(failure.class);
        breaker.reason = failure.message.clone().or_else(|| failure.code.clone());
        let mut next = next_phase(target, failure, breaker.failures, fixed, times)?;
        // A cooldown that an earlier response extended is not shortened.
        if let (Phase::Cooling { until, .. }, Phase::Cooling { until: held, .. }) = (&mut next, &breaker.phase) {
            *until = (*until).max(*held);
        }
        breaker.set(next, now);
        Some(next)
    }

    /// Records a success of the target. Returns whether its breaker closed.
    pub(crate) fn succeed(&mut self, target: Target, started: Tick) -> bool {
        if self.scopes[target.scope() as usize] == 0 {
            return false;
        }
        let Some(breaker) = self.map.get(&target) else { return false };
        let (was_open, started_before) = match breaker.phase {
            // A closed breaker only counts failures in a row, which any success ends.
            Phase::Closed => (false, false),
            // The trial itself starts at `since`.
            Phase::HalfOpen { .. } => (true, started < breaker.since),
            // A request of the same tick as the failure did not follow it.
            Phase::Cooling { .. } | Phase::Disabled => (true, started <= breaker.since),
        };
        if breaker.is_by_hand() || started_before {
            return false;
        }
        self.remove(target);
        was_open
    }

    /// Disables the target on behalf of a person.
    pub(crate) fn disable(&mut self, target: Target, reason: &str, now: Tick) {
        let breaker = self.entry(target, now);
        breaker.reason = Some(reason.into());
        breaker.class = None;
        breaker.set(Phase::Disabled, now);
    }

    /// Restores a breaker from the store: it cools until a tick, or is disabled if there is none.
    pub(crate) fn restore(
        &mut self,
        target: Target,
        class: Option<ErrorClass>,
        until: Option<Tick>,
        reason: &str,
        now: Tick,
    ) {
        let breaker = self.entry(target, now);
        breaker.class = class;
        breaker.reason = Some(reason.into());
        let phase = until.map_or(Phase::Disabled, |until| Phase::Cooling { until, guessed: false });
        breaker.set(phase, now);
    }

    /// Gives a disabled or cooling target a trial. Returns whether it did.
    pub(crate) fn half_open(&mut self, target: Target, now: Tick) -> bool {
        match self.map.get_mut(&target) {
            Some(breaker)
                if !breaker.is_by_hand() && !matches!(breaker.phase, Phase::Closed | Phase::HalfOpen { .. }) =>
            {
                breaker.set(Phase::HalfOpen { trial: false }, now);
                true
            }
            _ => false,
        }
    }

    /// Removes the breaker of a target, which is then used again. Returns whether there was one.
    pub(crate) fn remove(&mut self, target: Target) -> bool {
        if self.scopes[target.scope() as usize] == 0 {
            return false;
        }
        let removed = self.map.remove(&target).is_some();
        self.scopes[target.scope() as usize] -= usize::from(removed);
        removed
    }

    /// Undoes a refusal without a named cause, since it was the caller's fault. Returns whether there was one.
    pub(crate) fn forgive(&mut self, target: Target) -> bool {
        let undone = |breaker: &Breaker| matches!(breaker.class, Some(ErrorClass::Unclear | ErrorClass::NotEntitled));
        self.map.get(&target).is_some_and(undone) && self.remove(target)
    }

    /// Returns the target if it has a breaker.
    pub(crate) fn knows(&self, target: Target) -> Option<Target> {
        (self.scopes[target.scope() as usize] > 0 && self.map.contains_key(&target)).then_some(target)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Returns a view of a breaker that is not closed.
    pub(crate) fn view(&self, target: Target, now: Tick) -> Option<OpenBreaker<'_>> {
        let breaker = self.map.get(&target)?;
        let (state, until) = match breaker.phase {
            Phase::Cooling { until, .. } if until > now => (BreakerState::Cooling, Some(until)),
            Phase::Closed | Phase::Cooling { guessed: false, .. } => return None,
            Phase::Cooling { .. } | Phase::HalfOpen { .. } => (BreakerState::HalfOpen, None),
            Phase::Disabled => (BreakerState::Disabled, None),
        };
        Some(OpenBreaker { state, until, class: breaker.class, reason: breaker.reason.as_deref() })
    }

    /// Iterates over the targets with a breaker.
    pub(crate) fn targets(&self) -> impl Iterator<Item = Target> {
        self.map.keys().copied()
    }

    fn entry(&mut self, target: Target, now: Tick) -> &mut Breaker {
        let scopes = &mut self.scopes;
        self.map.entry(target).or_insert_with(|| {
            scopes[target.scope() as usize] += 1;
            Breaker::new(now)
        })
    }
}

/// Returns the phase that follows a failure, `None` if the target stays as it is. `failures` counts those in a row, with
/// this one. The first of these rules that applies decides:
/// 1. While disabling is paused, the target cools down for a short time.
/// 2. If the class disables, and the rule has no cooldown instead: at once, at the second failure, or at the third.
/// 3. The breaker of a model stays closed until several failures in a row.
/// 4. `fixed`, the end by the cooldown of the rule or the provider's delay; else the cooldown of the class.
fn next_phase(target: Target, failure: &Failure, failures: u16, fixed: Option<Tick>, times: Times) -> Option<Phase> {
    let guess = |delay: Duration| Some(Phase::Cooling { until: times.now.plus(delay), guessed: true });
    let by_class = failure.policy().cooldown;
    let is_model = matches!(target, Target::Model(_));
    if times.paused {
        return guess(PAUSED_STEP * failures.clamp(1, 4).into());
    }
    // A refusal by message alone has a cooldown of its rule: see `may_disable` of the classifier.
    let guessed = matches!(failure.end, End::Guessed(_));
    if !guessed {
        match by_class {
            Cooldown::Disable if failure.confirm && failures == 1 => return guess(CONFIRM),
            Cooldown::Disable => return Some(Phase::Disabled),
            Cooldown::Strikes(_) if failures >= STRIKES => return Some(Phase::Disabled),
            _ => {}
        }
    }
    if is_model && failures < MODEL_FAILURES && matches!(by_class, Cooldown::Backoff { .. }) {
        return None;
    }
    if let Some(until) = fixed {
        return Some(Phase::Cooling { until, guessed });
    }
    match by_class {
        Cooldown::Backoff { first, cap } => {
            let first_opening = if is_model { MODEL_FAILURES } else { 1 };
            let doublings = u32::from(failures.saturating_sub(first_opening)).min(20);
            guess(first.saturating_mul(1 << doublings).min(cap))
        }
        Cooldown::Midnight => Some(Phase::Cooling { until: times.midnight, guessed: false }),
        Cooldown::Fixed(delay) | Cooldown::Strikes(delay) => guess(delay),
        Cooldown::None | Cooldown::Disable => None,
    }
}

impl Breaker {
    fn new(now: Tick) -> Self {
        Self { phase: Phase::Closed, since: now, failures: 0, class: None, reason: None }
    }

    /// Reports whether a person disabled the target: then no response enables it.
    fn is_by_hand(&self) -> bool {
        matches!(self.phase, Phase::Disabled) && self.class.is_none()
    }

    fn set(&mut self, phase: Phase, now: Tick) {
        self.phase = phase;
        self.since = now;
    }
}

/// A fast hasher for targets, which are small internal numbers: no caller can make them collide.
#[derive(Debug, Default)]
pub(crate) struct TargetHasher(u64);

impl Hasher for TargetHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u32(u32::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0.rotate_left(5) ^ u64::from(number)).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number as u64);
    }
}
