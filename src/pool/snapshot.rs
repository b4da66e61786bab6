//! What a pool knows, as data for people and machines.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use super::{
    breaker::{CircuitBreaker, Target},
    registry::{Entry, ProjectIx, Slot},
    state::{Now, State},
    strategy::Strategy,
};
use crate::{
    classify::{ErrorClass, Scope},
    key::{KeyId, Tier},
    limit::LimitView,
};

/// The counters of a pool since it was built.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Keys in the pool.
    pub keys: usize,
    /// Requests that wait for a key.
    pub waiting: usize,
    /// Leases that are held.
    pub in_flight: u64,
    /// Leases that were granted and not given back.
    pub granted: u64,
    /// Good answers.
    pub succeeded: u64,
    /// Failures.
    pub failed: u64,
    /// Failures by class.
    pub by_class: BTreeMap<&'static str, u64>,
    /// Requests for which no key was available within their wait.
    pub unavailable: u64,
    /// Tokens of prompts, as answers told.
    pub input_tokens: u64,
    /// Tokens of answers, as they told.
    pub output_tokens: u64,
    /// Requests that went out without the store, which was away.
    pub unreserved: u64,
    /// Whether disabling is paused, since nearly every key is refused.
    pub disabling_paused: bool,
}

/// What a pool knows of its keys.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The pool's provider.
    pub provider: Arc<str>,
    /// How ready keys are ordered.
    pub strategy: Strategy,
    /// The counters.
    pub stats: Stats,
    /// The page of keys that was asked for.
    pub keys: Vec<KeyView>,
    /// The projects of these keys.
    pub projects: Vec<ProjectView>,
    /// Breakers of models, billing accounts and exits that are not closed.
    pub breakers: Vec<BreakerState>,
    /// How many breakers of the whole pool are not closed.
    pub open_breakers: Vec<BreakerCount>,
}

/// How many breakers of a kind are in a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BreakerCount {
    /// What they cover.
    pub scope: Scope,
    /// Their state.
    pub state: CircuitBreaker,
    /// How many there are.
    pub count: usize,
}

/// A key.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KeyView {
    /// Its name.
    pub id: KeyId,
    /// Its project.
    pub project: Arc<str>,
    /// Whether its account pays.
    pub tier: Tier,
    /// Keys of a lower number are used first.
    pub priority: u16,
    /// Its share compared with others.
    pub weight: u16,
    /// Requests at the same time at most.
    pub max_concurrent: Option<u32>,
    /// What people call it.
    pub label: Option<Arc<str>>,
    /// The exit that it leaves by.
    pub exit: Option<Arc<str>>,
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests that it was granted for.
    pub started: u64,
    /// Good answers.
    pub succeeded: u64,
    /// Failures that were not the caller's.
    pub failed: u64,
    /// Its breakers that are not closed: of the key as a whole, and of the key for a model.
    pub breakers: Vec<BreakerState>,
}

/// A project: its keys share limits and cooldowns.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ProjectView {
    /// Its name.
    pub name: Arc<str>,
    /// How many keys it has.
    pub keys: usize,
    /// The account that pays.
    pub billing_account: Option<Arc<str>>,
    /// Its models.
    pub models: Vec<ModelView>,
    /// Its breaker, where it is not closed.
    pub breakers: Vec<BreakerState>,
}

/// A model of a project.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ModelView {
    /// Its name; `*` stands for all names that nothing is known of.
    pub model: Arc<str>,
    /// Its limits, with how much of them is used and where they come from.
    pub limits: Vec<LimitView>,
}

/// A breaker that is not closed.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct BreakerState {
    /// The kind of what it covers.
    pub scope: Scope,
    /// What it covers, such as `project a for gemini-2.5-flash`.
    pub target: String,
    /// Its state.
    pub state: CircuitBreaker,
    /// For how many more seconds it cools.
    pub seconds_left: Option<u64>,
    /// The class of the error; none where a person did it.
    pub class: Option<ErrorClass>,
    /// What the provider, or the person, said.
    pub reason: Option<String>,
    /// What a person should do.
    pub advice: Option<&'static str>,
}

impl State {
    pub(crate) fn current_stats(&self) -> Stats {
        Stats {
            keys: self.registry.len(),
            waiting: self.queue.len(),
            disabling_paused: self.guard.is_paused(),
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
        match target {
            Target::Key(slot) | Target::KeyModel(slot, _) => {
                if let Some(targets) = by_key.get_mut(&slot) {
                    targets.push(target);
                }
            }
            Target::Project(at) | Target::ProjectModel(at, _) => {
                if let Some(targets) = by_project.get_mut(&at) {
                    targets.push(target);
                }
            }
            Target::Model(_) | Target::Account(_) | Target::Exit(_) => others.push(target),
        }
    }
    let keys = page.iter().filter_map(|slot| {
        let entry = state.registry.get(*slot)?;
        let targets = by_key.get(slot).map_or(&[][..], Vec::as_slice);
        Some(key_view(state, entry, targets, now))
    });
    let keys = keys.collect();
    let mut projects = Vec::new();
    for (at, targets) in by_project {
        let models = state.quotas.models(at);
        let zone = state.registry.project(at).zone;
        let today = state.quotas.today(zone, now);
        let mut views = Vec::new();
        for model in models {
            let limits = state.quotas.find(at, model).map(|quota| quota.views(now.tick, today)).unwrap_or_default();
            views.push(ModelView { model: Arc::clone(state.models.name(model)), limits });
        }
        let project = state.registry.project(at);
        projects.push(ProjectView {
            name: Arc::clone(&project.name),
            keys: project.keys.len(),
            billing_account: project.account.map(|account| Arc::clone(state.registry.group_name(account))),
            models: views,
            breakers: breaker_views(state, &targets, now),
        });
    }
    Snapshot {
        provider: state.settings.provider.clone(),
        strategy: state.settings.strategy,
        stats: state.current_stats(),
        keys,
        projects,
        breakers: breaker_views(state, &others, now),
        open_breakers,
    }
}

fn key_view(state: &State, entry: &Entry, targets: &[Target], now: Now) -> KeyView {
    let data = &entry.data;
    KeyView {
        id: data.id.clone(),
        project: Arc::clone(&state.registry.project(entry.project).name),
        tier: data.tier,
        priority: data.priority,
        weight: data.weight,
        max_concurrent: data.max_concurrent,
        label: data.extra.as_ref().and_then(|extra| extra.label.clone()),
        exit: data.exit().cloned(),
        in_flight: entry.load.in_flight,
        started: entry.counts.started.into(),
        succeeded: entry.counts.succeeded.into(),
        failed: entry.counts.failed.into(),
        breakers: breaker_views(state, targets, now),
    }
}

fn breaker_views(state: &State, targets: &[Target], now: Now) -> Vec<BreakerState> {
    let view = |target: &Target| {
        let view = state.breakers.view(*target, now.tick)?;
        Some(BreakerState {
            scope: target.scope(),
            target: super::persist::target_name(state, *target).to_string(),
            state: view.state,
            seconds_left: view.until.map(|until| until.since(now.tick).as_secs()),
            class: view.class,
            reason: view.reason.map(str::to_owned),
            advice: view.class.map(|class| class.policy().advice),
        })
    };
    targets.iter().filter_map(view).collect()
}
