//! Verdicts: what an answer changes about the key, its owner, its account, the lane or the way out.

use super::{
    Seat,
    event::Event,
    lane::Origin,
    penalty::describe,
    rest::{End, Rest},
    room::of_a_shared_lane,
    roster::{KeyCell, NO_ACCOUNT, RAMP_STEPS},
    scope::Whom,
    seats::SeatCell,
    state::{SHARED, State},
};
use crate::{
    time::{Now, Tick},
    verdict::{Scope, Verdict, VerdictKind},
};

/// The adaptive weight's factors and bounds, in parts of the configured weight.
const ADAPT_UP: f32 = 1.1;

const ADAPT_DOWN: f32 = 0.8;

const ADAPT_CEILING: f32 = 2.0;

const ADAPT_FLOOR: f32 = 0.1;

impl KeyCell {
    /// As many requests are in flight as it may carry; never more than can be counted.
    #[inline]
    pub(super) fn is_busy(&self) -> bool {
        self.in_flight >= self.max_concurrent
    }

    /// A good answer, the first to its request.
    #[inline]
    pub(super) fn count_success(&mut self) {
        self.succeeded = self.succeeded.saturating_add(1);
        // As a rule it stands there.
        let ceiling = self.weight * ADAPT_CEILING;
        if self.adaptive < ceiling {
            self.adaptive = (self.adaptive * ADAPT_UP).min(ceiling);
        }
    }

    /// A fault of its own.
    pub(super) fn weigh_less(&mut self) {
        self.adaptive = (self.adaptive * ADAPT_DOWN).max(self.weight * ADAPT_FLOOR);
    }

    /// That fault turned out to be none of its own.
    pub(super) fn weigh_as_before_a_fault(&mut self) {
        self.adaptive = (self.adaptive / ADAPT_DOWN).min(self.weight * ADAPT_CEILING);
    }
}

/// Whether an answer, or that none came, leaves open whether its key is any good.
fn says_nothing_of_keys(verdict: &Verdict) -> bool {
    use VerdictKind::{Blocked, CallerFault, Cancelled, Overloaded, Transient, Unjudged};
    verdict.is_unsent()
        || matches!(verdict.kind(), CallerFault | Cancelled | Unjudged | Transient | Overloaded | Blocked)
}

impl State {
    /// An answer was judged.
    pub(super) fn judge(&mut self, seat: Seat, verdict: &Verdict, now: Now) {
        let Some(mut cell) = self.seats.get_mut(seat) else { return };
        if cell.stamp.is_none() && verdict.kind() != VerdictKind::Cancelled && !verdict.is_unsent() {
            // It was answered, so that it reached the provider, whoever forgot to say that it went out.
            self.went_out(seat, now);
            let Some(started) = self.seats.get_mut(seat) else { return };
            cell = started;
        }
        let first = !std::mem::replace(&mut cell.judged, true);
        if verdict.is_void() {
            return self.never_was(seat, first, now);
        }
        let of_all = |scope| matches!(scope, Scope::Lane | Scope::Exit);
        cell.failed |= verdict.is_key_fault() || of_all(verdict.scope_of()) && cell.probes.iter().any(of_all);
        let (slot, lane, began, start) = (cell.slot, cell.lane, cell.began, cell.seq);
        self.tally.judged(now, verdict.kind());
        self.note_verdict((slot, lane, start), verdict.kind(), first, now);
        if first && verdict.is_unsent() {
            // A connection that was refused is a try in vain, and nothing that was used.
            self.note_unstart(slot, lane, began, now);
        }
        let Some(cell) = self.seats.get_mut(seat) else { return };
        if verdict.is_plain_success() && cell.probes.is_empty() {
            // By far the most. What else a success may end is looked for only where there is something.
            let (slot, owner, lane, started) = (cell.slot, cell.owner, cell.lane, cell.began.tick);
            let again = cell.earlier.is_some();
            self.count_success(slot, lane, started, first);
            if self.may_rest(slot, owner, lane) {
                self.clear_over(seat, now);
            }
            if again {
                self.refute(seat, now);
            }
            self.good_way_out(started, now);
            return self.serve(now);
        }
        let overfull = self.leave_whole(seat, verdict, now);
        if let Some(news) = verdict.news_of() {
            self.learn(seat, news, verdict, now);
        }
        if !says_nothing_of_keys(verdict) {
            self.confirm_or_refute(seat);
        }
        // Looked at after learning, which may have moved the key to another owner or the lane to another's quota.
        let Some(mut cell) = self.seats.get(seat).cloned() else { return };
        cell.need = overfull.unwrap_or(cell.need);
        match verdict.kind() {
            VerdictKind::Success => {
                // Ends what covers every key, and tells of it.
                self.count_success(cell.slot, cell.lane, cell.began.tick, first);
                for scope in cell.probes.iter().filter(|scope| !of_all(*scope)) {
                    self.probe_succeeded(scope, &cell, now);
                }
                self.clear_over(seat, now);
                self.refute(seat, now);
                self.good_way_out(cell.began.tick, now);
            }
            VerdictKind::Cancelled | VerdictKind::Unjudged | VerdictKind::CallerFault => {
                if verdict.is_unsent() {
                    self.refund(seat, now);
                }
                self.confirm_lane(cell.lane, verdict);
            }
            _ => self.failed(seat, &cell, verdict, now),
        }
        self.serve(now);
    }

