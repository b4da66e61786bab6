//! `keypool db`

use std::{io::Read, path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use keypool_store::{SqliteStore, sqlite::MasterKey};
use serde_json::json;

use super::{
    block_on,
    opened::missing,
    output::{Json, count, print, print_json, wrong},
};
use crate::{
    config::{Inputs, Loaded},
    store,
};

/// Back up, check or re-encrypt the database of counts, cooldowns, keys and tenants.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Db {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    output: Json,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 the database cannot be used or is damaged, 2 the command line or the configuration is wrong.";

#[derive(Subcommand)]
enum What {
    /// Copy the database, which may be in use; back up its master key as well, which the copy does not contain
    Backup {
        /// The path of the copy, which must not exist yet
        copy: PathBuf,
    },
    /// Check that the database is intact and that all secrets can be decrypted
    Check,
    /// Encrypt all secrets with another master key; restart gateways afterwards
    ///
    /// If the master key is in the file next to the database, that file is replaced.
    Rekey {
        /// The file with the new master key, or - for standard input; required if the present one is in
        /// KEYPOOL_SECRET_KEY
        #[arg(value_name = "FILE|-", allow_hyphen_values = true)]
        key: Option<String>,
    },
    /// Print the path of the database
    Path,
}

impl Db {
    pub(super) fn run(self, inputs: &Inputs) -> anyhow::Result<ExitCode> {
        let loaded = inputs.load()?;
        let path = store::database_path(&loaded)?.ok_or_else(|| {
            wrong("there is no database: it is turned off by \"none\" (--db, KEYPOOL_DB or [store] path)")
        })?;
        if matches!(self.what, What::Path) {
            self.print(path.display(), &json!({ "path": path.display().to_string() }));
            return Ok(ExitCode::SUCCESS);
        }
        if !path.is_file() {
            return Err(missing(&path));
        }
        block_on(Some(1), async {
            let database = store::open_database(path.clone(), &loaded.environment)?;
            match &self.what {
                What::Backup { copy } => {
                    let copy = std::path::absolute(copy)?;
                    if copy.exists() {
                        return Err(wrong(format!("{}: the file exists already: choose another path", copy.display())));
                    }
                    if let Some(folder) = copy.parent().filter(|folder| !folder.is_dir()) {
                        return Err(wrong(format!("{}: there is no folder {}", copy.display(), folder.display())));
                    }
                    database.backup(&copy).await?;
                    let copy = copy.display().to_string();
                    self.print(
                        format_args!("copied to {copy}"),
                        &json!({ "path": path.display().to_string(), "copy": copy }),
                    );
                }
                What::Check => self.check(&database).await?,
                What::Rekey { key } => {
                    let key = new_key(key.as_deref(), &loaded)?;
                    let keys = database.keys().await?.len();
                    database.rekey(key).await?;
                    let done =
                        format!("{} encrypted with the new master key: restart running gateways", count(keys, "key"));
                    self.print(done, &json!({ "keys": keys, "path": path.display().to_string() }));
                }
                What::Path => {}
            }
            Ok(ExitCode::SUCCESS)
        })
    }

    /// Reads all keys and tenants. The structure was checked when the database was opened.
    async fn check(&self, database: &SqliteStore) -> anyhow::Result<()> {
        let keys = database.keys().await?.len();
        let tenants = database.tenants().await?.len();
        let size = database.size()?;
        let path = database.path().display().to_string();
        self.print(
            format_args!("{path} is intact: {}, {}, {size} bytes", count(keys, "key"), count(tenants, "tenant")),
            &json!({ "ok": true, "path": path, "keys": keys, "tenants": tenants, "size_bytes": size }),
        );
        Ok(())
    }

    fn print(&self, text: impl std::fmt::Display, value: &serde_json::Value) {
        if self.output.json { print_json(value) } else { print(text) }
    }
}

fn new_key(given: Option<&str>, loaded: &Loaded) -> anyhow::Result<MasterKey> {
    let text = match given {
        None => {
            let from_outside = ["KEYPOOL_SECRET_KEY", "KEYPOOL_SECRET_KEY_FILE"];
            if let Some(name) = from_outside.into_iter().find(|name| loaded.environment.get(name).is_some()) {
                return Err(wrong(format!(
                    "the master key comes from {name}: name a file with the new one (`openssl rand -hex 32` makes one)"
                )));
            }
            return Ok(MasterKey::generate()?);
        }
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            text
        }
        Some(file) => {
            std::fs::read_to_string(file).map_err(|error| wrong(format!("the new master key, {file}: {error}")))?
        }
    };
    MasterKey::parse(text.trim()).map_err(|_| {
        let place = given.filter(|given| *given != "-").unwrap_or("standard input");
        wrong(format!(
            "{place}: this is not a master key: expected 64 hexadecimal digits (`openssl rand -hex 32` makes them)"
        ))
    })
}
