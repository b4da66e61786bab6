//! What a process says with each batch: one row of what it started and what its keys used. The use of all these rows becomes
//! that of one row when the process tells its windows, and goes to its table once in a while; of a dead process with whoever
//! buries it.

use std::collections::HashMap;

use rusqlite::{Connection, Row, Transaction};

use super::{
    super::{
        Desk,
        failure::Failure,
        migrate,
        numbers::Numbers,
        write::{self, number},
    },
    noted::{self, Names},
};
use crate::{
    share::{HolderId, Noted, Spent, Started},
    store::{Batch, Run, UsageRecord},
};

/// What keys used goes to its table with every so manieth fold: each key is a row of two tables there, and a few bytes here.
const BUNDLES: u32 = 6;

/// What is in this process's notes alone.
#[derive(Default)]
pub(super) struct Unfolded {
    /// The numbers of the first and the last of them.
    notes: Option<(u64, u64)>,
    /// How names that they told are called in them.
    numbers: Numbers,
    /// What was used, by those numbers.
    sums: Vec<UsageRecord>,
    /// The same, of names that have no number any more.
    aside: Vec<UsageRecord>,
    /// The note that it became last, and how often it became one since it went to its table.
    bundle: Option<(u64, u32)>,
    /// They may be in another file, which this one has the place of.
    pub(super) elsewhere: bool,
}

impl Unfolded {
    /// What was told may not be there: the next note tells all names again.
    pub(super) fn forget_names(&mut self) {
        self.numbers = Numbers::default();
        self.aside.append(&mut self.sums);
    }

    /// All that was used.
    fn uses(&self) -> impl Iterator<Item = &UsageRecord> {
        self.sums.iter().chain(&self.aside)
    }

    /// A note was written: what its keys used is added up.
    fn add(&mut self, number: u64, usage: &[UsageRecord]) {
        self.notes = Some((self.notes.map_or(number, |notes| notes.0), number));
        self.elsewhere = false;
        self.sum_up(usage);
    }

    /// The number of the next note at least.
    fn next(&self) -> u64 {
        let last = self.notes.map(|notes| notes.1).max(self.bundle.map(|bundle| bundle.0));
        last.map_or(0, |last| last + 1)
    }

    /// Somebody took this process for dead: its notes are no more, and what they said was used is in its table.
    pub(super) fn is_buried(&self, to: &Transaction<'_>, holder: &HolderId) -> Result<bool, Failure> {
        let last = self.notes.map(|notes| notes.1).or(self.bundle.map(|bundle| bundle.0));
        let Some(last) = last.filter(|_| !self.elsewhere) else { return Ok(false) };
        let there = "SELECT EXISTS (SELECT 1 FROM board_notes WHERE holder = ?1 AND number = ?2)";
        let there: bool = to.prepare_cached(there)?.query_row((holder.as_str(), number(last)), |row| row.get(0))?;
        Ok(!there)
    }

    /// What the last row that was packed says was used.
    fn sum_up(&mut self, usage: &[UsageRecord]) {
        self.numbers.rows += 1;
        for (record, place) in usage.iter().zip(&self.numbers.last_used) {
            match self.sums.get_mut(*place as usize) {
                Some(sum) => sum.add(record),
                // Numbers are given in order.
                None => self.sums.push(record.clone()),
            }
        }
    }
}

pub(super) fn write(
    desk: &mut Desk,
    unfolded: &mut Unfolded,
    holder: &HolderId,
    batch: &Batch,
    now: i64,
) -> Result<(), Failure> {
    let written = try_write(desk, unfolded, holder, batch, now);
    if written.is_err() {
        unfolded.forget_names();
    }
    written
}

