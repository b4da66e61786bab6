//! What no owner has, or none of a tier: the next one says the same as those before it, and is not asked.

use super::{Attempt, Demand, KeyPool, state::State};
use crate::{
    key::Tier,
    verdict::{Verdict, VerdictKind},
};

/// So many owners of one tier are asked for what the first of them say is not for their tier; of those whose tier nobody
/// named, so many within one request.
pub(super) const OF_ONE_TIER: (usize, usize) = (3, 8);

/// So many owners are asked for what none of the first finds, where the request names nothing that only its owner sees.
const FOUND_NOWHERE: usize = 3;

/// Codes of verdicts that hold for all owners of a tier.
const OF_TIERS: [&str; 2] = ["LIMIT_ZERO", "BILLED_USERS_ONLY"];

/// Whether such a verdict holds for all owners of a tier.
fn speaks_of_a_tier(kind: VerdictKind, named: bool, code: &str) -> bool {
    named && kind == VerdictKind::ModelUnavailable && OF_TIERS.contains(&code)
}

impl Verdict {
    /// Whether it says that the model is not for the tier of the key's owner (Gemini's `limit: 0`): a quota of none, which
    /// holds for all owners of that tier until it is asked for again.
    pub fn speaks_of_a_tier(&self) -> bool {
        speaks_of_a_tier(self.kind(), self.is_named(), self.code_of())
    }
}

impl Attempt {
    /// The same of its answer: see [`Verdict::speaks_of_a_tier`].
    pub fn speaks_of_a_tier(&self) -> bool {
        speaks_of_a_tier(self.kind, self.named, &self.code)
    }

    /// Whether nobody of its owner's has what the request asks for, and whose it is was not said.
    pub(super) fn found_nothing(&self) -> bool {
        !self.named && self.kind == VerdictKind::WrongOwner
    }
}

impl State {
    /// Whether so many owners did not find what this request asks for, and names no owner's own, that it is nowhere.
    pub(crate) fn is_found_nowhere(&self, attempts: &[Attempt], model: Option<&str>) -> bool {
        let of_model = |attempt: &&Attempt| attempt.found_nothing() && attempt.model.as_deref() == model;
        let mut owners: Vec<u32> =
            attempts.iter().filter(of_model).filter_map(|attempt| self.owner_of(attempt)).collect();
        owners.sort_unstable();
        owners.dedup();
        // One that stands in a collection (`tunedModels/x`) is somebody's.
        model.is_some_and(|model| !model.contains('/')) && owners.len() >= FOUND_NOWHERE
    }

    /// The tiers of which enough owners said within this request that its model is not for them, or it too large.
    pub(super) fn tiers_without(&self, attempts: &[Attempt], model: Option<&str>) -> Vec<Option<Tier>> {
        let said = attempts.iter().filter(|attempt| attempt.holds_for_a_tier() && attempt.model.as_deref() == model);
        let mut owners: Vec<u32> = said.filter_map(|attempt| self.owner_of(attempt)).collect();
        owners.sort_unstable();
        owners.dedup();
        let mut tiers: Vec<(Option<&Tier>, usize)> = Vec::new();
        for tier in owners.into_iter().map(|owner| self.roster.tier(owner)) {
            match tiers.iter_mut().find(|(held, _)| *held == tier) {
                Some((_, count)) => *count += 1,
                None => tiers.push((tier, 1)),
            }
        }
        let enough = |(tier, count): &(Option<&Tier>, usize)| {
            *count >= if tier.is_some() { OF_ONE_TIER.0 } else { OF_ONE_TIER.1 }
        };
        tiers.into_iter().filter(enough).map(|(tier, _)| tier.cloned()).collect()
    }

    /// Whether all keys are of tiers for which the request's model, or the request, is not.
    pub(crate) fn is_for_no_tier(&self, attempts: &[Attempt], model: Option<&str>) -> bool {
        let tiers = self.tiers_without(attempts, model);
        let other = |slot: u32| !tiers.iter().any(|tier| tier.as_ref() == self.roster.tier(self.owner_at(slot)));
        !tiers.is_empty() && !self.roster.slots().any(other)
    }
}

impl KeyPool {
    /// Whether what the request asks for is with no owner: see [`State::is_found_nowhere`].
    pub(crate) fn is_found_nowhere(&self, demand: &Demand) -> bool {
        let attempts = demand.particulars.earlier.as_deref().unwrap_or_default();
        !demand.particulars.of_resource && {
            let (mut state, now) = (self.lock(), self.clock().now());
            state.is_found_nowhere(attempts, demand.model()) && !state.may_serve_beside(demand, now)
        }
    }

    /// Whether no key's tier has the model, or the room, that the request asks for: see [`State::is_for_no_tier`].
    pub(crate) fn is_for_no_tier(&self, demand: &Demand) -> bool {
        let attempts = demand.particulars.earlier.as_deref().unwrap_or_default();
        attempts.last().is_some_and(Attempt::holds_for_a_tier) && self.lock().is_for_no_tier(attempts, demand.model())
    }
}
