//! Copies, and looks at whether a file is whole.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags};

use super::{
    Sqlite,
    failure::Failure,
    file, gap,
    migrate::{self, MIGRATIONS},
    read, shape, sharing,
};
use crate::{store::StoreError, time::Clock};

/// Larger files are not looked through whenever they are opened: so much takes some 20 ms.
const GLANCE: u64 = 16 << 20;

/// Whether a file is a database whose pages fit together, as far as that shows at once.
pub(super) fn glance(connection: &Connection, path: &Path) -> Result<(), Failure> {
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    if std::fs::metadata(path).is_ok_and(|file| file.len() > GLANCE) {
        return Ok(());
    }
    match problems(connection, "quick_check")?.into_iter().next() {
        None => Ok(()),
        Some(problem) => Err(Failure::broken(problem)),
    }
}

/// The same of what lies on the disk by now, whatever somebody who works on it holds in his memory.
pub(super) fn look_through(path: &Path) -> Result<(), Failure> {
    let read = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file::by_name(path), read)?;
    connection.busy_timeout(Duration::ZERO)?;
    glance(&connection, path)
}

/// What SQLite finds wrong.
fn problems(connection: &Connection, check: &str) -> Result<Vec<String>, Failure> {
    let mut statement = connection.prepare(&format!("PRAGMA {check}(10)"))?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

/// The same, of a file that goes on: opened in its place, the copy does not know what was used since.
pub(super) fn earlier(connection: &Connection, to: &Path) -> Result<(), Failure> {
    copy(connection, to)?;
    gap::mark_copy(to).inspect_err(|_| drop(std::fs::remove_file(to)))
}

/// A copy of all that is in it now, in a new file of its owner's alone.
pub(super) fn copy(connection: &Connection, to: &Path) -> Result<(), Failure> {
    let failed = |error| StoreError::because(format!("cannot make the copy {}", to.display()), error);
    let was_there = to.exists();
    let length = file::private(to).and_then(|file| file.metadata()).map_err(failed)?.len();
    if length > 0 {
        return Err(StoreError::new(format!("{} is there already: choose another name", to.display())).into());
    }
    let by_name = file::by_name(to);
    let name = by_name.to_str().ok_or_else(|| StoreError::new("a copy's name must be UTF-8"))?;
    let copied = connection.execute("VACUUM INTO ?1", [name]);
    if copied.is_err() {
        // What was begun of it is no copy.
        let _ = std::fs::remove_file(file::beside(to, "-journal"));
        let _ = if was_there { std::fs::write(to, "") } else { std::fs::remove_file(to) };
    }
    copied?;
    Ok(())
}

impl Sqlite {
    /// Copies all that is in it now to a new file, while others may work on it. Should that be put in the place of the first,
    /// whoever works on it takes what was used since for as much as limits allow (a whole day, where it may be).
    ///
    /// # Errors
    /// When that file is there already and not empty, or cannot be written.
    pub async fn backup(&self, to: impl AsRef<Path>) -> Result<(), StoreError> {
        let to = to.as_ref().to_owned();
        let shown = to.display().to_string();
        let copied = self.run(move |desk| earlier(&desk.connection, &to)).await;
        copied.map_err(
            |error| {
                if error.is_broken() { error } else { StoreError::because(format!("no copy {shown}"), error) }
            },
        )
    }

    /// Looks through all of it: what is wrong, in sentences; none when it is whole, every row can be read, and nobody but
    /// its owner may read the files.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub async fn check(&self) -> Result<Vec<String>, StoreError> {
        let path = self.path().to_owned();
        self.run(move |desk| {
            let mut wrong = problems(&desk.connection, "integrity_check")?;
            if wrong.is_empty() && migrate::known(&desk.connection, &path, MIGRATIONS)? == MIGRATIONS.len() {
                wrong.extend(shape::missing(&desk.connection)?);
                if wrong.is_empty() {
                    wrong.extend(unread(&desk.connection)?);
                }
            }
            wrong.extend(open_to_others(&path));
            Ok(wrong)
        })
        .await
    }

    /// How much is in it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn contents(&self) -> Result<Contents, StoreError> {
        let path = self.path().to_owned();
        self.run(move |desk| {
            let schema = migrate::known(&desk.connection, &path, MIGRATIONS)?;
            let bytes = |end| std::fs::metadata(file::beside(&path, end)).map_or(0, |file| file.len());
            // Of an older schema some are not there yet.
            let rows = |table: &str| -> u64 {
                let count = format!("SELECT count(*) FROM {table}");
                desk.connection.query_row(&count, [], |row| row.get(0)).map_or(0, read::count)
            };
            let now = Clock::system().now().wall_ms();
            Ok(Contents {
                schema,
                bytes: bytes(""),
                wal_bytes: bytes("-wal"),
                keys: rows("api_keys"),
                imports: rows("import_history"),
                usage: rows("key_usage"),
                windows: rows("windows"),
                rests: rows("rests"),
                journal: rows("journal"),
                processes: rows(&format!("board_holders WHERE until > {now} AND record ->> 'ended' IS NOT 1")),
                lent: rows("board_units"),
            })
        })
        .await
    }
}

/// How much is in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Contents {
    /// The number of its schema.
    pub schema: usize,
    /// The file's size.
    pub bytes: u64,
    /// The size of `-wal` beside it: what is not in the file itself yet.
    pub wal_bytes: u64,
    /// Keys, those that left included.
    pub keys: u64,
    /// Imports made.
    pub imports: u64,
    /// Days' use, by key and lane.
    pub usage: u64,
    /// Owners in lanes whose counts it has.
    pub windows: u64,
    /// Rests.
    pub rests: u64,
    /// Batches that are not in their tables yet.
    pub journal: u64,
    /// Processes that share it: those that did not end, and whose leases have not either.
    pub processes: u64,
    /// Owners in lanes that they lend each other.
    pub lent: u64,
}

