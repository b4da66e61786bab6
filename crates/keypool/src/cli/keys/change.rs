//! Changes of keys. Several keys are changed together or not at all.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use anyhow::anyhow;
use clap::Args;
use serde_json::json;
use tower_keypool::{config::KeySpec, store::KeyBook};

use crate::{
    cli::{
        Failure,
        options::{Options, wrong},
        runtime, say, say_json, secret,
    },
    database::{self, DatabaseError, Whose},
    edits::{self, EditError, Elsewhere, Words},
    standing::Configured,
    telemetry::plain,
};

/// What becomes of a key that leaves.
const REMOVED: &str = "removed";

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
    database: Whose,

    /// Print what became of it as JSON
    #[arg(long)]
    json: bool,
}

impl Target {
    /// Changes keys, all of them or none. A database that is not there is made where keys are configured.
    fn edit<T: Send + 'static>(
        &self,
        configured: &[KeySpec],
        edit: impl Fn(&mut KeyBook) -> Result<T, EditError> + Send + 'static,
    ) -> Result<T, Failure> {
        let (place, runtime) = (&self.database, runtime()?);
        let store = runtime
            .block_on(async { if configured.is_empty() { place.existing().await } else { place.open().await } })?;
        Ok(runtime.block_on(edits::edit(&store, edit))?)
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
        change: impl Fn(&mut KeyBook, &str) -> Result<(), EditError> + Send + 'static,
    ) -> Result<(), Failure> {
        self.each_with(what, Vec::new(), change)
    }

    /// The same for each key of the database, of files and of variables.
    fn each_anywhere(
        self,
        what: &str,
        change: impl Fn(&mut KeyBook, &str) -> Result<(), EditError> + Send + 'static,
    ) -> Result<(), Failure> {
        let configured = Configured::of(&self.place.database).keys;
        self.each_with(what, configured, change)
    }

    fn each_with(
        self,
        what: &str,
        configured: Vec<KeySpec>,
        change: impl Fn(&mut KeyBook, &str) -> Result<(), EditError> + Send + 'static,
    ) -> Result<(), Failure> {
        let ids = self.ids;
        let known = configured.clone();
        let changed = self.place.edit(&known, move |book| {
            let mut changed = Vec::with_capacity(ids.len());
            for typed in &ids {
                let id = edits::find(book, &configured, typed)
                    .map_err(|error| edits::naming_near(error, book, &configured, typed))?;
                let has_left = book.find(&id)?.has_left();
                change(book, &id)?;
                changed.push((id, has_left));
            }
            Ok(changed)
        })?;
        let (ids, left): (Vec<String>, Vec<bool>) = changed.into_iter().unzip();
        self.place.tell(&ids, what);
        for (id, _) in ids.iter().zip(left).filter(|(_, has_left)| *has_left && what != REMOVED) {
            eprintln!(
                "keypool: note: {} has left: nobody has its secret by now; what is said of it holds once it is back",
                plain(id)
            );
        }
        Ok(())
    }
}

/// Keys of files and variables, those of the database apart.
fn of_files(database: &Whose) -> Vec<KeySpec> {
    Configured::of(database).keys
}

#[derive(Debug, Args)]
pub(super) struct Remove {
    #[command(flatten)]
    which: Which,
}

impl Remove {
    pub(super) fn run(self) -> Result<(), Failure> {
        let place = &self.which.place.database;
        let Configured { keys: configured, exits, .. } = Configured::of(place);
        // Where the configuration cannot be read, or a gateway has keys of its own, somebody may have it.
        let (is_served, elsewhere) = runtime()?.block_on(async {
            let database = place.existing().await?;
            let elsewhere = Elsewhere::of(&database, configured.clone()).await?;
            Ok::<_, DatabaseError>((database::is_served(&database).await?, elsewhere))
        })?;
        let all_known = exits.is_some() && !is_served;
        self.which.each(REMOVED, move |book, id| {
            edits::removable(book, &elsewhere, id)?;
            let key = book.find(id)?;
            let hash = key.record.hash.clone();
            let is_nowhere = !key.is_kept() && configured.iter().all(|spec| spec.hash() != hash);
            if all_known && is_nowhere && !key.has_left() {
                book.part(&hash);
                return Ok(());
            }
            Ok(book.remove(id)?)
        })
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
        edits::reason(&reason).map_err(|error| Failure::config(anyhow!("--reason: {error}")))?;
        let configured = Configured::of(&self.which.place.database).keys;
        if configured.iter().any(|spec| reason.contains(spec.secret())) {
            return Err(Failure::config(anyhow!("--reason: {}", edits::HOLDS_A_KEY)));
        }
        self.which.each_anywhere("disabled", move |book, id| edits::disable(book, id, &reason))
    }
}

#[derive(Debug, Args)]
pub(super) struct Enable {
    #[command(flatten)]
    which: Which,
}

impl Enable {
    pub(super) fn run(self) -> Result<(), Failure> {
        self.which.each_anywhere("enabled", |book, id| Ok(book.enable(id)?))
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
        let (runtime, configured) = (runtime()?, of_files(&self.place.database));
        // Nobody is asked for the secret of a key that is not there.
        let database = runtime.block_on(self.place.database.existing())?;
        let book = runtime.block_on(database.key_book()).map_err(Failure::run)?;
        let elsewhere = runtime.block_on(Elsewhere::of(&database, configured.clone())).map_err(Failure::run)?;
        edits::kept_here_alone(&book, &elsewhere, &self.id)
            .map_err(|error| edits::naming_near(error, &book, &configured, &self.id))?;
        let spec = secret::ask(self.secret.as_deref())?;
        edits::no_token(&spec, &runtime.block_on(self.place.database.tokens(&database))?)?;
        crate::cli::options::note_unknown_tokens(&self.place.database);
        let kept = runtime.block_on(edits::keep(&spec, self.plain, &database, Some(&self.id)))?;
        let made = kept.made.clone();
        let (typed, hash) = (self.id, spec.hash());
        let id = self.place.edit(&[], move |book| {
            let id = edits::kept_here_alone(book, &elsewhere, &typed)?;
            let secret = kept.for_book(book, Some(&id))?;
            book.replace(&id, &hash, secret)?;
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

    /// Say nothing of these any more: tier priority weight owner exit billing_account source label limits
    /// concurrent interval zone
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    unset: Vec<String>,
}

impl Set {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { which, options, unset } = self;
        // What is wrong with them is said before anything is touched.
        let words = Words { unset, ..options.words() };
        words.check().map_err(|error| wrong(&error))?;
        if words.is_empty() {
            return Err(Failure::config(anyhow!("say what is to be set: --weight 1.5, --owner NAME, …")));
        }
        let database = which.place.database.clone();
        let configured = of_files(&database);
        let overruled = |id: &String| Some((id.clone(), edits::overruled(&words, &configured, id)?));
        let overruled: Vec<_> = which.ids.iter().filter_map(overruled).collect();
        which.each_anywhere("set", move |book, id| words.say(book, id))?;
        for (id, overruled) in overruled {
            eprintln!("keypool: note: {}: {}", plain(&id), plain(&overruled.sentence));
        }
        options.note_exit(&database);
        Ok(())
    }
}
