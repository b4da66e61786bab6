//! Picking: which key may carry this request, now.

use std::time::Duration;

use super::{
    Affinity, Demand, OutReason, Seat,
    ask::{Ask, Excluded},
    cell::Place,
    check::Check,
    group::class_for,
    seats::Probes,
    state::{State, standing},
};
use crate::{
    key::{KeyId, Secret, Tier},
    limit::Limit,
    time::Now,
};

/// A granted key.
pub(super) struct Picked {
    pub(super) seat: Seat,
    /// The request's place in line.
    pub(super) ticket: u64,
    pub(super) key: KeyId,
    pub(super) secret: Secret,
}

/// Why there is none.
#[derive(Clone, Copy)]
pub(super) enum NotNow {
    /// Some time, or after some event.
    Later,
    /// The demand is larger than this limit, the largest of its kind.
    Never(u64, Limit),
}

impl State {
    /// Grants the best key that may carry this demand now.
    pub(super) fn pick(&mut self, ask: &Ask<'_>) -> Result<Picked, NotNow> {
        if self.rest_of_all(ask.lane, ask.would_wait, ask.now).is_some() {
            return Err(self.never(ask).unwrap_or(NotNow::Later));
        }
        let excluded = self.excluded(ask.demand);
        let found = match &ask.demand.affinity {
            Affinity::Any => self.pick_any(ask, &excluded),
            Affinity::Near(number) => self.pick_near(ask, &excluded, *number),
            Affinity::Lasting => self.pick_lasting(ask, &excluded),
            Affinity::MustKey(_) | Affinity::MustOwner(_) => self.pick_of(ask, &excluded),
            // What so many of its keys said that they are believed the others of them would say, too.
            Affinity::RatherKey(_) | Affinity::RatherOwner(_) if self.conclusive(ask.demand).is_some() => {
                self.pick_any(ask, &excluded)
            }
            Affinity::RatherKey(_) | Affinity::RatherOwner(_) => {
                self.pick_of(ask, &excluded).or_else(|| self.pick_any(ask, &excluded))
            }
        };
        let Some((slot, probe)) = found else {
            self.note_lack(ask);
            return Err(self.never(ask).unwrap_or(NotNow::Later));
        };
        Ok(self.grant(ask, slot, probe))
    }

    /// Whether the demand would be granted a key now, or may be as soon as the board is asked.
    pub(super) fn could_pick(&mut self, demand: &Demand, now: Now) -> bool {
        let ask = self.ask(demand, now);
        if self.closed || self.all_rest(ask.lane, now) {
            return false;
        }
        let excluded = Excluded::default();
        if let Affinity::MustKey(_) | Affinity::MustOwner(_) = demand.affinity {
            return self.pick_of(&ask, &excluded).is_some() || self.wanted_may_be_lent(&ask);
        }
        if self.pick_any(&ask, &excluded).is_some() {
            return true;
        }
        self.journal.is_some() && (0..self.priorities.len()).any(|group| self.may_be_lent(ask.lane, group, now))
    }

    /// Whether one of the keys that must serve is kept out by nothing but that another process may have its owner.
    #[cold]
    fn wanted_may_be_lent(&mut self, ask: &Ask<'_>) -> bool {
        self.wanted(&ask.demand.affinity).into_iter().any(|slot| {
            let group = self.group(self.roster.keys[slot as usize].priority);
            self.check(ask, slot) == Check::Out(OutReason::HeldElsewhere) && self.may_be_lent(ask.lane, group, ask.now)
        })
    }

    /// Whether all of a lane rests, or the one exit of all keys.
    #[inline]
    pub(super) fn all_rest(&self, lane: u16, now: Now) -> bool {
        self.rest_of_all(lane, Duration::ZERO, now).is_some()
    }

    /// The best of all keys: by priority, then by rank.
    pub(super) fn pick_any(&mut self, ask: &Ask<'_>, excluded: &Excluded) -> Option<(u32, Probes)> {
        self.wake(ask.lane, ask.now);
        if let Some(journal) = &mut self.journal {
            journal.met_short = false;
        }
        if !excluded.tiers.is_empty() {
            return self.pick_of_other_tiers(ask, excluded);
        }
        let doubt = if excluded.is_empty() { None } else { self.doubt_of(ask, excluded) };
        if let Some(doubt) = &doubt
            && let Some(found) = self.pick_out_of_turn(ask, (excluded, doubt))
        {
            return Some(found);
        }
        for group in 0..self.priorities.len() {
            let shows = doubt.as_ref().and_then(|doubt| self.pick_to_show(ask, (excluded, doubt), group));
            let found = shows.or_else(|| self.pick_in(ask, excluded, group));
            if found.is_some() {
                return found;
            }
            if group + 1 < self.priorities.len() && !self.may_spill(ask, excluded, group) {
                return None;
            }
        }
        None
    }

