//! A store's keys, open for changes by hand: commands are methods here, and the store writes what they changed in one
//! transaction beside whatever process works on it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{BookError, ImportRecord, KeptSecret, KeyRecord, KeySettings, KeyStanding, record::secret_hash};
use crate::key::holds;

/// A store's keys, open for changes.
///
/// Who wins: what is said here (secret, [`KeySettings`]) is the commands' alone, and no pool writes it. Of the
/// [`KeyRecord`] both write the name, place, owner and state as they see them; pools go by what is said, and write the
/// record again.
#[derive(Clone, Debug, Default)]
pub struct KeyBook {
    keys: BTreeMap<String, BookKey>,
    /// Hashes by every name that a key has or had.
    names: HashMap<String, BTreeSet<String>>,
    /// Secrets that others came in the place of.
    replaced: BTreeSet<String>,
    imports: Vec<ImportRecord>,
    revision: u64,
    changed: BTreeSet<String>,
    lifted: BTreeSet<String>,
}

/// A key in a book.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BookKey {
    /// As pools see it.
    pub record: KeyRecord,
    /// What commands said of it; nothing was said where there is none.
    pub settings: Option<KeySettings>,
}

impl BookKey {
    /// Whether its secret is had from the store: then it is a key of every pool on it.
    pub fn is_kept(&self) -> bool {
        !self.record.secret.is_elsewhere()
    }

    /// Whether it is switched off by a command, and why.
    pub fn disabled(&self) -> Option<&str> {
        self.settings.as_ref()?.disabled.as_deref()
    }

    /// Whether it left: no pool has it, and its secret is not kept.
    pub fn has_left(&self) -> bool {
        !self.is_kept() && self.record.state == KeyStanding::Removed
    }

    /// Which of several of one name is meant: one that is kept here, else one that a pool has, else one that left.
    fn rank(&self) -> u8 {
        match (self.is_kept(), self.has_left()) {
            (true, _) => 0,
            (false, true) => 2,
            (false, false) => 1,
        }
    }

    fn is_called(&self, id: &str) -> bool {
        self.record.id == id || self.settings.as_ref().is_some_and(|settings| settings.id.as_deref() == Some(id))
    }
}

/// What became of a key that was to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Added {
    /// It was not kept here before. Its name.
    New(String),
    /// It is kept here already, under this name; nothing was changed.
    Known(String),
}

impl KeyBook {
    /// What a store holds; changes get this revision.
    pub fn new(keys: impl IntoIterator<Item = KeyRecord>, settings: Vec<KeySettings>, revision: u64) -> Self {
        let mut said: HashMap<String, KeySettings> =
            settings.into_iter().map(|said| (said.hash.clone(), said)).collect();
        let mut book = Self { revision, ..Self::default() };
        for record in keys {
            let settings = said.remove(&record.hash);
            book.put(BookKey { record, settings });
        }
        for (hash, settings) in said {
            let record = KeyRecord { hash, ..KeyRecord::default() };
            book.put(BookKey { record, settings: Some(settings) });
        }
        book
    }

    fn put(&mut self, key: BookKey) {
        let hash = key.record.hash.clone();
        let said = key.settings.as_ref();
        for name in [Some(&key.record.id), said.and_then(|said| said.id.as_ref())].into_iter().flatten() {
            self.names.entry(name.clone()).or_default().insert(hash.clone());
        }
        self.replaced.extend(said.into_iter().flat_map(|said| said.replaces.iter().cloned()));
        self.keys.insert(hash, key);
    }

    /// Keys of this name.
    fn called(&self, id: &str) -> impl Iterator<Item = (&str, &BookKey)> {
        let hashes = self.names.get(id).into_iter().flatten();
        let keys = hashes.filter_map(|hash| self.keys.get(hash).map(|key| (&**hash, key)));
        keys.filter(move |(_, key)| key.is_called(id))
    }

