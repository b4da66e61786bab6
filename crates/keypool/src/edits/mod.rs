//! Changes of keys by hand, whoever makes them: a command, or an administrator of a running gateway. All go through the
//! database's [`KeyBook`], several keys together or not at all.

mod configured;
mod keeping;
mod near;
mod overruled;
mod shown;
mod tokens;

use std::fmt;

use tower_keypool::{
    config::{
        KeySpec, Origin, is_model_name,
        key_file::{KeyFile, LineError, Skipped},
    },
    store::{Added, BookError, ImportRecord, Keeping, KeptSecret, KeyBook, KeyRecord, KeySettings, StoreError},
};

pub use configured::{Elsewhere, kept_here_alone, one_name, removable};
use keeping::Ring;
pub use keeping::{Kept, keep};
pub use near::naming_near;
pub use overruled::overruled;
use shown::shows_a_key;
pub use shown::{HOLDS_A_KEY, disable, reason, shown_of};
pub use tokens::{no_token, without_tokens};

use crate::{database::Database, gateway::token::PLACEHOLDER, standing::now_ms};

/// Why nothing was changed.
#[derive(Debug)]
pub enum EditError {
    /// A person can set it right. Never holds what may be a secret.
    Wrong(String),
    /// The key stands in a file or a variable too, where a person changes it.
    Configured(String),
    /// The book would not have it.
    Book(BookError),
    /// The database did not do it.
    Store(StoreError),
}

impl EditError {
    fn wrong(why: impl Into<String>) -> Self {
        Self::Wrong(why.into())
    }
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(why) | Self::Configured(why) => f.write_str(why),
            Self::Book(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for EditError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Store(error) => error.source(),
            _ => None,
        }
    }
}

impl From<BookError> for EditError {
    fn from(error: BookError) -> Self {
        Self::Book(error)
    }
}

impl From<StoreError> for EditError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Changes keys, all of them or none.
///
/// # Errors
/// What `edit` said, or the database.
pub async fn edit<T: Send + 'static>(
    database: &Database,
    edit: impl Fn(&mut KeyBook) -> Result<T, EditError> + Send + 'static,
) -> Result<T, EditError> {
    let edited = database.edit_keys(move |book| {
        // A book that is left as it was writes nothing.
        let mut draft = book.clone();
        let outcome = edit(&mut draft)?;
        *book = draft;
        Ok(outcome)
    });
    edited.await?
}

/// A key's secret, if it is one.
///
/// # Errors
/// What it is instead.
pub fn read(text: &str, from: &'static str) -> Result<KeySpec, EditError> {
    KeySpec::read(text, &[PLACEHOLDER], Origin::named(from))
        .map_err(|error| EditError::Wrong(format!("that is no API key: {error}")))
}

/// The key that is meant by what was typed: a name, or the secret itself, which is not repeated.
///
/// # Errors
/// When there is none, or several.
pub fn named(book: &KeyBook, typed: &str) -> Result<String, EditError> {
    if let Some(key) = book.by_hash(&KeySpec::new(typed, Origin::Default).hash()) {
        return Ok(key.record.id.clone());
    }
    match book.find(typed) {
        Err(_) if KeySpec::read(typed, &[], Origin::Default).is_ok() => Err(EditError::wrong(
            "the database has no such key (what was typed may be a secret, and is not shown); `keypool keys` lists \
             them by name",
        )),
        Err(error) => Err(error.into()),
        Ok(key) => Ok(key.record.id.clone()),
    }
}

/// The same of all keys there are, those of files and variables that no pool has had on this database included.
///
/// # Errors
/// Those of [`named`].
pub fn find(book: &mut KeyBook, configured: &[KeySpec], typed: &str) -> Result<String, EditError> {
    let key = configured.iter().find(|spec| spec.key().key_id().to_string() == typed || spec.secret() == typed);
    if let Some(spec) = key {
        book.know(KeyRecord::of(&spec.key(), KeptSecret::Elsewhere, now_ms()));
        // What the book calls the key, where a file calls it otherwise.
        if let Some(key) = book.by_hash(&spec.hash()).filter(|_| book.find(typed).is_err()) {
            return named(book, &key.record.id.clone());
        }
    }
    named(book, typed)
}

