//! Snapshots of a pool's state.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use super::{
    breaker::{BreakerState, Target},
    registry::{Entry, ProjectIx, Slot},
    state::{Now, State},
    strategy::Strategy,
};
use crate::{
    classify::{ErrorClass, Scope},
    key::{KeyId, Tier},
    limit::{LimitView, Limits},
    store::BreakerTarget,
    time::whole_seconds,
};

/// The counters of a pool since it was built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// The number of keys in the pool.
    pub keys: usize,
    /// The number of requests that wait for a key.
    pub waiting: usize,
    /// The number of leases that are held.
    pub in_flight: u64,
    /// The number of ended leases with which a request was sent.
    pub sent: u64,
    /// The number of successes.
    pub succeeded: u64,
    /// The number of failures.
    pub failed: u64,
    /// The number of failures by class.
    pub by_class: BTreeMap<ErrorClass, u64>,
    /// The number of requests for which no key was available within their wait.
    pub unavailable: u64,
    /// The prompt tokens that responses reported.
    pub input_tokens: u64,
    /// The response tokens that responses reported.
    pub output_tokens: u64,
    /// The number of requests that were sent without a reservation, since the store was unavailable.
    pub unreserved: u64,
    /// Whether disabling is paused, since nearly every key is permanently refused.
    pub disabling_paused: bool,
}

/// The state of a pool, with a page of its keys.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The pool's provider.
    pub provider: Arc<str>,
    /// How ready keys are ordered.
    pub strategy: Strategy,
    /// The counters.
    pub stats: Stats,
    /// The requested page of keys.
    pub keys: Vec<KeyView>,
    /// The projects of these keys.
    pub projects: Vec<ProjectView>,
    /// Breakers of models, billing accounts and exits that are not closed.
    pub breakers: Vec<BreakerView>,
    /// The number of breakers of the whole pool that are not closed, by scope and state.
    pub open_breakers: Vec<BreakerCount>,
}

/// The number of breakers of a scope in a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BreakerCount {
    /// The kind of their targets.
    pub scope: Scope,
    /// Their state.
    pub state: BreakerState,
    /// The number of breakers.
    pub count: usize,
}

/// The state of a key.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KeyView {
    /// Its id.
    pub id: KeyId,
    /// Its project.
    pub project: Arc<str>,
    /// Whether its account is free or paid.
    pub tier: Tier,
    /// Its priority: keys with a lower number are used first.
    pub priority: u16,
    /// Its share of the requests relative to other keys.
    pub weight: u16,
    /// Its maximum number of concurrent requests.
    pub max_concurrent: Option<u32>,
    /// Its label.
    pub label: Option<Arc<str>>,
    /// The exit through which its requests are sent.
    pub exit: Option<Arc<str>>,
    /// The models that it may be used for; `None` means all.
    pub models: Option<Arc<[Arc<str>]>>,
    /// Its minimum time between the starts of two requests.
    pub interval_seconds: Option<f64>,
    /// The number of requests in flight.
    pub in_flight: u32,
    /// The number of requests for which it was granted.
    pub started: u64,
    /// The number of successes.
    pub succeeded: u64,
    /// The number of failures that were not the caller's fault.
    pub failed: u64,
    /// Its breakers that are not closed: of the key as a whole, and of the key for a model.
    pub breakers: Vec<BreakerView>,
}

/// The state of a project, whose keys share limits and cooldowns.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ProjectView {
    /// Its name.
    pub name: Arc<str>,
    /// The number of its keys.
    pub keys: usize,
    /// The time zone of its days.
    pub zone: Arc<str>,
    /// Its given limits, by model or pattern.
    #[serde(skip)]
    pub given: Box<[(Arc<str>, Limits)]>,
    /// The billing account.
    pub billing_account: Option<Arc<str>>,
    /// The models with a quota.
    pub models: Vec<ModelView>,
    /// Its breakers that are not closed: of the project as a whole, and of the project for a model.
    pub breakers: Vec<BreakerView>,
}

/// The state of a model of a project.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ModelView {
    /// Its name; `*` stands for all unknown names.
    pub model: Arc<str>,
    /// Its limits, with their usage and sources.
    pub limits: Vec<LimitView>,
}

/// The state of a breaker that is not closed.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct BreakerView {
    /// The kind of its target.
    pub scope: Scope,
    /// Its target, such as `project a for gemini-2.5-flash`.
    #[serde(serialize_with = "super::events::as_text")]
    pub target: BreakerTarget,
    /// Its state.
    pub state: BreakerState,
    /// The number of seconds that it still cools down, rounded up.
    pub seconds_left: Option<u64>,
    /// The class of the error; `None` if a person disabled it.
    pub class: Option<ErrorClass>,
    /// The message of the provider or of the person.
    pub reason: Option<String>,
}

