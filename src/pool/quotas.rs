//! The quotas of all projects and models, made at first use.

use std::{
    collections::{HashMap, HashSet},
    hash::BuildHasherDefault,
    sync::Arc,
};

use super::{
    breaker::TargetHasher,
    model::ModelIx,
    registry::{Project, ProjectIx},
    state::{Now, Settings},
};
use crate::{
    Error,
    limit::{Limits, Quota, Today, Zone},
    time::Tick,
};

/// A zone of the pool, by number. 0 is the provider's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ZoneIx(u16);

type Fast = BuildHasherDefault<TargetHasher>;

#[derive(Debug)]
pub(crate) struct Quotas {
    map: HashMap<(ProjectIx, ModelIx), Quota, Fast>,
    zones: Vec<(Arc<str>, Zone)>,
    /// Projects and models that the store refused: not before a tick.
    closed: HashMap<(ProjectIx, ModelIx), Tick, Fast>,
    /// Projects and models over their assumed limit, for which one request finds out whether more is allowed.
    probes: HashSet<(ProjectIx, ModelIx), Fast>,
}

impl Quotas {
    /// # Errors
    /// A zone that does not exist.
    pub(crate) fn new(zone: &str) -> Result<Self, Error> {
        let zones = vec![(zone.into(), Zone::new(zone)?)];
        Ok(Self { map: HashMap::default(), zones, closed: HashMap::default(), probes: HashSet::default() })
    }

    /// # Errors
    /// A zone that does not exist.
    pub(crate) fn zone(&mut self, name: Option<&Arc<str>>) -> Result<ZoneIx, Error> {
        let Some(name) = name else { return Ok(ZoneIx::default()) };
        if let Some(at) = self.zones.iter().position(|(held, _)| held == name) {
            return Ok(ZoneIx(at as u16));
        }
        self.zones.push((Arc::clone(name), Zone::new(name)?));
        Ok(ZoneIx((self.zones.len() - 1) as u16))
    }

    pub(crate) fn today(&mut self, zone: ZoneIx, now: Now) -> Today {
        self.zones[usize::from(zone.0)].1.today(now.tick, || now.wall_ms)
    }

    /// The quota of a project and model.
    pub(crate) fn get(
        &mut self,
        at: ProjectIx,
        project: &Project,
        model: ModelIx,
        name: &str,
        settings: &Settings,
    ) -> &mut Quota {
        if !self.map.contains_key(&(at, model)) {
            let assumed = settings.assumed.get(&(model, project.tier));
            let mut quota = Quota::new(given(project, name, &settings.limits), assumed);
            // What was sent under a name that nothing was known of counts for the name, too.
            if let Some(default) = self.map.get(&(at, ModelIx::DEFAULT)) {
                quota.copy_counts_from(default);
            }
            self.map.insert((at, model), quota);
        }
        self.map.get_mut(&(at, model)).expect("it is there or was just made")
    }

    pub(crate) fn find(&mut self, project: ProjectIx, model: ModelIx) -> Option<&mut Quota> {
        self.map.get_mut(&(project, model))
    }

    /// The models with a quota of a project.
    pub(crate) fn models(&self, project: ProjectIx) -> Vec<ModelIx> {
        let mut models: Vec<_> =
            self.map.keys().filter(|(held, _)| *held == project).map(|(_, model)| *model).collect();
        models.sort_unstable();
        models
    }

    /// The given limits of a project changed.
    pub(crate) fn set_given(
        &mut self,
        at: ProjectIx,
        project: &Project,
        model: ModelIx,
        name: &str,
        pool: &[(Arc<str>, Limits)],
    ) {
        if let Some(quota) = self.map.get_mut(&(at, model)) {
            quota.set_given(given(project, name, pool));
        }
    }

    /// A project has no keys any more.
    pub(crate) fn remove(&mut self, project: ProjectIx) {
        self.map.retain(|(held, _), _| *held != project);
        self.probes.retain(|(held, _)| *held != project);
    }

    /// The counts of a project are added to another's, whose key turned out to be of the same project.
    pub(crate) fn merge(&mut self, from: ProjectIx, into: ProjectIx) {
        let models: Vec<_> = self.map.keys().filter(|(held, _)| *held == from).map(|(_, model)| *model).collect();
        for model in models {
            let Some(counted) = self.map.remove(&(from, model)) else { continue };
            match self.map.get_mut(&(into, model)) {
                Some(quota) => quota.restore(&counted.export()),
                None => {
                    self.map.insert((into, model), counted);
                }
            }
        }
    }

    pub(crate) fn zone_name(&self, zone: ZoneIx) -> Arc<str> {
        Arc::clone(&self.zones[usize::from(zone.0)].0)
    }

    /// The store has no room for a project and model before a tick.
    pub(crate) fn close_until(&mut self, project: ProjectIx, model: ModelIx, until: Tick) {
        self.closed.insert((project, model), until);
    }

    /// Until when the store has no room.
    pub(crate) fn closed_until(&mut self, project: ProjectIx, model: ModelIx, now: Tick) -> Option<Tick> {
        if self.closed.is_empty() {
            return None;
        }
        let until = *self.closed.get(&(project, model))?;
        if until <= now {
            self.closed.remove(&(project, model));
            return None;
        }
        Some(until)
    }

    /// Whether a request finds out now whether more than the assumed limit is allowed.
    pub(crate) fn is_probing(&self, project: ProjectIx, model: ModelIx) -> bool {
        self.probes.contains(&(project, model))
    }

    pub(crate) fn begin_probe(&mut self, project: ProjectIx, model: ModelIx) {
        self.probes.insert((project, model));
    }

    pub(crate) fn end_probe(&mut self, project: ProjectIx, model: ModelIx) {
        self.probes.remove(&(project, model));
    }
}

/// The limits given for a model: the project's own before the pool's, an exact name before a pattern that ends in `*`.
fn given<'a>(project: &'a Project, model: &str, pool: &'a [(Arc<str>, Limits)]) -> &'a Limits {
    static NONE: Limits = Limits::NONE;
    find(&project.limits, model).or_else(|| find(pool, model)).unwrap_or(&NONE)
}

fn find<'a>(limits: &'a [(Arc<str>, Limits)], model: &str) -> Option<&'a Limits> {
    let exact = limits.iter().find(|(name, _)| &**name == model);
    let pattern = || {
        let matching =
            limits.iter().filter(|(name, _)| name.strip_suffix('*').is_some_and(|start| model.starts_with(start)));
        matching.max_by_key(|(name, _)| name.len())
    };
    exact.or_else(pattern).map(|(_, limits)| limits)
}
