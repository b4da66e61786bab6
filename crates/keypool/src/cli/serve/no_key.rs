//! What is said where there is no key to serve.

use std::fmt;

use tower_keypool::config::Environment;

use crate::{
    config::{Loaded, ProviderName},
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
        let provider = loaded.config.gateway.provider;
        let notes = aside.into_iter().chain(of_others(provider)).chain(notes).collect();
        Self { variable: provider.variables().example(), notes }
    }
}

/// Of keys that are there for other providers, by their variables.
fn of_others(own: ProviderName) -> impl Iterator<Item = String> {
    let environment = Environment::process();
    let all =
        [(ProviderName::Gemini, "gemini"), (ProviderName::OpenAi, "openai"), (ProviderName::Anthropic, "anthropic")];
    all.into_iter().filter(move |(other, _)| *other != own).filter_map(move |(other, name)| {
        let found = other.variables().source(&environment, &[], &mut Vec::new());
        let origin = found.keys.first()?.origin();
        Some(format!(
            "{origin} is a key of another provider: KEYPOOL_PROVIDER={name} serves it, or one of [[providers]]"
        ))
    })
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
