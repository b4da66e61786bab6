//! Keys of the database that stand in a file or a variable as well.

use tower_keypool::{config::KeySpec, store::KeyBook};

use super::{EditError, named};

pub(super) fn places(spec: &KeySpec) -> String {
    let places: Vec<String> = spec.origins.iter().map(ToString::to_string).collect();
    places.join(", ")
}

/// The key of the database that is meant, whose secret is to go from there. One that a file or a variable has as well
/// would stay in use by that.
///
/// # Errors
/// Those of [`named`], and when it stands elsewhere too, with its places.
pub fn kept_here_alone(book: &KeyBook, configured: &[KeySpec], typed: &str) -> Result<String, EditError> {
    let id = named(book, typed)?;
    let is_it = |spec: &&KeySpec| book.by_hash(&spec.hash()).is_some_and(|key| key.is_kept() && key.record.id == id);
    match configured.iter().find(is_it) {
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
