//! A file that does not know all that was used before it: begun in the place of a broken one, or a copy that is put back.
//! It says so itself, in a table that no other file has, until a process works on it.

use std::path::Path;

use rusqlite::{Connection, Transaction};

use super::{
    failure::Failure,
    file::{self, LOST},
};

/// Says it in the file.
pub(super) fn mark(connection: &Connection) -> Result<(), Failure> {
    Ok(connection.execute_batch("CREATE TABLE IF NOT EXISTS gap (one INTEGER PRIMARY KEY) STRICT")?)
}

/// The same in a copy that nobody has open. Where no pool ever worked on the file nothing was used by then: keys that somebody
/// added, and the file with them, are only getting ready to serve.
pub(super) fn mark_copy(copy: &Path) -> Result<(), Failure> {
    let copy = Connection::open(file::by_name(copy))?;
    if was_served(&copy)? { mark(&copy) } else { Ok(()) }
}

/// Whether a pool worked on the file, of whichever version it is.
fn was_served(connection: &Connection) -> Result<bool, Failure> {
    const TOLD: [(&str, &str); 5] = [
        ("board", "SELECT EXISTS (SELECT 1 FROM board)"),
        ("run", "SELECT EXISTS (SELECT 1 FROM run WHERE epoch > 0)"),
        ("windows", "SELECT EXISTS (SELECT 1 FROM windows)"),
        ("key_usage", "SELECT EXISTS (SELECT 1 FROM key_usage)"),
        ("journal", "SELECT EXISTS (SELECT 1 FROM journal)"),
    ];
    for (table, any) in TOLD {
        if has_table(connection, table)? && connection.query_row(any, [], |row| row.get(0))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has_table(connection: &Connection, name: &str) -> Result<bool, Failure> {
    let table = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1)";
    Ok(connection.query_row(table, [name], |row| row.get(0))?)
}

/// Says it in a file that takes the place of one that was set aside, however long ago that was.
pub(super) fn mark_successor(connection: &Connection, path: &Path) -> Result<(), Failure> {
    let word = file::beside(path, LOST);
    if word.exists() {
        mark(connection)?;
        // Should it stay, it is said once more.
        let _ = std::fs::remove_file(word);
    }
    Ok(())
}

/// Whether the file says it; from now on it does not any more.
pub(super) fn take(to: &Transaction<'_>) -> Result<bool, Failure> {
    let marked = is_marked(to)?;
    if marked {
        to.execute_batch("DROP TABLE gap")?;
    }
    Ok(marked)
}

/// Whether the file says it.
pub(super) fn is_marked(connection: &Connection) -> Result<bool, Failure> {
    has_table(connection, "gap")
}
