//! The key file: a key a line with options behind it, CSV or TSV with a header, or a JSON array.
//!
//! ```text
//! # work account
//! AIza…one                 id=work tier=free owner=project-a
//! AQ.…two                  tier=paid rpm=1000 tpm=1000000 concurrent=8
//! ```
//!
//! A line that cannot be read is named by its number, never printed, and costs no other line.

mod error;
mod json;
mod line;
mod near;
mod option;
mod table;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use hashbrown::{HashMap, hash_map::Entry as Slot};

pub use error::{FileError, LineError};
pub(super) use line::check;
pub(super) use option::{known as option_named, named as set, wrong_label};

use super::{KeySpec, Origin};
use crate::whole_file;

/// What a key file holds.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct KeyFile {
    /// Where it is.
    pub path: PathBuf,
    /// The keys, in the order of their lines.
    pub entries: Vec<Entry>,
    /// Lines that hold no key that can be used.
    pub skipped: Vec<Skipped>,
    /// Lines whose key stands further up already.
    pub merged: Vec<Merged>,
    /// How many lines it has, but for blank ones.
    pub lines: usize,
}

/// A key and the line it stands in.
#[derive(Debug)]
pub struct Entry {
    /// Counts from 1; of JSON the line where it begins.
    pub line: usize,
    /// Of JSON: which of all entries, from 1.
    pub entry: Option<usize>,
    /// The key, with what its line says of it.
    pub spec: KeySpec,
}

/// A line that could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Counts from 1.
    pub line: usize,
    /// Of JSON: which of all entries, from 1; many may stand in one line.
    pub entry: Option<usize>,
    /// Why.
    pub error: LineError,
}

/// A line whose key was read already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Counts from 1.
    pub line: usize,
    /// Of JSON: which of all entries, from 1.
    pub entry: Option<usize>,
    /// The line that holds.
    pub into: usize,
    /// Of JSON: the entry that holds.
    pub into_entry: Option<usize>,
}

impl Skipped {
    /// Why, and of JSON of which entry: `entry 2: …`.
    pub fn why(&self) -> String {
        match self.entry {
            Some(entry) => format!("entry {entry}: {}", self.error),
            None => self.error.to_string(),
        }
    }
}

/// Where something stands that may be a key.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Spot {
    line: usize,
    /// Of JSON, whose entries need no lines of their own.
    entry: Option<usize>,
}

impl Spot {
    const fn line(line: usize) -> Self {
        Self { line, entry: None }
    }

    const fn refused(self, error: LineError) -> Skipped {
        Skipped { line: self.line, entry: self.entry, error }
    }
}

/// What was read: nothing, a key, or why not.
type Read = (Spot, Result<Option<KeySpec>, LineError>);

/// The first line that only YAML has: a list's item, a name with nothing but a colon behind it, or the mark of a document.
fn yaml_line(bytes: &[u8]) -> Option<usize> {
    let lines = bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii);
    let is_yaml = |line: &[u8]| {
        line == b"---"
            || line.starts_with(b"- ")
            || line.split_last().is_some_and(|(&last, name)| last == b':' && !name.contains(&b' '))
    };
    lines.enumerate().find(|(_, line)| is_yaml(line)).map(|(n, _)| n + 1)
}

impl KeyFile {
    /// Reads a file. `not_keys` are values that may not stand there as a key: the clients' token.
    ///
    /// # Errors
    /// [`FileError`] when the file is missing, unreadable or holds no key at all.
    pub fn load(path: &Path, not_keys: &[&str]) -> Result<Self, FileError> {
        let bytes = bytes(path)?;
        let file = Self::parse(path, &bytes, not_keys)?;
        if file.entries.is_empty() {
            if let Some(line) = yaml_line(&bytes) {
                let expected = "one API key a line, alone: this looks like YAML, which is not read";
                return Err(FileError::Malformed { path: path.to_owned(), line, expected });
            }
            return Err(FileError::Empty { path: path.to_owned(), skipped: file.skipped, lines: file.lines });
        }
        Ok(file)
    }

