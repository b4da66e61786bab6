//! Whether the file that is worked on is still the one that has the name.

use std::{
    fs,
    path::Path,
    sync::{Mutex, PoisonError},
};

use rusqlite::Connection;

/// Which file it is, where the system tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

impl Identity {
    /// Its name: the same as long as it is the same file. Where the system does not tell there is none.
    pub(super) fn name(self) -> String {
        // The number of the device may be another after each start of the machine.
        if self.1 == 0 { String::new() } else { format!("file-{:x}", self.1) }
    }
}

/// Of the file that has this name by now; `None`: there is none.
#[cfg(unix)]
pub(super) fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|file| Identity(file.dev(), file.ino()))
}

/// Only whether there is one.
#[cfg(not(unix))]
pub(super) fn identity(path: &Path) -> Option<Identity> {
    fs::metadata(path).ok().map(|_| Identity(0, 0))
}

/// The files that this process works on, each as often as it does.
static OPEN: Mutex<Vec<Identity>> = Mutex::new(Vec::new());

/// Says, until it is dropped, that this process works on a file.
pub(super) struct Open(Identity);

impl Open {
    /// Of a connection that has locks on it from its first look to its end, which are those that have a journal (`-wal`).
    pub(super) fn of(connection: &Connection, file: Option<Identity>) -> Option<Self> {
        let mode = connection.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
        let file = file.filter(|_| mode.is_ok_and(|mode| mode == "wal"))?;
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).push(file);
        Some(Self(file))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = open.iter().position(|file| *file == self.0) {
            open.swap_remove(at);
        }
    }
}

/// Whether this process works on the file already. Then nobody here may open it but SQLite: with any handle of it that is
/// closed all locks go (POSIX) by which others see that somebody works on it, and the last of those who close it takes the
/// journal away.
pub(super) fn is_open_here(path: &Path) -> bool {
    let open = |file| OPEN.lock().unwrap_or_else(PoisonError::into_inner).contains(&file);
    // The number of a file that is just closed, and was deleted before, may be a folder's already.
    cfg!(unix) && !path.is_dir() && identity(path).is_some_and(open)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::store::sqlite::file::prepare;

    #[test]
    fn a_folder_with_the_number_of_a_deleted_database_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = identity(folder.path()).expect("there");
        OPEN.lock().unwrap_or_else(PoisonError::into_inner).push(file);
        let _open = Open(file);
        assert!(!is_open_here(folder.path()));
        let error = prepare(folder.path()).expect_err("a folder").to_string();
        assert!(error.contains("directory"), "{error}");
    }
}
