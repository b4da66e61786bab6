//! The key file: a key a line, with options behind it.
//!
//! ```text
//! # work account
//! AIza…one                 id=work tier=free owner=project-a
//! AQ.…two                  tier=paid rpm=1000 tpm=1000000 concurrent=8
//! ```
//!
//! A line that cannot be read is named by its number, never printed, and costs no other line.

mod error;
mod line;
mod option;

use std::{
    collections::{HashMap, hash_map::Entry as Slot},
    path::Path,
};

use tower_keypool::{Key, KeyId, Limits, Tier};

pub use error::{FileError, LineError};
use line::Parsed;

/// What a key file holds.
#[derive(Debug, Default)]
pub struct KeyFile {
    /// The keys, in the order of their lines.
    pub entries: Vec<Entry>,
    /// Lines that hold no key that can be used.
    pub skipped: Vec<Skipped>,
    /// Lines whose key stands further up already.
    pub merged: Vec<Merged>,
}

/// A key and the line it stands in.
#[derive(Debug)]
pub struct Entry {
    /// Counts from 1.
    pub line: usize,
    /// Given, or derived from the secret.
    pub id: KeyId,
    /// Where named.
    pub tier: Option<Tier>,
    /// What the line sets by `rpm`, `tpm` and `rpd`.
    pub limits: Limits,
    /// Who owns the quota, where named.
    pub owner: Option<String>,
    /// The key as the pool takes it.
    pub key: Key,
}

/// A line that could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Counts from 1.
    pub line: usize,
    /// Why.
    pub error: LineError,
}

/// A line whose key was read already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Counts from 1.
    pub line: usize,
    /// The line that holds.
    pub into: usize,
}

impl KeyFile {
    /// Reads a file. `not_keys` are values that may not stand there as a key: the clients' token.
    ///
    /// # Errors
    /// [`FileError`] when the file is missing, unreadable or holds no key at all.
    pub fn load(path: &Path, not_keys: &[&str]) -> Result<Self, FileError> {
        let bytes = std::fs::read(path).map_err(|source| FileError::read(path, source))?;
        // With its mark or without: no line of text begins with a NUL in one of its first two bytes.
        let marked = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
        if marked || bytes.iter().take(2).any(|&byte| byte == 0) {
            return Err(FileError::Utf16 { path: path.to_owned() });
        }
        let file = Self::parse(&bytes, not_keys);
        if file.entries.is_empty() {
            return Err(FileError::Empty { path: path.to_owned(), skipped: file.skipped });
        }
        Ok(file)
    }

    /// Reads a file's bytes.
    pub fn parse(bytes: &[u8], not_keys: &[&str]) -> Self {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let lines: Vec<(usize, Result<Option<Parsed>, LineError>)> = bytes
            .split(|&byte| byte == b'\n')
            .enumerate()
            .map(|(n, bytes)| (n + 1, line::parse(bytes, not_keys)))
            .collect();

        let mut file = Self::default();
        let mut secrets: HashMap<String, usize> = HashMap::new();
        let mut ids: HashMap<String, usize> = HashMap::new();
        // Given names go first: a derived one gives way.
        for (line, parsed) in &lines {
            if let Ok(Some(Parsed { id: Some(id), .. })) = parsed {
                ids.entry(id.clone()).or_insert(*line);
            }
        }
        for (line, parsed) in lines {
            let parsed = match parsed {
                Ok(Some(parsed)) => parsed,
                Ok(None) => continue,
                Err(error) => {
                    file.skipped.push(Skipped { line, error });
                    continue;
                }
            };
            let first = match secrets.entry(parsed.secret.clone()) {
                Slot::Occupied(first) => {
                    file.merged.push(Merged { line, into: *first.get() });
                    continue;
                }
                Slot::Vacant(slot) => slot,
            };
            match parsed.id.as_ref().and_then(|id| ids.get(id)) {
                Some(&taken) if taken != line => {
                    file.skipped.push(Skipped { line, error: LineError::IdTaken { by: taken } });
                    continue;
                }
                _ => {}
            }
            first.insert(line);
            file.entries.push(entry(line, parsed, &mut ids));
        }
        file.hide_names_that_are_secrets(&secrets);
        file
    }

    /// A name is shown, so it may not be a secret, of its own or of another line.
    fn hide_names_that_are_secrets(&mut self, secrets: &HashMap<String, usize>) {
        let Self { entries, skipped, .. } = self;
        entries.retain(|entry| {
            let fine = !secrets.contains_key(&entry.id.to_string())
                && entry.owner.as_ref().is_none_or(|owner| !secrets.contains_key(owner));
            if !fine {
                skipped.push(Skipped { line: entry.line, error: LineError::NameIsSecret });
            }
            fine
        });
        skipped.sort_unstable_by_key(|skipped| skipped.line);
    }
}

fn entry(line: usize, parsed: Parsed, ids: &mut HashMap<String, usize>) -> Entry {
    let mut key = parsed.key;
    if parsed.id.is_none() {
        // 32 bits of a hash: among 100,000 keys two may share a name.
        let derived = key.key_id().to_string();
        match ids.entry(derived) {
            Slot::Occupied(taken) => key = key.id(format!("{}-{line}", taken.key())),
            Slot::Vacant(free) => {
                free.insert(line);
            }
        }
    }
    Entry { line, id: key.key_id(), tier: parsed.tier, limits: parsed.limits, owner: parsed.owner, key }
}

#[cfg(test)]
mod tests;
