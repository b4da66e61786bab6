//! A connection to a file: how it is made, and what is set for it.

use std::{path::Path, thread};

use rusqlite::Connection;

use super::{
    BUSY, care, emptied,
    failure::Failure,
    file, gap,
    migrate::{self, Migrated},
    shape, whose,
};
use crate::time::Clock;

/// Pages of the file that are held, in KiB (negative: that is how SQLite tells it from a number of pages). What is noted
/// each time lies in few of them; all others are in the system's own cache.
const HELD_PAGES: i64 = -512;

/// So many pages are written beside the file before they go into it: most of them are the same few again and again, and a
/// process that starts is not to wait for the disk before its first lease.
const WAL_PAGES: i64 = 3_000;

/// A connection to a file that is as it should be. Of those who make one journal at once SQLite lets some not wait for their
/// turn, so that they come again.
pub(super) fn begin(path: &Path) -> Result<Connection, Failure> {
    begin_telling(path).map(|(connection, _)| connection)
}

/// The same, with what became of an earlier one.
pub(super) fn begin_telling(path: &Path) -> Result<(Connection, Option<Migrated>), Failure> {
    let clock = Clock::system();
    let first = clock.tick();
    loop {
        match begin_at_once(path) {
            Err(failure) if failure.is_busy() && clock.tick().since(first) < BUSY => thread::sleep(BUSY / 100),
            begun => return begun,
        }
    }
}

fn begin_at_once(path: &Path) -> Result<(Connection, Option<Migrated>), Failure> {
    let mut connection = Connection::open(file::by_name(path))?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    connection.pragma_update(None, "cache_size", HELD_PAGES)?;
    // What a transaction changes is held until it ends, and not written twice.
    connection.pragma_update(None, "cache_spill", "OFF")?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
    care::glance(&connection, path)?;
    whose::check(&connection, path)?;
    let fresh = migrate::is_fresh(&connection)?;
    if fresh {
        // There is nothing to lose yet, and each step would wait for the disk several times.
        connection.pragma_update(None, "synchronous", "OFF")?;
        // In the file itself: whoever looks for that only need not read the journal.
        whose::sign(&connection)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
    }
    let migrated = migrate::migrate(&mut connection, path, migrate::MIGRATIONS)?;
    if !fresh {
        shape::check(&connection)?;
    }
    whose::sign(&connection)?;
    gap::mark_successor(&connection, path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    if fresh {
        // Whatever is written from now on belongs to a file that is there. SQLite waits for the disk: it would lose its locks
        // with a handle of ours ([`presence::is_open_here`]).
        connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |_| Ok(()))?;
    }
    emptied::begun(path);
    Ok((connection, migrated))
}
