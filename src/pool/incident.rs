//! Incidents: how one bad answer rests a scope, and for how long. One incident counts once.

use std::{borrow::Cow, time::Duration};

use super::{
    doubt::{is_unexplained_403, may_be_the_requests},
    event::{Event, LimitHit},
    guard::HOLD,
    plans::find,
    rest::{End, Probe, Rest, RestBackoff, lasts_until, to_confirm},
    scope::Whom,
    seats::SeatCell,
    state::State,
    unnamed::is_unnamed_limit,
};
use crate::{
    limit::Limit,
    time::Now,
    verdict::{Scope, Until, Verdict, VerdictKind, Violation},
};

/// A daily 429 this near to midnight does not tell which day it speaks of.
const NEAR_MIDNIGHT: Duration = Duration::from_secs(600);

/// No rest of which a length is said is shorter: who says "at once" and refuses again would be asked without a pause.
const SHORTEST: Duration = Duration::from_secs(1);

/// A delay this short that is refused again and again was no delay to go by: it doubles from the second incident on.
const BRIEF: Duration = Duration::from_secs(5);

/// A way out rests so long where something refuses it for the first time that does not say who it is: the request in hand
/// goes on by another.
const FIRST_PAGE: Duration = Duration::from_secs(1);

/// What a verdict is to its scope's last rest.
#[derive(Default)]
pub(super) struct Incident {
    /// A new one: the request started after that rest's end.
    pub(super) fresh: bool,
    /// That rest is not over.
    pub(super) active: bool,
    /// Incidents before this one, as the backoff counts them.
    pub(super) step: u8,
    /// With this one.
    pub(super) strikes: u8,
    /// That rest waited for a confirmation, and this is it.
    pub(super) confirmed: bool,
    pub(super) by_hand: bool,
    /// The request started before the scope was lifted.
    pub(super) of_older_generation: bool,
}

pub(super) fn describe(rest: &mut Rest, verdict: &Verdict) {
    rest.kind = verdict.fault();
    rest.code = Cow::Owned(verdict.code_of().to_owned());
    rest.advice = Cow::Owned(verdict.advice_of().to_owned());
}

impl State {
    /// Rests a scope.
    pub(super) fn rest(&mut self, whom: Whom, cell: &SeatCell, verdict: &Verdict, now: Now) {
        if verdict.until_of() == Until::Now {
            return;
        }
        let incident = self.incident(whom, cell, now);
        if incident.by_hand {
            return;
        }
        let (end, probe, permanent) = self.end_of(&incident, cell, verdict, now);
        if self.of_an_old_secret(whom, cell, verdict, permanent) {
            return;
        }
        if incident.of_older_generation && !permanent && verdict.until_of() != Until::DayEnd {
            return;
        }
        let own_fault = matches!(verdict.fault(), VerdictKind::InvalidKey | VerdictKind::Suspended);
        // What speaks of the request says nothing of the way out.
        let counts = permanent && own_fault && !self.is_the_requests_own(cell, verdict);
        let held = counts && self.guard.permanent(now.tick, whom.slot);
        let end = if held { End::At(now.tick.plus(HOLD)) } else { end };
        let ramp = self.roster.keys[whom.slot as usize].ramp;
        let overfull = cell.overfills(verdict);
        let doubtful = may_be_the_requests(verdict) || overfull;
        let trickle = self.trickles(whom, verdict, end.tick(now));
        let rest = self.rest_slot(whom).expect("every scope but the caller's has a place for a rest");
        if incident.fresh {
            // What is sure of the key is never given back.
            rest.before = doubtful.then(|| rest.standing(ramp));
            rest.step = incident.step;
            rest.strikes = incident.strikes;
            rest.incident = cell.ticket;
        }
        if !doubtful && rest.kind == verdict.fault() {
            rest.before = None;
        }
        let probed_at_last = incident.active && rest.probe.is_none() && probe.is_some();
        let confirms = verdict.confirm_after_of().is_some();
        // What is for good needs none.
        let to_confirm = probe.filter(|_| confirms && !permanent);
        let until = lasts_until(end, to_confirm, now);
        let outlasts = !incident.active || until > rest.lasts_until(now);
        let told = !incident.active || rest.kind != verdict.fault() || (end == End::Never) != (rest.end == End::Never);
        if incident.active {
            rest.confirming |= confirms;
            // Its time and interval are kept: what else comes in does not bring a probe forward.
            rest.probe = rest.probe.or(probe.filter(|_| to_confirm.is_none()));
        } else {
            rest.since = now.tick;
            rest.confirming = confirms;
            rest.returned = false;
            // Of what may be in the request alone, others find out soon.
            rest.probe = if is_unexplained_403(verdict) || overfull { Some(rest.soon(now)) } else { probe };
            rest.held = false;
            rest.told &= held;
        }
        if outlasts {
            let of_request = is_unnamed_limit(verdict) || overfull;
            let as_before = is_unexplained_403(verdict) || of_request && rest.kind == verdict.fault();
            if incident.active && rest.end != End::Never && !rest.held && !as_before {
                // What was to be tried soon was to be for another reason. One that is under way is the one.
                let out = rest.probe.is_some_and(|held| held.out);
                rest.probe = probe.map(|probe| Probe { out: probe.out || out, ..probe });
            }
            rest.end = end;
            rest.trickle = trickle;
            describe(rest, verdict);
        }
        rest.held |= held;
        if incident.fresh {
            self.weigh_down(whom, verdict);
        }
        if outlasts && !self.waiters.is_empty() {
            self.lost();
        }
        if probed_at_last {
            // Its keys stand where nothing ever calls them.
            self.revive(whom);
        }
        if held {
            self.hold_suspects(now);
        } else if outlasts && told {
            self.tell(whom, verdict, if to_confirm.is_some() { End::At(until) } else { end }, now);
        }
    }

