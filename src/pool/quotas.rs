//! The quotas of all projects and models, created at first use.

use std::{
    collections::{HashMap, HashSet},
    hash::BuildHasherDefault,
    sync::Arc,
    time::Duration,
};

use super::{breaker::TargetHasher, model::ModelIx, registry::ProjectIx, state::Now};
use crate::{
    Error,
    key::Tier,
    limit::{Cost, Limits, Meters, Quota, Today, Zone},
    time::Tick,
};

/// The index of a time zone of the pool. 0 is the provider's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ZoneIx(u16);

/// A refusal is forgotten after 1.25 s, since a correction of another process may make room earlier. 1 ms is added for
/// each other refusal, so that a request does not ask for many keys in turn forever.
const REFUSED_FOR: Duration = Duration::from_millis(1_250);

type Fast = BuildHasherDefault<TargetHasher>;

#[derive(Debug)]
pub(crate) struct Quotas {
    /// The quotas by model of each project, ordered by model.
    projects: Vec<Vec<(ModelIx, Quota)>>,
    /// The limits of the last quota created for each model and tier. Most are equal and shared.
    limits: HashMap<(ModelIx, Tier), Arc<Meters>>,
    zones: Vec<(Arc<str>, Zone)>,
    /// Projects and models for which the store refused a cost.
    full: HashMap<(ProjectIx, ModelIx), Refused, Fast>,
    /// Projects and models with a running probe: a request over the assumed limit that tests whether more is allowed.
    probes: HashSet<(ProjectIx, ModelIx), Fast>,
}

/// A cost that the store refused for a project and model.
#[derive(Debug)]
struct Refused {
    cost: Cost,
    /// When the store has room for it.
    until: Tick,
    /// When the store is asked again, at the latest at `until`.
    asked_again: Tick,
}

impl Quotas {
    /// # Errors
    /// A configuration error if the zone does not exist.
    pub(crate) fn new(zone: &str) -> Result<Self, Error> {
        let zones = vec![(zone.into(), Zone::new(zone)?)];
        Ok(Self {
            projects: Vec::new(),
            limits: HashMap::new(),
            zones,
            full: HashMap::default(),
            probes: HashSet::default(),
        })
    }

    /// # Errors
    /// A configuration error if the zone does not exist.
    pub(crate) fn zone(&mut self, name: &Arc<str>) -> Result<ZoneIx, Error> {
        if let Some(at) = self.zones.iter().position(|(held, _)| held == name) {
            return Ok(ZoneIx(at as u16));
        }
        self.zones.push((Arc::clone(name), Zone::new(name)?));
        Ok(ZoneIx((self.zones.len() - 1) as u16))
    }

    pub(crate) fn today(&mut self, zone: ZoneIx, now: Now) -> Today {
        self.zones[usize::from(zone.0)].1.today(now.tick, || now.wall_ms)
    }

    /// Reserves capacity for the quotas of this many more projects.
    pub(crate) fn reserve(&mut self, projects: usize) {
        self.projects.reserve_exact(projects);
    }

    /// Returns the index of a model's quota among those of the project.
    pub(crate) fn place(&self, project: ProjectIx, model: ModelIx) -> Option<usize> {
        self.projects.get(project.0 as usize)?.iter().position(|(held, _)| *held == model)
    }

    pub(crate) fn at(&mut self, project: ProjectIx, place: usize) -> &mut Quota {
        &mut self.projects[project.0 as usize][place].1
    }

    /// Creates the quota of a project and model and returns its index. `counted` is the model for which its requests
    /// counted before it was confirmed.
    pub(crate) fn make(
        &mut self,
        at: ProjectIx,
        model: ModelIx,
        tier: Tier,
        given: &Limits,
        assumed: Option<&Limits>,
        counted: Option<ModelIx>,
    ) -> usize {
        let mut quota = Quota::new(given, assumed);
        // Requests sent before the name was confirmed count for it, too.
        if let Some(counted) = counted.and_then(|counted| self.find(at, counted)) {
            quota.add_counts_of(counted);
        }
        quota.share_limits(self.limits.entry((model, tier)).or_default());
        self.insert(at, model, quota)
    }

    fn insert(&mut self, at: ProjectIx, model: ModelIx, quota: Quota) -> usize {
        let at = at.0 as usize;
        if at >= self.projects.len() {
            self.projects.resize_with(at + 1, Vec::new);
        }
        let quotas = &mut self.projects[at];
        // A project uses few models.
        quotas.reserve_exact(1);
        let place = quotas.partition_point(|(held, _)| *held < model);
        quotas.insert(place, (model, quota));
        place
    }

    pub(crate) fn find(&mut self, project: ProjectIx, model: ModelIx) -> Option<&mut Quota> {
        let place = self.place(project, model)?;
        Some(self.at(project, place))
    }

    /// Returns the models for which a project has a quota.
    pub(crate) fn models(&self, project: ProjectIx) -> Vec<ModelIx> {
        self.projects
            .get(project.0 as usize)
            .map_or_else(Vec::new, |quotas| quotas.iter().map(|(model, _)| *model).collect())
    }

    /// Applies the given limits of a project and model.
    pub(crate) fn set_given(&mut self, at: ProjectIx, model: ModelIx, tier: Tier, given: &Limits) {
        let Some(place) = self.place(at, model) else { return };
        let quota = &mut self.projects[at.0 as usize][place].1;
        quota.set_given(given);
        quota.share_limits(self.limits.entry((model, tier)).or_default());
        // The store's refusal was based on the old limits.
        self.full.remove(&(at, model));
    }

    /// Adds the counts of a project to another that turned out to be the same project.
    pub(crate) fn merge(&mut self, from: ProjectIx, into: ProjectIx) {
        let Some(counted) = self.projects.get_mut(from.0 as usize).map(std::mem::take) else { return };
        for (model, counted) in counted {
            match self.find(into, model) {
                Some(quota) => quota.add_counts_of(&counted),
                None => _ = self.insert(into, model, counted),
            }
        }
    }

    pub(crate) fn zone_name(&self, zone: ZoneIx) -> Arc<str> {
        Arc::clone(&self.zones[usize::from(zone.0)].0)
    }

    /// Records that the store has no room for this cost, or a larger one, of a project and model before a tick.
    pub(crate) fn set_full(&mut self, project: ProjectIx, model: ModelIx, until: Tick, cost: Cost, now: Tick) {
        let asked_again = until.min(now.plus(REFUSED_FOR + Duration::from_millis(self.full.len() as u64)));
        self.full.insert((project, model), Refused { cost, until, asked_again });
    }

    /// Returns until when the store has no room for a cost, if so.
    pub(crate) fn full_until(&mut self, project: ProjectIx, model: ModelIx, cost: &Cost, now: Tick) -> Option<Tick> {
        if self.full.is_empty() {
            return None;
        }
        let refused = self.full.get(&(project, model))?;
        if refused.asked_again <= now {
            self.full.remove(&(project, model));
            return None;
        }
        cost.covers(&refused.cost).then_some(refused.until)
    }

    /// Reports whether a request is testing whether more than the assumed limit is allowed.
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
