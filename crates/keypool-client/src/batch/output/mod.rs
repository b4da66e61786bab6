//! Where results go: a file that is never without what was reported as done, and from which a later run goes on.
//!
//! Lines are appended as results come. What a crash tore off at the end is cut off; everything before it counts. A file
//! `….json` is one array: it is written anew, at once, whenever a run ends, from a journal of lines beside it.

mod finish;
mod journal;
mod lock;
mod place;
mod torn;

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

use super::{Id, input};
use finish::{Form, Order};
use lock::{Claim, Lock};
use place::{NEW, with_end};

/// How an output is kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputOptions {
    /// Tasks that failed in an earlier run are tried again.
    pub retry_failed: bool,
    /// In the order of the input, once a run ends; those of other inputs behind them.
    pub ordered: bool,
}

/// Why there is no output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The file cannot be read or written.
    #[error("the output {} cannot be used ({})", path.display(), way_out(source))]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another run writes to it.
    #[error("another run writes to {} ({}): wait for its end, or name another output", path.display(), said_by(lock, path))]
    Locked {
        /// Which.
        path: PathBuf,
        /// What says so: a file beside it, or itself, which that run knows by another name.
        lock: PathBuf,
    },
    /// Something that no run made has the name of a file that a run makes beside it.
    #[error("{} is in the way: a run makes a file of that name beside {}: move it away, or name another output", file.display(), path.display())]
    InTheWay {
        /// Which.
        path: PathBuf,
        /// What is in the way.
        file: PathBuf,
    },
    /// It holds something else than results.
    #[error("{}, {place}: this is no result of a batch ({what}): name another output, or take this file away", path.display())]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Where.
        place: input::Place,
        /// Why not.
        what: String,
    },
}

