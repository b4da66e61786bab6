//! The state of a pool, behind one mutex. Each part is its own struct, and they share only index types (`Slot`,
//! `ProjectIx`, `ModelIx`, `Target`).

use std::{collections::HashMap, sync::Arc, task::Waker};

use super::{
    breaker::{Breakers, Target},
    events::Event,
    failure_guard::FailureGuard,
    learning::Learned,
    model::{ModelIx, Models, is_name_of},
    queue::WaitQueue,
    quotas::Quotas,
    registry::{Project, ProjectIx, Registry, Slot},
    request::KeyRequest,
    scheduler::Scheduler,
    snapshot::Stats,
    strategy::Strategy,
};
use crate::{
    key::Tier,
    limit::{Limits, Quota},
    store::{BreakerTarget, Record},
    time::Tick,
};

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) registry: Registry,
    pub(crate) models: Models,
    pub(crate) scheduler: Scheduler,
    pub(crate) quotas: Quotas,
    pub(crate) breakers: Breakers,
    pub(crate) queue: WaitQueue,
    pub(crate) learned: Learned,
    pub(crate) failure_guard: FailureGuard,
    pub(crate) stats: Stats,
    pub(crate) settings: Settings,
    /// Number of grants, ends of leases and refusals by the store, by which strategies order them.
    pub(crate) uses: u64,
    /// The pass of the last granted key, for the weighted strategy.
    pub(crate) pass: u64,
    pub(crate) shut_down: bool,
    pub(crate) effects: Effects,
}

/// The settings of the builder.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) strategy: Strategy,
    pub(crate) limits: Vec<(Arc<str>, Limits)>,
    /// The provider's assumed limits of the known models, looked up outside the lock.
    pub(crate) assumed: HashMap<(ModelIx, Tier), Limits>,
    pub(crate) scheme: String,
    pub(crate) provider: Arc<str>,
}

/// Work to do after the lock is released: wakers, events with their log lines, and records for the store.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) wakers: Vec<Waker>,
    pub(crate) events: Vec<Event>,
    pub(crate) records: Vec<Record>,
    /// Whether a record must be written at once: without it, another process may exceed a limit or use a disabled key.
    pub(crate) urgent: bool,
    /// Whether the last lease of a pool that is shut down ended.
    pub(crate) idle: bool,
}

/// The times of both clocks, read before the lock is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) tick: Tick,
    pub(crate) wall_ms: i64,
}

impl Settings {
    /// Reports whether the assumed limits of another model may be looked up.
    pub(crate) fn may_assume_more(&self) -> bool {
        self.assumed.len() < super::model::MAX_ASSUMED
    }

    /// Returns the given limits of a model: the project's own before the pool's, an exact name before a pattern.
    fn given<'a>(&'a self, project: &'a Project, model: &str) -> &'a Limits {
        static NONE: Limits = Limits::NONE;
        find(&project.limits, model).or_else(|| find(&self.limits, model)).unwrap_or(&NONE)
    }
}

impl Effects {
    pub(crate) fn is_empty(&self) -> bool {
        self.wakers.is_empty() && self.events.is_empty() && self.records.is_empty() && !self.idle
    }
}

impl State {
    pub(crate) fn new(quotas: Quotas, settings: Settings) -> Self {
        Self {
            registry: Registry::default(),
            models: Models::default(),
            scheduler: Scheduler::default(),
            quotas,
            breakers: Breakers::default(),
            queue: WaitQueue::default(),
            learned: Learned::default(),
            failure_guard: FailureGuard::default(),
            stats: Stats::default(),
            settings,
            uses: 0,
            pass: 0,
            shut_down: false,
            effects: Effects::default(),
        }
    }

    /// Returns a target by names that are valid in every process.
    pub(crate) fn name_of(&self, target: Target) -> BreakerTarget {
        let key = |slot| self.registry.get(slot).map_or_else(|| "?".into(), |entry| entry.data.id.clone());
        let project = |at| Arc::clone(&self.registry.project(at).name);
        let model = |model| Arc::clone(self.models.name(model));
        match target {
            Target::Key(slot) => BreakerTarget::Key(key(slot)),
            Target::KeyModel(slot, at) => BreakerTarget::KeyModel(key(slot), model(at)),
            Target::Project(at) => BreakerTarget::Project(project(at)),
            Target::ProjectModel(at, name) => BreakerTarget::ProjectModel(project(at), model(name)),
            Target::Model(at) => BreakerTarget::Model(model(at)),
            Target::Account(group) => BreakerTarget::BillingAccount(Arc::clone(self.registry.group_name(group))),
            Target::Exit(group) => BreakerTarget::Exit(Arc::clone(self.registry.group_name(group))),
        }
    }

    /// Returns the model that a request names, and the one whose windows and list of keys it uses.
    pub(crate) fn models_of(&self, request: &KeyRequest) -> (ModelIx, ModelIx) {
        let requested = self.models.find(request.model_name());
        let effective = if request.uncounted { ModelIx::UNCOUNTED } else { self.models.effective(requested) };
        (requested, effective)
    }

