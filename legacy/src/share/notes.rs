//! Notes: what holders say of their units between two renewals, and what becomes of a unit whose holder is gone.
//!
//! Of one who notes it is known how much he may have started since his last word: that counts as used when he is gone,
//! and nothing else.

use serde::{Deserialize, Serialize};

use super::{
    counts::all_heard,
    ledger::Spent,
    names::{HolderId, UnitId},
    state::{BoardState, UnitRecord},
    wire::{Noted, Renewal, Started},
};
#[cfg(any(test, feature = "sqlite"))]
use crate::limit::Told;
use crate::limit::{Limit, Limits, Span, Unit};

/// What a holder noted at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) number: u64,
    /// When, by the board's time.
    pub(super) at: i64,
    pub(super) units: Vec<Noted>,
}

impl Note {
    /// Units in order: that of each is looked for.
    pub(super) fn new(number: u64, at: i64, mut units: Vec<Noted>) -> Self {
        units.sort_unstable_by(|one, other| one.unit.cmp(&other.unit));
        Self { number, at, units }
    }

    /// What it says of a unit that is held under this number.
    fn of(&self, unit: &UnitId, fence: u64) -> Option<(i64, &Noted)> {
        let at = self.units.binary_search_by(|noted| noted.unit.cmp(unit)).ok()?;
        Some((self.at, &self.units[at])).filter(|(_, noted)| noted.fence == fence)
    }
}

/// How much may be started of a unit before anything is noted of it: an eighth of a limit of tokens, a sixteenth of one
/// of requests, but two where that is not half of it. A day is longer: of its requests a 512th, or one, so that many deaths do
/// not use it up. Zero where nothing bounds it.
pub(crate) fn least_ahead(limits: &Limits) -> Spent {
    let most = |part: Unit| {
        let counts =
            |unit| unit == part || (unit == Unit::Tokens && matches!(part, Unit::InputTokens | Unit::OutputTokens));
        limits.iter().filter(|limit| counts(limit.unit)).map(|limit| limit.amount).min()
    };
    let of_day = |limit: &&Limit| (limit.unit, limit.span) == (Unit::Requests, Span::Day);
    let of_a_day = limits.iter().filter(of_day).map(|limit| (limit.amount / 512).max(1)).min().unwrap_or(u64::MAX);
    let least = |part: Unit| match (most(part), part) {
        (None, _) => 0,
        (Some(most), Unit::InputTokens | Unit::OutputTokens) => (most / 8).max(1),
        (Some(most), Unit::Requests) => (most / 16).max(if most < 5 { 1 } else { 2 }).min(of_a_day),
        (Some(most), _) => (most / 16).max(if most < 5 { 1 } else { 2 }),
    };
    Spent {
        requests: least(Unit::Requests),
        input_tokens: least(Unit::InputTokens),
        output_tokens: least(Unit::OutputTokens),
        images: least(Unit::Images),
    }
}

impl BoardState {
    /// A holder notes what units count, `server_now` by the store's time. Heard when he is gone, or older than what he
    /// tells next.
    pub fn note(&mut self, holder: &HolderId, number: u64, units: Vec<Noted>, server_now: i64) {
        let note = Note::new(number, server_now - self.lag, units);
        self.notes.entry(holder.clone()).or_default().push(note);
    }

    /// Notes that are older than what is told now.
    pub(super) fn outdate_notes(&mut self, renewal: &Renewal) {
        if let Some(notes) = self.notes.get_mut(&renewal.holder) {
            notes.retain(|note| note.number > renewal.noted);
        }
        let holders = &self.holders;
        self.notes.retain(|holder, notes| !notes.is_empty() && holders.contains_key(holder));
    }

