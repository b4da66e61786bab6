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
    wire::{Noted, Renewal},
};
use crate::limit::{Limits, Span, Unit};

/// What a holder noted at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) number: u64,
    /// When, by the board's time.
    pub(super) at: i64,
    pub(super) units: Vec<Noted>,
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
        let at = server_now - self.lag;
        self.notes.entry(holder.clone()).or_default().push(Note { number, at, units });
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
        let of_unit = |note: &Note| {
            let noted = note.units.iter().find(|noted| noted.unit == *unit && noted.fence == record.fence)?;
            Some((note.at, noted.clone()))
        };
        let notes = held.and_then(|holder| self.notes.get(holder));
        let noted = notes.and_then(|notes| notes.iter().rev().find_map(of_unit));
        let limits = if record.ahead.is_some() || noted.is_some() { self.limits(unit) } else { Limits::new() };
        let broke = self.broke;
        let Some(record) = self.units.get_mut(unit) else { return };
        if let Some((at, noted)) = noted {
            record.counts = all_heard(&noted.counts, at);
            record.told = at;
            record.unknown = None;
            record.days_unknown = None;
            record.ahead = Some(noted.ahead);
        }
        record.abandon(now, broke, &limits);
    }
}

impl UnitRecord {
    /// So much more may have been started by `end`.
    pub(super) fn count_ahead(&mut self, ahead: Spent, end: i64, limits: &Limits) {
        let mut windows: Vec<_> = self.counts.iter().map(|told| told.limit).collect();
        let is_told = |limit: &crate::limit::Limit| {
            self.counts.iter().any(|told| (told.limit.unit, told.limit.span) == (limit.unit, limit.span))
        };
        windows.extend(limits.iter().filter(|limit| !is_told(limit)).copied());
        let granted = self.dates;
        for limit in windows {
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
