//! What keys allow by themselves, in all lanes together: requests at a time, and time between two. Lanes of one owner may
//! be held by different processes, none of which knows what the others send with its keys. So an owner with such a key
//! has one more unit, its *guard*: only who holds that is lent any other unit of the owner. It goes back when nothing that
//! it guards is held and no request of the owner's is under way; of one who died it says how long what he sent may last.

use std::time::Duration;

use crate::{
    limit::Need,
    pool::{
        OutReason,
        check::Check,
        journal::Unit,
        roster::{KeyCell, UNBOUNDED},
        state::State,
    },
    share::{Granted, Spent, UnitId},
    time::{Now, Tick},
};

/// So long a provider may be at a request whose connection its dead process no longer holds.
const LINGERS: Duration = Duration::from_secs(10);

impl State {
    pub(super) fn guard_name(&self, owner: u32) -> Option<UnitId> {
        let owner = self.journal.as_ref()?.names.get(&owner)?;
        Some(UnitId::from(&*format!("keys\n\n{owner}")))
    }

    /// Whether this key has limits of its own.
    #[inline]
    pub(super) fn limits_itself(&self, slot: u32) -> bool {
        self.roster.keys[slot as usize].limits_itself()
    }

    /// Whether only one process may use this key in this lane at a time.
    pub(super) fn is_lent(&self, lane: u16, slot: u32) -> bool {
        let owner = self.roster.keys[slot as usize].owner;
        self.plan_words(lane, owner) > 0 || (self.limits_itself(slot) && !self.is_uncounted(lane))
    }

    /// Whose guard it is.
    pub(super) fn guarded_by(&self, unit: &UnitId) -> Option<u32> {
        self.share()?.guards.get(unit).copied()
    }

    /// Requests of an owner's keys that are under way.
    pub(super) fn under_way(&self, owner: u32) -> usize {
        let slots = self.share().and_then(|share| share.slots.get(&owner));
        slots.into_iter().flatten().map(|slot| usize::from(self.roster.keys[*slot as usize].in_flight)).sum()
    }

    /// When what an owner's keys have under way ends at the latest, as far as it can be said: of this process's own
    /// requests, and of an earlier holder's.
    pub(super) fn under_way_until(&self, owner: u32, now: Tick) -> Vec<i64> {
        let Some(share) = self.share() else { return Vec::new() };
        let mut ends = vec![share.longest_request.as_millis() as i64; self.under_way(owner)];
        ends.extend(share.barred_until(owner, now).map(|until| until.since(now).as_millis() as i64));
        ends
    }

    /// The guard of an owner is held from now on. What an earlier holder left under way nobody sees the end of: until then
    /// none of the owner's keys is used, where any of them counts requests at a time. What a process that is known to be
    /// gone had under way ended with it, but for what a provider may still be at.
    pub(super) fn hear_guard(&mut self, owner: u32, granted: &Granted, now: Now) {
        let ago = |ms: i64| now.tick.minus(Duration::from_millis(ms.min(0).unsigned_abs()));
        let ahead = |ms: i64| now.tick.plus(Duration::from_millis(ms.max(0).unsigned_abs()));
        let Some(share) = self.share() else { return };
        let longest = if granted.departed { share.longest_request.min(LINGERS) } else { share.longest_request };
        let unseen = granted.unknown.map(|end| ago(end).plus(longest));
        let told = granted.in_flight.iter().map(|end| ahead(*end));
        let told = told.map(|end| if granted.departed { end.min(now.tick.plus(longest)) } else { end });
        let until = told.chain(unseen).max();
        let last = granted.last_start.max(granted.unknown).map(ago);
        let slots = share.slots.get(&owner).cloned().unwrap_or_default();
        let mut counts_at_a_time = false;
        for slot in slots {
            let key = &mut self.roster.keys[slot as usize];
            counts_at_a_time |= key.max_concurrent != UNBOUNDED;
            if let Some(last) = last.filter(|_| key.interval_ms > 0) {
                key.last_started = key.last_started.max(last);
                key.last_seq = key.last_seq.max(1);
            }
        }
        let until = until.filter(|until| counts_at_a_time && *until > now.tick);
        if let (Some(share), Some(until)) = (self.share_mut(), until) {
            share.barred.insert(owner, until);
        }
    }

    /// For how many requests an owner's keys have room within this time by what they allow themselves. Nobody knows how long
    /// requests take: each that is under way is taken to make room for one within any time.
    pub(super) fn room_of_keys(&self, (lane, owner): Unit, within: Duration, now: Now) -> u64 {
        let then = now.tick.plus(within);
        let Some(slots) = self.share().and_then(|share| share.slots.get(&owner)) else { return u64::MAX };
        if !slots.iter().any(|slot| self.limits_itself(*slot)) {
            return u64::MAX;
        }
        if self.share().is_some_and(|share| share.barred_until(owner, then).is_some()) {
            return 0;
        }
        let usable = slots.iter().filter(|slot| {
            !self.roster.keys[**slot as usize].removed && self.key_rests_until(lane, **slot, now) <= then
        });
        let room = usable.map(|slot| self.roster.keys[*slot as usize].room_by_itself(within, now.tick));
        room.fold(0, u64::saturating_add)
    }

    /// Until when what an earlier holder sent keeps the owner's keys.
    pub(super) fn check_barred(&self, owner: u32, now: Now) -> Option<Check> {
        let until = self.share()?.barred_until(owner, now.tick)?;
        Some(Check::Until(until, OutReason::Busy))
    }
}

impl KeyCell {
    #[inline]
    fn limits_itself(&self) -> bool {
        self.max_concurrent != UNBOUNDED || self.interval_ms > 0
    }

    fn room_by_itself(&self, within: Duration, now: Tick) -> u64 {
        let free = u64::from(self.max_concurrent.saturating_sub(self.in_flight));
        let places = match self.max_concurrent {
            UNBOUNDED => u64::MAX,
            _ if within.is_zero() => free,
            most => free + u64::from(most),
        };
        if self.interval_ms == 0 {
            return places;
        }
        let due = if self.last_seq > 0 { self.last_started.plus(self.interval()).max(now) } else { now };
        let last = now.plus(within);
        let starts = if due > last { 0 } else { 1 + last.since(due).as_millis() as u64 / u64::from(self.interval_ms) };
        places.min(starts)
    }
}

impl super::Share {
    /// A key served that no window counts: where it has limits of its own, and is held for them, its unit is used all the same.
    /// Whether the board has not heard of the lane.
    pub(in crate::pool) fn served_uncounted(&mut self, unit: Unit, key: &KeyCell, need: &Need) -> bool {
        if !key.limits_itself() || self.held.get(unit).is_none() {
            return self.served_aside((unit.0, key.priority));
        }
        self.heard(unit, &Spent::from(*need));
        false
    }

    pub(super) fn barred_until(&self, owner: u32, now: Tick) -> Option<Tick> {
        if self.barred.is_empty() {
            return None;
        }
        self.barred.get(&owner).copied().filter(|until| *until > now)
    }
}
