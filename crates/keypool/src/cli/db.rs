//! `keypool db`: care for the database.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde_json::json;
use tower_keypool::store::Sqlite;

use super::{Failure, rekey::Rekey, say, say_json};
use crate::database::{Place, SecretKey, Site};

/// Copy the database, look through it, or encrypt its secrets anew.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Db {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Copy all that is in it to a new file, while others may work on it
    #[command(after_help = "\
A copy is put back with mv, also under processes that go on. Never with cp onto a database in use: what they hold of the one before \
would go into it, and it is broken.

Examples:
  keypool db backup keypool-2026-06-15.db
  mv keypool-2026-06-15.db ~/.local/state/keypool/keypool.db    put it back")]
    Backup {
        /// The copy: a file that is not there yet
        file: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: Place,
    },
    /// Look through all of it: exit code 1 when something is wrong
    #[command(after_help = "\
Examples:
  keypool db check --db /var/lib/keypool/keypool.db")]
    Check {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        database: Place,
    },
    Rekey(Rekey),
}

const EXAMPLES: &str = "\
Examples:
  keypool db backup keypool-2026-06-15.db
  keypool db check --db /var/lib/keypool/keypool.db
  KEYPOOL_SECRET_KEY=\"$NEW,$OLD\" keypool db rekey

Exit codes: 0 done, 1 the database is not whole or cannot be copied, 2 the command line is wrong, or names no \
database that this user may open.";

impl Db {
    pub(super) fn run(self) -> Result<(), Failure> {
        let database = match &self.task {
            Task::Backup { database, .. } | Task::Check { database, .. } => database,
            Task::Rekey(rekey) => return super::runtime()?.block_on(rekey.run()),
        };
        let site = database.site().map_err(|errors| super::config::wrong(&errors))?;
        let path = match &site {
            Site::File { path, .. } => path.clone(),
            Site::Memory => return Err(Failure::config(anyhow!("name the database with --db"))),
            Site::Server(_) => {
                return Err(Failure::config(anyhow!(
                    "{site} is looked after with Redis' own tools (redis-cli BGSAVE, INFO persistence); this is for files"
                )));
            }
        };
        if !path.exists() {
            return Err(Failure::config(anyhow!("there is no database {}", path.display())));
        }
        super::runtime()?.block_on(async {
            let wrong = |error| super::config::wrong(&database.inputs().of_store(error));
            Sqlite::may_open(&path).map_err(wrong)?;
            let store = Sqlite::inspect(&path).map_err(Failure::run)?;
            match &self.task {
                Task::Rekey(_) => Ok(()),
                Task::Backup { file, json, .. } => backup(&store, &path, file, *json).await,
                Task::Check { json, .. } => check(&store, &path, *json).await,
            }
        })
    }
}

async fn backup(store: &Sqlite, path: &Path, file: &Path, json: bool) -> Result<(), Failure> {
    // First: a copy that is told of as a failure would be in the way of the next try.
    let secret_key = SecretKey::of(Some(path)).map_err(Failure::config)?;
    store.backup(file).await.map_err(Failure::run)?;
    let key = secret_key.file();
    if json {
        say_json(&json!({ "database": path, "copy": file, "secret_key": key }));
        return Ok(());
    }
    say(&format!("{} is copied to {}", path.display(), file.display()));
    if let Some(key) = key {
        say(&format!("what opens its secrets is not in the copy: {}", key.display()));
    }
    Ok(())
}

async fn check(store: &Sqlite, path: &Path, json: bool) -> Result<(), Failure> {
    let mut problems = store.check().await.map_err(Failure::run)?;
    let key = SecretKey::of(Some(path)).map_err(Failure::run)?;
    // Of a broken one, or one of an earlier version, not all can be read. A copy has no key beside it.
    let mut untried = 0;
    if let (true, Ok(book)) = (problems.is_empty(), store.command_keys().await) {
        let records = || book.keys().map(|(_, key)| &key.record);
        untried = key.cannot_try(records());
        if key.is_there() {
            problems.extend(key.opens(records()).err().map(|error| error.to_string()));
        }
    }
    if !problems.is_empty() {
        if json {
            say_json(&json!({ "database": path, "whole": false, "problems": problems }));
        }
        return Err(Failure::run(anyhow!("{} is not whole: {}", path.display(), problems.join("; "))));
    }
    let held = store.contents().await.map_err(Failure::run)?;
    if json {
        say_json(&json!({
            "database": path, "whole": true, "problems": problems, "schema": held.schema, "bytes": held.bytes,
            "wal_bytes": held.wal_bytes, "keys": held.keys, "rests": held.rests, "windows": held.windows,
            "usage": held.usage, "imports": held.imports, "journal": held.journal,
            "processes": held.processes, "lent": held.lent, "untried_secrets": untried,
        }));
        return Ok(());
    }
    say(&format!(
        "{} is whole: schema {}, {} KiB and {} KiB of -wal; {}, {}, counts of {} by model, {}, {}, {}; \
         {} on it; {} that processes share",
        path.display(),
        held.schema,
        held.bytes.div_ceil(1024),
        held.wal_bytes.div_ceil(1024),
        many(held.keys, "key"),
        many(held.rests, "rest"),
        many(held.windows, "owner"),
        many(held.usage, "row of use"),
        many(held.imports, "import"),
        many(held.journal, "batch to be summed up"),
        many(held.processes, "process"),
        many(held.lent, "owner"),
    ));
    if untried > 0 {
        say(&format!(
            "not tried, since the key for what is encrypted is not here (KEYPOOL_SECRET_KEY, or the file beside the \
             database): {}",
            many(untried as u64, "secret"),
        ));
    }
    Ok(())
}

/// `1 row of use`, `2 rows of use`.
fn many(n: u64, what: &str) -> String {
    if n == 1 {
        return format!("1 {what}");
    }
    let (noun, rest) = what.split_at(what.find(' ').unwrap_or(what.len()));
    let end = if noun.ends_with("ch") || noun.ends_with('s') { "es" } else { "s" };
    format!("{n} {noun}{end}{rest}")
}
