//! Why a store could not be read or written.

use std::{error::Error, fmt};

use tower::BoxError;

/// A store could not be read or written. Says which and why, never a secret.
#[derive(Debug)]
pub struct StoreError {
    what: String,
    source: Option<BoxError>,
}

impl StoreError {
    /// What could not be done.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None }
    }

    /// The same, and what stood in the way.
    pub fn because(what: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self { what: what.into(), source: Some(source.into()) }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}
