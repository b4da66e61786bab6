//! A pool that goes by the keys of the database alone, as commands change them: for a command that runs for long, whose
//! files are read once.

use tower_keypool::{KeyError, KeyPool};

use super::News;
use crate::{
    config::{Inputs, Loaded},
    database::{Keys, Told},
};

/// What such a command goes by.
pub struct Book {
    /// What its configuration was read from.
    pub inputs: Inputs,
    /// The same, as it is now.
    pub loaded: Loaded,
    /// The keys of the database.
    pub keys: Keys,
    /// The pool that goes by it.
    pub pool: KeyPool,
}

impl Book {
    /// Follows it for as long as this lives. `tell` hears what came of each change.
    pub async fn follow(mut self, tell: impl Fn(&str)) {
        loop {
            let told = self.keys.changed().await;
            match self.take(told) {
                Ok(news) if news.is_empty() => tell(""),
                Ok(news) => tell(&format!("keys changed by command: {news}")),
                Err(error) => tracing::error!("keys changed by command are not taken: {error}"),
            }
        }
    }

    fn take(&mut self, told: Told) -> Result<News, KeyError> {
        let lifted = told.lifted.clone();
        self.inputs.hear(Some(told));
        let new = self.loaded.with(&self.inputs.more).sharing(&self.loaded);
        let keys = self.pool.reconfigure(new.builder())?;
        new.switch_off(&self.pool, &self.loaded);
        let notes = new.keys.notes.iter().filter(|note| !self.loaded.keys.notes.contains(note));
        notes.for_each(|note| tracing::warn!("{note}"));
        let news = News::between(&self.loaded, &new, keys);
        self.loaded = new;
        lift(&self.pool, &self.loaded, &lifted);
        Ok(news)
    }
}

/// Switches on what commands switched on.
pub(super) fn lift(pool: &KeyPool, loaded: &Loaded, hashes: &[String]) {
    if hashes.is_empty() {
        return;
    }
    for spec in loaded.keys.keys.iter().filter(|spec| hashes.contains(&spec.hash())) {
        if let Err(error) = pool.enable(&spec.key().key_id()) {
            tracing::warn!("{error}");
        }
    }
}
