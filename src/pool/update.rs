//! Changing the keys while the pool runs.

use super::{
    breaker::Target,
    events::Event,
    registry::{KeyAdded, Slot},
    state::{Now, State},
};
use crate::{
    Error,
    key::{Key, KeyId},
};

/// A change of a pool's keys.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum KeyChange {
    /// A new key, or other options of the key with the same id or secret.
    Put(Key),
    /// These keys, and no others: keys that are not listed are removed.
    ReplaceAll(Vec<Key>),
    /// The key is removed.
    Remove(KeyId),
    /// The key gets another secret and keeps its name, its counts and its project. Its breaker closes.
    Secret(KeyId, String),
    /// The key is not used until it is enabled.
    Disable(KeyId, String),
    /// The key is used again.
    Enable(KeyId),
}

pub(crate) fn add(state: &mut State, key: &Key, now: Now) -> Result<KeyAdded, Error> {
    let zone = state.quotas.zone(key.zone.as_ref())?;
    let scheme = state.settings.scheme.clone();
    let (slot, added) = state.registry.add(key, &scheme)?;
    set_zone(state, slot, key, zone);
    match &added {
        KeyAdded::Added(id) => state.effects.events.push(Event::KeyAdded { key: id.clone() }),
        KeyAdded::Merged(_) => refresh(state, slot),
    }
    state.make_ready_everywhere(slot);
    super::queue::serve(state, now);
    Ok(added)
}

pub(crate) fn apply(state: &mut State, change: KeyChange, now: Now) -> Result<(), Error> {
    match change {
        KeyChange::Put(key) => put(state, &key, now)?,
        KeyChange::ReplaceAll(keys) => {
            let mut kept = std::collections::HashSet::new();
            let mut first_error = None;
            for key in &keys {
                match put(state, key, now) {
                    Ok(()) => {}
                    Err(error) => first_error = first_error.or(Some(error)),
                }
                kept.insert(key.id());
                kept.extend(state.registry.id_of_secret(&key.secret));
            }
            let gone: Vec<_> = state
                .registry
                .iter()
                .filter(|(_, entry)| !kept.contains(&entry.data.id))
                .map(|(slot, _)| slot)
                .collect();
            for slot in gone {
                remove(state, slot);
            }
            super::queue::serve(state, now);
            return first_error.map_or(Ok(()), Err);
        }
        KeyChange::Remove(id) => {
            let slot = find(state, &id)?;
            remove(state, slot);
        }
        KeyChange::Secret(id, secret) => {
            let slot = find(state, &id)?;
            state.registry.replace_secret(slot, &secret, &state.settings.scheme)?;
            close(state, slot, now);
        }
        KeyChange::Disable(id, reason) => {
            let slot = find(state, &id)?;
            state.breakers.disable(Target::Key(slot), &reason, now.tick);
            super::outcome::keep(state, Target::Key(slot), now);
            let target = super::persist::target_name(state, Target::Key(slot));
            let message = Some(reason.into());
            state.effects.events.push(Event::Disabled { target: target.to_string(), key: id, class: None, message });
        }
        KeyChange::Enable(id) => {
            let slot = find(state, &id)?;
            close(state, slot, now);
        }
    }
    super::queue::serve(state, now);
    Ok(())
}

fn put(state: &mut State, key: &Key, now: Now) -> Result<(), Error> {
    match state.registry.find(&key.id()) {
        Some(slot) => {
            let zone = state.quotas.zone(key.zone.as_ref())?;
            let scheme = state.settings.scheme.clone();
            state.registry.update(slot, key, &scheme)?;
            set_zone(state, slot, key, zone);
            refresh(state, slot);
            Ok(())
        }
        None => add(state, key, now).map(|_| ()),
    }
}

/// Limits, priority and models of a key may have changed.
fn refresh(state: &mut State, slot: Slot) {
    let Some(at) = state.registry.get(slot).map(|entry| entry.project) else { return };
    for model in state.quotas.models(at) {
        let (project, name) = (state.registry.project(at), state.models.name(model));
        state.quotas.set_given(at, project, model, name, &state.settings.limits);
    }
    state.scheduler.remove(slot);
    state.make_ready_everywhere(slot);
}

fn set_zone(state: &mut State, slot: Slot, key: &Key, zone: super::quotas::ZoneIx) {
    let project = state.registry.get(slot).map(|entry| entry.project);
    if key.zone.is_some()
        && let Some(project) = project.and_then(|project| state.registry.project_mut(project))
    {
        project.zone_ix = zone;
    }
}

fn find(state: &State, id: &KeyId) -> Result<Slot, Error> {
    state.registry.find(id).ok_or_else(|| Error::config(format!("there is no key {id}")))
}

fn remove(state: &mut State, slot: Slot) {
    let Some(entry) = state.registry.remove(slot) else { return };
    state.scheduler.remove(slot);
    state.breakers.remove(Target::Key(slot));
    for model in state.models.all() {
        state.breakers.remove(Target::KeyModel(slot, model));
    }
    let project = entry.project;
    if state.registry.project_of(project).is_none_or(|project| project.keys.is_empty()) {
        state.quotas.remove(project);
        state.learned.remove(project);
        state.breakers.remove(Target::Project(project));
        for model in state.models.all() {
            state.breakers.remove(Target::ProjectModel(project, model));
        }
    }
    state.effects.events.push(Event::KeyRemoved { key: entry.data.id.clone() });
}

/// The key's own breakers close.
fn close(state: &mut State, slot: Slot, now: Now) {
    let models: Vec<_> = state.models.all().collect();
    let targets =
        std::iter::once(Target::Key(slot)).chain(models.into_iter().map(|model| Target::KeyModel(slot, model)));
    for target in targets {
        if state.breakers.remove(target) {
            super::outcome::changed(state, target, None, None, now);
            state.unpark(target);
        }
    }
    state.make_ready_everywhere(slot);
}
