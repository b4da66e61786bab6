//! Why no key may carry a demand: every key looked at, counted by reason.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Affinity, Demand, Event, Exhausted, OutReason,
    ask::{Ask, Excluded},
    check::{Check, WRITE, reason_of},
    pick::NotNow,
    state::State,
    trickle,
};
use crate::{
    error::{Error, Kind},
    time::{Now, Tick},
};

const NEVER: (Tick, Tick) = (Tick::NEVER, Tick::NEVER);

/// What comes to light while one key after the other is looked at.
struct Found {
    /// By priority: when the first of its keys may serve, and might.
    times: BTreeMap<u16, (Tick, Tick)>,
    /// The first priority with a key that is waited for.
    waited_for: u16,
    /// The first later one with a key that is ready.
    ready: u16,
    /// A key is held elsewhere that has room.
    not_full: bool,
    /// Nobody knows when those who stand in line are served.
    queue_untimed: bool,
}

impl Default for Found {
    fn default() -> Self {
        let (waited_for, ready) = (u16::MAX, u16::MAX);
        Self { times: BTreeMap::new(), waited_for, ready, not_full: false, queue_untimed: false }
    }
}

impl Found {
    fn may_serve(&mut self, priority: u16, at: Option<Tick>) {
        let (next, _) = self.times.entry(priority).or_insert(NEVER);
        *next = at.unwrap_or(Tick::NEVER).min(*next);
    }

    fn might_serve(&mut self, priority: u16, at: Tick) {
        let (_, may) = self.times.entry(priority).or_insert(NEVER);
        *may = at.min(*may);
    }

    /// When the first key may serve, and might. `spills`: other priorities are asked while a key is waited for.
    fn first(&self, order: &Opening, spills: bool, now: Now) -> (Tick, Tick) {
        let last = if spills { u16::MAX } else { self.waited_for };
        let earlier = |(next, may): (Tick, Tick), (_, times): (_, &(Tick, Tick))| (next.min(times.0), may.min(times.1));
        let (mut next, may) = self.times.range(..=last).fold(NEVER, earlier);
        // Busy keys are waited for, and nobody knows how long; else it is the wait before another priority opens.
        if self.ready < u16::MAX && (spills || self.waited_for >= self.ready) {
            next = next.min(order.not_before(self.ready, now.tick));
        }
        (next, may)
    }
}

impl State {
    /// The error for a demand that got no key and will not wait, counted.
    pub(super) fn refuse_for_good(&mut self, demand: &Demand, reason: NotNow, now: Now) -> Error {
        let error = self.refuse(demand, reason, now, true);
        self.tally.exhausted += u64::from(error.is_exhausted());
        error
    }

    /// The error for a demand that got no key. `last`: nobody will wait for it.
    pub(super) fn refuse(&mut self, demand: &Demand, reason: NotNow, now: Now, last: bool) -> Error {
        if self.closed {
            return Error::new(Kind::ShutDown);
        }
        if let NotNow::Never(wanted, limit) = reason {
            return Error::new(Kind::NeverFits { model: self.shown_model(demand), wanted, limit });
        }
        // Whatever kept it out, it is told of.
        let ask = Ask { would_wait: trickle::LONGEST, ..self.ask(demand, now) };
        let mut exhausted = self.diagnose_lately(&ask);
        self.note_refused(&ask, &mut exhausted);
        let cut = (demand.input_tokens, ask.need.input_tokens);
        exhausted.guessed = Some(cut).filter(|(guessed, most)| demand.estimated && guessed > most);
        let (model, next_in) = (exhausted.model.clone(), exhausted.next_in);
        let most = exhausted.reasons.iter().max_by_key(|(_, count)| **count).map(|(reason, _)| *reason);
        // What only waits for the store is served within a moment: no key is out.
        if last || !exhausted.reasons.contains_key(&OutReason::Unwritten) {
            self.event_of_request(|| Event::Exhausted { model, reason: most, next_in });
        }
        Error::new(Kind::Exhausted(exhausted))
    }

