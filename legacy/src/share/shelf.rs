//! A board whose records lie apart in a database: what was read of it stays at hand, and only what changed is read and
//! written again.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    mem,
};

use serde::de::IgnoredAny;

use super::{
    apply::{Server, apply},
    counts::{first_date, last_date},
    ledger::Spent,
    names::{HolderId, LEARNED, OWNER, UnitId, is_name},
    notes::Note,
    state::{BoardState, Seen, UnitRecord},
    wire::{Noted, Renewal, Reply, Rest, UnitInfo},
};
use crate::limit::{Limits, Span, Told};

/// A board as far as it was read.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    /// None where nothing was read yet.
    state: Option<BoardState>,
    /// As they were written last.
    holders: HashMap<HolderId, HolderRow>,
    /// Those that have a row, whether anybody has them now or not.
    rosters: HashSet<u64>,
    /// Units that have a row: one that nobody ever held needs none.
    units: HashSet<UnitId>,
    revision: u64,
}

/// A process as it lies in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HolderRow {
    pub(crate) record: String,
    /// It holds what it holds until then.
    pub(crate) until: i64,
    /// But for these, of which it never heard, and did not tell when it renewed last: a row says how long each is held.
    pub(crate) untold: BTreeSet<UnitId>,
}

/// What a renewal changed.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// All but what follows.
    pub(crate) head: String,
    /// What processes told each other, by revision, and revisions that are over.
    pub(crate) facts: Vec<(String, Rest)>,
    pub(crate) facts_gone: Vec<u64>,
    /// Units by name.
    pub(crate) units: Vec<(UnitId, String)>,
    pub(crate) holders: Vec<(HolderId, HolderRow)>,
    pub(crate) holders_gone: Vec<HolderId>,
    pub(crate) rosters: Vec<(u64, String)>,
    pub(crate) rosters_gone: Vec<u64>,
}

