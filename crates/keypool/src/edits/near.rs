//! Keys whose names are nearly what was typed: a beginning of theirs, or theirs in another case.

use std::collections::BTreeSet;

use tower_keypool::{
    config::KeySpec,
    store::{BookError, KeyBook},
};

use super::EditError;

/// More are not named.
const MOST: usize = 5;

/// The same refusal, where nobody is called so and some nearly are with their names: for a person who typed it.
pub fn naming_near(error: EditError, book: &KeyBook, configured: &[KeySpec], typed: &str) -> EditError {
    let is_unknown = matches!(error, EditError::Book(BookError::Unknown(_)));
    let near = is_unknown.then(|| near(book, configured, typed)).flatten();
    near.map_or(error, EditError::Wrong)
}

fn near(book: &KeyBook, configured: &[KeySpec], typed: &str) -> Option<String> {
    let begin = typed.to_lowercase();
    let of_files = configured.iter().map(|spec| spec.key().key_id().to_string());
    let of_book = book.keys().filter(|(_, key)| key.is_kept()).map(|(_, key)| key.record.id.clone());
    let near: BTreeSet<String> =
        of_files.chain(of_book).filter(|id| !begin.is_empty() && id.to_lowercase().starts_with(&begin)).collect();
    let first: Vec<&str> = near.iter().map(String::as_str).take(MOST).collect();
    let which = match first.as_slice() {
        [] => return None,
        [one] => format!("is {one} meant?"),
        some if near.len() > some.len() => format!("{}, … begin so", some.join(", ")),
        some => format!("{} begin so", some.join(", ")),
    };
    Some(format!("no key is called {typed}: names are given whole; {which} (`keypool keys` lists them)"))
}
