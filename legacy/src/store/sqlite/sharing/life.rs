//! Whether a process lives: it holds a lock on a file of its own as long as it does.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use super::super::file::{self, beside, private};
use crate::{share::HolderId, store::StoreError};

/// This process's life on a database.
pub(super) struct Life {
    pub(super) holder: HolderId,
    database: PathBuf,
    own: PathBuf,
    /// The first is locked until the process ends, however it ends; and with the second nobody works on the file alone
    /// meanwhile.
    locks: Mutex<(File, File)>,
    /// Others live that do not work on this file: on one that was deleted, or set aside.
    pub(super) among_strangers: bool,
}

impl Life {
    /// Begins, as the run of that number.
    pub(super) fn begin(database: &Path, number: impl FnOnce() -> Result<u64, StoreError>) -> Result<Self, StoreError> {
        // In this order: whoever works on this file has its number before it has the lock.
        let others = file::is_worked_on(database);
        let number = number()?;
        let shared = file::claim_shared(database)?;
        // A file that is made anew counts from the beginning: two must not be called the same.
        let run = format!("run-{number}-{:08x}", fastrand::u32(..));
        let own = path(database, &run);
        let lock = locked(&own)?;
        let holder = HolderId::new(&run, 1);
        let among_strangers = others && number <= 1;
        Ok(Self { holder, database: database.to_owned(), own, locks: Mutex::new((lock, shared)), among_strangers })
    }

    /// The locks may have gone with the file.
    pub(super) fn lock_again(&self) -> Result<(), StoreError> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.own.exists() {
            locks.0 = locked(&self.own)?;
        }
        if !file::is_worked_on(&self.database) {
            locks.1 = file::claim_shared(&self.database)?;
        }
        Ok(())
    }

    /// Whether that process is dead for sure. One whose file is not there may live on another machine, or have ended.
    pub(super) fn is_dead(&self, other: &HolderId) -> bool {
        let Some(run) = other.as_str().strip_suffix("/1").filter(|run| is_run(run)) else { return false };
        let path = path(&self.database, run);
        let Ok(file) = File::open(&path) else { return false };
        file.try_lock().is_ok()
    }

    /// Whether it does not work on this file any more: dead, or ended as it should.
    pub(super) fn is_gone(&self, other: &HolderId) -> bool {
        let run = other.as_str().strip_suffix("/1").filter(|run| is_run(run));
        self.is_dead(other) || run.is_some_and(|run| !path(&self.database, run).exists())
    }

    /// The file of a dead process is nobody's any more.
    pub(super) fn forget(&self, dead: &HolderId) {
        if let Some(run) = dead.as_str().strip_suffix("/1").filter(|run| is_run(run)) {
            let _ = fs::remove_file(path(&self.database, run));
        }
    }
}

fn locked(own: &Path) -> Result<File, StoreError> {
    let failed = |error| StoreError::because(format!("cannot lock {}", own.display()), error);
    let lock = private(own).map_err(failed)?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::Error(error) => failed(error),
        TryLockError::WouldBlock => StoreError::in_use(format!("{} is locked by another process", own.display())),
    })?;
    Ok(lock)
}

impl Drop for Life {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.own);
    }
}

fn is_run(name: &str) -> bool {
    let number = |rest: &str| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    name.strip_prefix("run-").is_some_and(number)
}

fn path(database: &Path, run: &str) -> PathBuf {
    beside(database, &format!(".{run}"))
}
