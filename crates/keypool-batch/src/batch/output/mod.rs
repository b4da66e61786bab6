//! The output of a run. Lines are only appended, so that a crash loses none of them.

mod finish;
mod journal;

use std::{
    collections::HashMap,
    fmt,
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};

use hmac_sha256::Hash;

use self::journal::Journal;
use super::task::{TaskId, digest};

/// A destination of results.
///
/// ```no_run
/// use keypool_batch::{Output, OutputOptions};
///
/// let file = Output::file("answers.jsonl", &OutputOptions::default())?;
/// let standard_output = Output::writer(std::io::stdout());
/// # drop((file, standard_output));
/// # Ok::<(), keypool_batch::batch::OutputError>(())
/// ```
pub struct Output {
    sink: Sink,
    options: OutputOptions,
    /// Whether each result of earlier runs is a success.
    before: HashMap<ResultKey, bool>,
}

/// The hash of a result's id, and the hash of its task.
pub(super) type ResultKey = (u64, u64);
/// The place of each task of this run and the hash of the task, by the hash of its id.
pub(super) type Order = HashMap<u64, (u64, u64)>;

enum Sink {
    File(Journal),
    Writer(Box<dyn Write + Send>),
}

/// Options of an [`Output`].
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputOptions {
    /// Whether the finished file has each result once, in the order of the tasks. This always applies to a file named
    /// `….json`.
    pub ordered: bool,
    /// Whether tasks that failed in an earlier run are retried.
    pub retry_failed: bool,
}

/// The reason why an output cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The file cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// Another run writes to the file.
    #[error("{}: another run is writing to this file", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// The file contains something other than results. Nothing was changed.
    #[error("{}, line {line}: this is not a result of a batch; choose another output file", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u64,
    },
}

impl Output {
    /// Opens a file: JSON lines, or one array if it is named `….json`. If it holds results of an earlier run, that run
    /// is resumed. An incomplete last line, left by a crash, is removed. An array is written at the end; until then,
    /// the results are in the file `….json.journal`.
    ///
    /// # Errors
    /// If the file cannot be written, another run writes to it, or it contains anything but results.
    pub fn file(path: impl AsRef<Path>, options: &OutputOptions) -> Result<Self, OutputError> {
        let path = path.as_ref();
        if std::fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
            // A pipe or a device.
            let file = OpenOptions::new().append(true).open(path);
            return file.map(Self::writer).map_err(|error| OutputError::Io { path: path.to_owned(), error });
        }
        let (journal, before) = Journal::open(path)?;
        Ok(Self { sink: Sink::File(journal), options: *options, before })
    }

    /// Uses any writer, such as standard output. Nothing is resumed or ordered.
    pub fn writer(writer: impl Write + Send + 'static) -> Self {
        Self { sink: Sink::Writer(Box::new(writer)), options: OutputOptions::default(), before: HashMap::new() }
    }

    /// Takes the results of earlier runs.
    pub(super) fn take_earlier(&mut self) -> Earlier {
        Earlier { results: std::mem::take(&mut self.before), retry_failed: self.options.retry_failed }
    }

    /// Appends lines, which then survive a crash of the process.
    pub(super) fn append(&mut self, lines: &[u8]) -> Result<(), OutputError> {
        match &mut self.sink {
            Sink::File(journal) => journal.append(lines),
            Sink::Writer(writer) => writer.write_all(lines).and_then(|()| writer.flush()).map_err(of_writer),
        }
    }

    /// Syncs the appended lines, which then survive a power cut.
    pub(super) fn sync(&mut self) -> Result<(), OutputError> {
        match &mut self.sink {
            Sink::File(journal) => journal.sync(),
            Sink::Writer(_) => Ok(()),
        }
    }

    /// Gives the file its final form.
    pub(super) fn finish(&mut self, order: &Order) -> Result<(), OutputError> {
        match &mut self.sink {
            Sink::File(journal) => {
                journal.sync()?;
                if self.options.ordered || journal.is_array() { journal.finish(order) } else { Ok(()) }
            }
            Sink::Writer(_) => Ok(()),
        }
    }
}

fn of_writer(error: io::Error) -> OutputError {
    OutputError::Io { path: "output".into(), error }
}

/// The results of earlier runs.
pub(super) struct Earlier {
    results: HashMap<ResultKey, bool>,
    retry_failed: bool,
}

impl Earlier {
    /// Returns whether a task or an invalid input line succeeded in an earlier run, or `None` if it has no result to
    /// keep.
    pub(super) fn find(&self, key: ResultKey, is_input_error: bool) -> Option<bool> {
        let success = *self.results.get(&key)?;
        (success || is_input_error || !self.retry_failed).then_some(success)
    }
}

/// Returns the hash of an id. An invalid input line, whose id is its place, never has the same hash as a task.
pub(super) fn hash_of(id: &TaskId, is_input_error: bool) -> u64 {
    let mut hash = Hash::new();
    hash.update([u8::from(is_input_error)]);
    match id {
        TaskId::Number(number) => hash.update(number.to_be_bytes()),
        TaskId::Text(text) => hash.update(text.as_bytes()),
    }
    digest(hash)
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output").field("options", &self.options).finish_non_exhaustive()
    }
}
