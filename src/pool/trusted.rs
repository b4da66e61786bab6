//! Keys that served what others had been refused for no clear reason: who is refused so again is sent to one of them, which
//! shows at once whose fault it is.

use super::{
    Affinity, Attempt, Demand,
    ask::{Ask, Excluded},
    check::Check,
    seats::Probes,
    state::State,
};
use crate::time::Now;

/// So many are remembered of a lane.
const MOST: usize = 4;

/// The keys of one lane that did so last, the newest first.
#[derive(Default)]
pub(super) struct Trusted(Vec<u32>);

impl Trusted {
    /// This key did.
    pub(super) fn served(&mut self, slot: u32) {
        self.forget(slot);
        self.0.insert(0, slot);
        self.0.truncate(MOST);
    }

    /// Its place is another key's from now on.
    pub(super) fn forget(&mut self, slot: u32) {
        self.0.retain(|held| *held != slot);
    }
}

/// What is known where another key was refused for no clear reason.
pub(super) struct Doubt {
    /// The keys to pass over that are as doubtful; `None`: no others are.
    passing: Option<Excluded>,
    /// Another owner may have what this one has not, whatever its priority.
    has_it_not: bool,
}

impl State {
    /// What an earlier attempt that was refused for no clear reason leaves open: whose fault it was.
    #[cold]
    pub(super) fn doubt_of(&self, ask: &Ask<'_>, excluded: &Excluded) -> Option<Doubt> {
        let tried = ask.demand.particulars.earlier.as_deref()?;
        if tried.iter().any(Attempt::is_unclear) {
            return Some(Doubt { passing: self.passing_doubted(ask, excluded), has_it_not: false });
        }
        tried.iter().any(Attempt::found_nothing).then_some(Doubt { passing: None, has_it_not: true })
    }

    /// Whoever is asked out of turn, where there is somebody.
    #[cold]
    pub(super) fn pick_out_of_turn(
        &mut self,
        ask: &Ask<'_>,
        (excluded, doubt): (&Excluded, &Doubt),
    ) -> Option<(u32, Probes)> {
        let groups = if doubt.has_it_not { self.priorities.len() } else { 0 };
        let found = (0..groups).find_map(|group| self.pick_trusted(ask, excluded, group));
        found.or_else(|| self.pick_beside(ask, excluded))
    }

    /// Of one priority, whoever shows best whose fault that is.
    #[cold]
    pub(super) fn pick_to_show(
        &mut self,
        ask: &Ask<'_>,
        (excluded, doubt): (&Excluded, &Doubt),
        group: usize,
    ) -> Option<(u32, Probes)> {
        let found = self.pick_trusted(ask, excluded, group);
        found.or_else(|| self.pick_in(ask, doubt.passing.as_ref()?, group))
    }

    /// Whether a key of another priority may serve now what so many owners refused that they are believed.
    pub(super) fn may_serve_beside(&mut self, demand: &Demand, now: Now) -> bool {
        let ask = self.ask(demand, now);
        let excluded = self.excluded(demand);
        self.pick_beside(&ask, &excluded).is_some()
    }

    /// Where enough owners said the same to be believed: a key of a priority that none of them is of, which is under no such
    /// doubt itself. What is refused to keys of one priority those of another may be for.
    pub(super) fn pick_beside(&mut self, ask: &Ask<'_>, excluded: &Excluded) -> Option<(u32, Probes)> {
        let must = matches!(ask.demand.affinity, Affinity::MustKey(_) | Affinity::MustOwner(_));
        if self.priorities.len() < 2 || must || self.closed || self.all_rest(ask.lane, ask.now) {
            return None;
        }
        let said = self.believed(ask.demand)?;
        let slots = said.iter().filter_map(|attempt| self.roster.slot_of(&attempt.key));
        let asked: Vec<usize> = slots.map(|slot| self.group(self.roster.keys[slot as usize].priority)).collect();
        (0..self.priorities.len()).filter(|group| !asked.contains(group)).find_map(|group| {
            let found = self.pick_in(ask, excluded, group)?;
            (!self.is_doubted(ask.lane, found.0)).then_some(found)
        })
    }

    /// The one of them that served last and may carry this now.
    fn pick_trusted(&mut self, ask: &Ask<'_>, excluded: &Excluded, group: usize) -> Option<(u32, Probes)> {
        let slots = self.lanes[usize::from(ask.lane)].trusted.0.clone();
        slots.into_iter().find_map(|slot| {
            let key = &self.roster.keys[slot as usize];
            let (priority, owner) = (key.priority, key.owner);
            let of_these = self.group(priority) == group && !excluded.holds(slot, owner);
            match self.check(ask, slot) {
                Check::Ready(probes) if of_these && !self.is_doubted(ask.lane, slot) => Some((slot, probes)),
                _ => None,
            }
        })
    }
}
