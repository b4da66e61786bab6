//! What can go wrong with a database.

use std::{fmt, path::Path};

use rusqlite::{ErrorCode, ffi};

use crate::store::StoreError;

/// `SQLITE_IOERR_SHORT_READ`.
const SHORT_READ: i32 = 522;

#[derive(Debug)]
pub(super) enum Failure {
    /// The file is no database, or its pages contradict each other.
    Broken(rusqlite::Error),
    /// Anything else that SQLite says.
    Sqlite(rusqlite::Error),
    /// A sentence of ours, with the file's name in it.
    Said(StoreError),
}

impl Failure {
    /// The file is damaged in a way that SQLite does not notice.
    pub(super) fn broken(what: String) -> Self {
        Self::Broken(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), Some(what)))
    }

    /// A record of this table cannot be read: what is no JSON at all nobody wrote, what is may be another version's.
    pub(super) fn unreadable(table: &str, error: &serde_json::Error) -> Self {
        if error.is_data() {
            return Self::Said(StoreError::new(format!(
                "a record of the table {table} cannot be read ({error}): another version wrote it, or somebody changed it \
                 (`keypool db check` names others like it)"
            )));
        }
        Self::broken(format!("a record of the table {table} cannot be read: {error}"))
    }

    /// Whether it was another connection's turn.
    pub(super) fn is_busy(&self) -> bool {
        matches!(self, Self::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy))
    }

    /// Whether there may have been no room for it.
    pub(super) fn is_for_room(&self) -> bool {
        use ErrorCode::{DiskFull, SystemIoFailure};
        matches!(self, Self::Sqlite(error) if matches!(error.sqlite_error_code(), Some(DiskFull | SystemIoFailure)))
    }

    /// As whoever called is told.
    pub(super) fn of(self, path: &Path) -> StoreError {
        match self {
            Self::Broken(error) => {
                StoreError::broken(format!("the database {} is broken", path.display()), words(&error))
            }
            Self::Sqlite(error) => {
                let what = format!("the database {}", path.display());
                // To SQLite a folder is a device that fails.
                if passes(&error) && !path.is_dir() {
                    StoreError::passing(what, words(&error))
                } else if error.sqlite_error_code() == Some(ErrorCode::ReadOnly) {
                    StoreError::denied(what, words(&error))
                } else {
                    StoreError::because(what, words(&error))
                }
            }
            Self::Said(error) => error,
        }
    }
}

/// Whether it may be otherwise a little later: there is no room, it is another's turn, the device fails.
fn passes(error: &rusqlite::Error) -> bool {
    use ErrorCode::{DatabaseBusy, DatabaseLocked, DiskFull, OutOfMemory, SystemIoFailure};
    let code = error.sqlite_error_code();
    matches!(code, Some(DiskFull | DatabaseBusy | DatabaseLocked | SystemIoFailure | OutOfMemory))
}

/// What SQLite says, which numbers it only where it has no words of its own, and again for whoever asks what is behind that.
fn words(error: &rusqlite::Error) -> String {
    if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) {
        return "it is locked: another program keeps it to itself (a SQLite shell in a transaction, a copy that is being made); \
                end that, or wait for it"
            .to_owned();
    }
    let said = error.to_string();
    match said.strip_prefix("Error code ").and_then(|numbered| numbered.split_once(": ")) {
        Some((_, words)) => words.to_owned(),
        None => said,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(error) | Self::Sqlite(error) => error.fmt(f),
            Self::Said(error) => error.fmt(f),
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Broken(error),
            // Cut off, or another database was written over it.
            _ if error.sqlite_error().is_some_and(|error| error.extended_code == SHORT_READ) => Self::Broken(error),
            Some(ErrorCode::Unknown) if error.to_string().contains("no such table") => Self::Broken(error),
            _ => Self::Sqlite(error),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Said(error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Said(StoreError::because("a record cannot be written", error))
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn who_finds_it_locked_is_told_what_to_do() {
        let busy =
            rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), Some("database is locked".to_owned()));
        let error = Failure::from(busy).of(Path::new("keypool.db"));
        assert!(error.is_passing() && error.to_string().contains("another program"), "{error}");
    }

    #[test]
    fn nobody_is_told_of_numbers() {
        let file = Path::new("keypool.db");
        for words in [None, Some("database disk image is malformed".to_owned())] {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CORRUPT), words);
            let error = Failure::from(error).of(file);
            assert!(error.is_broken() && error.source().is_none(), "{error:?}");
            assert!(error.to_string().contains("malformed") && !error.to_string().contains("rror code"), "{error}");
        }
    }
}
