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
    key::Tier,
    limit::{Cost, Limits, Meters, Quota, Today, Zone},
    time::Tick,
};

/// A zone of the pool, by number. 0 is the provider's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ZoneIx(u16);

type Fast = BuildHasherDefault<TargetHasher>;

#[derive(Debug)]
pub(crate) struct Quotas {
    /// For each project its models, in their order.
    projects: Vec<Vec<(ModelIx, Quota)>>,
    /// The limits of the last quota that was made for a model and tier: most are the same.
    limits: HashMap<(ModelIx, Tier), Arc<Meters>>,
    zones: Vec<(Arc<str>, Zone)>,
    /// Projects and models that the store refused: not before a tick.
    closed: HashMap<(ProjectIx, ModelIx), (Tick, Cost), Fast>,
    /// Projects and models over their assumed limit, for which one request finds out whether more is allowed.
    probes: HashSet<(ProjectIx, ModelIx), Fast>,
}

impl Quotas {
    /// # Errors
    /// A zone that does not exist.
    pub(crate) fn new(zone: &str) -> Result<Self, Error> {
        let zones = vec![(zone.into(), Zone::new(zone)?)];
        Ok(Self {
            projects: Vec::new(),
            limits: HashMap::new(),
            zones,
            closed: HashMap::default(),
            probes: HashSet::default(),
        })
    }

    /// # Errors
    /// A zone that does not exist.
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

    /// Makes room for the quotas of so many more projects.
    pub(crate) fn reserve(&mut self, projects: usize) {
        self.projects.reserve_exact(projects);
    }

    /// Where the quota of a project and model is among those of the project.
    pub(crate) fn place(&self, project: ProjectIx, model: ModelIx) -> Option<usize> {
        self.projects.get(project.0 as usize)?.iter().position(|(held, _)| *held == model)
    }

    pub(crate) fn at(&mut self, project: ProjectIx, place: usize) -> &mut Quota {
        &mut self.projects[project.0 as usize][place].1
    }

    /// Makes the quota of a project and model. Its place. `counted` is the model that its requests counted for before it was known.
    pub(crate) fn make(
        &mut self,
        at: ProjectIx,
        project: &Project,
        model: ModelIx,
        name: &str,
        counted: Option<ModelIx>,
        settings: &Settings,
    ) -> usize {
        let at = at.0 as usize;
        if at >= self.projects.len() {
            self.projects.resize_with(at + 1, Vec::new);
        }
        let quotas = &mut self.projects[at];
        let assumed = settings.assumed.get(&(model, project.tier));
        let mut quota = Quota::new(given(project, name, &settings.limits), assumed);
        // What was sent under a name that nothing was known of counts for the name, too.
        if let Some((_, counted)) = quotas.iter().find(|(held, _)| Some(*held) == counted) {
            quota.add_counts_of(counted);
        }
        quota.share_limits(self.limits.entry((model, project.tier)).or_default());
        // A project is used for few models.
        quotas.reserve_exact(1);
        let place = quotas.partition_point(|(held, _)| *held < model);
        quotas.insert(place, (model, quota));
        place
    }

    pub(crate) fn find(&mut self, project: ProjectIx, model: ModelIx) -> Option<&mut Quota> {
        let place = self.place(project, model)?;
        Some(self.at(project, place))
    }

    /// The models with a quota of a project.
    pub(crate) fn models(&self, project: ProjectIx) -> Vec<ModelIx> {
        self.projects
            .get(project.0 as usize)
            .map_or_else(Vec::new, |quotas| quotas.iter().map(|(model, _)| *model).collect())
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
        let Some(place) = self.place(at, model) else { return };
        let quota = &mut self.projects[at.0 as usize][place].1;
        quota.set_given(given(project, name, pool));
        quota.share_limits(self.limits.entry((model, project.tier)).or_default());
        // The store refused by the limits of before.
        self.closed.remove(&(at, model));
    }

    /// The counts of a project are added to another's, whose key turned out to be of the same project.
    pub(crate) fn merge(&mut self, from: ProjectIx, into: ProjectIx) {
        let Some(counted) = self.projects.get_mut(from.0 as usize).map(std::mem::take) else { return };
        for (model, counted) in counted {
            if let Some(quota) = self.find(into, model) {
                quota.add_counts_of(&counted);
                continue;
            }
            let at = into.0 as usize;
            if at >= self.projects.len() {
                self.projects.resize_with(at + 1, Vec::new);
            }
            self.projects[at].push((model, counted));
            self.projects[at].sort_unstable_by_key(|(model, _)| *model);
        }
    }

    pub(crate) fn zone_name(&self, zone: ZoneIx) -> Arc<str> {
        Arc::clone(&self.zones[usize::from(zone.0)].0)
    }

    /// The store has no room for a cost, or a larger one, of a project and model before a tick.
    pub(crate) fn close_until(&mut self, project: ProjectIx, model: ModelIx, until: Tick, cost: Cost) {
        self.closed.insert((project, model), (until, cost));
    }

    /// Until when the store has no room for a cost.
    pub(crate) fn closed_until(&mut self, project: ProjectIx, model: ModelIx, cost: &Cost, now: Tick) -> Option<Tick> {
        if self.closed.is_empty() {
            return None;
        }
        let (until, refused) = *self.closed.get(&(project, model))?;
        if until <= now {
            self.closed.remove(&(project, model));
            return None;
        }
        cost.covers(&refused).then_some(until)
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
