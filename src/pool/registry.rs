//! The keys of a pool, grouped by project, account and exit.

use std::{collections::HashMap, num::NonZeroU32, sync::Arc, time::Duration};

use super::{model::is_name_of, quotas::ZoneIx, strategy::Strategy};
use crate::{
    Error,
    key::{Key, KeyId, Tier},
    limit::Limits,
    secret::Secret,
    time::Tick,
};

/// The index of a key in the registry. The slot of a removed key is reused with another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot(pub(crate) u32);

/// The index of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ProjectIx(pub(crate) u32);

/// The index of a name that several keys share: a billing account or an exit. It starts at 1, so that `Option<GroupIx>`
/// is no larger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct GroupIx(NonZeroU32);

/// The options of a key, shared with its leases. A change replaces the whole value.
#[derive(Clone, Debug)]
pub(crate) struct KeyData {
    pub(crate) id: KeyId,
    pub(crate) secret: Secret,
    pub(crate) tier: Tier,
    pub(crate) priority: u16,
    pub(crate) weight: u16,
    pub(crate) max_concurrent: Option<u32>,
    /// Whether the user named its project. Otherwise it is alone until a response of the provider names its project.
    names_project: bool,
    /// Options that few keys have.
    pub(crate) extra: Option<Box<Extra>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Extra {
    pub(crate) min_interval: Option<Duration>,
    pub(crate) models: Option<Arc<[Arc<str>]>>,
    pub(crate) exit: Option<Arc<str>>,
    pub(crate) label: Option<Arc<str>>,
}

impl KeyData {
    fn new(key: &Key, scheme: &str) -> Result<Self, Error> {
        for (_, limits) in &key.limits {
            limits.check()?;
        }
        let secret = Secret::with_scheme(scheme, &key.secret)?;
        let extra = Extra {
            min_interval: key.min_interval,
            models: key.models.clone(),
            exit: key.exit.clone(),
            label: key.label.clone(),
        };
        Ok(Self {
            id: key.id(),
            secret,
            tier: key.tier,
            priority: key.effective_priority(),
            weight: key.weight.max(1),
            max_concurrent: key.max_concurrent,
            names_project: key.project.is_some(),
            extra: (extra != Extra::default()).then(|| Box::new(extra)),
        })
    }

    /// Reports whether the key may be used for a model.
    pub(crate) fn allows(&self, model: Option<&str>) -> bool {
        let Some(models) = self.extra.as_ref().and_then(|extra| extra.models.as_ref()) else { return true };
        let Some(model) = model else { return true };
        models.iter().any(|name| is_name_of(name, model))
    }

    pub(crate) fn min_interval(&self) -> Option<Duration> {
        self.extra.as_ref().and_then(|extra| extra.min_interval)
    }

    pub(crate) fn exit(&self) -> Option<&Arc<str>> {
        self.extra.as_ref().and_then(|extra| extra.exit.as_ref())
    }
}

/// A key in the registry, with the state that each request changes.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) data: Arc<KeyData>,
    /// The number of keys added so far, including this one. It distinguishes keys that reuse a slot.
    pub(crate) generation: u32,
    pub(crate) project: ProjectIx,
    pub(crate) exit: Option<GroupIx>,
    pub(crate) last_start: Tick,
    pub(crate) load: super::strategy::Load,
    pub(crate) counts: KeyCounts,
}

/// The numbers of requests of a key, saturating at 32 bits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyCounts {
    pub(crate) started: u32,
    pub(crate) succeeded: u32,
    pub(crate) failed: u32,
}

/// A quota group. It stays when its last key is removed, so that its counts still apply when a key comes back.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) name: Arc<str>,
    /// Whether the user named it. Otherwise it has a single key until a response names its project.
    pub(crate) named: bool,
    pub(crate) keys: Vec<Slot>,
    pub(crate) tier: Tier,
    pub(crate) zone: ZoneIx,
    pub(crate) account: Option<GroupIx>,
    pub(crate) limits: Box<[(Arc<str>, Limits)]>,
    /// The project to which its keys turned out to belong.
    merged: Option<ProjectIx>,
}

