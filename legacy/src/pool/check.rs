//! Looking at one key: may it carry this request, and if not, when or why.

use std::time::Duration;

use super::{OutReason, ask::Ask, journal::Journal, rest::Rest, roster::NO_ACCOUNT, seats::Probes, state::State};
use crate::{
    limit::{At, Full, Limit, Need},
    time::{Now, Tick},
    verdict::{EXIT, Scope, VerdictKind},
};

/// Whether a key may carry a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Check {
    /// Yes; as the probe of these scopes.
    Ready(Probes),
    /// Not before then.
    Until(Tick, OutReason),
    /// When one of its requests ends, or its interval is over.
    Busy(Option<Tick>, OutReason),
    /// Not before an event.
    Out(OutReason),
    /// It may carry others, but not this one: before then, where known.
    NotThis(Option<Tick>, OutReason),
}

/// The least that a request needs.
pub(super) const LEAST: Need = Need { requests: 1, input_tokens: 0, output_tokens: 0, images: 0 };

/// When a write that is due is done, mostly.
pub(super) const WRITE: Duration = super::write_behind::SHORT_PAUSE;

/// Why a rest keeps its scope out.
pub(super) fn reason_of(rest: &Rest) -> OutReason {
    use VerdictKind as K;
    if rest.by_hand {
        return OutReason::DisabledByHand;
    }
    if rest.held {
        return OutReason::Held;
    }
    let forever = rest.end == super::rest::End::Never;
    match rest.reason() {
        K::RateLimited => OutReason::RateLimited,
        K::QuotaExhausted if forever => OutReason::DisabledSpent,
        K::QuotaExhausted => OutReason::QuotaExhausted,
        K::InvalidKey if forever => OutReason::DisabledInvalid,
        K::Suspended if forever => OutReason::DisabledSuspended,
        K::ModelUnavailable => OutReason::ModelUnavailable,
        // Nothing was heard of the provider.
        K::Transient if rest.code == EXIT => OutReason::ExitRests,
        K::Overloaded | K::Transient => OutReason::Overloaded,
        K::Blocked => OutReason::Blocked,
        _ => OutReason::Resting,
    }
}

impl State {
    /// Whether this key may carry this request now.
    #[inline]
    pub(super) fn check(&mut self, ask: &Ask<'_>, slot: u32) -> Check {
        let now = ask.now;
        let lane_at = usize::from(ask.lane);
        let key = &self.roster.keys[slot as usize];
        if key.removed {
            return Check::Out(OutReason::DisabledByHand);
        }
        let owner_at = key.owner;
        let probes = if self.may_rest(slot, owner_at, ask.lane) {
            match self.check_rests(ask, slot, owner_at) {
                Ok(probes) => probes,
                Err(check) => return check,
            }
        } else {
            Probes::default()
        };
        if ask.demand.free {
            return self.check_slots(slot, now, probes);
        }
        let at = self.at(now, owner_at);
        let lane = &mut self.lanes[lane_at];
        let owner = lane.owners[owner_at as usize];
        let plan = self.plans.plan(owner.plan);
        let words = plan.words();
        if words > 0
            && let Err(full) = plan.room(lane.log_at(owner, words), &ask.need, &at)
        {
            return self.check_full(ask, owner_at, full, &at);
        }
        if self.journal.is_some()
            && let Some(check) = self.check_kept(ask, slot, owner_at)
        {
            return check;
        }
        self.check_slots(slot, now, probes)
    }

    /// No room for this request.
    #[inline(never)]
    pub(super) fn check_full(&mut self, ask: &Ask<'_>, owner: u32, full: Full, at: &At) -> Check {
        let lane = &mut self.lanes[usize::from(ask.lane)];
        let plan = self.plans.plan(lane.owners[owner as usize].plan);
        // Where even the least request has no room the key waits for that; else it may carry others.
        let least = if ask.need == LEAST { Err(full) } else { plan.room(lane.log(owner, plan.words()), &LEAST, at) };
        let shown = least.err().unwrap_or(full);
        let Limit { unit, span, amount } = shown.limit;
        let reason = if amount == 0 { OutReason::NothingAllowed(unit, span) } else { OutReason::Full(unit, span) };
        match (least, shown.opens.tick(at)) {
            (Ok(()), tick) => Check::NotThis(tick, reason),
            (Err(_), Some(tick)) => Check::Until(tick, reason),
            (Err(_), None) => Check::Out(reason),
        }
    }

    /// Where something is kept: whether another process has the owner, or the store has yet to hear of what would be used.
    #[inline(never)]
    fn check_kept(&mut self, ask: &Ask<'_>, slot: u32, owner: u32) -> Option<Check> {
        if let Some(elsewhere) = self.check_held(ask.lane, slot, ask.now) {
            return Some(elsewhere);
        }
        (!self.marked((ask.lane, owner), &ask.need)).then(|| self.check_unwritten(ask, owner))
    }

