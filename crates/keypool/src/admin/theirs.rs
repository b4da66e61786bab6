//! Whose keys a request is about: the gateway's own, or those of a provider beside it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde_json::Value;
use tower_keypool::{KeyId, KeyPool, KeyView, Provider, config::KeySpec};

use super::{
    Admin, Asked, MAIN,
    answer::Fault,
    keys::{told, unknown, views},
};
use crate::{
    config::ProviderName,
    database::{Database, Looks},
    edits::Elsewhere,
    standing::{Configured, Stand, Standings},
};

/// What is changed acts within this time, wherever it is changed.
const SOON: Duration = Duration::from_secs(2);

/// A pool, and all that is known of its keys.
pub(super) struct Theirs {
    /// What it is called.
    pub(super) name: String,
    pub(super) pool: KeyPool,
    pub(super) database: Option<Database>,
    looks: Looks,
    /// What the configuration says of them as it is now.
    pub(super) configured: Configured,
    /// Those that the pool goes by, those of the database included.
    pub(super) keys: Vec<KeySpec>,
    pub(super) provider: Arc<dyn Provider>,
    pub(super) kind: ProviderName,
}

impl Admin {
    /// Those that a request names, the gateway's own where it names none.
    pub(super) fn theirs(&self, asked: &Asked) -> Result<Theirs, Fault> {
        let (scene, name) = (self.scene(), asked.query("pool").unwrap_or(MAIN));
        let loaded = &scene.loaded;
        if name == MAIN {
            return Ok(Theirs {
                name: MAIN.to_owned(),
                pool: scene.pool.clone(),
                database: self.database.clone(),
                looks: self.looks.clone(),
                configured: Configured::by(&*loaded.provider, loaded.configured(), loaded),
                keys: loaded.keys.keys.clone(),
                provider: Arc::clone(&loaded.provider),
                kind: loaded.config.gateway.provider,
            });
        }
        let named = loaded.beside.iter().find(|beside| beside.name == name);
        let (Some(side), Some(beside)) = (scene.beside.get(name), named) else { return Err(no_pool()) };
        Ok(Theirs {
            name: name.to_owned(),
            pool: side.pool.clone(),
            database: side.database.clone(),
            looks: side.looks.clone(),
            configured: Configured::by(&*beside.provider, beside.keys().keys.clone(), loaded),
            keys: (side.keys)(),
            provider: Arc::clone(&beside.provider),
            kind: beside.kind,
        })
    }
}

/// No provider is called so.
pub(super) fn no_pool() -> Fault {
    Fault::not_found("no provider of that name has a pool here")
}

impl Theirs {
    /// A key of the running pool by its name.
    pub(super) async fn running(&self, typed: &str) -> Result<KeyId, Fault> {
        let views = views(self.pool.clone()).await?;
        views.into_iter().map(|view| view.id).find(|id| id.to_string() == typed).ok_or_else(unknown)
    }

    /// Where keys of the database stand beside it, here and with other gateways.
    pub(super) async fn elsewhere(&self, database: &Database) -> Result<Elsewhere, Fault> {
        Elsewhere::of(database, self.configured.keys.clone()).await.map_err(|error| Fault::store(&error))
    }

    pub(super) async fn standings(&self) -> Result<Standings, Fault> {
        Standings::of(self.database.as_ref(), &self.configured).await.map_err(|error| Fault::store(&error))
    }

    /// Until this process goes by all that was changed, or for as long as that may take.
    pub(super) async fn taken(&self) {
        if self.database.is_some() {
            let _ = tokio::time::timeout(SOON, self.looks.taken()).await;
        }
    }

    /// The keys of the running pool by name.
    pub(super) async fn live(&self) -> Result<HashMap<String, KeyView>, Fault> {
        let views = views(self.pool.clone()).await?;
        Ok(views.into_iter().map(|view| (view.id.to_string(), view)).collect())
    }

    /// How a key stands.
    pub(super) fn told(&self, key: &Stand, live: &HashMap<String, KeyView>) -> Value {
        told(key, &self.name, live)
    }
}