    /// The best key of tiers that may have what others have not: few ask for it, and all keys are looked at.
    #[cold]
    fn pick_of_other_tiers(&mut self, ask: &Ask<'_>, excluded: &Excluded) -> Option<(u32, Probes)> {
        let mut best: Option<((u16, u64), u32, Probes)> = None;
        for slot in self.roster.slots().collect::<Vec<_>>() {
            let key = &self.roster.keys[slot as usize];
            let (owner, priority) = (key.owner, key.priority);
            let of_these = |tier: &Option<Tier>| tier.as_ref() == self.roster.tier(owner);
            if excluded.holds(slot, owner) || excluded.tiers.iter().any(of_these) {
                continue;
            }
            let order = (priority, self.rank_now(ask.lane, slot));
            if best.as_ref().is_none_or(|(held, ..)| order < *held) {
                match self.check(ask, slot) {
                    Check::Ready(probes) => best = Some((order, slot, probes)),
                    check => self.put_where_it_waits(ask.lane, slot, priority, check),
                }
            }
        }
        best.map(|(_, slot, probes)| (slot, probes))
    }

    /// The best of these by rank, whichever priority they are of.
    pub(super) fn best_of(&mut self, ask: &Ask<'_>, slots: impl IntoIterator<Item = u32>) -> Option<(u32, Probes)> {
        let mut best: Option<(u64, u32, Probes)> = None;
        for slot in slots {
            if let Check::Ready(probes) = self.check(ask, slot) {
                let rank = self.rank_now(ask.lane, slot);
                if best.is_none_or(|(held, ..)| rank < held) {
                    best = Some((rank, slot, probes));
                }
            }
        }
        best.map(|(_, slot, probes)| (slot, probes))
    }

    /// The best key of one priority.
    pub(super) fn pick_in(&mut self, ask: &Ask<'_>, excluded: &Excluded, group: usize) -> Option<(u32, Probes)> {
        let lane_at = usize::from(ask.lane);
        let min_class = class_for(ask.need.input_tokens);
        let mut found = None;
        while found.is_none()
            && let Some(slot) = self.lanes[lane_at].groups[group].best(min_class, &self.lanes[lane_at].cells)
        {
            found = self.try_top(ask, excluded, group, slot);
        }
        if found.is_none() && min_class > 0 {
            found = self.pick_border(ask, excluded, group, min_class - 1);
        }
        self.bring_back(ask.lane, group);
        found
    }

    /// The class below holds keys with and without room for so many tokens: those without are passed over.
    fn pick_border(&mut self, ask: &Ask<'_>, excluded: &Excluded, group: usize, class: usize) -> Option<(u32, Probes)> {
        let mut found = None;
        while found.is_none()
            && let Some(slot) = self.lanes[usize::from(ask.lane)].groups[group].first_of(class)
        {
            found = self.try_top(ask, excluded, group, slot);
        }
        found
    }

    /// The key that stands first, if it may carry this request; else it stands elsewhere from now on.
    #[inline]
    fn try_top(&mut self, ask: &Ask<'_>, excluded: &Excluded, group: usize, slot: u32) -> Option<(u32, Probes)> {
        if !excluded.is_empty() && excluded.holds(slot, self.roster.keys[slot as usize].owner) {
            self.put_aside(ask.lane, slot, group);
            return None;
        }
        if self.restand(ask.lane, slot, group, ask.now) {
            return None;
        }
        match self.check(ask, slot) {
            Check::Ready(probes) => return Some((slot, probes)),
            Check::NotThis(..) => {
                // Where the owner has less room than its class says, the class is mended; else it is passed over.
                if !self.reclass(ask.lane, slot, group, false, ask.now) {
                    self.put_aside(ask.lane, slot, group);
                }
            }
            other => self.stow(ask.lane, slot, group, other),
        }
        None
    }

    /// The rank that a key has, wherever it stands.
    pub(super) fn rank_now(&self, lane: u16, slot: u32) -> u64 {
        let held = self.lanes[usize::from(lane)].cells[slot as usize].rank;
        self.settings.strategy.rank(standing(&self.roster.keys[slot as usize]), held)
    }

