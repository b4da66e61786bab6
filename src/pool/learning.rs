//! Learns limits from the provider's responses, and which keys belong to one project.

use std::{collections::HashMap, sync::Arc};

use super::{
    breaker::Target,
    events::Event,
    model::ModelIx,
    registry::{ProjectIx, Slot},
    select::Grant,
    state::{Now, State},
};
use crate::{
    classify::{ErrorClass, Failure},
    limit::{Limit, Quota},
    store::Record,
};

/// Maximum number of project names that are kept.
const MAX_NAMES: usize = 1 << 17;

#[derive(Debug, Default)]
pub(crate) struct Learned {
    /// The pool's projects by the provider's names.
    projects: HashMap<Box<str>, ProjectIx>,
}

/// Learns a key's project from a response that named it. Keys that turn out to belong to one project are grouped.
pub(crate) fn learn_project(state: &mut State, slot: Slot, name: &str) {
    let Some(project) = state.registry.get(slot).map(|entry| entry.project) else { return };
    let Some(known) = state.learned.projects.get(name).map(|known| state.registry.current(*known)) else {
        // A provider may send a new name each time.
        if state.learned.projects.len() < MAX_NAMES {
            state.learned.projects.insert(name.into(), project);
        }
        return;
    };
    merge(state, project, known, Some(name));
}

/// Merges two projects that turned out to be one: their keys share windows and cooldowns from now on. Projects that the
/// user named are kept. Of two others, the one with the smaller name is kept, so that all processes that share a store
/// keep the same one. `name` is the provider's name of the project; `None` if the store has the records.
pub(crate) fn merge(state: &mut State, one: ProjectIx, other: ProjectIx, name: Option<&str>) {
    let order = |at| (!state.registry.project(at).named, &state.registry.project(at).name);
    let (into, from) = if order(one) < order(other) { (one, other) } else { (other, one) };
    if from == into || state.registry.project(from).named {
        return;
    }
    let moved = state.registry.merge(from, into);
    state.quotas.merge(from, into);
    state.renew_given(into);
    for model in state.models.all() {
        state.breakers.remove(Target::ProjectModel(from, model));
    }
    state.breakers.remove(Target::Project(from));
    for slot in moved {
        state.make_ready_everywhere(slot);
        let Some(name) = name else { continue };
        let Some(key) = state.registry.get(slot).map(|entry| entry.data.id.clone()) else { continue };
        let project = Arc::clone(&state.registry.project(into).name);
        state.effects.records.push(Record::Project { key: key.clone(), project: Arc::clone(&project) });
        state.effects.events.push(Event::ProjectLearned { key, project, name: name.into() });
    }
}

/// Learns the limits that a rate-limit or daily-quota error named.
pub(crate) fn learn_limits(state: &mut State, project: ProjectIx, grant: &Grant, failure: &Failure, now: Now) {
    if matches!(failure.class, ErrorClass::RateLimit | ErrorClass::DailyQuota) {
        let tier = state.registry.project(project).tier;
        if let Some(assumed) = state.settings.assumed.get(&(grant.model, tier))
            && let Some(quota) = state.quotas.find(project, grant.model)
        {
            quota.refused(assumed);
        }
        learn(state, project, grant, &failure.limits, true, now);
    }
}

/// Learns limits that a response's headers, or its error about them, named.
pub(crate) fn learn(state: &mut State, project: ProjectIx, grant: &Grant, limits: &[Limit], refused: bool, now: Now) {
    // An uncounted request has other limits than the model.
    let limits = if grant.model == ModelIx::UNCOUNTED { &[] } else { limits };
    for &limit in limits.iter().filter(|limit| limit.amount > 0) {
        // An unconfirmed name has no windows of its own: a limit would apply to all such names.
        let Some(name) = &grant.model_name else { continue };
        let model = state.models.confirm(name);
        if state.models.is_shared(model) {
            continue;
        }
        let learn_in = if refused { Quota::learn_from_refusal } else { Quota::learn };
        if learn_in(state.quota(project, model), limit.unit, limit.span, limit.amount, now.tick) {
            state.reopen_windows(project, model);
            let model = Arc::clone(state.models.name(model));
            let project = Arc::clone(&state.registry.project(project).name);
            let (project_name, model_name, learned_ms) = (project.clone(), model.clone(), now.wall_ms);
            state.effects.urgent = true;
            state.effects.records.push(Record::Limit { project: project_name, model: model_name, limit, learned_ms });
            state.effects.events.push(Event::LimitLearned { project, model, limit });
        }
    }
}
