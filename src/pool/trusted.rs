//! Keys that served what others had been refused for no clear reason: who is refused so again is sent to one of them, which
//! shows at once whose fault it is.

use super::{
    Affinity, Attempt, Demand,
    ask::{Ask, Excluded},
    check::Check,
    seats::Probes,
    state::State,
};
use crate::{time::Now, verdict::VerdictKind};

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

impl State {
    /// Whoever shows best whose fault it is, where another key was refused for no clear reason.
    #[cold]
    pub(super) fn pick_to_show(&mut self, ask: &Ask<'_>, excluded: &Excluded) -> Option<(u32, Probes)> {
        let tried = ask.demand.particulars.earlier.as_deref()?;
        let unclear = tried.iter().any(Attempt::is_unclear);
        if !unclear && tried.iter().all(|attempt| attempt.kind != VerdictKind::WrongOwner) {
            return None;
        }
        let found = self.pick_trusted(ask, excluded).or_else(|| self.pick_beside(ask, excluded));
        found.or_else(|| {
            let proved = if unclear { self.passing_doubted(ask, excluded) } else { None };
            self.pick_by_priority(ask, &proved?)
        })
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

    /// The first of them by priority that may carry this now and is under no doubt itself.
    fn pick_trusted(&mut self, ask: &Ask<'_>, excluded: &Excluded) -> Option<(u32, Probes)> {
        let mut slots = self.lanes[usize::from(ask.lane)].trusted.0.clone();
        slots.sort_by_key(|slot| self.roster.keys[*slot as usize].priority);
        slots.into_iter().find_map(|slot| {
            let out = excluded.holds(slot, self.owner_at(slot)) || self.is_doubted(ask.lane, slot);
            match self.check(ask, slot) {
                Check::Ready(probes) if !out => Some((slot, probes)),
                _ => None,
            }
        })
    }
}
