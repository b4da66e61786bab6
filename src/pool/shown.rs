//! Whether a text may be shown beside the keys.

use super::KeyPool;
use crate::key::{KeyId, Secret, holds};

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

    /// The secret of a key, as long as it has one, for what is to be kept out of a text.
    pub(crate) fn secret_of(&self, id: &KeyId) -> Option<Secret> {
        let state = self.state();
        let slot = state.roster.slot_of(id)?;
        Some(state.roster.keys[slot as usize].secret.clone())
    }
}