#[derive(Debug, Default)]
pub(crate) struct Registry {
    entries: Vec<Option<Entry>>,
    free: Vec<Slot>,
    /// The number of keys added so far.
    added: u32,
    /// The slots by the hash of the id.
    by_id: HashMap<u64, Slot>,
    /// The slots by the hash of the secret.
    by_secret: HashMap<u64, Slot>,
    projects: Vec<Project>,
    project_names: HashMap<Arc<str>, ProjectIx>,
    /// The unnamed projects without keys, by the id of their removed key.
    orphaned_projects: HashMap<Arc<str>, ProjectIx>,
    groups: Vec<Arc<str>>,
    group_names: HashMap<Arc<str>, GroupIx>,
    /// The number of keys for each exit, and without one.
    exits: HashMap<Option<GroupIx>, usize>,
}

impl Entry {
    /// Returns its rank among the ready keys.
    #[inline]
    pub(crate) fn rank(&self, strategy: Strategy) -> u64 {
        strategy.rank(&self.load, &self.data)
    }
}

impl Registry {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Reserves capacity for this many more keys, each a project of its own.
    pub(crate) fn reserve(&mut self, keys: usize) {
        self.entries.reserve_exact(keys);
        self.by_id.reserve(keys);
        self.by_secret.reserve(keys);
        self.projects.reserve_exact(keys);
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Entry> {
        self.entries.get(slot.0 as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.entries.get_mut(slot.0 as usize)?.as_mut()
    }

    pub(crate) fn find(&self, id: &KeyId) -> Option<Slot> {
        let slot = *self.by_id.get(&hash(id.as_str()))?;
        self.get(slot).is_some_and(|entry| entry.data.id == *id).then_some(slot)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &Entry)> {
        self.entries.iter().enumerate().filter_map(|(at, entry)| Some((Slot(at as u32), entry.as_ref()?)))
    }

    pub(crate) fn project(&self, project: ProjectIx) -> &Project {
        &self.projects[project.0 as usize]
    }

    /// Returns the project to which a project's keys now belong.
    pub(crate) fn current(&self, mut project: ProjectIx) -> ProjectIx {
        while let Some(into) = self.project(project).merged {
            project = into;
        }
        project
    }

    /// Finds a project by its name. A key's id also names the project that the key has now: a store or client may
    /// know the project by that id.
    pub(crate) fn find_project(&self, name: &str) -> Option<ProjectIx> {
        if let Some(project) = self.project_names.get(name) {
            return Some(*project);
        }
        self.get(self.find(&KeyId::from(name))?).map(|entry| entry.project)
    }

    /// Returns the name of the project that a key has once it is put into the pool.
    pub(crate) fn project_name(&self, key: &Key) -> Arc<str> {
        let held = || self.get(self.find(&key.id()).or_else(|| self.find_secret(&key.secret))?);
        let unnamed = || held().filter(|entry| !entry.data.names_project);
        key.project.clone().unwrap_or_else(|| match unnamed() {
            Some(entry) => Arc::clone(&self.project(entry.project).name),
            None => key.id().shared(),
        })
    }

    pub(crate) fn group_name(&self, group: GroupIx) -> &Arc<str> {
        &self.groups[group.0.get() as usize - 1]
    }

    /// Reports whether the keys use more than one exit.
    pub(crate) fn has_exits(&self) -> bool {
        self.exits.len() > 1
    }

    fn group(&mut self, name: &Arc<str>) -> GroupIx {
        if let Some(group) = self.group_names.get(name) {
            return *group;
        }
        self.groups.push(Arc::clone(name));
        let group = GroupIx(NonZeroU32::new(self.groups.len() as u32).expect("one was just added"));
        self.group_names.insert(Arc::clone(name), group);
        group
    }

    /// Adds a key, or merges it into the key with the same secret. Returns its slot, and whether it was merged.
    ///
    /// # Errors
    /// If the secret is malformed, the id belongs to another secret, or a limit is invalid.
    pub(crate) fn add(&mut self, key: &Key, scheme: &str) -> Result<(Slot, bool), Error> {
        if let Some(slot) = self.find_secret(&key.secret) {
            let id = self.get(slot).map(|entry| entry.data.id.clone()).expect("it was found");
            self.update(slot, &key.clone().named(id), scheme)?;
            return Ok((slot, true));
        }
        let data = Arc::new(KeyData::new(key, scheme)?);
        if self.find(&data.id).is_some() {
            return Err(Error::config("another key has the same id"));
        }
        let slot = self.free.pop().unwrap_or(Slot(self.entries.len() as u32));
        if slot.0 as usize == self.entries.len() {
            self.entries.push(None);
        }
        self.added += 1;
        self.by_id.insert(hash(data.id.as_str()), slot);
        self.by_secret.insert(hash(&key.secret), slot);
        let project = self.join(slot, key, &data.id);
        let exit = data.exit().cloned().map(|exit| self.group(&exit));
        *self.exits.entry(exit).or_default() += 1;
        self.entries[slot.0 as usize] = Some(Entry {
            data,
            generation: self.added,
            project,
            exit,
            last_start: Tick::ZERO,
            load: super::strategy::Load::default(),
            counts: KeyCounts::default(),
        });
        Ok((slot, false))
    }

    /// Replaces the options and the secret of a key. Its counts stay. Returns whether the secret differs.
    pub(crate) fn update(&mut self, slot: Slot, key: &Key, scheme: &str) -> Result<bool, Error> {
        let data = Arc::new(KeyData::new(key, scheme)?);
        let entry = self.get(slot).expect("the caller found it");
        let (old, old_project) = (Arc::clone(&entry.data), entry.project);
        let renewed = self.renew_secret(slot, &old.secret, &data.secret)?;
        let keeps_project = match &key.project {
            Some(name) => self.project_names.get(name) == Some(&old_project),
            None => !old.names_project,
        };
        let project = if keeps_project {
            old_project
        } else {
            self.leave(slot, old_project);
            self.join(slot, key, &data.id)
        };
        let exit = data.exit().cloned().map(|exit| self.group(&exit));
        let entry = self.entries[slot.0 as usize].as_mut().expect("the caller found it");
        let old_exit = std::mem::replace(&mut entry.exit, exit);
        entry.project = project;
        entry.data = data;
        *self.exits.entry(exit).or_default() += 1;
        self.leave_exit(old_exit);
        Ok(renewed)
    }

    /// Removes a key, of which leases may still be held.
    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Entry> {
        let entry = self.entries.get_mut(slot.0 as usize)?.take()?;
        self.by_id.remove(&hash(entry.data.id.as_str()));
        self.by_secret.remove(&hash(entry.data.secret.expose()));
        self.leave(slot, entry.project);
        self.leave_exit(entry.exit);
        self.free.push(slot);
        Some(entry)
    }

    /// Moves the keys and given limits of a project to another, to which they turned out to belong. Returns the keys.
    pub(crate) fn merge(&mut self, from: ProjectIx, into: ProjectIx) -> Vec<Slot> {
        let source = &mut self.projects[from.0 as usize];
        source.merged = Some(into);
        let (keys, limits) = (std::mem::take(&mut source.keys), std::mem::take(&mut source.limits));
        for slot in &keys {
            if let Some(entry) = self.get_mut(*slot) {
                entry.project = into;
            }
        }
        let target = &mut self.projects[into.0 as usize];
        target.keys.extend_from_slice(&keys);
        let held = std::mem::take(&mut target.limits);
        let more = limits.into_iter().filter(|(model, _)| held.iter().all(|(held, _)| held != model));
        target.limits = more.chain(held.iter().cloned()).collect();
        keys
    }

    /// Replaces the secret of a key.
    ///
    /// # Errors
    /// If the secret is malformed or belongs to another key.
    pub(crate) fn replace_secret(&mut self, slot: Slot, secret: &str, scheme: &str) -> Result<(), Error> {
        let new = Secret::with_scheme(scheme, secret)?;
        let old = self.get(slot).expect("the caller found it").data.secret.clone();
        self.renew_secret(slot, &old, &new)?;
        let entry = self.get_mut(slot).expect("the caller found it");
        Arc::make_mut(&mut entry.data).secret = new;
        Ok(())
    }

    /// Updates the index of secrets. Returns whether the secrets differ.
    fn renew_secret(&mut self, slot: Slot, old: &Secret, new: &Secret) -> Result<bool, Error> {
        if old == new {
            return Ok(false);
        }
        if self.find_secret(new.expose()).is_some() {
            return Err(Error::config("another key has the same secret"));
        }
        self.by_secret.remove(&hash(old.expose()));
        self.by_secret.insert(hash(new.expose()), slot);
        Ok(true)
    }

    pub(crate) fn id_of_secret(&self, secret: &str) -> Option<KeyId> {
        self.get(self.find_secret(secret)?).map(|entry| entry.data.id.clone())
    }

    pub(crate) fn find_group(&self, name: &str) -> Option<GroupIx> {
        self.group_names.get(name).copied()
    }

    fn find_secret(&self, secret: &str) -> Option<Slot> {
        let slot = *self.by_secret.get(&hash(secret))?;
        self.get(slot).is_some_and(|entry| entry.data.secret.expose() == secret).then_some(slot)
    }

    /// Puts a key into its project, and creates the project if needed.
    fn join(&mut self, slot: Slot, key: &Key, id: &KeyId) -> ProjectIx {
        let known = match &key.project {
            Some(name) => self.project_names.get(name).copied(),
            None => self.orphaned_projects.remove(id.as_str()).map(|project| self.current(project)),
        };
        let project = known.unwrap_or_else(|| {
            self.projects.push(Project {
                name: key.project.clone().unwrap_or_else(|| id.shared()),
                named: key.project.is_some(),
                keys: Vec::with_capacity(1),
                tier: Tier::Unknown,
                zone: ZoneIx::default(),
                account: None,
                limits: Box::default(),
                merged: None,
            });
            ProjectIx((self.projects.len() - 1) as u32)
        });
        if let Some(name) = &key.project {
            self.project_names.insert(Arc::clone(name), project);
        }
        self.projects[project.0 as usize].keys.push(slot);
        project
    }

    /// Applies a key's options about its project to the project; the last key wins. With `replaces` they replace the
    /// options of other keys. Returns whether the given limits changed.
    pub(crate) fn set_project_options(
        &mut self,
        project: ProjectIx,
        key: &Key,
        zone: Option<ZoneIx>,
        replaces: bool,
    ) -> bool {
        let account = key.billing_account.as_ref().map(|account| self.group(account));
        let project = &mut self.projects[project.0 as usize];
        if replaces {
            project.tier = Tier::Unknown;
            project.zone = ZoneIx::default();
            project.account = None;
        }
        if key.tier != Tier::Unknown {
            project.tier = key.tier;
        }
        project.zone = zone.unwrap_or(project.zone);
        project.account = account.or(project.account);
        let changed = key.limits.iter().any(|limits| !project.limits.contains(limits))
            || replaces && project.limits.len() > key.limits.len();
        if changed {
            let kept = |(held, _): &&_| !replaces && key.limits.iter().all(|(model, _)| model != held);
            project.limits = project.limits.iter().filter(kept).chain(&key.limits).cloned().collect();
        }
        changed
    }

    fn leave(&mut self, slot: Slot, at: ProjectIx) {
        let project = &mut self.projects[at.0 as usize];
        if let Some(place) = project.keys.iter().position(|held| *held == slot) {
            project.keys.swap_remove(place);
        }
        if project.keys.is_empty() && !project.named {
            self.orphaned_projects.insert(Arc::clone(&project.name), at);
        }
    }

    fn leave_exit(&mut self, exit: Option<GroupIx>) {
        if let Some(keys) = self.exits.get_mut(&exit) {
            *keys -= 1;
            if *keys == 0 {
                self.exits.remove(&exit);
            }
        }
    }
}

/// Hashes an id or a secret. The maps use the hash as the key, so that the text is stored only once.
fn hash(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hasher};
    let mut hasher = DefaultHasher::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}