impl Shelf {
    /// Whether anything was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.state.is_none()
    }

    /// A board that was made just now.
    pub(crate) fn begin(&mut self) {
        *self = Self { state: Some(BoardState::fresh()), ..Self::default() };
    }

    /// A board that was made just now in the place of one that others still work on.
    pub(crate) fn begin_again(&mut self) {
        *self = Self { state: Some(BoardState::default()), ..Self::default() };
    }

    /// What was read lost something: see [`BoardState::doubt`]. Of those who are gone it is known what they noted before.
    pub(crate) fn doubt(&mut self, gone: &HashSet<HolderId>, now: i64) {
        let state = self.state.get_or_insert_default();
        let now = now - state.lag;
        for unit in state.units.named(|unit| unit.holder.as_ref().is_some_and(|holder| gone.contains(holder))) {
            state.abandon(&unit, now);
        }
        state.doubt();
    }

    /// Reads what does not lie apart.
    pub(crate) fn read_head(&mut self, head: &str) -> serde_json::Result<()> {
        let mut state: BoardState = serde_json::from_str(head)?;
        if let Some(before) = self.state.take() {
            state.facts = before.facts;
            state.units = before.units;
            state.holders = before.holders;
            state.rosters = before.rosters;
        }
        self.state = Some(state);
        Ok(())
    }

    /// The revision up to which facts were read.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// Reads what was said since, oldest first.
    pub(crate) fn read_facts(&mut self, facts: impl Iterator<Item = (String, Rest)>) {
        let Some(state) = &mut self.state else { return };
        if state.facts.is_empty() {
            state.facts = facts.collect();
        } else {
            facts.for_each(|(scope, rest)| state.facts.put(&scope, rest));
        }
        state.facts.take_over();
        self.revision = state.revision;
    }

    /// What the owner of a key is called: by its secret, unless a process said otherwise, as it does of one that took the place of
    /// another while it ran.
    pub(crate) fn name_of(&self, hash: &str) -> String {
        let said = self.state.as_ref().and_then(|state| state.facts.get(&format!("{OWNER}{hash}")));
        let name = said.and_then(|said| said.why.split('\n').next()).filter(|name| !name.is_empty());
        name.map_or_else(|| format!("key:{hash}"), str::to_owned)
    }

    /// Nobody is there who heard what was said but of names and learned limits. Names of replaced secrets are the new ones'.
    pub(crate) fn keep_names(&mut self, replaced: &[(String, String)]) {
        let Some(state) = &mut self.state else { return };
        state.facts.retain(|scope, _| is_name(scope) || scope.starts_with(LEARNED));
        for (old, new) in replaced {
            let Some(named) = state.facts.get(&format!("{OWNER}{old}")).cloned() else { continue };
            let scope = format!("{OWNER}{new}");
            if !state.facts.contains_key(&scope) {
                let why = named.why.replace(&format!("key:{old}"), &format!("key:{new}"));
                state.revision += 1;
                state.facts.put(&scope, Rest { why, revision: state.revision, ..named });
            }
        }
    }

    pub(crate) fn read_unit(&mut self, unit: &str, record: &str) -> serde_json::Result<()> {
        let record = serde_json::from_str(record)?;
        if let Some(state) = &mut self.state {
            state.units.put(unit.into(), record);
            self.units.insert(unit.into());
        }
        Ok(())
    }

    /// Reads all holders; units before them.
    pub(crate) fn read_holders(&mut self, holders: Vec<(HolderId, HolderRow)>) -> serde_json::Result<()> {
        let Some(state) = &mut self.state else { return Ok(()) };
        state.holders.clear();
        for (holder, row) in &holders {
            state.holders.insert(holder.clone(), serde_json::from_str(&row.record)?);
            state.units.prolong_all(holder, row.until, &row.untold);
        }
        self.holders = holders.into_iter().collect();
        Ok(())
    }

    /// Whether the row of a roster is to be read: it is new here, or somebody has by now what nobody had.
    pub(crate) fn lacks_roster(&self, roster: u64) -> bool {
        !self.rosters.contains(&roster) || self.is_had(roster)
    }

    /// Somebody has it, and what is in it is not known yet.
    fn is_had(&self, roster: u64) -> bool {
        let Some(state) = &self.state else { return false };
        !state.rosters.contains_key(&roster) && state.holders.values().any(|holder| holder.roster == roster)
    }

    /// Reads one; holders before it. Of one that nobody has it is only seen whether it can be read.
    pub(crate) fn read_roster(&mut self, roster: u64, units: &str) -> serde_json::Result<()> {
        if !self.is_had(roster) {
            serde_json::from_str::<IgnoredAny>(units)?;
        } else if let Some(state) = &mut self.state {
            let infos: Vec<UnitInfo> = serde_json::from_str(units)?;
            for info in infos.iter().filter(|info| !state.units.contains_key(&info.unit)).collect::<Vec<_>>() {
                let blank = UnitRecord { generation: state.generation, ..UnitRecord::default() };
                state.units.put(info.unit.clone(), blank);
            }
            state.rosters.insert(roster, infos.into());
        }
        self.rosters.insert(roster);
        Ok(())
    }

    /// Others were given up.
    pub(crate) fn keep_rosters(&mut self, kept: impl Fn(u64) -> bool) {
        self.rosters.retain(|roster| kept(*roster));
        if let Some(state) = &mut self.state {
            state.rosters.retain(|roster, _| kept(*roster));
        }
    }

    /// Holders, and whether the lease of each has ended by the store's time.
    pub(crate) fn holders(&self, server_now: i64) -> Vec<(HolderId, bool)> {
        let lag = self.state.as_ref().map_or(0, |state| state.lag);
        self.holders.iter().map(|(holder, row)| (holder.clone(), row.until <= server_now - lag)).collect()
    }

    /// What a holder noted, oldest first: numbers, the store's time, units.
    pub(crate) fn read_notes(&mut self, holder: &HolderId, notes: Vec<(u64, i64, Vec<Noted>)>) {
        if let Some(state) = &mut self.state {
            let lag = state.lag;
            let notes = notes.into_iter().map(|(number, at, units)| Note::new(number, at - lag, units)).collect();
            state.notes.insert(holder.clone(), notes);
        }
    }

    /// Does what the renewal asks for.
    pub(crate) fn apply(&mut self, renewal: &Renewal, server: Server<'_>) -> Reply {
        let state = self.state.get_or_insert_with(BoardState::fresh);
        let reply = apply(state, renewal, server);
        state.notes.clear();
        reply
    }

    /// What is to be written. `renewal`: what was done, where anything was.
    pub(crate) fn changes(&mut self, renewal: Option<&Renewal>) -> serde_json::Result<Changes> {
        let Some(state) = &mut self.state else { return Ok(Changes::default()) };
        let mut changes = Changes::default();
        let mut changed = state.units.take_changed();
        for (holder, record) in &state.holders {
            let before = self.holders.get(holder);
            let (until, untold) = match renewal.filter(|renewal| renewal.holder == *holder) {
                Some(renewal) => {
                    let until = state.clock + renewal.lease as i64;
                    (until, state.units.untold(holder, until))
                }
                None => before.map_or_else(Default::default, |before| (before.until, before.untold.clone())),
            };
            let known = |unit: &&UnitId| before.is_some_and(|before| before.untold.contains(*unit));
            changed.extend(untold.iter().filter(|unit| !known(unit)).cloned());
            let row = HolderRow { record: serde_json::to_string(record)?, until, untold };
            if before != Some(&row) {
                changes.holders.push((holder.clone(), row));
            }
        }
        for unit in changed {
            let blank = UnitRecord { generation: state.generation, ..UnitRecord::default() };
            if let Some(record) =
                state.units.get(&unit).filter(|record| **record != blank || self.units.contains(&unit))
            {
                changes.units.push((unit, serde_json::to_string(record)?));
            }
        }
        changes.holders_gone = self.holders.keys().filter(|held| !state.holders.contains_key(held)).cloned().collect();
        for (roster, units) in state.rosters.iter().filter(|roster| !self.rosters.contains(roster.0)) {
            changes.rosters.push((*roster, serde_json::to_string(units)?));
        }
        // What nobody has stays until another comes: the next process mostly has it again, and its first request waits for it.
        if changes.rosters.iter().any(|(roster, _)| !state.rosters[roster].is_empty()) {
            let gone = self.rosters.iter().filter(|held| !state.rosters.contains_key(held));
            changes.rosters_gone = gone.copied().collect();
        }
        changes.facts_gone = state.facts.take_over();
        if state.revision != self.revision {
            let new = state.facts.iter().filter(|fact| fact.1.revision > self.revision);
            changes.facts = new.map(|(scope, rest)| (scope.clone(), rest.clone())).collect();
            changes.facts.sort_unstable_by_key(|fact| fact.1.revision);
        }
        changes.head = head(state)?;
        Ok(changes)
    }

    /// The changes were written.
    pub(crate) fn written(&mut self, changes: Changes) {
        let Some(state) = &mut self.state else { return };
        // They are read for each renewal anew.
        state.notes.clear();
        self.revision = state.revision;
        self.units.extend(changes.units.into_iter().map(|(unit, _)| unit));
        for holder in &changes.holders_gone {
            self.holders.remove(holder);
        }
        self.holders.extend(changes.holders);
        for roster in &changes.rosters_gone {
            self.rosters.remove(roster);
        }
        self.rosters.extend(changes.rosters.into_iter().map(|(roster, _)| roster));
    }

    /// A unit that somebody kept for himself until now, as it stands at `now` by the store's time: what it counts, and what
    /// may have been started unseen.
    pub(crate) fn adopt(&mut self, unit: &str, mut counts: Vec<Told>, unseen: Option<Spent>, now: i64) {
        let state = self.state.get_or_insert_with(BoardState::fresh);
        let now = now - state.lag;
        for (moment, _) in counts.iter_mut().flat_map(|told| &mut told.moments) {
            *moment = (*moment - state.lag).min(now);
        }
        let record = state.units.or_insert_with(&unit.into(), UnitRecord::default);
        record.counts = counts;
        if let Some(unseen) = unseen {
            record.count_ahead(unseen, now, &Limits::new());
        }
    }

    /// Units of this owner that nobody holds, or one of those who are gone, are this other's from now on, as they stand at
    /// `now` by the store's time. One that the other has already gets what they count, unless somebody holds it.
    pub(crate) fn rename(&mut self, (from, to): (&str, &str), gone: &HashSet<HolderId>, now: i64) {
        let Some(state) = &mut self.state else { return };
        let now = now - state.lag;
        let of_owner = |unit: &&UnitId| unit.as_str().split_once('\n').is_some_and(|(_, owner)| owner == from);
        let units: Vec<UnitId> = state.units.keys().filter(of_owner).cloned().collect();
        for unit in units {
            let lane = unit.as_str().split_once('\n').map_or("", |(lane, _)| lane);
            let other = UnitId::from(&*format!("{lane}\n{to}"));
            let other = state.root(&other);
            if state.units.get(&unit).is_some_and(|record| record.into.is_some()) || other == unit {
                continue;
            }
            let is_held = |unit: &UnitId| {
                let holder = state.units.get(unit).and_then(|record| record.holder.as_ref());
                holder.is_some_and(|holder| !gone.contains(holder))
            };
            if is_held(&unit) || is_held(&other) {
                continue;
            }
            let nothing = UnitRecord { generation: state.generation, ..UnitRecord::default() };
            if state.units.get(&unit).is_none_or(|record| *record == nothing) {
                continue;
            }
            state.abandon(&other, now);
            state.abandon(&unit, now);
            let Some(record) = state.units.get_mut(&unit) else { continue };
            let left = mem::replace(record, nothing.clone());
            let record = state.units.or_insert_with(&other, || nothing);
            record.sum_up(left.counts);
            record.unknown = record.unknown.max(left.unknown);
            record.days_unknown = record.days_unknown.max(left.days_unknown);
            record.last_start = record.last_start.max(left.last_start);
            record.opens = None;
        }
    }

    /// What each unit counts as far as it was told, by the store's time; to be looked at.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let Some(state) = &self.state else { return Vec::new() };
        let mut all = Vec::new();
        for (unit, record) in state.units.keys().filter_map(|unit| Some((unit, state.units.get(unit)?))) {
            let mut counts = state.counted(unit, record);
            for (at, _) in counts.iter_mut().flat_map(|told| &mut told.moments) {
                *at += state.lag;
            }
            let lost = record.lost.map(|lost| lost + state.lag);
            all.push(Seen::of(unit.clone(), counts, lost, record.days_unknown.is_some()));
        }
        all
    }

    /// All holders are gone: what each unit counts, by the store's time. What is not known is taken as used.
    pub(crate) fn abandon_all(&mut self, now: i64) -> Vec<(String, Vec<Told>)> {
        let Some(state) = &mut self.state else { return Vec::new() };
        let lag = state.lag;
        let now = now - lag;
        let units: Vec<UnitId> = state.units.keys().cloned().collect();
        let told = state.units.values().flat_map(|record| &record.counts).flat_map(|told| &told.dates);
        let newest = told.map(|date| date.0).max().unwrap_or(0);
        let mut all = Vec::new();
        for unit in units {
            state.abandon(&unit, now);
            let limits = state.limits(&unit);
            let Some(record) = state.units.get_mut(&unit) else { continue };
            if let Some(end) = record.unknown {
                for limit in limits.iter().filter(|limit| limit.span != Span::Day) {
                    record.window(*limit).moments.push((end, limit.amount));
                }
            }
            if let Some(end) = record.days_unknown {
                // In which zone its days end is not known here.
                let dates = newest.max(first_date(end + lag))..=last_date(end + lag);
                for limit in limits.iter().filter(|limit| limit.span == Span::Day) {
                    let told = record.window(*limit);
                    told.dates.retain(|date| !dates.contains(&date.0));
                    told.dates.extend(dates.clone().map(|date| (date, limit.amount)));
                }
            }
            let wall = |told: &Told| Told {
                moments: told.moments.iter().map(|(at, amount)| (at + lag, *amount)).collect(),
                ..told.clone()
            };
            all.push((unit.to_string(), record.counts.iter().map(wall).collect()));
        }
        all
    }
}