    /// The best of the keys that the demand must, or had rather, use.
    pub(super) fn pick_of(&mut self, ask: &Ask<'_>, excluded: &Excluded) -> Option<(u32, Probes)> {
        self.wake(ask.lane, ask.now);
        let mut best: Option<(u16, u64, u32, Probes)> = None;
        let (mut first, mut busy) = (u16::MAX, u16::MAX);
        for slot in self.wanted(&ask.demand.affinity) {
            let key = &self.roster.keys[slot as usize];
            if excluded.holds(slot, key.owner) {
                continue;
            }
            let order = (key.priority, self.rank_now(ask.lane, slot));
            first = first.min(order.0);
            match self.check(ask, slot) {
                Check::Ready(probes) => {
                    if best.is_none_or(|(priority, rank, ..)| order < (priority, rank)) {
                        best = Some((order.0, order.1, slot, probes));
                    }
                }
                check => {
                    let queued = matches!(check, Check::NotThis(_, OutReason::Queued));
                    if matches!(check, Check::Busy(..)) || queued && self.is_busy_in_front(ask, slot) {
                        busy = busy.min(order.0);
                    }
                    self.put_where_it_waits(ask.lane, slot, order.0, check);
                }
            }
        }
        // Among these, too, a later priority opens by the spill rule.
        let waits = if self.settings.spill.is_any() { u16::MAX } else { busy };
        let opens = |priority| priority == first || (priority <= waits && ask.waited >= self.settings.spill_after);
        best.filter(|(priority, ..)| opens(*priority)).map(|(.., slot, probe)| (slot, probe))
    }

    /// Whoever waits for this very key is woken by its timer.
    fn put_where_it_waits(&mut self, lane: u16, slot: u32, priority: u16, check: Check) {
        match check {
            Check::Until(..) | Check::Busy(..) => {
                let group = self.group(priority);
                if self.lanes[usize::from(lane)].cells[slot as usize].place() == Place::Ready {
                    self.stow(lane, slot, group, check);
                }
            }
            Check::NotThis(Some(at), _) => {
                let held = &mut self.lanes[usize::from(lane)];
                held.timers.arm_sooner(slot, at, &mut held.cells);
            }
            Check::NotThis(None, _) | Check::Out(_) | Check::Ready(_) => {}
        }
    }

    /// The keys of an affinity; empty where any key will do.
    pub(super) fn wanted(&self, affinity: &Affinity) -> Vec<u32> {
        match affinity {
            Affinity::Any | Affinity::Near(_) | Affinity::Lasting => Vec::new(),
            Affinity::MustKey(id) | Affinity::RatherKey(id) => self.roster.slot_of(id).into_iter().collect(),
            Affinity::MustOwner(name) | Affinity::RatherOwner(name) => {
                let owner = self.roster.owner_named(name);
                let of_owner = |slot: &u32| Some(self.roster.keys[*slot as usize].owner) == owner;
                self.roster.slots().filter(of_owner).collect()
            }
        }
    }

    /// Whether a key that is kept for who waits in front is busy: he waits for it, and who came later does not pass him.
    #[cold]
    pub(super) fn is_busy_in_front(&mut self, ask: &Ask<'_>, slot: u32) -> bool {
        matches!(self.check(&Ask { ticket: 0, ..*ask }, slot), Check::Busy(..))
    }

    /// Whether a later priority opens, after no key of this group could be picked.
    pub(super) fn may_spill(&mut self, ask: &Ask<'_>, excluded: &Excluded, group: usize) -> bool {
        if self.settings.spill.is_any() {
            return ask.waited >= self.settings.spill_after;
        }
        if self.journal.as_ref().is_some_and(|journal| journal.met_short) {
            return false;
        }
        if self.journal.is_some() && self.may_be_lent(ask.lane, group, ask.now) {
            return false;
        }
        let mut at = 0;
        while let Some(slot) = self.lanes[usize::from(ask.lane)].groups[group].busy.get(at).copied() {
            if excluded.holds(slot, self.roster.keys[slot as usize].owner) {
                at += 1;
                continue;
            }
            match self.check(ask, slot) {
                // Waited for, or just back: an earlier priority comes first.
                Check::Busy(..) | Check::Ready(_) => return false,
                Check::NotThis(_, OutReason::Queued) if self.is_busy_in_front(ask, slot) => return false,
                Check::NotThis(..) => at += 1,
                // It is full or rests as well by now: not waited for.
                other => self.stow(ask.lane, slot, group, other),
            }
        }
        ask.waited >= self.settings.spill_after
    }
}
