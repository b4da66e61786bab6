//! Tasks out of files: text lines, JSON lines, a JSON array, CSV. Read as they are needed, never all at once.

mod csv_quotes;
mod csv_rows;
mod encoding;
mod json_list;
mod lines;

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt,
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
    str::FromStr,
    sync::Arc,
};

use serde_json::value::RawValue;

use self::encoding::Encoding;
use super::{
    Id,
    task::{InvalidTask, Task},
};

/// So much of what is wrong is told one by one.
const MOST_TOLD: usize = 20;
/// So many models are counted apart.
const MOST_MODELS: usize = 100;

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
    /// A row each, under a head: `prompt`, `id`, `model`, `system`, `temperature`; other columns are carried through. Rows without
    /// anything are none.
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
            "csv" | "tsv" => Self::Csv,
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

/// Where something stands in an input, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A line.
    Line(u64),
    /// An item of a list.
    Item(u64),
    /// It is about all of it.
    Whole,
}

impl Place {
    /// From 0.
    pub(crate) fn index(self) -> Option<u64> {
        match self {
            Self::Line(number) | Self::Item(number) => Some(number.saturating_sub(1)),
            Self::Whole => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Item(item) => write!(f, "item {item}"),
            Self::Whole => f.write_str("the whole"),
        }
    }
}

/// Something in the input that is no task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    /// Where it stands.
    pub place: Place,
    /// What is wrong.
    pub what: String,
    /// Nothing can be read behind it.
    pub fatal: bool,
}

impl InputError {
    pub(crate) fn at(place: Place, what: impl fmt::Display) -> Self {
        Self { place, what: what.to_string(), fatal: false }
    }

    pub(crate) fn fatal(place: Place, what: impl fmt::Display) -> Self {
        Self { place, what: what.to_string(), fatal: true }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Whole => f.write_str(&self.what),
            place => write!(f, "{place}: {}", self.what),
        }
    }
}

impl std::error::Error for InputError {}

/// A task, its number in the input, and where it begins.
pub(crate) type Read1 = Result<(u64, Place, Task), InputError>;

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
    if let Ok(begin) = source.fill_buf()
        && let Some(wrong) = Encoding::of_none(begin)
    {
        take(Err(InputError::fatal(Place::Line(1), wrong)));
        return;
    }
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
    /// How many tasks name which model; `None`: those that name none, and those of models behind the first hundred.
    pub models: BTreeMap<Option<Arc<str>>, u64>,
}

impl Survey {
    /// Looks through a file: counts its tasks, and names what is none and which ids are there twice. `prompt`: the column
    /// of CSV that holds the prompt.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(path: &Path, format: Format, prompt: &str) -> std::io::Result<Self> {
        let (mut survey, mut seen) = (Self::default(), super::seen::Seen::default());
        let mut twice: Vec<(usize, Id)> = Vec::new();
        read_file(path, format, prompt, &mut |task| {
            let wrong = match task {
                Ok((index, at, task)) => match seen.id(task.id.as_ref(), index) {
                    Ok(_) => {
                        survey.tasks += 1;
                        survey.count(task.model);
                        None
                    }
                    Err(id) => {
                        twice.push((survey.wrong.len(), id.clone()));
                        Some(InputError::at(at, format_args!("another task has the id {id}")))
                    }
                },
                Err(error) => Some(error),
            };
            if let Some(wrong) = wrong {
                survey.wrong_in_all += 1;
                if survey.wrong.len() < MOST_TOLD {
                    survey.wrong.push(wrong);
                }
            }
            true
        })?;
        twice.retain(|(place, _)| *place < MOST_TOLD);
        if !twice.is_empty() {
            // Where the first one stands is not kept for millions: those that are named are looked for.
            survey.name_first(path, format, prompt, twice)?;
        }
        Ok(survey)
    }

    fn count(&mut self, model: Option<Arc<str>>) {
        let model = model.map(|model| super::feeder::bare(&model));
        let known = self.models.len() < MOST_MODELS || self.models.contains_key(&model);
        *self.models.entry(model.filter(|_| known)).or_default() += 1;
    }

    /// Says of ids that are there twice where they are first.
    fn name_first(
        &mut self,
        path: &Path,
        format: Format,
        prompt: &str,
        mut twice: Vec<(usize, Id)>,
    ) -> std::io::Result<()> {
        read_file(path, format, prompt, &mut |task| {
            if let Ok((index, at, task)) = task {
                let id = task.id.unwrap_or(Id::Number(index));
                twice.retain(|(place, wanted)| {
                    let is_it = wanted.hash() == id.hash() || wanted.to_string() == id.to_string();
                    if is_it && self.wrong[*place].place != at {
                        self.wrong[*place].what = format!("another task has the id {wanted}: that of {at}");
                    }
                    !is_it
                });
            }
            !twice.is_empty()
        })
    }
}