    /// Every key that it knows, those that left included, by the hash of the secret.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &BookKey)> {
        self.keys.iter().map(|(hash, key)| (&**hash, key))
    }

    /// The key of this secret.
    pub fn by_hash(&self, hash: &str) -> Option<&BookKey> {
        self.keys.get(hash)
    }

    /// Whether a text holds the secret of a key that it knows, which must not be shown: reasons, labels, names.
    ///
    /// Only hashes are kept, so that each piece of a word is hashed: meant for a few hundred characters.
    pub fn holds_secret(&self, text: &str) -> bool {
        holds(text, |piece| self.keys.contains_key(&secret_hash(piece)))
    }

    /// The key of this name.
    ///
    /// # Errors
    /// [`BookError::Unknown`], [`BookError::Ambiguous`].
    pub fn find(&self, id: &str) -> Result<&BookKey, BookError> {
        self.hash_of(id).map(|hash| &self.keys[&hash])
    }

    fn hash_of(&self, id: &str) -> Result<String, BookError> {
        let mut called: Vec<(u8, &str)> = self.called(id).map(|(hash, key)| (key.rank(), hash)).collect();
        called.sort_unstable();
        match called.as_slice() {
            [] => Err(BookError::Unknown(id.to_owned())),
            // Of those that left it does not matter which: nothing is done to them.
            [first, second, ..] if first.0 == second.0 && first.0 < 2 => Err(BookError::Ambiguous(id.to_owned())),
            [first, ..] => Ok(first.1.to_owned()),
        }
    }

    /// A key that is in some pool, or may be, has this name.
    fn is_taken(&self, id: &str, but: &str) -> bool {
        self.called(id).any(|(hash, key)| hash != but && key.rank() < 2)
    }

    /// Adds a key of which this is said. `created`: now, in Unix milliseconds.
    ///
    /// # Errors
    /// [`BookError::IdTaken`].
    pub fn add(&mut self, said: KeySettings, secret: KeptSecret, created: i64) -> Result<Added, BookError> {
        let hash = said.hash.clone();
        let before = self.keys.get(&hash);
        if let Some(known) = before.filter(|key| key.is_kept()) {
            return Ok(Added::Known(known.record.id.clone()));
        }
        let id = match &said.id {
            Some(id) if self.is_taken(id, &hash) => return Err(BookError::IdTaken(id.clone())),
            Some(id) => id.clone(),
            None => {
                let derived = |digits: usize| format!("k-{}", hash.get(..digits).unwrap_or(&hash));
                let short = derived(8);
                if self.is_taken(&short, &hash) { derived(16) } else { short }
            }
        };
        let mut key = before.cloned().unwrap_or_default();
        let held = key.settings.take().unwrap_or_default();
        let state = if held.disabled.is_some() { KeyStanding::Disabled } else { KeyStanding::Active };
        let usual = if matches!(said.tier.as_deref(), None | Some("free")) { 0 } else { 10 };
        let new = before.is_none() || key.record.created == 0;
        key.record = KeyRecord {
            hash: hash.clone(),
            id: id.clone(),
            secret,
            tier: said.tier.clone(),
            priority: said.priority.unwrap_or(usual),
            weight: said.weight.unwrap_or(1.0),
            weight_now: said.weight.unwrap_or(1.0),
            owner: said.owner.clone(),
            source: said.labels.get("source").cloned(),
            state,
            reason: held.disabled.clone().unwrap_or_default(),
            created: if new { created } else { key.record.created },
            ..key.record
        };
        key.settings = Some(KeySettings { disabled: held.disabled, lifted: held.lifted, replaces: Vec::new(), ..said });
        self.stands_alone(&hash);
        self.put(key);
        self.changed.insert(hash);
        Ok(Added::New(id))
    }

    /// Takes a key out: its secret is forgotten; what is known of it stays.
    ///
    /// # Errors
    /// [`BookError::Elsewhere`] and [`BookError::Removed`] where its secret is not kept here; those of [`KeyBook::find`].
    pub fn remove(&mut self, id: &str) -> Result<(), BookError> {
        let hash = self.kept(id)?;
        self.forget(&hash);
        Ok(())
    }

    fn kept(&self, id: &str) -> Result<String, BookError> {
        let hash = self.hash_of(id)?;
        let error = if self.keys[&hash].rank() == 2 { BookError::Removed } else { BookError::Elsewhere };
        if self.keys[&hash].is_kept() { Ok(hash) } else { Err(error(id.to_owned())) }
    }

    fn forget(&mut self, hash: &str) {
        if let Some(key) = self.keys.get_mut(hash) {
            key.record.secret = KeptSecret::Elsewhere;
            key.record.state = KeyStanding::Removed;
            key.settings = Some(KeySettings { hash: hash.to_owned(), ..KeySettings::default() });
            self.changed.insert(hash.to_owned());
        }
    }

    /// Gives a key the secret of this hash: name, settings and all that is known of it stay.
    ///
    /// # Errors
    /// [`BookError::SameSecret`] where that secret is a key already; those of [`KeyBook::remove`].
    pub fn replace(&mut self, id: &str, hash: &str, secret: KeptSecret) -> Result<(), BookError> {
        let old = self.kept(id)?;
        if let Some(other) = self.keys.get(hash).filter(|key| key.rank() < 2) {
            return Err(BookError::SameSecret(other.record.id.clone()));
        }
        let mut new = self.keys[&old].clone();
        let mut said = new.settings.take().unwrap_or_default();
        said.replaces.push(old.clone());
        said.id.get_or_insert_with(|| new.record.id.clone());
        hash.clone_into(&mut said.hash);
        hash.clone_into(&mut new.record.hash);
        new.record.secret = secret;
        new.settings = Some(said);
        self.forget(&old);
        self.put(new);
        self.stands_alone(hash);
        self.changed.insert(hash.to_owned());
        Ok(())
    }

    /// Keeps the secret with this hash in another form: encrypted with another key. Of one that is not kept here nothing
    /// changes.
    pub fn keep(&mut self, hash: &str, secret: KeptSecret) {
        if let Some(key) = self.keys.get_mut(hash).filter(|key| key.is_kept() && !secret.is_elsewhere()) {
            key.record.secret = secret;
            self.changed.insert(hash.to_owned());
        }
    }

    /// What is known of this secret is its own again.
    fn stands_alone(&mut self, hash: &str) {
        if !self.replaced.remove(hash) {
            return;
        }
        for (other, key) in &mut self.keys {
            if let Some(said) = key.settings.as_mut().filter(|said| said.replaces.iter().any(|old| old == hash)) {
                said.replaces.retain(|old| old != hash);
                self.changed.insert(other.clone());
            }
        }
    }

    /// Switches a key off, whichever source it is from. `reason` is shown.
    ///
    /// # Errors
    /// Those of [`KeyBook::find`].
    pub fn disable(&mut self, id: &str, reason: &str) -> Result<(), BookError> {
        self.say(id, |said| said.disabled = Some(reason.to_owned()))?;
        self.stand(id, KeyStanding::Disabled, reason)
    }

    /// Switches a key on, and lifts every rest of it and of its owner.
    ///
    /// # Errors
    /// Those of [`KeyBook::find`].
    pub fn enable(&mut self, id: &str) -> Result<(), BookError> {
        let revision = self.revision;
        self.say(id, |said| (said.disabled, said.lifted) = (None, revision))?;
        let hash = self.hash_of(id)?;
        self.lifted.insert(hash);
        self.stand(id, KeyStanding::Active, "")
    }

    /// Says something else of a key.
    ///
    /// # Errors
    /// Those of [`KeyBook::find`].
    pub fn say(&mut self, id: &str, change: impl FnOnce(&mut KeySettings)) -> Result<(), BookError> {
        let hash = self.hash_of(id)?;
        if let Some(key) = self.keys.get_mut(&hash) {
            let said = key.settings.get_or_insert_with(|| KeySettings::recorded(&key.record));
            change(said);
            let (kept, record) = (!key.record.secret.is_elsewhere(), &mut key.record);
            // What a strategy made of the weight goes with it.
            let adapted = if record.weight > 0.0 { record.weight_now / record.weight } else { 1.0 };
            if kept {
                // Unless a file says otherwise, which the next pool writes.
                let paid = !matches!(said.tier.as_deref(), None | Some("free"));
                (record.priority, record.weight) = (if paid { 10 } else { 0 }, 1.0);
                (record.tier, record.owner, record.source) = (None, None, None);
            }
            record.tier = said.tier.clone().or(record.tier.take());
            record.priority = said.priority.unwrap_or(record.priority);
            record.weight = said.weight.unwrap_or(record.weight);
            record.weight_now = record.weight * adapted;
            record.owner = said.owner.clone().or(record.owner.take());
            record.source = said.labels.get("source").cloned().or(record.source.take());
            self.changed.insert(hash);
        }
        Ok(())
    }

    /// One that left stays so.
    fn stand(&mut self, id: &str, state: KeyStanding, reason: &str) -> Result<(), BookError> {
        let hash = self.hash_of(id)?;
        if let Some(key) = self.keys.get_mut(&hash).filter(|key| key.record.state != KeyStanding::Removed) {
            key.record.state = state;
            reason.clone_into(&mut key.record.reason);
        }
        Ok(())
    }

    /// A key that no pool on this store has had yet, so that something can be said of it. One that is known stays; one that
    /// left is back, as it was.
    pub fn know(&mut self, record: KeyRecord) {
        let replaced = self.replaced.contains(&record.hash);
        match self.keys.get_mut(&record.hash) {
            None => {
                self.changed.insert(record.hash.clone());
                self.put(BookKey { record, settings: None });
            }
            Some(known) if known.has_left() && !replaced => {
                let state = if known.disabled().is_some() { KeyStanding::Disabled } else { KeyStanding::Active };
                known.record.state = state;
                self.changed.insert(record.hash);
            }
            Some(_) => {}
        }
    }

    /// A key of a file or a variable that none has any more: it left, and what is known and said of it stays. Of one whose
    /// secret is kept here nothing changes.
    pub fn part(&mut self, hash: &str) {
        if let Some(key) = self.keys.get_mut(hash).filter(|key| !key.is_kept()) {
            key.record.state = KeyStanding::Removed;
            self.changed.insert(hash.to_owned());
        }
    }

    /// Remembers an import.
    pub fn note_import(&mut self, import: ImportRecord) {
        self.imports.push(import);
    }

    /// What commands did by an earlier look, and a store that lost something no longer knows: of how many keys.
    pub fn restore(&mut self, earlier: &Self) -> usize {
        let revision = |key: &BookKey| key.settings.as_ref().map_or(0, |said| said.revision);
        let lost = |(hash, key): &(&str, &BookKey)| match self.keys.get(*hash) {
            None => key.is_kept() || key.settings.is_some(),
            Some(now) => revision(key) > revision(now) || (key.is_kept() && !now.is_kept() && now.settings.is_none()),
        };
        let mut lost: Vec<BookKey> = earlier.keys().filter(lost).map(|(_, key)| key.clone()).collect();
        for key in &mut lost {
            // A command took it out; a pool wrote once more of it before it heard. One that has it in a file says so again.
            if !key.is_kept() && self.keys.get(&key.record.hash).is_some_and(|now| now.is_kept() || now.has_left()) {
                key.record.state = KeyStanding::Removed;
            }
            self.changed.insert(key.record.hash.clone());
            self.put(key.clone());
        }
        lost.len()
    }

    /// Keys that were changed.
    pub fn changed(&self) -> impl Iterator<Item = &BookKey> {
        self.changed.iter().filter_map(|hash| self.keys.get(hash))
    }

    /// Keys whose rests, and whose owners' rests, are lifted.
    pub fn lifted(&self) -> impl Iterator<Item = &BookKey> {
        self.lifted.iter().filter_map(|hash| self.keys.get(hash))
    }

    /// Imports made.
    pub fn imports(&self) -> &[ImportRecord] {
        &self.imports
    }

    /// The number of what is changed now.
    pub fn revision(&self) -> u64 {
        self.revision
    }
}

#[cfg(test)]
mod tests;
