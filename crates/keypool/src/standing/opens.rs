//! Whether the secrets of a database can be had.

use tower_keypool::store::{KeyRecord, StoreError};

use crate::database::{Database, SecretKey, is_served};

/// What opens them; nothing is said where another process has what opens them, or may have.
pub(super) struct Opens(Option<Result<SecretKey, StoreError>>);

impl Opens {
    pub(super) async fn of(store: Option<&Database>) -> Result<Self, StoreError> {
        let Some(store) = store else { return Ok(Self(None)) };
        if is_served(store).await? {
            return Ok(Self(None));
        }
        let key = SecretKey::of(store.path());
        // Of a server's machines some have none.
        let elsewhere = store.path().is_none() && key.as_ref().is_ok_and(|key| !key.is_there());
        Ok(Self((!elsewhere).then_some(key)))
    }

    /// Why this one's cannot.
    pub(super) fn why_not(&self, record: &KeyRecord) -> Option<String> {
        match self.0.as_ref()? {
            Ok(key) => key.reveal(record).err().map(|error| error.to_string()),
            Err(error) => (!record.secret.is_elsewhere()).then(|| error.to_string()),
        }
    }
}
