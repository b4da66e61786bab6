//! The stores of counts, cooldowns, keys, tenants and resources.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::Context;
use keypool_store::{
    RedisStore, SqliteOptions, SqliteStore,
    redis::RedisOptions,
    sqlite::{MasterKey, SqliteError},
};
use tower_keypool::{
    KeyPool, KeyPoolBuilder,
    config::Environment,
    store::{Amounts, Candidate, Changes, Record, ReserveRequest, Reserved, ReservedAt, Store, StoreFuture},
};

use crate::config::{Loaded, OnStoreLoss, Problems};

/// The SQLite database of this machine, and the Redis server that shares counts between machines.
#[derive(Clone, Debug, Default)]
pub struct Stores {
    /// Stores keys, tenants, resources and this machine's usage; without Redis also counts and cooldowns.
    pub sqlite: Option<SqliteStore>,
    pub redis: Option<RedisStore>,
    /// The revision of keys and tenants in the database before they were read for the first time.
    pub first_revision: u64,
    fail_open: bool,
}

impl Stores {
    /// Opens the database, without Redis.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub async fn open_database(loaded: &Loaded) -> anyhow::Result<Self> {
        let store = &loaded.config.store;
        let sqlite = match database_path(loaded)? {
            Some(path) => {
                let is_default = store.path == "auto";
                let opened = open_database(path, &loaded.environment);
                Some(opened.map_err(|error| match error.downcast::<SqliteError>() {
                    Ok(error) if is_default => {
                        anyhow::anyhow!("{error}. `--db FILE` or `--db none` avoids this database")
                    }
                    Ok(error) => error.into(),
                    Err(error) => error,
                })?)
            }
            None => None,
        };
        let first_revision = match &sqlite {
            Some(sqlite) => sqlite.keys_revision().await?,
            None => 0,
        };
        let fail_open = store.on_store_loss == OnStoreLoss::FailOpen;
        Ok(Self { sqlite, redis: None, first_revision, fail_open })
    }

    /// Opens the stores that the configuration names.
    ///
    /// # Errors
    /// If the database cannot be opened, a Redis option is invalid, the Redis CA file cannot be read, or the pools fail
    /// closed and the Redis server cannot be reached.
    pub async fn open(loaded: &Loaded) -> anyhow::Result<Self> {
        let store = &loaded.config.store;
        let mut opened = Self::open_database(loaded).await?;
        opened.redis = match &store.redis {
            Some(url) => {
                let mut options = RedisOptions::new(url.expose()).namespace(&store.namespace);
                if let Some(user) = &store.redis_user {
                    options = options.username(user);
                }
                if let Some(password) = &loaded.redis_password {
                    options = options.password(password.expose());
                }
                if let Some(file) = &store.redis_ca_file {
                    let file = loaded.folder().join(file);
                    let pem =
                        std::fs::read(&file).with_context(|| format!("{}: the file cannot be read", file.display()))?;
                    options = options.root_certificates(pem);
                }
                // A pool that fails open logs that the server cannot be reached, and continues.
                Some(if opened.fail_open { RedisStore::new(options)? } else { RedisStore::connect(options).await? })
            }
            None => None,
        };
        Ok(opened)
    }

    /// Returns the store for counts and cooldowns: Redis if there is one, else the database. `None` means memory only.
    pub fn counting(&self) -> Option<&dyn Store> {
        match (&self.redis, &self.sqlite) {
            (Some(redis), _) => Some(redis),
            (None, Some(sqlite)) => Some(sqlite),
            (None, None) => None,
        }
    }

    /// Opens a pool over the [counting](Self::counting) store, or in memory if there is none.
    ///
    /// # Errors
    /// Those of [`KeyPoolBuilder::open`].
    pub async fn open_pool(&self, builder: KeyPoolBuilder) -> Result<KeyPool, tower_keypool::Error> {
        let builder = if self.fail_open { builder.fail_open() } else { builder };
        match (&self.redis, &self.sqlite) {
            (Some(redis), Some(sqlite)) => {
                builder.store(RedisWithUsage { redis: redis.clone(), sqlite: sqlite.clone() }).open().await
            }
            (Some(redis), None) => builder.store(redis.clone()).open().await,
            (None, Some(sqlite)) => builder.store(sqlite.clone()).open().await,
            (None, None) => builder.build(),
        }
    }
}

