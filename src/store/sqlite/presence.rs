//! Whether the file that is worked on is still the one that has the name.

use std::{fs, path::Path};

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
