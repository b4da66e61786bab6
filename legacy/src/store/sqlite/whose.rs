//! Whose a database is: ours says so (`PRAGMA application_id`), and one of another program is left as it is.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use rusqlite::{Connection, OpenFlags};

use super::{emptied, failure::Failure, file, presence::is_open_here};
use crate::{store::StoreError, whole_file};

/// What stands in our files: `kpol`.
pub(super) const OURS: i32 = 0x6b70_6f6c;

/// Tables that each file of ours has had from the first on; it said nothing of itself then.
const TABLES: [&str; 3] = ["api_keys", "import_history", "key_usage"];

/// What every database begins with.
const HEADER: &[u8] = b"SQLite format 3\0";
/// Where in a file stands whether its journal is a `-wal`: 2 each, else 1.
const MODES: std::ops::Range<usize> = 18..20;
/// Where in a file stands whose it is.
const ID: usize = 68;

/// Whether the file may be worked on: one that is not there, empty, ours, or a database that is broken. Nothing is
/// changed, made or locked.
///
/// # Errors
/// When another program made it, or it is no database and never was one of ours, or a folder.
pub(super) fn look(path: &Path) -> Result<(), StoreError> {
    if let Ok(Some(kind)) = whole_file::kind(path) {
        // To open it would wait for whoever is at its other end.
        return Err(StoreError::new(format!("{} is {kind}, and no database", path.display())));
    }
    if path.is_dir() {
        return Err(StoreError::new(format!("{} is a folder, and no database", path.display())));
    }
    if is_open_here(path) || fs::metadata(path).map_or(true, |file| !file.is_file() || file.len() == 0) {
        return Ok(());
    }
    let begin = begin_of(path);
    // What cannot be read is not judged here. However torn it is, it was a database once.
    if !(begin.as_ref().map_or(true, |begin| begins_as_one(begin)) || was_ours(path)) {
        return Err(none(path));
    }
    if begin.is_ok_and(|begin| says_ours(&begin)) {
        // A journal beside it would be read from its beginning to its end, each time that somebody looks.
        return Ok(());
    }
    let Ok(connection) = untouched(path) else { return Ok(()) };
    // What cannot be read is broken, or just being written, which shows soon.
    match is_ours(&connection) {
        Ok(false) => Err(another(path)),
        Ok(true) | Err(_) => Ok(()),
    }
}

/// Whether nothing is in a file that is there. Opened, SQLite takes it for a new one, and deletes the journal beside it with
/// all that is left.
pub(super) fn is_empty(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() == 0)
}

fn begin_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut begin = Vec::new();
    File::open(path)?.take(ID as u64 + 4).read_to_end(&mut begin)?;
    Ok(begin)
}

/// Whether the journal beside a file is of the one before it. A file says whether it ever had one; a copy never had, and SQLite
/// would read that journal into it all the same.
pub(super) fn has_strange_journal(path: &Path) -> bool {
    let never_had = |begin: Vec<u8>| begin.starts_with(HEADER) && begin.get(MODES) == Some(&[1, 1]);
    has_journal(path, "-wal") && !is_open_here(path) && begin_of(path).is_ok_and(never_had)
}

/// Whether there is something in the journal that is called so beside a file: an empty one is as good as none.
pub(super) fn has_journal(path: &Path, end: &str) -> bool {
    fs::metadata(file::beside(path, end)).is_ok_and(|journal| journal.len() > 0)
}

fn begins_as_one(begin: &[u8]) -> bool {
    HEADER.starts_with(&begin[..begin.len().min(HEADER.len())])
}

/// Whether it stands in the file itself, where nobody but us ever wrote it.
fn says_ours(begin: &[u8]) -> bool {
    begin.starts_with(HEADER) && begin[HEADER.len()..].ends_with(&OURS.to_be_bytes()) && begin.len() == ID + 4
}

/// Whether a process worked here: it leaves its locks beside its file.
fn was_ours(path: &Path) -> bool {
    let left = |end, is: fn(u64) -> bool| {
        fs::metadata(file::beside(path, end)).is_ok_and(|lock| lock.is_file() && is(lock.len()))
    };
    left(file::MEND, emptied::is_lock) || left(".lock", |length| length == 0)
}

/// The same of a connection that is open.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), Failure> {
    if is_ours(connection)? { Ok(()) } else { Err(another(path).into()) }
}

/// Says in the file that it is ours.
pub(super) fn sign(connection: &Connection) -> Result<(), Failure> {
    if id(connection)? != OURS {
        connection.pragma_update(None, "application_id", OURS)?;
    }
    Ok(())
}

/// A connection that leaves nothing behind: where nothing lies in a journal beside the file all of it is in the file itself.
pub(super) fn untouched(path: &Path) -> rusqlite::Result<Connection> {
    let read = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let is_there = |end| file::beside(path, end).exists();
    // Who works on it has both, and may just begin to write.
    let is_worked_on = is_there("-wal") && is_there("-shm");
    let has_more = is_worked_on || ["-wal", "-journal"].iter().any(|end| has_journal(path, end));
    let is_all = !has_more || has_strange_journal(path);
    if !is_all || path.to_str().is_none() {
        return Connection::open_with_flags(file::by_name(path), read);
    }
    alone(path)
}

/// The same of what is in the file itself, whatever lies beside it.
pub(super) fn alone(path: &Path) -> rusqlite::Result<Connection> {
    let read = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let path = file::by_name(path);
    let name = path.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(path.clone()))?;
    let name = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Connection::open_with_flags(format!("file:{name}?immutable=1"), read | OpenFlags::SQLITE_OPEN_URI)
}

fn is_ours(connection: &Connection) -> rusqlite::Result<bool> {
    // Of one moment: another process may be making it.
    let view = connection.unchecked_transaction()?;
    let version: i64 = view.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let entries: u32 = view.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let mut has = view.prepare("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = ?1")?;
    let mut has_all = || -> rusqlite::Result<bool> {
        let counts = TABLES.iter().map(|name| has.query_row([name], |row| row.get::<_, u32>(0)));
        Ok(counts.sum::<rusqlite::Result<u32>>()? as usize == TABLES.len())
    };
    match id(&view)? {
        OURS => Ok(true),
        // Nobody's yet, or one of ours from before it said so.
        0 if entries == 0 => Ok(version == 0),
        0 if version > 0 => has_all(),
        _ => Ok(false),
    }
}

fn id(connection: &Connection) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, "application_id", |row| row.get(0))
}

fn another(path: &Path) -> StoreError {
    StoreError::new(format!("the database {} is of another program, and stays as it is", path.display()))
}

fn none(path: &Path) -> StoreError {
    StoreError::new(format!(
        "{} is no database, and stays as it is: move it away, or name a file that is not there yet",
        path.display()
    ))
}
