//! Keys of the database that stand in a file or a variable as well.

use std::collections::HashSet;

use tower_keypool::{
    config::KeySpec,
    store::{KeyBook, StoreError},
};

use super::{EditError, named};
use crate::database::{self, Database};

pub(super) fn places(spec: &KeySpec) -> String {
    let places: Vec<String> = spec.origins.iter().map(ToString::to_string).collect();
    places.join(", ")
}

/// The key of the database that is meant, whose secret is to go from there. One that a file or a variable has as well
/// would stay in use by that.
///
/// # Errors
/// Those of [`named`], and when it stands elsewhere too, with its places.
pub fn kept_here_alone(book: &KeyBook, elsewhere: &Elsewhere, typed: &str) -> Result<String, EditError> {
    let configured = &elsewhere.configured;
    let id = named(book, typed)?;
    let is_it = |spec: &&KeySpec| book.by_hash(&spec.hash()).is_some_and(|key| key.is_kept() && key.record.id == id);
    match configured.iter().find(is_it) {
        None if elsewhere.in_both.contains(&book.find(&id)?.record.hash) => Err(EditError::Configured(format!(
            "the secret of {id} stands in a file or a variable of a gateway that runs as well, and is used from there: change it \
             there, or switch the key off here"
        ))),
        None => Ok(id),
        Some(spec) => {
            let places = places(spec);
            Err(EditError::Configured(format!(
                "the secret of {id} stands in {places} as well, and is used from there: change it there, or switch the key off \
                 here"
            )))
        }
    }
}

/// The same where all that is known of the key is to go: a secret that was taken out of use would be used again by whoever has it
/// still.
///
/// # Errors
/// Those of [`kept_here_alone`], and when an earlier secret of the key stands elsewhere.
pub fn removable(book: &KeyBook, elsewhere: &Elsewhere, typed: &str) -> Result<String, EditError> {
    let id = kept_here_alone(book, elsewhere, typed)?;
    let replaced = book.find(&id)?.settings.as_ref().map_or(&[][..], |said| &said.replaces);
    let spec = elsewhere.configured.iter().find(|spec| replaced.contains(&spec.hash()));
    let place = match spec {
        Some(spec) => places(spec),
        None if replaced.iter().any(|hash| elsewhere.in_both.contains(hash)) => {
            "a file or a variable of a gateway that runs".to_owned()
        }
        None => return Ok(id),
    };
    Err(EditError::Configured(format!(
        "an earlier secret of {id}, which was replaced, stands in {place} still, and would be used from there: take it out there \
         first, or switch the key off here"
    )))
}

/// Where keys stand beside a database.
#[derive(Clone, Debug, Default)]
pub struct Elsewhere {
    /// In files and variables that are known here.
    pub configured: Vec<KeySpec>,
    /// In those of gateways at work, by the hashes of their secrets: [`in_both`](crate::database::in_both).
    pub in_both: HashSet<String>,
}

impl Elsewhere {
    /// In files and variables that are `configured` here, and in those of gateways at work on a database.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn of(database: &Database, configured: Vec<KeySpec>) -> Result<Self, StoreError> {
        Ok(Self { configured, in_both: database::in_both(database).await? })
    }
}

/// A key that is configured has one name: the one that it has there.
///
/// # Errors
/// When another is given here.
pub fn one_name(spec: &mut KeySpec, configured: &[KeySpec]) -> Result<(), EditError> {
    let Some(known) = configured.iter().find(|known| known.secret() == spec.secret()) else { return Ok(()) };
    let name = known.key().key_id().to_string();
    if spec.id.as_ref().is_some_and(|id| *id != name) {
        let places = places(known);
        return Err(EditError::Configured(format!("that secret is the key {name} already ({places})")));
    }
    spec.id = known.id.clone();
    Ok(())
}
