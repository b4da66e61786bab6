//! What evidence does to rests. It gives back what the refusals of one request did to its keys (`evidence` says when), and
//! reinstates that where another key then serves the request after all.

use super::{
    Attempt, Seat,
    doubt::{is_unexplained_403, is_unread_refusal, with_outcome},
    event::Event,
    rest::{End, Probe, Rest},
    scope::Whom,
    seats::SeatCell,
    state::State,
};
use crate::{
    time::{Now, Tick},
    verdict::{Scope, Verdict, VerdictKind},
};

/// The scopes whose rests a key's answer may begin, and evidence may give back.
const OF_A_KEY: [Scope; 5] = [Scope::Key, Scope::KeyLane, Scope::Owner, Scope::OwnerLane, Scope::BillingAccount];

/// A key that so many requests in a row met in vain, while no key of the pool served anybody, is no good whatever the evidence.
const REFUSED_IN_VAIN: u8 = 3;

/// The part of a rest that one incident changes. What it was before is kept so that evidence can give it back, and what was
/// given back is kept so that it can be reinstated.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    end: End,
    step: u8,
    strikes: u8,
    incident: u64,
    probe: Option<Probe>,
    /// Whether the probe is to confirm the rest.
    confirming: bool,
    /// The ramp of the key whose answer it was.
    ramp: u8,
}

impl Rest {
    /// How it stands now, for a key with this ramp.
    pub(super) fn standing(&self, ramp: u8) -> Standing {
        let Self { end, step, strikes, incident, probe, confirming, .. } = *self;
        Standing { end, step, strikes, incident, probe, confirming, ramp }
    }

    fn stand_as(&mut self, standing: &Standing) {
        self.end = standing.end;
        self.step = standing.step;
        self.strikes = standing.strikes;
        self.incident = standing.incident;
    }

    /// Makes it stand as it did before its last incident, which the key with this ramp met.
    fn give_back(&mut self, before: &Standing, ramp: u8, now: Now) {
        let taken = self.standing(ramp);
        self.stand_as(before);
        self.doubts = self.doubts.saturating_add(1);
        self.held = false;
        self.confirming = false;
        self.returned = !self.is_active(now);
        // What it rested for before that incident may go on, and is probed as before.
        self.probe = taken.probe.filter(|_| !self.returned).map(Probe::not_out);
        self.given_back = Some(taken);
    }

    /// Makes it stand again as it did until it was given back.
    fn reinstate(&mut self, taken: &Standing) {
        self.stand_as(taken);
        self.doubts = 0;
        self.returned = false;
        self.confirming = taken.confirming;
        self.probe = taken.probe.map(Probe::not_out);
    }

    /// Whether this request began it, by this kind of fault.
    fn is_of(&self, ticket: u64, kind: VerdictKind) -> bool {
        self.incident == ticket && self.kind == kind
    }
}

/// How many requests in a row were refused by a scope and by others, while no key of the pool served anybody.
#[derive(Clone, Copy, Debug)]
pub(super) struct InVain {
    requests: u8,
    /// When one was counted last.
    counted: Tick,
    /// The newest ticket of the pool at that time.
    newest: u64,
}

impl InVain {
    pub(super) fn none(now: Tick) -> Self {
        Self { requests: 0, counted: now, newest: 0 }
    }

    /// Counts one more, and says how many there are. `newest` is the pool's newest ticket, and `last_served` is when a key of
    /// the pool served last.
    fn count(&mut self, ticket: u64, newest: u64, last_served: Option<Tick>, now: Tick) -> u8 {
        if last_served.is_some_and(|served| served >= self.counted) {
            self.requests = 0;
        }
        // Requests that were under way when one was counted are of its burst, and count as one with it.
        let is_of_the_burst = ticket <= self.newest && self.requests > 0;
        if !is_of_the_burst {
            *self = Self { requests: self.requests.saturating_add(1), counted: now, newest };
        }
        self.requests
    }
}

impl State {
    /// Whether a refusal stands although several owners met it. Either the provider did not read the request, or it is a 403
    /// and the key never served; and it is the third such request in a row, while no key served anybody. So a caller who can
    /// provoke such refusals takes no key from callers who are served.
    pub(super) fn stands_all_the_same(&mut self, whom: Whom, verdict: &Verdict, ticket: u64, now: Now) -> bool {
        let counts = is_unread_refusal(verdict) || (is_unexplained_403(verdict) && !self.ever_served(whom.slot));
        if !counts || whom.scope == Scope::Caller || self.is_uncounted(whom.lane) {
            return false;
        }
        let (last_served, newest) = (self.guard.last_success(), self.seq);
        let Some(rest) = self.rest_slot_of(whom) else { return false };
        rest.in_vain.count(ticket, newest, last_served, now.tick) >= REFUSED_IN_VAIN
    }

