//! All keys, each with its source: a variable, a key file, the configuration, or the database.

use std::collections::{HashMap, HashSet};

use keypool_store::{
    SqliteStore,
    sqlite::{SqliteError, StoredKey},
};
use serde_json::{Map, Value};
use tower_keypool::{
    Key, KeyId, Secret,
    config::{KeyEntry, Problem},
};

use crate::{
    config::{Loaded, NO_EXIT, OWN_TOKEN, PoolSettings},
    store::Stores,
};

/// The keys of a pool.
pub struct Listed {
    pub keys: Vec<Key>,
    /// Problems of the entries, because of which most are skipped.
    pub problems: Vec<Problem>,
    /// The keys of the database that are skipped.
    pub skipped: Vec<KeyId>,
    /// Whether a whole key file could not be read or parsed.
    pub has_failed_file: bool,
    places: HashMap<KeyId, String>,
}

impl Listed {
    /// Returns the source of a key: `keys.txt:3`, the name of a variable, or `database`.
    pub fn place(&self, id: &KeyId) -> &str {
        self.places.get(id).map_or("database", String::as_str)
    }

    /// Returns the keys that only the database lists.
    pub fn stored(&self) -> HashSet<KeyId> {
        self.keys.iter().map(Key::id).filter(|id| !self.places.contains_key(id)).collect()
    }
}

/// Returns the text of a problem, which says whether a key is skipped because of it.
pub fn described(problem: &Problem) -> String {
    let end = if problem.skips_entry { "; the entry is skipped" } else { "" };
    format!("{problem}{end}")
}

/// Returns each pool of a configuration with its keys.
///
/// # Errors
/// If the database cannot be read.
pub async fn all(loaded: &Loaded, stores: &Stores) -> anyhow::Result<Vec<(PoolSettings, Listed)>> {
    let mut all = Vec::new();
    for settings in loaded.pools() {
        // The keys of the database belong to the gateway's own provider, which comes first.
        let stored = if all.is_empty() { stored(stores).await? } else { Vec::new() };
        let listed = listed(loaded, &settings, stored);
        all.push((settings, listed));
    }
    Ok(all)
}

async fn stored(stores: &Stores) -> anyhow::Result<Vec<StoredKey>> {
    match &stores.sqlite {
        Some(sqlite) => Ok(sqlite.keys().await?),
        None => Ok(Vec::new()),
    }
}

/// Combines the configured keys with those keys of the database that the configuration does not list.
fn listed(loaded: &Loaded, settings: &PoolSettings, stored: Vec<StoredKey>) -> Listed {
    let configured = loaded.keys(settings);
    let places = configured.keys.iter().filter_map(|key| Some((key.id(), configured.place(&key.id())?.to_owned())));
    let places = places.collect();
    let mut from_database = settings.no_keys();
    let mut skipped = Vec::new();
    for key in stored {
        let is_listed =
            configured.keys.iter().any(|listed| listed.has_secret(key.secret.expose()) || listed.id() == key.id);
        if !is_listed {
            let place = format!("key {} of the database", key.id);
            skipped.push(key.id.clone());
            match serde_json::from_value(options_of(&key).into()) {
                Ok(entry) => from_database.add_entry(place, entry, &loaded.environment),
                Err(error) => {
                    tracing::warn!(key = %key.id, %error, "the key is skipped, because its options in the database are invalid");
                }
            }
        }
    }
    let mut problems = configured.problems;
    problems.append(&mut from_database.problems);
    let mut keys = configured.keys;
    for key in from_database.keys.into_iter().map(|key| loaded.placed(settings, key)) {
        if loaded.has_exit_of(&key) {
            keys.push(key);
        } else {
            problems.push(Problem::of_entry(format!("key {} of the database", key.id()), NO_EXIT));
        }
    }
    let used: HashSet<KeyId> = keys.iter().map(Key::id).collect();
    skipped.retain(|id| !used.contains(id));
    Listed { keys, problems, skipped, has_failed_file: configured.has_failed_file, places }
}

/// Returns all options of a key of the database, as in a key file.
pub fn options_of(stored: &StoredKey) -> Map<String, Value> {
    let mut options = stored.options.as_object().cloned().unwrap_or_default();
    options.insert("secret".to_owned(), stored.secret.expose().into());
    options.insert("id".to_owned(), stored.id.as_str().into());
    options.extend(stored.project.as_ref().map(|project| ("project".to_owned(), project.as_str().into())));
    options
}

/// Checks the options of a key of the gateway's own provider, and returns the key, and its form in the database.
///
/// # Errors
/// What is wrong with the options.
pub fn stored_from(mut options: Map<String, Value>, loaded: &Loaded) -> Result<(Key, StoredKey), String> {
    // The secret would be stored without encryption.
    let other_names = ["secret_env", "key", "api_key", "apikey", "apiKey", "name", "owner"];
    if let Some(name) = other_names.into_iter().find(|name| options.contains_key(*name)) {
        return Err(format!("{name}: expected the options by their own names, such as secret, id and project"));
    }
    options.retain(|_, value| !value.is_null());
    let entry: KeyEntry = serde_json::from_value(options.clone().into()).map_err(|error| error.to_string())?;
    let Some(Value::String(secret)) = options.remove("secret") else {
        return Err("secret: expected the key as a string".to_owned());
    };
    let secret = Secret::new(secret.trim()).map_err(|error| format!("secret: {error}"))?;
    let mut read = loaded.pools()[0].no_keys();
    read.add_entry("the database", entry, &loaded.environment);
    let Some(key) = read.keys.pop() else {
        return Err(read.problems.pop().map_or_else(String::new, |problem| problem.message));
    };
    if loaded.is_own_token(&key) {
        return Err(OWN_TOKEN.to_owned());
    }
    let mut stored = StoredKey::new(key.id(), secret);
    stored.project = key.project_name().map(str::to_owned);
    options.retain(|name, _| name != "id" && name != "project");
    stored.options = Value::Object(options);
    Ok((key, stored))
}

/// Returns the key of the database that has this secret.
///
/// # Errors
/// If the database cannot be read.
pub async fn with_secret(database: &SqliteStore, secret: &str) -> Result<Option<StoredKey>, SqliteError> {
    Ok(database.keys().await?.into_iter().find(|key| key.secret.expose() == secret))
}
