//! Applies the outcomes of requests to the state.

use std::sync::Arc;

use super::{
    attempts::Attempts,
    breaker::{BreakerState, Phase, Target, Times},
    events::Event,
    model::ModelIx,
    registry::ProjectIx,
    select::Grant,
    state::{Now, State},
};
use crate::{
    classify::{ErrorClass, Failure, Outcome, Scope, Usage},
    key::KeyId,
    limit::Amounts,
    store::Record,
    time::Tick,
};

/// Applies the outcome of a request. A lease may report several: a successful head, then an error within the stream.
pub(crate) fn apply(state: &mut State, grant: &Grant, outcome: &Outcome, now: Now) {
    match outcome {
        Outcome::Success => succeed(state, grant, now),
        Outcome::Failure(failure) => fail(state, grant, failure, now),
    }
    super::queue::serve(state, now);
}

/// Ends a lease: counts are corrected, trials without an outcome end, and the key may be used again.
pub(crate) fn end(state: &mut State, grant: &Grant, usage: Option<Usage>, sent: bool, now: Now) {
    state.stats.in_flight -= 1;
    state.effects.idle |= state.shut_down && state.stats.in_flight == 0;
    state.stats.sent += u64::from(sent);
    settle(state, grant, usage, sent);
    if let Some(usage) = usage {
        if sent && grant.estimated_tokens > 0 {
            state.models.learn_tokens(grant.model, grant.estimated_tokens, usage.input_tokens);
        }
        state.stats.input_tokens += usage.input_tokens;
        state.stats.output_tokens += usage.output_tokens;
    }
    for trial in &grant.trials {
        state.breakers.end_trial(*trial, grant.started);
        state.unpark(*trial);
    }
    if grant.probe {
        state.quotas.end_probe(grant.project, grant.model);
    }
    free_key(state, grant, sent);
    super::queue::serve(state, now);
}

/// Replaces what was reserved by what was used, in the pool's windows and in the store. Nothing is used by a request that
/// was not sent. If the usage is unknown, the reservation stays.
fn settle(state: &mut State, grant: &Grant, usage: Option<Usage>, sent: bool) {
    let Some(reservation) = &grant.reservation else { return };
    let reserved = reservation.cost().amounts;
    let used = match usage {
        _ if !sent => Amounts::default(),
        Some(Usage { input_tokens, output_tokens, .. }) => Amounts { input_tokens, output_tokens, ..reserved },
        None => return,
    };
    let project = state.registry.current(grant.project);
    let copied = state.models.copied(grant.model, grant.model_name.as_deref());
    for model in [Some(grant.model), copied].into_iter().flatten() {
        let Some(quota) = state.quotas.find(project, model) else { continue };
        let (freed, exceeded) = if sent {
            quota.correct(reservation, &used)
        } else {
            quota.cancel(reservation);
            (true, false)
        };
        state.effects.urgent |= exceeded;
        if freed {
            state.reopen_windows(project, model);
        }
    }
    if let Some(at) = grant.stored.filter(|_| used != reserved) {
        let (key, project) = (grant.key.id.clone(), Arc::clone(&grant.project_name));
        let model = super::reserve::model_in_store(state, grant);
        state.effects.records.push(Record::Used { key, project, model, at, reserved, used });
    }
}

/// Makes the key of an ended lease ready for other requests.
fn free_key(state: &mut State, grant: &Grant, sent: bool) {
    state.uses += 1;
    let (uses, strategy) = (state.uses, state.settings.strategy);
    let Some(entry) = current(state, grant) else { return };
    entry.load.in_flight -= 1;
    entry.load.ended(strategy, uses);
    if !sent {
        entry.counts.started = entry.counts.started.saturating_sub(1);
        if entry.last_start == grant.started {
            entry.last_start = grant.started_before;
        }
    }
    // The key's interval opens at once.
    let interval_opens = !sent && entry.data.min_interval().is_some();
    if interval_opens {
        state.make_ready_everywhere(grant.slot);
    }
    state.unpark(Target::Key(grant.slot));
    state.rerank(grant.slot);
}

