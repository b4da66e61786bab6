//! Tasks out of files: text lines, JSON lines, a JSON array, CSV. Read as they are needed, never all at once.

mod csv_rows;
mod json_list;
mod lines;

use std::{
    ffi::OsStr,
    fmt,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
    str::FromStr,
};

use super::task::{InvalidTask, Task};

/// How tasks are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// A prompt a line; blank lines are none.
    Text,
    /// A task a line: a JSON text or object.
    JsonLines,
    /// One JSON array of them.
    JsonList,
    /// A row each, under a head: `prompt`, `id`, `model`, `system`, `temperature`; other columns are carried through.
    Csv,
}

impl Format {
    /// Every format's name.
    pub const NAMES: [(&str, Self); 4] =
        [("text", Self::Text), ("jsonl", Self::JsonLines), ("json", Self::JsonList), ("csv", Self::Csv)];

    /// By the file's name; plain text where that does not say.
    pub fn of(path: &Path) -> Self {
        let end = path.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase();
        match &*end {
            "jsonl" | "ndjson" | "jsonlines" => Self::JsonLines,
            "json" => Self::JsonList,
            "csv" => Self::Csv,
            _ => Self::Text,
        }
    }

    /// By what it begins with: for what has no name.
    fn seen(begin: &[u8]) -> Self {
        let begin = begin.strip_prefix(b"\xef\xbb\xbf").unwrap_or(begin);
        match begin.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => Self::JsonLines,
            Some(b'[') => Self::JsonList,
            _ => Self::Text,
        }
    }
}

impl FromStr for Format {
    type Err = InvalidTask;

    fn from_str(name: &str) -> Result<Self, InvalidTask> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, format)| *format);
        found.ok_or_else(|| InvalidTask(format!("no format is called {name}")))
    }
}

/// Something in the input that is no task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    /// Its line, from 1, or its place in a list.
    pub line: u64,
    /// What is wrong.
    pub what: String,
    /// Nothing can be read behind it.
    pub fatal: bool,
}

impl InputError {
    fn at(line: u64, what: impl fmt::Display) -> Self {
        Self { line, what: what.to_string(), fatal: false }
    }

    fn fatal(line: u64, what: impl fmt::Display) -> Self {
        Self { line, what: what.to_string(), fatal: true }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for InputError {}

/// A task, and its place in the input.
pub(crate) type Read1 = Result<(u64, Task), InputError>;

/// Whoever takes tasks; `false`: enough.
pub(crate) type Take<'a> = &'a mut dyn FnMut(Read1) -> bool;

/// Reads all tasks of a file, giving each to `take` until that says that it is enough.
///
/// # Errors
/// When it cannot be opened.
pub(crate) fn read_file(path: &Path, format: Format, prompt: &str, take: Take<'_>) -> std::io::Result<()> {
    read(File::open(path)?, Some(format), prompt, take);
    Ok(())
}

/// Reads all tasks of anything; without a format it goes by how it begins. `prompt`: the column that holds it.
pub(crate) fn read(source: impl Read, format: Option<Format>, prompt: &str, take: Take<'_>) {
    let mut source = BufReader::with_capacity(1 << 16, source);
    let format = format.unwrap_or_else(|| source.fill_buf().map_or(Format::Text, Format::seen));
    match format {
        Format::Text => lines::text(source, take),
        Format::JsonLines => lines::json(source, take),
        Format::JsonList => json_list::read(source, take),
        Format::Csv => csv_rows::read(source, prompt, take),
    }
}

/// What is in an input, seen before anything is sent.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// How many tasks.
    pub tasks: u64,
    /// What is no task: the first twenty.
    pub wrong: Vec<InputError>,
    /// How many those are in all.
    pub wrong_in_all: u64,
}

impl Survey {
    /// Looks through a file: counts its tasks, and names what is none and which ids are there twice. `prompt`: the column
    /// of CSV that holds the prompt.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(path: &Path, format: Format, prompt: &str) -> std::io::Result<Self> {
        let (mut survey, mut seen) = (Self::default(), super::seen::Seen::default());
        read_file(path, format, prompt, &mut |task| {
            let wrong = match task {
                Ok((index, task)) => match seen.id(task.id.as_ref(), index) {
                    Ok(_) => {
                        survey.tasks += 1;
                        None
                    }
                    Err(id) => Some(InputError::at(index + 1, format_args!("another task has the id {id}"))),
                },
                Err(error) => Some(error),
            };
            if let Some(wrong) = wrong {
                survey.wrong_in_all += 1;
                if survey.wrong.len() < 20 {
                    survey.wrong.push(wrong);
                }
            }
            true
        })?;
        Ok(survey)
    }
}

/// Each item of a JSON array, until `take` says that it is enough.
pub(crate) fn each_of_list(
    source: impl BufRead,
    take: &mut dyn FnMut(serde_json::Value) -> bool,
) -> Result<(), serde_json::Error> {
    json_list::each(source, take)
}
