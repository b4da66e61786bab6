//! Errors of a SQLite store.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use rusqlite::{ErrorCode, ffi};

/// An error of a [`SqliteStore`](super::SqliteStore). It never contains a secret.
///
/// The file is as it was before the failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteError {
    kind: SqliteErrorKind,
    path: PathBuf,
    detail: String,
}

/// The kind of a [`SqliteError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SqliteErrorKind {
    /// The file is not a database, or it is one of another program.
    NotADatabase,
    /// The database is damaged.
    Damaged,
    /// Another program kept the database locked for longer than the busy timeout.
    Locked,
    /// The file or its folder cannot be written.
    ReadOnly,
    /// A newer version of this program made the database.
    NewerVersion,
    /// The disk is full.
    DiskFull,
    /// The master key is missing, malformed, or not the one that encrypted the secrets.
    MasterKey,
    /// The arguments of the call are wrong.
    Invalid,
    /// Any other error of the file system or of SQLite.
    Io,
}

impl SqliteError {
    pub(super) fn invalid(what: impl Into<String>) -> Self {
        Self::new(SqliteErrorKind::Invalid, what)
    }

    pub(super) fn new(kind: SqliteErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, path: PathBuf::new(), detail: detail.into() }
    }

    /// Converts an error of the file system.
    pub(super) fn io(path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, StorageFull};
        let kind = match error.kind() {
            PermissionDenied | ReadOnlyFilesystem => SqliteErrorKind::ReadOnly,
            StorageFull => SqliteErrorKind::DiskFull,
            _ => SqliteErrorKind::Io,
        };
        Self { kind, path: path.to_owned(), detail: error.to_string() }
    }

    /// Adds a path, unless the error names a file already.
    pub(super) fn at(self, path: &Path) -> Self {
        if self.path.as_os_str().is_empty() { Self { path: path.to_owned(), ..self } } else { self }
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> SqliteErrorKind {
        self.kind
    }

    /// Returns the path of the file that the error concerns.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl From<rusqlite::Error> for SqliteError {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error().map(|error| error.extended_code);
        let kind = match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => SqliteErrorKind::NotADatabase,
            Some(ErrorCode::DatabaseCorrupt) => SqliteErrorKind::Damaged,
            // The file is shorter than its header says.
            _ if code == Some(ffi::SQLITE_IOERR_SHORT_READ) => SqliteErrorKind::Damaged,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => SqliteErrorKind::Locked,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                SqliteErrorKind::ReadOnly
            }
            Some(ErrorCode::DiskFull) => SqliteErrorKind::DiskFull,
            _ => SqliteErrorKind::Io,
        };
        Self::new(kind, error.to_string())
    }
}

/// The error of a row that this program cannot have written.
impl From<serde_json::Error> for SqliteError {
    fn from(error: serde_json::Error) -> Self {
        Self::new(SqliteErrorKind::Damaged, format!("a row cannot be read: {error}"))
    }
}

impl From<tower_keypool::Error> for SqliteError {
    fn from(error: tower_keypool::Error) -> Self {
        Self::new(SqliteErrorKind::Invalid, error.to_string())
    }
}

impl From<SqliteError> for tower_keypool::Error {
    fn from(error: SqliteError) -> Self {
        Self::store(error)
    }
}

impl fmt::Display for SqliteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, path, detail } = self;
        let path = path.display();
        let (what, advice) = match kind {
            SqliteErrorKind::NotADatabase => {
                let advice = "Nothing was changed; choose another path";
                return write!(f, "{path} is not a database of this program: {detail}. {advice}");
            }
            SqliteErrorKind::MasterKey => return write!(f, "the master key for {path}: {detail}"),
            SqliteErrorKind::Damaged => (
                "is damaged",
                ". Restore a backup, or move away the file and all whose names start with its name, to start empty",
            ),
            SqliteErrorKind::Locked => ("is locked", ". Another program has a transaction open; end it and try again"),
            SqliteErrorKind::ReadOnly => ("cannot be written", ". Allow this user to write the file and its folder"),
            SqliteErrorKind::NewerVersion => ("was made by a newer version", ". Use that version, or another path"),
            SqliteErrorKind::DiskFull => ("cannot grow", ". Free some disk space"),
            SqliteErrorKind::Invalid => ("got an invalid request", ""),
            SqliteErrorKind::Io => ("failed", ""),
        };
        write!(f, "the database {path} {what}: {detail}{advice}")
    }
}

impl std::error::Error for SqliteError {}
