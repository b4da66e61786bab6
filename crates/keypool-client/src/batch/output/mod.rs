//! Where results go: a file that is never without what was reported as done, and from which a later run goes on.
//!
//! Lines are appended as results come. What a crash tore off at the end is cut off; everything before it counts. A file
//! `….json` is one array: it is written anew, at once, whenever a run ends, from a journal of lines beside it.

mod finish;
mod journal;
mod lock;

use std::{
    collections::HashMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::Id;
use lock::Lock;

/// How an output is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputOptions {
    /// Tasks that failed in an earlier run are tried again.
    pub retry_failed: bool,
    /// In the order of the input, once a run ends.
    pub ordered: bool,
}

/// Why there is no output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another run writes to it.
    #[error("another run writes to {} (its lock: {}): wait for its end, or name another output", path.display(), lock.display())]
    Locked {
        /// Which.
        path: PathBuf,
        /// What says so.
        lock: PathBuf,
    },
    /// It holds something else than results.
    #[error("{}, line {line}: this is no result of a batch ({what}): name another output, or take this file away", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Where.
        line: u64,
        /// Why not.
        what: String,
    },
}

/// A file of results. While it is open, no other run writes to it.
#[derive(Debug)]
pub struct Output {
    path: PathBuf,
    /// The file of lines: the output itself, or the journal beside it.
    lines: PathBuf,
    options: OutputOptions,
    file: Mutex<File>,
    /// What was done before: a word for the id; one for what was asked, and whether it succeeded.
    before: HashMap<u64, Before>,
    /// Lines that a later one replaces.
    replaced: AtomicU64,
    _lock: Lock,
}

#[derive(Clone, Copy, Debug)]
struct Before {
    hash: u64,
    success: bool,
}

/// What an earlier run says of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It is done.
    Same,
    /// Something else was asked under its id.
    Changed,
}

impl Output {
    /// Opens it, and reads what earlier runs left in it.
    ///
    /// # Errors
    /// When another run has it, it holds something else, or it cannot be read or written.
    pub fn open(path: impl Into<PathBuf>, options: &OutputOptions) -> Result<Self, OutputError> {
        let path = path.into();
        let io = |source| OutputError::Io { path: path.clone(), source };
        let lock = Lock::take(&path)
            .map_err(io)?
            .ok_or_else(|| OutputError::Locked { path: path.clone(), lock: lock::beside(&path) })?;
        let lines = if is_list(&path) { with_end(&path, ".journal") } else { path.clone() };
        if is_list(&path) && !lines.exists() && path.exists() {
            journal::of_list(&path, &lines)?;
        }
        let (file, read) = journal::open(&lines)?;
        let journal::Read { before, replaced } = read;
        let (file, replaced) = (Mutex::new(file), AtomicU64::new(replaced));
        Ok(Self { path, lines, options: *options, file, before, replaced, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many tasks are done in it, and how many of those failed.
    pub fn before(&self) -> (usize, usize) {
        (self.before.len(), self.before.values().filter(|before| !before.success).count())
    }

    /// What is known of a task.
    pub(crate) fn done(&self, id: &Id, hash: u64) -> Option<Done> {
        let before = self.before.get(&id.hash())?;
        if before.hash != hash {
            self.replaced.fetch_add(1, Ordering::Relaxed);
            return Some(Done::Changed);
        }
        if before.success || !self.options.retry_failed {
            return Some(Done::Same);
        }
        self.replaced.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Appends whole lines. What is written outlives the process, not yet the machine.
    pub(crate) fn append(&self, lines: &[u8]) -> io::Result<()> {
        io::Write::write_all(&mut *self.file.lock().unwrap_or_else(PoisonError::into_inner), lines)
    }

    /// What was written outlives the machine.
    pub(crate) fn sync(&self) -> io::Result<()> {
        // Nobody who appends waits for the disk.
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).try_clone()?;
        file.sync_data()
    }

    /// Puts it in its last form: each task once, in order where that was asked for, as one array where it is one.
    pub(crate) fn finish(&self) -> io::Result<()> {
        self.sync()?;
        let replaced = self.replaced.load(Ordering::Relaxed) > 0;
        if is_list(&self.path) {
            finish::list(&self.lines, &self.path, replaced, self.options.ordered)?;
            return std::fs::remove_file(&self.lines);
        }
        if replaced || self.options.ordered {
            finish::lines(&self.lines, self.options.ordered)?;
        }
        Ok(())
    }
}

/// Whether it is one array.
fn is_list(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"))
}

/// The same name with more at its end.
fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Puts a file that was written in the place of another, at once and for good.
fn replace(new: &Path, old: &Path) -> io::Result<()> {
    std::fs::rename(new, old)?;
    let folder = old.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A folder that cannot be synced says so; the file is whole in any case.
    File::open(folder).and_then(|folder| folder.sync_all()).or(Ok(()))
}
