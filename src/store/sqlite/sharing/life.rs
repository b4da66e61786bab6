//! Whether a process lives: it holds a lock on a file of its own as long as it does.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

use super::super::file::{beside, private};
use crate::{share::HolderId, store::StoreError};

/// This process's life on a database.
pub(super) struct Life {
    pub(super) holder: HolderId,
    database: PathBuf,
    own: PathBuf,
    /// Locked until the process ends, however it ends.
    _lock: File,
    /// Nobody works on the file alone meanwhile.
    _shared: File,
}

impl Life {
    /// Begins, as the run of that number.
    pub(super) fn begin(database: &Path, number: impl FnOnce() -> Result<u64, StoreError>) -> Result<Self, StoreError> {
        let shared = super::super::file::claim_shared(database)?;
        let run = format!("run-{}", number()?);
        let own = path(database, &run);
        let failed = |error| StoreError::because(format!("cannot lock {}", own.display()), error);
        let lock = private(&own).map_err(failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::Error(error) => failed(error),
            TryLockError::WouldBlock => StoreError::in_use(format!("{} is locked by another process", own.display())),
        })?;
        let holder = HolderId::new(&run, 1);
        Ok(Self { holder, database: database.to_owned(), own, _lock: lock, _shared: shared })
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

impl Drop for Life {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.own);
    }
}

fn is_run(name: &str) -> bool {
    name.strip_prefix("run-").is_some_and(|number| number.parse::<u64>().is_ok())
}

fn path(database: &Path, run: &str) -> PathBuf {
    beside(database, &format!(".{run}"))
}
