//! Changes the keys while the pool runs.

use std::collections::HashSet;

use super::{
    breaker::Target,
    events::Event,
    handle::Shared,
    quotas::ZoneIx,
    registry::{KeyAdded, ProjectIx, Slot},
    state::{Now, State},
};
use crate::{
    Error, ErrorKind, Secret,
    key::{Key, KeyId},
};

/// Number of keys that are replaced under one lock.
const STEP: usize = 256;

/// A change of a pool's keys.
///
/// ```
/// use tower_keypool::{Gemini, Key, KeyChange, KeyPool, Secret};
///
/// let pool = KeyPool::builder(Gemini::new()).key(Key::free("AIza-not-a-real-key-001").named("a")).build()?;
/// pool.apply(KeyChange::Put(Key::paid("AIza-not-a-real-key-002").named("b")))?;
/// pool.apply(KeyChange::ReplaceSecret { key: "a".into(), secret: Secret::new("AIza-not-a-real-key-003")? })?;
/// pool.apply(KeyChange::Remove("b".into()))?;
/// assert_eq!(pool.try_acquire("gemini-2.5-flash")?.expose(), "AIza-not-a-real-key-003");
/// # Ok::<(), tower_keypool::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum KeyChange {
    /// Adds a key, or replaces the options of the key with the same id or secret. A secret that the pool has keeps its id
    /// there, even if this key has another one.
    Put(Key),
    /// Puts these keys, and removes all others. As with `Put`, known secrets keep their ids.
    ReplaceAll(Vec<Key>),
    /// Removes the key.
    Remove(KeyId),
    /// Replaces the secret of the key, which keeps its id, its counts and its project. Its breaker closes.
    ReplaceSecret {
        /// The key.
        key: KeyId,
        /// The new secret.
        secret: Secret,
    },
    /// Disables the key for a reason, until it is enabled.
    Disable(KeyId, String),
    /// Enables the key.
    Enable(KeyId),
}

pub(crate) fn add(state: &mut State, key: &Key, now: Now) -> Result<KeyAdded, Error> {
    let added = insert(state, key, None).map_err(|error| error.of_key(&key.id()))?;
    super::queue::serve(state, now);
    Ok(added)
}

/// Applies a change. A list of keys is applied in steps, between which requests are served.
pub(crate) fn apply(shared: &Shared, change: KeyChange) -> Result<(), Error> {
    match change {
        KeyChange::Put(key) => shared.with(|state, now| {
            put(state, &key, None, now).map_err(|error| error.of_key(&key.id()))?;
            super::queue::serve(state, now);
            Ok(())
        }),
        KeyChange::ReplaceAll(keys) => replace_all(shared, &keys),
        KeyChange::Remove(id) => shared.with(|state, now| {
            let slot = find(state, &id)?;
            remove(state, slot);
            super::queue::serve(state, now);
            Ok(())
        }),
        KeyChange::ReplaceSecret { key, secret } => shared.with(|state, now| {
            let slot = find(state, &key)?;
            let replaced = state.registry.replace_secret(slot, secret.expose(), &state.settings.scheme);
            replaced.map_err(|error| error.of_key(&key))?;
            close(state, slot, false, now);
            super::queue::serve(state, now);
            Ok(())
        }),
        KeyChange::Disable(id, reason) => shared.with(|state, now| {
            let target = Target::Key(find(state, &id)?);
            state.breakers.disable(target, &reason, now.tick);
            super::outcome::persist_breaker(state, target, now);
            let target = super::persist::target_name(state, target).to_string();
            let message = Some(reason.into());
            state.effects.events.push(Event::Disabled { target, key: id, class: None, message });
            Ok(())
        }),
        KeyChange::Enable(id) => shared.with(|state, now| {
            let slot = find(state, &id)?;
            close(state, slot, true, now);
            super::queue::serve(state, now);
            Ok(())
        }),
    }
}

/// Replaces all keys. Returns the first of several errors.
fn replace_all(shared: &Shared, keys: &[Key]) -> Result<(), Error> {
    let (mut kept, mut seen, mut first_error) = (HashSet::new(), HashSet::new(), None);
    for keys in keys.chunks(STEP) {
        shared.with(|state, now| {
            for key in keys {
                if let Err(error) = put(state, key, Some(&mut seen), now) {
                    first_error.get_or_insert_with(|| error.of_key(&key.id()));
                }
                kept.insert(key.id());
                kept.extend(state.registry.id_of_secret(&key.secret));
            }
            super::queue::serve(state, now);
        });
    }
    let gone: Vec<_> = shared.with(|state, _| {
        let ids = state.registry.iter().map(|(_, entry)| &entry.data.id);
        ids.filter(|id| !kept.contains(*id)).cloned().collect()
    });
    for ids in gone.chunks(STEP) {
        shared.with(|state, now| {
            for id in ids {
                if let Some(slot) = state.registry.find(id) {
                    remove(state, slot);
                }
            }
            super::queue::serve(state, now);
        });
    }
    first_error.map_or(Ok(()), Err)
}

