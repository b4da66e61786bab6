//! `keypool db rekey`: another key for the secrets.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use clap::Args;
use serde_json::json;

use super::{Failure, say, say_json};
use crate::database::{Anew, SecretKey, Whose};

/// Encrypt the secrets in the database anew, with the first key of KEYPOOL_SECRET_KEY
#[derive(Debug, Args)]
#[command(after_help = "\
KEYPOOL_SECRET_KEY, its _FILE, or the file beside the database may hold several keys, between commas or lines: the first \
encrypts, each opens. Give every process the new key behind the old one, then in front of it; do this; then take the old one \
out. All is encrypted anew, or nothing where one secret does not open.

Examples:
  KEYPOOL_SECRET_KEY=\"$NEW,$OLD\" keypool db rekey
  (umask 077; openssl rand -hex 32 | cat - keypool.db.key > new && mv new keypool.db.key)
  keypool db rekey --db keypool.db

Exit codes: 0 done, 1 a secret does not open, 2 the command line or the key is wrong, or there is no such database.")]
pub(super) struct Rekey {
    #[command(flatten)]
    database: Whose,

    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Rekey {
    pub(super) async fn run(&self) -> Result<(), Failure> {
        let database = self.database.existing().await?;
        let key = SecretKey::of(database.path()).map_err(Failure::config)?;
        let keys = key.how_many();
        let anew = database.edit_keys(move |book| key.encrypt_anew(book)).await.map_err(Failure::run)?;
        let Anew { now, before } =
            anew.map_err(|error| Failure::run(anyhow::anyhow!("nothing was changed: {error}")))?;
        if self.json {
            let told =
                json!({ "database": database.to_string(), "encrypted_anew": now, "already": before, "keys": keys });
            say_json(&told);
            return Ok(());
        }
        let secrets = |n| if n == 1 { "1 secret".to_owned() } else { format!("{n} secrets") };
        say(&match (now, before) {
            (0, 0) => format!("nothing in {database} is encrypted"),
            (0, n) => format!("the first key opens all that is encrypted in {database} already: {}", secrets(n)),
            (n, before) => format!(
                "{} in {database} {} encrypted with the first key now{}",
                secrets(n),
                if n == 1 { "is" } else { "are" },
                if before == 0 { String::new() } else { format!(", as {before} had been") },
            ),
        });
        if keys > 1 && now + before > 0 {
            // Which of them is the new one nothing tells: in another order the old one encrypts.
            say(&format!(
                "the first of the {keys} keys opens all of it, and must stay; no other is needed for it any more (was the first \
                 one to go? Put the new one in front, and do this again)"
            ));
        }
        Ok(())
    }
}