fn succeed(state: &mut State, grant: &Grant, now: Now) {
    state.stats.succeeded += 1;
    if let Some(entry) = current(state, grant) {
        entry.counts.succeeded = entry.counts.succeeded.saturating_add(1);
        entry.load.answered(now.tick.since(grant.started), true);
    }
    let model = match &grant.model_name {
        Some(name) if state.models.is_shared(grant.model) => state.models.confirm(name),
        Some(_) => grant.model,
        None => ModelIx::DEFAULT,
    };
    if grant.over_assumed
        && let Some(quota) = state.quotas.find(state.registry.current(grant.project), grant.model)
    {
        quota.exceeded_assumed();
    }
    if !state.breakers.is_empty() && current(state, grant).is_some() {
        for target in state.covering(grant.slot, model) {
            if state.breakers.succeed(target, grant.started) {
                state.reopen(target);
                publish_closed(state, target, now);
            }
        }
    }
    for target in state.failure_guard.succeeded(now.tick) {
        try_again(state, target, now);
    }
}

/// Gives a disabled or cooling target a trial.
fn try_again(state: &mut State, target: Target, now: Now) {
    if state.breakers.half_open(target, now.tick) {
        // After a restart it must not be disabled without a trial.
        let name = state.name_of(target);
        state.effects.records.push(Record::Closed { target: name });
        state.reopen(target);
    }
}

fn fail(state: &mut State, grant: &Grant, failure: &Failure, now: Now) {
    if !count_failure(state, grant, failure, now) {
        return;
    }
    if let Some(name) = failure.project() {
        super::learning::learn_project(state, grant.slot, name);
    }
    let Some(project) = state.registry.get(grant.slot).map(|entry| entry.project) else { return };
    let model = grant.model_name.as_deref().map_or(ModelIx::DEFAULT, |name| state.models.remember(name));
    if is_of_another_model(state, grant, failure, model) {
        return;
    }
    super::learning::learn_limits(state, project, grant, failure, now);
    let Some(target) = target_of(state, grant, failure, project, model) else { return };
    let may_disable = matches!(failure.class, ErrorClass::KeyRejected | ErrorClass::Unclear);
    let paused = pause_disabling(state, grant, may_disable.then_some(target), now) && may_disable;
    let times = Times { now: now.tick, started: grant.started, midnight: midnight(state, grant, project, now), paused };
    let Some(phase) = state.breakers.fail(target, failure, times) else { return };
    publish_opened(state, target, phase, failure, &grant.key.id, now);
    match phase {
        Phase::Disabled => state.reopen(target),
        // Keys that waited for the trial's outcome now wait for the cooldown.
        _ => state.unpark(target),
    }
}

/// Counts a failure. Returns whether it applies to the key, as it is now.
fn count_failure(state: &mut State, grant: &Grant, failure: &Failure, now: Now) -> bool {
    state.stats.failed += 1;
    *state.stats.by_class.entry(failure.class).or_default() += 1;
    if matches!(failure.class, ErrorClass::Caller | ErrorClass::ModelNotFound) {
        return false;
    }
    let Some(entry) = current(state, grant) else { return false };
    entry.counts.failed = entry.counts.failed.saturating_add(1);
    entry.load.answered(now.tick.since(grant.started), false);
    // A failure of the key's earlier secret does not apply to the new one.
    entry.data.secret == grant.key.secret
}

/// Reports whether a failure must not affect this model.
fn is_of_another_model(state: &State, grant: &Grant, failure: &Failure, model: ModelIx) -> bool {
    // If too many names are known, this one shares a model with others, which its error must not affect.
    let shares_model = grant.model_name.is_some() && state.models.is_shared(model);
    // The quota of uncounted requests, such as counting tokens or creating a batch, is not the model's.
    let is_uncounted = grant.model == ModelIx::UNCOUNTED;
    shares_model && matches!(failure.scope, Scope::Model | Scope::KeyModel | Scope::ProjectModel)
        || is_uncounted && matches!(failure.class, ErrorClass::RateLimit | ErrorClass::DailyQuota)
}

/// Tells the failure guard about a failure, and of its target if it may disable that. Returns whether disabling is paused.
fn pause_disabling(state: &mut State, grant: &Grant, disables: Option<Target>, now: Now) -> bool {
    let was_paused = state.failure_guard.disabling_paused();
    let paused = state.failure_guard.failed(grant.slot, disables, now.tick);
    if paused && !was_paused {
        let id = grant.key.id.clone();
        state.effects.events.push(Event::DisablingPaused { key: id });
        // Keys that were disabled just before disabling was paused get a trial, too.
        for held in state.failure_guard.held.clone() {
            if Some(held) != disables {
                try_again(state, held, now);
            }
        }
    }
    paused
}

