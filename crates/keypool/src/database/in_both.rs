//! Keys of a database that a gateway has from files or variables as well, or an earlier secret of theirs: it says so to commands,
//! which have another environment. Taken out of the database they would stay in use.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use tower_keypool::{
    config::{KeySpec, Source},
    store::StoreError,
};

use super::{Database, Records, processes};

/// So many are told at most, every few seconds.
const MOST: usize = 4096;

/// Hashes of secrets that stand in both, as one gateway has them. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct InBoth(Arc<Mutex<Vec<String>>>);

impl InBoth {
    /// It goes by these files and variables from now on, and by these keys of the database.
    pub fn are(&self, configured: &[Source], kept: &[Source]) {
        let hashes: HashSet<String> = kept.iter().flat_map(|source| &source.keys).map(KeySpec::hash).collect();
        let replaced: HashSet<&String> = kept.iter().flat_map(|source| &source.replaced).collect();
        // Each is a hash to be made: of a configuration without a database none is.
        let configured = if hashes.is_empty() && replaced.is_empty() { &[] } else { configured };
        let here = configured.iter().flat_map(|source| &source.keys).map(KeySpec::hash);
        let both = here.filter(|hash| hashes.contains(hash) || replaced.contains(hash)).take(MOST).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = both;
    }

    pub(super) fn told(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// All that the gateways at work on a database say.
///
/// # Errors
/// When it cannot be read.
pub async fn in_both(database: &Database) -> Result<HashSet<String>, StoreError> {
    let gateways = processes::all(&Records::Kept(database.clone())).await?;
    Ok(gateways.into_iter().flat_map(|gateway| gateway.in_both).collect())
}
