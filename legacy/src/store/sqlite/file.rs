//! The files of a database: who may read them, which names they get, and which process works on them.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use super::{emptied, presence::is_open_here, whose};
use crate::{store::StoreError, time::Clock};

/// A process that ends lets go of the file within this time.
const ENDING: Duration = Duration::from_secs(2);

/// Whoever makes or mends a file is done within this time, or was stopped in the middle of it.
const MENDING: Duration = Duration::from_secs(10);

/// Makes the folder and an empty file where there is none. Nobody but its owner may read either.
pub(super) fn prepare(path: &Path) -> Result<(), StoreError> {
    if path.exists() && !whose::has_strange_journal(path) {
        return prepare_in_turn(path);
    }
    let _turn = mending(path)?;
    prepare_in_turn(path)
}

/// The same of whoever has the [turn](mending).
pub(super) fn prepare_in_turn(path: &Path) -> Result<(), StoreError> {
    let what = if path.exists() { "write" } else { "make" };
    let failed = |error| StoreError::because(format!("cannot {what} the database {}", path.display()), error);
    // They are of one that was deleted, or that this one came in the place of.
    let strange = whose::has_strange_journal(path);
    if strange {
        tracing::warn!(
            name: "keypool.journal_left",
            "the database {} is a copy that was put in the place of another: what lay beside that one is not of it, and is deleted",
            path.display()
        );
    }
    if strange || !path.exists() {
        for end in ["-wal", "-shm"] {
            let _ = fs::remove_file(beside(path, end));
        }
    }
    if !path.exists() {
        emptied::forget(path);
    }
    if !is_open_here(path) {
        private(path).map(drop).map_err(failed)?;
    }
    // A file that is there already, and what SQLite keeps beside it, may be open to others.
    for end in ["", "-wal", "-shm"] {
        match own_alone(&beside(path, end)) {
            // Whoever ends just now takes it along.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            owned => owned.map_err(failed)?,
        }
    }
    Ok(())
}

/// Opens a file for writing that only its owner may read, whatever the umask; made where there is none.
pub(super) fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    own_alone(path)?;
    Ok(file)
}

fn own_alone(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if fs::metadata(path)?.permissions().mode() & 0o777 != 0o600 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        }
    }
    let _ = path;
    Ok(())
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// More links in a row than a system follows.
const MOST_LINKS: usize = 40;

/// Where a path leads, through links, also to what is not there yet: SQLite's own files lie there, and so must the locks.
/// Links among its folders lead everything that is beside it to the same place.
pub(super) fn real(path: &Path) -> PathBuf {
    let mut real = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(to) = fs::read_link(&real) else {
            // Those of a process's open files (/dev/stdin) name no place.
            return if path.exists() && !real.exists() { path.to_owned() } else { real };
        };
        real.pop();
        real.push(to);
    }
    path.to_owned()
}

/// The same file by a name that SQLite takes as one: at the beginning of a name `file:` and `:memory:` mean something to it.
pub(super) fn by_name(path: &Path) -> PathBuf {
    if path.is_relative() { Path::new(".").join(path) } else { path.to_owned() }
}

/// The file's path with this at its end.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// A name beside the file that nothing has yet: `keypool.db.WHAT-20260615T120000Z`.
pub(super) fn dated(path: &Path, what: &str) -> PathBuf {
    let now = jiff::Timestamp::try_from(Clock::system().wall()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let first = beside(path, &format!(".{what}-{}", now.strftime("%Y%m%dT%H%M%SZ")));
    let again = (2..1000).map(|n| beside(&first, &format!("-{n}")));
    std::iter::once(first.clone()).chain(again).find(|name| !name.exists()).unwrap_or(first)
}

/// What a broken database is called from then on: `keypool.db.corrupt-…`.
pub(super) const CORRUPT: &str = "corrupt";

/// Beside a database's name, from when a broken one is set aside until the next one says so itself.
pub(super) const LOST: &str = ".lost";

/// Gives a database another name, with what SQLite keeps beside it.
pub(super) fn set_aside(path: &Path, what: &str) -> Result<PathBuf, StoreError> {
    let aside = dated(path, what);
    if what == CORRUPT {
        let failed = |error| StoreError::because(format!("the database {} cannot be set aside", path.display()), error);
        private(&beside(path, LOST)).map_err(failed)?;
    }
    for end in ["-wal", "-shm", ""] {
        let (from, to) = (beside(path, end), beside(&aside, end));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !end.is_empty() => {}
            Err(error) => {
                let what = format!("the database {} cannot be set aside", path.display());
                return Err(StoreError::because(what, error));
            }
            Ok(()) => {}
        }
    }
    Ok(aside)
}

