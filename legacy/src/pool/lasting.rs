//! Requests that make what is asked about later, by whatever model: a file, say. It had better lie with an owner who is out
//! of no model for long, since nobody else's keys see it.

use std::time::Duration;

use hashbrown::HashSet;

use super::{
    Affinity, KeyPool,
    ask::{Ask, Excluded},
    cell::{LaneCell, Place},
    rest::{End, Rest},
    seats::Probes,
    state::{NO_MODEL, State},
};
use crate::time::Now;

/// Whoever is out for longer than a minute's limit can last is out for long.
const LONG: Duration = Duration::from_secs(90);

impl KeyPool {
    /// Whether the owner or key that this names, or leads to by its number, is out of a model for longer than a minute and a
    /// half, while others of its priority are out of none: [`Affinity::Lasting`] would not lead there. Looks at each key in
    /// each lane: for what is rare, an upload say.
    pub fn is_outlasted(&self, affinity: &Affinity) -> bool {
        let now = self.clock().now();
        let mut state = self.look_at(now);
        let out = state.out_for_long(now);
        let named = match affinity {
            Affinity::Near(number) => state.nearest(*number, now).into_iter().collect(),
            affinity => state.wanted(affinity),
        };
        let Some(slot) = named.into_iter().find(|slot| out.contains(&state.owner_at(*slot))) else { return false };
        let priority = state.roster.keys[slot as usize].priority;
        let lasts = |slot: u32| {
            let key = &state.roster.keys[slot as usize];
            key.priority == priority && !out.contains(&key.owner) && !state.may_rest(slot, key.owner, NO_MODEL)
        };
        state.roster.slots().any(lasts)
    }
}

impl State {
    /// The best key of an owner who is out of nothing for long, of the priority that any other request would be served by;
    /// where all are, whichever that would be.
    #[inline(never)]
    pub(super) fn pick_lasting(&mut self, ask: &Ask<'_>, excluded: &Excluded) -> Option<(u32, Probes)> {
        let any = self.pick_any(ask, excluded)?;
        let out = self.out_for_long(ask.now);
        if !out.contains(&self.owner_at(any.0)) {
            return Some(any);
        }
        let priority = self.roster.keys[any.0 as usize].priority;
        let lasts = |slot: &u32| {
            let key = &self.roster.keys[*slot as usize];
            key.priority == priority && !out.contains(&key.owner) && !excluded.holds(*slot, key.owner)
        };
        let lasting: Vec<u32> = self.roster.slots().filter(lasts).collect();
        self.best_of(ask, lasting).or(Some(any))
    }

    /// Owners with a key that is out of some lane, and comes back there, but not soon.
    fn out_for_long(&self, now: Now) -> HashSet<u32> {
        let late = now.tick.plus(LONG);
        let mut out = HashSet::new();
        for lane in &self.lanes {
            let unit = lane.timers.unit(late);
            let waits = |cell: &LaneCell| cell.place() == Place::Timed && cell.timer > unit;
            let waiting = lane.cells.iter().zip(0u32..).filter(|(cell, _)| waits(cell));
            out.extend(waiting.map(|(_, slot)| self.owner_at(slot)));
            // A key that rests stands where it stood until it is its turn.
            let rests = |rest: &Option<Box<Rest>>| {
                rest.as_deref().is_some_and(|rest| rest.end != End::Never && rest.end.tick(now) > late)
            };
            out.extend(lane.extras.iter().filter(|(_, extra)| rests(&extra.rest)).map(|(owner, _)| *owner));
            out.extend(lane.key_rests.iter().filter(|(_, rest)| rests(rest)).map(|(slot, _)| self.owner_at(*slot)));
        }
        out
    }
}
