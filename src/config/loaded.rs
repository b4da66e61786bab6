//! The loaded keys, and the problems of invalid entries.

use std::{borrow::Cow, collections::HashMap, fmt, path::Path};

use serde::Serialize;

use super::{
    Environment, KeyEntry, PoolConfig,
    key_entry::{EntryError, Options},
    key_file, wording,
};
use crate::{Key, KeyId};

/// One problem of a configuration. It contains no values that may be secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// The place of the problem: `keypool.toml:7`, or the name of a variable.
    pub place: String,
    /// The error, and the expected value.
    pub message: String,
    /// Whether a key entry at this place is skipped.
    #[serde(skip)]
    pub skips_entry: bool,
}

impl Problem {
    /// Creates a problem.
    pub fn new(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into(), skips_entry: false }
    }

    /// Creates a problem because of which a key entry is skipped.
    pub fn of_entry(place: impl Into<String>, message: impl Into<String>) -> Self {
        Self { skips_entry: true, ..Self::new(place, message) }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Returns the path of a file for messages, or a placeholder if it looks like a key that was pasted by mistake.
pub(super) fn shown(path: &Path) -> String {
    let name = path.display().to_string();
    if wording::looks_like_key(&name) { "(a file whose name looks like a key)".to_owned() } else { name }
}

/// Keys from files and variables. Invalid entries are not among the keys but reported as problems.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Loaded {
    /// The keys of all valid entries.
    pub keys: Vec<Key>,
    /// The problems of the other entries. A key that is listed twice is reported, too: its last entry is used.
    pub problems: Vec<Problem>,
    /// Whether a whole key file could not be read or parsed, or has only invalid entries, so that all its keys are
    /// missing.
    pub has_failed_file: bool,
    /// The names of the provider in variables; Gemini's if there are none.
    names: Vec<String>,
    /// The vendor of all keys, if it is known.
    pub(super) vendor: Option<&'static str>,
    /// The index of the key with an id, and its place.
    seen: HashMap<KeyId, (usize, String)>,
    /// The index of the key whose secret has this hash.
    by_secret: HashMap<KeyId, usize>,
}

impl Loaded {
    /// Creates an empty list of the keys of a provider, which is Gemini for the default. A line `NAME=key` of a key file
    /// counts if its name is a general one, such as `API_KEY`, or contains a name of this provider or of its host. If the
    /// provider is Gemini or Anthropic at its usual address, keys that cannot be its own are skipped.
    pub fn of(config: &PoolConfig) -> Self {
        let vendors = [("gemini", "Google"), ("anthropic", "Anthropic")];
        let vendor = vendors.into_iter().find(|(kind, _)| *kind == config.kind() && config.base.is_none());
        Self { names: config.names(), vendor: vendor.map(|(_, vendor)| vendor), ..Self::default() }
    }

