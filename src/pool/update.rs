//! Changes the keys while the pool runs.

use std::collections::{HashMap, HashSet};

use super::{
    breaker::Target,
    events::Event,
    handle::KeyPool,
    quotas::ZoneIx,
    registry::{ProjectIx, Slot},
    state::{Now, State},
};
use crate::{
    Error, ErrorKind, Secret,
    key::{Key, KeyId},
};

/// Number of keys that are replaced under one lock, or more of one project.
const STEP: usize = 256;

impl KeyPool {
    /// Adds a key, or replaces the options of the key with the same id or secret. A secret that the pool has keeps its id
    /// there, even if this key has another one. Returns the id under which the key is in the pool.
    ///
    /// ```
    /// use tower_keypool::{Gemini, Key, KeyPool, Secret};
    ///
    /// let pool = KeyPool::builder(Gemini::new()).key(Key::free("AIza-not-a-real-key-001").named("a")).build()?;
    /// let id = pool.put(Key::paid("AIza-not-a-real-key-002").named("b"))?;
    /// pool.replace_secret(&"a".into(), &Secret::new("AIza-not-a-real-key-003")?)?;
    /// pool.remove(&id)?;
    /// assert_eq!(pool.try_acquire("gemini-2.5-flash")?.expose(), "AIza-not-a-real-key-003");
    /// # Ok::<(), tower_keypool::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`](crate::ErrorKind::InvalidKey) for a malformed secret;
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) for invalid limits, an unknown time zone, or a new secret that
    /// another key has.
    #[expect(clippy::needless_pass_by_value, reason = "the pool keeps what it needs of it")]
    pub fn put(&self, key: Key) -> Result<KeyId, Error> {
        self.shared.configure(key.model_names(), true);
        let put = self.change(|state, now| put(state, &key, None, now));
        super::persist::reload(&self.shared);
        put
    }

    /// Puts these keys, and removes all others. They are applied in steps, between which requests are served; the keys of
    /// a project change together. Valid keys are applied even if others are invalid. Known secrets keep their ids.
    ///
    /// # Errors
    /// The first error of a key, as of [`put`](Self::put), or [`ErrorKind::Config`](crate::ErrorKind::Config) if
    /// two keys with different secrets have the same id.
    pub fn replace_all(&self, keys: &[Key]) -> Result<(), Error> {
        self.shared.configure(keys.iter().flat_map(Key::model_names), true);
        let (mut kept, mut seen, mut first_error) = (HashSet::new(), HashSet::new(), None);
        let keys = self.by_project(keys);
        let mut rest = &keys[..];
        while !rest.is_empty() {
            // No request may be served when only some of the limits of a project apply.
            let project_ends = |at: &usize| rest[*at].0 != rest[at - 1].0;
            let (step, later) = rest.split_at((STEP..rest.len()).find(project_ends).unwrap_or(rest.len()));
            rest = later;
            self.change(|state, now| {
                for (_, key) in step {
                    // Otherwise the second secret of an id would replace the first.
                    let held = state.registry.id_of_secret(&key.secret);
                    let put = if kept.contains(&key.id()) && held.is_none_or(|held| !kept.contains(&held)) {
                        Err(Error::config("another key has the same id").of_key(&key.id()))
                    } else {
                        put(state, key, Some(&mut seen), now)
                    };
                    if let Err(error) = put {
                        first_error.get_or_insert(error);
                    }
                    kept.insert(key.id());
                    kept.extend(state.registry.id_of_secret(&key.secret));
                }
            });
        }
        let gone: Vec<_> = self.shared.with(|state, _| {
            let ids = state.registry.iter().map(|(_, entry)| &entry.data.id);
            ids.filter(|id| !kept.contains(*id)).cloned().collect()
        });
        for ids in gone.chunks(STEP) {
            self.change(|state, _| {
                for id in ids {
                    if let Some(slot) = state.registry.find(id) {
                        remove(state, slot);
                    }
                }
            });
        }
        super::persist::reload(&self.shared);
        first_error.map_or(Ok(()), Err)
    }

    /// Removes a key. Requests in flight continue.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownKey`](crate::ErrorKind::UnknownKey).
    pub fn remove(&self, key: &KeyId) -> Result<(), Error> {
        self.change(|state, _| find(state, key).map(|slot| remove(state, slot)))
    }

    /// Replaces the secret of a key, which keeps its id, its counts and its project. Its breaker closes.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownKey`](crate::ErrorKind::UnknownKey), and [`ErrorKind::Config`](crate::ErrorKind::Config) if
    /// another key has the secret.
    pub fn replace_secret(&self, key: &KeyId, secret: &Secret) -> Result<(), Error> {
        self.change(|state, now| {
            let slot = find(state, key)?;
            let replaced = state.registry.replace_secret(slot, secret.expose(), &state.settings.scheme);
            replaced.map_err(|error| error.of_key(key))?;
            close(state, slot, false, now);
            Ok(())
        })
    }

    /// Disables a key for a reason, until [`enable`](Self::enable) is called.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownKey`](crate::ErrorKind::UnknownKey).
    pub fn disable(&self, key: &KeyId, reason: &str) -> Result<(), Error> {
        self.change(|state, now| {
            let target = Target::Key(find(state, key)?);
            state.breakers.disable(target, reason, now.tick);
            state.reopen(target);
            super::persist::persist_breaker(state, target, now);
            let target = state.name_of(target);
            let message = Some(reason.into());
            state.effects.events.push(Event::Disabled { target, key: key.clone(), class: None, message });
            Ok(())
        })
    }

    /// Enables a key and forgets its failures, and those of its project, billing account and exit: other keys of these
    /// are used again, too.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownKey`](crate::ErrorKind::UnknownKey).
    pub fn enable(&self, key: &KeyId) -> Result<(), Error> {
        self.change(|state, now| find(state, key).map(|slot| close(state, slot, true, now)))
    }

    /// Changes the state, and serves the requests that the change lets through.
    fn change<R>(&self, run: impl FnOnce(&mut State, Now) -> R) -> R {
        self.shared.with(|state, now| {
            let result = run(state, now);
            super::queue::serve(state, now);
            result
        })
    }

    /// Returns the keys with those of a project in a row, and a number for each project.
    fn by_project<'a>(&self, keys: &'a [Key]) -> Vec<(usize, &'a Key)> {
        let mut first_keys = HashMap::new();
        let mut numbered = Vec::with_capacity(keys.len());
        for keys in keys.chunks(STEP) {
            self.shared.with(|state, _| {
                for key in keys {
                    let first = *first_keys.entry(state.registry.project_name(key)).or_insert(numbered.len());
                    numbered.push((first, key));
                }
            });
        }
        numbered.sort_by_key(|(first, _)| *first);
        numbered
    }
}

