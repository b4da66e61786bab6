//! Whether the secrets of a database can be had.

use std::collections::HashSet;

use tower_keypool::store::{KeyRecord, StoreError};

use crate::database::{Database, Records, SecretKey, processes};

/// What opens them.
#[derive(Default)]
pub(super) struct Opens {
    /// Here; nothing is said where another process has what opens them, or may have.
    here: Option<Result<SecretKey, StoreError>>,
    /// Keys that every gateway left out, by hash.
    left_out: HashSet<String>,
}

impl Opens {
    pub(super) async fn of(store: Option<&Database>) -> Result<Self, StoreError> {
        let Some(store) = store else { return Ok(Self::default()) };
        let gateways = processes::all(&Records::Kept(store.clone())).await?;
        if !gateways.is_empty() {
            let mut told = gateways.into_iter().map(|gateway| HashSet::from_iter(gateway.left_out));
            let first: HashSet<String> = told.next().unwrap_or_default();
            return Ok(Self { left_out: told.fold(first, |all, more| &all & &more), here: None });
        }
        // Nobody is known who can open them, unless this machine can.
        Ok(Self { here: Some(SecretKey::of(store.path())), ..Self::default() })
    }

    /// Why this one's cannot.
    pub(super) fn why_not(&self, record: &KeyRecord) -> Option<String> {
        if self.left_out.contains(&record.hash) {
            let id = &record.id;
            return Some(format!(
                "the gateway that runs cannot have the stored secret of {id} and left the key out: its log says why"
            ));
        }
        match self.here.as_ref()? {
            Ok(key) => key.reveal(record).err().map(|error| error.to_string()),
            Err(error) => (!record.secret.is_elsewhere()).then(|| error.to_string()),
        }
    }
}
