//! What sharing means for a request: may its key's owner be used by this process, and what if it was another's meanwhile.

use std::time::Duration;

use crate::{
    limit::{Stamp, Unit as Counted},
    pool::{
        Affinity, OutReason, Seat,
        ask::Ask,
        check::Check,
        exhausted::Exhausted,
        journal::{Journal, Unit},
        seats::SeatCell,
        state::State,
    },
    share::{News, Spent},
    time::{Now, Tick},
};

use super::Share;

/// A start that moves by less is where it was.
const MOVED: Duration = Duration::from_millis(100);
/// What moves by less the guard of the windows covers.
const COVERED: Duration = Duration::from_millis(200);

/// Waiters of one lane that are looked at.
const LOOKED_AT: usize = 4_096;

impl Journal {
    /// Whether this process may start anything of a unit now. `held`: its owner's cell says so.
    pub(in crate::pool) fn holds(&self, unit: Unit, held: bool, now: Now) -> bool {
        self.share.as_ref().is_none_or(|share| {
            share.is_divided() || (held && share.is_valid(now) && share.barred_until(unit.1, now.tick).is_none())
        })
    }
}

impl State {
    pub(in crate::pool) fn share(&self) -> Option<&Share> {
        self.journal.as_ref()?.share.as_deref()
    }

    pub(in crate::pool) fn share_mut(&mut self) -> Option<&mut Share> {
        self.journal.as_mut()?.share.as_deref_mut()
    }

    /// Whether a key waits for its unit to be lent, whatever else keeps it.
    pub(in crate::pool) fn is_elsewhere(&self, lane: u16, slot: u32) -> bool {
        let owner = self.roster.keys[slot as usize].owner;
        self.share().is_some_and(|share| !share.is_divided())
            && !self.lanes[usize::from(lane)].owners[owner as usize].is_held()
            && self.is_lent(lane, slot)
    }

    /// When this key's unit may be lent at the earliest, where all that may be lent in its place is known to be full.
    pub(in crate::pool) fn is_full_till(&self, lane: u16, slot: u32, now: Now) -> Option<Tick> {
        let kind = self.share()?.kinds.get(&(lane, self.roster.keys[slot as usize].priority))?;
        kind.opens.filter(|opens| kind.dry.is_some() && *opens > now.tick)
    }

    /// Why this process may not use an owner with limits now.
    #[inline(never)]
    pub(in crate::pool) fn check_held(&self, lane: u16, slot: u32, now: Now) -> Option<Check> {
        let share = self.share().filter(|share| self.is_lent(lane, slot) && !share.is_divided())?;
        let owner = self.roster.keys[slot as usize].owner;
        let held = self.lanes[usize::from(lane)].owners[owner as usize].is_held();
        match (share.is_valid(now), held) {
            (true, true) if !share.names.is_agreed(slot) => Some(Check::Out(OutReason::HeldElsewhere)),
            (true, true) => self.check_barred(owner, now),
            (true, false) => Some(Check::Out(OutReason::HeldElsewhere)),
            (false, _) => Some(Check::Out(OutReason::StoreUnreachable)),
        }
    }

    /// The units are not what they were.
    #[inline]
    pub(in crate::pool) fn units_changed(&mut self) {
        if let Some(share) = self.share_mut() {
            share.stale = true;
        }
    }

    /// Tells the renewing task, once the mutex is free.
    pub(in crate::pool) fn ring(&mut self) {
        let waker = self.share_mut().and_then(|share| {
            share.lacking = true;
            share.bell.0.take()
        });
        self.wakes.extend(waker);
    }

    /// A rest is to be written, and a batch of counts that goes with the next renewal is in its way: that goes now.
    #[inline]
    pub(in crate::pool) fn press_renewal(&mut self) {
        if self.journal.as_ref().is_some_and(|journal| journal.urgent)
            && let Some(share) = self.share_mut().filter(|share| share.writing && !share.noting)
            && !std::mem::replace(&mut share.pressed, true)
        {
            self.ring();
        }
    }

    /// The wall clock was set, or the machine slept: leases that are void are renewed at once.
    pub(in crate::pool) fn ring_if_void(&mut self, now: Now) {
        if self.share().is_some_and(|share| !share.is_valid(now) && !share.is_divided()) {
            self.ring();
        }
    }