/// Returns when the daily limits of a request's project have room again: those of the day on which it started. During the
/// guard after midnight that is the end of the guard.
fn midnight(state: &mut State, grant: &Grant, project: ProjectIx, now: Now) -> Tick {
    let today = match &grant.reservation {
        Some(reservation) => reservation.today(),
        None => state.quotas.today(state.registry.project(project).zone, now),
    };
    if today.in_guard { today.guard_ends } else { today.ends }
}

/// Returns the target of a failure, if it has one.
fn target_of(state: &State, grant: &Grant, failure: &Failure, project: ProjectIx, model: ModelIx) -> Option<Target> {
    Some(match failure.scope {
        Scope::Request => return None,
        Scope::Key => Target::Key(grant.slot),
        Scope::KeyModel => Target::KeyModel(grant.slot, model),
        Scope::Project => Target::Project(project),
        Scope::ProjectModel => Target::ProjectModel(project, model),
        Scope::Model => Target::Model(model),
        Scope::BillingAccount => match state.registry.project(project).account {
            Some(account) => Target::Account(account),
            None => Target::Project(project),
        },
        // If all keys share one exit, there is no alternative.
        Scope::Exit => match state.registry.get(grant.slot).and_then(|entry| entry.exit) {
            Some(exit) if state.registry.has_exits() => Target::Exit(exit),
            _ => return None,
        },
    })
}

/// Maximum number of keys that [`others_may_serve`] checks.
const MAX_CHECKED: usize = 256;

/// Reports whether a key that was not tried, by its id and project, may serve the model, now or after a cooldown. Keys
/// that are disabled or not entitled to the model may not. If there are more keys than it checks, one may.
pub(crate) fn others_may_serve(
    state: &State,
    model: Option<&str>,
    was_tried: impl Fn(&KeyId, &str) -> bool,
    now: Now,
) -> bool {
    let named = state.models.find(model);
    let is_out = |target| {
        let view = state.breakers.view(target, now.tick);
        view.is_some_and(|view| view.state == BreakerState::Disabled || view.class == Some(ErrorClass::NotEntitled))
    };
    state.registry.iter().enumerate().any(|(checked, (slot, entry))| {
        checked == MAX_CHECKED
            || !was_tried(&entry.data.id, &state.registry.project(entry.project).name)
                && entry.data.allows(model)
                && !state.covering(slot, named).any(is_out)
    })
}

/// Undoes the refusals of these requests, which were the caller's fault.
pub(crate) fn forgive(state: &mut State, attempts: &Attempts, now: Now) {
    for attempt in attempts.iter() {
        let Some(slot) = state.registry.find(attempt.key()) else { continue };
        let project = state.registry.get(slot).map(|entry| entry.project).expect("it was just found");
        let model = state.models.find(attempt.model());
        for target in [
            Target::Key(slot),
            Target::KeyModel(slot, model),
            Target::Project(project),
            Target::ProjectModel(project, model),
        ] {
            if state.breakers.forgive(target) {
                publish_closed(state, target, now);
                state.reopen(target);
            }
        }
    }
    super::queue::serve(state, now);
}

fn current<'a>(state: &'a mut State, grant: &Grant) -> Option<&'a mut super::registry::Entry> {
    state.registry.get_mut(grant.slot).filter(|entry| entry.generation == grant.generation)
}

/// Publishes an event for a closed breaker, and records it in the store.
pub(crate) fn publish_closed(state: &mut State, target: Target, now: Now) {
    super::persist::persist_breaker(state, target, now);
    let target = state.name_of(target);
    state.effects.events.push(Event::Closed { target });
}

/// Publishes an event for a breaker that a failure opened, and records it in the store.
fn publish_opened(state: &mut State, target: Target, phase: Phase, failure: &Failure, key: &KeyId, now: Now) {
    super::persist::persist_breaker(state, target, now);
    let target = state.name_of(target);
    let (class, key, message) = (failure.class, key.clone(), failure.message.clone());
    state.effects.events.push(match phase {
        Phase::Cooling { until, .. } => {
            let left = until.since(now.tick);
            Event::Cooling { target, key, class, left, message }
        }
        _ => Event::Disabled { target, key, class: Some(class), message },
    });
}
