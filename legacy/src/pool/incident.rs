//! Incidents: how one bad answer rests a scope, and for how long. One incident counts once.

use std::time::Duration;

use super::{
    event::{Event, LimitHit},
    guard::HOLD,
    penalty::{Change, Penalty, Term},
    plans::find,
    rest::{End, Probe, RestBackoff, RestTable, to_confirm},
    scope::Whom,
    seats::SeatCell,
    state::State,
};
use crate::{
    limit::Limit,
    time::Now,
    verdict::{Scope, Until, Verdict, VerdictKind, Violation},
};

/// A daily limit that is met this near to midnight may be the day's that just ended, or the next one's.
const NEAR_MIDNIGHT: Duration = Duration::from_secs(600);

/// No rest whose length an answer names is shorter: a provider that says "at once" and refuses again would be asked
/// without a pause.
const SHORTEST: Duration = Duration::from_secs(1);

/// A named delay shorter than this that is refused again and again was no delay to go by: the rest doubles from the second
/// incident on.
const BRIEF: Duration = Duration::from_secs(5);

/// An exit rests so long for the first refusal that does not say whose it is: the request in hand goes on by another exit.
const FIRST_PAGE: Duration = Duration::from_secs(1);

/// What a verdict is to the last rest of its scope.
#[derive(Default)]
pub(super) struct Incident {
    /// It is a new incident: that rest is over, and the request started after its end.
    pub(super) fresh: bool,
    /// That rest is not over.
    pub(super) active: bool,
    /// Incidents before this one, as the backoff counts them.
    pub(super) step: u8,
    /// Incidents with this one.
    pub(super) strikes: u8,
    /// That rest waited to be confirmed, and this verdict confirms it.
    pub(super) confirmed: bool,
    /// The scope was disabled by hand.
    pub(super) by_hand: bool,
    /// The request started before the scope was lifted.
    pub(super) of_older_generation: bool,
}

/// Whether the request started before the scope was lifted, so that its answer says nothing of the scope as it is now. What is
/// for good, or for the rest of the day, holds all the same.
fn is_of_a_time_before_the_lift(incident: &Incident, verdict: &Verdict, term: Term) -> bool {
    incident.of_older_generation && !term.is_for_good() && verdict.until_of() != Until::DayEnd
}

/// The rest that the table has for this kind of fault, by the incidents so far.
fn backoff(table: &RestTable, incident: &Incident, verdict: &Verdict) -> Duration {
    match verdict.scope_of() {
        // An exit that fails is tried again soon: that says nothing of what the provider thinks of it.
        Scope::Exit if verdict.fault() == VerdictKind::Transient => table.unreachable.length(incident.step),
        // A refusal that does not say whose it is may come from something between, pass by itself, or be of this one request
        // (a firewall reads bodies): it is believed little by little, and no more once anybody is served.
        Scope::Exit if !verdict.is_named() => {
            let page = RestBackoff { first: FIRST_PAGE, cap: table.blocked.cap };
            page.length(incident.strikes.saturating_sub(1))
        }
        _ => table.backoff(verdict.fault(), incident.step),
    }
}

