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
use crate::limit::{Limit, Limits, Span, Told, Unit};

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
/// of requests, but two where that is not half of it. Zero where nothing bounds it.
pub(crate) fn least_ahead(limits: &Limits) -> Spent {
    let most = |part: Unit| {
        let counts =
            |unit| unit == part || (unit == Unit::Tokens && matches!(part, Unit::InputTokens | Unit::OutputTokens));
        limits.iter().filter(|limit| counts(limit.unit)).map(|limit| limit.amount).min()
    };
    let least = |part: Unit| match (most(part), part) {
        (None, _) => 0,
        (Some(most), Unit::InputTokens | Unit::OutputTokens) => (most / 8).max(1),
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
