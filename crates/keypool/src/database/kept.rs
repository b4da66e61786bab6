//! The database as commands have it, whichever kind it is.

use std::{fmt, path::Path, time::Duration};

use tower_keypool::{
    redis::{Link, OnMissing, Options, RedisError},
    store::{Image, ImportRecord, KeyBook, KeyNews, Redis, Sqlite, Store, StoreError, UsageRecord},
};

use super::{Site, aside};
use crate::telemetry::plain;

/// How long a command waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A database that is open, to look at keys and to change them. A cheap handle.
#[derive(Clone, Debug)]
pub enum Database {
    /// A file.
    File(Sqlite),
    /// A server, and what it is called.
    Server(Redis, String),
}

/// What a server says, as of any store.
pub(super) fn as_store_error(error: RedisError) -> StoreError {
    let what = "the shared store";
    match (error.is_unreachable(), error.is_passing()) {
        (true, _) => StoreError::unreachable(what, error),
        (false, true) => StoreError::passing(what, error),
        (false, false) => StoreError::because(what, error),
    }
}

impl Database {
    /// Opens it. A server that is not there is not waited for.
    ///
    /// # Errors
    /// When there is none to be had, or it cannot be made, reached, read, or a newer version wrote it.
    pub async fn open(site: Site) -> Result<Self, StoreError> {
        Self::open_with(site, |options| options).await
    }

    /// The same for a command, which has nothing else to do than to wait for a server that is slow, or whose machine is.
    ///
    /// # Errors
    /// The same.
    pub async fn open_for_command(site: Site) -> Result<Self, StoreError> {
        let opened = Self::open_with(site, |options| options.timeout(PATIENCE)).await?;
        if let Self::File(store) = &opened {
            // Of what commands do nobody keeps a log.
            let said = store.set_aside().map(|aside| aside::said(store.path(), aside));
            for said in said.into_iter().chain(store.migrated().map(ToString::to_string)) {
                eprintln!("keypool: {}", plain(&said));
            }
        }
        Ok(opened)
    }

    /// Opens one that is there, to be read alone: nothing is made, changed or set aside.
    ///
    /// # Errors
    /// The same, and when the file is not there or damaged.
    pub async fn read_for_command(site: Site) -> Result<Self, StoreError> {
        match site {
            Site::File { path, .. } => Sqlite::read(path).map(Self::File),
            site => Self::open_for_command(site).await,
        }
    }

    async fn open_with(site: Site, with: impl FnOnce(Options) -> Options) -> Result<Self, StoreError> {
        let shown = site.to_string();
        match site {
            Site::Memory => {
                Err(StoreError::new("there is no database: name a file with --db, or a server with --redis"))
            }
            Site::File { path, .. } => Sqlite::open(path).map(Self::File),
            Site::Server(store) => {
                let options = store.redis().map_err(as_store_error)?;
                let options = options.ok_or_else(|| StoreError::new("there is no server"))?;
                let options = with(options.on_missing(OnMissing::Wait(Duration::ZERO)));
                let link = Link::open(options).await.map_err(as_store_error)?;
                Ok(Self::Server(Redis::new(&link), shown))
            }
        }
    }

    /// The file, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::File(store) => Some(store.path()),
            Self::Server(..) => None,
        }
    }

    /// The keys, to be looked at.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn key_book(&self) -> Result<KeyBook, StoreError> {
        match self {
            Self::File(store) => store.key_book().await,
            Self::Server(store, _) => store.key_book().await,
        }
    }

    /// The same without those of which it has no secret and commands said nothing.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn command_keys(&self) -> Result<KeyBook, StoreError> {
        match self {
            Self::File(store) => store.command_keys().await,
            Self::Server(store, _) => store.key_book().await,
        }
    }

    /// Hashes of the keys that are had from files, variables or programs and that did not leave.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn keys_from_elsewhere(&self) -> Result<Vec<String>, StoreError> {
        match self {
            Self::File(store) => store.keys_from_elsewhere().await,
            Self::Server(store, _) => {
                let book = store.key_book().await?;
                let keys = book.keys().filter(|(_, key)| !key.is_kept() && !key.has_left());
                Ok(keys.map(|(hash, _)| hash.to_owned()).collect())
            }
        }
    }

    /// Changes keys, all of it or nothing. `edit` may be called more than once, each time with the book as it is then.
    ///
    /// # Errors
    /// When they cannot be read or written.
    pub async fn edit_keys<T: Send + 'static>(
        &self,
        mut edit: impl FnMut(&mut KeyBook) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        match self {
            Self::File(store) => store.edit_keys(edit).await,
            Self::Server(store, _) => store.edit_keys(&mut edit).await,
        }
    }

    /// What commands said of keys after this revision.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn key_news(&self, after: u64) -> Result<KeyNews, StoreError> {
        match self {
            Self::File(store) => store.key_news(after).await,
            Self::Server(store, _) => store.key_news(after).await,
        }
    }

    /// The number of the last change of keys, where the pool has heard it of late.
    pub fn heard_revision(&self) -> Option<u64> {
        match self {
            Self::File(_) => None,
            Self::Server(store, _) => store.heard_revision(),
        }
    }

    /// All that it holds.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn look(&self) -> Result<Image, StoreError> {
        match self {
            Self::File(store) => store.look().await,
            Self::Server(store, _) => store.look().await,
        }
    }

    /// What was used on these days.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn usage(&self, from: &str, to: &str) -> Result<Vec<UsageRecord>, StoreError> {
        match self {
            Self::File(store) => store.usage(from, to).await,
            Self::Server(store, _) => store.usage(from, to).await,
        }
    }

    /// Imports made.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn imports(&self) -> Result<Vec<ImportRecord>, StoreError> {
        match self {
            Self::File(store) => store.imports().await,
            Self::Server(store, _) => store.imports().await,
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(store) => store.path().display().fmt(f),
            Self::Server(_, shown) => f.write_str(shown),
        }
    }
}
