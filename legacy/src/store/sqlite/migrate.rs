//! The schema, by steps. A file says which one it stands at; each step is one numbered file of SQL.
//!
//! This version and the next may work on one file. A step that says so in its first line ([`ADDS`]) does nothing but make
//! tables: whoever does not know them goes on beside it. Any other leaves those behind who do not know it: the file says
//! from which step on a version may work on it (`run.floor`), everybody asks at the beginning of each change ([`turn`]), and
//! who is left behind changes nothing any more and says why. What is more than [`NEXT`] steps ahead was not written by the
//! next version, whatever it says.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{care, failure::Failure, file};
use crate::store::StoreError;

/// Every step, in order.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_keys_and_use.sql"),
    include_str!("migrations/0002_windows_and_rests.sql"),
    include_str!("migrations/0003_key_settings.sql"),
    include_str!("migrations/0004_packed_journal.sql"),
    include_str!("migrations/0005_sharing.sql"),
    include_str!("migrations/0006_packed_notes.sql"),
    include_str!("migrations/0007_ledger.sql"),
    include_str!("migrations/0008_facts_by_row.sql"),
    include_str!("migrations/0009_floor.sql"),
];

/// The first line of a step that does nothing but make tables.
pub(super) const ADDS: &str = "-- Makes tables, and touches nothing that was there.";

/// So many steps one version may bring.
const NEXT: usize = 10;

/// Whether a version that knows so many steps may work on a file that stands at this one.
fn may_work(stands_at: usize, connection: &Connection, steps: usize) -> bool {
    stands_at <= steps || (stands_at <= steps + NEXT && floor(connection) <= steps)
}

/// At which step a file stands.
///
/// # Errors
/// When that is one beside which this version cannot work.
pub(super) fn known(connection: &Connection, path: &Path, steps: &[&str]) -> Result<usize, Failure> {
    let stands_at = version(connection)?;
    if may_work(stands_at, connection, steps.len()) {
        return Ok(stands_at);
    }
    let what = format!(
        "the database {} is of a newer version (schema {stands_at}, this one knows {}): use that version, or another file",
        path.display(),
        steps.len()
    );
    Err(StoreError::new(what).into())
}

/// Begins a change: from the first look on nobody else writes. A newer version may have brought the file forward since
/// it was opened.
///
/// # Errors
/// When this version cannot work beside it: nothing is changed then.
pub(super) fn turn(connection: &mut Connection) -> Result<Transaction<'_>, Failure> {
    let turn = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    ask_floor(&turn)?;
    Ok(turn)
}

/// Begins a look: all that is read is of one moment, and of tables that this version knows.
///
/// # Errors
/// When a newer version brought the file forward since it was opened, and this one cannot work beside it.
pub(super) fn view(connection: &Connection) -> Result<Transaction<'_>, Failure> {
    let view = connection.unchecked_transaction()?;
    ask_floor(&view)?;
    Ok(view)
}

fn ask_floor(connection: &Connection) -> Result<(), Failure> {
    let stands_at: u32 = connection.prepare_cached("PRAGMA user_version")?.query_row([], |row| row.get(0))?;
    if may_work(stands_at as usize, connection, MIGRATIONS.len()) {
        return Ok(());
    }
    let what = format!(
        "a newer version brought the database {} forward (schema {stands_at}, this one knows {}): nothing is read from it or \
         written to it any more before this process is started again in that version",
        connection.path().unwrap_or_default(),
        MIGRATIONS.len()
    );
    Err(StoreError::new(what).into())
}

/// The first step whose versions may work on the file; where it does not say that, only the last.
fn floor(connection: &Connection) -> usize {
    let floor = connection.query_row("SELECT floor FROM run", [], |row| row.get::<_, u32>(0));
    floor.map_or(usize::MAX, |floor| floor as usize)
}

/// Whether nobody has ever written anything to the file.
pub(super) fn is_fresh(connection: &Connection) -> Result<bool, Failure> {
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
    Ok(pages == 0)
}

/// A database of an earlier schema was brought forward.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migrated {
    /// Which one.
    pub path: PathBuf,
    /// The schema that it was of.
    pub from: usize,
    /// The one that it is of now.
    pub to: usize,
    /// A copy of it as it was.
    pub copy: PathBuf,
}

impl fmt::Display for Migrated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, copy) = (self.path.display(), self.copy.display());
        write!(f, "the database {path} goes from schema {} to {}; as it was it lies in {copy}", self.from, self.to)
    }
}

/// Brings a file forward to the last of these steps: all of them or none. It is copied beside itself first.
pub(super) fn migrate(connection: &mut Connection, path: &Path, steps: &[&str]) -> Result<Option<Migrated>, Failure> {
    let stands_at = known(connection, path, steps)?;
    if stands_at >= steps.len() {
        return Ok(None);
    }
    let mut migrated = None;
    if stands_at > 0 {
        let copy = file::dated(path, &format!("schema-{stands_at}"));
        match care::earlier(connection, &copy) {
            // Another process was faster.
            Err(_) if version(connection)? >= steps.len() => return Ok(None),
            copied => copied?,
        }
        let told = Migrated { path: path.to_owned(), from: stands_at, to: steps.len(), copy };
        tracing::info!(name: "keypool.database_migrated", "{told}");
        migrated = Some(told);
    }
    let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // The same.
    let stands_at = version(&step)?;
    for sql in steps.iter().skip(stands_at) {
        step.execute_batch(sql)?;
    }
    if stands_at < steps.len() {
        let floor = steps.iter().rposition(|sql| !sql.starts_with(ADDS)).map_or(0, |last| last + 1);
        step.execute("UPDATE run SET floor = max(floor, ?1)", [floor as u32])?;
        step.pragma_update(None, "user_version", steps.len() as u32)?;
    }
    step.commit()?;
    Ok(migrated)
}

fn version(connection: &Connection) -> Result<usize, Failure> {
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(version as usize)
}
