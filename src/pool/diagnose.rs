//! Why no key may carry a demand: every key looked at, counted by reason.

use super::{
    Affinity, Demand, Exhausted, OutReason,
    pick::{Ask, Check},
    state::State,
};
use crate::time::Tick;

impl State {
    /// Looks at every key for this demand.
    pub(super) fn diagnose(&mut self, ask: &Ask<'_>) -> Exhausted {
        let demand: &Demand = ask.demand;
        let mut exhausted = Exhausted { model: demand.model.clone(), keys: self.roster.len(), ..Exhausted::default() };
        let mut next = Tick::NEVER;
        let upfront = [self.exit.as_ref(), self.lanes[usize::from(ask.lane)].rest.as_ref()];
        for rest in upfront.into_iter().flatten().filter(|rest| rest.is_active(ask.now)) {
            exhausted.reasons.insert(super::pick::reason_of(rest), self.roster.len());
            exhausted.next_in = Some(rest.wakes(ask.now).since(ask.now.tick));
            return exhausted;
        }
        let excluded = self.excluded(demand);
        let must = matches!(demand.affinity, Affinity::MustKey(_) | Affinity::MustOwner(_));
        let wanted = if must { self.wanted(&demand.affinity) } else { Vec::new() };
        for slot in 0..self.roster.keys.len() as u32 {
            let key = &self.roster.keys[slot as usize];
            if key.removed {
                continue;
            }
            let (reason, at) = if excluded.holds(slot, key.owner) {
                (OutReason::Tried, None)
            } else if must && !wanted.contains(&slot) {
                (OutReason::Elsewhere, None)
            } else {
                match self.check(ask, slot) {
                    Check::Ready(_) => (OutReason::LaterPriority, None),
                    Check::Until(at, reason) => (reason, Some(at)),
                    Check::Busy(at, reason) | Check::NotThis(at, reason) => (reason, at),
                    Check::Out(reason) => (reason, None),
                }
            };
            *exhausted.reasons.entry(reason).or_default() += 1;
            next = next.min(at.unwrap_or(Tick::NEVER));
        }
        exhausted.next_in = (next != Tick::NEVER).then(|| next.since(ask.now.tick));
        exhausted
    }
}
