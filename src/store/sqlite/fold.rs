//! Counts go to a journal first, one row a batch: an owner that is used all the time then costs its own rows once in
//! many batches. A crash finds the journal as it was written.

use std::collections::HashMap;

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::{
    failure::Failure,
    pending::Pending,
    row::{self, Names},
};
use crate::store::Batch;

fn has_counts(batch: &Batch) -> bool {
    !(batch.units.is_empty() && batch.units_gone.is_empty() && batch.started.is_empty() && batch.usage.is_empty())
}

/// Writes a batch's counts to the journal.
pub(super) fn note(batch: &Batch, writer: i64, pending: &mut Pending, to: &Transaction<'_>) -> Result<(), Failure> {
    if has_counts(batch) {
        let row = row::pack(batch, pending)?;
        to.prepare_cached("INSERT INTO journal (writer, counts) VALUES (?1, ?2)")?.execute(params![writer, row])?;
        pending.written(row.len());
    }
    Ok(())
}

/// All that stands in the journal, or all that one of its writers wrote, goes where it belongs.
pub(super) fn fold_journal(connection: &mut Connection, writer: Option<i64>) -> Result<(), Failure> {
    // From the first look on nobody else writes.
    let to = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let batches = rows(&to, writer)?;
    if !batches.is_empty() {
        summed(&batches).fold(&to)?;
    }
    to.execute("DELETE FROM journal WHERE ?1 IS NULL OR writer = ?1", [writer])?;
    to.commit()?;
    Ok(())
}

/// What the journal's batches come to.
fn summed(batches: &[Batch]) -> Pending {
    let mut pending = Pending::default();
    batches.iter().for_each(|batch| pending.take(batch));
    pending
}

/// The journal's batches, oldest first. One that this version cannot read is left out.
pub(super) fn journal(connection: &Connection) -> Result<Vec<Batch>, Failure> {
    rows(connection, None)
}

fn rows(connection: &Connection, of: Option<i64>) -> Result<Vec<Batch>, Failure> {
    let mut statement =
        connection.prepare("SELECT writer, counts FROM journal WHERE ?1 IS NULL OR writer = ?1 ORDER BY number")?;
    let mut rows = statement.query([of])?;
    let (mut batches, mut names) = (Vec::new(), HashMap::<i64, Names>::new());
    while let Some(row) = rows.next()? {
        let names = names.entry(row.get(0)?).or_default();
        match row.get_ref(1)?.as_bytes().ok().and_then(|row| row::unpack(row, names)) {
            Some(batch) => batches.push(batch),
            None => tracing::warn!("counts in the database that this version cannot read are left out"),
        }
    }
    Ok(batches)
}
