//! Changes of keys. Several keys are changed together or not at all.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use anyhow::anyhow;
use clap::Args;
use serde_json::json;
use tower_keypool::{
    config::{KeySpec, Origin},
    store::{KeptSecret, KeyBook, KeyRecord, KeySettings},
};

use crate::{
    cli::{Failure, options::Options, runtime, say, say_json, secret},
    database::Place,
    standing::{Configured, now_ms},
    telemetry::plain,
};

/// Which keys, and where.
#[derive(Debug, Args)]
struct Which {
    /// Keys by name
    #[arg(value_name = "KEY", required = true)]
    ids: Vec<String>,

    #[command(flatten)]
    place: Target,
}

#[derive(Debug, Args)]
struct Target {
    #[command(flatten)]
    database: Place,

    /// Print what became of it as JSON
    #[arg(long)]
    json: bool,
}

impl Target {
    /// Changes keys, all of them or none. A database that is not there is made where keys are configured.
    fn edit<T: Send + 'static>(
        &self,
        configured: &[KeySpec],
        edit: impl Fn(&mut KeyBook) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (place, runtime) = (&self.database, runtime()?);
        let store = runtime
            .block_on(async { if configured.is_empty() { place.existing().await } else { place.open().await } })?;
        let edited = store.edit_keys(move |book| {
            // A book that is left as it was writes nothing.
            let mut draft = book.clone();
            let outcome = edit(&mut draft)?;
            *book = draft;
            Ok(outcome)
        });
        runtime.block_on(edited).map_err(Failure::run)?
    }

    fn tell(&self, ids: &[String], what: &str) {
        if self.json {
            say_json(&ids.iter().map(|id| json!({ "id": id, "change": what })).collect::<Vec<_>>());
        } else {
            for id in ids {
                say(&format!("{} is {what}", plain(id)));
            }
        }
    }
}

impl Which {
    /// The same for each key of the database.
    fn each(
        self,
        what: &str,
        change: impl Fn(&mut KeyBook, &str) -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        self.each_with(what, Vec::new(), change)
    }

    /// The same for each key of the database, of files and of variables.
    fn each_anywhere(
        self,
        what: &str,
        change: impl Fn(&mut KeyBook, &str) -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let configured = Configured::of(&self.place.database).keys;
        self.each_with(what, configured, change)
    }

    fn each_with(
        self,
        what: &str,
        configured: Vec<KeySpec>,
        change: impl Fn(&mut KeyBook, &str) -> Result<(), Failure> + Send + 'static,
    ) -> Result<(), Failure> {
        let ids = self.ids;
        let known = configured.clone();
        let changed = self.place.edit(&known, move |book| {
            let mut changed = Vec::with_capacity(ids.len());
            for typed in &ids {
                let typed = know(book, &configured, typed);
                let id = secret::named(book, &typed)?;
                change(book, &id)?;
                changed.push(id);
            }
            Ok(changed)
        })?;
        self.place.tell(&changed, what);
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    #[command(flatten)]
    which: Which,
}

impl Remove {
    pub(super) fn run(self) -> Result<(), Failure> {
        self.which.each("removed", |book, id| book.remove(id).map_err(Failure::config))
    }
}

#[derive(Debug, Args)]
pub(super) struct Disable {
    #[command(flatten)]
    which: Which,

    /// Why; it is shown
    #[arg(long, value_name = "TEXT", default_value = "by hand")]
    reason: String,
}

impl Disable {
    pub(super) fn run(self) -> Result<(), Failure> {
        let reason = self.reason;
        if KeySpec::read(&reason, &[], Origin::Default).is_ok() {
            return Err(Failure::config(anyhow!("--reason: it looks like a key, and reasons are shown")));
        }
        self.which.each_anywhere("disabled", move |book, id| book.disable(id, &reason).map_err(Failure::config))
    }
}

#[derive(Debug, Args)]
pub(super) struct Enable {
    #[command(flatten)]
    which: Which,
}

impl Enable {
    pub(super) fn run(self) -> Result<(), Failure> {
        self.which.each_anywhere("enabled", |book, id| book.enable(id).map_err(Failure::config))
    }
}

#[derive(Debug, Args)]
pub(super) struct Replace {
    /// The key by name
    #[arg(value_name = "KEY")]
    id: String,

