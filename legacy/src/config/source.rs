//! Where keys come from, and the union of it all.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use super::{KeySpec, Origin, Problem, key_file::LineError};
use crate::key::{Key, KeyId, holds};

/// What kind of source it is. Where several say something of a key, the first in this order holds; a key that any of
/// them switches off is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rank {
    /// `[[keys]]` of the configuration.
    Configuration,
    /// A key file.
    File,
    /// Variables of the environment.
    Environment,
    /// A database: keys added by command or API.
    Database,
}

/// Keys from one place.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Source {
    /// How much it counts.
    pub rank: Rank,
    /// Its keys, each with its origin.
    pub keys: Vec<KeySpec>,
    /// What it says of keys whose secret it does not have, by the secret's [hash](KeySpec::hash). They are keys only
    /// where another source has them.
    pub said: HashMap<String, KeySpec>,
    /// What was there and is no key, and why.
    pub notes: Vec<Problem>,
    /// How many of its lines hold no key that can be used: whoever checks it says so, and whoever reads it again keeps
    /// to what was read before.
    pub rejected: usize,
    /// The file, where not one line stands in it: cut off to be written anew, or on a full disk. Whoever read keys from it
    /// before keeps to them.
    pub blank: Option<PathBuf>,
    /// [Hashes](KeySpec::hash) of what is no key, whichever source has it: tokens that clients and administrators send.
    pub tokens: HashSet<String>,
    /// [Hashes](KeySpec::hash) of secrets that others came in the place of, which this source has: they are used no more,
    /// wherever they stand.
    pub replaced: HashSet<String>,
}

impl Source {
    /// A source without keys yet.
    pub fn new(rank: Rank) -> Self {
        Self {
            rank,
            keys: Vec::new(),
            said: HashMap::new(),
            notes: Vec::new(),
            rejected: 0,
            blank: None,
            tokens: HashSet::new(),
            replaced: HashSet::new(),
        }
    }

    /// Leaves out what is no key though it stands there as one: the clients' token. Each is noted.
    #[must_use]
    pub fn without(mut self, not_keys: &[&str]) -> Self {
        let Self { keys, notes, .. } = &mut self;
        keys.retain(|spec| {
            let is_key = !not_keys.contains(&spec.secret.as_str());
            if !is_key {
                let message = format!("{}: the key is not used", LineError::ClientToken);
                notes.push(Problem::new(spec.origin(), "", message));
            }
            is_key
        });
        self
    }

    /// Whether some of its keys stand in this file.
    pub fn is_from(&self, file: &Path) -> bool {
        let here = |origin: &Origin| matches!(origin, Origin::File { path, .. } if **path == *file);
        self.keys.iter().any(|spec| spec.origins.iter().any(here))
    }

    /// These keys of it.
    #[must_use]
    pub fn keys(mut self, keys: impl IntoIterator<Item = KeySpec>) -> Self {
        self.keys.extend(keys);
        self
    }
}

/// The keys of a pool: the union of its sources by secret.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct KeySet {
    /// Each key once, with all its origins.
    pub keys: Vec<KeySpec>,
    /// What is no key, or not one that can be used, and why.
    pub notes: Vec<Problem>,
}

impl KeySet {
    /// Unites sources. A key that several of them have is one, and remembers them all.
    pub fn unite(mut sources: Vec<Source>) -> Self {
        sources.sort_by_key(|source| source.rank);
        let tokens: HashSet<String> =
            sources.iter_mut().flat_map(|source| std::mem::take(&mut source.tokens)).collect();
        let replaced: HashSet<String> =
            sources.iter_mut().flat_map(|source| std::mem::take(&mut source.replaced)).collect();
        let mut set = Self::default();
        let most = sources.iter().map(|source| source.keys.len()).sum();
        set.keys.reserve(most);
        let mut place: HashMap<String, usize> = HashMap::with_capacity(most);
        let mut said: Vec<HashMap<String, KeySpec>> = Vec::new();
        for source in sources {
            set.notes.extend(source.notes);
            said.extend(Some(source.said).filter(|said| !said.is_empty()));
            for spec in source.keys {
                if let Some(&at) = place.get(&spec.secret) {
                    set.keys[at].complete(spec);
                } else {
                    place.insert(spec.secret.clone(), set.keys.len());
                    set.keys.push(spec);
                }
            }
        }
        if !said.is_empty() {
            for spec in &mut set.keys {
                let hash = spec.hash();
                said.iter().filter_map(|said| said.get(&hash)).for_each(|said| spec.complete(said.clone()));
            }
        }
        set.drop_all(&tokens, &format!("{}: the key is not used", LineError::ClientToken));
        set.drop_all(&replaced, "a command gave this key another secret: the one here is not used");
        set.drop_bad_names();
        set.name_apart();
        set
    }