/// Each item of a JSON array, until `take` says that it is enough.
pub(crate) fn each_of_list(
    source: impl BufRead,
    take: &mut dyn FnMut(Box<RawValue>) -> bool,
) -> Result<(), serde_json::Error> {
    json_list::each(source, take)
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use super::*;

    /// Tasks without end, a million and more; counts what is read of it.
    struct Endless {
        head: &'static str,
        item: &'static str,
        read: Rc<Cell<usize>>,
    }

    impl Read for Endless {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let text = if self.read.get() == 0 { self.head } else { self.item };
            let n = text.len().min(into.len());
            into[..n].copy_from_slice(&text.as_bytes()[..n]);
            self.read.set(self.read.get() + n);
            Ok(n)
        }
    }

    #[test]
    fn no_input_is_read_further_than_its_tasks_are_taken() {
        const ROOM: usize = 1 << 18;
        for (format, head, item) in [
            (Format::JsonList, "[\"first\"", ", {\"prompt\": \"and another one\"}"),
            (Format::JsonLines, "\"first\"\n", "{\"prompt\": \"and another one\"}\n"),
            (Format::Csv, "id,prompt\n", ",and another one\n"),
            (Format::Text, "first\n", "and another one\n"),
        ] {
            let read_so_far = Rc::new(Cell::new(0));
            let source = Endless { head, item, read: Rc::clone(&read_so_far) };
            let (mut tasks, mut most_ahead) = (0, 0);
            read(source, Some(format), "prompt", &mut |task| {
                task.unwrap();
                tasks += 1;
                most_ahead = most_ahead.max(read_so_far.get().saturating_sub(tasks * item.len()));
                tasks < 100_000
            });
            assert_eq!(tasks, 100_000, "{format:?}");
            assert!(most_ahead < ROOM, "{format:?}: {most_ahead} bytes are held");
        }
    }

    /// Some of it, and then the disk fails.
    struct Failing(&'static [u8]);

    impl Read for Failing {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(into)? {
                0 => Err(std::io::Error::other("the disk failed")),
                n => Ok(n),
            }
        }
    }

    #[test]
    fn a_source_that_fails_halfway_is_no_end() {
        for (format, begin, read_before) in [
            (Format::Text, "one\ntwo\nthr", 2),
            (Format::JsonLines, "\"one\"\n\"two\"\n\"thr", 2),
            (Format::JsonList, "[\"one\", \"two\", \"thr", 2),
            (Format::Csv, "prompt\none\ntwo\nthr", 2),
        ] {
            let (mut tasks, mut errors) = (0, Vec::new());
            read(Failing(begin.as_bytes()), Some(format), "prompt", &mut |task| {
                match task {
                    Ok(_) => tasks += 1,
                    Err(error) => errors.push(error),
                }
                true
            });
            assert_eq!((tasks, errors.len()), (read_before, 1), "{format:?}: {errors:?}");
            assert!(errors[0].fatal && errors[0].what.contains("the disk failed"), "{format:?}: {errors:?}");
        }
    }

    #[test]
    fn what_is_there_twice_is_named_with_both_lines() {
        let folder = tempfile::tempdir().unwrap();
        let survey = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            let survey = Survey::of(&path, Format::of(&path), "prompt").unwrap();
            survey.wrong.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            survey("a.csv", "id,prompt\na,\"two\nlines\"\nb,x\na,y\n"),
            ["line 5: another task has the id a: that of line 2"]
        );
        assert_eq!(
            survey("a.jsonl", "{\"id\":\"a\",\"prompt\":\"x\"}\n\n{\"id\":\"a\",\"prompt\":\"y\"}\n"),
            ["line 3: another task has the id a: that of line 1"]
        );
        // The place of one is the id of another.
        assert_eq!(
            survey("b.jsonl", "\"x\"\n{\"id\":0,\"prompt\":\"y\"}\n"),
            ["line 2: another task has the id 0: that of line 1"]
        );
    }
}
