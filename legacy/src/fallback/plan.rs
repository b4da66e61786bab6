//! Where one request stands in its list.

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    pool::{Demand, Exhausted, KeyPool, Lease, OutReason, Seat},
    provider::Provider,
};

/// Where one request stands in its list of models.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    list: Arc<[Arc<str>]>,
    /// The place in the list where the request's own part of it begins.
    first: usize,
    /// The place of the next one to try.
    next: usize,
    /// The request begins with the model that it names.
    itself: bool,
    on_overloaded: bool,
    /// Whoever may have the name that the request has may have so many of the list's first, too.
    stands_for: u16,
}

impl Plan {
    /// Begins with the model that is named, then goes on at `next`.
    pub(super) fn after(list: Arc<[Arc<str>]>, next: usize, on_overloaded: bool) -> Self {
        Self { list, first: next, next, itself: true, on_overloaded, stands_for: 0 }
    }

    /// Begins with the list.
    pub(super) fn from_list(list: Arc<[Arc<str>]>, on_overloaded: bool) -> Self {
        Self::standing_for(list, 0, on_overloaded)
    }

    /// Begins with the list, for a name that stands for its first ones.
    pub(super) fn standing_for(list: Arc<[Arc<str>]>, stands_for: u16, on_overloaded: bool) -> Self {
        Self { list, first: 0, next: 0, itself: false, on_overloaded, stands_for }
    }

    /// For a request with this demand; `None` where it keeps what it has.
    pub(crate) fn of(self, demand: &Demand, provider: &dyn Provider) -> Option<Self> {
        let allowed = demand.particulars.allowed.as_ref();
        let asked = if self.itself { demand.model.clone() } else { self.list.first().cloned() };
        let plan = self.within(|model| {
            allowed.is_none_or(|allowed| allowed(model))
                && asked.as_ref().is_none_or(|asked| provider.stands_in(model, asked))
        })?;
        if demand.particulars.keeps_model { plan.alone() } else { Some(plan) }
    }

    /// Without the models that the request may not have, or has no use for; what a name stands for whoever may have the name
    /// has.
    fn within(mut self, may: impl Fn(&str) -> bool) -> Option<Self> {
        let stands_for = usize::from(self.stands_for);
        let may = |(at, model): &(usize, &Arc<str>)| *at < stands_for || may(model);
        let all = self.list.iter().enumerate().skip(self.next);
        if all.clone().all(|one| may(&one)) {
            return Some(self);
        }
        self.list = all.filter(may).map(|(_, model)| Arc::clone(model)).collect();
        (self.first, self.next) = (0, 0);
        (self.itself || !self.list.is_empty()).then_some(self)
    }

    /// Without those of its rest that are none; as it is where that leaves nothing.
    pub(super) fn passing_by(self, is_none: impl Fn(&Arc<str>) -> bool) -> Self {
        let rest = || self.list.iter().skip(self.next);
        if !rest().any(&is_none) {
            return self;
        }
        let list: Arc<[Arc<str>]> = rest().filter(|model| !is_none(model)).cloned().collect();
        if list.is_empty() && !self.itself { self } else { Self { list, first: 0, next: 0, ..self } }
    }

    /// The one model of a request that is of no use to another.
    pub(super) fn alone(self) -> Option<Self> {
        let first = self.list.first().filter(|_| !self.itself).cloned()?;
        Some(Self { list: Arc::from([first]), ..self })
    }

    /// Whether the request begins with the model that it names.
    pub(crate) fn begins_with_itself(&self) -> bool {
        self.itself
    }

    /// All that it may still use, `model` first where it begins with that.
    pub(super) fn rest(&self, model: &str) -> Vec<Arc<str>> {
        let itself = self.itself.then(|| Arc::from(model));
        let below = self.list.iter().skip(self.next).filter(|listed| !self.itself || ***listed != *model);
        itself.into_iter().chain(below.cloned()).collect()
    }

    /// Whether nothing is left to step down to.
    pub(crate) fn is_done(&self) -> bool {
        self.next >= self.list.len()
    }

    /// Whether it may use more models than one.
    pub(super) fn has_others(&self) -> bool {
        self.list.len() - self.first + usize::from(self.itself) > 1
    }

