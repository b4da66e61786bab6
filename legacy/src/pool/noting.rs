//! What is noted of a log beyond starts, and dates as they are written.

use std::sync::Arc;

use super::{
    journal::{Journal, Unit},
    lane::Origin,
    state::{MAX_LANES, NO_MODEL, State},
};
#[cfg(feature = "config")]
use crate::store::ImportRecord;
use crate::{
    limit::{Unit as Counted, date_text},
    store::{RestId, Run},
    time::{Now, Tick},
};

/// Owners' zones have few dates at a time.
const DATES: usize = 8;
/// A client says within this time after it was granted a key that its request goes out, in milliseconds.
const LATER_SAID: i64 = 600_000;

impl Journal {
    /// The same where more changed than starts.
    pub(super) fn note_whole(&mut self, unit: Unit) {
        if let Some(mark) = self.marks.get_mut(unit) {
            mark.whole = true;
        }
        self.note_unit(unit);
    }

    /// A date as it is written.
    pub(super) fn date(&mut self, date: u16) -> Arc<str> {
        if let Some((_, text)) = self.dates.iter().find(|(held, _)| *held == date) {
            return Arc::clone(text);
        }
        let text: Arc<str> = date_text(date).into();
        if self.dates.len() >= DATES {
            self.dates.remove(0);
        }
        self.dates.push((date, Arc::clone(&text)));
        text
    }
}

impl State {
    /// Tells the write-behind task, where it rests between two writes, that something does not wait.
    pub(super) fn press(&mut self) {
        if let Some(journal) = &mut self.journal {
            self.wakes.extend(journal.press.0.take());
        }
        self.press_renewal();
    }

    /// Requests for this model count in that one's quota.
    pub(super) fn note_follower(&mut self, model: &str, quota_model: &str) {
        let Some(journal) = self.journal.as_mut().filter(|journal| journal.settled) else { return };
        journal.followers.push((model.to_owned(), quota_model.to_owned()));
        journal.urgent = true;
        self.news();
        self.press();
    }

    /// A key file was taken in.
    #[cfg(feature = "config")]
    pub(super) fn note_import(&mut self, import: ImportRecord) {
        let Some(journal) = &mut self.journal else { return };
        journal.imports.push(import);
        journal.urgent = true;
        self.news();
        self.press();
    }

    /// All that is known is to be written again, to a store that holds nothing; what it is told first.
    pub(super) fn note_everything(&mut self) -> Option<Run> {
        self.note_all();
        let journal = self.journal.as_mut()?;
        let slots = self.roster.slots().map(|slot| (slot, NO_MODEL));
        journal.touched.extend(slots);
        journal.urgent = true;
        Some(journal.opening())
    }

    /// What was noted of one lane is noted of another.
    pub(super) fn note_lane_moved(&mut self, from: u16, to: u16) {
        self.post_entries();
        let now = self.last_now.tick;
        let Some(journal) = &mut self.journal else { return };
        journal.moved_into.insert(to, now);
        let touched: Vec<u32> =
            journal.touched.iter().filter(|(_, lane)| *lane == from).map(|(slot, _)| *slot).collect();
        journal.touched.extend(touched.into_iter().map(|slot| (slot, to)));
        journal.used.move_lane(from, to);
        // Rests go along: whoever lifts one there lifts it.
        let name = &*self.lanes[usize::from(from)].name;
        let rested: Vec<RestId> = journal.rests.extract_if(|id| id.lane.as_deref() == Some(name)).collect();
        if rested.is_empty() {
            return;
        }
        journal.rests_gone.extend(rested);
        for slot in self.roster.slots().collect::<Vec<_>>() {
            let rests = self.lanes[usize::from(to)].rest.is_some();
            if rests || self.may_rest(slot, self.roster.keys[slot as usize].owner, to) {
                self.note_key(slot, to);
            }
        }
    }

    /// A request proved never to have left. What was written of it is taken back only where it was written: as that key's, in
    /// that lane, on that date. Else one too many stands there, and never less than none elsewhere.
    pub(super) fn note_unstart(&mut self, slot: u32, lane: u16, began: Now, now: Now) {
        self.post_entries();
        let Some(journal) = &self.journal else { return };
        let unwritten = journal.used.get(slot, lane).is_some_and(|used| used.requests > 0);
        let since = journal.health.get(slot as usize).map_or(Tick::ZERO, |health| health.since);
        let moved = journal.moved_into.get(&lane).copied().unwrap_or(Tick::ZERO);
        let owner = self.roster.keys[slot as usize].owner;
        let zone = &mut self.zones[usize::from(self.roster.owners[owner as usize].zone())].1;
        // A client may have said only later that it goes out.
        let date = zone.days(began.wall_ms() - LATER_SAID).last;
        let same = began.tick > since.max(moved) && date == zone.days(now.wall_ms()).last;
        let Some(journal) = self.journal.as_mut().filter(|_| unwritten || same) else { return };
        journal.used.of(slot, lane).requests -= 1;
        self.news();
    }

    /// Models that were found to count in another's quota do so from the beginning.
    pub(super) fn recall_followers(&mut self, now: Now) {
        let Some(journal) = &mut self.journal else { return };
        for (model, quota_model) in std::mem::take(&mut journal.known.image.quota_models) {
            if let Some(lane) = self.lane_of.get(&model) {
                self.follow(lane, &quota_model, now);
                continue;
            }
            let target = match self.lane_of.get(&quota_model) {
                Some(target) => target,
                None if self.lanes.len() >= MAX_LANES / 2 => continue,
                None => self.push_lane(quota_model.as_str().into(), Origin::Confirmed),
            };
            self.lane_of.follow(model.as_str().into(), target);
            for owner in 0..self.roster.owners.len() as u32 {
                self.replan_kept(target, owner);
            }
        }
    }

    /// A start that was counted already is counted from now on: the grant of this number.
    #[inline]
    pub(super) fn note_moved_start(&mut self, lane: u16, owner: u32, granted: u64) {
        // What was granted since the last look is told as a start of now.
        let seen = |journal: &Journal| journal.marks.get((lane, owner)).is_none_or(|mark| granted <= mark.looked);
        if self.journal.as_deref().is_some_and(seen) {
            self.write_unit(lane, owner);
        }
    }

    /// The answer to the grant of this number cost this much of each unit more than was reserved, or less.
    pub(super) fn note_correction(&mut self, lane: u16, owner: u32, granted: u64, more: [(Counted, i64); 2]) {
        let Some(journal) = &mut self.journal else { return };
        let Some(mark) = journal.marks.get_mut((lane, owner)) else { return self.write_unit(lane, owner) };
        for (unit, more) in more {
            mark.correct(unit, granted, more);
        }
        journal.note_unit((lane, owner));
        self.news();
    }
}
