//! What is said where there is no key to serve.

use std::fmt;

use crate::{
    config::Loaded,
    database::{Site, Stored, keys_may_be_in},
};

/// No key anywhere: the ways to give one.
#[derive(Debug)]
pub(in crate::cli) struct NoKey {
    /// The variable that most people have.
    variable: String,
    notes: Vec<String>,
}

impl NoKey {
    /// Whether there is any: for the gateway's own provider, or for one beside it, whose database may have some.
    ///
    /// # Errors
    /// When there is none.
    pub(in crate::cli) async fn check(loaded: &Loaded, site: &Site) -> Result<(), Self> {
        if !loaded.lacks_keys() {
            return Ok(());
        }
        for beside in &loaded.beside {
            // Why one cannot be read is told when it is opened.
            let looked = Stored::look(&site.beside(&beside.name)).await;
            if looked.map_or(true, |stored| stored.is_some_and(|stored| stored.has_keys())) {
                return Ok(());
            }
        }
        Err(Self::of(loaded))
    }

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
