//! Whether a file has all tables and columns of its schema: SQLite misses none before it is asked for it.

use std::{collections::HashSet, sync::OnceLock};

use rusqlite::Connection;

use super::{failure::Failure, migrate::MIGRATIONS};

const COLUMNS: &str = "SELECT entry.name, part.name FROM sqlite_schema AS entry, pragma_table_info(entry.name) AS part \
                       WHERE entry.type = 'table'";

/// A table and a column of it.
type Column = (String, String);

/// Refuses a file of this schema in which any is missing, as [broken](Failure::Broken).
pub(super) fn check(connection: &Connection) -> Result<(), Failure> {
    match missing(connection)?.into_iter().next() {
        None => Ok(()),
        Some(what) => Err(Failure::broken(what)),
    }
}

/// What is missing, in sentences.
pub(super) fn missing(connection: &Connection) -> Result<Vec<String>, Failure> {
    static WHOLE: OnceLock<Vec<Column>> = OnceLock::new();
    let whole = if let Some(whole) = WHOLE.get() {
        whole
    } else {
        let whole = whole()?;
        WHOLE.get_or_init(|| whole)
    };
    let there: HashSet<Column> = columns(connection)?.into_iter().collect();
    let tables: HashSet<&str> = there.iter().map(|(table, _)| &**table).collect();
    let mut missing = Vec::new();
    for (table, column) in whole.iter().filter(|column| !there.contains(column)) {
        let what = if tables.contains(&**table) {
            format!("the table {table} has no column {column}")
        } else {
            format!("the table {table} is missing")
        };
        if missing.last() != Some(&what) {
            missing.push(what);
        }
    }
    Ok(missing)
}

/// As this version makes a file.
fn whole() -> Result<Vec<Column>, Failure> {
    let fresh = Connection::open_in_memory()?;
    MIGRATIONS.iter().try_for_each(|step| fresh.execute_batch(step))?;
    columns(&fresh)
}

fn columns(connection: &Connection) -> Result<Vec<Column>, Failure> {
    let mut statement = connection.prepare(COLUMNS)?;
    let columns = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(columns.collect::<Result<_, _>>()?)
}