    /// A day may not be used further before the board has heard of it.
    pub(in crate::pool) fn ring_at_mark(&mut self) {
        if let Some(share) = self.share_mut()
            && !std::mem::replace(&mut share.at_mark, true)
        {
            self.ring();
        }
    }

    /// No key was found in this lane: what is not held is asked for, the first priority that may have some first.
    #[inline(never)]
    pub(in crate::pool) fn note_lack(&mut self, ask: &Ask<'_>) {
        let short = self.journal.as_ref().is_some_and(|journal| journal.met_short);
        let waiting = self.lanes[usize::from(ask.lane)].queue.len();
        let lane = ask.lane;
        let (now, counted) = (ask.now, !ask.demand.free && !self.is_uncounted(lane));
        let must = self.must_have(ask);
        let Some(share) = self.share_mut().filter(|_| counted) else { return };
        // The next write is there sooner than a unit.
        if !share.is_valid(now) || (short && waiting < 8) {
            return;
        }
        let mut rings = false;
        if share.lanes.insert(lane) | share.served.remove(&lane) {
            share.stale = true;
            rings = true;
        }
        if let Some(owners) = must {
            // Others would not help.
            for owner in owners {
                let kind = share.kind_at.get(&(lane, owner)).and_then(|at| share.kinds.get_mut(at));
                rings |= kind.is_some_and(|kind| kind.named.insert(owner) | kind.lack(ask.demand.input_tokens));
            }
        } else {
            for (_, kind) in share.kinds_of(lane) {
                if kind.held < kind.units {
                    rings |= kind.lack(ask.demand.input_tokens);
                }
                if kind.may_come() {
                    break;
                }
            }
        }
        if rings {
            self.ring();
        }
    }

    /// Owners that are not held and without which the demand cannot be served; `None`: any will do.
    fn must_have(&self, ask: &Ask<'_>) -> Option<Vec<u32>> {
        if !matches!(ask.demand.affinity, Affinity::MustKey(_) | Affinity::MustOwner(_)) {
            return None;
        }
        let lane = &self.lanes[usize::from(ask.lane)];
        let lent = self.wanted(&ask.demand.affinity).into_iter().filter(|slot| self.is_lent(ask.lane, *slot));
        let owners = lent.map(|slot| self.roster.keys[slot as usize].owner);
        Some(owners.filter(|owner| !lane.owners[*owner as usize].is_held()).collect())
    }

    /// Keys without limits serve a lane: what there is beside them goes to the board with the next renewal.
    #[cold]
    pub(in crate::pool) fn begin_lane(&mut self, lane: u16) {
        let counted = !self.is_uncounted(lane);
        let Some(share) = self.share_mut() else { return };
        share.lanes.insert(lane);
        if counted {
            share.served.insert(lane);
            share.stale = true;
        }
    }

    /// Whether a later priority stays closed since the board may have keys of this one.
    #[inline(never)]
    pub(in crate::pool) fn may_be_lent(&self, lane: u16, group: usize, now: Now) -> bool {
        let Some(share) = self.share().filter(|share| share.is_valid(now)) else { return false };
        if self.is_uncounted(lane) {
            return false;
        }
        let priority = self.priorities[group];
        match share.kinds.get(&(lane, priority)) {
            Some(kind) => kind.may_come(),
            // The board has yet to hear of the lane.
            None => (share.stale || !share.lanes.contains(&lane)) && self.lacks_units(lane, priority),
        }
    }

    /// Whether owners of this priority have limits in this lane, and are not held.
    fn lacks_units(&self, lane: u16, priority: u16) -> bool {
        self.roster.slots().any(|slot| {
            let key = &self.roster.keys[slot as usize];
            key.priority == priority
                && self.is_lent(lane, slot)
                && !self.lanes[usize::from(lane)].owners[key.owner as usize].is_held()
        })
    }

    /// Whether units of a lane that are not held were not refused when they were asked for last.
    pub(in crate::pool) fn may_be_asked(&self, lane: u16) -> bool {
        let Some(share) = self.share() else { return false };
        !share.kinds.range((lane, 0)..=(lane, u16::MAX)).any(|(_, kind)| kind.dry.is_some())
    }

