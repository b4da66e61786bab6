//! What is said where there is no key to serve.

use std::fmt;

use crate::{
    config::Loaded,
    database::{Site, keys_may_be_in},
};

/// No key anywhere: the ways to give one.
#[derive(Debug)]
pub(in crate::cli) struct NoKey {
    /// The variable that most people have.
    variable: String,
    notes: Vec<String>,
}

impl NoKey {
    pub(in crate::cli) fn of(loaded: &Loaded) -> Self {
        let aside = Site::of(&loaded.store).path().and_then(keys_may_be_in);
        let notes = loaded.keys.notes.iter().map(ToString::to_string);
        let notes = aside.into_iter().chain(notes).collect();
        Self { variable: loaded.config.gateway.provider.variables().example(), notes }
    }
}

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "there is no API key to serve. Give one of:\n  \
             - a variable: {0}=… keypool serve (or {0}S=…,…)\n  \
             - a key file: one key a line in key.txt, or in another one with --keys FILE\n  \
             - the database: keypool add-key asks for a key and keeps it, encrypted; keypool import FILE takes many\n  \
             - the configuration: [[keys]] in keypool.toml, or in another one with --config FILE",
            self.variable
        )?;
        for note in self.notes.iter().take(20) {
            write!(f, "\n  {note}")?;
        }
        Ok(())
    }
}

impl std::error::Error for NoKey {}
