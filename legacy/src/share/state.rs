//! The shared record of units: what the board knows.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    counts,
    facts::Facts,
    ledger::Spent,
    names::{HolderId, Kind, UnitId},
    notes::Note,
    recovery::Gap,
    units::Units,
    wire::{Correction, Mark, Mode, Other, UnitInfo},
};
use crate::limit::{Limit, Limits, Span, Told};

/// All that the board knows; serialisable as a whole. A store keeps it and changes it only by [`apply`](super::apply),
/// in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BoardState {
    /// Changes when the board may have lost what it knew; zero before the first renewal.
    pub(super) generation: u64,
    /// Generations that were given up.
    #[serde(default)]
    pub(super) past: Vec<u64>,
    /// The store's own identity, such as a server's run id: when it changes, a copy may have taken the store's place.
    #[serde(default)]
    pub(super) server: String,
    /// The store was made just now: there cannot be anybody who knows of an earlier one.
    #[serde(default)]
    pub(super) fresh: bool,
    /// The board's time: it never runs back.
    pub(super) clock: i64,
    /// How far the board's time is behind the store's: that one ran ahead of those who hold something.
    #[serde(default)]
    pub(super) lag: i64,
    /// When the board's time was last held back, or stood still while the store's was set back.
    #[serde(default)]
    pub(super) broke: i64,
    /// The number of the last grant.
    pub(super) fence: u64,
    /// The longest lease that anybody asked for.
    #[serde(default)]
    pub(super) lease: i64,
    #[serde(default)]
    pub(super) recovery: Option<Recovery>,
    /// Another server has this one's place, and nothing is known to have been lost: processes that were there before and
    /// have not renewed since. One that died may have been told something that is lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) awaited: Option<BTreeSet<HolderId>>,
    /// When the last recovery ended before which nothing at all was left: of units that are told of only later it is not
    /// known what had been used by then.
    #[serde(default)]
    pub(super) blank: Option<i64>,
    /// The last time that a copy was put back: units that it does not know may have been used since it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gap: Option<Gap>,
    /// While it recovers: what can have been used of days at most, as far as anybody told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) bounds: BTreeMap<UnitId, Vec<Mark>>,
    /// The same: what those counted that had gone back before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) left: BTreeMap<UnitId, Vec<Told>>,
    pub(super) units: Units,
    /// Units that are others by now, and whose windows are not added up yet.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) joining: BTreeSet<UnitId>,
    pub(super) holders: BTreeMap<HolderId, HolderRecord>,
    /// What holders noted since they renewed last, oldest first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) notes: BTreeMap<HolderId, Vec<Note>>,
    /// Processes that others knew to be dead.
    #[serde(default)]
    pub(super) dead: Vec<HolderId>,
    /// What processes can serve, by hash.
    #[serde(default)]
    pub(super) rosters: BTreeMap<u64, Arc<[UnitInfo]>>,
    #[serde(default)]
    pub(super) facts: Facts,
    #[serde(default)]
    pub(super) revision: u64,
    #[serde(default)]
    pub(super) used: BTreeMap<String, u64>,
    #[serde(flatten)]
    pub(super) other: Other,
}

/// The store went back in time: only those who hold something are heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Recovery {
    /// Until when; all leases of before have ended by then.
    pub(super) until: i64,
    /// The board's time as it was before: what happened since is lost.
    pub(super) since: i64,
    /// Nothing at all was left.
    pub(super) empty: bool,
    /// Somebody knew of an earlier board.
    pub(super) known: bool,
}

/// A unit. What is as it mostly is is not written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct UnitRecord {
    /// Of which generation of the board this is.
    pub(super) generation: u64,
    /// The unit that it is by now: one quota had two names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) into: Option<UnitId>,
    /// Who holds it, or did so until `until`.
    #[serde(default)]
    pub(super) holder: Option<HolderId>,
    #[serde(default)]
    pub(super) until: i64,
    #[serde(default)]
    pub(super) fence: u64,
    #[serde(default)]
    pub(super) mode: Mode,
    #[serde(default)]
    pub(super) counts: Vec<Told>,
    /// When `counts` were told.
    #[serde(default)]
    pub(super) told: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) marks: Vec<Mark>,
    /// How much may have been started since `counts` were told, of a holder who notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ahead: Option<Spent>,
    /// The dates when it was lent to one who notes.
    #[serde(default, skip_serializing_if = "is_unset")]
    pub(super) dates: (u16, u16),
    /// Until then every place may have been used that `counts` does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) unknown: Option<i64>,
    /// The dates up to the one at that moment may be used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) days_unknown: Option<i64>,
    /// The same, also once a holder has taken those dates for used up: to be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lost: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) in_flight: Vec<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_start: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) opens: Option<i64>,
    /// Who held it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<HolderId>,
    /// He noted what he started, and did not give it back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) left: bool,
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub(super) learned: Limits,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) corrections: Vec<Correction>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) corrected: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) bookings: Vec<Booking>,
    #[serde(flatten)]
    pub(super) other: Other,
}