    /// Leaves out secrets that are sent to no provider: what opens the gateway, and what was replaced.
    fn drop_all(&mut self, hashes: &HashSet<String>, why: &str) {
        if hashes.is_empty() {
            return;
        }
        let Self { keys, notes } = self;
        keys.retain(|spec| {
            let is_key = !hashes.contains(&spec.hash());
            if !is_key {
                notes.extend(spec.origins.iter().map(|origin| Problem::new(origin.clone(), "", why)));
            }
            is_key
        });
    }

    /// Two keys of one id, or a name that is a secret: the key that came later is left out.
    fn drop_bad_names(&mut self) {
        let is_named = |spec: &KeySpec| {
            spec.id.is_some() || spec.owner.is_some() || spec.billing_account.is_some() || !spec.labels.is_empty()
        };
        if !self.keys.iter().any(is_named) {
            return;
        }
        let secrets: HashSet<String> = self.keys.iter().map(|spec| spec.secret.clone()).collect();
        let mut ids: HashMap<String, String> = HashMap::new();
        let Self { keys, notes } = self;
        keys.retain(|spec| {
            let is_secret = |name: &Option<String>| name.as_ref().is_some_and(|name| secrets.contains(name));
            let mut labels = spec.labels.iter().flat_map(|(name, value)| [name, value]);
            let is_labelled = labels.any(|text| holds(text, |piece| secrets.contains(piece)));
            if is_secret(&spec.id) || is_secret(&spec.owner) || is_secret(&spec.billing_account) || is_labelled {
                let message = "a name or label of it is a key, and these are shown: the key is not used";
                notes.push(Problem::new(spec.origin(), "", message));
                return false;
            }
            let Some(id) = &spec.id else { return true };
            if let Some(first) = ids.get(id) {
                let message = format!("the id {id} is that of another key ({first}): the key is not used");
                notes.push(Problem::new(spec.origin(), "", message));
                return false;
            }
            ids.insert(id.clone(), spec.origin().to_string());
            true
        });
    }