    /// Reads a file's bytes: JSON where they begin with a bracket or a brace, CSV where the first line is a header (columns
    /// apart by commas, semicolons or tabs) or the name ends in `.csv` or `.tsv`, else lines.
    ///
    /// # Errors
    /// [`FileError::Malformed`] when JSON or CSV cannot be read as a whole, [`FileError::Utf16`].
    pub fn parse(path: &Path, bytes: &[u8], not_keys: &[&str]) -> Result<Self, FileError> {
        // With its mark or without: no line of text begins with a NUL in one of its first two bytes.
        let marked = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
        if marked || bytes.iter().take(2).any(|&byte| byte == 0) {
            return Err(FileError::Utf16 { path: path.to_owned() });
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let shared = Arc::from(path);
        let origin = |line| Origin::line(&shared, line);
        let ends_in = |end: &str| path.extension().is_some_and(|ext| ext.eq_ignore_ascii_case(end));
        let said = bytes.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
        let lines = if matches!(bytes.trim_ascii_start().first(), Some(b'[' | b'{')) || ends_in("json") {
            json::parse(path, bytes, not_keys, origin)?
        } else if ends_in("csv") || ends_in("tsv") || table::has_header(bytes) {
            table::parse(path, bytes, not_keys, origin)?
        } else {
            let mut lines: Vec<Read> = Vec::with_capacity(said);
            let mut before = None;
            for (n, bytes) in bytes.split(|&byte| byte == b'\n').enumerate() {
                let last = lines.last().and_then(|(_, read)| read.as_ref().ok()?.as_ref());
                let (options, read) = line::parse(bytes, not_keys, origin(n + 1), before.zip(last));
                before = options;
                lines.push((Spot::line(n + 1), read));
            }
            lines
        };
        let mut file = Self { path: path.to_owned(), lines: said, ..Self::default() };
        file.take(lines);
        Ok(file)
    }

    fn take(&mut self, lines: Vec<Read>) {
        let mut secrets: HashMap<String, Spot> = HashMap::with_capacity(lines.len());
        self.entries.reserve(lines.len());
        let mut ids: HashMap<String, Spot> = HashMap::new();
        for (spot, read) in lines {
            let Spot { line, entry } = spot;
            let mut spec = match read {
                Ok(Some(spec)) => spec,
                Ok(None) => continue,
                Err(error) => {
                    self.skipped.push(spot.refused(error));
                    continue;
                }
            };
            let first = match secrets.entry(spec.secret.clone()) {
                Slot::Occupied(first) => {
                    let Spot { line: into, entry: into_entry } = *first.get();
                    self.merged.push(Merged { line, entry, into, into_entry });
                    continue;
                }
                Slot::Vacant(slot) => slot,
            };
            if let Some(id) = &spec.id {
                let taken = *ids.entry(id.clone()).or_insert(spot);
                if taken != spot {
                    self.skipped.push(spot.refused(LineError::IdTaken { by: taken.line }));
                    continue;
                }
            }
            first.insert(spot);
            // As a rule all lines say the same.
            if let Some(before) = self.entries.last() {
                spec.limits.share(&before.spec.limits);
            }
            self.entries.push(Entry { line, entry, spec });
        }
        self.hide_names_that_are_secrets(&secrets);
    }

    /// A name is shown, so it may not be a secret, of its own or of another line.
    fn hide_names_that_are_secrets(&mut self, secrets: &HashMap<String, Spot>) {
        let Self { entries, skipped, .. } = self;
        entries.retain(|entry| {
            let is_secret = |name: &Option<String>| name.as_ref().is_some_and(|name| secrets.contains_key(name));
            let fine = !is_secret(&entry.spec.id) && !is_secret(&entry.spec.owner);
            if !fine {
                let Entry { line, entry, .. } = *entry;
                skipped.push(Skipped { line, entry, error: LineError::NameIsSecret });
            }
            fine
        });
        skipped.sort_unstable_by_key(|skipped| (skipped.line, skipped.entry));
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, FileError> {
    let failed = |source| FileError::read(path, source);
    match whole_file::kind(path).map_err(failed)? {
        Some(kind) => Err(FileError::NotAFile { path: path.to_owned(), kind }),
        None => std::fs::read(path).map_err(failed),
    }
}

#[cfg(test)]
mod tests;
