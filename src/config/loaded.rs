//! The keys that were found, and what is wrong with the others.

use std::{collections::HashMap, fmt, path::Path, sync::Arc};

use super::{Environment, Place, Problem, key::KeyConfig, key_file};
use crate::{Key, KeyId, Tier};

/// Keys from files and variables. A bad entry is among the problems, and the good ones are among the keys.
///
/// A key that names no label gets the place where it stands as its label, such as `keys.txt:3`.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Loaded {
    /// The good ones.
    pub keys: Vec<Key>,
    /// What is wrong with the others: these entries are left out, but for a key that is listed twice, whose last entry counts.
    pub problems: Vec<Problem>,
    /// Where each key's id and secret stand.
    ids: HashMap<KeyId, usize>,
    secrets: HashMap<Arc<str>, (usize, Place)>,
}

impl Loaded {
    /// The keys of a key file: text with one key a line, CSV, TSV or JSON, by the name's end or by its content. A file that cannot be
    /// read is a problem.
    pub fn from_file(path: impl AsRef<Path>) -> Self {
        let mut loaded = Self::default();
        loaded.read_file(path.as_ref(), None);
        loaded
    }

    /// The keys in the variables of a provider: `GEMINI_API_KEYS` and the like for `gemini`.
    pub fn from_variables(provider: &str, environment: &Environment) -> Self {
        let mut loaded = Self::default();
        environment.load(provider, &mut loaded);
        loaded
    }

    /// These and the others. Of a key that is listed in both the other's entry counts.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.problems.extend(other.problems);
        let mut places: Vec<_> = other.secrets.into_values().collect();
        places.sort_unstable_by_key(|(at, _)| *at);
        for (key, (_, place)) in other.keys.into_iter().zip(places) {
            self.put(place, key);
        }
        self
    }

    pub(super) fn read_file(&mut self, path: &Path, tier: Option<Tier>) {
        let at = |line| Place::File { path: path.to_owned(), line };
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.problems.push(Problem::new(at(None), format!("the file cannot be read: {error}")));
                return;
            }
        };
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_start_matches('\u{feff}');
        key_file::parse(path, text, &mut |line, entry| {
            let with_tier = |key: KeyConfig| KeyConfig { tier: key.tier.or(tier), ..key };
            self.add(at(Some(line)), entry.map(with_tier));
        });
    }

    pub(super) fn add(&mut self, place: Place, entry: Result<KeyConfig, String>) {
        match entry.and_then(|entry| entry.key(&place)) {
            Ok(key) => self.put(place, key),
            Err(message) => self.problems.push(Problem::new(place, message)),
        }
    }

    fn put(&mut self, place: Place, key: Key) {
        let same = self.secrets.get(&key.secret).map(|(at, earlier)| (*at, earlier.to_string()));
        if self.ids.get(&key.id()).is_some_and(|at| same.as_ref().is_none_or(|(same, _)| same != at)) {
            self.problems.push(Problem::new(place, format!("another key has the id {}", key.id())));
            return;
        }
        let at = match same {
            Some((at, earlier)) => {
                let message = format!("this key is listed at {earlier}, too; the last entry counts");
                self.problems.push(Problem::new(place.clone(), message));
                self.ids.remove(&self.keys[at].id());
                at
            }
            None => self.keys.len(),
        };
        self.ids.insert(key.id(), at);
        self.secrets.insert(Arc::clone(&key.secret), (at, place));
        if at == self.keys.len() {
            self.keys.push(key);
        } else {
            self.keys[at] = key;
        }
    }
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("keys", &self.keys).field("problems", &self.problems).finish_non_exhaustive()
    }
}

/// `7 keys`, or `7 keys, 2 problems:` and each of them on a line.
impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = |count| if count == 1 { "" } else { "s" };
        let (keys, problems) = (self.keys.len(), self.problems.len());
        write!(f, "{keys} key{}", s(keys))?;
        if problems > 0 {
            write!(f, ", {problems} problem{}:", s(problems))?;
        }
        self.problems.iter().try_for_each(|problem| write!(f, "\n{problem}"))
    }
}
