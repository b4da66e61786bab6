//! The database as `serve` works on it, together with others.

use std::{fmt, path::PathBuf, time::Duration};

use tower_keypool::{
    KeyPool, KeyPoolBuilder, OpenError, Sharing,
    config::{StoreSection, WhenMissing},
    redis::{Link, OnMissing, RedisError},
    store::{Redis, SharedRedis, SharedSqlite, Sqlite, StoreError},
};

use super::{Database, ELSEWHERE, Site, kept::as_store_error, site::state_folder};

/// What a process works on.
#[derive(Debug)]
pub enum Joined {
    /// Nothing that outlives it.
    Memory,
    /// A file.
    File(SharedSqlite),
    /// A server, and what it is called.
    Server(SharedRedis, String),
}

/// After this a database that could not be opened just now is tried once more.
const AGAIN: Duration = Duration::from_millis(500);

/// Why it cannot.
#[derive(Debug)]
pub enum Unjoined {
    /// A person can set it right: a file that is not to be had, an address that makes no sense, a password, what the server
    /// is set to.
    Wrong(StoreError),
    /// It cannot be reached, or there is no room for it just now, or a process works on it alone.
    Failed(StoreError),
}

impl Joined {
    /// Joins those who work on it, making the file where there is none. Where the file is the usual one, for which nobody
    /// asked, and it cannot be made, there is none, which is said; one that is there is never done without, since others go
    /// by what it says.
    ///
    /// # Errors
    /// When it cannot be made, reached or read, a process works on it alone, or a newer version wrote it.
    pub async fn of(site: &Site) -> Result<Self, Unjoined> {
        match site {
            Site::Memory => Ok(Self::Memory),
            Site::File { path, named } => Self::file(path.clone(), *named).await.map_err(Unjoined::of),
            Site::Server(store) => Self::server(store, site.to_string()).await,
        }
    }

    async fn file(path: PathBuf, named: bool) -> Result<Self, StoreError> {
        let mut opened = Self::opened(path.clone()).await;
        // Others may be setting a damaged one aside just now, and the next one is whole.
        if opened.as_ref().is_err_and(|error| error.is_passing() && !error.is_in_use()) {
            tokio::time::sleep(AGAIN).await;
            opened = Self::opened(path.clone()).await;
        }
        match opened {
            Err(error) if !named && !path.try_exists().unwrap_or(false) => {
                tracing::error!(
                    "{error}; this one keeps its counts in memory, and knows nothing of them after its end (name another \
                     file with --db)"
                );
                Ok(Self::Memory)
            }
            // It is had once that one has ended.
            Err(error) if error.is_in_use() => {
                Err(StoreError::in_use(format!("{error} with --db, or none with --db none")))
            }
            Err(error) => Err(StoreError::because("name another file with --db, or none with --db none", error)),
            claimed => claimed.map(Self::File),
        }
    }

    /// Whoever holds it may take seconds, and others of this thread would wait behind it.
    async fn opened(path: PathBuf) -> Result<SharedSqlite, StoreError> {
        let opened = tokio::task::spawn_blocking(move || Sqlite::open(path).and_then(Sqlite::share)).await;
        opened.unwrap_or_else(|error| Err(StoreError::because("the database", error)))
    }

    async fn server(store: &StoreSection, shown: String) -> Result<Self, Unjoined> {
        let wrong = |error: RedisError| Unjoined::of(as_store_error(error));
        let Some(options) = store.redis().map_err(wrong)? else { return Ok(Self::Memory) };
        let at_once = Link::open(options.clone().on_missing(OnMissing::Wait(Duration::ZERO))).await;
        let link = match (at_once, store.on_missing) {
            (Err(error), WhenMissing::Wait) if error.is_passing() && !store.wait.0.is_zero() => {
                tracing::warn!("{error}; waiting for it, up to {:?} (store.wait)", store.wait.0);
                let waited = |error: RedisError| {
                    let what = format!("waited {:?} for the shared store (store.wait)", store.wait.0);
                    let passes = error.is_passing();
                    if passes { Unjoined::Failed(StoreError::because(what, error)) } else { wrong(error) }
                };
                Link::open(options).await.map_err(waited)?
            }
            (Err(error), WhenMissing::Local) if error.is_passing() => Link::open(options).await.map_err(wrong)?,
            (at_once, _) => at_once.map_err(wrong)?,
        };
        if link.missing_at_start().is_none() && link.is_lasting().await == Some(false) {
            tracing::warn!(
                name: "keypool.store_warning",
                "{shown} keeps nothing when it is started again: nothing with limits is sent for some 70 s then, and days that \
                 no process knows are taken as used up; set appendonly yes"
            );
        }
        let shared = Redis::new(&link).share();
        let shared = match state_folder() {
            Some(folder) => shared.remembering_in(folder),
            None => shared,
        };
        let settings = store.sharing(&shared.settings());
        Ok(Self::Server(shared.with(&settings), shown))
    }

    /// The same, to look at keys and to change them.
    pub fn database(&self) -> Option<Database> {
        match self {
            Self::Memory => None,
            Self::File(store) => Some(Database::File(store.database().clone())),
            Self::Server(store, shown) => Some(Database::Server(store.store().clone(), shown.clone())),
        }
    }

    /// The pool on it.
    ///
    /// # Errors
    /// When a key cannot be taken, or it cannot be read or written.
    pub async fn open(self, builder: KeyPoolBuilder, settings: &StoreSection) -> Result<KeyPool, OpenError> {
        match self {
            Self::Memory => builder.build().map_err(OpenError::Key),
            Self::File(store) => {
                let sharing = Sharing::new(store.holder().clone()).settings(settings.sharing(&store.settings()));
                builder.open_shared(store.clone(), store, sharing).await
            }
            Self::Server(store, _) => {
                let sharing = Sharing::new(store.holder().clone()).settings(settings.sharing(&store.settings()));
                let sharing = sharing.on_missing(settings.missing());
                builder.open_shared(store.clone(), store, sharing).await
            }
        }
    }
}

impl Unjoined {
    fn of(error: StoreError) -> Self {
        if error.is_passing() || error.is_in_use() { Self::Failed(error) } else { Self::Wrong(error) }
    }
}

impl fmt::Display for Unjoined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) if error.is_unreachable() => write!(f, "{error} ({ELSEWHERE})"),
            Self::Wrong(error) | Self::Failed(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Unjoined {}
