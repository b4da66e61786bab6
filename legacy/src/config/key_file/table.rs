//! CSV or TSV: a header row, then a key a record. Columns are named like a line's options; `key` (or `secret`, `api_key`) holds
//! the key. Columns that nobody knows become labels, unless their name is nearly a known one.

use std::path::Path;

use super::{FileError, LineError, Read, Spot, line, near, option};
use crate::config::{KeySpec, Origin, origin::Lines, wording};

/// Names of the column that holds the key.
pub(super) const KEY: [&str; 4] = ["key", "secret", "api_key", "apikey"];

/// What may stand between columns.
const BETWEEN: [u8; 3] = [b',', b';', b'\t'];

/// The first line that is neither blank nor a comment.
fn first_line(bytes: &[u8]) -> &[u8] {
    let says = |line: &&[u8]| !line.trim_ascii().is_empty() && !line.starts_with(b"#");
    bytes.split(|&byte| byte == b'\n').find(says).unwrap_or_default()
}

/// Whether the first line that says something names a column for keys.
pub(super) fn has_header(bytes: &[u8]) -> bool {
    delimiter(bytes).is_some()
}

/// What stands between the columns of a header that names one for keys.
fn delimiter(bytes: &[u8]) -> Option<u8> {
    let first = std::str::from_utf8(first_line(bytes)).ok()?;
    let is_key = |name: &str| KEY.contains(&name.trim().trim_matches('"').to_ascii_lowercase().as_str());
    BETWEEN.into_iter().find(|&between| first.trim().split(char::from(between)).any(is_key))
}

/// What a column is.
enum Column {
    Key,
    Option(&'static str),
    Label(String),
}

impl Column {
    /// What it says of a key, where it is no label.
    fn known(&self) -> Option<&str> {
        match self {
            Self::Key => Some(KEY[0]),
            // A label may stand there several times.
            Self::Option("label") | Self::Label(_) => None,
            Self::Option(option) => Some(option),
        }
    }
}

pub(super) fn parse(
    path: &Path,
    bytes: &[u8],
    not_keys: &[&str],
    origin: impl Fn(usize) -> Origin,
) -> Result<Vec<Read>, FileError> {
    let first = first_line(bytes);
    let between = delimiter(bytes).or_else(|| BETWEEN.into_iter().find(|between| first.contains(between)));
    let mut form = csv::ReaderBuilder::new();
    form.delimiter(between.unwrap_or(b',')).flexible(true).trim(csv::Trim::All).comment(Some(b'#'));
    let mut reader = form.from_reader(bytes);
    let malformed = |line| FileError::Malformed {
        path: path.to_owned(),
        line,
        expected: "a header row that names the columns, one of them key (or secret, api_key)",
    };
    let header = reader.headers().map_err(|_| malformed(1))?.clone();
    let at = header.position().map_or(0, |position| position.byte() as usize);
    let mut lines = Lines::of(bytes);
    let line = line_of(bytes, &mut lines, at);
    for (n, name) in header.iter().enumerate() {
        let name = name.to_ascii_lowercase();
        let is_label = matches!(column(&name), Column::Label(_));
        let meant = is_label.then(|| near::near(&name, option::names().chain(KEY))).flatten();
        if let Some(known) = meant {
            return Err(FileError::Column { path: path.to_owned(), line, column: n + 1, known });
        }
    }
    let columns: Vec<Column> = header.iter().map(column).collect();
    if !columns.iter().any(|column| matches!(column, Column::Key)) {
        return Err(malformed(1));
    }
    // Whichever of the two were taken, the other would be lost without a word.
    let said: Vec<&str> = columns.iter().filter_map(Column::known).collect();
    if (1..said.len()).any(|n| said[..n].contains(&said[n])) {
        let expected = "a header row in which no column says the same as another: one for the key, one for each option";
        return Err(FileError::Malformed { path: path.to_owned(), line, expected });
    }
    let mut read = Vec::new();
    let mut from = reader.position().byte() as usize;
    while from < bytes.len() {
        let mut reader = form.has_headers(false).from_reader(&bytes[from..]);
        let (first, mut record) = (from, csv::ByteRecord::new());
        from = bytes.len();
        while reader.read_byte_record(&mut record).unwrap_or(false) {
            let begins = first + record.position().map_or(0, |position| position.byte() as usize);
            let ends = (first + reader.position().byte() as usize).min(bytes.len());
            let line = line_of(bytes, &mut lines, begins);
            let found = spec(&columns, &record, not_keys, origin(line));
            if let Some(next) = behind_an_open_quote(&bytes[begins..ends], &record, found.is_err(), between) {
                read.push((Spot::line(line), Err(LineError::OpenQuote)));
                from = begins + next;
                break;
            }
            read.push((Spot::line(line), found));
        }
    }
    Ok(read)
}

/// Where the next line begins, where a quote that nobody closed made a record of several: none of the others is to be lost with it.
/// A text may have line breaks, but no fields in its further lines.
fn behind_an_open_quote(raw: &[u8], record: &csv::ByteRecord, is_wrong: bool, between: Option<u8>) -> Option<usize> {
    if !record.as_slice().contains(&b'\n') {
        return None;
    }
    let is_open = raw.split(|byte| *byte == b'"').count() % 2 == 0;
    // Blank lines and comments before a record are none of its own.
    let own = raw.split_inclusive(|byte| *byte == b'\n');
    let mut before = 0;
    for line in own {
        before += line.len();
        if !(line.trim_ascii().is_empty() || line.starts_with(b"#")) {
            break;
        }
    }
    let swallowed = || raw[before..].contains(&between.unwrap_or(b','));
    (is_open || (is_wrong && swallowed())).then_some(before)
}

/// The line of a record that is read from here on: blank lines and comments before it are not its own.
fn line_of(bytes: &[u8], lines: &mut Lines<'_>, from: usize) -> usize {
    let mut at = from.min(bytes.len());
    loop {
        let rest = &bytes[at..];
        let line = rest.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let own = !line.trim_ascii().is_empty() && !line.starts_with(b"#");
        if own || line.len() == rest.len() {
            return lines.at(at);
        }
        at += line.len() + 1;
    }
}

fn column(name: &str) -> Column {
    let name = name.trim().to_ascii_lowercase();
    if KEY.contains(&name.as_str()) {
        Column::Key
    } else if let Some(option) = option::known(&name) {
        Column::Option(option)
    } else {
        // The first line may be no header at all.
        Column::Label(if wording::may_be_secret(&name) || name.len() > 64 { "label".to_owned() } else { name })
    }
}

fn spec(
    columns: &[Column],
    record: &csv::ByteRecord,
    not_keys: &[&str],
    origin: Origin,
) -> Result<Option<KeySpec>, LineError> {
    if record.iter().all(<[u8]>::is_empty) {
        return Ok(None);
    }
    if record.len() > columns.len() {
        return Err(LineError::Fields);
    }
    let mut fields = Vec::with_capacity(columns.len());
    for (column, value) in columns.iter().zip(record) {
        fields.push((column, std::str::from_utf8(value).map_err(|_| LineError::NotText)?));
    }
    let secret = fields.iter().find(|(column, value)| matches!(column, Column::Key) && !value.is_empty());
    let (_, secret) = secret.ok_or(LineError::NoKey)?;
    line::check(secret, not_keys)?;
    let mut spec = KeySpec::new(*secret, origin);
    for (column, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        match column {
            Column::Key => {}
            Column::Option(option) => option::set(&mut spec, option, value)?,
            Column::Label(name) => option::put_label(&mut spec, name, value)?,
        }
    }
    Ok(Some(spec))
}
