//! The keys of the database, followed while commands of other processes change them.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Interval, MissedTickBehavior},
};
use tower_keypool::{
    config::{KeySpec, Origin, Problem, Rank, Source},
    store::{BookKey, KeptSecret, KeyBook, KeyRecord, KeyStanding, Sqlite, StoreError},
};

use super::{Database, InBoth, Records, SecretKey, Shut, Site, tenants};

/// How often it is asked for news: what a command changes acts within 2 s everywhere.
const ROUND: Duration = Duration::from_millis(500);
/// The same of a server: the pool hears of changes with its renewals.
const ROUND_OF_SERVER: Duration = Duration::from_millis(200);
/// Of a server that the pool hears nothing of each time is a call: it is asked once in so many rounds.
const UNHEARD: u32 = 5;

/// The keys of a database, whether a pool keeps its counts there or not, and whether it is there yet or not.
#[derive(Debug)]
pub struct Keys {
    path: Option<PathBuf>,
    store: Option<Database>,
    /// The last change that was seen, and what was known by then.
    seen: u64,
    known: KeyBook,
    /// How secrets were kept that are encrypted with a key by now that is not at hand here: this process has them.
    before: HashMap<String, KeptSecret>,
    round: Interval,
    /// Rounds since a server was asked.
    unheard: u32,
    failing: bool,
    /// Who wants to know when all that is in it by now is gone by; those that a look was begun for, and those that wait
    /// until what it told is.
    asks: mpsc::UnboundedReceiver<Acted>,
    asked: Vec<Acted>,
    told: Vec<Acted>,
    looks: Looks,
    shut: Shut,
    in_both: InBoth,
}

/// Dropped once what was asked for is done.
type Acted = oneshot::Sender<()>;

/// Lets whoever changed a database of keys wait until this process goes by it. A cheap handle.
#[derive(Clone, Debug)]
pub struct Looks(mpsc::UnboundedSender<Acted>);

impl Looks {
    /// Until this process goes by all that the database says now, or follows it no more.
    pub async fn taken(&self) {
        let (acted, done) = oneshot::channel();
        if self.0.send(acted).is_ok() {
            let _ = done.await;
        }
    }
}

/// The keys of a database as they are.
#[derive(Clone, Debug)]
pub struct Told {
    /// The keys whose secret it has or knows where to find, and what it says of others.
    pub source: Source,
    /// Files in which secrets are.
    pub files: BTreeSet<PathBuf>,
    /// Hashes of keys that were switched on since the last look.
    pub lifted: Vec<String>,
    /// Keys whose secret is encrypted with a key that is not at hand.
    locked: usize,
    /// Hashes and names of all whose secret cannot be had.
    shut: Vec<(String, String)>,
    revision: u64,
}

impl Told {
    /// Whether it adds nothing to the keys of a configuration.
    pub fn says_nothing(&self) -> bool {
        let Source { keys, said, notes, tokens, replaced, .. } = &self.source;
        let no_hash = tokens.is_empty() && replaced.is_empty();
        keys.is_empty() && said.is_empty() && notes.is_empty() && no_hash && self.files.is_empty()
    }
}

/// The keys of a database, to be looked at.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Those whose secret can be had here, and what it says of others.
    source: Source,
    /// How many it keeps, wherever their secret is.
    pub kept: usize,
    /// How many of them are encrypted with a key that is not at hand: it is lost, or another is given. On a server some
    /// machines may have none.
    pub locked: usize,
}

impl Stored {
    /// What is in the database, where there is one. Nothing is made, and nothing brought forward.
    ///
    /// # Errors
    /// When it cannot be reached or read, or what it is encrypted with is no key.
    pub async fn look(site: &Site) -> Result<Option<Self>, StoreError> {
        let store = match site {
            Site::File { path, .. } if path.exists() => Database::File(Sqlite::read(path)?),
            Site::Server(_) => Database::open(site.clone()).await?,
            _ => return Ok(None),
        };
        let book = store.key_book().await?;
        let secret_key = SecretKey::of(store.path())?;
        let Told { mut source, locked, .. } = told(&book, &secret_key, &KeyBook::default(), &mut HashMap::new());
        let locked = if store.path().is_none() && !secret_key.is_there() { 0 } else { locked };
        source.tokens = tenants::tokens(&Records::Kept(store)).await?.into_iter().collect();
        let is_key =
            |key: &BookKey| key.is_kept() && (key.settings.is_some() || key.record.state != KeyStanding::Removed);
        Ok(Some(Self { source, locked, kept: book.keys().filter(|(_, key)| is_key(key)).count() }))
    }

