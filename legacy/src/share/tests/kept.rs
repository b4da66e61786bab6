//! The windows of a process of the simulation, of one who notes with what it may start before its next note.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    limit::{Limits, Told},
    share::{Books, Correction, Granted, Ledger, Moment, Noted, Spent, Started, UnitId, notes::least_ahead},
};

pub(in crate::share) struct Kept {
    pub(in crate::share) books: Books,
    /// Of one who notes: what it may start of units, and did since its last note.
    marks: Option<BTreeMap<UnitId, Mark>>,
    noted: u64,
}

struct Mark {
    fence: u64,
    least: Spent,
    left: Spent,
    since: Spent,
}

impl Kept {
    pub(in crate::share) fn new(books: Books, noting: bool) -> Self {
        Self { books, marks: noting.then(BTreeMap::new), noted: 0 }
    }

    fn covers(&self, unit: &UnitId, spent: &Spent) -> bool {
        let Some(marks) = &self.marks else { return true };
        let enough = |mark: &Mark| {
            let unbounded = |least: u64, left: u64, asked: u64| least == 0 || asked <= left;
            unbounded(mark.least.requests, mark.left.requests, spent.requests)
                && unbounded(mark.least.input_tokens, mark.left.input_tokens, spent.input_tokens)
        };
        marks.get(unit).is_some_and(enough)
    }

    pub(in crate::share) fn has_room(&mut self, unit: &UnitId, spent: &Spent, now: Moment) -> bool {
        self.covers(unit, spent) && self.books.has_room(unit, spent, now)
    }

    pub(in crate::share) fn start(&mut self, unit: &UnitId, spent: &Spent, now: Moment) -> bool {
        let started = self.books.start(unit, spent, now);
        if let Some(mark) = self.marks.as_mut().and_then(|marks| marks.get_mut(unit)) {
            mark.since.add(spent);
            mark.left.requests = mark.left.requests.saturating_sub(spent.requests);
            mark.left.input_tokens = mark.left.input_tokens.saturating_sub(spent.input_tokens);
        }
        started
    }

    /// What is new, under its number. It is kept, or is said again with the next one.
    pub(in crate::share) fn note(&mut self, kept: bool, now: Moment) -> Option<(u64, Vec<Noted>)> {
        let dates = self.books.dates(now);
        let marks = self.marks.as_mut().filter(|_| kept)?;
        let new: Vec<_> = marks.iter_mut().filter(|(_, mark)| mark.since != Spent::default()).collect();
        let (books, whole) = (&mut self.books, self.noted.is_multiple_of(7));
        let units: Vec<Noted> = new
            .into_iter()
            .map(|(unit, mark)| {
                let spent = std::mem::take(&mut mark.since);
                mark.left = mark.least;
                let counts = if whole { books.tell(unit, now) } else { Vec::new() };
                let started = (!whole).then_some(Started { spent, dates });
                Noted { unit: unit.clone(), fence: mark.fence, counts, started, ahead: mark.least }
            })
            .collect();
        if units.is_empty() {
            return None;
        }
        self.noted += 1;
        Some((self.noted, units))
    }
}

impl Ledger for Kept {
    fn tell(&mut self, unit: &UnitId, now: Moment) -> Vec<Told> {
        self.books.tell(unit, now)
    }

    fn hear(&mut self, granted: &Granted, now: Moment) {
        self.books.hear(granted, now);
        if let Some(marks) = &mut self.marks {
            let least = least_ahead(&granted.learned);
            let left = granted.ahead.unwrap_or_default();
            marks.insert(granted.unit.clone(), Mark { fence: granted.fence, least, left, since: Spent::default() });
        }
    }

    fn correct(&mut self, correction: &Correction, now: Moment) {
        self.books.correct(correction, now);
    }

    fn tighten(&mut self, unit: &UnitId, limits: &Limits, now: Moment) {
        self.books.tighten(unit, limits, now);
    }

    fn room(&mut self, unit: &UnitId, each: u64, within: Duration, now: Moment) -> u64 {
        self.books.room(unit, each, within, now)
    }

    fn is_pending(&self, unit: &UnitId) -> bool {
        self.books.is_pending(unit)
    }

    fn ahead(&self, unit: &UnitId) -> Option<Spent> {
        self.marks.as_ref()?.get(unit).map(|mark| mark.left)
    }

    fn noted(&self) -> u64 {
        self.noted
    }

    fn in_flight(&self, unit: &UnitId, now: Moment) -> Vec<i64> {
        self.books.in_flight(unit, now)
    }

    fn opens(&mut self, unit: &UnitId, now: Moment) -> Option<i64> {
        self.books.opens(unit, now)
    }

    fn days_of(&mut self, unit: &UnitId, then: Moment) -> (u16, u16) {
        self.books.days_of(unit, then)
    }

    fn dates(&mut self, now: Moment) -> (u16, u16) {
        self.books.dates(now)
    }
}