fn try_write(
    desk: &mut Desk,
    unfolded: &mut Unfolded,
    holder: &HolderId,
    batch: &Batch,
    now: i64,
) -> Result<(), Failure> {
    desk.last_through_power_cuts(batch.is_lasting())?;
    let to = migrate::turn(&mut desk.connection)?;
    write::but_counts(&to, batch)?;
    if unfolded.is_buried(&to, holder)? {
        *unfolded = Unfolded::default();
    }
    let (number_of, units) = batch.notes.as_ref().map_or((0, &[][..]), |notes| (notes.number, &notes.units[..]));
    let ends = batch.run == Some(Run::Ended);
    if units.is_empty() && batch.usage.is_empty() && !ends {
        return Ok(to.commit()?);
    }
    // A batch that only says what was used has no number of its own.
    let number_of = number_of.max(unfolded.next());
    if ends {
        // Whoever comes next need not put it into its table.
        add(&to, unfolded.uses().chain(&batch.usage))?;
        let nothing = noted::pack_usage(&Batch::default(), &mut Numbers::default())?;
        to.execute("UPDATE board_notes SET usage = ?2 WHERE holder = ?1", (holder.as_str(), nothing))?;
        put(&to, holder, (number_of, now), units, &Batch::default(), &mut Numbers::default())?;
        to.commit()?;
        let first = unfolded.notes.map_or(number_of, |notes| notes.0);
        *unfolded = Unfolded { notes: Some((first, number_of)), bundle: unfolded.bundle, ..Unfolded::default() };
        return Ok(());
    }
    put(&to, holder, (number_of, now), units, batch, &mut unfolded.numbers)?;
    to.commit()?;
    unfolded.add(number_of, &batch.usage);
    Ok(())
}

/// Use that is in no table yet.
pub(in crate::store::sqlite) fn unfolded(connection: &Connection) -> Result<Vec<UsageRecord>, Failure> {
    let mut rows = connection.prepare_cached("SELECT usage, holder FROM board_notes ORDER BY holder, number")?;
    let mut rows = rows.query([])?;
    let mut usage: Vec<UsageRecord> = Vec::new();
    let mut names = HashMap::<String, Names>::new();
    while let Some(row) = rows.next()? {
        let names = names.entry(row.get(1)?).or_default();
        // What a later version says in another way is left out.
        usage.extend(noted::unpack_usage(bytes(row, 0)?, names).unwrap_or_default());
    }
    Ok(usage)
}

/// What a holder noted, oldest first: numbers, times, units.
pub(super) fn of(to: &Transaction<'_>, holder: &HolderId) -> Result<Vec<(u64, i64, Vec<Noted>)>, Failure> {
    let mut rows = to.prepare_cached("SELECT number, at, units FROM board_notes WHERE holder = ?1 ORDER BY number")?;
    let mut rows = rows.query([holder.as_str()])?;
    let (mut notes, mut names) = (Vec::new(), Names::default());
    while let Some(row) = rows.next()? {
        let units = match noted::unpack_units(bytes(row, 2)?, &mut names) {
            Ok(units) => units,
            Err(failure) => unreadable(to, holder, &failure)?,
        };
        notes.push((u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0), row.get(1)?, units));
    }
    Ok(notes)
}

/// More than any limit.
const ALL: u64 = 1_000_000_000_000;

/// A note that another version wrote in another way: its holder may have started anything in all that it holds.
fn unreadable(to: &Transaction<'_>, holder: &HolderId, failure: &Failure) -> Result<Vec<Noted>, Failure> {
    tracing::warn!(
        name: "keypool.record_skipped",
        %holder,
        ?failure,
        "a note of a process is of another version: all that it held counts as used"
    );
    let mut held = to.prepare_cached(
        "SELECT unit, json_extract(record, '$.fence') FROM board_units WHERE json_extract(record, '$.holder') = ?1",
    )?;
    let ahead = Spent { requests: ALL, input_tokens: ALL, output_tokens: ALL, images: ALL };
    let noted = |row: &Row<'_>| {
        let (unit, fence) = (row.get::<_, String>(0)?, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0));
        let started = Some(Started { spent: Spent::default(), dates: (0, 0) });
        Ok(Noted { unit: unit.as_str().into(), fence, counts: Vec::new(), started, ahead })
    };
    Ok(held.query_map([holder.as_str()], noted)?.collect::<Result<_, _>>()?)
}