    /// Keys whose secret cannot be had here.
    pub fn shut(&self) -> usize {
        self.kept.saturating_sub(self.source.keys.len())
    }

    /// Whether some can be used.
    pub fn has_keys(&self) -> bool {
        !self.source.keys.is_empty()
    }

    /// What it adds to the keys of a configuration.
    pub fn sources(stored: Option<Self>) -> Vec<Source> {
        stored.into_iter().map(|stored| stored.source).collect()
    }
}

impl Keys {
    /// Those of the database at this place; `store` is that one where it is open already.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(site: &Site, store: Option<Database>) -> Self {
        let every = if matches!(site, Site::Server(_)) { ROUND_OF_SERVER } else { ROUND };
        let mut round = tokio::time::interval(every);
        round.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (looks, asks) = mpsc::unbounded_channel();
        Self {
            path: site.path().map(Into::into),
            store,
            seen: 0,
            known: KeyBook::default(),
            before: HashMap::new(),
            round,
            unheard: UNHEARD,
            failing: false,
            asks,
            asked: Vec::new(),
            told: Vec::new(),
            looks: Looks(looks),
            shut: Shut::default(),
            in_both: InBoth::default(),
        }
    }

    /// For whoever changes them here.
    pub fn looks(&self) -> Looks {
        self.looks.clone()
    }

    /// Those whose secret cannot be had here, as of the last look.
    pub fn shut(&self) -> Shut {
        self.shut.clone()
    }

    /// Those that the process has from elsewhere as well, as far as it said so.
    pub fn in_both(&self) -> InBoth {
        self.in_both.clone()
    }

    /// The keys as they are, where there is a database.
    ///
    /// # Errors
    /// When it cannot be read, or what it is encrypted with is no key.
    pub async fn begin(&mut self) -> Result<Option<Told>, StoreError> {
        let told = self.read().await?;
        self.seen = told.as_ref().map_or(0, |told| told.revision);
        Ok(told)
    }

    /// The same; what is new by then is told by [`changed`](Self::changed) once more.
    ///
    /// # Errors
    /// Those of [`begin`](Self::begin).
    pub async fn read(&mut self) -> Result<Option<Told>, StoreError> {
        if self.store.is_none() {
            let Some(path) = self.path.clone().filter(|path| path.exists()) else { return Ok(None) };
            let opened = tokio::task::spawn_blocking(move || Sqlite::open(path)).await;
            let opened = opened.map_err(|error| StoreError::because("the database", error))??;
            self.store = Some(Database::File(opened));
        }
        let Some(store) = &self.store else { return Ok(None) };
        let book = store.command_keys().await?;
        let mut told = told(&book, &SecretKey::of(store.path())?, &self.known, &mut self.before);
        told.source.tokens = tenants::tokens(&Records::Kept(store.clone())).await?.into_iter().collect();
        self.known = book;
        self.shut.are(std::mem::take(&mut told.shut));
        Ok(Some(told))
    }

    /// Waits until a command has changed keys. A database that cannot be read is waited for. Whoever calls it again goes by
    /// what it said before.
    pub async fn changed(&mut self) -> Told {
        self.told.clear();
        loop {
            if self.asked.is_empty() {
                tokio::select! {
                    _ = self.round.tick() => {}
                    Some(acted) = self.asks.recv() => self.asked.push(acted),
                }
            }
            let news = if self.asked.is_empty() { self.news().await } else { self.look().await };
            match news {
                Ok(Some(told)) => {
                    self.failing = false;
                    self.seen = told.revision;
                    self.told.append(&mut self.asked);
                    return told;
                }
                Err(error) if !std::mem::replace(&mut self.failing, true) => {
                    tracing::warn!("changes of keys in the database are not seen: {error}");
                }
                // Nothing new, or nobody was asked; or said already.
                Ok(None) | Err(_) => {}
            }
            self.asked.clear();
        }
    }

    async fn news(&mut self) -> Result<Option<Told>, StoreError> {
        if let Some(store @ Database::Server(..)) = &self.store {
            let heard = store.heard_revision();
            self.unheard += 1;
            if heard == Some(self.seen) || (heard.is_none() && self.unheard < UNHEARD) {
                return Ok(None);
            }
        }
        self.look().await
    }

    async fn look(&mut self) -> Result<Option<Told>, StoreError> {
        let Some(store) = &self.store else {
            return Ok(self.read().await?.filter(|told| told.revision != self.seen));
        };
        self.unheard = 0;
        let news = store.key_news(self.seen).await?;
        self.failing = false;
        if news.revision == self.seen {
            return Ok(None);
        }
        if news.revision < self.seen {
            // An older copy took its place, or it lost all. What commands did since is known here.
            let known = self.known.clone();
            let again = store.edit_keys(move |book| book.restore(&known)).await?;
            tracing::error!("the database lost what commands did of late: {again} keys were put into it again");
        }
        let lifted = news.settings.into_iter().filter(|said| said.lifted > self.seen && said.disabled.is_none());
        let lifted = lifted.map(|said| said.hash).collect();
        Ok(self.read().await?.map(|told| Told { lifted, ..told }))
    }
}

