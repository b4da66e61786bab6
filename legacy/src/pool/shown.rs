//! Whether a text may be shown beside the keys.

use std::{
    borrow::Cow,
    sync::{Arc, PoisonError, Weak},
};

use super::{Demand, KeyPool, Shared, state::State};
use crate::{
    key::{Endings, Key, KeyId, SHORTEST, Secret, holds, mask_spelled},
    verdict::Verdict,
};

/// What stands between the parts of a model's name, or around it; hardly a key has any of these.
const MARKS: [char; 12] = ['/', ':', ' ', ',', ';', '=', '&', '?', '#', '@', '(', ')'];

/// What is no key of a pool, and is overwritten like one.
#[derive(Clone, Default)]
pub(super) struct Hidden {
    /// Whose keys.
    pools: Vec<Weak<Shared>>,
    /// What else.
    others: Option<Arc<Endings>>,
}

fn mask_of(endings: &Endings, text: &mut Cow<'_, str>) {
    let found = endings.in_text(text.as_bytes());
    if found.is_empty() {
        return;
    }
    let mut bytes = text.as_bytes().to_vec();
    if mask_spelled(&found, &mut bytes) {
        *text = String::from_utf8_lossy(&bytes).into_owned().into();
    }
}

/// What keys that come together are disabled for, without any of them.
pub(super) fn mask_reasons(keys: &mut [Key]) {
    if keys.iter().all(|key| key.disabled.is_none()) {
        return;
    }
    let endings = Endings::of(keys.iter().filter_map(|key| Secret::new(&key.secret).ok()).collect());
    for reason in keys.iter_mut().filter_map(|key| key.disabled.as_mut()) {
        let mut told = Cow::Borrowed(reason.as_str());
        mask_of(&endings, &mut told);
        *reason = told.into_owned();
    }
}

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

    /// A text that a caller chose (a model's name, a path, an id), with every key of the pool in it overwritten, however it is
    /// spelled: as the text may be told. So are those of pools that it [stands beside](Self::stand_beside). One pass over it.
    pub fn masked<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if text.len() < SHORTEST {
            return text.into();
        }
        let mut told = Cow::Borrowed(text);
        self.mask_in(&mut told);
        let Hidden { pools, others } = self.0.beside.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for other in pools.iter().filter_map(Weak::upgrade) {
            Self(other).mask_in(&mut told);
        }
        if let Some(others) = others {
            mask_of(&others, &mut told);
        }
        told
    }

    /// The verdict without the keys that its words hold: whoever judges by hand may have put there what a client said, with
    /// the address that it asked. `None`: it holds none.
    #[inline]
    pub(crate) fn cleared(&self, verdict: &Verdict) -> Option<Verdict> {
        if verdict.has_own_words() { verdict.reworded(|text| self.masked(text)) } else { None }
    }

    /// A key that is to join it, without any of its keys in what it is disabled for.
    pub(super) fn cleared_key(&self, mut key: Key) -> Key {
        key.disabled = key.disabled.map(|reason| self.masked(&reason).into_owned());
        key
    }

    fn mask_in(&self, text: &mut Cow<'_, str>) {
        mask_of(&self.endings(), text);
    }

    /// From now on the keys of these pools are overwritten, too, in what callers of this one chose: where one program has
    /// several pools, a caller may name a key of another one.
    pub fn stand_beside<'p>(&self, others: impl IntoIterator<Item = &'p Self>) {
        let others = others.into_iter().filter(|other| !other.is_same(self)).map(|other| Arc::downgrade(&other.0));
        self.0.beside.lock().unwrap_or_else(PoisonError::into_inner).pools = others.collect();
    }

    /// From now on these are overwritten like its keys in what callers chose, in the place of what this named before: what a
    /// program takes from its callers instead of a key. Of fewer than eight characters, or of others than visible ASCII,
    /// none is.
    ///
    /// ```
    /// use tower_keypool::{Gemini, Key, KeyPool};
    ///
    /// let pool = KeyPool::builder(Gemini::new()).key(Key::new("AIza-not-a-real-key-000")).build()?;
    /// pool.hide(["placeholder-of-this-gateway"]);
    /// assert_eq!(pool.masked("/v1/models/placeholder-of-this-gateway").matches('*').count(), 27);
    /// # Ok::<_, tower_keypool::KeyError>(())
    /// ```
    pub fn hide<'t>(&self, texts: impl IntoIterator<Item = &'t str>) {
        let secrets: Vec<Secret> = texts.into_iter().filter_map(|text| Secret::new(text).ok()).collect();
        let others = (!secrets.is_empty()).then(|| Arc::new(Endings::of(secrets)));
        self.0.beside.lock().unwrap_or_else(PoisonError::into_inner).others = others;
    }

    /// The secret of a key, as long as it has one, for what is to be kept out of a text.
    pub(crate) fn secret_of(&self, id: &KeyId) -> Option<Secret> {
        let state = self.state();
        let slot = state.roster.slot_of(id)?;
        Some(state.roster.keys[slot as usize].secret.clone())
    }
}

impl State {
    /// The model of a demand as an error may tell it: whoever made the demand may have put a key there.
    pub(super) fn shown_model(&self, demand: &Demand) -> Option<Arc<str>> {
        let model = demand.model.as_ref()?;
        Some(if self.has_secret_in(model) { "*".repeat(model.len()).into() } else { Arc::clone(model) })
    }

    /// Whether a model's name is a key, or has one between the marks that names are put together with (`models/NAME`,
    /// `NAME:method`). A name with any of these in it is looked at by hand alone: layers mask what callers named before.
    pub(super) fn has_secret_in(&self, name: &str) -> bool {
        self.roster.has_secret(name) || name.split(MARKS).any(|piece| self.roster.has_secret(piece))
    }
}
