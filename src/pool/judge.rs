//! Verdicts: what an answer changes about the key, its owner, its account, the lane or the way out.

use std::{borrow::Cow, time::Duration};

use super::{
    Seat,
    cell::Place,
    event::Event,
    guard::HOLD,
    lane::Origin,
    rest::{Before, End, Probe, Rest},
    roster::{NO_ACCOUNT, RAMP_STEPS},
    seats::{ProbeOf, Probes, SeatCell},
    state::{NO_MODEL, State},
};
use crate::{
    limit::Limit,
    time::{Now, Tick},
    verdict::{Scope, Until, Verdict, VerdictKind},
};

/// A daily 429 this near to midnight does not tell which day it speaks of.
const NEAR_MIDNIGHT: Duration = Duration::from_secs(600);
/// The adaptive weight's factors and bounds, in parts of the configured weight.
const ADAPT_UP: f32 = 1.1;
const ADAPT_DOWN: f32 = 0.8;
const ADAPT_CEILING: f32 = 2.0;
const ADAPT_FLOOR: f32 = 0.1;

/// Whom a rest is bound to.
#[derive(Clone, Copy)]
struct Whom {
    scope: Scope,
    slot: u32,
    owner: u32,
    lane: u16,
}

/// What a verdict is to its scope's last rest.
#[derive(Default)]
struct Incident {
    /// A new one: the request started after that rest's end.
    fresh: bool,
    /// That rest is not over.
    active: bool,
    /// Incidents before this one, as the backoff counts them.
    step: u8,
    /// With this one.
    strikes: u8,
    /// That rest waited for a confirmation, and this is it.
    confirmed: bool,
    by_hand: bool,
    /// The request started before the scope was lifted.
    of_older_generation: bool,
}

impl State {
    /// An answer was judged.
    pub(super) fn judge(&mut self, seat: Seat, verdict: &Verdict, now: Now) {
        let Some(cell) = self.seats.get_mut(seat) else { return };
        let first = !std::mem::replace(&mut cell.judged, true);
        cell.failed |= verdict.is_key_fault();
        self.tally.judged(now, verdict.kind());
        if verdict.kind() == VerdictKind::Success && verdict.news_of().is_none() && cell.probes == Probes::default() {
            // By far the most. What else a success may end is looked for only where there is something.
            let (slot, owner, lane, started) = (cell.slot, cell.owner, cell.lane, cell.started);
            self.count_success(slot, lane, started, first);
            if self.may_rest(slot, owner, lane) {
                self.clear_over(seat, now);
            }
            self.good_way_out(now);
            return self.serve(now);
        }
        if let Some(news) = verdict.news_of() {
            self.learn(seat, news, now);
        }
        // Looked at after learning, which may have moved the key to another owner or the lane to another's quota.
        let Some(cell) = self.seats.get(seat).cloned() else { return };
        match verdict.kind() {
            VerdictKind::Success => {
                self.count_success(cell.slot, cell.lane, cell.started, first);
                for scope in cell.probes.iter() {
                    self.probe_succeeded(scope, &cell, now);
                }
                self.clear_over(seat, now);
                self.good_way_out(now);
            }
            VerdictKind::Cancelled | VerdictKind::Unjudged | VerdictKind::CallerFault => {
                self.confirm_lane(cell.lane, verdict);
            }
            _ => self.failed(seat, &cell, verdict, now),
        }
        self.serve(now);
    }

    // === success ===

    #[inline]
    fn count_success(&mut self, slot: u32, lane: u16, started: Tick, first: bool) {
        let lane = &mut self.lanes[usize::from(lane)];
        if lane.origin == Origin::Tentative || lane.origin == Origin::Unknown {
            lane.origin = Origin::Confirmed;
        }
        lane.overloads = 0;
        // An answer to a request from before the rest says nothing of what came after it.
        let speaks = |rest: &mut Box<Rest>| started >= rest.since;
        lane.rest.take_if(speaks);
        self.exit.take_if(speaks);
        let key = &mut self.roster.keys[slot as usize];
        if first {
            key.succeeded = key.succeeded.saturating_add(1);
            key.adaptive = (key.adaptive * ADAPT_UP).min(key.weight * ADAPT_CEILING);
            key.ramp = key.ramp.saturating_sub(1);
        }
    }

    #[inline]
    fn good_way_out(&mut self, now: Now) {
        for slot in self.guard.success(now.tick) {
            self.release_held(slot, now);
        }
    }