    /// Adds the keys of a key file: one key a line, CSV, TSV or JSON, detected by the file extension or the content. A
    /// file that cannot be read or parsed is reported as a problem and sets [`has_failed_file`](Self::has_failed_file),
    /// as does one whose entries are all invalid, apart from keys of other services: it may be damaged.
    pub fn add_file(&mut self, path: impl AsRef<Path>) {
        let path = path.as_ref();
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                self.has_failed_file = true;
                return self.problems.push(Problem::new(shown(path), format!("the file cannot be read: {error}")));
            }
        };
        let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| -> Cow<'_, str> {
            let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
            char::decode_utf16(units).map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        };
        let text = match &bytes[..] {
            // UTF-16, as PowerShell and some editors write it.
            [0xff, 0xfe, text @ ..] => utf16(text, u16::from_le_bytes),
            [0xfe, 0xff, text @ ..] => utf16(text, u16::from_be_bytes),
            text => String::from_utf8_lossy(text),
        };
        let (mut any_valid, mut any_invalid) = (false, false);
        let names = self.names();
        let parsed = key_file::parse(path, text.trim_start_matches('\u{feff}'), &names, &mut |line, entry| {
            let added = self.add(format!("{}:{line}", shown(path)), entry, &Environment::default());
            any_valid |= added.is_ok();
            any_invalid |= matches!(added, Err(EntryError::Invalid(_)));
        });
        self.has_failed_file |= any_invalid && !any_valid;
        if let Err((line, message)) = parsed {
            self.has_failed_file = true;
            self.problems.push(Problem::new(format!("{}:{line}", shown(path)), message));
        }
    }

    /// Adds the keys from the variables of a provider, such as `GEMINI_API_KEYS` for `gemini`.
    pub(super) fn add_variables(&mut self, provider: &str, environment: &Environment) {
        let prefix = key_file::variable_prefix(provider);
        let mut names = environment.names();
        // `…_KEY_10` comes after `…_KEY_9`.
        names.sort_by_key(|name| (name.len(), *name));
        for name in names {
            let google = || name.strip_prefix("GOOGLE").filter(|_| prefix == "GEMINI");
            let Some(end) = name.strip_prefix(&prefix).or_else(google) else { continue };
            let is_number = |end: &str| !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_digit());
            let is_known = matches!(end, "_API_KEY" | "_API_KEYS" | "_FREE_KEYS" | "_PAID_KEYS");
            if !is_known && !end.strip_prefix("_API_KEY_").is_some_and(is_number) {
                continue;
            }
            let names = [provider.to_owned()];
            let line = |key| key_file::line(key, &names, key_file::tier_in(name));
            let keys = key_file::keys_in(environment.get(name).unwrap_or_default()).into_iter();
            for (n, entry) in keys.flat_map(|key| key.map_or_else(|error| vec![Err(error.into())], line)).enumerate() {
                _ = self.add(format!("{name}, value {}", n + 1), entry, environment);
            }
        }
    }

    /// Returns the names of the provider.
    pub(super) fn names(&self) -> Vec<String> {
        if self.names.is_empty() { PoolConfig::default().names() } else { self.names.clone() }
    }

    /// Returns the place of the key with this id: `keys.txt:3`, or the name of a variable.
    pub fn place(&self, id: &KeyId) -> Option<&str> {
        self.seen.get(id).map(|(_, place)| place.as_str())
    }

    /// Adds a key from another source, such as a database. `place` is used in messages and, unless the entry has a
    /// `source`, in the key's label.
    pub fn add_entry(&mut self, place: impl Into<String>, entry: KeyEntry, environment: &Environment) {
        _ = self.add(place.into(), entry.0.map_err(EntryError::Invalid), environment);
    }

    /// Adds an entry that was found at `place`.
    pub(super) fn add(
        &mut self,
        place: String,
        entry: Result<Options, EntryError>,
        environment: &Environment,
    ) -> Result<(), EntryError> {
        let key = match entry.and_then(|entry| entry.key(&place, environment, self)) {
            Ok(key) => key,
            Err(error) => {
                let skips_entry = !matches!(error, EntryError::IgnoredColumn(_));
                self.problems.push(Problem { place, message: error.message().to_owned(), skips_entry });
                return Err(error);
            }
        };
        let (id, secret) = (key.id(), KeyId::from_secret(&key.secret));
        let same = self.by_secret.get(&secret).copied();
        if let Some((_, earlier)) = self.seen.get(&id).filter(|(other, _)| same != Some(*other)) {
            let message = format!("the key at {earlier} has the same id, {id}");
            self.problems.push(Problem::of_entry(place, message));
            return Ok(());
        }
        let at = same.unwrap_or(self.keys.len());
        if let Some(same) = self.keys.get_mut(at) {
            let message = format!("this key is listed at {place}, too, and its last entry is used");
            let earlier = self.seen.remove(&std::mem::replace(same, key).id());
            self.problems.extend(earlier.map(|(_, earlier)| Problem::of_entry(earlier, message)));
        } else {
            self.keys.push(key);
        }
        self.by_secret.insert(secret, at);
        self.seen.insert(id, (at, place));
        Ok(())
    }
}
