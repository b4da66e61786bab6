//! Writes the pool's changes to its store, and reads those of other processes.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

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

/// The connection of a pool to its store, in which each request must also be reserved.
pub(crate) struct StoreLink {
    pub(crate) store: Box<dyn Store>,
    /// Whether requests continue with the local limits when the store is unavailable.
    pub(crate) fail_open: bool,
    records: Mutex<Vec<Record>>,
    /// Held while records are written, so that they reach the store in order, and before a shutdown ends.
    writing: tokio::sync::Mutex<()>,
    /// Notified when a record must be written at once.
    urgent: Arc<Notify>,
    /// Whether to load all records from the store, since keys were added or the first load failed.
    reload: AtomicBool,
    /// Whether the store refused a key in the last reservation.
    pub(crate) refused: AtomicBool,
    /// When a call of the store last failed, in milliseconds of the clock; 0 while it is available.
    failed_ms: AtomicU64,
}

impl StoreLink {
    pub(crate) fn new(store: Box<dyn Store>, fail_open: bool) -> Self {
        Self {
            store,
            fail_open,
            records: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            urgent: Arc::default(),
            reload: AtomicBool::default(),
            refused: AtomicBool::default(),
            failed_ms: AtomicU64::default(),
        }
    }

    /// Adds records that will be written.
    pub(crate) fn add(&self, records: Vec<Record>, urgent: bool) {
        if !records.is_empty() {
            self.records.lock().unwrap_or_else(PoisonError::into_inner).extend(records);
            if urgent {
                self.urgent.notify_one();
            }
        }
    }

    /// Reports whether the store may have more room for a project than it knows, since a correction is not yet written.
    pub(crate) fn has_corrections(&self, project: &str) -> bool {
        let is_of = |record: &Record| matches!(record, Record::Used { project: of, .. } if **of == *project);
        self.writing.try_lock().is_err()
            || self.records.lock().unwrap_or_else(PoisonError::into_inner).iter().any(is_of)
    }

    /// Reports whether requests now continue with the local limits, since the store is unavailable.
    pub(crate) fn is_bypassed(&self) -> bool {
        self.fail_open && self.is_unavailable()
    }

    /// Reports whether all requests that count fail now, since the store is unavailable.
    pub(crate) fn refuses_requests(&self) -> bool {
        !self.fail_open && self.is_unavailable()
    }

    /// Reports whether the last calls of the store failed.
    fn is_unavailable(&self) -> bool {
        self.failed_ms.load(Ordering::Relaxed) != 0
    }

    /// Records whether a call of the store failed. Logs when the store becomes unavailable, and when it is back.
    pub(crate) fn record_result(&self, error: Option<&Error>, shared: &Shared) {
        let failed_ms = self.failed_ms.load(Ordering::Relaxed);
        if failed_ms == 0 && error.is_none() {
            return;
        }
        let now_ms = shared.clock.now().millis().max(1);
        // Reads may succeed while writes fail, so the store is back only after a second without a failure.
        if error.is_none() && now_ms < failed_ms + 1_000 {
            return;
        }
        let pool = shared.provider.name();
        let before = self.failed_ms.swap(error.map_or(0, |_| now_ms), Ordering::Relaxed);
        match error {
            _ if (before != 0) == error.is_some() => {}
            Some(error) if self.fail_open => {
                tracing::warn!(pool, %error, "the store is unavailable: local limits apply");
            }
            Some(error) => tracing::error!(pool, %error, "the store is unavailable: requests fail until it is back"),
            None => tracing::info!(pool, "the store is back"),
        }
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

/// Records the state of a breaker in the store, unless it is half open: then the outcome of the trial will be recorded.
pub(crate) fn persist_breaker(state: &mut State, target: Target, now: Now) {
    let name = state.name_of(target);
    let record = match state.breakers.view(target, now.tick) {
        Some(view) if view.state == BreakerState::HalfOpen => return,
        Some(view) => Record::Open {
            target: name,
            until_ms: view.until.map(|until| now.wall_ms + until.since(now.tick).as_millis() as i64),
            class: view.class,
            reason: view.reason.map(Into::into),
        },
        None => Record::Closed { target: name },
    };
    state.effects.urgent |= matches!(record, Record::Open { until_ms: None, .. });
    state.effects.records.push(record);
}

/// Whether to add the store's counts to the pool's own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
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
                match left {
                    Some(_) => state.unpark(target),
                    None => state.reopen(target),
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
    let Some(link) = &shared.link else { return };
    let _turn = link.writing.lock().await;
    let is_due = |record: &mut Record| corrections || !matches!(record, Record::Used { .. });
    let due = {
        let mut waiting = link.records.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extract_if(.., is_due).collect()
    };
    let records = latest(due);
    if records.is_empty() {
        return;
    }
    let kept = link.store.record(records.clone()).await;
    link.record_result(kept.as_ref().err(), shared);
    if kept.is_err() {
        let mut waiting = link.records.lock().unwrap_or_else(PoisonError::into_inner);
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

/// Loads the state of a new pool, and spawns the task that follows the store.
pub(crate) async fn open(shared: &Arc<Shared>) -> Result<(), Error> {
    let Some(link) = &shared.link else { return Ok(()) };
    let revision = match load(shared, &*link.store, Counts::Restored).await {
        Err(error) if link.fail_open => {
            link.record_result(Some(&error), shared);
            link.reload.store(true, Ordering::Relaxed);
            0
        }
        loaded => loaded?,
    };
    tokio::spawn(follow(Arc::downgrade(shared), revision));
    Ok(())
}

/// Loads all records from the store soon, since keys were added.
pub(crate) fn reload(shared: &Shared) {
    if let Some(link) = &shared.link {
        link.reload.store(true, Ordering::Relaxed);
    }
}

/// Loads all records from the store.
async fn load(shared: &Shared, store: &dyn Store, counts: Counts) -> Result<u64, Error> {
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
async fn follow(shared: Weak<Shared>, mut revision: u64) {
    let urgent = shared.upgrade().and_then(|pool| Some(Arc::clone(&pool.link.as_ref()?.urgent)));
    let Some(urgent) = urgent else { return };
    for round in 1_u32.. {
        let is_urgent = tokio::time::timeout(EVERY, urgent.notified()).await.is_ok();
        let Some(pool) = shared.upgrade() else { return };
        let Some(link) = &pool.link else { return };
        flush(&pool, is_urgent || round.is_multiple_of(CORRECTIONS_EVERY)).await;
        let read = if link.reload.swap(false, Ordering::Relaxed) {
            let loaded = load(&pool, &*link.store, Counts::Kept).await;
            link.reload.fetch_or(loaded.is_err(), Ordering::Relaxed);
            loaded
        } else {
            link.store.changes(revision).await.map(|changes| {
                if !changes.records.is_empty() {
                    pool.with(|state, now| apply(state, &changes.records, now));
                }
                changes.revision
            })
        };
        link.record_result(read.as_ref().err(), &pool);
        drop(pool);
        revision = read.unwrap_or(revision);
        if is_urgent {
            tokio::time::sleep(BETWEEN_URGENT).await;
        }
    }
}