    /// A request that was to confirm a rest was answered: that rest is over, and what the answer says holds.
    fn confirm_or_refute(&mut self, seat: Seat) {
        let Some(cell) = self.seats.get(seat).filter(|cell| !cell.probes.is_empty()).cloned() else { return };
        for scope in cell.probes.iter() {
            let whom = Whom { scope, slot: cell.slot, owner: cell.owner, lane: cell.lane };
            if self.rest_slot_of(whom).is_some_and(|rest| rest.is_tried(cell.began.tick)) {
                self.revive(whom);
            }
        }
    }

    /// A request whose lease had ended before it could go out: its place is given back, and nobody hears of it.
    #[cold]
    fn never_was(&mut self, seat: Seat, first: bool, now: Now) {
        if let Some(cell) = self.seats.get(seat).filter(|_| first) {
            let (slot, lane, began) = (cell.slot, cell.lane, cell.began);
            self.note_unstart(slot, lane, began, now);
        }
        self.refund(seat, now);
        self.serve(now);
    }

    #[inline]
    pub(super) fn count_success(&mut self, slot: u32, at: u16, started: Tick, first: bool) {
        let lane = &mut self.lanes[usize::from(at)];
        if lane.origin == Origin::Tentative || lane.origin == Origin::Unknown {
            lane.origin = Origin::Confirmed;
        }
        lane.overloads = 0;
        // An answer to a request from before the rest says nothing of what came after it.
        let of_lane = lane.rest.is_some() && self.lane_serves(at, started);
        let back = [of_lane, self.roster.exits.any_rest() && self.exit_serves(slot, started)];
        if back != [false; 2] {
            self.back_for_all(slot, at, back);
        }
        let key = &mut self.roster.keys[slot as usize];
        if first {
            key.count_success();
            key.ramp = key.ramp.saturating_sub(1);
        }
        if self.lanes[usize::from(at)].closed.is_some() {
            self.open_tier(at, self.owner_at(slot));
        }
    }

    /// The lane, the way out, or both serve again.
    #[cold]
    fn back_for_all(&mut self, slot: u32, lane: u16, [of_lane, of_exit]: [bool; 2]) {
        let owner = self.roster.keys[slot as usize].owner;
        for (back, scope) in [(of_lane, Scope::Lane), (of_exit, Scope::Exit)] {
            if back {
                self.recovered(Whom { scope, slot, owner, lane });
            }
        }
    }

    #[inline]
    pub(super) fn good_way_out(&mut self, began: Tick, now: Now) {
        for slot in self.guard.success(began, now.tick) {
            self.release_held(slot);
        }
    }

