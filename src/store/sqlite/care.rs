//! Copies, and looks at whether a file is whole.

use std::path::Path;

use rusqlite::Connection;

use super::{Sqlite, failure::Failure, file};
use crate::store::StoreError;

/// Larger files are not looked through whenever they are opened: so much takes some 20 ms.
const GLANCE: u64 = 16 << 20;

/// Whether a file is a database whose pages fit together, as far as that shows at once.
pub(super) fn glance(connection: &Connection, path: &Path) -> Result<(), Failure> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    if std::fs::metadata(path).is_ok_and(|file| file.len() > GLANCE) {
        return Ok(());
    }
    match problems(connection, "quick_check")?.into_iter().next() {
        None => Ok(()),
        Some(problem) => Err(Failure::Broken(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some(problem),
        ))),
    }
}

/// What SQLite finds wrong.
fn problems(connection: &Connection, check: &str) -> Result<Vec<String>, Failure> {
    let mut statement = connection.prepare(&format!("PRAGMA {check}(10)"))?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

/// A copy of all that is in it now, in a new file of its owner's alone.
pub(super) fn copy(connection: &Connection, to: &Path) -> Result<(), Failure> {
    let failed = |error| StoreError::because(format!("cannot make the copy {}", to.display()), error);
    let length = file::private(to).and_then(|file| file.metadata()).map_err(failed)?.len();
    if length > 0 {
        return Err(StoreError::new(format!("{} is there already: choose another name", to.display())).into());
    }
    let name = to.to_str().ok_or_else(|| StoreError::new("a copy's name must be UTF-8"))?;
    connection.execute("VACUUM INTO ?1", [name])?;
    Ok(())
}

impl Sqlite {
    /// Copies all that is in it now to a new file, while others may work on it.
    ///
    /// # Errors
    /// When that file is there already and not empty, or cannot be written.
    pub async fn backup(&self, to: impl AsRef<Path>) -> Result<(), StoreError> {
        let to = to.as_ref().to_owned();
        self.run(move |desk| copy(&desk.connection, &to)).await
    }

    /// Looks through all of it: what is wrong, at most ten sentences; none when it is whole.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub async fn check(&self) -> Result<Vec<String>, StoreError> {
        self.run(|desk| problems(&desk.connection, "integrity_check")).await
    }
}