/// Whether a key is in some pool, or may be: of one that left nothing that is said acts anywhere.
///
/// # Errors
/// When it left, or there is none.
pub fn is_there(book: &KeyBook, id: &str) -> Result<(), EditError> {
    if book.find(id)?.has_left() { Err(BookError::Removed(id.to_owned()).into()) } else { Ok(()) }
}

/// Has the database know of these keys of files and variables, as it does of those that a pool had.
pub fn note(book: &mut KeyBook, configured: &[KeySpec]) {
    for spec in configured {
        book.know(KeyRecord::of(&spec.key(), KeptSecret::Elsewhere, now_ms()));
    }
}

/// What is said of a key: names and values as in a key file.
#[derive(Clone, Debug, Default)]
pub struct Words {
    /// Names and values.
    pub said: Vec<(&'static str, String)>,
    /// The model that limits are for; every model without its own where there is none.
    pub model: Option<String>,
    /// Nothing is said of these any more.
    pub unset: Vec<String>,
}

/// What cannot be said, by its name.
#[derive(Debug)]
pub struct WrongWord {
    /// The name.
    pub name: &'static str,
    /// Why.
    pub why: String,
}

impl From<WrongWord> for EditError {
    fn from(wrong: WrongWord) -> Self {
        Self::Wrong(format!("{}: {}", wrong.name, wrong.why))
    }
}

impl Words {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.said.is_empty() && self.unset.is_empty()
    }

    /// Says it of this key.
    ///
    /// # Errors
    /// The first that cannot be said.
    pub fn apply(&self, spec: &mut KeySpec) -> Result<(), WrongWord> {
        // Limits are read into a key of their own, since a key file knows no model.
        let mut limits = KeySpec::new(spec.secret().to_owned(), Origin::Default);
        for (name, value) in &self.said {
            let to = if matches!(*name, "rpm" | "tpm" | "rpd") { &mut limits } else { &mut *spec };
            to.set(name, value).map_err(|error| wrong(name, &error))?;
        }
        let model = self.model.as_deref().unwrap_or("*");
        if !is_model_name(model) {
            let why = "expected a model's name: 1 to 256 bytes without spaces".to_owned();
            return Err(WrongWord { name: "model", why });
        }
        if let Some(given) = limits.limits.remove("*") {
            let held = spec.limits.entry(model.to_owned()).or_default();
            *held = given.iter().fold(std::mem::take(held), |held, limit| held.with(*limit));
        } else if self.model.is_some() {
            return Err(WrongWord { name: "model", why: "it goes with rpm, tpm or rpd".to_owned() });
        }
        Ok(())
    }

    /// What is wrong with it, before anything is touched.
    ///
    /// # Errors
    /// The first that cannot be said.
    pub fn check(&self) -> Result<(), WrongWord> {
        self.apply(&mut KeySpec::new("", Origin::Default))?;
        self.unset.iter().try_for_each(|name| forget(&mut KeySettings::default(), name))
    }

    /// Says it of a key of the book.
    ///
    /// # Errors
    /// When it cannot be said, or a name is a secret.
    pub fn say(&self, book: &mut KeyBook, id: &str) -> Result<(), EditError> {
        let mut spec = KeySpec::new("", Origin::Default);
        self.apply(&mut spec)?;
        if shows_a_key(book, &spec) {
            return Err(EditError::wrong(HOLDS_A_KEY));
        }
        let mut outcome = Ok(());
        book.say(id, |said| outcome = self.settle(said))?;
        Ok(outcome?)
    }

    fn settle(&self, said: &mut KeySettings) -> Result<(), WrongWord> {
        for name in &self.unset {
            forget(said, name)?;
        }
        let mut spec = KeySpec::of_settings("", said, Vec::new());
        self.apply(&mut spec)?;
        *said = KeySettings {
            hash: std::mem::take(&mut said.hash),
            revision: said.revision,
            lifted: said.lifted,
            replaces: std::mem::take(&mut said.replaces),
            ..spec.settings()
        };
        Ok(())
    }
}

