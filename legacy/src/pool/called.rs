//! What a key is called by is shown everywhere: it must be no key, neither itself nor another.

use std::{borrow::Cow, collections::HashSet};

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
        match names(key).find(|(_, text)| tells(text)) {
            Some((what, _)) => Err(KeyError::Tells { key: number, what }),
            None => self.check_secret(number, secret),
        }
    }

    /// The same of keys that are to come together, of each among the others as well.
    ///
    /// # Errors
    /// [`KeyError::Tells`].
    pub(super) fn check_all_names<'k>(
        &self,
        keys: impl Iterator<Item = (usize, &'k Key, &'k Secret)> + Clone,
    ) -> Result<(), KeyError> {
        let secrets: HashSet<&str> = keys.clone().map(|(_, _, secret)| secret.expose()).collect();
        let ids = keys.clone().filter_map(|(_, key, _)| key.id.as_ref().map(ToString::to_string));
        let (ids, owners): (HashSet<String>, HashSet<&str>) =
            (ids.collect(), keys.clone().filter_map(|(_, key, _)| key.owner.as_deref()).collect());
        for (number, key, secret) in keys {
            self.check_names(Some(number), key, secret)?;
            let text = secret.expose();
            let told = names(key).find(|(_, text)| text.len() >= SHORTEST && secrets.contains(&**text));
            let what = match told {
                Some((what, _)) => what,
                None if text.len() < SHORTEST => continue,
                None if ids.contains(text) => OF_ANOTHER,
                None if owners.contains(text) => OF_AN_OWNER,
                None => continue,
            };
            return Err(KeyError::Tells { key: Some(number), what });
        }
        Ok(())
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
            text if self.slot_of(&KeyId::from(text)).is_some() => is_called(OF_ANOTHER),
            text if self.owner_named(text).is_some() => is_called(OF_AN_OWNER),
            _ => Ok(()),
        }
    }
}

const OF_ANOTHER: &str = "its secret is the id of another";
const OF_AN_OWNER: &str = "its secret is the name of an owner";

/// All that a key is called by, and what it is said to be where that is a secret.
fn names(key: &Key) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
    let id = key.id.as_ref().map(|id| Cow::Owned(id.to_string()));
    let names = [
        ("its owner's name is a secret", key.owner.as_deref()),
        ("its billing account's name is a secret", key.billing_account.as_deref()),
        ("its tier's name is a secret", key.tier.as_ref().map(Tier::name)),
        ("its exit's name is a secret", key.exit.as_deref()),
    ];
    let names = names.into_iter().map(|(what, text)| (what, text.map(Cow::Borrowed)));
    let labels = key.labels.iter().flat_map(|(name, value)| [name, value]);
    let labels = labels.map(|text| ("a label of it is a secret", Some(Cow::Borrowed(text.as_str()))));
    let all = [("its id is a secret", id)].into_iter().chain(names).chain(labels);
    all.filter_map(|(what, text)| text.map(|text| (what, text)))
}

/// Whether a text holds this secret.
fn holds(text: &str, secret: &Secret) -> bool {
    let secret = secret.expose();
    secret.len() >= SHORTEST && text.len() >= secret.len() && text.contains(secret)
}