/// The projects whose options a key of the same change has set; `None` if the change is of a single key.
type SeenProjects<'a> = Option<&'a mut HashSet<ProjectIx>>;

/// Adds a key, or replaces the one with the same id.
fn put(state: &mut State, key: &Key, seen: SeenProjects<'_>, now: Now) -> Result<KeyId, Error> {
    let put = match state.registry.find(&key.id()) {
        Some(slot) => update(state, slot, key, seen, now).map(|()| key.id()),
        None => add(state, key, seen).map(|(id, _)| id),
    };
    put.map_err(|error| error.of_key(&key.id()))
}

fn update(state: &mut State, slot: Slot, key: &Key, seen: SeenProjects<'_>, now: Now) -> Result<(), Error> {
    let zone = key.zone.as_ref().map(|zone| state.quotas.zone(zone)).transpose()?;
    let project_of = |state: &State| state.registry.get(slot).map(|entry| entry.project);
    let before = project_of(state);
    if state.registry.update(slot, key, &state.settings.scheme)? {
        close(state, slot, false, now);
    }
    // If the last key of a project moves between its own project and a named one, the counts move, too.
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

/// Adds a key, or merges it into the key with the same secret. Returns its id, and whether it was merged.
pub(crate) fn add(state: &mut State, key: &Key, seen: SeenProjects<'_>) -> Result<(KeyId, bool), Error> {
    let zone = key.zone.as_ref().map(|zone| state.quotas.zone(zone)).transpose()?;
    let (slot, merged) = state.registry.add(key, &state.settings.scheme)?;
    apply_options(state, slot, key, zone, seen);
    let id = state.registry.get(slot).map(|entry| entry.data.id.clone()).expect("it was just added");
    if !merged {
        state.effects.events.push(Event::KeyAdded { key: id.clone() });
    }
    Ok((id, merged))
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