/// What does not lie apart.
fn head(state: &mut BoardState) -> serde_json::Result<String> {
    let units = mem::take(&mut state.units);
    let holders = mem::take(&mut state.holders);
    let rosters = mem::take(&mut state.rosters);
    let facts = mem::take(&mut state.facts);
    let text = serde_json::to_string(state);
    (state.units, state.holders, state.rosters, state.facts) = (units, holders, rosters, facts);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        limit::{Limit, Unit},
        share::state::HolderRecord,
    };

    const HOUR: i64 = 3_600_000;

    /// Whoever works on the file alone from now on does not know of boards.
    #[test]
    fn days_that_nobody_knows_are_used_for_whoever_is_alone_next() {
        let (day, noon) = (20_000 * 24 * HOUR, 12 * HOUR);
        let mut shelf = Shelf::default();
        shelf.begin_again();
        let state = shelf.state.as_mut().unwrap();
        let limits = Limits::new().per_minute(5).per_day(40);
        let info = |unit: &str| UnitInfo {
            unit: unit.into(),
            kind: "m".into(),
            limits: limits.clone(),
            guard: None,
            joins: vec![],
        };
        state.rosters.insert(7, [info("m\nknown"), info("m\nlost")].into());
        state.holders.insert(HolderId::new("one", 1), HolderRecord { roster: 7, ..HolderRecord::default() });
        let limit = Limit { unit: Unit::Requests, span: Span::Day, amount: 40 };
        let counts = vec![Told { limit, moments: Vec::new(), dates: vec![(20_001, 9)] }];
        let known = UnitRecord { counts, ..UnitRecord::default() };
        state.units.or_insert_with(&"m\nknown".into(), || known);
        let lost = UnitRecord { days_unknown: Some(day + noon), ..UnitRecord::default() };
        state.units.or_insert_with(&"m\nlost".into(), || lost);
        let all = shelf.abandon_all(day + noon + 1_000);
        let dates = |name: &str| -> Vec<(u16, u64)> {
            let (_, counts) = all.iter().find(|unit| unit.0 == name).unwrap();
            counts.iter().flat_map(|told| told.dates.clone()).collect()
        };
        assert_eq!(dates("m\nknown"), [(20_001, 9)]);
        // Somewhere it is the next date already.
        assert_eq!(dates("m\nlost"), [(20_001, 40), (20_002, 40)]);
    }

    /// The count of a copy that was put back is no day's that can be told: whoever holds the unit next takes it for used up.
    #[test]
    fn a_day_that_nobody_knows_is_not_told_as_an_older_copy_counted_it() {
        let (at, limit) = (20_000 * 24 * HOUR, |span| Limit { unit: Unit::Requests, span, amount: 40 });
        let counts = || {
            let day = Told { limit: limit(Span::Day), moments: Vec::new(), dates: vec![(20_001, 9)] };
            vec![day, Told { limit: limit(Span::MINUTE), moments: vec![(at, 3)], dates: Vec::new() }]
        };
        let mut shelf = Shelf::default();
        shelf.begin_again();
        let state = shelf.state.as_mut().unwrap();
        let record = |unknown: Option<i64>| {
            let lost = Some(at);
            UnitRecord { counts: counts(), lost, days_unknown: unknown, ..UnitRecord::default() }
        };
        state.units.or_insert_with(&"m\nunasked".into(), || record(Some(at)));
        state.units.or_insert_with(&"m\nknown".into(), || record(None));
        let all = shelf.seen();
        let told = |name: &str| all.iter().find(|seen| seen.unit.as_str() == name).unwrap().counts.clone();
        let day = |name: &str| told(name)[0].dates.clone();
        assert_eq!([day("m\nunasked"), day("m\nknown")], [[(20_001, 40)], [(20_001, 9)]]);
        assert_eq!(told("m\nunasked")[1].moments, [(at, 3)]);
    }

    /// What was written before says all that it has; whoever reads it goes by what is not there as by what was said of it then.
    #[test]
    fn a_unit_that_is_always_used_fits_its_page_and_is_read_in_either_form() {
        let of = |span, amount| Limit { unit: Unit::Requests, span, amount };
        let at = 1_795_317_465_000;
        let moments = (0..120).map(|n| (at + n * 500, 1)).collect();
        let mut minute = Told { limit: of(Span::MINUTE, 500), moments, dates: Vec::new() };
        minute.bundle(24);
        let day = Told { limit: of(Span::Day, 100_000), moments: Vec::new(), dates: vec![(20_779, 12_345)] };
        let ahead = Spent { requests: 31, ..Spent::default() };
        let record = UnitRecord {
            generation: u64::MAX,
            holder: Some(HolderId::new("run-1234-b397807c", 1)),
            until: at,
            fence: 12_345,
            counts: vec![minute, day],
            told: at,
            ahead: Some(ahead),
            dates: (20_779, 20_779),
            ..UnitRecord::default()
        };
        let text = serde_json::to_string(&record).unwrap();
        // With its name and version it stands within 1,002 bytes, beyond which SQLite begins a page for the rest of each.
        assert!(text.len() < 900, "{}: {text}", text.len());
        let nothing = r#","marks":[],"unknown":null,"days_unknown":null,"in_flight":[],"last_start":null,"opens":null,"before":null,
            "learned":[],"corrections":[],"corrected":0,"bookings":[]}"#;
        let before = format!("{}{nothing}", &text[..text.len() - 1]);
        for text in [text, before] {
            assert_eq!(serde_json::from_str::<UnitRecord>(&text).unwrap(), record);
        }
    }
}
