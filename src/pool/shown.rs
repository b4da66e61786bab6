//! Whether a text may be shown beside the keys.

use super::KeyPool;
use crate::key::holds;

impl KeyPool {
    /// Whether a text holds the secret of one of its keys, as it is: such a text must not be shown (reasons, labels).
    /// Looks at each piece of each word, under the pool's lock: meant for a few hundred characters.
    pub fn holds_secret(&self, text: &str) -> bool {
        let state = self.state();
        holds(text, |piece| state.roster.has_secret(piece))
    }
}
