//! A file is opened to be read: nothing is made, brought forward or set aside.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags, backup::Backup};

use super::{
    BUSY, Found, Sqlite, care, emptied,
    failure::Failure,
    file,
    migrate::{self, MIGRATIONS},
    presence::is_open_here,
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
        let path = &*file::real(path.as_ref());
        whose::look(path)?;
        let looked = look(path).or_else(|failure| match failure {
            // Another process may just be mending it.
            Failure::Broken(_) if file::beside(path, file::MEND).exists() => {
                let _turn = file::mending(path)?;
                look(path)
            }
            failure => Err(failure),
        });
        Self::start(path, looked.map_err(|failure| failure.of(path))?, Found::default())
    }
}

fn look(path: &Path) -> Result<Connection, Failure> {
    emptied::check(path)?;
    if whose::is_empty(path) {
        // Somebody is about to make it.
        return forward(Connection::open_in_memory()?, path);
    }
    opened(path, |connection| whole(connection, path))
}

/// Opened and looked at: where what belongs beside it cannot be made, as far as it lies in the file itself.
pub(super) fn opened(
    path: &Path,
    look: impl Fn(Connection) -> Result<Connection, Failure>,
) -> Result<Connection, Failure> {
    if whose::has_strange_journal(path) {
        return look(whose::alone(path)?);
    }
    let takes_no_writes = |failure: &Failure| {
        let Failure::Sqlite(error) = failure else { return false };
        matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
    };
    let opened =
        Connection::open_with_flags(file::by_name(path), OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(Failure::from);
    match opened.and_then(&look) {
        Err(failure) if takes_no_writes(&failure) => {
            let opened = whose::untouched(path).map_err(Failure::from).and_then(look);
            opened.map_err(|failure| if takes_no_writes(&failure) { half(path) } else { failure })
        }
        looked => looked,
    }
}

/// What cannot be had of a file that is there.
fn half(path: &Path) -> Failure {
    let shown = path.display();
    if (!is_open_here(path) && std::fs::File::open(path).is_err()) || !whose::has_journal(path, "-wal") {
        let what = format!("the database {shown} cannot be read");
        return StoreError::denied(what, "it, or its folder, is closed to this user").into();
    }
    let what = "is not all in its file, and nothing can be written beside it, which reading the rest (-wal) takes: copy \
                both to a folder that takes writes, and look there";
    StoreError::new(format!("the database {shown} {what}")).into()
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