    /// A derived name gives way to a given one.
    fn name_apart(&mut self) {
        let given: HashSet<String> = self.keys.iter().filter_map(|spec| spec.id.clone()).collect();
        if given.is_empty() {
            return;
        }
        for spec in self.keys.iter_mut().filter(|spec| spec.id.is_none()) {
            let key = Key::new(spec.secret.as_str());
            if given.contains(&key.key_id().to_string()) {
                spec.id = key.longer_id().map(|id: KeyId| id.to_string());
            }
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// As a pool takes them.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.keys.iter().map(KeySpec::key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{key::Priority, limit::Limits};

    fn spec(secret: &str, origin: &str) -> KeySpec {
        KeySpec::new(secret, Origin::named(origin))
    }

    #[test]
    fn one_secret_is_one_key_and_remembers_all_its_origins() {
        let mut in_file = spec("secret-1", "file");
        in_file.weight = Some(2.0);
        in_file.limits.insert("m".into(), Limits::new().per_minute(1));
        let mut in_database = spec("secret-1", "database");
        in_database.weight = Some(3.0);
        in_database.priority = Some(Priority(7));
        in_database.limits.insert("m".into(), Limits::new().per_minute(9));
        in_database.limits.insert("n".into(), Limits::new().per_minute(9));
        in_database.disabled = Some("by hand".into());
        let set = KeySet::unite(vec![
            Source::new(Rank::Database).keys([in_database, spec("secret-2", "database")]),
            Source::new(Rank::File).keys([in_file]),
            Source::new(Rank::Environment).keys([spec("secret-1", "env")]),
        ]);
        let key = &set.keys[0];
        let origins: Vec<String> = key.origins.iter().map(ToString::to_string).collect();
        assert_eq!(origins, ["file", "env", "database"]);
        assert_eq!((key.weight, key.priority), (Some(2.0), Some(Priority(7))), "the file where it says something");
        assert_eq!(key.limits["m"], Limits::new().per_minute(1));
        assert_eq!(key.limits["n"], Limits::new().per_minute(9));
        assert_eq!(key.disabled.as_deref(), Some("by hand"), "disabled in the database wins");
        assert_eq!(set.keys.len(), 2);
    }

    #[test]
    fn a_source_without_the_secret_says_what_others_leave_open() {
        let hash = |secret: &str| spec(secret, "").hash();
        let mut filed = spec("secret-1", "file");
        filed.weight = Some(2.0);
        let said = KeySpec { weight: Some(3.0), owner: Some("me".into()), ..KeySpec::default() };
        let off = KeySpec { disabled: Some("by hand".into()), ..KeySpec::default() };
        let mut database = Source::new(Rank::Database);
        database.said = HashMap::from([(hash("secret-1"), said), (hash("secret-2"), off)]);
        let file = Source::new(Rank::File).keys([filed, spec("secret-2", "file")]);
        let set = KeySet::unite(vec![database.clone(), file]);
        assert_eq!((set.keys[0].weight, set.keys[0].owner.as_deref()), (Some(2.0), Some("me")));
        assert_eq!(set.keys[0].origins.len(), 1, "it is the file's key");
        assert_eq!(set.keys[1].disabled.as_deref(), Some("by hand"));
        assert!(KeySet::unite(vec![database]).is_empty(), "nobody has these keys");
    }

    #[test]
    fn a_token_is_no_key_in_any_source() {
        let mut configuration = Source::new(Rank::Configuration);
        configuration.tokens = HashSet::from([spec("token-1", "").hash()]);
        let mut database = Source::new(Rank::Database).keys([spec("token-1", "database"), spec("s1", "database")]);
        database.tokens = HashSet::from([spec("token-2", "").hash()]);
        let file = Source::new(Rank::File).keys([spec("token-1", "file"), spec("token-2", "file")]);
        let set = KeySet::unite(vec![configuration, database, file]);
        let left: Vec<&str> = set.keys.iter().map(KeySpec::secret).collect();
        assert_eq!(left, ["s1"]);
        let notes: Vec<String> = set.notes.iter().map(ToString::to_string).collect();
        assert_eq!(notes.len(), 3, "one for each place: {notes:?}");
        assert!(notes.iter().all(|note| note.contains("token") && !note.contains("token-")), "{notes:?}");
    }

    #[test]
    fn two_keys_of_one_id_and_names_that_are_secrets_are_left_out_and_named() {
        let named = |secret: &str, id: &str| KeySpec { id: Some(id.into()), ..spec(secret, secret) };
        let owned = KeySpec { owner: Some("s1".into()), ..spec("s3", "third") };
        let set = KeySet::unite(vec![Source::new(Rank::File).keys([named("s1", "a"), named("s2", "a"), owned])]);
        assert_eq!(set.keys.len(), 1);
        let notes: Vec<String> = set.notes.iter().map(ToString::to_string).collect();
        assert!(
            notes.iter().any(|note| note.starts_with("third")) && notes.iter().any(|note| note.contains("id a")),
            "{notes:?}"
        );
    }

    #[test]
    fn a_derived_id_gives_way_to_a_given_one() {
        let derived = Key::new("s1").key_id();
        let named = KeySpec { id: Some(derived.to_string()), ..spec("s2", "2") };
        let set = KeySet::unite(vec![Source::new(Rank::File).keys([spec("s1", "1"), named])]);
        let ids: Vec<KeyId> = set.keys().map(|key| key.key_id()).collect();
        assert_eq!(ids[1], derived);
        assert!(ids[0].to_string().starts_with(&derived.to_string()) && ids[0] != derived);
    }
}