    /// Whether the board is being asked, so that whoever has no time waits a moment.
    pub(in crate::pool) fn is_asking(&self, lane: u16) -> bool {
        let Some(share) = self.share().filter(|share| !share.away) else { return false };
        let kinds = share.kinds.range((lane, 0)..=(lane, u16::MAX));
        share.stale || kinds.into_iter().any(|(_, kind)| kind.lacks && kind.may_come())
    }

    /// For how long the board has had nothing of a lane, asked again and again.
    fn dry_for(&self, lane: u16, now: Now) -> Duration {
        let kinds = self.share().map(|share| share.kinds.range((lane, 0)..=(lane, u16::MAX)));
        let since = kinds.into_iter().flatten().filter_map(|(_, kind)| kind.dry).min();
        since.map_or(Duration::ZERO, |since| now.tick.since(since))
    }

    /// A demand was refused: it counts as asked for, and it is said whether others gave nothing.
    pub(in crate::pool) fn note_refused(&mut self, ask: &Ask<'_>, exhausted: &mut Exhausted) {
        let (lane, requests) = (ask.lane, u64::from(ask.need.requests.max(1)));
        exhausted.dry = !self.is_asking(lane);
        exhausted.dry_for = self.dry_for(lane, ask.now);
        let hears = self.share().filter(|share| share.recovering_until > ask.now.tick && !share.is_divided());
        exhausted.recovers_in = hears.map(|share| share.recovering_until.since(ask.now.tick));
        exhausted.forgot = self.share().is_some_and(|share| share.forgot_until > ask.now.tick);
        if let Some(share) = self.share_mut().filter(|share| !share.is_valid(ask.now) && !share.is_divided()) {
            share.tally.failed_closed += 1;
        }
        if let Some(share) = self.share_mut()
            && let Some((_, kind)) = share.kinds_of(lane).next()
        {
            kind.asked += requests;
        }
    }

    /// What waits in a lane: requests, and tokens of their prompts.
    pub(super) fn waiting_in(&mut self, lane: u16) -> (u64, u64) {
        let queue: Vec<u32> = self.lanes[usize::from(lane)].queue.values().take(LOOKED_AT).copied().collect();
        let (mut requests, mut tokens) = (0, 0_u64);
        for index in queue {
            if let Some(waiter) = self.waiters.get_mut(index) {
                requests += u64::from(waiter.demand.cost().max(1));
                tokens = tokens.saturating_add(waiter.demand.input_tokens);
            }
        }
        (requests, tokens)
    }

    // === leases that outlive a holding ===

    /// Whether the unit has been held since the lease was granted: its place is in the log that is kept here.
    pub(in crate::pool) fn is_of_this_holding(&self, cell: &SeatCell) -> bool {
        let Some(share) = self.share().filter(|share| !share.is_divided()) else { return true };
        let (lane, owner, began) = (cell.lane, cell.owner, cell.began.tick);
        // Mostly nothing was granted since.
        self.plan_words(lane, owner) == 0
            || (share.granted <= began && self.lanes[usize::from(lane)].owners[owner as usize].is_held())
            || share.held.get((lane, owner)).is_some_and(|held| held.since <= began)
    }

    /// Whether a place may be used anew: the board has not heard of its start, or hears of every other.
    pub(in crate::pool) fn may_refund(&self, cell: &SeatCell) -> bool {
        let Some(share) = self.share().filter(|share| !share.is_divided()) else { return true };
        let held = share.held.get((cell.lane, cell.owner));
        self.plan_words(cell.lane, cell.owner) == 0
            || held.is_some_and(|held| held.since <= cell.began.tick && (share.noting || held.told < cell.began.tick))
    }

    pub(super) fn plan_words(&self, lane: u16, owner: u32) -> usize {
        self.plans.plan(self.lanes[usize::from(lane)].owners[owner as usize].plan).words()
    }

