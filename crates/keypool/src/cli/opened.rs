//! State that most commands need: the configuration, the stores, and the pools with all keys.

use std::{collections::HashMap, path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use clap::Args;
use keypool_batch::Client;
use keypool_store::SqliteStore;
use tower_keypool::{KeyId, store::Store};

use super::{
    absolute,
    output::{warn, wrong},
};
use crate::{
    config::{Inputs, Loaded, PoolSettings},
    key_sources::{self, Listed},
    proxy::{
        pools::{self, Pools, ProviderPool},
        upstream::Upstream,
    },
    reload::{self, Files, Revision},
    store::{self, Stores},
};

/// Options for the source of keys and for the provider.
#[derive(Args)]
pub(super) struct Source {
    /// Key file (repeatable): one key per line, followed by its options, or CSV, TSV or JSON [default: key.txt, if it
    /// exists] [env: KEYPOOL_KEYS, API_KEY_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    keys: Vec<String>,
    /// The API of the provider: gemini, openai, anthropic or api-key-header [default: gemini] [env: KEYPOOL_PROVIDER]
    #[arg(long, global = true, value_name = "NAME")]
    provider: Option<String>,
    /// The base URL of the provider [default: the provider's own] [env: KEYPOOL_UPSTREAM, GEMINI_API_BASE_URL]
    #[arg(long, global = true, value_name = "URL")]
    upstream: Option<String>,
    /// Certificates to trust instead of Mozilla's, in PEM [env: KEYPOOL_CACERT]
    #[arg(long, global = true, value_name = "FILE")]
    cacert: Option<String>,
}

impl Source {
    pub(super) fn set(&self, inputs: &mut Inputs) {
        inputs.option("--keys", "pool.key_files", self.keys.iter().map(|path| absolute(path)));
        inputs.option("--provider", "gateway.provider", self.provider.clone());
        inputs.option("--upstream", "gateway.upstream", self.upstream.clone());
        inputs.option("--cacert", "gateway.cacert", self.cacert.as_deref().map(absolute));
    }

    /// Refuses a key file that does not exist.
    pub(super) fn check_files(&self) -> anyhow::Result<()> {
        match self.keys.iter().find(|file| !Path::new(file).exists()) {
            Some(file) => Err(wrong(format!("--keys {file}: there is no such file"))),
            None => Ok(()),
        }
    }
}

pub(super) struct Opened {
    pub loaded: Loaded,
    pub stores: Stores,
    pub pools: Pools,
    /// The place where each key of each provider is listed.
    places: HashMap<(Arc<str>, KeyId), String>,
}

impl Opened {
    /// Reads and opens everything. Reports invalid key entries on standard error.
    pub(super) async fn open(inputs: &Inputs) -> anyhow::Result<Self> {
        Self::open_loaded(inputs.load()?).await
    }

    /// Like [`open`](Self::open), for commands that only read. A database that is [missing](must_exist) is an error.
    pub(super) async fn read(inputs: &Inputs) -> anyhow::Result<Self> {
        let loaded = inputs.load()?;
        must_exist(&loaded)?;
        Self::open_loaded(loaded).await
    }

    /// Like [`open`](Self::open), with settings that were read before.
    pub(super) async fn open_loaded(loaded: Loaded) -> anyhow::Result<Self> {
        let stores = Stores::open(&loaded).await?;
        let listed = key_sources::all(&loaded, &stores).await?;
        for (_, keys) in &listed {
            warn_of_problems(keys);
        }
        Self::of(loaded, stores, listed).await
    }

    /// Applies changes of keys for as long as it is polled, and reports invalid entries. No change of `files` since they
    /// were read is missed.
    pub(super) async fn follow_keys(&self, inputs: &Inputs, mut files: Files) {
        let mut revision = Revision::first(&self.stores);
        let mut loaded = self.loaded.clone();
        loop {
            tokio::time::sleep(reload::POLL).await;
            let changed = files.changed(inputs, &loaded, None);
            if !revision.changed(&self.stores).await && !changed {
                continue;
            }
            match inputs.load() {
                Ok(new) => {
                    loaded = Loaded { default_key_file: new.default_key_file.or(loaded.default_key_file), ..new }
                }
                Err(problems) => warn(format_args!("the previous configuration stays in use:\n{problems}")),
            }
            if let Err(error) = self.reload(&loaded).await {
                warn(format_args!("the keys were not read again: {error:#}"));
            }
        }
    }

    async fn reload(&self, loaded: &Loaded) -> anyhow::Result<()> {
        let listed = key_sources::all(loaded, &self.stores).await?;
        for (_, keys) in &listed {
            warn_of_problems(keys);
        }
        // The file may be half written, or a pipe.
        anyhow::ensure!(listed.iter().any(|(_, keys)| !keys.keys.is_empty()), "no source lists a key now");
        self.pools.reload(loaded, &self.stores).await
    }

    /// Opens the pools again, since the counts of other processes are read when a pool is opened.
    pub(super) async fn again(&self) -> anyhow::Result<Self> {
        let listed = key_sources::all(&self.loaded, &self.stores).await?;
        Self::of(self.loaded.clone(), self.stores.clone(), listed).await
    }

    async fn of(loaded: Loaded, stores: Stores, listed: Vec<(PoolSettings, Listed)>) -> anyhow::Result<Self> {
        let mut places = HashMap::new();
        for (settings, keys) in &listed {
            let place = |key: &tower_keypool::Key| {
                ((settings.name.as_str().into(), key.id()), keys.place(&key.id()).to_owned())
            };
            places.extend(keys.keys.iter().map(place));
            // A skipped key can be changed and removed.
            let skipped = keys.skipped.iter().map(|id| (settings.name.as_str().into(), id.clone()));
            places.extend(skipped.map(|key| (key, "database".to_owned())));
        }
        let pools = Pools::of(&loaded, &stores, listed).await?;
        Ok(Self { loaded, stores, pools, places })
    }

    pub(super) fn place(&self, provider: &str, id: &KeyId) -> &str {
        self.places.get(&(provider.into(), id.clone())).map_or("added later", String::as_str)
    }

    /// Returns the provider of a key, and the place where the key is listed.
    pub(super) fn find(&self, id: &KeyId) -> anyhow::Result<(&Arc<ProviderPool>, &str)> {
        let has = |provider: &&Arc<ProviderPool>| self.places.contains_key(&(Arc::clone(&provider.name), id.clone()));
        let provider = self.pools.iter().find(has);
        let provider = provider.ok_or_else(|| {
            wrong(format!(
                "there is no key {id}: list all keys with `keypool keys`; keys that a gateway got with --keys need \
                 --keys here too"
            ))
        })?;
        Ok((provider, self.place(&provider.name, id)))
    }

    /// Returns a client for prompts that uses a provider's keys, their exits and its fallback models.
    pub(super) fn client(&self, provider: &ProviderPool, timeout: Duration) -> anyhow::Result<Client> {
        let pools = self.loaded.pools();
        let settings =
            pools.iter().find(|settings| settings.name == *provider.name).context("every pool has settings")?;
        // A prompt may be answered by any model for text.
        let fallback = pools::fallback(&self.loaded, settings, &provider.pool).for_any_model();
        let client = Client::builder(&provider.pool).fallback(fallback).timeout(timeout);
        Ok(client.service(Upstream::new(&self.loaded)?))
    }

    /// Returns the database, or an error for commands that need one.
    pub(super) fn database(&self) -> anyhow::Result<&SqliteStore> {
        database(&self.stores)
    }

    /// Returns the store of cooldowns and disabled keys.
    pub(super) fn store(&self) -> anyhow::Result<&dyn Store> {
        self.stores.counting().ok_or_else(|| wrong(NO_DATABASE))
    }
}

const NO_DATABASE: &str =
    "this command needs a database, but it is turned off by \"none\" (--db, KEYPOOL_DB or [store] path)";

/// Refuses a database that was named but does not exist, so that a command that only reads does not create it.
pub(super) fn must_exist(loaded: &Loaded) -> anyhow::Result<()> {
    match store::database_path(loaded)? {
        Some(path) if loaded.config.store.path != "auto" && !path.is_file() => Err(missing(&path)),
        _ => Ok(()),
    }
}

/// Returns the error for a database that does not exist.
pub(super) fn missing(path: &Path) -> anyhow::Error {
    if path.is_dir() {
        return wrong(format!("{} is a folder: name a file in it", path.display()));
    }
    wrong(format!("there is no database at {}: the first command that writes to it creates it", path.display()))
}

pub(super) fn database(stores: &Stores) -> anyhow::Result<&SqliteStore> {
    stores.sqlite.as_ref().ok_or_else(|| wrong(NO_DATABASE))
}

/// Reports the first problems of entries, and the number of the others.
pub(super) fn warn_of_problems(listed: &Listed) {
    const SHOWN: usize = 20;
    let all = listed.problems.len();
    for problem in listed.problems.iter().take(SHOWN) {
        warn(key_sources::described(problem));
    }
    if all > SHOWN {
        warn(format_args!("{} more entries have problems, {all} in total", all - SHOWN));
    }
}