    /// What a verdict is to the scope's last rest. One incident counts once: only an answer to a request that started
    /// after that rest's end is a new one.
    pub(super) fn incident(&mut self, whom: Whom, cell: &SeatCell, now: Now) -> Incident {
        let extra = self.roster.keys[whom.slot as usize].extra.as_ref();
        let of_the_key = !matches!(whom.scope, Scope::Lane | Scope::Exit | Scope::Caller);
        let lifted = of_the_key && extra.is_some_and(|extra| cell.seq < extra.lifted_at);
        let Some(rest) = self.rest_slot_of(whom) else {
            return Incident { fresh: true, strikes: 1, of_older_generation: lifted, ..Incident::default() };
        };
        let active = rest.is_active(now);
        let after = cell.began.tick >= rest.end.tick(now);
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

    /// The key has another secret by now: that the old one is not valid is no news. Where it came back with that one, nothing
    /// that is said of the old one is, nor what is for good of an owner that nobody named, which was the old one's.
    fn of_an_old_secret(&self, whom: Whom, cell: &SeatCell, verdict: &Verdict, permanent: bool) -> bool {
        let Some(extra) = self.roster.keys[whom.slot as usize].extra.as_ref() else { return false };
        let of_another = cell.seq <= extra.others_until;
        match whom.scope {
            Scope::Key | Scope::KeyLane => {
                of_another || verdict.fault() == VerdictKind::InvalidKey && cell.seq <= extra.replaced_at
            }
            Scope::Owner | Scope::OwnerLane => {
                of_another && permanent && self.roster.owners[whom.owner as usize].is_unnamed()
            }
            _ => false,
        }
    }

    /// How long, by the verdict and the table; a probe; and whether it is without end.
    pub(super) fn end_of(
        &mut self,
        incident: &Incident,
        cell: &SeatCell,
        verdict: &Verdict,
        now: Now,
    ) -> (End, Option<Probe>, bool) {
        let table = &self.settings.rests;
        let backoff = End::At(now.tick.plus(table.backoff(verdict.fault(), incident.step)));
        // A way out that fails is tried again soon: it says nothing of what the provider thinks of it.
        let backoff = match verdict.scope_of() {
            Scope::Exit if verdict.fault() == VerdictKind::Transient => {
                End::At(now.tick.plus(table.unreachable.length(incident.step)))
            }
            // What does not say whose it is may be of something between, pass by itself, or be of this one request (a
            // firewall reads bodies): believed little by little, and no more once anybody is served.
            Scope::Exit if !verdict.is_named() => {
                let page = RestBackoff { first: FIRST_PAGE, cap: table.blocked.cap };
                End::At(now.tick.plus(page.length(incident.strikes.saturating_sub(1))))
            }
            _ => backoff,
        };
        let suspect = !verdict.is_named() && incident.strikes < table.strikes.max(1);
        match (verdict.until_of(), verdict.confirm_after_of()) {
            (Until::Now, _) => (End::At(now.tick), None, false),
            (Until::Backoff, _) => (backoff, None, false),
            (Until::For(delay), _) => {
                let brief = RestBackoff { first: SHORTEST, cap: table.rate_limited.cap };
                let repeated = if delay < BRIEF { incident.step.saturating_sub(1) } else { 0 };
                let delay = delay.max(brief.length(repeated)).max(SHORTEST);
                (End::At(now.tick.plus(delay.min(table.longest))), None, false)
            }
            (Until::DayEnd, _) => (self.day_end(cell, incident.step, now), None, false),
            (_, Some(pause)) if !incident.confirmed => {
                let (end, probe) = to_confirm(pause, now);
                (end, Some(probe), false)
            }
            (Until::Probed(_) | Until::Lifted, _) if suspect => (backoff, None, false),
            (Until::Probed(first), _) => {
                let first = first.max(SHORTEST);
                (End::Never, Some(Probe { at: now.tick.plus(first), interval: first, out: false }), true)
            }
            // What nobody named may pass by itself: tried again from time to time.
            (Until::Lifted, _) if !verdict.is_named() => {
                let interval = table.suspect.cap;
                (End::Never, Some(Probe { at: now.tick.plus(interval), interval, out: false }), true)
            }
            (Until::Lifted, _) => (End::Never, None, true),
        }
    }

    /// The midnight after the request's start; near midnight a minute, doubling, since the answer may speak of the
    /// day that just ended.
    pub(super) fn day_end(&mut self, cell: &SeatCell, step: u8, now: Now) -> End {
        let zone = usize::from(self.roster.owners[cell.owner as usize].zone());
        let zone = &mut self.zones[zone].1;
        if zone.near_midnight(now.wall_ms(), NEAR_MIDNIGHT) {
            let length = self.settings.rests.backoff(VerdictKind::QuotaExhausted, step);
            // No day opens before its guard is over.
            let guard = zone.guard_left(now.wall_ms().saturating_add(length.as_millis() as i64));
            return End::At(now.tick.plus(length).plus(guard));
        }
        End::Wall(zone.next_midnight(cell.began.wall_ms()))
    }

    pub(super) fn tell(&mut self, whom: Whom, verdict: &Verdict, end: End, now: Now) {
        if !self.is_heard() {
            return;
        }
        let key = self.roster.keys[whom.slot as usize].id.clone();
        let (scope, kind, code) = (whom.scope, verdict.fault(), verdict.code_of().to_owned());
        if end == End::Never {
            let advice = verdict.advice_of().to_owned();
            let model = self.model_of(whom);
            let exit = self.exit_named(whom);
            self.events.push(Event::Disabled { key, scope, exit, model, kind, code, advice });
            return;
        }
        let limit = verdict.news_of().and_then(|news| news.decisive).map(|violation| self.limit_hit(whom, violation));
        let model = self.model_of(whom);
        let rest = end.tick(now).since(now.tick);
        let exit = self.exit_named(whom);
        let cause = verdict.cause_of().map(str::to_owned);
        self.events.push(Event::Rested { key, scope, exit, model, kind, code, cause, limit, rest });
    }

    /// A limit that was hit, beside what the pool has for it. Learning comes before: a limit that was taken from this very
    /// answer is held by now.
    fn limit_hit(&self, whom: Whom, violation: Violation) -> LimitHit {
        let Violation { unit, span, amount: named } = violation;
        let lane = &self.lanes[usize::from(whom.lane)];
        let of_a_lane = matches!(whom.scope, Scope::KeyLane | Scope::OwnerLane) && !lane.asleep;
        let sources = of_a_lane.then(|| self.plans.sources(lane.owners[whom.owner as usize].plan));
        let like = Limit { unit, span, amount: 0 };
        let held = sources.and_then(|sources| find(&sources.own(), like));
        let source = sources.filter(|_| held.is_some()).map(|sources| sources.source(like));
        LimitHit { unit, span, named, held: held.map(|held| held.amount), source }
    }

    /// The model of a scope that is bound to a lane.
    pub(super) fn model_of(&self, whom: Whom) -> Option<std::sync::Arc<str>> {
        let of_a_lane = matches!(whom.scope, Scope::Lane | Scope::KeyLane | Scope::OwnerLane);
        of_a_lane.then(|| self.lane_name(whom.lane)).flatten()
    }
}
