//! How the secrets of keys by hand are kept.

use tower_keypool::{
    config::KeySpec,
    store::{Keeping, KeptSecret},
};

use super::{EditError, named};
use crate::database::{Database, SecretKey};

/// How a secret is kept in this database, and the file of the key that encrypts it, if that was made just now. `instead`:
/// the key, as it was typed, whose secret it takes the place of.
///
/// # Errors
/// When it cannot be kept there, or what is kept there is encrypted with a key that is not at hand: a second one beside
/// that is what nobody asked for.
pub async fn keep(
    spec: &KeySpec,
    plain: bool,
    database: &Database,
    instead: Option<&str>,
) -> Result<(KeptSecret, Option<String>), EditError> {
    let (keeping, made) = keeping(plain, database, instead).await?;
    Ok((keeping.keep(spec.secret())?, made))
}

/// How secrets are kept in this database.
pub(super) async fn keeping(
    plain: bool,
    database: &Database,
    instead: Option<&str>,
) -> Result<(Keeping, Option<String>), EditError> {
    let is_server = database.path().is_none();
    if plain && is_server {
        return Err(EditError::wrong("--plain: in Redis secrets are always encrypted (with KEYPOOL_SECRET_KEY)"));
    }
    if plain {
        return Ok((Keeping::Plain, None));
    }
    let wrong = |error: tower_keypool::store::StoreError| EditError::Wrong(error.to_string());
    let mut key = SecretKey::of(database.path()).map_err(wrong)?;
    let book = database.command_keys().await?;
    let replaced = instead.and_then(|typed| named(&book, typed).ok());
    let kept = book.keys().map(|(_, key)| &key.record).filter(|record| Some(&record.id) != replaced.as_ref());
    key.opens(kept).map_err(wrong)?;
    let keeping = key.keeping();
    let (keeping, made) = if is_server { keeping.map_err(wrong)? } else { keeping? };
    let made = made.then(|| key.file().map(|file| file.display().to_string())).flatten();
    Ok((keeping, made))
}
