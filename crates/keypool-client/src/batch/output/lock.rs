//! One run an output.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// A lock on an output, held by a file beside it as long as this lives, however the process ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
}

/// The file that says so.
pub(super) fn beside(output: &Path) -> PathBuf {
    super::place::with_end(output, ".lock")
}

impl Lock {
    /// Takes it; `None` where another run has it.
    pub(super) fn take(output: &Path) -> io::Result<Option<Self>> {
        let path = beside(output);
        loop {
            let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Whoever had it may have taken the file away meanwhile: then this one locks nothing.
            if is_at(&file, &path) {
                return Ok(Some(Self { file, path }));
            }
        }
    }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(open), Ok(there)) = (file.metadata(), std::fs::metadata(path)) else { return false };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before it is let go, so that nobody finds it unlocked and then gone.
        if cfg!(unix) {
            let _ = std::fs::remove_file(&self.path);
        }
        let _ = self.file.unlock();
    }
}
