//! The pool that is served, once its store and its keys are known.

use tower_keypool::{KeyPool, config::WhenMissing};

use super::{
    no_key::NoKey,
    opening::{join, known_keys, pool},
};
use crate::{
    cli::Failure,
    config::{Inputs, Loaded},
    database::{self, Database, Keys, Site},
};

/// What is opened before anything listens.
pub(super) struct Opened {
    /// The configuration, with the database's keys.
    pub(super) loaded: Loaded,
    pub(super) keys: Keys,
    pub(super) store: Option<Database>,
    pub(super) pool: KeyPool,
}

impl Opened {
    pub(super) async fn of(site: &Site, inputs: &mut Inputs, mut loaded: Loaded) -> Result<Self, Failure> {
        let joined = join(site, inputs, &loaded).await?;
        if site.path().is_none_or(std::path::Path::exists) {
            database::SecretKey::of(site.path()).map_err(Failure::config)?;
        }
        let store = joined.database();
        if let Some(store) = &store
            && let Err(error) = database::part(store, &loaded.keys.keys).await
        {
            tracing::warn!("{error}; keys that left since the last run are counted still");
        }
        let mut keys = Keys::new(site, store.clone());
        match known_keys(&mut keys, &loaded.store).await {
            Ok(told) => loaded = inputs.hear_beside(told, loaded),
            Err(error) if store.is_none() => tracing::warn!("{error}; keys in it are not used"),
            // Its keys come with it.
            Err(error) if error.is_passing() && loaded.store.on_missing == WhenMissing::Local => {
                tracing::warn!("{error}; keys in it are not known yet");
            }
            Err(error) if error.is_passing() => return Err(Failure::run(error)),
            Err(error) => return Err(Failure::config(error)),
        }
        NoKey::check(&loaded, site).await.map_err(Failure::config)?;
        let pool = pool(&loaded, joined).await?;
        Ok(Self { loaded, keys, store, pool })
    }
}