    /// A success of a request that started after a rest's end forgets the rest's step and strikes. When it ended is
    /// remembered, since late answers to requests from before are no new incident.
    pub(super) fn clear_over(&mut self, seat: Seat, now: Now) {
        let Some(cell) = self.seats.get(seat).cloned() else { return };
        let clear = |rest: &mut Box<Rest>| {
            let over = !rest.is_active(now) && rest.end.tick(now) <= cell.began.tick;
            if let Some(trickle) = rest.trickle.as_mut().filter(|_| over) {
                trickle.served();
            }
            let told = over && rest.kind != VerdictKind::Unjudged;
            let is_news = told && !rest.returned;
            if told {
                let (end, since, lifted_at, trickle) = (rest.end, rest.since, rest.lifted_at, rest.trickle);
                **rest = Rest { end, since, lifted_at, trickle, ..Rest::new(now) };
            }
            is_news
        };
        let key = &mut self.roster.keys[cell.slot as usize];
        let key_over = key.rest.as_mut().is_some_and(clear);
        // Nothing else is under way that could answer late.
        if key.in_flight <= 1
            && key.rest.as_ref().is_some_and(|rest| rest.kind == VerdictKind::Unjudged && !rest.is_active(now))
        {
            key.rest = None;
        }
        let owner = &mut self.roster.owners[cell.owner as usize];
        let account = owner.account;
        let owner_over = owner.rest.as_mut().is_some_and(clear);
        let account_over =
            account != NO_ACCOUNT && self.roster.accounts[account as usize].rest.as_mut().is_some_and(clear);
        let lane = &mut self.lanes[usize::from(cell.lane)];
        let of_key = lane.key_rests.get_mut(&cell.slot).and_then(Option::as_mut);
        let key_lane_over = of_key.is_some_and(clear);
        let of_owner = lane.extra_of_mut(cell.owner).and_then(|extra| extra.rest.as_mut());
        let owner_lane_over = of_owner.is_some_and(clear);
        if now.tick < lane.trickles {
            self.key_serves(&cell);
        }
        for (over, scope) in [
            (key_over, Scope::Key),
            (owner_over, Scope::Owner),
            (account_over, Scope::BillingAccount),
            (key_lane_over, Scope::KeyLane),
            (owner_lane_over, Scope::OwnerLane),
        ] {
            if over {
                self.recovered(Whom { scope, slot: cell.slot, owner: cell.owner, lane: cell.lane });
            }
        }
    }

    pub(super) fn recovered(&mut self, whom: Whom) {
        if self.is_heard() {
            let (key, model) = (self.roster.keys[whom.slot as usize].id.clone(), self.model_of(whom));
            let exit = self.exit_named(whom);
            self.events.push(Event::Recovered { key, scope: whom.scope, exit, model });
        }
    }

    /// A probe came back good: its scope serves again, as a new generation.
    pub(super) fn probe_succeeded(&mut self, scope: Scope, cell: &SeatCell, now: Now) {
        let whom = Whom { scope, slot: cell.slot, owner: cell.owner, lane: cell.lane };
        let trickle = self.rest_slot_of(whom).and_then(|rest| rest.trickle);
        self.lift(whom, now);
        if let Some(kind) = trickle.map(|trickle| trickle.kind) {
            let trickle = self.trickle(whom.lane, now.tick, kind);
            self.rest_slot_of(whom).expect("it was just lifted").trickle = Some(trickle);
        }
        self.recovered(whom);
    }

    pub(super) fn failed(&mut self, seat: Seat, cell: &SeatCell, verdict: &Verdict, now: Now) {
        if verdict.is_unsent() {
            self.refund(seat, now);
        }
        self.count(cell, verdict, now);
        self.confirm_lane(cell.lane, verdict);
        let own = self.is_the_requests_own(cell, verdict);
        let shared = of_a_shared_lane(cell, verdict);
        let verdict = shared.as_ref().unwrap_or(verdict);
        let told = self.events.len();
        let whom = Whom { scope: self.scope(cell, verdict), slot: cell.slot, owner: cell.owner, lane: cell.lane };
        match (verdict.kind(), whom.scope) {
            (_, Scope::Caller) => {}
            (_, Scope::Exit) if self.went_another_way(cell) => {}
            _ if own && self.rests_already(cell) => {}
            (VerdictKind::Overloaded, Scope::Lane) => self.overloaded(cell, verdict, now),
            (_, Scope::Lane | Scope::Exit) if own => {}
            _ => self.rest(whom, cell, verdict, now),
        }
        self.doubt_limit(cell, verdict, now);
        self.close_tier(cell, verdict, now);
        if own {
            let stands = self.stands_all_the_same(whom, verdict, cell.ticket, now);
            if !stands {
                // Taken and given back at once: nothing to tell of.
                self.events.truncate(told);
            }
            self.give_all_back(cell, verdict, stands, now);
        }
    }