impl State {
    /// Rests a scope for a verdict.
    pub(super) fn rest(&mut self, whom: Whom, cell: &SeatCell, verdict: &Verdict, now: Now) {
        if verdict.until_of() == Until::Now {
            return;
        }
        let incident = self.incident(whom, cell, now);
        if incident.by_hand {
            return;
        }
        let term = self.term(&incident, cell, verdict, now);
        if self.is_of_an_old_secret(whom, cell, verdict, term) || is_of_a_time_before_the_lift(&incident, verdict, term)
        {
            return;
        }
        let held = self.is_held_by_the_guard(whom, cell, verdict, term, now);
        let end = if held { End::At(now.tick.plus(HOLD)) } else { term.end() };
        let trickle = self.trickles(whom, verdict, end.tick(now));
        let penalty = Penalty { verdict, term, end, held, overfull: cell.overfills(verdict), trickle };

        let ramp = self.roster.keys[whom.slot as usize].ramp;
        let rest = self.rest_slot(whom).expect("every scope but the caller's has a place for a rest");
        if incident.fresh {
            rest.count(&incident, cell.ticket, &penalty, ramp);
        }
        if !penalty.is_doubtful() && rest.kind == verdict.fault() {
            // What is sure of the key is never given back.
            rest.before = None;
        }
        let change = rest.change_by(&incident, &penalty, now);
        let is_news = rest.is_news(change, &penalty);
        let is_probed_from_now_on = incident.active && rest.probe.is_none() && term.probe().is_some();
        rest.apply(change, &penalty, now);

        if incident.fresh {
            self.weigh_down(whom, verdict);
        }
        if change != Change::Kept && !self.waiters.is_empty() {
            self.lost();
        }
        if is_probed_from_now_on {
            // Without a probe its keys stood where nothing calls them.
            self.revive(whom);
        }
        if held {
            self.hold_suspects(now);
        } else if is_news {
            let end = term.to_confirm().map_or(end, |probe| End::At(probe.at));
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

    /// Whether the answer is to a secret that the key no longer has, and no news for that reason. That a replaced secret is
    /// not valid is none. Where the replaced one is back, nothing is that was said of the secret between; nor is what would
    /// hold for good of the owner of that one, if nobody named the owner.
    fn is_of_an_old_secret(&self, whom: Whom, cell: &SeatCell, verdict: &Verdict, term: Term) -> bool {
        let Some(extra) = self.roster.keys[whom.slot as usize].extra.as_ref() else { return false };
        let of_another = cell.seq <= extra.others_until;
        match whom.scope {
            Scope::Key | Scope::KeyLane => {
                of_another || verdict.fault() == VerdictKind::InvalidKey && cell.seq <= extra.replaced_at
            }
            Scope::Owner | Scope::OwnerLane => {
                of_another && term.is_for_good() && self.roster.owners[whom.owner as usize].is_unnamed()
            }
            _ => false,
        }
    }

    /// Counts a fault of the key's own that is for good with the guard, and says whether the guard holds it. What may be the
    /// request's own fault says nothing of whether the fault is ours.
    fn is_held_by_the_guard(&mut self, whom: Whom, cell: &SeatCell, verdict: &Verdict, term: Term, now: Now) -> bool {
        let own_fault = matches!(verdict.fault(), VerdictKind::InvalidKey | VerdictKind::Suspended);
        let counts = term.is_for_good() && own_fault && !self.is_the_requests_own(cell, verdict);
        counts && self.guard.permanent(now.tick, whom.slot)
    }

    /// How long a verdict rests its scope, by what it says and by the table.
    fn term(&mut self, incident: &Incident, cell: &SeatCell, verdict: &Verdict, now: Now) -> Term {
        let table = &self.settings.rests;
        let after = |length: Duration| Term::Until(End::At(now.tick.plus(length)));
        let probed = |interval: Duration| Some(Probe { at: now.tick.plus(interval), interval, out: false });
        let is_suspect_only = !verdict.is_named() && incident.strikes < table.strikes.max(1);
        match (verdict.until_of(), verdict.confirm_after_of()) {
            (Until::Now, _) => Term::Until(End::At(now.tick)),
            (Until::Backoff, _) => after(backoff(table, incident, verdict)),
            (Until::For(delay), _) => {
                let brief = RestBackoff { first: SHORTEST, cap: table.rate_limited.cap };
                let repeated = if delay < BRIEF { incident.step.saturating_sub(1) } else { 0 };
                let delay = delay.max(brief.length(repeated)).max(SHORTEST);
                after(delay.min(table.longest))
            }
            (Until::DayEnd, _) => Term::Until(self.day_end(cell, incident.step, now)),
            (_, Some(pause)) if !incident.confirmed => {
                let (end, by) = to_confirm(pause, now);
                Term::ToConfirm { end, by }
            }
            (Until::Probed(_) | Until::Lifted, _) if is_suspect_only => after(backoff(table, incident, verdict)),
            (Until::Probed(first), _) => Term::ForGood(probed(first.max(SHORTEST))),
            // A fault that nobody named may pass by itself: it is tried again from time to time.
            (Until::Lifted, _) if !verdict.is_named() => Term::ForGood(probed(table.suspect.cap)),
            (Until::Lifted, _) => Term::ForGood(None),
        }
    }

    /// The midnight after the request's start; near midnight a minute, doubling, since the answer may speak of the
    /// day that just ended.
    fn day_end(&mut self, cell: &SeatCell, step: u8, now: Now) -> End {
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
