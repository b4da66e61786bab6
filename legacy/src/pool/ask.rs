//! What is asked of a pick: the demand, seen from the lane that it is for.

use std::time::Duration;

use super::{Affinity, Attempt, Demand, check::LEAST, pick::NotNow, state::State};
use crate::{
    key::Tier,
    limit::{Limit, Need},
    time::Now,
    verdict::VerdictKind,
};

/// Which models there are an account decides mostly, and a project of its own or a key with fewer rights now and then: so
/// many of one owner's keys are asked.
const SPEAK_FOR_ALL: usize = 3;

/// So many doubtful keys are passed over at most.
const MOST_DOUBTED: usize = 32;

/// Keys that this demand must not, or need not, be given.
#[derive(Default)]
pub(super) struct Excluded {
    pub(super) slots: Vec<u32>,
    pub(super) owners: Vec<u32>,
    /// All owners of these tiers: what is asked for is not for them.
    pub(super) tiers: Vec<Option<Tier>>,
}

impl Excluded {
    pub(super) fn holds(&self, slot: u32, owner: u32) -> bool {
        self.slots.contains(&slot) || self.owners.contains(&owner)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.owners.is_empty()
    }
}

/// One pick: what is asked, of which lane, when.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) demand: &'a Demand,
    pub(super) lane: u16,
    pub(super) need: Need,
    pub(super) now: Now,
    pub(super) waited: Duration,
    /// So long it would wait if it got no key now.
    pub(super) would_wait: Duration,
    /// The place in the queue; a new demand stands behind all, a retry where it stood first.
    pub(super) ticket: u64,
    /// Its start is stamped later.
    pub(super) provisional: bool,
}

impl State {
    /// The keys that earlier attempts of the same request speak against.
    #[inline]
    pub(super) fn excluded(&self, demand: &Demand) -> Excluded {
        match demand.particulars.earlier() {
            None => Excluded::default(),
            Some(earlier) => self.excluded_by(earlier, demand),
        }
    }

    pub(super) fn excluded_by(&self, earlier: &[Attempt], demand: &Demand) -> Excluded {
        let mut excluded = Excluded::default();
        for attempt in earlier {
            if demand.particulars.anew
                && attempt.met_limit()
                && !demand.particulars.untried
                && !self.is_agreed_on(attempt, earlier)
            {
                continue;
            }
            let Some(slot) = self.roster.slot_of(&attempt.key) else { continue };
            if attempt.bars_owner() || attempt.is_too_large(demand.model()) {
                excluded.owners.push(self.roster.keys[slot as usize].owner);
            } else if demand.particulars.untried || attempt.bars_key(demand.model()) {
                excluded.slots.push(slot);
            }
        }
        excluded.owners.extend(self.owners_without(earlier, demand.model()));
        excluded.tiers = self.tiers_without(earlier, demand.model());
        excluded
    }

    /// The owners several of whose keys said that they lack the model: the others of their keys would say it too.
    fn owners_without(&self, earlier: &[Attempt], model: Option<&str>) -> Vec<u32> {
        let said = earlier
            .iter()
            .filter(|attempt| attempt.kind == VerdictKind::ModelUnavailable && attempt.model.as_deref() == model);
        let mut owners: Vec<u32> = said.filter_map(|attempt| self.owner_of(attempt)).collect();
        owners.sort_unstable();
        owners
            .chunk_by(|one, other| one == other)
            .filter(|keys| keys.len() >= SPEAK_FOR_ALL)
            .map(|keys| keys[0])
            .collect()
    }

    /// The same, and a few keys that are as doubtful as one that this request was at already: one that serves shows
    /// whose fault it is. `None` where there are none.
    pub(super) fn passing_doubted(&self, ask: &Ask<'_>, excluded: &Excluded) -> Option<Excluded> {
        let doubted = self.roster.slots().filter(|slot| self.was_spared(ask.lane, *slot)).take(MOST_DOUBTED);
        let mut wider = Excluded { slots: excluded.slots.clone(), owners: excluded.owners.clone(), tiers: Vec::new() };
        wider.slots.extend(doubted);
        (wider.slots.len() > excluded.slots.len()).then_some(wider)
    }

    /// A guess is never larger than the largest limit.
    pub(super) fn cut_to_limits(&self, ask: &mut Ask<'_>) {
        let lane = &self.lanes[usize::from(ask.lane)];
        let plans = || self.roster.slots().map(|slot| lane.owners[self.roster.keys[slot as usize].owner as usize].plan);
        if let Some(first) = plans().next()
            && self.plans.plan(first).fits_ever(&ask.need).is_ok()
        {
            return;
        }
        let most = plans().map(|plan| self.plans.plan(plan).most_input()).max().unwrap_or(u64::MAX);
        ask.need.input_tokens = ask.need.input_tokens.min(most);
    }

    /// Whether no key could ever carry so much.
    pub(super) fn never(&self, ask: &Ask<'_>) -> Option<NotNow> {
        if ask.need == LEAST || ask.demand.free {
            return None;
        }
        let lane = &self.lanes[usize::from(ask.lane)];
        let must = matches!(ask.demand.affinity, Affinity::MustKey(_) | Affinity::MustOwner(_));
        let wanted = if must { self.wanted(&ask.demand.affinity) } else { Vec::new() };
        let mut largest: Option<Limit> = None;
        for slot in self.roster.slots().filter(|slot| !must || wanted.contains(slot)) {
            let plan = self.plans.plan(lane.owners[self.roster.keys[slot as usize].owner as usize].plan);
            match plan.fits_ever(&ask.need) {
                Ok(()) => return None,
                Err(limit) if largest.is_none_or(|held| limit.amount > held.amount) => largest = Some(limit),
                Err(_) => {}
            }
        }
        largest.map(|limit| NotNow::Never(ask.need.of(limit.unit), limit))
    }

    /// The lane and need of a demand.
    #[inline]
    pub(super) fn ask<'a>(&mut self, demand: &'a Demand, now: Now) -> Ask<'a> {
        // What counts in no window waits for none either.
        let lane = if demand.free { self.free_lane(demand.model()) } else { self.lane(demand.model.as_ref()) };
        let mut ask = Self::ask_in(lane, demand, now);
        if demand.estimated && ask.need.input_tokens > 0 {
            self.cut_to_limits(&mut ask);
        }
        ask
    }

    /// The same of this lane, whatever the demand names.
    #[expect(clippy::inline_always, reason = "on the way of every request: a call costs as much as it does")]
    #[inline(always)]
    pub(super) fn ask_in(lane: u16, demand: &Demand, now: Now) -> Ask<'_> {
        Ask {
            demand,
            lane,
            need: demand.need(),
            now,
            waited: Duration::ZERO,
            would_wait: Duration::ZERO,
            ticket: demand.first_ticket().unwrap_or(u64::MAX),
            provisional: demand.starts_later(),
        }
    }
}
