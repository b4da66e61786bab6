//! Writes the pool's changes to its store, and reads those of other processes.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, Weak, atomic::Ordering},
    time::Duration,
};

use super::{
    breaker::{BreakerState, Gate, Target},
    handle::Shared,
    model::{ModelIx, Models},
    state::{Now, State},
};
use crate::{
    Error,
    store::{BreakerTarget, Changes, Record, Store},
};

/// Interval at which changes are written and those of other processes are read.
const EVERY: Duration = Duration::from_millis(250);

/// Minimum time between two urgent writes: many responses may use more than they reserved.
const BETWEEN_URGENT: Duration = Duration::from_millis(50);

/// Number of intervals after which corrections of reservations are written. All corrections of one project and model
/// cost the store as much as one.
const CORRECTIONS_EVERY: u32 = 4;

/// Maximum number of records that wait for an unavailable store; beyond it corrections are dropped.
const MAX_RECORDS: usize = 100_000;

/// Returns a target by names that are valid in every process.
pub(crate) fn target_name(state: &State, target: Target) -> BreakerTarget {
    let key = |slot| state.registry.get(slot).map_or_else(|| "?".into(), |entry| entry.data.id.clone());
    let project = |at| Arc::clone(&state.registry.project(at).name);
    let model = |model| Arc::clone(state.models.name(model));
    match target {
        Target::Key(slot) => BreakerTarget::Key(key(slot)),
        Target::KeyModel(slot, at) => BreakerTarget::KeyModel(key(slot), model(at)),
        Target::Project(at) => BreakerTarget::Project(project(at)),
        Target::ProjectModel(at, name) => BreakerTarget::ProjectModel(project(at), model(name)),
        Target::Model(at) => BreakerTarget::Model(model(at)),
        Target::Account(group) => BreakerTarget::BillingAccount(Arc::clone(state.registry.group_name(group))),
        Target::Exit(group) => BreakerTarget::Exit(Arc::clone(state.registry.group_name(group))),
    }
}

/// Returns the target of a name; `None` if this pool has no such key, project, account or exit, or no room for the model.
fn target(state: &mut State, name: &BreakerTarget) -> Option<Target> {
    let remember = |models: &mut Models, name: &str| {
        let model = models.remember(name);
        (**models.name(model) == *name).then_some(model)
    };
    Some(match name {
        BreakerTarget::Key(key) => Target::Key(state.registry.find(key)?),
        BreakerTarget::KeyModel(key, model) => {
            Target::KeyModel(state.registry.find(key)?, remember(&mut state.models, model)?)
        }
        BreakerTarget::Project(project) => Target::Project(state.registry.find_project(project)?),
        BreakerTarget::ProjectModel(project, model) => {
            Target::ProjectModel(state.registry.find_project(project)?, remember(&mut state.models, model)?)
        }
        BreakerTarget::Model(model) => Target::Model(remember(&mut state.models, model)?),
        BreakerTarget::BillingAccount(account) => Target::Account(state.registry.find_group(account)?),
        BreakerTarget::Exit(exit) => Target::Exit(state.registry.find_group(exit)?),
    })
}

/// Returns the record of a breaker's current state; `None` while it is half open.
pub(crate) fn breaker_record(state: &State, target: Target, now: Now) -> Option<Record> {
    let target_name = target_name(state, target);
    match state.breakers.view(target, now.tick) {
        // The outcome of the trial will be recorded.
        Some(view) if view.state == BreakerState::HalfOpen => None,
        Some(view) => Some(Record::Open {
            target: target_name,
            until_ms: view.until.map(|until| now.wall_ms + until.since(now.tick).as_millis() as i64),
            class: view.class,
            reason: view.reason.map(Into::into),
        }),
        None => Some(Record::Closed { target: target_name }),
    }
}

/// Whether to add the store's counts to the pool's own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    /// The pool is new: add them.
    Restored,
    /// The pool has counts already: do not add them.
    Kept,
}

/// Adds the store's counts from before the pool was built.
fn add_counts(state: &mut State, changes: &Changes, now: Now) {
    for record in &changes.records {
        let (Record::Starts { project, model, .. } | Record::Day { project, model, .. }) = record else { continue };
        let Some(at) = state.registry.find_project(project) else { continue };
        let model =
            if model == state.models.name(ModelIx::DEFAULT) { ModelIx::DEFAULT } else { state.models.confirm(model) };
        let quota = state.quota(at, model);
        match record {
            Record::Starts { span, starts, .. } => {
                for (at_ms, amounts) in starts {
                    let age = Duration::from_millis(u64::try_from(changes.now_ms - at_ms).unwrap_or(0));
                    quota.count_start(*span, now.tick.minus(age), amounts);
                }
            }
            Record::Day { date, used, .. } => quota.count_day(*date, used),
            _ => {}
        }
    }
}

