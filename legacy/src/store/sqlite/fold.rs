//! Counts go to a journal first, one row a batch: an owner that is used all the time then costs its own rows once in
//! many batches. A crash finds the journal as it was written.

use std::collections::HashMap;

use rusqlite::{Connection, Transaction, params};

use super::{
    failure::Failure,
    migrate,
    numbers::Numbers,
    pending::Pending,
    row::{self, Names, Told},
};
use crate::store::Batch;

/// A journal of so many rows is folded into the tables: half a minute of steady work.
const ROWS: usize = 200;
/// Or of so many bytes.
const BYTES: usize = 8 << 20;

/// Writes a batch's counts to the journal. When that fails the numbers are void.
pub(super) fn note(batch: &Batch, writer: i64, numbers: &mut Numbers, to: &Transaction<'_>) -> Result<(), Failure> {
    let counts = [batch.units.len(), batch.units_gone.len(), batch.started.len(), batch.usage.len()];
    if counts == [0; 4] {
        return Ok(());
    }
    let row = row::pack(batch, numbers)?;
    to.prepare_cached("INSERT INTO journal (writer, counts) VALUES (?1, ?2)")?.execute(params![writer, row])?;
    numbers.rows += 1;
    numbers.bytes += row.len();
    Ok(())
}

/// Whether it is time for the tables.
pub(super) fn is_due(numbers: &Numbers, batch: &Batch) -> bool {
    numbers.rows >= ROWS || numbers.bytes >= BYTES || batch.run.is_some()
}

/// All that stands in the journal, or all that one of its writers wrote, goes where it belongs.
pub(super) fn fold_journal(connection: &mut Connection, writer: Option<i64>) -> Result<(), Failure> {
    // From the first look on nobody else writes: each row is folded once, whoever does it.
    let to = migrate::turn(connection)?;
    fold(&to, writer)?;
    to.commit()?;
    Ok(())
}

/// The same within a transaction.
pub(super) fn fold(to: &Transaction<'_>, writer: Option<i64>) -> Result<(), Failure> {
    let mut pending = Pending::default();
    rows(to, writer, |writer, told| pending.take(writer, told))?;
    pending.fold(to)?;
    to.execute("DELETE FROM journal WHERE ?1 IS NULL OR writer = ?1", [writer])?;
    Ok(())
}

/// The journal's batches, oldest first. One that this version cannot read is left out.
pub(super) fn journal(connection: &Connection) -> Result<Vec<Batch>, Failure> {
    let mut batches = Vec::new();
    rows(connection, None, |_, told| batches.push(told.batch))?;
    Ok(batches)
}

fn rows(connection: &Connection, of: Option<i64>, mut take: impl FnMut(i64, Told)) -> Result<(), Failure> {
    let mut statement =
        connection.prepare("SELECT writer, counts FROM journal WHERE ?1 IS NULL OR writer = ?1 ORDER BY number")?;
    let mut rows = statement.query([of])?;
    let mut names = HashMap::<i64, Names>::new();
    while let Some(row) = rows.next()? {
        let writer = row.get(0)?;
        let names = names.entry(writer).or_default();
        if let Some(told) = row.get_ref(1)?.as_bytes().ok().and_then(|row| row::unpack(row, names)) {
            take(writer, told);
        } else {
            tracing::warn!(name: "keypool.record_skipped", "counts in the database that this version cannot read are left out");
        }
    }
    Ok(())
}