    /// Whether a request may go to the wire now: not once its lease has ended. One that goes later than it was granted is
    /// for the board another start than the one it heard of: should this process be cut off now, nobody would know of it
    /// but by the mark.
    #[inline(never)]
    pub(in crate::pool) fn may_go(&mut self, seat: Seat, now: Now) -> Wire {
        let Some(cell) = self.seats.get(seat) else { return Wire::Counted };
        let (unit, need) = ((cell.lane, cell.owner), cell.need);
        if cell.free || cell.refunded || cell.judged || !self.is_lent(cell.lane, cell.slot) {
            return Wire::Counted;
        }
        let (began, stamped) = (cell.began.tick, cell.stamp.is_some());
        let late = now.tick.since(began);
        let here = self.is_of_this_holding(cell);
        let Some(journal) = &mut self.journal else { return Wire::Counted };
        let Some(share) = journal.share.as_ref().filter(|share| !share.is_divided()) else { return Wire::Counted };
        if !share.is_valid(now) {
            return Wire::Void;
        }
        if !here {
            let returned = share.gone.get(&unit).is_some_and(|gone| *gone >= began);
            return if stamped && returned && late <= COVERED { Wire::Elsewhere } else { Wire::Void };
        }
        if late <= MOVED {
            return Wire::Counted;
        }
        if !share.noting {
            // What is provisional the board has not heard of.
            let heard = share.held.get(unit).is_some_and(|held| held.told >= began);
            return if stamped && heard && late > COVERED { Wire::Void } else { Wire::Counted };
        }
        match journal.marks.get_mut(unit) {
            Some(mark) if mark.covers(&need) => mark.spend(&need, now.tick),
            _ if late <= COVERED => {}
            _ => return Wire::Void,
        }
        Wire::Counted
    }

    /// A request that an earlier holding counts went out later than that knows.
    pub(in crate::pool) fn went_elsewhere(&mut self, seat: Seat, now: Now) {
        let Some(cell) = self.seats.get(seat).filter(|cell| !(cell.free || cell.refunded || cell.judged)) else {
            return;
        };
        let (unit, need, late) = ((cell.lane, cell.owner), cell.need, now.tick.since(cell.began.tick) > MOVED);
        let unstamped = cell.stamp.is_none();
        let days = self.at(now, unit.1).day.days;
        if late && unstamped {
            self.tell_more(unit, &Spent::from(need), now);
        }
        if let Some(cell) = self.seats.get_mut(seat) {
            cell.stamp.get_or_insert(Stamp { tick: now.tick, days });
        }
    }

    /// A place that is given back is still taken: the board has heard of it, or another process counts it.
    pub(in crate::pool) fn keep_place(&mut self, seat: Seat, now: Now) {
        let Some(cell) = self.seats.get(seat) else { return };
        if cell.stamp.is_some() || !self.is_of_this_holding(cell) {
            return;
        }
        let (lane, owner, need) = (cell.lane, cell.owner, cell.need);
        let at = self.at(now, owner);
        let held = &mut self.lanes[usize::from(lane)];
        let plan = self.plans.plan(held.owners[owner as usize].plan);
        if plan.words() > 0 {
            plan.stamp(held.log(owner, plan.words()), &need, &at);
        }
    }

    /// A request of a unit that another process may hold by now cost more.
    pub(in crate::pool) fn tell_more(&mut self, unit: Unit, more: &Spent, _now: Now) {
        let name = self.unit_name(unit.0, unit.1);
        let (Some(share), Some(name)) = (self.share_mut(), name) else { return };
        for (of, more) in amounts(more) {
            share.news.push(News::Corrected { unit: name.clone(), of, began: 0, more });
        }
        self.ring();
    }
}

/// What becomes of a request at the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pool) enum Wire {
    /// It goes, and counts here.
    Counted,
    /// It goes, and counts with whoever holds its unit by now.
    Elsewhere,
    /// It must not go: nobody knows who else uses its place.
    Void,
}

/// What is to be said of each limit.
pub(super) fn amounts(spent: &Spent) -> impl Iterator<Item = (Counted, u64)> {
    let amounts = [
        (Counted::Requests, spent.requests),
        (Counted::InputTokens, spent.input_tokens),
        (Counted::OutputTokens, spent.output_tokens),
        (Counted::Tokens, spent.input_tokens.saturating_add(spent.output_tokens)),
        (Counted::Images, spent.images),
    ];
    amounts.into_iter().filter(|(_, amount)| *amount > 0)
}

impl From<crate::limit::Need> for Spent {
    fn from(need: crate::limit::Need) -> Self {
        Self {
            requests: u64::from(need.requests),
            input_tokens: need.input_tokens,
            output_tokens: need.output_tokens,
            images: u64::from(need.images),
        }
    }
}