/// Applies records of the store or of other processes.
fn apply(state: &mut State, records: &[Record], now: Now) {
    for record in records {
        match record {
            Record::Open { target: name, until_ms, class, reason } => {
                let Some(target) = target(state, name) else { continue };
                let left = until_ms.map(|until| until - now.wall_ms);
                if left.is_none_or(|left| left > 0) {
                    let until = left.map(|left| now.tick.plus(Duration::from_millis(left as u64)));
                    state.breakers.restore(target, *class, until, reason.as_deref().unwrap_or_default(), now.tick);
                } else if state.breakers.gate(target, now.tick) == Gate::Disabled {
                    // Another process replaced the disabling by a cooldown, which has ended.
                    state.breakers.half_open(target, now.tick);
                }
                if left.is_some() {
                    state.unpark(target);
                }
            }
            Record::Closed { target: name } => {
                let Some(target) = target(state, name) else { continue };
                if state.breakers.remove(target) {
                    state.reopen(target);
                }
            }
            Record::Limit { project, model, limit, learned_ms } => {
                let Some(at) = state.registry.find_project(project) else { continue };
                let model = state.models.confirm(model);
                let age = Duration::from_millis(u64::try_from(now.wall_ms - *learned_ms).unwrap_or(0));
                if !state.models.is_shared(model) {
                    state.quota(at, model).learn(limit.unit, limit.span, limit.amount, now.tick.minus(age));
                }
            }
            Record::Project { key, project } => {
                let from =
                    state.registry.find(key).and_then(|slot| state.registry.get(slot)).map(|entry| entry.project);
                let into = state.registry.find_project(project);
                // A project that the user named is kept.
                if let (Some(from), Some(into)) = (from, into)
                    && !state.registry.project(from).named
                {
                    super::learning::merge(state, from, into, None);
                }
            }
            Record::Used { .. } | Record::Starts { .. } | Record::Day { .. } => {}
        }
    }
    super::queue::serve(state, now);
}

/// Keeps only the last record of each breaker.
fn latest(mut records: Vec<Record>) -> Vec<Record> {
    let mut seen = HashSet::new();
    records.reverse();
    records.retain(|record| match record {
        Record::Open { target, .. } | Record::Closed { target } => seen.insert(target.clone()),
        _ => true,
    });
    records.reverse();
    records
}

/// Writes the waiting records, with `corrections` including corrections of reservations.
pub(crate) async fn flush(shared: &Shared, corrections: bool) {
    let Some(store) = &shared.store else { return };
    let is_due = |record: &mut Record| corrections || !matches!(record, Record::Used { .. });
    let due = {
        let mut waiting = shared.records.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extract_if(.., is_due).collect()
    };
    let records = latest(due);
    if records.is_empty() {
        return;
    }
    let kept = store.record(records.clone()).await;
    shared.record_store_result(kept.as_ref().err());
    if kept.is_err() {
        let mut waiting = shared.records.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.splice(0..0, records);
        // Without its correction, a reservation counts with the reserved amounts.
        let mut over = waiting.len().saturating_sub(MAX_RECORDS);
        waiting.retain(|record| {
            let dropped = over > 0 && matches!(record, Record::Used { .. });
            over -= usize::from(dropped);
            !dropped
        });
    }
}

/// Loads all records from the store.
pub(crate) async fn load(shared: &Shared, store: &dyn Store, counts: Counts) -> Result<u64, Error> {
    let changes = store.load().await?;
    shared.with(|state, now| {
        // Learned limits first, since that creates their windows.
        apply(state, &changes.records, now);
        if counts == Counts::Restored {
            add_counts(state, &changes, now);
        }
    });
    Ok(changes.revision)
}

/// Writes and reads changes until the pool is dropped.
pub(crate) async fn follow(shared: Weak<Shared>, mut revision: u64) {
    let Some(urgent) = shared.upgrade().map(|pool| Arc::clone(&pool.urgent)) else { return };
    for round in 1_u32.. {
        let is_urgent = tokio::time::timeout(EVERY, urgent.notified()).await.is_ok();
        let Some(pool) = shared.upgrade() else { return };
        let Some(store) = pool.store.as_deref() else { return };
        flush(&pool, is_urgent || round.is_multiple_of(CORRECTIONS_EVERY)).await;
        let read = if pool.reload.swap(false, Ordering::Relaxed) {
            let loaded = load(&pool, store, Counts::Kept).await;
            pool.reload.fetch_or(loaded.is_err(), Ordering::Relaxed);
            loaded
        } else {
            store.changes(revision).await.map(|changes| {
                if !changes.records.is_empty() {
                    pool.with(|state, now| apply(state, &changes.records, now));
                }
                changes.revision
            })
        };
        pool.record_store_result(read.as_ref().err());
        drop(pool);
        revision = read.unwrap_or(revision);
        if is_urgent {
            tokio::time::sleep(BETWEEN_URGENT).await;
        }
    }
}
