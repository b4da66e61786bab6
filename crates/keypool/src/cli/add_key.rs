//! `keypool add-key`: a key into the database.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::json;
use tower_keypool::{
    config::KeySpec,
    store::{Added, KeptSecret},
};

use super::{
    Failure,
    options::{Options, wrong},
    say, say_json, secret,
};
use crate::{
    database::Whose,
    edits::{self, Kept},
    standing,
    telemetry::plain,
};

/// Keep a key in the database, for every keypool command on this machine; a gateway that runs takes it within 2 s.
///
/// Its secret is encrypted with KEYPOOL_SECRET_KEY, else with a key that is made in a file beside the database when it
/// is first needed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AddKey {
    /// The key; `-` or nothing: from a prompt that does not show it, or from standard input, which are better places
    #[arg(value_name = "KEY|-", allow_hyphen_values = true)]
    key: Option<String>,

    /// Keep only the name of the variable that holds the secret: it must be set wherever the key is to serve
    #[arg(long, value_name = "NAME", conflicts_with_all = ["key", "file", "plain"])]
    env: Option<String>,

    /// Keep only the path of the file that holds the secret, and nothing else
    #[arg(long, value_name = "PATH", conflicts_with_all = ["key", "plain"])]
    file: Option<PathBuf>,

    /// Keep the secret as it is: whoever reads the database has it
    #[arg(long)]
    plain: bool,

    /// Names it in logs [default: k- and 8 hex digits of the secret's hash]
    #[arg(long, value_name = "NAME")]
    id: Option<String>,

    #[command(flatten)]
    options: Options,

    #[command(flatten)]
    database: Whose,

    /// Print what became of it as JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  keypool add-key                                 asks for the key and does not show it
  pass show gemini | keypool add-key - --id work --tier free --owner project-a
  keypool add-key --env WORK_KEY --id work        keeps the variable's name, not the secret
  keypool add-key --file /run/secrets/gemini --weight 1.5 --source vault
  keypool add-key && keypool serve

Exit codes: 0 it is in the database, now or already, 1 the database cannot be read or written, 2 the command line is \
wrong, or that is no key.";

impl AddKey {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (mut spec, reference) = self.secret()?;
        if let Some(id) = &self.id {
            spec.set("id", id).map_err(|error| wrong(&edits::wrong("id", &error)))?;
        }
        self.options.words().apply(&mut spec).map_err(|error| wrong(&error))?;
        let runtime = super::runtime()?;
        let store = runtime.block_on(self.database.open())?;
        edits::no_token(&spec, &runtime.block_on(self.database.tokens(&store))?)?;
        super::options::note_unknown_tokens(&self.database);
        let kept = match reference {
            Some(reference) => Kept::by_reference(reference),
            None => runtime.block_on(edits::keep(&spec, self.plain, &store, None))?,
        };
        let made = kept.made.clone();
        let how = match kept.secret() {
            KeptSecret::Reference(place) => format!("its secret is in {}", plain(place)),
            KeptSecret::Plain(_) => "its secret is kept as it is".to_owned(),
            _ => "its secret is encrypted".to_owned(),
        };
        let created = standing::now_ms();
        let added = edits::edit(&store, move |book| {
            let secret = kept.for_book(book, None)?;
            edits::add(book, &spec, secret, created)
        });
        let (added, off) = runtime.block_on(added)?;
        self.options.note_exit(&self.database);
        let path = store.to_string();
        if let (Some(file), false) = (&made, self.json) {
            say(&secret::made(file));
        }
        let (id, new) = match added {
            Added::New(id) => (id, true),
            Added::Known(id) => (id, false),
        };
        if self.json {
            say_json(&json!({ "id": id, "added": new, "database": path, "disabled": off, "secret_key_file": made }));
        } else if new {
            say(&format!("added {} to {}; {how}", plain(&id), plain(&path)));
        } else {
            let id = plain(&id);
            say(&format!("it is there already: {id}; nothing was changed (`keypool keys set {id} …` does)"));
        }
        if let (Some(reason), false) = (&off, self.json) {
            say(&format!("it is switched off: {} (`keypool keys enable {}`)", plain(reason), plain(&id)));
        }
        Ok(())
    }

    /// The key, and where its secret is where that alone is kept.
    fn secret(&self) -> Result<(KeySpec, Option<KeptSecret>), Failure> {
        if let Some(name) = &self.env {
            let value = std::env::var(name).map_err(|_| {
                let name = if secret::read(name).is_ok() { "(not shown: it may be a key)" } else { name };
                Failure::config(anyhow!("--env: the variable {} is not set", plain(name)))
            })?;
            return Ok((secret::read(&value)?, Some(KeptSecret::Reference(format!("env:{name}")))));
        }
        if let Some(path) = &self.file {
            let path = std::path::absolute(path).map_err(Failure::run)?;
            let value = tower_keypool::config::read_text(&path)
                .with_context(|| format!("--file {}: it cannot be read", path.display()))
                .map_err(Failure::config)?;
            let place = path.to_str().ok_or_else(|| Failure::config(anyhow!("--file: a path must be UTF-8")))?;
            return Ok((secret::read(&value)?, Some(KeptSecret::Reference(format!("file:{place}")))));
        }
        if let Some(key) = self.key.as_deref().filter(|key| key.contains('/') && Path::new(key).is_file()) {
            return Err(Failure::config(anyhow!("{} is a file: --file keeps its path", plain(key))));
        }
        Ok((secret::ask(self.key.as_deref())?, None))
    }
}
