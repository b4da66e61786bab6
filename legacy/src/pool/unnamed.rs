//! Limits that nobody named: a plain 429 may speak of a quota, of capacity, or of what is in this one request (a tool that
//! nobody is entitled to). Where several owners say it within one request their rests let one request after the other
//! find out, and after many that were served before no further key is asked.

use super::{Attempt, ask::Ask, evidence::distinct, rest::Rest, scope::Whom, seats::SeatCell, state::State};
use crate::{
    time::{Now, Tick},
    verdict::{Until, Verdict, VerdictKind},
};

/// So many owners who say it of one request are more than run into their limits at once by chance.
const SEVERAL: usize = 3;

/// So many owners, all of whom served before, may have such a thing said by one request.
const ENOUGH: usize = 16;

/// Whether it says that there is a limit, and neither which nor for how long.
pub(super) fn is_unnamed_limit(verdict: &Verdict) -> bool {
    verdict.kind() == VerdictKind::RateLimited && !verdict.is_named() && verdict.until_of() == Until::Backoff
}

impl Attempt {
    /// Whether it met a limit of which neither name nor end was told.
    pub(crate) fn met_unnamed_limit(&self) -> bool {
        self.kind == VerdictKind::RateLimited && !self.named && self.until == Until::Backoff
    }
}

impl State {
    /// What this verdict, and the same of other owners within one request, began to rest is tried soon, by others.
    pub(super) fn doubt_limit(&mut self, cell: &SeatCell, verdict: &Verdict, now: Now) {
        if !is_unnamed_limit(verdict) {
            return;
        }
        let earlier = cell.earlier.as_deref().unwrap_or_default().iter().filter(|attempt| attempt.met_unnamed_limit());
        let own = (cell.slot, cell.owner, cell.ticket);
        let of = |attempt: &Attempt| {
            let slot = self.roster.slot_of(&attempt.key)?;
            Some((slot, self.owner_at(slot), attempt.seq))
        };
        let said: Vec<(u32, u32, u64)> = earlier.filter_map(of).chain([own]).collect();
        if distinct(said.iter().map(|(_, owner, _)| *owner)) < SEVERAL {
            return;
        }
        for (slot, owner, ticket) in said {
            let whom = Whom { scope: self.scope(cell, verdict), slot, owner, lane: cell.lane };
            let of_this =
                |rest: &&mut Rest| rest.incident == ticket && rest.kind == verdict.fault() && rest.probe.is_none();
            let Some(rest) = self.rest_slot_of(whom).filter(|rest| rest.is_active(now)).filter(of_this) else {
                continue;
            };
            rest.probe = Some(rest.soon(now));
            self.revive(whom);
        }
    }

    /// Whether so many owners that served before told this request, in attempts of one model, of a limit without a name that it
    /// is the request's.
    pub(super) fn is_refused_by_many<'a>(&self, attempts: impl Iterator<Item = &'a Attempt>) -> bool {
        let met = attempts.filter(|attempt| attempt.met_unnamed_limit());
        let slots = met.filter_map(|attempt| self.roster.slot_of(&attempt.key));
        distinct(slots.filter(|slot| self.is_known_good(*slot)).map(|slot| self.owner_at(slot))) >= ENOUGH
    }

    /// Whether this request is no probe of this key's rest: it was told of that limit itself, or that it is too large for it.
    /// One that waits for its keys may try one of them once more: with nobody else there, nobody else would.
    pub(super) fn met_it_here(&self, ask: &Ask<'_>, slot: u32) -> bool {
        let earlier = ask.demand.particulars.earlier.as_deref().unwrap_or_default();
        let owner = Some(self.owner_at(slot));
        let (mut unnamed, mut overfull) = (false, false);
        for attempt in earlier.iter().filter(|attempt| self.owner_of(attempt) == owner) {
            unnamed |= attempt.met_unnamed_limit();
            overfull |= attempt.overfull;
        }
        overfull || unnamed && !(ask.demand.particulars.anew && self.asked_each_once(earlier))
    }

    /// Whether nobody who told this request of such a limit was asked a second time.
    fn asked_each_once(&self, earlier: &[Attempt]) -> bool {
        let met = || earlier.iter().filter(|attempt| attempt.met_unnamed_limit());
        distinct(met().filter_map(|attempt| self.owner_of(attempt))) == met().count()
    }

    /// When a rest of this key's lets this request go.
    pub(super) fn wakes_for(&self, ask: &Ask<'_>, slot: u32, rest: &Rest) -> Tick {
        let is_barred = rest.probe.is_some() && self.met_it_here(ask, slot);
        if is_barred { rest.end.tick(ask.now) } else { rest.wakes(ask.now) }
    }
}
