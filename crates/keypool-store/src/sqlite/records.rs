//! Breakers, learned limits and learned projects: the last record of each target.

use rusqlite::{Connection, OptionalExtension};
use tower_keypool::{
    KeyId,
    store::{BreakerTarget, Record},
};

use super::{error::SqliteError, time::Time, windows::LONGEST_MS};
use crate::window::RECORD_KEPT_MS;

/// Number of days for which usage is kept.
const USAGE_DAYS: i64 = 400;

/// Stores a record in place of the last one of the same target.
pub(super) fn put(connection: &Connection, writer: i64, record: &Record, wall_ms: i64) -> Result<(), SqliteError> {
    let (target, expires_ms) = match record {
        Record::Open { target, until_ms, .. } => (serde_json::to_string(target)?, *until_ms),
        Record::Closed { target } => (serde_json::to_string(target)?, Some(wall_ms + RECORD_KEPT_MS)),
        Record::Limit { project, model, limit, learned_ms } => (
            serde_json::to_string(&("limit", project, model, limit.unit, limit.span))?,
            Some(learned_ms + RECORD_KEPT_MS),
        ),
        Record::Project { key, .. } => (project_target(key)?, None),
        // The other kinds are only returned by `load`.
        _ => return Ok(()),
    };
    connection
        .prepare_cached("INSERT OR REPLACE INTO records (target, writer, expires_ms, record) VALUES (?, ?, ?, ?)")?
        .execute((target, writer, expires_ms, serde_json::to_string(record)?))?;
    Ok(())
}

/// Deletes the records of a key.
pub(super) fn forget(connection: &Connection, key: &KeyId) -> Result<(), SqliteError> {
    let whole = serde_json::to_string(&BreakerTarget::Key(key.clone()))?;
    let forget = "DELETE FROM records WHERE target IN (?, ?) OR target ->> '$.key_model[0]' = ?";
    connection.execute(forget, (whole, project_target(key)?, key.as_str()))?;
    Ok(())
}

fn project_target(key: &KeyId) -> Result<String, SqliteError> {
    Ok(serde_json::to_string(&("project", key))?)
}

/// Returns the latest revision, and the records after `since` that other writers wrote.
pub(super) fn since(connection: &Connection, since: u64, writer: i64) -> Result<(u64, Vec<Record>), SqliteError> {
    let revision: Option<i64> = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'records'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let revision = revision.unwrap_or(0) as u64;
    let mut records = Vec::new();
    if revision > since {
        let read = "SELECT record FROM records WHERE revision > ? AND writer <> ? ORDER BY revision";
        let mut read = connection.prepare_cached(read)?;
        let mut rows = read.query((since as i64, writer))?;
        while let Some(row) = rows.next()? {
            match serde_json::from_str(row.get_ref(0)?.as_str().unwrap_or_default()) {
                Ok(record) => records.push(record),
                // A newer version of the program wrote it.
                Err(error) if error.is_data() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok((revision, records))
}

/// Deletes expired records and resources, usage of more than 400 days ago, and windows that count nothing any more.
pub(super) fn prune(connection: &Connection, time: &Time) -> Result<(), SqliteError> {
    let (now_ms, wall_ms) = (time.now_ms(), time.wall_ms());
    connection.execute("DELETE FROM records WHERE expires_ms <= ?", [wall_ms])?;
    connection.execute("DELETE FROM resources WHERE expires_ms <= ?", [wall_ms])?;
    connection.execute("DELETE FROM usage WHERE date < ?", [wall_ms / 86_400_000 - USAGE_DAYS])?;
    let clear = "UPDATE quotas SET windows = '[]', last_ms = 0 WHERE last_ms BETWEEN 1 AND ?";
    connection.execute(clear, [now_ms - LONGEST_MS])?;
    Ok(())
}