/// A file of results. While it is open, no other run writes to it.
#[derive(Debug)]
pub struct Output {
    /// As it is called.
    path: PathBuf,
    /// Where that leads.
    real: PathBuf,
    /// The file of lines: the output itself, or the journal beside it.
    lines: PathBuf,
    options: OutputOptions,
    file: Mutex<File>,
    /// What was done before: a word for the id; one for what was asked, and whether it succeeded.
    before: HashMap<u64, Before>,
    /// Lines that a later one replaces.
    replaced: AtomicU64,
    /// Where this run's lines begin.
    begun: u64,
    /// Where tasks that were there before stand in this input, where that is asked for.
    places: Mutex<HashMap<u64, u64>>,
    /// None on a device or a pipe, which keeps nothing: there is nothing to go on from, and nothing is written anew.
    lock: Option<Lock>,
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
    /// It failed, and is not tried again.
    Failed,
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
        match std::fs::metadata(&path) {
            Ok(there) if there.is_dir() => return Err(io(io::ErrorKind::IsADirectory.into())),
            Ok(there) if !there.is_file() => return Self::stream(path, *options),
            // It would be a file of that name.
            Err(_) if path.as_os_str().as_encoded_bytes().ends_with(b"/") => {
                return Err(io(io::ErrorKind::IsADirectory.into()));
            }
            _ => {}
        }
        let real = place::resolve(&path).map_err(io)?;
        let mut lock = match Lock::take(&real).map_err(io)? {
            Claim::Ours(lock) => lock,
            Claim::Others => return Err(OutputError::Locked { lock: lock::beside(&real), path }),
            Claim::InTheWay => return Err(OutputError::InTheWay { file: lock::beside(&real), path }),
        };
        let list = is_list(&path);
        for new in news(&real, list) {
            let Ok(there) = std::fs::symlink_metadata(&new) else { continue };
            if !(lock.was_making && there.is_file()) {
                return Err(OutputError::InTheWay { path, file: new });
            }
            std::fs::remove_file(&new).map_err(io)?;
        }
        lock.mark().map_err(io)?;
        let lines = if list { with_end(&real, JOURNAL) } else { real.clone() };
        let resumes = list && std::fs::symlink_metadata(&lines).is_ok();
        if resumes && !std::fs::symlink_metadata(&lines).is_ok_and(|there| there.is_file()) {
            return Err(OutputError::InTheWay { path, file: lines });
        }
        if list && !lock.holds(&real).map_err(io)? {
            return Err(OutputError::Locked { lock: path.clone(), path });
        }
        let is_there = list && !is_blank(&real).map_err(io)?;
        if is_there && resumes {
            journal::is_list_of_results(&real)?;
        } else if is_there {
            lock.making().map_err(io)?;
            journal::of_list(&real, &lines)?;
            lock.mark().map_err(io)?;
        }
        let (file, mut read) = journal::open(&lines, if list { &lines } else { &path })?;
        if is_there && resumes {
            read.add_missing(&file, &real)?;
        }
        let journal::Read { before, replaced } = read;
        let begun = file.metadata().map_err(io)?.len();
        let (file, replaced, lock) = (Mutex::new(file), AtomicU64::new(replaced), Some(lock));
        let (options, places) = (*options, Mutex::default());
        Ok(Self { path, real, lines, options, file, before, replaced, begun, places, lock })
    }

    /// The files that a run makes beside an output of this name.
    pub fn beside(path: &Path) -> Vec<PathBuf> {
        let Ok(real) = place::resolve(path) else { return Vec::new() };
        let list = is_list(path);
        let journal = list.then(|| with_end(&real, JOURNAL));
        [lock::beside(&real)].into_iter().chain(news(&real, list)).chain(journal).collect()
    }

    /// A device or a pipe.
    fn stream(path: PathBuf, options: OutputOptions) -> Result<Self, OutputError> {
        let opened = if is_list(&path) || options.ordered {
            Err(io::Error::new(io::ErrorKind::Unsupported, "it is no file, and an array or an order needs one"))
        } else {
            File::options().append(true).open(&path)
        };
        match opened {
            Ok(file) => Ok(Self {
                real: path.clone(),
                lines: path.clone(),
                path,
                options,
                file: Mutex::new(file),
                before: HashMap::new(),
                replaced: AtomicU64::new(0),
                begun: 0,
                places: Mutex::default(),
                lock: None,
            }),
            Err(source) => Err(OutputError::Io { path, source }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is said where it cannot be kept any more.
    pub(crate) fn failed(&self, source: io::Error) -> String {
        let said = source.to_string();
        format!("{}: {said}", OutputError::Io { path: self.path.clone(), source })
    }

    /// How many tasks are done in it, and how many of those failed.
    pub fn before(&self) -> (usize, usize) {
        (self.before.len(), self.before.values().filter(|before| !before.success).count())
    }

    /// What is known of a task, which stands there in this input.
    pub(crate) fn done(&self, id: &Id, index: u64, hash: u64) -> Option<Done> {
        if self.before.is_empty() {
            return None;
        }
        let word = id.hash();
        let before = self.before.get(&word)?;
        if self.options.ordered {
            self.places.lock().unwrap_or_else(PoisonError::into_inner).insert(word, index);
        }
        if before.hash != hash {
            self.replaced.fetch_add(1, Ordering::Relaxed);
            return Some(Done::Changed);
        }
        if before.success || !self.options.retry_failed {
            return Some(if before.success { Done::Same } else { Done::Failed });
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
        if self.lock.is_none() {
            return Ok(());
        }
        // Nobody who appends waits for the disk.
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).try_clone()?;
        file.sync_data()
    }

    /// Puts it in its last form: each task once, in order where that was asked for, as one array where it is one.
    pub(crate) fn finish(&self) -> io::Result<()> {
        self.sync()?;
        let Some(lock) = &self.lock else { return Ok(()) };
        lock.making()?;
        let replaced = self.replaced.load(Ordering::Relaxed) > 0;
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let order = self.options.ordered.then_some(Order { before: &self.before, places: &places });
        let form = Form { replaced, begun: self.begun, order };
        if is_list(&self.path) {
            finish::list(&self.lines, &self.real, &form)?;
            return std::fs::remove_file(&self.lines);
        }
        if form.is_another() {
            finish::lines(&self.lines, &form)?;
        }
        Ok(())
    }
}

/// What is said of an array's results while a run goes on, beside it.
const JOURNAL: &str = ".journal";

/// Files that are made to take the place of others.
fn news(real: &Path, list: bool) -> impl Iterator<Item = PathBuf> {
    let journal = list.then(|| with_end(real, JOURNAL));
    journal.into_iter().chain([real.to_owned()]).map(|old| with_end(&old, NEW))
}

/// Who says that another run has it.
fn said_by(lock: &Path, path: &Path) -> String {
    if lock == path { "by another name".to_owned() } else { format!("its lock: {}", lock.display()) }
}

/// Whether it is one array.
fn is_list(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"))
}

/// Whether nothing is in it, or nothing there.
fn is_blank(path: &Path) -> io::Result<bool> {
    let mut begin = Vec::new();
    match File::open(path) {
        Ok(file) => drop(io::Read::read_to_end(&mut io::Read::take(file, 4096), &mut begin)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(begin.len() < 4096 && begin.trim_ascii().is_empty())
}

/// What to do about it.
fn way_out(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "make its folder, or name another output",
        io::ErrorKind::AlreadyExists => "move that away, or name another output",
        io::ErrorKind::IsADirectory => "it is a folder: name a file",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "make it and its folder writable, or name another output"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "make room, or name another output",
        _ => "name another output",
    }
}