    /// The scope that a verdict really reaches: an account that nobody named is the owner.
    pub(super) fn scope(&self, cell: &SeatCell, verdict: &Verdict) -> Scope {
        match verdict.scope_of() {
            Scope::BillingAccount if self.roster.owners[cell.owner as usize].account == NO_ACCOUNT => Scope::Owner,
            scope => scope,
        }
    }

    pub(super) fn count(&mut self, cell: &SeatCell, verdict: &Verdict, now: Now) {
        let own_fault = matches!(verdict.fault(), VerdictKind::InvalidKey | VerdictKind::Suspended);
        let key = &mut self.roster.keys[cell.slot as usize];
        let of_the_key = !matches!(verdict.scope_of(), Scope::Caller | Scope::Lane | Scope::Exit);
        if verdict.fault().is_limit() {
            key.limited = key.limited.saturating_add(1);
        } else if of_the_key {
            // What the caller, the model, the provider or the way out did is no fault of the key's.
            key.failed = key.failed.saturating_add(1);
        }
        if !own_fault {
            self.guard.passing(now.tick, cell.slot);
        }
    }

    /// One model without capacity: only several in a row rest the lane.
    pub(super) fn overloaded(&mut self, cell: &SeatCell, verdict: &Verdict, now: Now) {
        if cell.lane <= SHARED {
            return;
        }
        let table = self.settings.rests.clone();
        let lane = &mut self.lanes[usize::from(cell.lane)];
        lane.overloads = lane.overloads.saturating_add(1);
        if lane.overloads < table.overloads.max(1) {
            return;
        }
        let rest = lane.rest.get_or_insert_with(|| Box::new(Rest::new(now)));
        let known = rest.is_active(now) && rest.kind == VerdictKind::Overloaded;
        if cell.began.tick < rest.end.tick(now) && rest.kind == VerdictKind::Overloaded {
            return;
        }
        let length = verdict.retry_after().unwrap_or_else(|| table.backoff(VerdictKind::Overloaded, rest.step));
        rest.step = rest.step.saturating_add(1);
        if !rest.is_active(now) {
            rest.since = now.tick;
        }
        let end = End::At(now.tick.plus(length.min(table.overloaded.cap.max(table.overloaded.first))));
        if end.tick(now) > rest.end.tick(now) {
            rest.end = end;
            describe(rest, verdict);
            let trickle = self.trickle(cell.lane, end.tick(now), VerdictKind::Overloaded);
            if let Some(rest) = &mut self.lanes[usize::from(cell.lane)].rest {
                rest.trickle = Some(trickle);
            }
            if !known {
                let whom = Whom { scope: Scope::Lane, slot: cell.slot, owner: cell.owner, lane: cell.lane };
                self.tell(whom, verdict, end, now);
            }
        }
    }

    /// A fault of the key's or its owner's own: less load at first when it is back.
    pub(super) fn weigh_down(&mut self, whom: Whom, verdict: &Verdict) {
        if matches!(whom.scope, Scope::Lane | Scope::Exit | Scope::Caller) {
            return;
        }
        self.roster.keys[whom.slot as usize].weigh_less();
        self.ramp_after(whom, verdict.fault());
    }

    /// Whom a fault of this kind rests begins with a part of its load when it is back.
    pub(super) fn ramp_after(&mut self, whom: Whom, kind: VerdictKind) {
        let of_key = !matches!(whom.scope, Scope::Lane | Scope::Exit | Scope::Caller);
        if of_key && matches!(kind, VerdictKind::InvalidKey | VerdictKind::Suspended | VerdictKind::ModelUnavailable) {
            self.roster.keys[whom.slot as usize].ramp = RAMP_STEPS;
        }
    }
}
