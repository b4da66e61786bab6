//! Keys that served what others had been refused for no clear reason: who is refused so again is sent to one of them, which
//! shows at once whose fault it is.

use std::time::Duration;

use super::{
    Affinity, Attempt, Demand,
    ask::{Ask, Excluded},
    check::Check,
    evidence::SPARED_TOO_OFTEN,
    seats::Probes,
    state::State,
};
use crate::time::{Now, Tick};

/// So many are remembered of a lane.
const MOST: usize = 4;

/// So many priorities are asked beside the first that refused.
const MOST_BESIDE: usize = 2;

/// Where so many requests in a row were sent on in vain it is the callers', and none is for a while.
const IN_VAIN: (u8, Duration) = (3, Duration::from_secs(30));

/// The keys of one lane that did so last, the newest first.
#[derive(Default)]
pub(super) struct Trusted {
    slots: Vec<u32>,
    /// Requests in a row that another priority refused, too, and when the last did.
    in_vain: (u8, Tick),
}

impl Trusted {
    /// This key did.
    pub(super) fn served(&mut self, slot: u32) {
        self.forget(slot);
        self.slots.insert(0, slot);
        self.slots.truncate(MOST);
        self.in_vain.0 = 0;
    }

    /// Its place is another key's from now on.
    pub(super) fn forget(&mut self, slot: u32) {
        self.slots.retain(|held| *held != slot);
    }

    /// While nobody is sent on, nobody is in vain: who came to another priority by himself tells nothing of it.
    fn was_in_vain(&mut self, now: Tick) {
        if !self.is_in_vain(now) {
            self.in_vain = (self.in_vain.0.saturating_add(1), now);
        }
    }

    fn is_in_vain(&self, now: Tick) -> bool {
        self.in_vain.0 >= IN_VAIN.0 && now.since(self.in_vain.1) < IN_VAIN.1
    }
}

/// What is known where another key was refused for no clear reason.
pub(super) struct Doubt {
    /// The keys to pass over that are as doubtful; `None`: no others are.
    passing: Option<Excluded>,
    /// Those, and the other keys of the owners who said it: another owner's tells more.
    elsewhere: Option<Excluded>,
    /// Another owner may have what this one has not, whatever its priority.
    has_it_not: bool,
}

impl State {
    /// What an earlier attempt that was refused for no clear reason leaves open: whose fault it was.
    #[cold]
    pub(super) fn doubt_of(&self, ask: &Ask<'_>, excluded: &Excluded) -> Option<Doubt> {
        let tried = ask.demand.particulars.earlier.as_deref()?;
        if tried.iter().any(Attempt::is_unclear) {
            let passing = self.passing_doubted(ask, excluded);
            let Excluded { slots, owners, .. } = passing.as_ref().unwrap_or(excluded);
            let said = tried.iter().filter(|attempt| attempt.is_unclear()).filter_map(|attempt| self.owner_of(attempt));
            let owners = owners.iter().copied().chain(said).collect();
            let elsewhere = Some(Excluded { slots: slots.clone(), owners, tiers: Vec::new() });
            return Some(Doubt { passing, elsewhere, has_it_not: false });
        }
        let has_it_not = tried.iter().any(Attempt::found_nothing);
        has_it_not.then_some(Doubt { passing: None, elsewhere: None, has_it_not })
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
        let found = found.or_else(|| self.pick_in(ask, doubt.elsewhere.as_ref()?, group));
        found.or_else(|| self.pick_in(ask, doubt.passing.as_ref()?, group))
    }

    /// Whether a key of another priority may serve now what so many owners refused that they are believed. Where none may any
    /// more, and one was asked, that was in vain, which is remembered.
    pub(super) fn may_serve_beside(&mut self, demand: &Demand, now: Now) -> bool {
        let ask = self.ask(demand, now);
        let excluded = self.excluded(demand);
        let found = self.pick_beside(&ask, &excluded).is_some();
        if !found && self.groups_of(demand).len() > 1 {
            self.lanes[usize::from(ask.lane)].trusted.was_in_vain(now.tick);
        }
        found
    }

    /// The priorities of those that said the same, where these are enough to be believed.
    fn groups_of(&self, demand: &Demand) -> Vec<usize> {
        let said = self.conclusive(demand).unwrap_or_default();
        let slots = said.iter().filter_map(|attempt| self.roster.slot_of(&attempt.key));
        let mut groups: Vec<usize> = slots.map(|slot| self.group(self.roster.keys[slot as usize].priority)).collect();
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// Where enough owners said the same to be believed: a key of a priority that none of them is of. What is refused to keys
    /// of one priority those of another may be for.
    fn pick_beside(&mut self, ask: &Ask<'_>, excluded: &Excluded) -> Option<(u32, Probes)> {
        let must = matches!(ask.demand.affinity, Affinity::MustKey(_) | Affinity::MustOwner(_));
        if self.priorities.len() < 2 || must || self.closed || self.all_rest(ask.lane, ask.now) {
            return None;
        }
        let asked = self.groups_of(ask.demand);
        let in_vain = self.lanes[usize::from(ask.lane)].trusted.is_in_vain(ask.now.tick);
        if asked.is_empty() || asked.len() > MOST_BESIDE || in_vain {
            return None;
        }
        let proved = self.passing_doubted(ask, excluded);
        (0..self.priorities.len()).filter(|group| !asked.contains(group)).find_map(|group| {
            let found = self.pick_trusted(ask, excluded, group);
            let found = found.or_else(|| self.pick_in(ask, proved.as_ref()?, group));
            found.or_else(|| self.pick_in(ask, excluded, group))
        })
    }

    /// The one of them that served last and may carry this now.
    fn pick_trusted(&mut self, ask: &Ask<'_>, excluded: &Excluded, group: usize) -> Option<(u32, Probes)> {
        let slots = self.lanes[usize::from(ask.lane)].trusted.slots.clone();
        slots.into_iter().find_map(|slot| {
            let key = &self.roster.keys[slot as usize];
            let (priority, owner) = (key.priority, key.owner);
            if self.group(priority) != group || excluded.holds(slot, owner) {
                return None;
            }
            let doubts = self.rests(ask.lane, slot).into_iter().filter_map(|(rest, _)| Some(rest?.doubts)).max();
            match self.check(ask, slot) {
                Check::Ready(probes) if doubts.unwrap_or_default() < SPARED_TOO_OFTEN => Some((slot, probes)),
                _ => None,
            }
        })
    }
}
