//! Opening of a database: checks, migrations and connection settings.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, config::DbConfig};
use tower_keypool::Clock;

use super::{
    SqliteOptions,
    error::{SqliteError, SqliteErrorKind},
    records,
    secrets::{self, Cipher},
    time::Time,
};

/// The steps from each version of the tables to the next; the version is the number of applied steps.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001.sql"), include_str!("migrations/0002.sql")];

/// The application id that marks our databases: "KPOL".
const APPLICATION_ID: i32 = 0x4b50_4f4c;

/// Opens a database for writing, and creates it if it is missing.
///
/// When several processes create a database at once, SQLite refuses some of them without waiting, so this retries.
pub(super) fn open(path: &Path, options: &SqliteOptions) -> Result<(Connection, Time, Cipher), SqliteError> {
    let clock = Clock::system();
    let began = clock.now();
    loop {
        match open_once(path, options) {
            Err(error)
                if error.kind() == SqliteErrorKind::Locked && clock.now().since(began) < options.busy_timeout =>
            {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened,
        }
    }
}

fn open_once(path: &Path, options: &SqliteOptions) -> Result<(Connection, Time, Cipher), SqliteError> {
    let is_new = !path.exists();
    if is_new && let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| SqliteError::io(folder, &error))?;
    } else if path.is_dir() {
        return Err(SqliteError::new(SqliteErrorKind::NotADatabase, "it is a folder"));
    }
    // SQLite creates its other files with the permissions of this one.
    #[cfg(unix)]
    if is_new {
        use std::os::unix::fs::OpenOptionsExt;
        let made = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
        made.map_err(|error| SqliteError::io(path, &error))?;
    }
    let connection = Connection::open(by_name(path))?;
    // The file must stay unchanged until all checks have passed.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(options.busy_timeout / 10)?;
    // Another process may be creating it: the transaction gives the checks one consistent view.
    connection.execute_batch("BEGIN")?;
    check(&connection)?;
    connection.execute_batch("COMMIT")?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(SqliteError::new(SqliteErrorKind::Io, "its file system has no locks or no shared memory"));
    }
    set(&connection, options)?;

    connection.execute_batch("BEGIN IMMEDIATE")?;
    migrate(&connection)?;
    let time = Time::of(&connection, options.time.as_ref())?;
    records::prune(&connection, &time)?;
    let cipher = secrets::open(&connection, path, options.master_key.as_ref())?;
    connection.execute_batch("COMMIT")?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    connection.busy_timeout(Duration::ZERO)?;
    Ok((connection, time, cipher))
}

/// Opens another connection to a database that is open for writing already.
pub(super) fn open_reader(path: &Path, options: &SqliteOptions) -> Result<Connection, SqliteError> {
    let connection = Connection::open(by_name(path))?;
    connection.busy_timeout(options.busy_timeout)?;
    set(&connection, options)?;
    Ok(connection)
}

fn set(connection: &Connection, options: &SqliteOptions) -> Result<(), SqliteError> {
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    // Checkpoint after 32 MiB of pages in the WAL: most of them change again and again, so they are copied less often.
    connection.pragma_update(None, "wal_autocheckpoint", 8_192)?;
    if let Some(pages) = options.max_pages {
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
    }
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// Checks that the database is new, or is one of ours, of a known version, writable and undamaged.
fn check(connection: &Connection) -> Result<(), SqliteError> {
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let (id, version) = (pragma("application_id")?, pragma("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if id != APPLICATION_ID && (id, version, tables) != (0, 0, 0) {
        return Err(SqliteError::new(SqliteErrorKind::NotADatabase, "another program made it"));
    }
    let known = MIGRATIONS.len() as i32;
    if version > known {
        let what = format!("its version is {version}; this program supports up to {known}");
        return Err(SqliteError::new(SqliteErrorKind::NewerVersion, what));
    }
    if connection.is_readonly("main")? {
        return Err(SqliteError::new(SqliteErrorKind::ReadOnly, "it is read-only"));
    }
    // The usage of 400 days may be gigabytes: damage there is only found when it is read.
    let mut tables = connection.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'usage'")?;
    for table in tables.query_map([], |row| row.get::<_, String>(0))? {
        let found: String = connection.query_row(&format!("PRAGMA quick_check('{}')", table?), [], |row| row.get(0))?;
        if found != "ok" {
            return Err(SqliteError::new(SqliteErrorKind::Damaged, found));
        }
    }
    Ok(())
}

fn migrate(connection: &Connection) -> Result<(), SqliteError> {
    let version: usize = connection.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))? as usize;
    if version < MIGRATIONS.len() {
        for step in &MIGRATIONS[version..] {
            connection.execute_batch(step)?;
        }
        connection.pragma_update(None, "user_version", MIGRATIONS.len() as u32)?;
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    Ok(())
}

/// The file that was opened. Another one may be at its path later.
#[derive(Clone)]
pub(super) struct OpenedFile {
    path: PathBuf,
    inode: Option<Inode>,
}

/// The device and inode of a file.
type Inode = (u64, u64);

impl OpenedFile {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), inode: inode(path) }
    }

    /// Fails if the file was replaced or removed: changes would go to the old file, which nobody else can open.
    pub(super) fn check(&self) -> Result<(), SqliteError> {
        let what = "it was replaced or removed; restart the program";
        if inode(&self.path) == self.inode { Ok(()) } else { Err(SqliteError::new(SqliteErrorKind::Io, what)) }
    }
}

#[cfg(unix)]
fn inode(path: &Path) -> Option<Inode> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// An open file cannot be replaced.
#[cfg(not(unix))]
fn inode(_: &Path) -> Option<Inode> {
    None
}

/// Returns the path in a form that SQLite takes as a file name. A leading `file:` or `:memory:` is special.
pub(super) fn by_name(path: &Path) -> PathBuf {
    if path.is_relative() { Path::new(".").join(path) } else { path.to_owned() }
}
