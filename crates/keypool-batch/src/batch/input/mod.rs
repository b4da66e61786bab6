//! The input of a run.

mod csv_rows;

use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use serde_json::value::RawValue;

use super::task::Task;

/// Maximum length of a line, in bytes.
const MAX_LINE: u64 = 64 << 20;
/// The byte order mark of UTF-8.
const BOM: &[u8] = b"\xef\xbb\xbf";
/// The first bytes of compressed files, and how to read them.
const COMPRESSED: [(&[u8], &str); 3] = [
    (b"\x1f\x8b", "`zcat FILE | keypool batch - --format …` reads it"),
    (b"\x28\xb5\x2f\xfd", "`zstdcat FILE | keypool batch - --format …` reads it"),
    (b"PK\x03\x04", "unpack the archive; if it is a spreadsheet, save it as CSV"),
];

/// A source of tasks, which are read as they are needed.
///
/// ```
/// use keypool_batch::{Input, InputFormat, Task};
///
/// let lines = Input::read("Name a river.\nName a lake.\n".as_bytes(), InputFormat::Lines)?;
/// let tasks = Input::tasks([Task::new("Name a river.").id("river")]);
/// # drop((lines, tasks));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Input {
    items: Box<dyn Iterator<Item = Item> + Send>,
    /// Whether items may arrive slowly, so that each one is taken as soon as it arrives.
    pub(super) is_slow: bool,
}

/// The format of tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputFormat {
    /// One prompt per line.
    Lines,
    /// One JSON task per line; see [`Task::from_json`].
    JsonLines,
    /// One JSON array of tasks.
    JsonArray,
    /// CSV with a header, from which the delimiter (comma, semicolon, tab) is detected.
    Csv {
        /// The column that holds the prompt; case does not matter.
        column: String,
    },
    /// TSV with a header.
    Tsv {
        /// The column that holds the prompt; case does not matter.
        column: String,
    },
}

/// A task, or an invalid item.
pub(super) struct Item {
    pub(super) place: Place,
    pub(super) task: Result<Task, String>,
    /// Whether nothing can be read after it.
    pub(super) is_fatal: bool,
}

/// The place of an item, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Line(u64),
    Item(u64),
}

impl InputFormat {
    /// Returns CSV with the prompts in the column `prompt`.
    pub fn csv() -> Self {
        Self::Csv { column: "prompt".to_owned() }
    }

    /// Returns the format of a file by the end of its name: `.jsonl` and `.ndjson`, `.json`, `.csv`, `.tsv`; otherwise
    /// lines. CSV and TSV have the prompts in the column `prompt`.
    pub fn of_path(path: &Path) -> Self {
        let end = path.extension().unwrap_or_default().to_ascii_lowercase();
        match end.to_str() {
            Some("jsonl" | "ndjson") => Self::JsonLines,
            Some("json") => Self::JsonArray,
            Some("csv") => Self::csv(),
            Some("tsv") => Self::Tsv { column: "prompt".to_owned() },
            _ => Self::Lines,
        }
    }

    /// Returns the format of a stream by its first line that is not blank.
    fn of_start(start: &[u8]) -> Self {
        let line = start.strip_prefix(BOM).unwrap_or(start).trim_ascii();
        match line.strip_prefix(b"[").map(|rest| rest.trim_ascii_start().first()) {
            Some(None | Some(b'{' | b'"' | b']')) => Self::JsonArray,
            None if line.starts_with(b"{") => Self::JsonLines,
            _ => Self::Lines,
        }
    }
}

