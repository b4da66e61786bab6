//! What the provider's answers teach: limits, and which keys belong to one project.

use std::collections::HashMap;

use super::{
    events::Event,
    registry::{ProjectIx, Slot},
    select::Grant,
    state::{Now, State},
};
use crate::{
    classify::{ErrorClass, Failure, QuotaViolation},
    store::Record,
};

#[derive(Debug, Default)]
pub(crate) struct Learned {
    /// The pool's project for a name that the provider used.
    projects: HashMap<Box<str>, ProjectIx>,
}

impl Learned {
    /// A project is not there any more.
    pub(crate) fn remove(&mut self, project: ProjectIx) {
        self.projects.retain(|_, held| *held != project);
    }
}

/// An answer named the project of a key. Keys that turn out to be of one project are grouped.
pub(crate) fn learn_project(state: &mut State, slot: Slot, name: &str) {
    let Some(project) = state.registry.get(slot).map(|entry| entry.project) else { return };
    let Some(known) = state.learned.projects.get(name).copied() else {
        state.learned.projects.insert(name.into(), project);
        return;
    };
    // What the user said of a project holds.
    if known == project || state.registry.project(project).named && state.registry.project(known).named {
        return;
    }
    let (from, into) = if state.registry.project(project).named { (known, project) } else { (project, known) };
    state.learned.projects.insert(name.into(), into);
    state.quotas.merge(from, into);
    for slot in state.registry.project(from).keys.clone() {
        state.registry.move_to(slot, into);
        let Some(id) = state.registry.get(slot).map(|entry| entry.data.id.clone()) else { continue };
        let target = state.registry.project(into).name.clone();
        state.effects.records.push(Record::Project { key: id.clone(), project: target.clone() });
        state.effects.events.push(Event::ProjectLearned { key: id, project: target, name: name.into() });
    }
    state.quotas.remove(from);
}

/// An error named limits of a project for a model.
pub(crate) fn learn_limits(state: &mut State, project: ProjectIx, grant: &Grant, failure: &Failure, now: Now) {
    if matches!(failure.class, ErrorClass::RateLimit | ErrorClass::DailyQuota) {
        learn(state, project, grant, &failure.quota, now);
    }
}

/// An answer's headers or its error named limits.
pub(crate) fn learn(state: &mut State, project: ProjectIx, grant: &Grant, quota: &[QuotaViolation], now: Now) {
    for violation in quota {
        let Some(limit) = violation.limit.filter(|limit| *limit > 0) else { continue };
        // A name that no answer confirmed has no windows of its own: what is learned of it would hold for all such names.
        let Some(name) = &grant.model_name else { continue };
        let (model, new) = state.models.confirm(name);
        let _ = new;
        let own = state.registry.project(project);
        let counted = state.quotas.get(project, own, model, state.models.name(model), &state.settings);
        if counted.learn(violation.unit, violation.span, limit, now.tick) {
            let model = std::sync::Arc::clone(state.models.name(model));
            let project = std::sync::Arc::clone(&own.name);
            let (unit, span) = (violation.unit, violation.span);
            let limit = crate::limit::Limit { unit, span, amount: limit };
            state.effects.records.push(Record::Limit { project: project.clone(), model: model.clone(), limit });
            state.effects.events.push(Event::LimitLearned { project, model, limit });
        }
    }
}