/// A table, its rows that say nothing which this version understands, what is wrong with them, and what they are called.
struct Rule {
    table: &'static str,
    wrong: &'static str,
    words: &'static str,
    name: &'static str,
}

const fn rule(table: &'static str, wrong: &'static str, words: &'static str, name: &'static str) -> Rule {
    Rule { table, wrong, words, name }
}

const RULES: [Rule; 11] = [
    rule(
        "api_keys",
        "secret_form NOT IN ('elsewhere', 'reference', 'sealed', 'plain')",
        "their secret is kept in a form that this version does not know",
        "id",
    ),
    rule(
        "api_keys",
        "(secret_form = 'elsewhere') <> (secret IS NULL)",
        "a secret is missing, or there where none belongs",
        "id",
    ),
    rule(
        "api_keys",
        "state NOT IN ('active', 'disabled', 'faulty', 'removed')",
        "this version does not know their state",
        "id",
    ),
    rule(
        "key_usage",
        "date(day) IS NOT day OR input_tokens < 0 OR output_tokens < 0",
        "the day is none, or tokens are below 0",
        "id || ' on ' || day",
    ),
    rule(
        "windows",
        "NOT (json_valid(counts) AND json_valid(credit) AND json_valid(learned))",
        "the counts are no JSON",
        "owner || iif(lane = '', '', ' in ' || lane)",
    ),
    rule("board_units", "NOT json_valid(record)", "what is lent of it is no JSON", "replace(unit, char(10), ' of ')"),
    rule(
        "board_holders",
        "NOT (json_valid(record) AND json_valid(untold))",
        "what the process holds is no JSON",
        "holder",
    ),
    rule("board_rosters", "NOT json_valid(units)", "what a process can serve is no JSON", "roster"),
    rule("board", "NOT json_valid(head)", "what processes tell each other is no JSON", "'its one'"),
    rule("key_settings", "NOT json_valid(said)", "what commands said of the key is no JSON", "substr(hash, 1, 12)"),
    rule("import_history", "NOT json_valid(rejected)", "the lines that were rejected are no JSON", "number"),
];

/// So many rows are named.
const NAMED: usize = 3;

/// What is wrong with rows, by their names.
fn unread(connection: &Connection) -> Result<Vec<String>, Failure> {
    let mut wrong = Vec::new();
    for Rule { table, wrong: rule, words, name } in RULES {
        let rows: i64 =
            connection.query_row(&format!("SELECT count(*) FROM {table} WHERE {rule}"), [], |row| row.get(0))?;
        if rows > 0 {
            let names = format!("SELECT CAST({name} AS TEXT) FROM {table} WHERE {rule} LIMIT {NAMED}");
            let mut statement = connection.prepare(&names)?;
            let names = statement.query_map([], |row| row.get::<_, Option<String>>(0))?;
            let names: Vec<String> = names.filter_map(|name| shown(&name.ok()??)).collect();
            let more = if rows as usize > names.len() { ", …" } else { "" };
            let names = if names.is_empty() { String::new() } else { format!(" ({}{more})", names.join(", ")) };
            wrong.push(format!("{table}: {}{names}: {words}", many(rows as usize)));
        }
    }
    let runs: i64 = connection.query_row("SELECT count(*) FROM run", [], |row| row.get(0))?;
    if runs != 1 {
        wrong.push(format!("run: {}, not one", many(runs as usize)));
    }
    let crashes: i64 =
        connection.query_row("SELECT count(*) FROM run WHERE NOT json_valid(crashes)", [], |row| row.get(0))?;
    if crashes > 0 {
        wrong.push("run: what crashed is no JSON".to_owned());
    }
    // What is JSON may say nothing all the same.
    if wrong.is_empty()
        && let Err(failure) = sharing::seen(&connection.unchecked_transaction()?)
    {
        wrong.push(failure.to_string());
    }
    let left_out = read::left_out(connection)?;
    wrong.extend(
        left_out
            .into_iter()
            .filter(|(_, rows)| *rows > 0)
            .map(|(table, n)| format!("{table}: {} that this version cannot read", many(n))),
    );
    Ok(wrong)
}

fn many(n: usize) -> String {
    format!("{n} {}", if n == 1 { "row" } else { "rows" })
}

/// A name as it may be printed: nobody knows what stands in a row that is broken.
fn shown(name: &str) -> Option<String> {
    let fits = (1..=160).contains(&name.len()) && !name.chars().any(char::is_control);
    fits.then(|| name.to_owned())
}

/// Files that others than their owner may read or write.
#[cfg(unix)]
fn open_to_others(path: &Path) -> Vec<String> {
    use std::os::unix::fs::PermissionsExt;
    let files = ["", "-wal", "-shm", ".lock"].map(|end| file::beside(path, end)).into_iter();
    let modes = files.filter_map(|file| Some((std::fs::metadata(&file).ok()?.permissions().mode() & 0o777, file)));
    let open = modes.filter(|(mode, _)| mode & 0o077 != 0);
    open.map(|(mode, file)| format!("{} is open to others (mode {mode:03o}): chmod 600", file.display())).collect()
}

#[cfg(not(unix))]
fn open_to_others(_: &Path) -> Vec<String> {
    Vec::new()
}
