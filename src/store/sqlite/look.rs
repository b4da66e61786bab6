//! A file is opened to be read: nothing is made, brought forward or set aside.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags, backup::Backup};

use super::{
    BUSY, Sqlite, care,
    failure::Failure,
    file,
    migrate::{self, MIGRATIONS},
    shape, whose,
};
use crate::store::StoreError;

impl Sqlite {
    /// Opens a file that is there, to be read. It stays as it is: what an earlier version wrote is read from a copy in
    /// memory, and of a file on a disk that takes no writes all that lies in the file itself. What is written to what is
    /// returned may go nowhere.
    ///
    /// # Errors
    /// [`StoreError::is_broken`]: it is damaged. Or it is not there, cannot be read, is another program's or no database, or a
    /// newer version wrote it.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        whose::look(path)?;
        let looked = look(path).or_else(|failure| match failure {
            // Another process may just be mending it.
            Failure::Broken(_) if file::beside(path, ".mend").exists() => {
                let _turn = file::mending(path)?;
                look(path)
            }
            failure => Err(failure),
        });
        Self::start(path, looked.map_err(|failure| failure.of(path))?, None)
    }
}

fn look(path: &Path) -> Result<Connection, Failure> {
    if whose::is_empty(path) {
        // Somebody is about to make it, or emptied it.
        return forward(Connection::open_in_memory()?, path);
    }
    if whose::has_strange_journal(path) {
        return whole(whose::alone(path)?, path);
    }
    let opened = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(Failure::from);
    match opened.and_then(|connection| whole(connection, path)) {
        // What lies beside a journal cannot be made there.
        Err(Failure::Sqlite(error))
            if matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly)) =>
        {
            whole(whose::untouched(path)?, path)
        }
        looked => looked,
    }
}

fn whole(connection: Connection, path: &Path) -> Result<Connection, Failure> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    care::glance(&connection, path)?;
    whose::check(&connection, path)?;
    if migrate::known(&connection, path, MIGRATIONS)? < MIGRATIONS.len() {
        let mut copy = Connection::open_in_memory()?;
        // All of it in one step, as soon as nobody writes.
        Backup::new(&connection, &mut copy)?.run_to_completion(i32::MAX, BUSY / 500, None)?;
        return forward(copy, path);
    }
    shape::check(&connection)?;
    Ok(connection)
}

/// Brings a copy in memory forward.
fn forward(copy: Connection, path: &Path) -> Result<Connection, Failure> {
    let stands_at = migrate::known(&copy, path, MIGRATIONS)?;
    for step in MIGRATIONS.iter().skip(stands_at) {
        copy.execute_batch(step)?;
    }
    copy.pragma_update(None, "user_version", MIGRATIONS.len() as u32)?;
    Ok(copy)
}
