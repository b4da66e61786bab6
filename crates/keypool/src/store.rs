//! The stores of counts, cooldowns, keys, tenants and resources.

use std::path::PathBuf;

use anyhow::Context;
use keypool_store::{RedisStore, SqliteOptions, SqliteStore, redis::RedisOptions, sqlite::MasterKey};
use tower_keypool::{KeyPool, KeyPoolBuilder, config::Environment, store::Store};

use crate::config::{Loaded, OnStoreLoss};

/// The SQLite database of this machine, and the Redis server that shares counts between machines.
#[derive(Clone, Debug, Default)]
pub struct Stores {
    /// Stores keys, tenants, resources and usage; without Redis also counts and cooldowns.
    pub sqlite: Option<SqliteStore>,
    pub redis: Option<RedisStore>,
    fail_open: bool,
}

impl Stores {
    /// Opens the stores that the configuration names.
    ///
    /// # Errors
    /// If the database cannot be opened, a Redis option is invalid, the Redis CA file cannot be read, or the pools fail
    /// closed and the Redis server cannot be reached.
    pub async fn open(loaded: &Loaded) -> anyhow::Result<Self> {
        let store = &loaded.config.store;
        let fail_open = store.on_store_loss == OnStoreLoss::FailOpen;
        let sqlite = match database_path(loaded)? {
            Some(path) => Some(open_database(path, &loaded.environment)?),
            None => None,
        };
        let redis = match &store.redis {
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
                Some(if fail_open { RedisStore::new(options)? } else { RedisStore::connect(options).await? })
            }
            None => None,
        };
        Ok(Self { sqlite, redis, fail_open })
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
            (Some(redis), _) => builder.store(redis.clone()).open().await,
            (None, Some(sqlite)) => builder.store(sqlite.clone()).open().await,
            (None, None) => builder.build(),
        }
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
        return Ok(Some(MasterKey::parse(text).context("KEYPOOL_SECRET_KEY")?));
    }
    let file = environment.get("KEYPOOL_SECRET_KEY_FILE").map(PathBuf::from);
    file.map(|file| MasterKey::read(&file).context("KEYPOOL_SECRET_KEY_FILE")).transpose()
}