    /// Nobody holds the unit any more: what its holder told last is so, and what he may have started since.
    pub(super) fn abandon(&mut self, unit: &UnitId, now: i64) {
        let Some(record) = self.units.get(unit) else { return };
        let held = record.holder.as_ref().filter(|_| record.generation == self.generation);
        let notes = held.and_then(|holder| self.notes.get(holder)).into_iter().flatten();
        let notes: Vec<_> = notes.filter_map(|note| note.of(unit, record.fence)).collect();
        let limits = if record.ahead.is_some() || !notes.is_empty() { self.limits(unit) } else { Limits::new() };
        let mut noted = record.clone();
        noted.hear_notes(&notes, &limits);
        noted.abandon(now, self.broke, &limits);
        if let Some(record) = self.units.get_mut(unit) {
            *record = noted;
        }
    }

    /// What a unit counts as far as it was told and noted.
    #[cfg(any(test, feature = "sqlite"))]
    pub(super) fn counted(&self, unit: &UnitId, record: &UnitRecord) -> Vec<Told> {
        let notes = record.holder.as_ref().and_then(|holder| self.notes.get(holder)).into_iter().flatten();
        let notes: Vec<_> = notes.filter_map(|note| note.of(unit, record.fence)).collect();
        let mut noted = UnitRecord { counts: record.counts.clone(), ..UnitRecord::default() };
        noted.hear_notes(&notes, &Limits::new());
        noted.counts
    }
}

impl UnitRecord {
    /// Hears what was noted since its holder told of it, oldest first.
    fn hear_notes(&mut self, notes: &[(i64, &Noted)], limits: &Limits) {
        let whole = notes.iter().rposition(|(_, noted)| noted.started.is_none());
        if let Some((at, noted)) = whole.map(|whole| notes[whole]) {
            self.counts = all_heard(&noted.counts, at);
            self.told = at;
            self.unknown = None;
            self.days_unknown = None;
        }
        for (at, noted) in &notes[whole.map_or(0, |whole| whole + 1)..] {
            if let Some(started) = &noted.started {
                self.count_started(started, *at, limits);
            }
        }
        if let Some((_, noted)) = notes.last() {
            self.ahead = Some(noted.ahead);
        }
    }

    /// So much was started by `at`.
    fn count_started(&mut self, started: &Started, at: i64, limits: &Limits) {
        for limit in self.windows(limits) {
            let amount = started.spent.of(limit.unit);
            if amount == 0 {
                continue;
            }
            let told = self.window(limit);
            if limit.span != Span::Day {
                told.moments.push((at, amount));
                continue;
            }
            for date in started.dates.0..=started.dates.1 {
                match told.dates.iter_mut().find(|used| used.0 == date) {
                    Some(used) => used.1 += amount,
                    None => told.dates.push((date, amount)),
                }
            }
        }
    }

    /// The windows that were told of, and those of these limits.
    fn windows(&self, limits: &Limits) -> Vec<Limit> {
        let mut windows: Vec<_> = self.counts.iter().map(|told| told.limit).collect();
        let is_told = |limit: &Limit| {
            self.counts.iter().any(|told| (told.limit.unit, told.limit.span) == (limit.unit, limit.span))
        };
        windows.extend(limits.iter().filter(|limit| !is_told(limit)).copied());
        windows
    }

