//! What the binary goes by: a file, then the environment, then options.

mod address;
mod admin;
mod batch;
mod begun;
mod beside;
mod certificate;
mod exits;
mod find;
mod guessable;
mod inputs;
mod known;
mod loaded;
mod off;
mod outside;
mod reading;
mod sections;
mod show;
mod start;
mod store;
mod tenants;
mod unread;
mod unset;
mod variables;
mod way;
mod whose;
mod written;

use std::collections::{BTreeMap, BTreeSet};

use tower_keypool::config::{KeySet, Origin};

pub use admin::{AdminSection, Administration};
pub use batch::BatchSection;
pub use begun::Begun;
pub use beside::{Beside, ProviderEntry};
pub use exits::{ExitEntry, Exits};
pub use inputs::Inputs;
pub use loaded::Loaded;
pub use off::switch_off;
pub use sections::{
    CacheAffinity, CompatMode, Config, GatewaySection, Level, LogFormat, LogSection, ProviderName, UnknownNames,
};
pub use show::Effective;
pub use tenants::TenantEntry;
pub(crate) use tenants::{is_model, moment as moment_of};
pub(crate) use way::{Identity, Way};
pub use written::Written;

/// The JSON schema of the file, for editors.
pub fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Config).to_value();
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("title".to_owned(), "keypool.toml".into());
    }
    schema
}

/// So many of something.
pub(crate) fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// More places than these are not named.
const PLACES: usize = 20;

/// So many keys, and where they come from: `3 keys: 1 from database, 2 from keys.txt`.
pub(crate) fn by_place(keys: &KeySet) -> String {
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for key in &keys.keys {
        let place = |origin: &Origin| match origin {
            Origin::File { path, .. } => path.display().to_string(),
            other => other.to_string(),
        };
        // One that stands in a place twice is one.
        for place in key.origins.iter().map(place).collect::<BTreeSet<_>>() {
            *places.entry(place).or_default() += 1;
        }
    }
    let places: Vec<String> = places.iter().take(PLACES).map(|(place, n)| format!("{n} from {place}")).collect();
    let all = count(keys.keys.len(), "key");
    if places.is_empty() { all } else { format!("{all}: {}", places.join(", ")) }
}