    /// The store has yet to hear of what would be used.
    #[cold]
    fn check_unwritten(&self, ask: &Ask<'_>, owner: u32) -> Check {
        let plan = self.plans.plan(self.lanes[usize::from(ask.lane)].owners[owner as usize].plan);
        let smaller = |journal: &Journal| ask.need != LEAST && journal.allows((ask.lane, owner), plan, &LEAST);
        let at = Some(ask.now.tick.plus(WRITE));
        if self.journal.as_deref().is_some_and(smaller) {
            return Check::NotThis(at, OutReason::Unwritten);
        }
        Check::Busy(at, OutReason::Unwritten)
    }

    /// Whether there is anything that may keep this key in this lane out but its limits: most keys have nothing.
    #[inline]
    pub(super) fn may_rest(&self, slot: u32, owner: u32, lane: u16) -> bool {
        let (key, held) = (&self.roster.keys[slot as usize], &self.roster.owners[owner as usize]);
        let lane = &self.lanes[usize::from(lane)];
        key.rest.is_some()
            || self.roster.exits.any_rest()
            || held.rest.is_some()
            || held.account != NO_ACCOUNT
            || !lane.key_rests.is_empty()
            || lane.rest.is_some()
            || lane.closed.is_some()
            || lane.has_extra(owner)
    }

    /// Whether it rests, in whatever scope, or its owner's room is kept for others; else the scopes that this request
    /// is to probe.
    #[inline(never)]
    pub(super) fn check_rests(&self, ask: &Ask<'_>, slot: u32, owner_at: u32) -> Result<Probes, Check> {
        let now = ask.now;
        let mut probes = Probes::default();
        let mut latest: Option<(Tick, OutReason)> = None;
        // While it may not be probed nobody gets here.
        let of_lane = self.lanes[usize::from(ask.lane)].rest.as_deref().filter(|rest| rest.is_to_be_probed(now));
        for (rest, scope) in self.rests(ask.lane, slot).into_iter().chain([(of_lane, Scope::Lane)]) {
            let Some(rest) = rest.filter(|rest| rest.holds(ask.would_wait, ask.now, || self.is_line(ask.lane))) else {
                continue;
            };
            if rest.is_to_be_probed(now) {
                if self.met_it_here(ask, slot) {
                    let end = rest.end.tick(now);
                    return Err(Check::NotThis((end != Tick::NEVER).then_some(end), reason_of(rest)));
                }
                probes.insert(scope);
                continue;
            }
            let wakes = rest.wakes(now);
            if latest.is_none_or(|(held, _)| wakes > held) {
                latest = Some((wakes, reason_of(rest)));
            }
        }
        if let Some((at, reason)) = latest {
            return Err(if at == Tick::NEVER { Check::Out(reason) } else { Check::Until(at, reason) });
        }
        if let Some(extra) = self.lanes[usize::from(ask.lane)].extra_of(owner_at) {
            if extra.keeps_out(ask.ticket, &ask.need) {
                return Err(Check::NotThis(None, OutReason::Queued));
            }
            let mut short = None;
            for allowance in extra.allowances.iter().filter(|allowance| allowance.holds(now.tick)) {
                if allowance.room(now.tick) == 0 {
                    return Err(Check::Until(allowance.back(1), OutReason::RateLimited));
                }
                short = short.max(allowance.opens(&ask.need, now.tick));
            }
            if let Some(until) = short {
                return Err(Check::NotThis(Some(until), OutReason::RateLimited));
            }
        }
        Ok(probes)
    }

    /// The rests that cover a key in a lane.
    #[inline]
    pub(super) fn rests(&self, at: u16, slot: u32) -> [(Option<&Rest>, Scope); 7] {
        let key = &self.roster.keys[slot as usize];
        let owner = &self.roster.owners[key.owner as usize];
        let lane = &self.lanes[usize::from(at)];
        let account = if owner.account == NO_ACCOUNT {
            None
        } else {
            self.roster.accounts[owner.account as usize].rest.as_deref()
        };
        let key_lane =
            if lane.key_rests.is_empty() { None } else { lane.key_rests.get(&slot).and_then(Option::as_deref) };
        let owner_lane = lane.extra_of(key.owner).and_then(|extra| extra.rest.as_deref());
        [
            (key.rest.as_deref(), Scope::Key),
            (owner.rest.as_deref(), Scope::Owner),
            (account, Scope::BillingAccount),
            (key_lane, Scope::KeyLane),
            (owner_lane, Scope::OwnerLane),
            (self.closed_to(at, key.owner), Scope::OwnerLane),
            (self.roster.exits.rest(key.secret.exit()), Scope::Exit),
        ]
    }

    /// A key's own limits: requests in flight, time between two starts.
    #[inline]
    pub(super) fn check_slots(&self, slot: u32, now: Now, probes: Probes) -> Check {
        let key = &self.roster.keys[slot as usize];
        if key.is_busy() {
            return Check::Busy(None, OutReason::Busy);
        }
        if key.interval_ms > 0 && key.last_seq > 0 {
            if key.starts_ahead() {
                return Check::Busy(None, OutReason::Interval);
            }
            let due = key.last_started.plus(key.interval());
            if due > now.tick {
                return Check::Busy(Some(due), OutReason::Interval);
            }
        }
        Check::Ready(probes)
    }
}