    /// So much more may have been started by `end`.
    pub(super) fn count_ahead(&mut self, ahead: Spent, end: i64, limits: &Limits) {
        let granted = self.dates;
        for limit in self.windows(limits) {
            let amount = ahead.of(limit.unit);
            let told = self.window(limit);
            if limit.span != Span::Day {
                told.moments.push((end, amount));
                continue;
            }
            // Midnight may have come since.
            let newest = told.dates.iter().map(|date| date.0).max().unwrap_or(0).max(granted.1);
            if newest == 0 {
                self.days_unknown = self.days_unknown.max(Some(end));
                continue;
            }
            // What an earlier holder left unseen may stand on the date after this one already.
            let first = if granted.0 > 0 { granted.0.max(newest.saturating_sub(2)) } else { newest };
            let last = if newest == granted.1 + 1 { newest } else { newest + 1 };
            for date in first..=last {
                match told.dates.iter_mut().find(|used| used.0 == date) {
                    Some(used) => used.1 += amount,
                    None => told.dates.push((date, amount)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::{HolderId, Settings};

    const MINUTE: Limit = Limit { unit: Unit::Requests, span: Span::MINUTE, amount: 100 };
    const DAY: Limit = Limit { unit: Unit::Requests, span: Span::Day, amount: 500 };

    fn requests(requests: u64) -> Spent {
        Spent { requests, ..Spent::default() }
    }

    fn noted(fence: u64, counts: &[i64], started: Option<u64>, ahead: u64) -> Noted {
        let told = Told { limit: MINUTE, moments: counts.iter().map(|ago| (*ago, 1)).collect(), dates: Vec::new() };
        let started = started.map(|amount| Started { spent: requests(amount), dates: (700, 701) });
        let counts = if started.is_some() { Vec::new() } else { vec![told] };
        Noted { unit: "unit".into(), fence, counts, started, ahead: requests(ahead) }
    }

    /// A unit that its holder told of at 1,000, with two requests at 900.
    fn board() -> (BoardState, HolderId) {
        let (mut state, holder) = (BoardState::fresh(), HolderId::new("one", 1));
        let lease = Settings::default().lease.as_millis() as i64;
        state.units.or_insert_with(&"unit".into(), || UnitRecord {
            holder: Some(holder.clone()),
            until: 1_000 + lease,
            fence: 7,
            told: 1_000,
            counts: vec![
                Told { limit: MINUTE, moments: vec![(900, 2)], dates: Vec::new() },
                Told { limit: DAY, moments: Vec::new(), dates: vec![(700, 40)] },
            ],
            ahead: Some(requests(6)),
            dates: (700, 700),
            ..UnitRecord::default()
        });
        (state, holder)
    }

    fn after(mut state: BoardState) -> UnitRecord {
        state.abandon(&"unit".into(), 2_000);
        state.units.get(&"unit".into()).unwrap().clone()
    }

    #[test]
    fn what_was_started_comes_on_top_of_what_was_told_and_then_what_may_have_been() {
        let (mut state, holder) = board();
        state.note(&holder, 4, vec![noted(7, &[], Some(3), 5)], 1_100);
        state.note(&holder, 5, vec![noted(6, &[], Some(50), 50)], 1_150);
        state.note(&holder, 6, vec![noted(7, &[], Some(1), 4)], 1_200);
        let looked_at = state.counted(&"unit".into(), state.units.get(&"unit".into()).unwrap());
        assert_eq!(looked_at[0].moments, [(900, 2), (1_100, 3), (1_200, 1)]);
        let record = after(state);
        assert_eq!(record.counts[0].moments, [(900, 2), (1_100, 3), (1_200, 1), (2_000, 4)]);
        // Midnight may have come at each of them.
        assert_eq!(record.counts[1].dates, [(700, 48), (701, 8)]);
        assert_eq!(record.unknown, None);
    }

    #[test]
    fn a_note_of_all_that_a_unit_counts_takes_the_place_of_what_came_before() {
        let (mut state, holder) = board();
        state.note(&holder, 4, vec![noted(7, &[], Some(9), 5)], 1_100);
        state.note(&holder, 5, vec![noted(7, &[-350, -10], None, 5)], 1_200);
        state.note(&holder, 6, vec![noted(7, &[], Some(1), 4)], 1_300);
        let record = after(state);
        let minute = record.counts.iter().find(|told| told.limit == MINUTE).unwrap();
        assert_eq!(minute.moments.iter().map(|then| then.1).collect::<Vec<_>>(), [1, 1, 1, 4]);
        assert_eq!(minute.moments[2..], [(1_300, 1), (2_000, 4)]);
    }
}