/// A unit as it is looked at, by the store's time.
#[cfg(any(feature = "sqlite", feature = "redis"))]
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) unit: UnitId,
    /// As far as it was told.
    pub(crate) counts: Vec<Told>,
    /// When the store had lost what it knew, where its days may be used up for that.
    pub(crate) lost: Option<i64>,
}

#[cfg(any(feature = "sqlite", feature = "redis"))]
impl Seen {
    /// `is_unasked`: nobody has held it since that was lost; whoever does next takes its days for used up.
    pub(crate) fn of(unit: UnitId, mut counts: Vec<Told>, lost: Option<i64>, is_unasked: bool) -> Self {
        let days = counts.iter_mut().filter(|told| is_unasked && told.limit.span == Span::Day);
        for Told { limit, dates, .. } in days {
            for date in dates {
                date.1 = date.1.max(limit.amount);
            }
        }
        Self { unit, counts, lost }
    }
}

/// Places of a drawn unit that somebody has and may use until `until`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Booking {
    pub(super) draw: u64,
    pub(super) holder: HolderId,
    pub(super) until: i64,
    pub(super) requests: u64,
    pub(super) tokens: u64,
    /// The dates that it counts on.
    #[serde(default)]
    pub(super) dates: (u16, u16),
}

/// A process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct HolderRecord {
    /// The number of its last renewal.
    pub(super) number: u64,
    /// When that came.
    pub(super) seen: i64,
    /// When those came of which it may not know yet that they did, and the one before: numbers and times.
    #[serde(default)]
    pub(super) came: Vec<(u64, i64)>,
    /// For how long it holds what it is granted.
    #[serde(default)]
    pub(super) lease: i64,
    pub(super) roster: u64,
    #[serde(default)]
    pub(super) demand: BTreeMap<Kind, u64>,
    /// What it lacks still.
    #[serde(default)]
    pub(super) wanted: BTreeMap<Kind, u64>,
    #[serde(default)]
    pub(super) news: u64,
    /// That was its last: it ended as it should.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) ended: bool,
    #[serde(flatten)]
    pub(super) other: Other,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_unset(dates: &(u16, u16)) -> bool {
    *dates == (0, 0)
}

impl BoardState {
    /// The board of a store that was made just now, so that nobody can know of an earlier one. Where that is not sure
    /// (a server that has nothing may have been flushed) it is [`BoardState::default`], which hears for the time of a
    /// lease whether anybody does.
    pub fn fresh() -> Self {
        Self { fresh: true, ..Self::default() }
    }

    /// The generation of the board; zero before the first renewal.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Units that somebody holds now.
    pub fn held(&self) -> usize {
        self.units.values().filter(|unit| !unit.is_free(self.clock)).count()
    }

    /// The sums of [`News::Used`](super::News::Used).
    pub fn used(&self) -> &BTreeMap<String, u64> {
        &self.used
    }

    /// Who holds a unit now, and under which number.
    pub fn holder_of(&self, unit: &UnitId) -> Option<(&HolderId, u64)> {
        let record = self.units.get(unit).filter(|record| !record.is_free(self.clock))?;
        Some((record.holder.as_ref()?, record.fence))
    }

    /// For how long what was granted is held at most by a process that may still be there.
    pub(super) fn longest_lease(&self, now: i64) -> u64 {
        let there = self.holders.values().filter(|record| record.seen + record.lease > now);
        there.map(|record| record.lease).max().unwrap_or(0) as u64
    }

    /// Whether all processes can serve the same, with the same limits.
    pub(super) fn are_agreed(&self, roster: u64) -> bool {
        self.holders.values().all(|holder| holder.roster == roster || holder.roster == 0)
    }