    /// Looks at every key for this demand.
    pub(super) fn diagnose(&mut self, ask: &Ask<'_>) -> Exhausted {
        let demand: &Demand = ask.demand;
        let mut exhausted =
            Exhausted { model: self.shown_model(demand), keys: self.roster.len(), ..Exhausted::default() };
        exhausted.exits = self.exits_that_rest(ask.now);
        let excluded = self.excluded(demand);
        let must = matches!(demand.affinity, Affinity::MustKey(_) | Affinity::MustOwner(_));
        let wanted = if must { self.wanted(&demand.affinity) } else { Vec::new() };
        let order = self.opening(ask, &wanted, &excluded);
        let mut found = Found::default();
        // Of those that may not serve at all, of 100,000 perhaps, nothing but their number is told.
        let only_wanted = must && excluded.is_empty() && excluded.tiers.is_empty();
        if only_wanted && wanted.len() < exhausted.keys {
            exhausted.reasons.insert(OutReason::Elsewhere, exhausted.keys - wanted.len());
        }
        let all = if only_wanted { 0 } else { self.roster.keys.len() as u32 };
        let alone = if only_wanted { wanted.as_slice() } else { &[] };
        for slot in (0..all).chain(alone.iter().copied()) {
            let key = &self.roster.keys[slot as usize];
            if key.removed {
                continue;
            }
            let (priority, owner) = (key.priority, key.owner);
            let (reason, at) = if excluded.holds(slot, owner) {
                (OutReason::Tried, None)
            } else if !excluded.tiers.is_empty()
                && excluded.tiers.iter().any(|tier| tier.as_ref() == self.roster.tier(owner))
            {
                (why_not_for_tiers(demand), None)
            } else if must && wanted.binary_search(&slot).is_err() {
                (OutReason::Elsewhere, None)
            } else {
                self.why_out(ask, slot, &order, &mut found)
            };
            exhausted.all_full |= reason == OutReason::HeldElsewhere;
            *exhausted.reasons.entry(reason).or_default() += 1;
            found.may_serve(priority, at);
        }
        exhausted.all_full &= !found.not_full;
        exhausted.queue_timed = !found.queue_untimed;
        let (next, may) = found.first(&order, self.settings.spill.is_any(), ask.now);
        let from_now = |at: Tick| (at != Tick::NEVER).then(|| at.since(ask.now.tick));
        (exhausted.next_in, exhausted.may_in) = (from_now(next), from_now(may));
        if let Some(rest) = self.rest_of_all(ask.lane, ask.would_wait, ask.now) {
            exhausted.rests_besides(rest.wakes(ask.now).since(ask.now.tick), reason_of(rest));
        }
        exhausted
    }

    /// Why a key that may be asked does not serve now, and when it may.
    fn why_out(&mut self, ask: &Ask<'_>, slot: u32, order: &Opening, found: &mut Found) -> (OutReason, Option<Tick>) {
        let priority = self.roster.keys[slot as usize].priority;
        let check = match self.check(ask, slot) {
            // It is kept for one who waits: what keeps it from that one holds for this one as well, and says more.
            kept @ Check::NotThis(_, OutReason::Queued) => match self.check(&Ask { ticket: 0, ..*ask }, slot) {
                Check::Ready(_) => kept,
                check => check,
            },
            check => check,
        };
        match check {
            // It stands in front, and is for whoever waits.
            Check::Ready(_) if priority <= order.first => {
                found.queue_untimed = true;
                (OutReason::Queued, Some(ask.now.tick))
            }
            Check::Ready(_) => {
                found.ready = found.ready.min(priority);
                (OutReason::LaterPriority, None)
            }
            Check::Out(reason @ OutReason::HeldElsewhere) => {
                let full = self.is_full_till(ask.lane, slot, ask.now);
                found.not_full |= full.is_none();
                (reason, full.map(|at| order.not_before(priority, at)))
            }
            Check::Out(reason) => (reason, None),
            Check::Until(_, reason) | Check::Busy(_, reason) | Check::NotThis(_, reason) => {
                if matches!(check, Check::Busy(..)) {
                    found.waited_for = found.waited_for.min(priority);
                }
                let at = self.earliest(ask, slot);
                if at.is_none() {
                    let front = if reason == OutReason::Queued { self.front_served(ask, slot) } else { None };
                    found.queue_untimed |= reason == OutReason::Queued && front.is_none();
                    let once_free = self.earliest_once_free(ask, slot).unwrap_or(Tick::NEVER);
                    found.might_serve(priority, order.not_before(priority, once_free.max(front.unwrap_or_default())));
                }
                (reason, at.map(|at| order.not_before(priority, at)))
            }
        }
    }