impl Input {
    /// Opens a file whose format is detected from its name.
    ///
    /// # Errors
    /// If the file cannot be read, or its header is invalid.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        Self::open_as(path, InputFormat::of_path(path))
    }

    /// Opens a file of this format.
    ///
    /// # Errors
    /// The errors of [`open`](Self::open).
    pub fn open_as(path: impl AsRef<Path>, format: InputFormat) -> io::Result<Self> {
        let file = File::open(path.as_ref())?;
        if file.metadata()?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        Self::read(file, format)
    }

    /// Reads standard input. Without a format, the first line decides: one that starts with `{` is JSON lines; one that
    /// starts with `[` and a line end, `{`, `"` or `]` is a JSON array; all others are plain lines.
    ///
    /// # Errors
    /// The errors of [`open`](Self::open).
    pub fn stdin(format: Option<InputFormat>) -> io::Result<Self> {
        let mut source = BufReader::new(io::stdin());
        let mut start = Vec::new();
        if format.is_none() {
            while start.strip_prefix(BOM).unwrap_or(&start).trim_ascii().is_empty()
                && source.by_ref().take(MAX_LINE).read_until(b'\n', &mut start)? > 0
            {}
        }
        let format = format.unwrap_or_else(|| InputFormat::of_start(&start));
        Ok(Self { is_slow: true, ..Self::read(io::Cursor::new(start).chain(source), format)? })
    }

    /// Reads a source of this format.
    ///
    /// # Errors
    /// The errors of [`open`](Self::open).
    pub fn read(source: impl Read + Send + 'static, format: InputFormat) -> io::Result<Self> {
        Self::of(BufReader::with_capacity(1 << 16, source), format)
    }

    /// Uses the caller's tasks.
    pub fn tasks<I>(tasks: I) -> Self
    where
        I: IntoIterator<Item = Task>,
        I::IntoIter: Send + 'static,
    {
        let items = (1..).zip(tasks).map(|(n, task)| Item::task(Place::Item(n), task));
        Self { items: Box::new(items), is_slow: false }
    }

    /// Returns the next item.
    pub(super) fn next(&mut self) -> Option<Item> {
        self.items.next()
    }

    fn of(mut source: BufReader<impl Read + Send + 'static>, format: InputFormat) -> io::Result<Self> {
        let start = source.fill_buf()?;
        if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
            return Err(io::Error::new(io::ErrorKind::InvalidData, not_utf8(start)));
        }
        if let Some((_, how)) = COMPRESSED.iter().find(|(magic, _)| start.starts_with(magic)) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("the file is compressed: {how}")));
        }
        if start.starts_with(BOM) {
            source.consume(BOM.len());
        }
        let items: Box<dyn Iterator<Item = Item> + Send> = match format {
            InputFormat::Lines => Box::new(lines(source, Task::of_text)),
            InputFormat::JsonLines => Box::new(lines(source, Task::from_json)),
            InputFormat::JsonArray => Box::new(array(source)?),
            InputFormat::Csv { column } => Box::new(csv_rows::rows(source, &column, b",;\t")?),
            InputFormat::Tsv { column } => Box::new(csv_rows::rows(source, &column, b"\t")?),
        };
        Ok(Self { items, is_slow: false })
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Input")
    }
}

impl Item {
    fn task(place: Place, task: Task) -> Self {
        Self { place, task: Ok(task), is_fatal: false }
    }

    fn wrong(place: Place, why: impl fmt::Display) -> Self {
        Self { place, task: Err(why.to_string()), is_fatal: false }
    }

    fn fatal(place: Place, why: impl fmt::Display) -> Self {
        Self { is_fatal: true, ..Self::wrong(place, why) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Item(item) => write!(f, "item {item}"),
        }
    }
}

/// Returns an item for each line that is not blank.
fn lines(
    mut source: impl BufRead + Send + 'static,
    task: fn(&str) -> Result<Task, String>,
) -> impl Iterator<Item = Item> + Send {
    let mut number = 0;
    let mut bytes = Vec::new();
    let mut failed = false;
    std::iter::from_fn(move || {
        while !failed {
            number += 1;
            let place = Place::Line(number);
            match read_line(&mut source, &mut bytes) {
                Ok(false) => return None,
                Ok(true) => {}
                Err(error) => {
                    failed = true;
                    return Some(Item::fatal(place, error));
                }
            }
            let text = match std::str::from_utf8(&bytes) {
                Ok(text) if !bytes.contains(&0) => text.trim_end_matches(['\n', '\r']),
                _ => return Some(Item::wrong(place, not_utf8(&bytes))),
            };
            if !text.trim().is_empty() {
                let task = task(text);
                return Some(Item { place, task, is_fatal: false });
            }
        }
        None
    })
}

/// Reads a line, including its line end, into `bytes`. Returns `false` at the end of the source.
fn read_line(source: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<bool> {
    bytes.clear();
    source.by_ref().take(MAX_LINE).read_until(b'\n', bytes)?;
    if bytes.len() as u64 >= MAX_LINE {
        return Err(io::Error::other("the line is longer than 64 MiB"));
    }
    Ok(!bytes.is_empty())
}

/// Describes the likely encoding of text that is not UTF-8, and how to convert it.
fn not_utf8(bytes: &[u8]) -> &'static str {
    let zeros = bytes.split(|byte| *byte == 0).skip(1).count();
    if zeros > 0 && 3 * zeros < bytes.len() && std::str::from_utf8(bytes).is_ok() {
        "the text contains a NUL character: `tr -d '\\000'` removes it"
    } else if zeros > 0 || bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        "the text is UTF-16, not UTF-8: `iconv -f utf-16 -t utf-8` converts it"
    } else {
        "the text is not UTF-8: `iconv -f windows-1252 -t utf-8` converts text of a Western European spreadsheet"
    }
}

/// Returns the items of an array, which is held in memory.
fn array(source: impl Read) -> io::Result<impl Iterator<Item = Item> + Send> {
    let items: Vec<Box<RawValue>> = serde_json::from_reader(source).map_err(|error| {
        let message = format!("not a JSON array of tasks: {error}");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })?;
    Ok((1..).zip(items).map(|(n, item)| Item {
        place: Place::Item(n),
        task: Task::from_json(item.get()),
        is_fatal: false,
    }))
}