    /// [`BoardState::limits`] of a unit of a roster; `agreed`: [of all](Self::are_agreed).
    pub(super) fn limits_by<'a>(&self, info: &'a UnitInfo, record: &UnitRecord, agreed: bool) -> Cow<'a, Limits> {
        if agreed && record.learned.is_empty() {
            return Cow::Borrowed(&info.limits);
        }
        Cow::Owned(self.limits(&info.unit))
    }

    /// The limits of a unit: of those that processes use it with, and that answers named, the strictest.
    pub(super) fn limits(&self, unit: &UnitId) -> Limits {
        let live: BTreeSet<u64> = self.holders.values().map(|holder| holder.roster).collect();
        let configured = live.iter().filter_map(|roster| {
            let roster = self.rosters.get(roster)?;
            let at = roster.binary_search_by(|info| info.unit.cmp(unit)).ok()?;
            Some(&roster[at].limits)
        });
        let learned = self.units.get(unit).map_or_else(Limits::new, |record| record.learned.clone());
        configured.fold(learned, |limits, more| counts::stricter(&limits, more))
    }
}

impl UnitRecord {
    /// Whether nobody may use it now.
    pub(super) fn is_free(&self, now: i64) -> bool {
        self.holder.is_none() || self.until <= now
    }

    /// Whether this process may tell of it under this number.
    pub(super) fn is_of(&self, holder: &HolderId, fence: u64, generation: u64) -> bool {
        self.generation == generation && self.holder.as_ref() == Some(holder) && self.fence == fence
    }

    /// Its holder is gone: what he may have started since he told is not known, but for one who notes.
    /// `broke`: when the board's time last went on otherwise than time did. What was told before is not known to have still
    /// been there when the lease ended: of one who notes all of it counts as begun then, and else none of it is believed.
    pub(super) fn abandon(&mut self, now: i64, broke: i64, limits: &Limits) {
        if self.holder.is_some() {
            let end = self.until.min(now);
            let believed = self.told > broke;
            // Without limits there is nothing to count by: it is said that somebody died.
            let bare = self.counts.is_empty() && (limits.is_empty() || self.ahead == Some(Spent::default()));
            match self.ahead.take() {
                Some(ahead) if !bare => {
                    if !believed {
                        self.counts.iter_mut().for_each(|told| told.begin_at(end));
                    }
                    self.count_ahead(ahead, end, limits);
                    self.left = true;
                }
                noted => {
                    if !believed {
                        self.counts.iter_mut().for_each(|told| told.moments.clear());
                    }
                    self.unknown = self.unknown.max(Some(end));
                    // Who notes keeps no marks.
                    if noted.is_some() {
                        self.days_unknown = self.days_unknown.max(Some(end));
                    }
                }
            }
            self.before = self.holder.take();
        }
        self.fold_marks();
    }

    /// The day is used up to the mark, as far as anybody knows.
    pub(super) fn fold_marks(&mut self) {
        for mark in std::mem::take(&mut self.marks) {
            // He may never have told of it.
            let told = self.window(Limit { unit: mark.unit, span: Span::Day, amount: mark.upto });
            match told.dates.iter_mut().find(|date| date.0 == mark.date) {
                Some(date) => date.1 = date.1.max(mark.upto),
                None => told.dates.push((mark.date, mark.upto)),
            }
        }
    }

    /// What is counted for a limit; nothing yet where nobody told.
    pub(super) fn window(&mut self, limit: Limit) -> &mut Told {
        let same = |told: &Told| (told.limit.unit, told.limit.span) == (limit.unit, limit.span);
        let at = self.counts.iter().position(same).unwrap_or_else(|| {
            self.counts.push(Told { limit, moments: Vec::new(), dates: Vec::new() });
            self.counts.len() - 1
        });
        &mut self.counts[at]
    }

    /// Lets a new holder use a little of each day at once; how much is left up to each mark.
    pub(super) fn mark(&mut self, limits: &Limits, dates: Option<(u16, u16)>) -> Vec<Mark> {
        let used = |unit, date| -> u64 {
            let of_day = self.counts.iter().filter(|told| (told.limit.unit, told.limit.span) == (unit, Span::Day));
            of_day.flat_map(|told| &told.dates).filter(|used| used.0 == date).map(|used| used.1).max().unwrap_or(0)
        };
        if let Some((first, last)) =
            dates.filter(|dates| dates.0 > 0 && self.days_unknown.is_none() && dates.1 - dates.0 < 3)
        {
            let mark = |limit: &Limit, date| {
                let upto = used(limit.unit, date).saturating_add((limit.amount / 50).max(4)).min(limit.amount);
                Mark { unit: limit.unit, date, upto }
            };
            let days = limits.iter().filter(|limit| limit.span == Span::Day);
            self.marks = days.flat_map(|limit| (first..=last).map(move |date| mark(limit, date))).collect();
        }
        let left = |mark: &Mark| Mark { upto: mark.upto.saturating_sub(used(mark.unit, mark.date)), ..*mark };
        self.marks.iter().map(left).collect()
    }
}
