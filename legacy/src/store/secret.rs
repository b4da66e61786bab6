//! How a stored key's secret is had.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a stored key's secret is had. `Debug` shows none of it but a reference.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum KeptSecret {
    /// From where the key was given: a key file, a variable, code. Nothing is stored.
    #[default]
    Elsewhere,
    /// By name: `env:NAME` or `file:PATH`.
    Reference(String),
    /// Encrypted with a key that is not in the store.
    Sealed(Vec<u8>),
    /// As it is. Whoever reads the store has it.
    Plain(String),
}

impl KeptSecret {
    /// Whether nothing is stored: then a write leaves what an earlier one stored.
    pub fn is_elsewhere(&self) -> bool {
        *self == Self::Elsewhere
    }
}

impl fmt::Debug for KeptSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elsewhere => f.write_str("Elsewhere"),
            Self::Reference(name) => write!(f, "Reference({name})"),
            Self::Sealed(_) => f.write_str("Sealed(***)"),
            Self::Plain(_) => f.write_str("Plain(***)"),
        }
    }
}