impl State {
    pub(crate) fn current_stats(&self) -> Stats {
        Stats {
            keys: self.registry.len(),
            waiting: self.queue.len(),
            disabling_paused: self.failure_guard.disabling_paused(),
            ..self.stats.clone()
        }
    }
}

pub(crate) fn snapshot(state: &mut State, offset: usize, limit: usize, now: Now) -> Snapshot {
    let page: Vec<Slot> = state.registry.iter().map(|(slot, _)| slot).skip(offset).take(limit).collect();
    // Breakers of keys and projects that are not on the page are only counted.
    let mut by_key: BTreeMap<Slot, Vec<Target>> = page.iter().map(|slot| (*slot, Vec::new())).collect();
    let projects = page.iter().filter_map(|slot| Some(state.registry.get(*slot)?.project));
    let mut by_project: BTreeMap<ProjectIx, Vec<Target>> = projects.map(|project| (project, Vec::new())).collect();
    let mut others = Vec::new();
    let mut open_breakers: Vec<BreakerCount> = Vec::new();
    for target in state.breakers.targets() {
        if let Some(view) = state.breakers.view(target, now.tick) {
            let (scope, state) = (target.scope(), view.state);
            match open_breakers.iter_mut().find(|counted| counted.scope == scope && counted.state == state) {
                Some(counted) => counted.count += 1,
                None => open_breakers.push(BreakerCount { scope, state, count: 1 }),
            }
        }
        let targets = match target {
            Target::Key(slot) | Target::KeyModel(slot, _) => by_key.get_mut(&slot),
            Target::Project(at) | Target::ProjectModel(at, _) => by_project.get_mut(&at),
            Target::Model(_) | Target::Account(_) | Target::Exit(_) => Some(&mut others),
        };
        if let Some(targets) = targets {
            targets.push(target);
        }
    }
    let mut projects = Vec::new();
    for (at, targets) in by_project {
        let project = state.registry.project(at);
        let today = state.quotas.today(project.zone, now);
        let mut views = Vec::new();
        for model in state.quotas.models(at) {
            let limits = state.quotas.find(at, model).map(|quota| quota.views(now.tick, today)).unwrap_or_default();
            views.push(ModelView { model: Arc::clone(state.models.name(model)), limits });
        }
        projects.push(ProjectView {
            name: Arc::clone(&project.name),
            keys: project.keys.len(),
            zone: state.quotas.zone_name(project.zone),
            given: project.limits.clone(),
            billing_account: project.account.map(|account| Arc::clone(state.registry.group_name(account))),
            models: views,
            breakers: breaker_views(state, &targets, now),
        });
    }
    let key = |slot: &Slot| {
        let targets = by_key.get(slot).map_or(&[][..], Vec::as_slice);
        Some(key_view(state, state.registry.get(*slot)?, targets, now))
    };
    Snapshot {
        provider: state.settings.provider.clone(),
        strategy: state.settings.strategy,
        stats: state.current_stats(),
        keys: page.iter().filter_map(key).collect(),
        projects,
        breakers: breaker_views(state, &others, now),
        open_breakers,
    }
}

fn key_view(state: &State, entry: &Entry, targets: &[Target], now: Now) -> KeyView {
    let data = &entry.data;
    let extra = data.extra.as_deref();
    KeyView {
        id: data.id.clone(),
        project: Arc::clone(&state.registry.project(entry.project).name),
        tier: data.tier,
        priority: data.priority,
        weight: data.weight,
        max_concurrent: data.max_concurrent,
        label: extra.and_then(|extra| extra.label.clone()),
        exit: data.exit().cloned(),
        models: extra.and_then(|extra| extra.models.clone()),
        interval_seconds: extra.and_then(|extra| Some(extra.min_interval?.as_secs_f64())),
        in_flight: entry.load.in_flight,
        started: entry.counts.started.into(),
        succeeded: entry.counts.succeeded.into(),
        failed: entry.counts.failed.into(),
        breakers: breaker_views(state, targets, now),
    }
}

fn breaker_views(state: &State, targets: &[Target], now: Now) -> Vec<BreakerView> {
    let view = |target: &Target| {
        let view = state.breakers.view(*target, now.tick)?;
        Some(BreakerView {
            scope: target.scope(),
            target: state.name_of(*target),
            state: view.state,
            seconds_left: view.until.map(|until| whole_seconds(until.since(now.tick))),
            class: view.class,
            reason: view.reason.map(str::to_owned),
        })
    };
    targets.iter().filter_map(view).collect()
}
