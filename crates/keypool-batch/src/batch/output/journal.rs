//! A file of results, one per line, to which lines are only appended.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, BufRead, BufReader, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Order, OutputError, ResultKey, finish, hash_of};
use crate::{
    batch::{result::INPUT, task::TaskId},
    client::ErrorKind,
    json::compact,
};

/// The start of every line. It distinguishes a cut line from a foreign one.
const START: &[u8] = b"{\"id\":";

/// A file of results that only this process writes.
pub(super) struct Journal {
    /// The path of the lines.
    path: PathBuf,
    /// The path of the array that is written at the end.
    array: Option<PathBuf>,
    file: File,
}

/// The fields that are read from a line.
#[derive(Deserialize)]
pub(super) struct Head {
    pub(super) id: TaskId,
    #[expect(dead_code, reason = "a line without it is not a result")]
    index: u64,
    success: bool,
    hash: String,
    error: Option<ErrorHead>,
}

#[derive(Deserialize)]
struct ErrorHead {
    kind: String,
}

impl Head {
    pub(super) fn of(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    pub(super) fn is_error(&self, kind: &str) -> bool {
        self.error.as_ref().is_some_and(|error| error.kind == kind)
    }

    pub(super) fn key(&self) -> ResultKey {
        (hash_of(&self.id, self.is_error(INPUT)), u64::from_str_radix(&self.hash, 16).unwrap_or_default())
    }
}

impl Journal {
    /// Opens and locks the file, and removes an incomplete last line.
    pub(super) fn open(path: &Path) -> Result<(Self, HashMap<ResultKey, bool>), OutputError> {
        // If the path is a link, its target is written and replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let is_array = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("json"));
        let lines = if is_array { with_end(&path, ".journal") } else { path.clone() };
        let fail = |error| OutputError::Io { path: lines.clone(), error };
        let file = loop {
            let options = OpenOptions::new().read(true).append(true).create(true).clone();
            let file = options.open(&lines).map_err(fail)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(OutputError::Locked { path }),
                Err(TryLockError::Error(error)) => return Err(fail(error)),
            }
            // The previous owner of the lock may have replaced the file. Then this file has no name any more.
            if is_at(&file, &lines) {
                break file;
            }
        };
        finish::sync_folder(&lines).map_err(fail)?;
        let mut journal = Self { path: lines, array: is_array.then_some(path), file };
        let opened = journal.take_array().and_then(|()| journal.read());
        match opened {
            Ok(before) => Ok((journal, before)),
            Err(error) => {
                journal.remove_if_empty();
                Err(error)
            }
        }
    }

    pub(super) fn is_array(&self) -> bool {
        self.array.is_some()
    }

    /// Converts the array of a finished earlier run to lines.
    fn take_array(&mut self) -> Result<(), OutputError> {
        let Some(array) = self.array.clone().filter(|array| array.exists()) else { return Ok(()) };
        if self.file.metadata().map_err(|error| self.failed(error))?.len() > 0 {
            return Ok(());
        }
        let read = fs::read(&array).map_err(|error| OutputError::Io { path: array.clone(), error })?;
        if read.trim_ascii().is_empty() {
            return Ok(());
        }
        let items: Vec<Box<RawValue>> =
            serde_json::from_slice(&read).map_err(|_| OutputError::Foreign { path: array.clone(), line: 1 })?;
        let mut lines = Vec::with_capacity(read.len());
        for (line, item) in (1..).zip(items) {
            let item = compact(item.get());
            if Head::of(item.as_bytes()).is_none() {
                return Err(OutputError::Foreign { path: array, line });
            }
            lines.extend_from_slice(item.as_bytes());
            lines.push(b'\n');
        }
        // The file is replaced in one step: after a crash, a part of the lines would be taken for all.
        let file = finish::replace(&self.path, &lines).map_err(|error| self.failed(error))?;
        self.file = file;
        Ok(())
    }

    /// Reads whether each result is a success, and removes an incomplete last line. A task whose response another server
    /// may have sent is left out, so that it is tried again.
    fn read(&mut self) -> Result<HashMap<ResultKey, bool>, OutputError> {
        let mut before = HashMap::new();
        let mut reader = BufReader::with_capacity(1 << 18, &self.file);
        reader.seek(SeekFrom::Start(0)).map_err(|error| self.failed(error))?;
        let mut line = Vec::new();
        let (mut whole, mut number, mut lacks_end) = (0, 0, false);
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(|error| self.failed(error))?;
            if read == 0 {
                break;
            }
            number += 1;
            lacks_end = line.last() != Some(&b'\n');
            if let Some(head) = Head::of(&line) {
                if !head.is_error(ErrorKind::Unreadable.as_str()) {
                    before.insert(head.key(), head.success);
                }
                whole += read as u64;
                continue;
            }
            if line.trim_ascii().is_empty() {
                whole += read as u64;
                continue;
            }
            let begin = START.len().min(line.len());
            let is_cut = lacks_end && (line[..begin] == START[..begin] || line.iter().all(|byte| *byte == 0));
            if !is_cut {
                return Err(OutputError::Foreign { path: self.path.clone(), line: number });
            }
            lacks_end = false;
        }
        drop(reader);
        self.file.set_len(whole).map_err(|error| self.failed(error))?;
        if lacks_end {
            self.append(b"\n")?;
        }
        Ok(before)
    }

    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), OutputError> {
        self.file.write_all(lines).map_err(|error| self.failed(error))
    }

    pub(super) fn sync(&mut self) -> Result<(), OutputError> {
        self.file.sync_data().map_err(|error| self.failed(error))?;
        if !is_at(&self.file, &self.path) {
            return Err(self.failed(io::Error::other("the file was removed or replaced during the run")));
        }
        Ok(())
    }

    /// Writes the last result of each task in the order of the tasks: in place of the lines, or as an array.
    pub(super) fn finish(&mut self, order: &Order) -> Result<(), OutputError> {
        let result = match &self.array {
            None => finish::lines(&self.file, &self.path, order).map(|file| self.file = file),
            Some(array) => finish::array(&self.file, array, order).and_then(|()| fs::remove_file(&self.path)),
        };
        result.map_err(|error| self.failed(error))
    }

    fn failed(&self, mut error: io::Error) -> OutputError {
        if error.kind() == io::ErrorKind::StorageFull {
            let kept = format!("{error}; the results so far are kept: free space and run again");
            error = io::Error::new(io::ErrorKind::StorageFull, kept);
        }
        OutputError::Io { path: self.path.clone(), error }
    }

    /// Removes an empty journal of an array.
    fn remove_if_empty(&self) {
        if self.is_array() && self.file.metadata().is_ok_and(|meta| meta.len() == 0) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.remove_if_empty();
    }
}

/// Appends text to a path.
pub(super) fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(open), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

#[cfg(not(unix))]
fn is_at(_: &File, path: &Path) -> bool {
    path.exists()
}
