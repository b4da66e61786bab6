//! Counts go to a journal first, one row a batch: an owner that is used all the time then costs its own rows once in
//! many batches. A crash finds the journal as it was written.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use rusqlite::{Connection, Transaction};
use serde::Serialize;

use super::{failure::Failure, write};
use crate::store::{Batch, UnitRecord, UsageRecord};

/// After so many batches they are folded into the tables: 5 s.
const BATCHES: usize = 50;
/// Or after so many records: some megabytes.
const RECORDS: usize = 20_000;

/// What the journal holds, at hand.
#[derive(Default)]
pub(super) struct Pending {
    batches: Vec<Arc<Batch>>,
    records: usize,
}

/// The part of a batch that goes to the journal.
#[derive(Serialize)]
struct Counts<'a> {
    units: &'a [UnitRecord],
    units_gone: &'a [(String, String)],
    usage: &'a [UsageRecord],
}

fn has_counts(batch: &Batch) -> bool {
    !(batch.units.is_empty() && batch.units_gone.is_empty() && batch.usage.is_empty())
}

impl Pending {
    /// Whether this batch is to be folded with all that went before.
    pub(super) fn is_due(&self, batch: &Batch) -> bool {
        self.batches.len() + 1 >= BATCHES || self.records >= RECORDS || batch.run.is_some()
    }

    pub(super) fn push(&mut self, batch: &Arc<Batch>) {
        if has_counts(batch) {
            self.records += batch.units.len() + batch.usage.len();
            self.batches.push(Arc::clone(batch));
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Puts all of it, and this batch, where they belong.
    pub(super) fn fold(&self, last: &Arc<Batch>, to: &Transaction<'_>) -> Result<(), Failure> {
        fold(self.batches.iter().chain([last]).map(|batch| &**batch), to)
    }
}

/// Writes a batch's counts to the journal.
pub(super) fn note(batch: &Batch, to: &Transaction<'_>) -> Result<(), Failure> {
    if has_counts(batch) {
        let counts = Counts { units: &batch.units, units_gone: &batch.units_gone, usage: &batch.usage };
        to.prepare_cached("INSERT INTO journal (counts) VALUES (?1)")?.execute([serde_json::to_string(&counts)?])?;
    }
    Ok(())
}

/// What an earlier process left in the journal goes where it belongs.
pub(super) fn fold_journal(connection: &mut Connection) -> Result<(), Failure> {
    let batches = journal(connection)?;
    if batches.is_empty() {
        return Ok(());
    }
    let to = connection.transaction()?;
    fold(batches.iter(), &to)?;
    to.commit()?;
    Ok(())
}

/// The journal's batches, oldest first. One that this version cannot read is left out.
pub(super) fn journal(connection: &Connection) -> Result<Vec<Batch>, Failure> {
    let mut statement = connection.prepare("SELECT counts FROM journal ORDER BY number")?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    let read = |row: &String| {
        serde_json::from_str(row)
            .inspect_err(
                |error| tracing::warn!(%error, "counts in the database that this version cannot read are left out"),
            )
            .ok()
    };
    Ok(rows.iter().filter_map(read).collect())
}

/// Of each owner the last word, of all use the sum.
fn fold<'a>(batches: impl DoubleEndedIterator<Item = &'a Batch> + Clone, to: &Transaction<'_>) -> Result<(), Failure> {
    let mut said = HashSet::new();
    for batch in batches.clone().rev() {
        for record in batch.units.iter().rev() {
            if said.insert((&*record.owner, &*record.lane)) {
                write::unit(to, record)?;
            }
        }
        for (owner, lane) in &batch.units_gone {
            if said.insert((owner, lane)) {
                write::unit_gone(to, owner, lane)?;
            }
        }
    }
    let mut sums = BTreeMap::<(&str, &str, &str), UsageRecord>::new();
    for record in batches.flat_map(|batch| &batch.usage) {
        match sums.get_mut(&(&*record.day, &*record.key, &*record.lane)) {
            Some(sum) => sum.add(record),
            None => drop(sums.insert((&record.day, &record.key, &record.lane), record.clone())),
        }
    }
    for record in sums.values() {
        write::usage(to, record)?;
    }
    to.execute("DELETE FROM journal", [])?;
    Ok(())
}
