//! Why keys that a store holds were not changed.

use std::fmt;

/// Why a book was not changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BookError {
    /// No key is called so.
    Unknown(String),
    /// Several are.
    Ambiguous(String),
    /// Another key is called so.
    IdTaken(String),
    /// The secret is that of this key.
    SameSecret(String),
    /// The key's secret is not kept here but in a file or a variable.
    Elsewhere(String),
    /// It was removed.
    Removed(String),
}

impl fmt::Display for BookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(id) => write!(f, "no key is called {id} (`keypool keys` lists them)"),
            Self::Ambiguous(id) => write!(f, "several keys are called {id}: give them names of their own"),
            Self::IdTaken(id) => write!(f, "another key is called {id}: choose another name"),
            Self::SameSecret(id) => write!(f, "that secret is the key {id} already"),
            Self::Removed(id) => write!(f, "{id} was removed: `keypool add-key` adds it again"),
            Self::Elsewhere(id) => {
                write!(f, "the secret of {id} is in a file or a variable: change it there, or switch it off here")
            }
        }
    }
}

impl std::error::Error for BookError {}
