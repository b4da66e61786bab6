//! What the configuration tells a command that serves nothing: which keys there are, and where days end.

use std::collections::HashMap;

use tower_keypool::{
    Gemini, Provider, Strategy,
    config::KeySpec,
    store::{KeyBook, KeySettings},
};

use super::{Calendar, Standings};
use crate::{
    config::{Exits, Loaded},
    database::{Database, DatabaseError, Site, Whose},
};

/// What the configuration tells, as `keypool serve` finds it here.
#[derive(Clone, Debug)]
pub struct Configured {
    /// Where the provider's days end.
    pub calendar: Calendar,
    /// Keys of files and variables.
    pub keys: Vec<KeySpec>,
    /// The ways out that it describes; none where it could not be read.
    pub exits: Option<Exits>,
    /// Whether weights change with what keys answer.
    pub is_adaptive: bool,
}

impl Configured {
    /// Reads it. One that is wrong tells nothing, which is said.
    pub fn of(whose: &Whose) -> Self {
        if let Ok(loaded) = whose.inputs().load() {
            if let Some(name) = whose.provider() {
                let named = loaded.beside.iter().find(|beside| beside.name == name);
                return match named {
                    Some(beside) => Self::by(&*beside.provider, beside.keys().keys.clone(), &loaded),
                    // Whoever opens its database says that there is none.
                    None => Self::by(&*loaded.provider, Vec::new(), &loaded),
                };
            }
            return Self::by(&*loaded.provider, loaded.keys.keys.clone(), &loaded);
        }
        eprintln!(
            "keypool: note: the configuration is wrong (`keypool config check`); keys of files and variables are not \
             looked at"
        );
        Self { calendar: Calendar::of(Gemini::new().zone()), keys: Vec::new(), exits: None, is_adaptive: true }
    }

    /// The same of a configuration that was read.
    pub fn by(provider: &dyn Provider, keys: Vec<KeySpec>, loaded: &Loaded) -> Self {
        let is_adaptive = loaded.config.pool.strategy == Strategy::Adaptive;
        Self { calendar: Calendar::of(provider.zone()), keys, exits: Some(loaded.exits.clone()), is_adaptive }
    }

    /// The exit that a key goes out by, where it is not the usual way. `filed`: what files and variables say of it; `said`:
    /// what commands did.
    pub(super) fn exit<'a>(&'a self, filed: Option<&'a KeySpec>, said: Option<&'a KeySettings>) -> Option<&'a str> {
        let owner = filed.and_then(|spec| spec.owner.as_deref()).or(said.and_then(|said| said.owner.as_deref()));
        let of_owner = self.exits.as_ref().and_then(|exits| exits.of_owner(owner));
        // What was read of files has the owner's exit where they name none.
        let filed = filed.and_then(|spec| spec.exit.as_deref()).filter(|exit| Some(*exit) != of_owner);
        filed.or(said.and_then(|said| said.exit.as_deref())).or(of_owner)
    }

    /// Why a key goes nowhere: nothing says what its exit is.
    pub fn nowhere(&self, exit: Option<&str>) -> Option<String> {
        self.exits.as_ref()?.knows(exit?).err()
    }

    /// What keys are called now, by hash: what was used bears the name that they had then.
    pub fn names(&self, book: &KeyBook) -> HashMap<String, String> {
        let kept = book.keys().map(|(hash, key)| (hash.to_owned(), key.record.id.clone()));
        let filed = self.keys.iter().filter_map(|spec| Some((spec.hash(), spec.id.clone()?)));
        kept.filter(|(_, id)| !id.is_empty()).chain(filed).collect()
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
        let store = if is_there || self.keys.is_empty() { Some(database.look().await?) } else { None };
        Ok((Standings::of(store.as_ref(), self).await?, store))
    }

    /// Of keys by the hash of their secret.
    pub(super) fn origins(&self) -> HashMap<String, Vec<String>> {
        let origins = |spec: &KeySpec| spec.origins.iter().map(ToString::to_string).collect();
        self.keys.iter().map(|spec| (spec.hash(), origins(spec))).collect()
    }
}
