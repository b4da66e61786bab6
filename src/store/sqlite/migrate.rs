//! The schema, by steps. A file says which one it stands at; each step is one numbered file of SQL.

use std::path::Path;

use rusqlite::Connection;

use super::{care, failure::Failure, file};
use crate::store::StoreError;

/// Every step, in order.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_keys_and_use.sql"),
    include_str!("migrations/0002_windows_and_rests.sql"),
    include_str!("migrations/0004_sharing.sql"),
];

/// Brings a file forward to the last of these steps: all of them or none. It is copied beside itself first.
pub(super) fn migrate(connection: &mut Connection, path: &Path, steps: &[&str]) -> Result<(), Failure> {
    let stands_at: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let stands_at = stands_at as usize;
    if stands_at > steps.len() {
        let what = format!(
            "the database {} is of a newer version (schema {stands_at}, this one knows {}): use that version, or \
             another file",
            path.display(),
            steps.len()
        );
        return Err(StoreError::new(what).into());
    }
    if stands_at == steps.len() {
        return Ok(());
    }
    if stands_at > 0 {
        let copy = file::dated(path, &format!("schema-{stands_at}"));
        care::copy(connection, &copy)?;
        tracing::info!("the database {} gets a new schema; as it was it lies in {}", path.display(), copy.display());
    }
    let step = connection.transaction()?;
    for sql in &steps[stands_at..] {
        step.execute_batch(sql)?;
    }
    step.pragma_update(None, "user_version", steps.len() as u32)?;
    step.commit()?;
    Ok(())
}