    /// A success of a request that started after a rest's end forgets the rest's step and strikes. When it ended is
    /// remembered, since late answers to requests from before are no new incident.
    fn clear_over(&mut self, seat: Seat, now: Now) {
        let Some(cell) = self.seats.get(seat).cloned() else { return };
        let clear = |rest: &mut Box<Rest>| {
            let told = rest.kind != VerdictKind::Unjudged;
            let over = told && !rest.is_active(now) && rest.end.tick(now) <= cell.started;
            if over {
                let (end, since, lifted_at) = (rest.end, rest.since, rest.lifted_at);
                **rest = Rest { end, since, lifted_at, ..Rest::new(now) };
            }
            over
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
        if account != NO_ACCOUNT {
            self.roster.accounts[account as usize].rest.as_mut().map(clear);
        }
        let lane = &mut self.lanes[usize::from(cell.lane)];
        if !lane.key_rests.is_empty() {
            lane.key_rests.get_mut(&cell.slot).and_then(Option::as_mut).map(clear);
        }
        lane.extra_of_mut(cell.owner).and_then(|extra| extra.rest.as_mut()).map(clear);
        if key_over {
            self.recovered(cell.slot, Scope::Key);
        }
        if owner_over {
            self.recovered(cell.slot, Scope::Owner);
        }
    }

    fn recovered(&mut self, slot: u32, scope: Scope) {
        let key = self.roster.keys[slot as usize].id.clone();
        self.event(|| Event::Recovered { key, scope });
    }

    /// A probe came back good: its scope serves again, as a new generation.
    fn probe_succeeded(&mut self, probe: ProbeOf, cell: &SeatCell, now: Now) {
        let scope = match probe {
            ProbeOf::Key => Scope::Key,
            ProbeOf::KeyLane => Scope::KeyLane,
            ProbeOf::Owner => Scope::Owner,
            ProbeOf::Account => Scope::BillingAccount,
            ProbeOf::OwnerLane => Scope::OwnerLane,
        };
        self.lift(Whom { scope, slot: cell.slot, owner: cell.owner, lane: cell.lane }, now);
        self.recovered(cell.slot, scope);
    }

    /// Ends a rest now. Answers to requests that started before rest it no more.
    fn lift(&mut self, whom: Whom, now: Now) {
        let seq = self.seq + 1;
        if let Some(rest) = self.rest_slot(whom) {
            let mut lifted = Rest::new(now);
            lifted.lifted_at = seq;
            **rest = lifted;
        }
        self.revive(whom);
    }

    fn revive(&mut self, whom: Whom) {
        match whom.scope {
            Scope::Key => self.revive_key(whom.slot),
            Scope::KeyLane => self.revive_in(whom.lane, whom.slot),
            Scope::Owner => self.revive_owner(whom.owner),
            Scope::OwnerLane => {
                let owner = whom.owner;
                let of_owner = |slot: &u32| self.roster.keys[*slot as usize].owner == owner;
                let slots: Vec<u32> = self.roster.slots().filter(of_owner).collect();
                for slot in slots {
                    self.revive_in(whom.lane, slot);
                }
            }
            Scope::BillingAccount => self.revive_all(),
            Scope::Lane | Scope::Exit | Scope::Caller => {}
        }
    }

    // === failure ===

    fn failed(&mut self, seat: Seat, cell: &SeatCell, verdict: &Verdict, now: Now) {
        if verdict.code_of() == "connect" {
            self.refund(seat, now);
        }
        self.count(cell, verdict, now);
        self.confirm_lane(cell.lane, verdict);
        if !verdict.is_named() && self.spoken_by_two(cell, verdict, now) {
            return;
        }
        let whom = Whom { scope: self.scope(cell, verdict), slot: cell.slot, owner: cell.owner, lane: cell.lane };
        match (verdict.kind(), whom.scope) {
            (_, Scope::Caller) => {}
            (VerdictKind::Overloaded, Scope::Lane) => self.overloaded(cell, verdict, now),
            _ => self.rest(whom, cell, verdict, now),
        }
    }

    /// The scope that a verdict really reaches: an account that nobody named is the owner.
    fn scope(&self, cell: &SeatCell, verdict: &Verdict) -> Scope {
        match verdict.scope_of() {
            Scope::BillingAccount if self.roster.owners[cell.owner as usize].account == NO_ACCOUNT => Scope::Owner,
            scope => scope,
        }
    }

    fn count(&mut self, cell: &SeatCell, verdict: &Verdict, now: Now) {
        let own_fault = matches!(verdict.kind(), VerdictKind::InvalidKey | VerdictKind::Suspended);
        let key = &mut self.roster.keys[cell.slot as usize];
        match verdict.kind() {
            VerdictKind::RateLimited | VerdictKind::QuotaExhausted => key.limited = key.limited.saturating_add(1),
            _ => key.failed = key.failed.saturating_add(1),
        }
        if !own_fault {
            self.guard.passing(now.tick, cell.slot);
        }
    }

    /// An answer that shows the lane's model to exist, or not to.
    fn confirm_lane(&mut self, lane: u16, verdict: &Verdict) {
        let held = &mut self.lanes[usize::from(lane)];
        if held.origin == Origin::Tentative {
            let not_found = verdict.status_of().is_some_and(|status| status == http::StatusCode::NOT_FOUND);
            let answered = verdict.status_of().is_some();
            if not_found {
                held.origin = Origin::Unknown;
            } else if answered && verdict.kind() != VerdictKind::CallerFault {
                held.origin = Origin::Confirmed;
            }
        }
    }

    /// Gives a lane up whose model the provider does not know, once nothing is in flight and nobody waits there.
    pub(super) fn drop_unknown(&mut self, lane: u16) {
        let held = &self.lanes[usize::from(lane)];
        if held.in_flight == 0 && held.queue.is_empty() && held.origin == Origin::Unknown {
            self.lane_of.remove(lane);
            self.give_lane_up(lane);
        }
    }

    /// Frees a lane's memory and number; nothing may be in flight or wait there.
    pub(super) fn give_lane_up(&mut self, lane: u16) {
        let held = &self.lanes[usize::from(lane)];
        let parked = held.cells.iter().zip(0u32..).filter(|(cell, _)| cell.place() == Place::Busy);
        for slot in parked.map(|(_, slot)| slot).collect::<Vec<_>>() {
            self.unpark(slot);
        }
        self.lanes[usize::from(lane)] = super::lane::Lane::new("".into(), Origin::Free, 0);
    }

    /// The same unclear verdict from keys of two owners within one request speaks of the request or the model: the
    /// first's rest is given back, and this one's is not taken.
    fn spoken_by_two(&mut self, cell: &SeatCell, verdict: &Verdict, now: Now) -> bool {
        let mut spoken = false;
        for attempt in cell.earlier.as_deref().unwrap_or_default() {
            if attempt.named || attempt.kind != verdict.kind() {
                continue;
            }
            let Some(slot) = self.roster.slot_of(&attempt.key) else { continue };
            let owner = self.roster.keys[slot as usize].owner;
            if owner != cell.owner {
                spoken = true;
                self.give_back(slot, owner, cell.lane, attempt.seq, now);
            }
        }
        spoken
    }

    /// Takes back what one incident did to a key's and its owner's rests.
    fn give_back(&mut self, slot: u32, owner: u32, lane: u16, seq: u64, now: Now) {
        for scope in [Scope::Key, Scope::KeyLane, Scope::Owner, Scope::OwnerLane, Scope::BillingAccount] {
            let whom = Whom { scope, slot, owner, lane };
            let Some(rest) = self.rest_slot_of(whom) else { continue };
            if rest.incident != seq {
                continue;
            }
            let Some(before) = rest.before.take() else { continue };
            rest.end = before.end;
            rest.step = before.step;
            rest.strikes = before.strikes;
            rest.probe = None;
            rest.held = false;
            rest.confirming = false;
            let over = !rest.is_active(now);
            let key = &mut self.roster.keys[slot as usize];
            key.adaptive = (key.adaptive / ADAPT_DOWN).min(key.weight * ADAPT_CEILING);
            key.ramp = before.ramp;
            if over {
                self.revive(whom);
            }
        }
    }

    /// One model without capacity: only several in a row rest the lane.
    fn overloaded(&mut self, cell: &SeatCell, verdict: &Verdict, now: Now) {
        let table = self.settings.rests.clone();
        let lane = &mut self.lanes[usize::from(cell.lane)];
        lane.overloads = lane.overloads.saturating_add(1);
        if cell.lane == NO_MODEL || lane.overloads < table.overloads.max(1) {
            return;
        }
        let rest = lane.rest.get_or_insert_with(|| Box::new(Rest::new(now)));
        if cell.started < rest.end.tick(now) && rest.kind == VerdictKind::Overloaded {
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
        }
    }

    /// Rests a scope.
    fn rest(&mut self, whom: Whom, cell: &SeatCell, verdict: &Verdict, now: Now) {
        if verdict.until_of() == Until::Now {
            return;
        }
        let incident = self.incident(whom, cell, now);
        if incident.by_hand || self.of_an_old_secret(whom, cell, verdict) {
            return;
        }
        let (end, probe, permanent) = self.end_of(&incident, cell, verdict, now);
        if incident.of_older_generation && !permanent && verdict.until_of() != Until::DayEnd {
            return;
        }
        let own_fault = matches!(verdict.kind(), VerdictKind::InvalidKey | VerdictKind::Suspended);
        let held = permanent && own_fault && self.guard.permanent(now.tick, whom.slot);
        let end = if held { End::At(now.tick.plus(HOLD)) } else { end };
        let ramp = self.roster.keys[whom.slot as usize].ramp;
        let rest = self.rest_slot(whom).expect("every scope but the caller's has a place for a rest");
        if incident.fresh {
            rest.before = Some(Before { end: rest.end, step: rest.step, strikes: rest.strikes, ramp });
            rest.step = incident.step;
            rest.strikes = incident.strikes;
            rest.incident = cell.ticket;
        }
        let confirms = verdict.confirm_after_of().is_some();
        let told = !incident.active || rest.kind != verdict.kind() || (end == End::Never) != (rest.end == End::Never);
        if incident.active {
            rest.confirming |= confirms;
            // Its time and interval are kept: what else comes in does not bring a probe forward.
            rest.probe = rest.probe.or(probe);
        } else {
            rest.since = now.tick;
            rest.confirming = confirms;
            rest.probe = probe;
            rest.held = false;
        }
        let outlasts = !incident.active || end.tick(now) > rest.end.tick(now);
        if outlasts {
            rest.end = end;
            describe(rest, verdict);
        }
        rest.held |= held;
        if incident.fresh {
            self.weigh_down(whom, verdict);
        }
        if held {
            self.hold_suspects(now);
        } else if outlasts && told {
            self.tell(whom, verdict, end, now);
        }
    }

    /// What a verdict is to the scope's last rest. One incident counts once: only an answer to a request that started
    /// after that rest's end is a new one.
    fn incident(&mut self, whom: Whom, cell: &SeatCell, now: Now) -> Incident {
        let extra = self.roster.keys[whom.slot as usize].extra.as_ref();
        let of_the_key = !matches!(whom.scope, Scope::Lane | Scope::Exit | Scope::Caller);
        let lifted = of_the_key && extra.is_some_and(|extra| cell.seq < extra.lifted_at);
        let Some(rest) = self.rest_slot_of(whom) else {
            return Incident { fresh: true, strikes: 1, of_older_generation: lifted, ..Incident::default() };
        };
        let active = rest.is_active(now);
        let after = cell.started >= rest.end.tick(now);
        let fresh = !active && after;
        Incident {
            fresh,
            active,
            step: rest.step.saturating_add(u8::from(fresh && rest.incident != 0)),
            strikes: rest.strikes.saturating_add(u8::from(fresh)),
            confirmed: rest.confirming && fresh,
            by_hand: rest.by_hand,
            of_older_generation: lifted || cell.seq < rest.lifted_at,
        }
    }

    /// The key has another secret by now: that the old one is not valid is no news.
    fn of_an_old_secret(&self, whom: Whom, cell: &SeatCell, verdict: &Verdict) -> bool {
        let replaced_at = self.roster.keys[whom.slot as usize].extra.as_ref().map_or(0, |extra| extra.replaced_at);
        let of_the_secret = matches!(whom.scope, Scope::Key | Scope::KeyLane);
        of_the_secret && verdict.kind() == VerdictKind::InvalidKey && cell.seq <= replaced_at
    }

    /// How long, by the verdict and the table; a probe; and whether it is without end.
    fn end_of(
        &mut self,
        incident: &Incident,
        cell: &SeatCell,
        verdict: &Verdict,
        now: Now,
    ) -> (End, Option<Probe>, bool) {
        let table = &self.settings.rests;
        let backoff = End::At(now.tick.plus(table.backoff(verdict.kind(), incident.step)));
        let suspect = !verdict.is_named() && incident.strikes < table.strikes.max(1);
        match (verdict.until_of(), verdict.confirm_after_of()) {
            (Until::Now, _) => (End::At(now.tick), None, false),
            (Until::Backoff, _) => (backoff, None, false),
            (Until::For(delay), _) => (End::At(now.tick.plus(delay.min(table.longest))), None, false),
            (Until::DayEnd, _) => (self.day_end(cell, incident.step, now), None, false),
            (_, Some(pause)) if !incident.confirmed => (End::At(now.tick.plus(pause)), None, false),
            (Until::Probed(_) | Until::Lifted, _) if suspect => (backoff, None, false),
            (Until::Probed(first), _) => {
                (End::Never, Some(Probe { at: now.tick.plus(first), interval: first, out: false }), true)
            }
            (Until::Lifted, _) => (End::Never, None, true),
        }
    }

    /// The midnight after the request's start; near midnight a minute, doubling, since the answer may speak of the
    /// day that just ended.
    fn day_end(&mut self, cell: &SeatCell, step: u8, now: Now) -> End {
        let zone = usize::from(self.roster.owners[cell.owner as usize].zone);
        let zone = &mut self.zones[zone].1;
        if zone.near_midnight(now.wall_ms, NEAR_MIDNIGHT) {
            let length = self.settings.rests.backoff(VerdictKind::QuotaExhausted, step);
            return End::At(now.tick.plus(length));
        }
        End::Wall(zone.next_midnight(cell.wall_ms))
    }

    /// A fault of the key's or its owner's own: less load at first when it is back.
    fn weigh_down(&mut self, whom: Whom, verdict: &Verdict) {
        if matches!(whom.scope, Scope::Lane | Scope::Exit | Scope::Caller) {
            return;
        }
        let ramps =
            matches!(verdict.kind(), VerdictKind::InvalidKey | VerdictKind::Suspended | VerdictKind::ModelUnavailable);
        let key = &mut self.roster.keys[whom.slot as usize];
        key.adaptive = (key.adaptive * ADAPT_DOWN).max(key.weight * ADAPT_FLOOR);
        if ramps {
            key.ramp = RAMP_STEPS;
        }
    }

    // === the guard ===

    /// All keys under suspicion rest for a while instead of being disabled.
    fn hold_suspects(&mut self, now: Now) {
        let suspects = self.guard.suspects().to_vec();
        for slot in &suspects {
            let key = &mut self.roster.keys[*slot as usize];
            let owner = key.owner;
            for rest in [&mut key.rest, &mut self.roster.owners[owner as usize].rest] {
                if let Some(rest) = rest.as_mut().filter(|rest| rest.end == End::Never && !rest.by_hand) {
                    rest.held = true;
                    rest.end = End::At(now.tick.plus(HOLD));
                }
            }
        }
        self.event(|| Event::Held { keys: suspects.len() });
    }

    /// The way out is good: what was held takes effect.
    fn release_held(&mut self, slot: u32, now: Now) {
        let owner = self.roster.keys[slot as usize].owner;
        for scope in [Scope::Key, Scope::Owner] {
            let whom = Whom { scope, slot, owner, lane: NO_MODEL };
            let Some(rest) = self.rest_slot_of(whom).filter(|rest| rest.held) else { continue };
            rest.held = false;
            rest.end = End::Never;
            let (kind, code, advice) = (rest.kind, rest.code.clone().into_owned(), rest.advice.clone().into_owned());
            let key = self.roster.keys[slot as usize].id.clone();
            self.event(|| Event::Disabled { key, scope, kind, code, advice });
        }
        let _ = now;
    }

    // === places ===

    /// The place of a scope's rest; made when there is none.
    fn rest_slot(&mut self, whom: Whom) -> Option<&mut Box<Rest>> {
        let place = match whom.scope {
            Scope::Key => &mut self.roster.keys[whom.slot as usize].rest,
            Scope::Owner => &mut self.roster.owners[whom.owner as usize].rest,
            Scope::BillingAccount => {
                let account = self.roster.owners[whom.owner as usize].account;
                &mut self.roster.accounts[account as usize].rest
            }
            Scope::KeyLane => self.lanes[usize::from(whom.lane)].key_rests.entry(whom.slot).or_default(),
            Scope::OwnerLane => &mut self.lanes[usize::from(whom.lane)].extra(whom.owner).rest,
            Scope::Lane => &mut self.lanes[usize::from(whom.lane)].rest,
            Scope::Exit => &mut self.exit,
            Scope::Caller => return None,
        };
        Some(place.get_or_insert_with(|| Box::new(Rest::new(Now { tick: Tick::ZERO, wall_ms: 0 }))))
    }

    /// The place of a scope's rest, where there is one.
    fn rest_slot_of(&mut self, whom: Whom) -> Option<&mut Rest> {
        let place = match whom.scope {
            Scope::Key => self.roster.keys[whom.slot as usize].rest.as_mut(),
            Scope::Owner => self.roster.owners[whom.owner as usize].rest.as_mut(),
            Scope::BillingAccount => match self.roster.owners[whom.owner as usize].account {
                NO_ACCOUNT => None,
                account => self.roster.accounts[account as usize].rest.as_mut(),
            },
            Scope::KeyLane => self.lanes[usize::from(whom.lane)].key_rests.get_mut(&whom.slot).and_then(Option::as_mut),
            Scope::OwnerLane => {
                self.lanes[usize::from(whom.lane)].extra_of_mut(whom.owner).and_then(|extra| extra.rest.as_mut())
            }
            Scope::Lane => self.lanes[usize::from(whom.lane)].rest.as_mut(),
            Scope::Exit => self.exit.as_mut(),
            Scope::Caller => None,
        };
        place.map(|rest| &mut **rest)
    }

    fn tell(&mut self, whom: Whom, verdict: &Verdict, end: End, now: Now) {
        if !self.watched {
            return;
        }
        let key = self.roster.keys[whom.slot as usize].id.clone();
        let (scope, kind, code) = (whom.scope, verdict.kind(), verdict.code_of().to_owned());
        if end == End::Never {
            let advice = verdict.advice_of().to_owned();
            self.events.push(Event::Disabled { key, scope, kind, code, advice });
            return;
        }
        let limit = verdict.news_of().and_then(|news| news.violations.first()).map(|violation| Limit {
            unit: violation.unit,
            span: violation.span,
            amount: violation.amount.unwrap_or(0),
        });
        let model = matches!(scope, Scope::Lane | Scope::KeyLane | Scope::OwnerLane).then(|| self.lane_name(whom.lane));
        let rest = end.tick(now).since(now.tick);
        self.events.push(Event::Rested { key, scope, model: model.flatten(), kind, code, limit, rest });
    }

    // === by hand ===

    /// Switches a key off until it is switched on.
    pub(super) fn disable(&mut self, slot: u32, reason: &str, now: Now) {
        let owner = self.roster.keys[slot as usize].owner;
        let whom = Whom { scope: Scope::Key, slot, owner, lane: NO_MODEL };
        let rest = self.rest_slot(whom).expect("a key has a place for a rest");
        rest.by_hand = true;
        rest.end = End::Never;
        rest.since = now.tick;
        rest.code = Cow::Owned(reason.to_owned());
        rest.probe = None;
        rest.before = None;
        rest.held = false;
        self.guard.forget(slot);
        let (key, code) = (self.roster.keys[slot as usize].id.clone(), reason.to_owned());
        self.event(|| Event::Disabled {
            key,
            scope: Scope::Key,
            kind: VerdictKind::Unjudged,
            code,
            advice: "Switched off by hand: enable the key to use it again.".to_owned(),
        });
    }

    /// Lifts a key's own rest.
    pub(super) fn lift_key(&mut self, slot: u32, now: Now) {
        let owner = self.roster.keys[slot as usize].owner;
        self.lift(Whom { scope: Scope::Key, slot, owner, lane: NO_MODEL }, now);
    }

    /// Lifts every rest of a key and of its owner, and lets it serve again.
    pub(super) fn enable(&mut self, slot: u32, now: Now) {
        let owner = self.roster.keys[slot as usize].owner;
        for lane in 0..self.lanes.len() as u16 {
            for scope in [Scope::KeyLane, Scope::OwnerLane] {
                let whom = Whom { scope, slot, owner, lane };
                if (owner as usize) < self.lanes[usize::from(lane)].owners.len() && self.rest_slot_of(whom).is_some() {
                    self.lift(whom, now);
                }
            }
        }
        for scope in [Scope::Key, Scope::Owner, Scope::BillingAccount] {
            let whom = Whom { scope, slot, owner, lane: NO_MODEL };
            if self.rest_slot_of(whom).is_some() {
                self.lift(whom, now);
            }
        }
        self.roster.keys[slot as usize].extra.get_or_insert_default().lifted_at = self.seq + 1;
        self.guard.forget(slot);
        self.recovered(slot, Scope::Key);
        self.serve(now);
    }
}

fn describe(rest: &mut Rest, verdict: &Verdict) {
    rest.kind = verdict.kind();
    rest.code = Cow::Owned(verdict.code_of().to_owned());
    rest.advice = Cow::Owned(verdict.advice_of().to_owned());
}