/// A value that cannot be taken.
pub fn wrong(name: &'static str, error: &LineError) -> WrongWord {
    let why = match error {
        LineError::Value { expected, .. } => format!("expected {expected}"),
        other => other.to_string(),
    };
    WrongWord { name, why }
}

fn forget(said: &mut KeySettings, name: &str) -> Result<(), WrongWord> {
    match name {
        "tier" => said.tier = None,
        "priority" => said.priority = None,
        "weight" => said.weight = None,
        "owner" => said.owner = None,
        "billing_account" => said.billing_account = None,
        "exit" => said.exit = None,
        "source" => drop(said.labels.remove("source")),
        "label" | "labels" => said.labels.retain(|name, _| name == "source"),
        "limits" => said.limits.clear(),
        "concurrent" => said.max_concurrent = None,
        "interval" => said.min_interval = None,
        "zone" => said.zone = None,
        _ => {
            return Err(WrongWord {
                name: "unset",
                why: "expected names among tier priority weight owner exit billing_account source label limits concurrent \
                      interval zone"
                    .to_owned(),
            });
        }
    }
    Ok(())
}

/// Adds a key; and why it is switched off, where it was before.
///
/// # Errors
/// When its name is taken, or what would be shown of it holds a key.
pub fn add(
    book: &mut KeyBook,
    spec: &KeySpec,
    kept: KeptSecret,
    created: i64,
) -> Result<(Added, Option<String>), EditError> {
    if shows_a_key(book, spec) {
        return Err(EditError::wrong(HOLDS_A_KEY));
    }
    let said = spec.settings();
    let hash = said.hash.clone();
    let added = book.add(said, kept, created)?;
    let off = book.by_hash(&hash).and_then(|key| key.disabled().map(str::to_owned));
    Ok((added, off))
}

/// So many secrets are encrypted before others have their turn.
const AT_A_TIME: usize = 256;

/// Keeps all keys of a key file; what came of it, and the file of the key that encrypts them, if that was made just now.
/// A line that is wrong costs no other.
///
/// # Errors
/// When they cannot be kept.
pub async fn import(
    database: &Database,
    file: KeyFile,
    (from, source): (String, String),
    plain: bool,
) -> Result<(ImportRecord, Option<String>), EditError> {
    // None is made for nothing.
    let (keeping, ring, made) = if file.entries.is_empty() {
        (Keeping::Plain, Ring::default(), None)
    } else {
        keeping::keeping(plain, database, None).await?
    };
    let mut keys = Vec::new();
    for entry in file.entries {
        let mut spec = entry.spec;
        spec.labels.entry("source".to_owned()).or_insert_with(|| source.clone());
        let kept = keeping.keep(spec.secret())?;
        keys.push((entry.line, entry.entry, spec, kept));
        if keys.len() % AT_A_TIME == 0 {
            // Others wait for this thread.
            tokio::task::yield_now().await;
        }
    }
    let blank = ImportRecord {
        time: now_ms(),
        from,
        source,
        lines: file.lines as u64,
        duplicate: file.merged.len() as u64,
        rejected: file.skipped.iter().map(|line| (line.line as u64, line.why())).collect(),
        ..ImportRecord::default()
    };
    let record = edit(database, move |book| {
        ring.opens(book, None)?;
        let mut record = blank.clone();
        for (line, entry, spec, kept) in &keys {
            if let Err(error) = take(book, spec, kept.clone(), &mut record) {
                record.rejected.push((*line as u64, Skipped { line: *line, entry: *entry, error }.why()));
            }
        }
        record.rejected.sort();
        book.note_import(record.clone());
        Ok(record)
    });
    Ok((record.await?, made))
}

fn take(book: &mut KeyBook, spec: &KeySpec, kept: KeptSecret, record: &mut ImportRecord) -> Result<(), LineError> {
    let outcome = if shows_a_key(book, spec) {
        Err(LineError::NameIsSecret)
    } else {
        book.add(spec.settings(), kept, record.time).map_err(|_| LineError::IdTaken { by: 0 })
    };
    match outcome? {
        Added::New(_) => record.added += 1,
        Added::Known(_) => record.duplicate += 1,
    }
    Ok(())
}
