//! The schema, by steps. A file says which one it stands at; each step is one numbered file of SQL.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{care, failure::Failure, file};
use crate::store::StoreError;

/// Every step, in order.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_keys_and_use.sql"),
    include_str!("migrations/0002_windows_and_rests.sql"),
    include_str!("migrations/0003_key_settings.sql"),
    include_str!("migrations/0004_packed_journal.sql"),
    include_str!("migrations/0005_sharing.sql"),
    include_str!("migrations/0006_packed_notes.sql"),
    include_str!("migrations/0007_ledger.sql"),
    include_str!("migrations/0008_facts_by_row.sql"),
];

/// At which step a file stands.
///
/// # Errors
/// When that is one that this version does not know.
pub(super) fn known(connection: &Connection, path: &Path, steps: &[&str]) -> Result<usize, Failure> {
    let stands_at = version(connection)?;
    if stands_at <= steps.len() {
        return Ok(stands_at);
    }
    let what = format!(
        "the database {} is of a newer version (schema {stands_at}, this one knows {}): use that version, or another file",
        path.display(),
        steps.len()
    );
    Err(StoreError::new(what).into())
}

/// Whether nobody has ever written anything to the file.
pub(super) fn is_fresh(connection: &Connection) -> Result<bool, Failure> {
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
    Ok(pages == 0)
}

/// Brings a file forward to the last of these steps: all of them or none. It is copied beside itself first.
pub(super) fn migrate(connection: &mut Connection, path: &Path, steps: &[&str]) -> Result<(), Failure> {
    let stands_at = known(connection, path, steps)?;
    if stands_at == steps.len() {
        return Ok(());
    }
    if stands_at > 0 {
        let copy = file::dated(path, &format!("schema-{stands_at}"));
        match care::copy(connection, &copy) {
            // Another process was faster.
            Err(_) if version(connection)? == steps.len() => return Ok(()),
            copied => copied?,
        }
        tracing::info!(name: "keypool.database_migrated", "the database {} gets a new schema; as it was it lies in {}", path.display(), copy.display());
    }
    let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // The same.
    let stands_at = version(&step)?;
    for sql in steps.iter().skip(stands_at) {
        step.execute_batch(sql)?;
    }
    if stands_at < steps.len() {
        step.pragma_update(None, "user_version", steps.len() as u32)?;
    }
    step.commit()?;
    Ok(())
}

fn version(connection: &Connection) -> Result<usize, Failure> {
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(version as usize)
}