/// Counts and cooldowns in Redis, and the usage by key and day of this machine's requests also in its database.
struct RedisWithUsage {
    redis: RedisStore,
    sqlite: SqliteStore,
}

impl Store for RedisWithUsage {
    fn load(&self) -> StoreFuture<'_, Changes> {
        self.redis.load()
    }

    fn reserve(&self, request: ReserveRequest) -> StoreFuture<'static, Reserved> {
        let (candidates, cost) = (request.candidates.clone(), request.cost);
        let (reserved, sqlite) = (self.redis.reserve(request), self.sqlite.clone());
        Box::pin(async move {
            let reserved = reserved.await?;
            if let Some(granted) = reserved.granted
                && let Some(candidate) = candidates.into_iter().nth(granted.candidate)
            {
                let Candidate { key, project, model, .. } = candidate;
                let reserved = Amounts::default();
                let used = Record::Used { key, project, model, at: granted.at, reserved, used: cost };
                tokio::spawn(async move { record_usage(&sqlite, vec![used]).await });
            }
            Ok(reserved)
        })
    }

    fn record(&self, records: Vec<Record>) -> StoreFuture<'_, ()> {
        let usage = records.iter().filter(|record| matches!(record, Record::Used { .. })).cloned().collect();
        Box::pin(async move {
            // If this fails, all records are passed again later.
            self.redis.record(records).await?;
            record_usage(&self.sqlite, usage).await;
            Ok(())
        })
    }

    fn changes(&self, since: u64) -> StoreFuture<'_, Changes> {
        self.redis.changes(since)
    }
}

/// Adds usage to the database. An error fails no request; the first one is logged.
async fn record_usage(sqlite: &SqliteStore, mut usage: Vec<Record>) {
    static IS_LOGGED: AtomicBool = AtomicBool::new(false);
    for record in &mut usage {
        if let Record::Used { at, .. } = record {
            // The time is one of the Redis server. The database only needs the date.
            *at = ReservedAt { at_ms: 0, date: at.date };
        }
    }
    if !usage.is_empty()
        && let Err(error) = sqlite.record(usage).await
        && !IS_LOGGED.swap(true, Ordering::Relaxed)
    {
        tracing::warn!(%error, "usage is not recorded in the database; further such errors are not logged");
    }
}

/// Returns the path of the configured database; `None` if the configuration says "none".
///
/// # Errors
/// If the path is "auto" and neither `XDG_STATE_HOME` nor `HOME` is set.
pub fn database_path(loaded: &Loaded) -> anyhow::Result<Option<PathBuf>> {
    let environment = &loaded.environment;
    match loaded.config.store.path.as_str() {
        "none" => Ok(None),
        "auto" => {
            let home = || environment.get("HOME").map(|home| PathBuf::from(home).join(".local").join("state"));
            let state = environment.get("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
            let folder =
                state.or_else(home).context("XDG_STATE_HOME and HOME are not set: name a database with --db")?;
            Ok(Some(folder.join("keypool").join("keypool.db")))
        }
        path => Ok(Some(loaded.folder().join(path))),
    }
}

/// Opens a database. The master key comes from the environment, else from the file `<database>.key`.
///
/// # Errors
/// If the database cannot be opened, or the master key is invalid.
pub fn open_database(path: PathBuf, environment: &Environment) -> anyhow::Result<SqliteStore> {
    let mut options = SqliteOptions::new();
    if let Some(key) = master_key(environment)? {
        options = options.master_key(key);
    }
    Ok(SqliteStore::open(path, options)?)
}

fn master_key(environment: &Environment) -> anyhow::Result<Option<MasterKey>> {
    if let Some(text) = environment.get("KEYPOOL_SECRET_KEY") {
        let expected = "expected 64 hexadecimal digits or base64 of 32 bytes; `openssl rand -hex 32` makes one";
        return Ok(Some(MasterKey::parse(text).map_err(|_| Problems::one("KEYPOOL_SECRET_KEY", expected))?));
    }
    let Some(file) = environment.get("KEYPOOL_SECRET_KEY_FILE") else { return Ok(None) };
    let key = MasterKey::read(file.as_ref());
    Ok(Some(key.map_err(|error| Problems::one("KEYPOOL_SECRET_KEY_FILE", error.to_string()))?))
}
