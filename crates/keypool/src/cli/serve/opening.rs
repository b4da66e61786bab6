//! What `serve` opens before anybody is let in: the database, the pool over it, the tenants that it knows.

use std::time::Duration;

use anyhow::anyhow;
use tower_keypool::{
    Clock, KeyPool, OpenError,
    config::{StoreSection, StoreUrl, WhenMissing},
    store::StoreError,
};

use crate::{
    cli::Failure,
    config::{Inputs, Loaded},
    database::{Joined, Keys, Records, Site, Told, Unjoined, tenants},
    gateway::tenant::{From as TenantsFrom, Tenants},
};

/// The database that processes share, where one was asked for.
pub(in crate::cli) async fn join(site: &Site, inputs: &Inputs, loaded: &Loaded) -> Result<Joined, Failure> {
    if matches!((site, &loaded.store.url), (Site::Memory, None | Some(StoreUrl::Auto))) {
        tracing::error!("there is no home directory: counts are kept in memory (name a file with --db)");
    }
    Joined::of(site).await.map_err(|error| match error {
        Unjoined::Wrong(error) => super::super::config::wrong(&inputs.of_store(error)),
        Unjoined::Failed(error) => Failure::run(error),
    })
}

/// The keys of the database. One that has no room for a question just now, or is gone again, is waited for as long as one
/// that is not there.
pub(super) async fn known_keys(keys: &mut Keys, store: &StoreSection) -> Result<Option<Told>, StoreError> {
    let (patience, clock) = (store.wait.0, Clock::system());
    let begun = clock.tick();
    let waits = store.on_missing == WhenMissing::Wait;
    let mut said = false;
    loop {
        match keys.begin().await {
            Err(error) if waits && error.is_passing() && clock.tick().since(begun) < patience => {
                if !std::mem::replace(&mut said, true) {
                    tracing::warn!("{error}; waiting for it, up to {patience:?} (store.wait)");
                }
                tokio::time::sleep(AGAIN.min(patience)).await;
            }
            Err(error) if said => {
                return Err(StoreError::because(format!("waited {patience:?} for the store (store.wait)"), error));
            }
            told => return told,
        }
    }
}

/// How long after a look in vain the next follows.
const AGAIN: Duration = Duration::from_millis(500);

/// The pool, with what the database knows of it.
pub(in crate::cli) async fn pool(loaded: &Loaded, joined: Joined) -> Result<KeyPool, Failure> {
    joined.open(loaded.builder(), &loaded.store).await.map_err(|error| match error {
        OpenError::Store(error) => Failure::run(error),
        error @ OpenError::Missing { .. } => Failure::run(error),
        error => Failure::config(anyhow!("the keys: {error}")),
    })
}

/// The tenants that commands have added are known before anybody is let in; by which revision.
pub(super) async fn known_tenants(records: &Records, tenants: &Tenants) -> Result<Option<u64>, Failure> {
    match tenants::news(records, None).await {
        Ok(Some((revision, grants))) => {
            tenants.set(TenantsFrom::Commands, grants);
            Ok(Some(revision))
        }
        Ok(None) => Ok(None),
        Err(error) if error.is_passing() => {
            tracing::warn!("{error}; tenants in it are not known yet");
            Ok(None)
        }
        Err(error) => Err(Failure::run(error)),
    }
}
