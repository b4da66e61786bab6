//! What a key is called by is shown everywhere: it must be no key, neither itself nor another.

use super::roster::Roster;
use crate::{
    error::KeyError,
    key::{Key, KeyId, SHORTEST, Secret, Tier},
};

impl Roster {
    /// Whether what would be shown of this key, or is shown already, tells a secret. Secrets of fewer than 8 characters
    /// are looked for nowhere: they stand in any text.
    ///
    /// # Errors
    /// [`KeyError::Tells`].
    pub(super) fn check_names(&self, number: Option<usize>, key: &Key, secret: &Secret) -> Result<(), KeyError> {
        let tells = |text: &str| holds(text, secret) || (text.len() >= SHORTEST && self.has_secret(text));
        let id = key.id.as_ref().map(ToString::to_string);
        let names = [
            ("its id is a secret", id.as_deref()),
            ("its owner's name is a secret", key.owner.as_deref()),
            ("its billing account's name is a secret", key.billing_account.as_deref()),
            ("its tier's name is a secret", key.tier.as_ref().map(Tier::name)),
            ("its exit's name is a secret", key.exit.as_deref()),
        ];
        let labels = key.labels.iter().flat_map(|(name, value)| [name, value]);
        let labels = labels.map(|text| ("a label of it is a secret", Some(text.as_str())));
        match names.into_iter().chain(labels).find(|(_, text)| text.is_some_and(tells)) {
            Some((what, _)) => Err(KeyError::Tells { key: number, what }),
            None => self.check_secret(number, secret),
        }
    }

    /// Whether another key, or an owner, is called by this secret.
    ///
    /// # Errors
    /// [`KeyError::Tells`].
    pub(super) fn check_secret(&self, number: Option<usize>, secret: &Secret) -> Result<(), KeyError> {
        let text = secret.expose();
        let is_called = |what| Err(KeyError::Tells { key: number, what });
        match text {
            text if text.len() < SHORTEST => Ok(()),
            text if self.slot_of(&KeyId::from(text)).is_some() => is_called("its secret is the id of another"),
            text if self.owner_named(text).is_some() => is_called("its secret is the name of an owner"),
            _ => Ok(()),
        }
    }
}

/// Whether a text holds this secret.
fn holds(text: &str, secret: &Secret) -> bool {
    let secret = secret.expose();
    secret.len() >= SHORTEST && text.len() >= secret.len() && text.contains(secret)
}
