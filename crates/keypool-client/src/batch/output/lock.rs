//! One run an output.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

/// What a run writes into its lock: by that it is told from somebody else's file of that name.
const MARK: &str = "A run of keypool batch has the file beside this one.\n";
/// Behind it, before a file is made that is to take another's place: what a killed run left of it is a run's, too.
const MAKING: &str = "It makes a new one.\n";

/// A lock on an output, held by a file beside it as long as this lives, however the process ends.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
    path: PathBuf,
    /// A run made it, and so it goes with the run.
    ours: bool,
    /// What it locks besides.
    held: Option<File>,
    /// A run that was killed was about to put a new file in the place of another.
    pub(super) was_making: bool,
}

/// What came of asking for one.
#[derive(Debug)]
pub(super) enum Claim {
    Ours(Lock),
    /// Another run has it.
    Others,
    /// There is something of its name that no run made.
    InTheWay,
}

/// So often a file may be gone between two looks at it.
const MOST_MISSED: u32 = 100;

/// The file that says so.
pub(super) fn beside(output: &Path) -> PathBuf {
    super::place::with_end(output, ".lock")
}

impl Lock {
    /// Takes it.
    pub(super) fn take(output: &Path) -> io::Result<Claim> {
        let path = beside(output);
        let mut missed = 0;
        loop {
            let (file, made) = match open(&path) {
                // Taken away between two looks. There are folders (`/proc`) in which nothing can be made.
                Err(error) if error.kind() == io::ErrorKind::NotFound && missed < MOST_MISSED => {
                    missed += 1;
                    continue;
                }
                opened => match opened? {
                    Some(opened) => opened,
                    None => return Ok(Claim::InTheWay),
                },
            };
            if !hold(&file)? {
                return Ok(Claim::Others);
            }
            // Whoever had it may have taken the file away meanwhile: then this one locks nothing.
            if !is_at(&file, &path) {
                continue;
            }
            let mut said = String::new();
            let room = (MARK.len() + MAKING.len() + 1) as u64;
            let is_text = (&file).take(room).read_to_string(&mut said).is_ok();
            if !is_text || ![MARK, MAKING].concat().starts_with(&said) {
                return Ok(Claim::InTheWay);
            }
            let (ours, was_making) = (made || !said.is_empty(), said.len() > MARK.len());
            return Ok(Claim::Ours(Self { file, path, ours, held: None, was_making }));
        }
    }

    /// Locks a file of results besides, where it is there. False: another run has it, by another name.
    pub(super) fn holds(&mut self, results: &Path) -> io::Result<bool> {
        // A network's file system locks only what may be written.
        let opened = OpenOptions::new().read(true).write(true).open(results).or_else(|_| File::open(results));
        self.held = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            file => Some(file?),
        };
        self.held.as_ref().map_or(Ok(true), hold_results)
    }

    /// Says whose it is, once what a killed run left is gone.
    pub(super) fn mark(&self) -> io::Result<()> {
        self.say(MARK)
    }

    /// A file is about to be made that takes the place of another.
    pub(super) fn making(&self) -> io::Result<()> {
        self.say(&[MARK, MAKING].concat())
    }

    fn say(&self, text: &str) -> io::Result<()> {
        if !self.ours {
            return Ok(());
        }
        (&self.file).rewind()?;
        (&self.file).write_all(text.as_bytes())?;
        self.file.set_len(text.len() as u64)
    }
}

/// Opens it, and says whether that made it; `None` where it is no file.
fn open(path: &Path) -> io::Result<Option<(File, bool)>> {
    let options = OpenOptions::new().read(true).write(true).clone();
    match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return Ok(Some((made?, true))),
    }
    // No link is followed, and no pipe waited for.
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(None);
    }
    // Whoever may not write to it may still see whether a run has it.
    let readable = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => File::open(path),
        _ => Err(error),
    };
    options.open(path).or_else(readable).map(|file| Some((file, false)))
}

/// Locks a file itself, whatever it is called. False: another run has it.
pub(super) fn hold(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The same of a file that holds results. Elsewhere than on Unix nobody could read what is locked.
pub(super) fn hold_results(file: &File) -> io::Result<bool> {
    if cfg!(unix) { hold(file) } else { Ok(true) }
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(open), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before it is let go, so that nobody finds it unlocked and then gone.
        if cfg!(unix) && self.ours {
            let _ = fs::remove_file(&self.path);
        }
        let _ = self.file.unlock();
    }
}
