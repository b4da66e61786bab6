//! Tasks that refer to what only one owner's keys see: who may carry them, and which of them looks for whom.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use tower_keypool::{Affinity, Demand, Exhausted, KeyId, Lease, VerdictKind};

use super::{
    attempt::{Bad, Tried},
    events::FaultKind,
    line::soonest,
    work::Work,
    worker::Worker,
};
use crate::holdings::{Holdings, Names, Way};

/// So many tasks that wait for some key or answer are looked at for each that is taken.
pub(super) const MOST_LOOKED_AT: usize = 1_024;

/// Who may carry a task that refers to something.
#[derive(Debug, Default)]
pub(super) struct Owned {
    /// `None`: nobody does.
    holdings: Option<Holdings>,
    /// The task that looks for each thing whose owner nobody knows: one owner after the other, once for all.
    seeking: HashMap<Arc<str>, u64>,
}

impl Owned {
    pub(super) fn new(holdings: Holdings) -> Self {
        Self { holdings: Some(holdings), seeking: HashMap::new() }
    }

    fn way(&self, work: &Work) -> Option<Way> {
        self.holdings.as_ref()?.way(work.names.as_ref()?)
    }

    /// Whether a worker, or a slot of this key, may carry it now.
    pub(super) fn may_go(&self, work: &Work, key: Option<&KeyId>) -> bool {
        let (Some(names), Some(holdings)) = (&work.names, &self.holdings) else { return true };
        if self.seeking.get(&names.all).is_some_and(|index| *index != work.index) {
            return false;
        }
        let Some(key) = key else { return true };
        match holdings.way(names) {
            None | Some(Way::Nowhere(_)) => true,
            Some(way) => way.ways().contains(&holdings.way_of(key)),
        }
    }

    /// It goes: where nobody knows who has what it refers to, others wait for what it finds out.
    pub(super) fn goes(&mut self, work: &Work) {
        if let (Some(names), Some(Way::Unknown(_))) = (&work.names, self.way(work)) {
            self.seeking.insert(Arc::clone(&names.all), work.index);
        }
    }

    /// It is back. Whether it looked for something.
    pub(super) fn is_back(&mut self, work: &Work) -> bool {
        let Some(names) = &work.names else { return false };
        let looked = self.seeking.get(&names.all) == Some(&work.index);
        looked && self.seeking.remove(&names.all).is_some()
    }

    /// With whom it waits where no key may carry it: with all of its model, or of its model and owner.
    pub(super) fn lane(&self, work: &Work) -> Arc<str> {
        let model = &work.model;
        match self.way(work) {
            Some(Way::To(Affinity::MustOwner(owner))) => format!("{model} with what {owner} has").into(),
            Some(Way::To(Affinity::MustKey(key))) => format!("{model} with what {key} has").into(),
            Some(Way::Unknown(_)) => format!("{model} with what is looked for").into(),
            _ => Arc::clone(model),
        }
    }
}

impl Worker {
    /// The models that may carry a task, in their order: what it names may be of use to one alone.
    pub(super) fn chain(&self, work: &Work) -> Vec<Arc<str>> {
        let mut chain = self.shared.client.models_in_place().chain(&work.model);
        if work.names.as_ref().is_some_and(Names::are_of_one_model) {
            chain.truncate(1);
        }
        chain
    }

    /// Who may carry a task: the owner of what it refers to, those who may be that, or any. A slot has its own key.
    pub(super) fn ways(&self, work: &Work) -> Cow<'static, [Affinity]> {
        const ANY: &[Affinity] = &[Affinity::Any];
        let names = work.names.as_ref();
        let way = names.and_then(|names| self.shared.client.holdings().way(names));
        let ways = way.as_ref().map_or(&[][..], Way::ways);
        if ways.is_empty() { ANY.into() } else { ways.to_vec().into() }
    }

    /// A key of the first of these owners who has one; why there is none is what the one says who is back first.
    pub(super) fn lease_of_any(&self, demand: &Demand, ways: &[Affinity]) -> Result<Lease, tower_keypool::Error> {
        let pool = self.shared.client.pool();
        let mut why: Option<tower_keypool::Error> = None;
        for way in ways.iter().filter(|_| self.key.is_none()) {
            match pool.try_acquire(demand.clone().affinity(way.clone())) {
                Ok(lease) => return Ok(lease),
                Err(error) => {
                    let later = |held: &tower_keypool::Error| when(&error) < when(held);
                    if why.as_ref().is_none_or(later) {
                        why = Some(error);
                    }
                }
            }
        }
        why.map_or_else(|| pool.try_acquire(demand.clone()), Err)
    }

    /// What an answer showed of who has what the task refers to.
    pub(super) fn learn(&self, work: &Work, tried: &Tried) {
        let (Some(names), Some(served)) = (&work.names, &tried.served_by) else { return };
        let Some(key) = served.key() else { return };
        let holdings = self.shared.client.holdings();
        match &tried.outcome {
            Err(bad) if bad.of_another => holdings.refused(names, holdings.way_of(key), &bad.message),
            _ if served.verdict().kind() == VerdictKind::Success => holdings.found(names, key),
            _ => {}
        }
    }

    /// Why a task is not sent that refers to what nobody has.
    pub(super) fn is_nowhere(&self, work: &Work) -> Option<Bad> {
        let names = work.names.as_ref()?;
        let Way::Nowhere(said) = self.shared.client.holdings().way(names)? else { return None };
        let message = format!("no owner has {}: {said}", names.told());
        Some(Bad { invalid: true, ..Bad::new(FaultKind::Task, "invalid", message) })
    }

    /// The keys of those who may have what the task refers to do not come back by themselves: whether it is another's then.
    pub(super) fn has_lost_owner(&self, work: &Work, why: &Exhausted) -> bool {
        let Some(names) = &work.names else { return false };
        let holdings = self.shared.client.holdings();
        let Some(way) = holdings.way(names) else { return false };
        way.ways().iter().for_each(|way| holdings.refused(names, way.clone(), &why.to_string()));
        true
    }
}

fn when(error: &tower_keypool::Error) -> std::time::Duration {
    error.exhausted().map_or(std::time::Duration::MAX, soonest)
}