    /// Whether an earlier verdict on the answer of this seat already began a rest: that one stands, whatever a later verdict
    /// says.
    pub(super) fn rests_already(&mut self, cell: &SeatCell) -> bool {
        OF_A_KEY.into_iter().any(|scope| {
            let whom = Whom { scope, slot: cell.slot, owner: cell.owner, lane: cell.lane };
            self.rest_slot_of(whom).is_some_and(|rest| rest.incident == cell.ticket)
        })
    }

    /// Gives back what the earlier attempts of this request that agree with `verdict` did, and what `verdict` itself did
    /// unless it `stands`.
    pub(super) fn give_all_back(&mut self, cell: &SeatCell, verdict: &Verdict, stands: bool, now: Now) {
        let earlier = cell.earlier.clone().unwrap_or_default();
        let kind = verdict.fault();
        for attempt in with_outcome(&earlier, (kind, cell.overfills(verdict))) {
            let Some(slot) = self.roster.slot_of(&attempt.key) else { continue };
            let owner = self.owner_at(slot);
            let whom = Whom { scope: self.scope(cell, verdict), slot, owner, lane: cell.lane };
            let rests = self.rest_slot_of(whom).is_some_and(|rest| rest.is_of(attempt.seq, kind));
            if rests && self.stands_all_the_same(whom, verdict, attempt.seq, now) {
                continue;
            }
            self.guard.forget(slot);
            for scope in self.give_back(slot, owner, cell.lane, (attempt.seq, kind), now) {
                self.recovered(Whom { scope, slot, owner, lane: cell.lane });
            }
        }
        if !stands {
            self.give_back(cell.slot, cell.owner, cell.lane, (cell.ticket, kind), now);
        }
    }

    /// Gives back what one request's fault of this kind did to the rests of a key and its owner. Returns the scopes that
    /// rested until now, and rest no more.
    fn give_back(
        &mut self,
        slot: u32,
        owner: u32,
        lane: u16,
        (ticket, kind): (u64, VerdictKind),
        now: Now,
    ) -> Vec<Scope> {
        let mut ended = Vec::new();
        for scope in OF_A_KEY {
            let whom = Whom { scope, slot, owner, lane };
            let ramp = self.roster.keys[slot as usize].ramp;
            let Some(rest) = self.rest_slot_of(whom).filter(|rest| rest.is_of(ticket, kind)) else { continue };
            let Some(before) = rest.before.take() else { continue };
            let was_active = rest.is_active(now);
            rest.give_back(&before, ramp, now);
            let is_over = rest.returned;
            let key = &mut self.roster.keys[slot as usize];
            key.ramp = before.ramp;
            key.weigh_as_before_a_fault();
            if is_over {
                self.revive(whom);
                ended.extend(was_active.then_some(scope));
            }
            self.note_key(slot, lane);
        }
        ended
    }

    /// The request of this seat was served after all, which refutes the evidence of its earlier attempts: what was given back
    /// is reinstated. The key that served is remembered as one to trust.
    pub(super) fn refute(&mut self, seat: Seat, now: Now) {
        let Some(cell) = self.seats.get(seat).cloned() else { return };
        let earlier = cell.earlier.as_deref().unwrap_or_default();
        let is_refuted = |attempt: &Attempt| attempt.is_unclear() || attempt.found_nothing();
        if earlier.iter().any(|attempt| self.owner_of(attempt) != Some(cell.owner) && is_refuted(attempt)) {
            self.lanes[usize::from(cell.lane)].trusted.served(cell.slot);
        }
        for attempt in earlier.iter().filter(|attempt| attempt.is_open_to_doubt()) {
            let Some(slot) = self.roster.slot_of(&attempt.key) else { continue };
            self.reinstate(slot, cell.lane, attempt.seq, now);
            self.note_key(slot, cell.lane);
        }
    }

    /// Reinstates what one request did to the rests of a key and its owner, as far as evidence gave it back and nothing made
    /// them rest since then.
    fn reinstate(&mut self, slot: u32, lane: u16, ticket: u64, now: Now) {
        for scope in OF_A_KEY {
            let whom = Whom { scope, slot, owner: self.owner_at(slot), lane };
            let Some(rest) = self.rest_slot_of(whom) else { continue };
            let of_this_request = |taken: &mut Standing| taken.incident == ticket;
            // A rest that began since then is an incident of its own, and stays as it is.
            let taken = rest.given_back.take_if(of_this_request).filter(|_| !rest.is_active(now));
            let Some(taken) = taken else { continue };
            rest.reinstate(&taken);
            let until = rest.lasts_until(now);
            let (kind, code, advice) = (rest.kind, rest.code.to_string(), rest.advice.to_string());
            let key = &mut self.roster.keys[slot as usize];
            key.weigh_less();
            key.ramp = taken.ramp;
            let (key, model) = (key.id.clone(), self.model_of(whom));
            let rest = until.since(now.tick);
            self.event(|| match taken.end {
                End::Never => Event::Disabled { key, scope, exit: None, model, kind, code, advice },
                _ => Event::Rested { key, scope, exit: None, model, kind, code, cause: None, limit: None, rest },
            });
        }
    }
}