/// `known`: what the book was before; `before`: see [`Keys`].
fn told(book: &KeyBook, secret_key: &SecretKey, known: &KeyBook, before: &mut HashMap<String, KeptSecret>) -> Told {
    let earlier = std::mem::take(before);
    let mut source = Source::new(Rank::Database);
    let mut files = BTreeSet::new();
    let (mut locked, mut shut) = (0, Vec::new());
    let origin = Origin::named("database");
    let mut keys: Vec<_> = book.keys().collect();
    // As they were added.
    keys.sort_by(|(_, a), (_, b)| (a.record.created, &a.record.id).cmp(&(b.record.created, &b.record.id)));
    for (hash, key) in keys {
        if !key.is_kept() {
            if let Some(said) = &key.settings {
                source.said.insert(hash.to_owned(), KeySpec::of_settings("", said, Vec::new()));
            }
            continue;
        }
        source.replaced.extend(key.settings.iter().flat_map(|said| said.replaces.iter().cloned()));
        if let KeptSecret::Reference(place) = &key.record.secret {
            files.extend(place.strip_prefix("file:").map(PathBuf::from));
        }
        let secret = match secret_key.reveal(&key.record) {
            Ok(Some(secret)) => secret,
            Ok(None) => continue,
            Err(error) => {
                let note = |what| Problem::new(origin.clone(), "", format!("{error}; {what}"));
                let kept = earlier.get(hash).or_else(|| Some(&known.by_hash(hash)?.record.secret));
                let had = kept.filter(|kept| is_sealed(kept) && is_sealed(&key.record.secret)).and_then(|kept| {
                    let record = KeyRecord { secret: kept.clone(), ..key.record.clone() };
                    Some((kept.clone(), secret_key.reveal(&record).ok()??))
                });
                let Some((kept, secret)) = had else {
                    locked += usize::from(is_sealed(&key.record.secret));
                    shut.push((hash.to_owned(), key.record.id.clone()));
                    source.notes.push(note("the key is left out"));
                    continue;
                };
                // Somebody encrypted it anew.
                source.notes.push(note("this process goes on with it until it ends"));
                before.insert(hash.to_owned(), kept);
                secret
            }
        };
        let mut spec = match &key.settings {
            Some(said) => KeySpec::of_settings(secret, said, vec![origin.clone()]),
            // Written by a program, which says what it means in the record.
            None if key.record.state == KeyStanding::Removed => continue,
            None => recorded(&key.record, secret, origin.clone()),
        };
        if matches!(key.record.secret, KeptSecret::Reference(_)) {
            // Another secret in its place is the same key.
            spec.id.get_or_insert_with(|| key.record.id.clone());
        }
        source.keys.push(spec);
    }
    Told { source, files, lifted: Vec::new(), locked, shut, revision: book.revision().saturating_sub(1) }
}

fn is_sealed(secret: &KeptSecret) -> bool {
    matches!(secret, KeptSecret::Sealed(_))
}

fn recorded(record: &KeyRecord, secret: String, origin: Origin) -> KeySpec {
    let plain = KeyRecord { secret: KeptSecret::Plain(secret), ..record.clone() };
    match plain.reveal(None) {
        Ok(Some(key)) => KeySpec::of(&key, origin),
        _ => KeySpec::new("", origin),
    }
}
