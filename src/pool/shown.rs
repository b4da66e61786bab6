//! Whether a text may be shown beside the keys.

use std::sync::{Arc, PoisonError};

use super::KeyPool;
use crate::key::{Endings, KeyId, Secret, holds};

impl KeyPool {
    /// Whether a text holds the secret of one of its keys, as it is: such a text must not be shown (reasons, labels).
    /// Looks at each piece of each word, under the pool's lock: meant for a few hundred characters.
    pub fn holds_secret(&self, text: &str) -> bool {
        let state = self.state();
        holds(text, |piece| state.roster.has_secret(piece))
    }

    /// Whether a text is the secret of one of its keys, and nothing else: one look-up, under the pool's lock.
    pub fn is_secret(&self, text: &str) -> bool {
        self.state().roster.has_secret(text)
    }

    /// How its keys end, those that left lately included: tells which of them may stand in a text.
    pub(crate) fn endings(&self) -> Arc<Endings> {
        let kept = || self.0.endings.lock().unwrap_or_else(PoisonError::into_inner);
        let (came, secrets) = {
            let state = self.state();
            let came = state.roster.came;
            if let Some((then, endings)) = &*kept()
                && *then == came
            {
                return Arc::clone(endings);
            }
            (came, state.roster.keys.iter().map(|key| key.secret.clone()).collect())
        };
        // Nobody waits for the pool meanwhile.
        let endings = Arc::new(Endings::of(secrets));
        *kept() = Some((came, Arc::clone(&endings)));
        endings
    }

    /// The secret of a key, as long as it has one, for what is to be kept out of a text.
    pub(crate) fn secret_of(&self, id: &KeyId) -> Option<Secret> {
        let state = self.state();
        let slot = state.roster.slot_of(id)?;
        Some(state.roster.keys[slot as usize].secret.clone())
    }
}