    /// Returns the quota of a project and model, and creates it if needed.
    pub(crate) fn quota(&mut self, at: ProjectIx, model: ModelIx) -> &mut Quota {
        let place = self.quotas.place(at, model).unwrap_or_else(|| {
            let project = self.registry.project(at);
            let given = self.settings.given(project, self.models.name(model));
            let assumed = self.settings.assumed.get(&(model, project.tier));
            self.quotas.make(at, model, project.tier, given, assumed, self.models.counted_before(model))
        });
        self.quotas.at(at, place)
    }

    /// Returns a key's priority and rank.
    pub(crate) fn rank(&self, slot: Slot) -> Option<(u16, u64)> {
        let entry = self.registry.get(slot)?;
        Some((entry.data.priority, entry.rank(self.settings.strategy)))
    }

    /// Moves a ready key in the lists of all models, since its load changed.
    pub(crate) fn rerank(&mut self, slot: Slot) {
        if let Some((priority, rank)) = self.rank(slot) {
            self.scheduler.rerank(slot, priority, rank);
        }
    }

    /// Returns the breaker targets that cover requests with a key for a model.
    pub(crate) fn covering(&self, slot: Slot, model: ModelIx) -> impl Iterator<Item = Target> + use<> {
        let targets = self.registry.get(slot).map(|entry| {
            [
                self.registry.project(entry.project).account.map(Target::Account),
                entry.exit.map(Target::Exit),
                Some(Target::Key(slot)),
                Some(Target::Project(entry.project)),
                Some(Target::KeyModel(slot, model)),
                Some(Target::ProjectModel(entry.project, model)),
                Some(Target::Model(model)),
            ]
        });
        targets.into_iter().flatten().flatten()
    }

    /// Returns the ready key with the lowest rank for a model and priority, with the rank.
    pub(crate) fn first_ready(&mut self, model: ModelIx, priority: usize) -> Option<(u64, Slot)> {
        let Self { registry, scheduler, settings, .. } = self;
        scheduler.first(model, priority, |slot| registry.get(slot).map_or(0, |entry| entry.rank(settings.strategy)))
    }

    /// Makes a key ready for a model, or updates its rank there.
    pub(crate) fn make_ready(&mut self, model: ModelIx, slot: Slot) {
        if let Some((priority, rank)) = self.rank(slot) {
            self.scheduler.ready(model, slot, priority, rank);
        }
    }

    /// Makes the keys ready that were parked until this target changed.
    pub(crate) fn unpark(&mut self, target: Target) {
        for (model, slot) in self.scheduler.unpark(target) {
            self.make_ready(model, slot);
        }
    }

    /// Makes all keys ready that a breaker covers, so that they are checked again: it closed early, or it disables keys that
    /// wait for a limit.
    pub(crate) fn reopen(&mut self, target: Target) {
        self.unpark(target);
        let slots: Vec<Slot> = match target {
            Target::Key(slot) | Target::KeyModel(slot, _) => vec![slot],
            Target::Project(project) | Target::ProjectModel(project, _) => self.registry.project(project).keys.clone(),
            Target::Account(account) => {
                let pays = |slot: &Slot| {
                    let project = self.registry.get(*slot).map(|entry| self.registry.project(entry.project));
                    project.is_some_and(|project| project.account == Some(account))
                };
                self.registry.iter().map(|(slot, _)| slot).filter(pays).collect()
            }
            Target::Exit(exit) => {
                self.registry.iter().filter(|(_, entry)| entry.exit == Some(exit)).map(|(slot, _)| slot).collect()
            }
            // A model's breaker is checked before any key.
            Target::Model(_) => Vec::new(),
        };
        for slot in slots {
            self.make_ready_everywhere(slot);
        }
    }

    /// Applies the given limits of a project, which may have changed.
    pub(crate) fn renew_given(&mut self, at: ProjectIx) {
        for model in self.quotas.models(at) {
            let project = self.registry.project(at);
            self.quotas.set_given(at, model, project.tier, self.settings.given(project, self.models.name(model)));
        }
    }

    /// Makes the keys of a project ready that are blocked until a tick, since a window has room earlier.
    pub(crate) fn reopen_windows(&mut self, project: ProjectIx, model: ModelIx) {
        for at in 0..self.registry.project(project).keys.len() {
            let slot = self.registry.project(project).keys[at];
            if self.scheduler.has_timer(model, slot) {
                self.make_ready(model, slot);
            }
        }
    }

    /// Makes a key ready for every model.
    pub(crate) fn make_ready_everywhere(&mut self, slot: Slot) {
        for model in self.scheduler.models() {
            self.make_ready(model, slot);
        }
    }
}

fn find<'a>(limits: &'a [(Arc<str>, Limits)], model: &str) -> Option<&'a Limits> {
    let matching = limits.iter().filter(|(name, _)| is_name_of(name, model));
    matching.max_by_key(|(name, _)| (&**name == model, name.len())).map(|(_, limits)| limits)
}