/// Beside a database's name: the file that is held to make or mend it.
pub(super) const MEND: &str = ".mend";

/// Whoever makes or mends a database, others may be about to do the same, holds this; waits for whoever does, for a while.
pub(super) fn mending(path: &Path) -> Result<File, StoreError> {
    let lock = beside(path, MEND);
    let failed = |error| StoreError::because(format!("cannot make the database {}", path.display()), error);
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists()) {
        make_folder(folder).map_err(failed)?;
    }
    let file = private(&lock).map_err(failed)?;
    if wait_for(&file, File::try_lock, MENDING).map_err(failed)? {
        return Ok(file);
    }
    Err(StoreError::in_use(format!(
        "another process has been making or mending the database {} for {} s (it has {} open): end it, or choose another file",
        path.display(),
        MENDING.as_secs(),
        lock.display()
    )))
}

/// Whether a process works on the database, as far as its lock tells.
pub(super) fn is_worked_on(path: &Path) -> bool {
    let Ok(file) = File::open(beside(path, ".lock")) else { return false };
    matches!(file.try_lock(), Err(TryLockError::WouldBlock))
}

/// Says that this process works on the database together with others, until the file that is returned is closed or the
/// process is gone.
pub(super) fn claim_shared(path: &Path) -> Result<File, StoreError> {
    take(path, File::try_lock_shared, "a process works on {} alone: end it, or choose another file")
}

/// Says that this process works on the database, until the file that is returned is closed or the process is gone.
pub(super) fn claim(path: &Path) -> Result<File, StoreError> {
    let what = "another process works on {}: two would each count for itself (end that one, or choose another file)";
    take(path, File::try_lock, what)
}

fn take(path: &Path, take: impl Fn(&File) -> Result<(), TryLockError>, refused: &str) -> Result<File, StoreError> {
    let lock = beside(path, ".lock");
    let failed = |error| StoreError::because(format!("cannot lock {}", lock.display()), error);
    let file = private(&lock).map_err(failed)?;
    if wait_for(&file, take, ENDING).map_err(failed)? {
        return Ok(file);
    }
    Err(StoreError::in_use(refused.replace("{}", &path.display().to_string())))
}

/// Whether the lock was had within that time.
fn wait_for(file: &File, take: impl Fn(&File) -> Result<(), TryLockError>, within: Duration) -> io::Result<bool> {
    let step = Duration::from_millis(20);
    for _ in 0..within.as_millis() / step.as_millis() {
        match take(file) {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => thread::sleep(step),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use super::*;

    /// A process that ends takes its log along while another one starts.
    #[test]
    fn what_goes_while_it_is_looked_at_keeps_nobody_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        private(&path).expect("made");
        let (log, done) = (beside(&path, "-wal"), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    drop(fs::write(&log, "").and_then(|()| fs::remove_file(&log)));
                }
            });
            let failed = (0..3_000).find_map(|_| prepare_in_turn(&path).err());
            done.store(true, Relaxed);
            assert!(failed.is_none(), "{failed:?}");
        });
    }

    #[test]
    fn a_name_that_says_something_to_sqlite_is_a_name() {
        for (path, name) in
            [("file:a.db", "./file:a.db"), (":memory:", "./:memory:"), ("/file:a", "/file:a"), ("a/b", "./a/b")]
        {
            assert_eq!(by_name(Path::new(path)), Path::new(name));
        }
    }

    /// It may have been stopped in the middle.
    #[test]
    fn nobody_waits_without_end_for_one_that_mends() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        let theirs = mending(&path).expect("free");
        let ours = private(&beside(&path, MEND)).expect("opened");
        let moment = Duration::from_millis(40);
        assert!(!wait_for(&ours, File::try_lock, moment).expect("asked"));
        drop(theirs);
        assert!(wait_for(&ours, File::try_lock, moment).expect("asked"));
    }
}