    /// The new secret; `-` or nothing: from a prompt that does not show it, or from standard input
    #[arg(value_name = "SECRET|-", allow_hyphen_values = true)]
    secret: Option<String>,

    /// Keep the secret as it is: whoever reads the database has it
    #[arg(long)]
    plain: bool,

    #[command(flatten)]
    place: Target,
}

impl Replace {
    pub(super) fn run(self) -> Result<(), Failure> {
        let spec = secret::ask(self.secret.as_deref())?;
        let database = runtime()?.block_on(self.place.database.existing())?;
        let (kept, made) = secret::keep(&spec, self.plain, &database)?;
        drop(database);
        let (typed, hash) = (self.id, spec.hash());
        let id = self.place.edit(&[], move |book| {
            let id = secret::named(book, &typed)?;
            book.replace(&id, &hash, kept.clone()).map_err(Failure::config)?;
            Ok(id)
        })?;
        if let (Some(file), false) = (&made, self.place.json) {
            say(&secret::made(file));
        }
        self.place.tell(&[id], "replaced");
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(super) struct Set {
    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    options: Options,

    /// Say nothing of these any more: tier priority weight owner billing_account source label limits concurrent
    /// interval zone
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    unset: Vec<String>,
}

impl Set {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { which, options, unset } = self;
        // What is wrong with them is said before anything is touched.
        options.apply(&mut KeySpec::new("", Origin::Default))?;
        let mut blank = KeySettings::default();
        for name in &unset {
            forget(&mut blank, name)?;
        }
        if options.is_empty() && unset.is_empty() {
            return Err(Failure::config(anyhow!("say what is to be set: --weight 1.5, --owner NAME, …")));
        }
        which.each_anywhere("set", move |book, id| {
            let known = |name: &&String| book.by_hash(&KeySpec::new(name.as_str(), Origin::Default).hash()).is_some();
            let mut spec = KeySpec::new("", Origin::Default);
            options.apply(&mut spec)?;
            if [&spec.owner, &spec.billing_account].into_iter().flatten().any(|name| known(&name)) {
                return Err(Failure::config(anyhow!("that name is a key, and names are shown")));
            }
            let mut outcome = Ok(());
            let said = book.say(id, |said| outcome = settle(said, &options, &unset));
            said.map_err(Failure::config)?;
            outcome
        })
    }
}

/// A key of a file or a variable that no pool has had on this database. What the book calls the key, where a file calls
/// it otherwise.
pub(in crate::cli) fn know(book: &mut KeyBook, configured: &[KeySpec], typed: &str) -> String {
    let key = configured.iter().find(|spec| spec.key().key_id().to_string() == typed || spec.secret() == typed);
    if let Some(spec) = key {
        book.know(KeyRecord::of(&spec.key(), KeptSecret::Elsewhere, now_ms()));
        let named = book.by_hash(&spec.hash()).filter(|_| book.find(typed).is_err());
        return named.map_or_else(|| typed.to_owned(), |key| key.record.id.clone());
    }
    typed.to_owned()
}

fn settle(said: &mut KeySettings, options: &Options, unset: &[String]) -> Result<(), Failure> {
    for name in unset {
        forget(said, name)?;
    }
    let mut spec = KeySpec::of_settings("", said, Vec::new());
    options.apply(&mut spec)?;
    *said = KeySettings {
        hash: std::mem::take(&mut said.hash),
        revision: said.revision,
        lifted: said.lifted,
        replaces: std::mem::take(&mut said.replaces),
        ..spec.settings()
    };
    Ok(())
}

fn forget(said: &mut KeySettings, name: &str) -> Result<(), Failure> {
    match name {
        "tier" => said.tier = None,
        "priority" => said.priority = None,
        "weight" => said.weight = None,
        "owner" => said.owner = None,
        "billing_account" => said.billing_account = None,
        "source" => drop(said.labels.remove("source")),
        "label" | "labels" => said.labels.retain(|name, _| name == "source"),
        "limits" => said.limits.clear(),
        "concurrent" => said.max_concurrent = None,
        "interval" => said.min_interval = None,
        "zone" => said.zone = None,
        _ => {
            return Err(Failure::config(anyhow!(
                "--unset: expected names among tier priority weight owner billing_account source label limits \
                 concurrent interval zone"
            )));
        }
    }
    Ok(())
}