/// Notes up to this number are older than what the holder says now, and are no more: what was used goes to its table, or into
/// one note. What is in notes alone from then on, where anything changed.
pub(super) fn fold(
    to: &Transaction<'_>,
    unfolded: &Unfolded,
    holder: &HolderId,
    upto: u64,
) -> Result<Option<Unfolded>, Failure> {
    let Some((first, last)) = unfolded.notes.filter(|notes| notes.0 <= upto) else { return Ok(None) };
    let newer = if last > upto { of(to, holder)? } else { Vec::new() };
    to.prepare_cached("DELETE FROM board_notes WHERE holder = ?1 AND number <= ?2")?
        .execute((holder.as_str(), number(upto)))?;
    let mut left = Unfolded::default();
    // Before all that is noted from here on.
    let (at, times) = unfolded.bundle.unwrap_or((first.saturating_sub(1), 0));
    if times + 1 < BUNDLES && unfolded.uses().next().is_some() {
        let batch = Batch { usage: unfolded.uses().cloned().collect(), ..Batch::default() };
        put(to, holder, (at, 0), &[], &batch, &mut left.numbers)?;
        left.sum_up(&batch.usage);
        left.bundle = Some((at, times + 1));
    } else {
        add(to, unfolded.uses())?;
    }
    // One, as a rule: it goes by names of those that go, and what it says was used is counted by now.
    for (kept, at, units) in newer.into_iter().filter(|note| note.0 > upto) {
        put(to, holder, (kept, at), &units, &Batch::default(), &mut left.numbers)?;
        left.add(kept, &[]);
    }
    Ok(Some(left))
}

/// Writes a note: its number and time, what it says.
fn put(
    to: &Transaction<'_>,
    holder: &HolderId,
    (number_of, at): (u64, i64),
    units: &[Noted],
    batch: &Batch,
    numbers: &mut Numbers,
) -> Result<(), Failure> {
    to.prepare_cached("INSERT OR REPLACE INTO board_notes VALUES (?1, ?2, ?3, ?4, ?5)")?.execute((
        holder.as_str(),
        number(number_of),
        at,
        noted::pack_units(units, numbers)?,
        noted::pack_usage(batch, numbers)?,
    ))?;
    Ok(())
}

/// A holder is dead: what its keys used is known from its notes alone.
pub(super) fn bury(to: &Transaction<'_>, holder: &HolderId) -> Result<(), Failure> {
    let mut usage = Vec::new();
    {
        let mut rows = to.prepare_cached("SELECT usage FROM board_notes WHERE holder = ?1 ORDER BY number")?;
        let mut rows = rows.query([holder.as_str()])?;
        let mut names = Names::default();
        while let Some(row) = rows.next()? {
            match noted::unpack_usage(bytes(row, 0)?, &mut names) {
                Ok(used) => usage.extend(used),
                // It is not to stop those who live.
                Err(failure) => tracing::warn!(
                    name: "keypool.record_skipped",
                    %holder,
                    ?failure,
                    "what a process noted of its keys' use cannot be read and is left out"
                ),
            }
        }
    }
    add(to, usage.iter())?;
    to.prepare_cached("DELETE FROM board_notes WHERE holder = ?1")?.execute([holder.as_str()])?;
    Ok(())
}

fn bytes<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a [u8], Failure> {
    Ok(row.get_ref(column)?.as_blob().map_err(rusqlite::Error::from)?)
}

/// Adds what was used.
fn add<'a>(to: &Transaction<'_>, usage: impl Iterator<Item = &'a UsageRecord>) -> Result<(), Failure> {
    // By where names stand in memory: one that stands in two places is only added twice.
    let mut sums = hashbrown::HashMap::<[*const u8; 3], UsageRecord>::new();
    for record in usage {
        let names = [&record.day, &record.key, &record.lane].map(|name| name.as_ptr());
        sums.entry(names).and_modify(|sum| sum.add(record)).or_insert_with(|| record.clone());
    }
    let mut sums: Vec<UsageRecord> = sums.into_values().collect();
    // As the table has them.
    sums.sort_unstable_by(|one, other| (&one.day, &one.key, &one.lane).cmp(&(&other.day, &other.key, &other.lane)));
    sums.iter().try_for_each(|record| write::usage(to, record))
}