    /// Which priority comes first for this demand, and when others open.
    pub(super) fn opening(&self, ask: &Ask<'_>, wanted: &[u32], excluded: &Excluded) -> Opening {
        let keys = wanted.iter().map(|slot| (*slot, &self.roster.keys[*slot as usize]));
        let of_wanted = keys.filter(|(slot, key)| !excluded.holds(*slot, key.owner)).map(|(_, key)| key.priority).min();
        let first = of_wanted.or_else(|| self.priorities.first().copied()).unwrap_or_default();
        let (spill, wait) = (self.settings.spill_after, ask.demand.wait.unwrap_or(self.wait));
        let left = spill.saturating_sub(ask.waited);
        // Who may not wait that long never gets there.
        let others = if left.is_zero() {
            ask.now.tick
        } else if wait >= spill {
            ask.now.tick.plus(left)
        } else {
            Tick::NEVER
        };
        Opening { first, others }
    }

    /// When whoever this key's owner is kept for is served, should nothing that is under way end before; `None` where
    /// something is, or nobody knows.
    fn front_served(&mut self, ask: &Ask<'_>, slot: u32) -> Option<Tick> {
        let key = &self.roster.keys[slot as usize];
        let lane = &self.lanes[usize::from(ask.lane)];
        let ticket = lane.extra_of(key.owner)?.booked?.ticket;
        let index = *lane.queue.get(&ticket)?;
        if key.in_flight > 0 || lane.in_flight > 0 {
            return None;
        }
        let waiter = self.waiters.get_mut(index)?;
        let (demand, need) = (Arc::clone(&waiter.demand), waiter.need);
        self.earliest_once_free(&Ask { need, ticket, ..Self::ask_in(ask.lane, &demand, ask.now) }, slot)
    }

    /// When this key may carry this request at the earliest, everything that keeps it out being over then; `None`
    /// where no time alone will do.
    pub(super) fn earliest(&mut self, ask: &Ask<'_>, slot: u32) -> Option<Tick> {
        let key = &self.roster.keys[slot as usize];
        let extra = self.lanes[usize::from(ask.lane)].extra_of(key.owner);
        let kept = extra.is_some_and(|extra| extra.keeps_out(ask.ticket, &ask.need));
        if kept || key.in_flight >= key.max_concurrent { None } else { self.earliest_once_free(ask, slot) }
    }

    /// The same for a key that is busy, or kept for whoever stands in front, should both be over by then.
    pub(super) fn earliest_once_free(&mut self, ask: &Ask<'_>, slot: u32) -> Option<Tick> {
        let now = ask.now;
        let rests = self.rests(ask.lane, slot).into_iter().filter_map(|(rest, _)| rest);
        let mut latest = rests
            .filter(|rest| rest.holds(ask.would_wait, ask.now, || self.is_line(ask.lane)))
            .map(|rest| self.wakes_for(ask, slot, rest))
            .max()
            .unwrap_or(now.tick);
        let key = &self.roster.keys[slot as usize];
        let owner = key.owner;
        // Of one whose last start is still to come nobody knows when its interval is over.
        if latest == Tick::NEVER || key.starts_ahead() {
            return None;
        }
        if key.last_seq > 0 {
            latest = latest.max(key.last_started.plus(key.interval()));
        }
        let at = self.at(now, owner);
        let lane = &mut self.lanes[usize::from(ask.lane)];
        if let Some(extra) = lane.extra_of(owner) {
            let opens = extra.allowances.iter().filter_map(|held| held.opens(&ask.need, now.tick));
            latest = opens.max().unwrap_or(latest).max(latest);
        }
        let plan = self.plans.plan(lane.owners[owner as usize].plan);
        if ask.demand.free || plan.words() == 0 {
            return Some(latest.max(now.tick));
        }
        match plan.room(lane.log(owner, plan.words()), &ask.need, &at) {
            Ok(()) if !self.marked((ask.lane, owner), &ask.need) => Some(latest.max(now.tick.plus(WRITE))),
            Ok(()) => Some(latest.max(now.tick)),
            Err(full) => full.opens.tick(&at).map(|opens| opens.max(latest)),
        }
    }
}

/// Why keys of the tiers that earlier attempts spoke for are not asked: none of them has room for so much, or has the model.
fn why_not_for_tiers(demand: &Demand) -> OutReason {
    let overfull = demand.particulars.earlier().is_some_and(|earlier| earlier.iter().any(|attempt| attempt.overfull));
    if overfull { OutReason::Tried } else { OutReason::ModelUnavailable }
}

/// When priorities open.
pub(super) struct Opening {
    /// This one, and those before it, are open.
    first: u16,
    /// Others are not, before then.
    others: Tick,
}

impl Opening {
    pub(super) fn not_before(&self, priority: u16, at: Tick) -> Tick {
        if priority <= self.first { at } else { at.max(self.others) }
    }
}
