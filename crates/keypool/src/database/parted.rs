//! Keys of files and variables that left while nobody was there to see it.

use std::collections::BTreeSet;

use tower_keypool::{config::KeySpec, store::StoreError};

use super::{Database, Records, processes};

/// Takes note that keys have left which neither this process has (`present`) nor a gateway that runs beside it may have.
///
/// # Errors
/// When the database cannot be read or written.
pub async fn part(database: &Database, present: &[KeySpec]) -> Result<(), StoreError> {
    if is_served(database).await? {
        return Ok(());
    }
    let present: BTreeSet<String> = present.iter().map(KeySpec::hash).collect();
    let book = database.key_book().await?;
    let keys = book.keys().filter(|(hash, key)| !key.is_kept() && !key.has_left() && !present.contains(*hash));
    let gone: Vec<String> = keys.map(|(hash, _)| hash.to_owned()).collect();
    if gone.is_empty() {
        return Ok(());
    }
    database.edit_keys(move |book| gone.iter().for_each(|hash| book.part(hash))).await
}

/// Whether a gateway works on it, which knows of keys what no command does.
///
/// # Errors
/// When it cannot be read.
pub async fn is_served(database: &Database) -> Result<bool, StoreError> {
    Ok(!processes::all(&Records::Kept(database.clone())).await?.is_empty())
}