    pub(crate) fn steps_on_overloaded(&self) -> bool {
        self.on_overloaded
    }

    /// The next model that a key stands ready for, with the key. `seat` is that of the answer in hand, whose slot may be
    /// the one that is wanted.
    pub(crate) fn step(&mut self, pool: &KeyPool, demand: &Demand, seat: Option<Seat>) -> Option<(Arc<str>, Lease)> {
        let from = self.next;
        self.ready(pool, demand).or_else(|| {
            pool.end(seat?);
            self.next = from;
            self.ready(pool, demand)
        })
    }

    fn ready(&mut self, pool: &KeyPool, demand: &Demand) -> Option<(Arc<str>, Lease)> {
        while let Some(model) = self.list.get(self.next) {
            self.next += 1;
            if demand.model.as_ref() == Some(model) {
                continue;
            }
            let wanted = Demand { model: Some(Arc::clone(model)), ahead: true, ..demand.clone() };
            if let Some(lease) = pool.lease_now(&wanted) {
                return Some((Arc::clone(model), lease));
            }
        }
        None
    }

    /// Where no key stands ready for any that is left: the one that a key serves first, if that is within this wait; else the
    /// first that one may serve by then, behind whoever stands in front, or as soon as the store has it.
    pub(crate) fn soonest(&self, pool: &KeyPool, demand: &Demand, wait: Duration) -> Option<Arc<str>> {
        let left = self.list.iter().skip(self.next).filter(|model| demand.model.as_ref() != Some(model));
        let (mut serves, mut may_serve) = (None, None);
        for model in left {
            let out = outlook(pool, demand, model);
            let after = |of: fn(&Exhausted) -> Option<Duration>| out.as_ref().map_or(Some(Duration::ZERO), of);
            for (soonest, after) in
                [(&mut serves, after(Exhausted::next_in)), (&mut may_serve, after(Exhausted::may_be_lent_in))]
            {
                let Some(after) = after.filter(|after| *after <= wait) else { continue };
                // Of several the best.
                if soonest.as_ref().is_none_or(|(held, _)| after < *held) {
                    *soonest = Some((after, model));
                }
            }
        }
        serves.or(may_serve).map(|(_, model)| Arc::clone(model))
    }

    /// The same for whoever comes again: of all that the request may use, those that it passed by included. That the store
    /// is waited for is no time to come again at, and what was tried by then need not be tried.
    pub(crate) fn soonest_of_all(&self, pool: &KeyPool, demand: &Demand) -> Option<(Arc<str>, Duration)> {
        let mut anew = demand.clone();
        anew.particulars.earlier = None;
        let itself = anew.particulars.requested.clone().filter(|_| self.itself);
        let all = itself.iter().chain(self.list.iter().skip(self.first));
        let after = |model: &Arc<str>| {
            let out = outlook(pool, &anew, model)?;
            let unwritten = out.reasons().any(|(reason, _)| reason == OutReason::Unwritten);
            out.told_in().filter(|_| !unwritten).map(|after| (Arc::clone(model), after))
        };
        let others = all.filter(|model| demand.model.as_ref() != Some(model));
        others.filter_map(after).min_by_key(|(_, after)| *after)
    }

    /// Goes on behind this one of those that are left.
    pub(crate) fn pass(&mut self, model: &str) {
        let at = self.list.iter().skip(self.next).position(|listed| **listed == *model);
        self.next = at.map_or(self.list.len(), |at| self.next + at + 1);
    }

    /// The best of all, where no key stands ready for any: the request waits for it, or learns why it cannot.
    pub(crate) fn best(&mut self) -> Option<Arc<str>> {
        self.next = 1;
        self.list.first().cloned()
    }
}

/// Why no key may carry the demand as this model.
fn outlook(pool: &KeyPool, demand: &Demand, model: &Arc<str>) -> Option<Exhausted> {
    pool.outlook(Demand { model: Some(Arc::clone(model)), ahead: true, ..demand.clone() })
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let itself = self.itself.then_some("itself");
        let list = self.list.iter().skip(self.next).map(|model| &**model);
        f.write_str(&itself.into_iter().chain(list).collect::<Vec<_>>().join(", "))
    }
}
