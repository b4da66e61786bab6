//! `keypool config`: what it goes by, and what is wrong with that.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tower_keypool::{config::ConfigErrors, store::StoreError};

use super::{Failure, say, say_json, secret, serve::NoKey};
use crate::{
    config::{self, Effective, Inputs},
    database::{Place, Site, Stored},
    telemetry::pretty,
};

/// Check the configuration, show what it comes to, or print its schema.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Config {
    #[command(subcommand)]
    action: Action,
}

const EXAMPLES: &str = "\
Examples:
  keypool config check keypool.toml           every error, each with file, line and what is allowed
  keypool config show                         every setting, and where it was set
  keypool config schema > keypool.schema.json for editors

Exit codes: 0 all is well, 2 something is wrong, or there is no key anywhere.";

#[derive(Debug, Subcommand)]
enum Action {
    /// Say everything that is wrong with file and environment, or that nothing is
    #[command(after_help = "\
Examples:
  keypool config check
  keypool config check keypool.toml")]
    Check(Check),
    /// Print every setting with its value and where it came from; secrets are not shown
    #[command(after_help = "\
Examples:
  keypool config show
  keypool config show --json | jq .pool")]
    Show(Show),
    /// Print the JSON schema of the file
    #[command(after_help = "\
Examples:
  keypool config schema > keypool.schema.json")]
    Schema,
}

#[derive(Debug, Args)]
struct File {
    /// The file [default: as `keypool serve` finds it] [env: KEYPOOL_CONFIG]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    #[command(flatten)]
    database: Place,
}

#[derive(Debug, Args)]
struct Check {
    #[command(flatten)]
    file: File,

    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    file: File,

    /// As JSON
    #[arg(long)]
    json: bool,
}

impl File {
    fn inputs(&self) -> Inputs {
        Inputs { file: self.file.clone().or_else(|| self.database.config().cloned()), ..self.database.inputs() }
    }
}

impl Config {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.action {
            Action::Check(check) => return check.run(),
            Action::Show(Show { file, json }) => {
                let read = |error: &dyn std::fmt::Display| format!("it cannot be read: {error}");
                let look = |site: &Site| {
                    let looked = look(site).map_err(|error| read(&error))?;
                    looked.map_err(|error| read(&error))
                };
                let effective = Effective::of(&file.inputs(), look).map_err(|errors| wrong(&errors))?;
                let text = if json { pretty(&effective.json()) } else { effective.to_string() };
                say(text.trim_end());
            }
            Action::Schema => say(&format!("{:#}", config::schema())),
        }
        Ok(())
    }
}

/// What a check found wrong.
struct Wrong {
    failure: Failure,
    /// A sentence each.
    errors: Vec<String>,
    /// What else is known.
    told: Value,
}

impl Wrong {
    fn all(errors: &ConfigErrors) -> Self {
        Self {
            failure: wrong(errors),
            errors: errors.iter().map(|problem| secret::masked(problem.to_string())).collect(),
            told: json!({}),
        }
    }
}

impl From<Failure> for Wrong {
    fn from(failure: Failure) -> Self {
        Self { errors: vec![secret::masked(failure.to_string())], failure, told: json!({}) }
    }
}

impl Check {
    fn run(self) -> Result<(), Failure> {
        let json = self.json;
        self.find().map_err(|Wrong { failure, errors, mut told }| {
            if json {
                (told["status"], told["errors"]) = ("wrong".into(), errors.into());
                say_json(&told);
            }
            failure
        })
    }

    fn find(self) -> Result<(), Wrong> {
        let Self { file, json } = self;
        let mut notes = Vec::new();
        let inputs = file.inputs();
        let loaded = inputs.load_to_serve().map_err(|errors| Wrong::all(&errors))?;
        let site = Site::of(&loaded.store);
        let rejected = loaded.rejected();
        let stored = match look(&site)? {
            Ok(stored) => stored,
            // A server that is away does not make what stands here wrong, nor does a broken file, which is set
            // aside; a password does.
            Err(error) if error.is_unreachable() || site.path().is_some() => {
                let note = format!("the keys of the database {site} are not looked at: {error}");
                if loaded.lacks_keys() {
                    return Err(Failure::run(anyhow::anyhow!(note)).into());
                }
                notes.push(note);
                None
            }
            Err(error) => return Err(Wrong::all(&inputs.of_store(error))),
        };
        let mut locked = Vec::new();
        let mut shut = 0;
        let mut count_of = |site: &Site, stored: Option<&Stored>| {
            shut += stored.map_or(0, Stored::shut);
            locked.extend(stored.filter(|stored| stored.locked > 0).map(|stored| (site.to_string(), stored.locked)));
        };
        count_of(&site, stored.as_ref());
        let mut loaded = loaded.with(&Stored::sources(stored));
        for beside in &mut loaded.beside {
            let site = site.beside(&beside.name);
            let stored = look(&site)?.unwrap_or_else(|error| {
                notes.push(format!("the keys of the database {site} are not looked at: {error}"));
                None
            });
            count_of(&site, stored.as_ref());
            *beside = beside.with(&Stored::sources(stored));
        }
        if rejected == 0 {
            super::runtime()?.block_on(NoKey::check(&loaded, &site)).map_err(Failure::config)?;
        }
        if let Err(error) = loaded.builder().build() {
            return Err(Failure::config(anyhow::anyhow!("the keys: {error}")).into());
        }
        notes.extend(loaded.notes().map(ToString::to_string));
        notes.extend(loaded.beside.iter().filter_map(config::Beside::none));
        notes.extend(loaded.near_only.iter().map(ToString::to_string));
        notes.extend(loaded.astray());
        if !json {
            for note in &notes {
                say(&format!("note: {note}"));
            }
        }
        if rejected > 0 {
            let lines = config::count(rejected, "line");
            let failure = Failure::config(anyhow::anyhow!("{lines} of key files cannot be used"));
            return Err(Wrong { told: json!({ "rejected_lines": rejected, "notes": notes }), ..failure.into() });
        }
        if let Some((site, locked)) = locked.into_iter().next() {
            let keys = config::count(locked, "key");
            let failure = Failure::config(anyhow::anyhow!(
                "{keys} in the database {site} cannot be decrypted with KEYPOOL_SECRET_KEY, or the file beside it, as \
                 it is here"
            ));
            return Err(Wrong { told: json!({ "not_decrypted": locked, "notes": notes }), ..failure.into() });
        }
        if json {
            let keys = loaded.keys.keys.len();
            say_json(&json!({ "status": "all is well", "keys": keys, "not_to_be_had": shut, "notes": notes }));
            return Ok(());
        }
        let shut = match shut {
            0 => String::new(),
            n => format!("; {} in the database whose secret is not to be had here", config::count(n, "key")),
        };
        let beside =
            |beside: &config::Beside| format!("; provider {}: {}", beside.name, config::by_place(beside.keys()));
        let beside: String = loaded.beside.iter().map(beside).collect();
        say(&format!("all is well: {}{shut}{beside}", config::by_place(&loaded.keys)));
        Ok(())
    }
}

fn look(site: &Site) -> Result<Result<Option<Stored>, StoreError>, Failure> {
    Ok(super::runtime()?.block_on(Stored::look(site)))
}

/// Every error, a line each.
pub(super) fn wrong(errors: &ConfigErrors) -> Failure {
    let count = errors.iter().count();
    let what = if count == 1 { "the configuration is wrong" } else { "the configuration is wrong in several places" };
    let lines: Vec<String> = errors.iter().map(|problem| format!("\n  {problem}")).collect();
    Failure::config(anyhow::anyhow!("{what}:{}", lines.concat()))
}
