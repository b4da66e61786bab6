//! What a process is told beside its windows: news, deaths, and what makes the next renewal come sooner.

use std::collections::BTreeMap;

use super::Holder;
use crate::share::{
    ledger::Moment,
    names::{HolderId, UnitId},
    wire::{Mark, News, Rest},
};

impl Holder {
    /// To be told to the board, whether anything is held or not.
    pub fn tell(&mut self, news: News, now: Moment) {
        if matches!(news, News::Rest { .. }) {
            // Others go by it: it does not wait for the whole interval.
            self.due = self.due.min(now.tick.max(self.sent.plus(self.settings.renew_every / 3)));
        }
        self.next_news += 1;
        self.news.push_back((self.next_news, (now.tick, news)));
    }

    /// Another process is known to be dead: its lock is free, or a newer one has its place.
    pub fn bury(&mut self, dead: HolderId) {
        self.buried.push(dead);
    }

    /// Rests and disabled keys that others told of, by scope. Ends are relative to when they were heard.
    pub fn facts(&self) -> &BTreeMap<String, Rest> {
        &self.facts
    }

    /// How much is left up to the marks of each unit that is held.
    pub(crate) fn marks(&self) -> impl Iterator<Item = (&UnitId, &[Mark])> {
        self.units.iter().map(|(unit, held)| (unit, &*held.marks))
    }

    /// The next renewal is due now: it is the last.
    pub(crate) fn renew_now(&mut self, now: Moment) {
        self.due = now.tick;
    }

    /// Something is to be heard soon.
    pub(crate) fn hasten_now(&mut self, now: Moment) {
        self.hurry(now.tick);
    }

    /// The day's mark of some unit is reached: the board is to hear of it at once.
    pub(crate) fn at_mark(&mut self, now: Moment) {
        self.counters.at_mark += 1;
        self.hurry(now.tick);
    }
}