/// The projects whose options a key of the same change has set; `None` if the change is of a single key.
type SeenProjects<'a> = Option<&'a mut HashSet<ProjectIx>>;

/// Adds a key, or replaces the one with the same id.
fn put(state: &mut State, key: &Key, seen: SeenProjects<'_>, now: Now) -> Result<(), Error> {
    let Some(slot) = state.registry.find(&key.id()) else { return insert(state, key, seen).map(|_| ()) };
    let zone = key.zone.as_ref().map(|zone| state.quotas.zone(zone)).transpose()?;
    let project_of = |state: &State| state.registry.get(slot).map(|entry| entry.project);
    let before = project_of(state);
    if state.registry.update(slot, key, &state.settings.scheme)? {
        close(state, slot, false, now);
    }
    // Between a key's own project and a named one, the last key takes the counts along.
    if let (Some(before), Some(after)) = (before, project_of(state))
        && before != after
        && [before, after].iter().any(|at| !state.registry.project(*at).named)
        && state.registry.project(before).keys.is_empty()
    {
        state.quotas.merge(before, after);
        state.renew_given(after);
    }
    apply_options(state, slot, key, zone, seen);
    Ok(())
}

fn insert(state: &mut State, key: &Key, seen: SeenProjects<'_>) -> Result<KeyAdded, Error> {
    let zone = key.zone.as_ref().map(|zone| state.quotas.zone(zone)).transpose()?;
    let (slot, added) = state.registry.add(key, &state.settings.scheme)?;
    apply_options(state, slot, key, zone, seen);
    if let KeyAdded::Added(id) = &added {
        state.effects.events.push(Event::KeyAdded { key: id.clone() });
    }
    Ok(added)
}

/// Applies the options of a key to its project, and makes it ready.
fn apply_options(state: &mut State, slot: Slot, key: &Key, zone: Option<ZoneIx>, seen: SeenProjects<'_>) {
    let Some(project) = state.registry.get(slot).map(|entry| entry.project) else { return };
    let replaces = match seen {
        Some(seen) => seen.insert(project),
        None => state.registry.project(project).keys.len() == 1,
    };
    if state.registry.set_project_options(project, key, zone, replaces) {
        state.renew_given(project);
        state.reopen(Target::Project(project));
    } else {
        state.make_ready_everywhere(slot);
    }
}

fn find(state: &State, id: &KeyId) -> Result<Slot, Error> {
    state.registry.find(id).ok_or_else(|| Error::new(ErrorKind::UnknownKey, format!("there is no key {id}")))
}

fn remove(state: &mut State, slot: Slot) {
    // The store keeps the key's cooldowns, since other processes may still have the key and it may come back. The
    // closed breakers are not reported either, since the key is not used again.
    for target in targets(state, slot, false) {
        if state.breakers.remove(target) {
            state.reopen(target);
        }
    }
    let Some(entry) = state.registry.remove(slot) else { return };
    state.scheduler.remove(slot);
    state.effects.events.push(Event::KeyRemoved { key: entry.data.id.clone() });
}

/// Closes the breakers of a key.
fn close(state: &mut State, slot: Slot, all: bool, now: Now) {
    for target in targets(state, slot, all) {
        if state.breakers.remove(target) {
            super::outcome::publish_closed(state, target, now);
            state.reopen(target);
        }
    }
}

/// Returns the targets of a key, and those of its project if it has no other key. With `all`, returns all targets that
/// cover the key.
fn targets(state: &State, slot: Slot, all: bool) -> Vec<Target> {
    let Some(entry) = state.registry.get(slot) else { return Vec::new() };
    let (at, project) = (entry.project, state.registry.project(entry.project));
    let mut targets = vec![Target::Key(slot)];
    if all || project.keys.len() == 1 {
        targets.push(Target::Project(at));
    }
    if all {
        targets.extend(project.account.map(Target::Account));
        targets.extend(entry.exit.map(Target::Exit));
    }
    let of_project = targets.contains(&Target::Project(at));
    for model in state.models.all() {
        targets.extend(state.breakers.knows(Target::KeyModel(slot, model)));
        targets.extend(of_project.then(|| state.breakers.knows(Target::ProjectModel(at, model))).flatten());
    }
    targets
}
