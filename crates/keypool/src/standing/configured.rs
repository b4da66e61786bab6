//! What the configuration tells a command that serves nothing: which keys there are, and where days end.

use std::collections::HashMap;

use tower_keypool::{Gemini, Provider, config::KeySpec};

use super::{Calendar, Standings};
use crate::database::{Database, DatabaseError, Site, Whose};

/// What the configuration tells, as `keypool serve` finds it here.
#[derive(Clone, Debug)]
pub struct Configured {
    /// Where the provider's days end.
    pub calendar: Calendar,
    /// Keys of files and variables.
    pub keys: Vec<KeySpec>,
}

impl Configured {
    /// Reads it. One that is wrong tells nothing, which is said.
    pub fn of(whose: &Whose) -> Self {
        if let Ok(loaded) = whose.inputs().load() {
            if let Some(name) = whose.provider() {
                let named = loaded.beside.iter().find(|beside| beside.name == name);
                return match named {
                    Some(beside) => Self::by(&*beside.provider, beside.keys().keys.clone()),
                    // Whoever opens its database says that there is none.
                    None => Self::by(&*loaded.provider, Vec::new()),
                };
            }
            return Self { calendar: Calendar::of(loaded.provider.zone()), keys: loaded.keys.keys.clone() };
        }
        eprintln!(
            "keypool: note: the configuration is wrong (`keypool config check`); keys of files and variables are not \
             looked at"
        );
        Self { calendar: Calendar::of(Gemini::new().zone()), keys: Vec::new() }
    }

    /// The same of a configuration that was read.
    pub fn by(provider: &dyn Provider, keys: Vec<KeySpec>) -> Self {
        Self { calendar: Calendar::of(provider.zone()), keys }
    }

    /// How keys stand, by this database and what is configured; and the database.
    ///
    /// # Errors
    /// When it cannot be read, or there is neither a database nor a key.
    pub async fn look(&self, database: &Whose) -> Result<(Standings, Option<Database>), DatabaseError> {
        let site = database.site()?;
        let is_there = match site.path() {
            Some(path) => path.exists(),
            None => matches!(site, Site::Server(_)),
        };
        let store = if is_there || self.keys.is_empty() { Some(database.existing().await?) } else { None };
        Ok((Standings::of(store.as_ref(), self).await?, store))
    }

    /// Of keys by the hash of their secret.
    pub(super) fn origins(&self) -> HashMap<String, Vec<String>> {
        let origins = |spec: &KeySpec| spec.origins.iter().map(ToString::to_string).collect();
        self.keys.iter().map(|spec| (spec.hash(), origins(spec))).collect()
    }
}
