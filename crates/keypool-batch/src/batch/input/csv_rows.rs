//! Tasks as rows of CSV or TSV.

use std::io::{self, BufRead, Read};

use serde_json::Value;

use super::{Item, Place, not_utf8, read_line};
use crate::batch::task::{LIMITS, Task, temperature, tokens};

/// A row that is added to the input. The csv crate accepts a quote that is never closed: its field then ends with this
/// text. Otherwise this is a blank row, which is skipped.
const END: &[u8] = "\n\u{2029}".as_bytes();

/// Returns the rows after the header, which must name the column of the prompt. The header decides which delimiter is
/// used.
pub(super) fn rows<R: BufRead + Send + 'static>(
    mut source: R,
    column: &str,
    delimiters: &[u8],
) -> io::Result<impl Iterator<Item = Item> + Send + use<R>> {
    let (delimiter, head) = header(&mut source, column, delimiters)?;
    let prompt = head.iter().position(|name| name.eq_ignore_ascii_case(column)).expect("the header has this column");
    let mut reader = reader(source.chain(END), delimiter);
    let mut record = csv::ByteRecord::new();
    Ok(std::iter::from_fn(move || {
        loop {
            // The reader counts from the line after the header.
            match reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Item::fatal(Place::Line(reader.position().line() + 1), error)),
            }
            let text = record.as_slice();
            let line_feeds = text.split(|byte| *byte == b'\n').skip(1).count() as u64;
            let line = reader.position().line() - line_feeds;
            if text.ends_with(END) {
                // This row does not end with a line feed.
                let place = Place::Line(line + 1);
                return Some(Item::fatal(place, "a quote is not closed before the end of the file"));
            }
            let place = Place::Line(line);
            let Ok(mut row) = record.iter().map(std::str::from_utf8).collect::<Result<Vec<_>, _>>() else {
                return Some(Item::wrong(place, not_utf8(text)));
            };
            if let Some(last) = row.last_mut() {
                *last = last.trim_end_matches('\r');
            }
            // Spreadsheets may end with empty rows.
            if row.iter().any(|value| !value.trim().is_empty()) {
                return Some(Item { place, task: task(&head, prompt, &row), is_fatal: false });
            }
        }
    }))
}

/// Reads the header. Returns its delimiter and the names of the columns.
fn header(source: &mut impl BufRead, column: &str, delimiters: &[u8]) -> io::Result<(u8, Vec<String>)> {
    let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    let mut first = Vec::new();
    read_line(source, &mut first)?;
    if std::str::from_utf8(&first).is_err() || first.contains(&0) {
        return Err(invalid(not_utf8(&first).to_owned()));
    }
    if first.trim_ascii_end().contains(&b'\r') {
        let why = "a carriage return has no line feed after it: `tr '\\r' '\\n'` converts such line ends";
        return Err(invalid(format!("line 1: {why}")));
    }
    let heads: Vec<_> = delimiters.iter().map(|delimiter| (*delimiter, names(&first, *delimiter))).collect();
    let Some((delimiter, head)) =
        heads.iter().find(|(_, head)| head.iter().any(|name| name.eq_ignore_ascii_case(column))).cloned()
    else {
        let most = heads.iter().map(|(_, head)| head).max_by_key(|head| head.len());
        let named: Vec<_> = most.into_iter().flatten().filter(|name| !name.is_empty()).map(String::as_str).collect();
        let names = if named.is_empty() { "none".to_owned() } else { named.join(", ") };
        return Err(invalid(format!("line 1: there is no column `{column}`; the columns are: {names}")));
    };
    for (at, name) in head.iter().enumerate() {
        if !name.is_empty() && head[..at].iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return Err(invalid(format!("line 1: two columns are named `{name}`")));
        }
    }
    Ok((delimiter, head))
}

/// Returns a reader of rows that end with a line feed: a carriage return before it is part of the last field.
fn reader<R: Read>(source: R, delimiter: u8) -> csv::Reader<R> {
    csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .terminator(csv::Terminator::Any(b'\n'))
        .from_reader(source)
}

fn names(line: &[u8], delimiter: u8) -> Vec<String> {
    let row = reader(line, delimiter).into_records().next().and_then(Result::ok).unwrap_or_default();
    row.iter().map(|name| name.trim().to_owned()).collect()
}

fn task(head: &[String], prompt: usize, row: &[&str]) -> Result<Task, String> {
    if row.len() != head.len() {
        return Err(format!("the row has {} fields, but the header has {}", row.len(), head.len()));
    }
    let mut task = Task::of_text(row[prompt])?;
    for (at, (name, value)) in head.iter().zip(row.iter().copied()).enumerate().filter(|(at, _)| *at != prompt) {
        let known = name.to_ascii_lowercase();
        let options = task.prompt.options.clone();
        let is_known = matches!(&*known, "id" | "model" | "system" | "temperature") || LIMITS.contains(&&*known);
        if is_known && value.trim().is_empty() {
            continue;
        }
        task = match &*known {
            "id" => task.id(value),
            "model" => task.with(options.model(value)),
            "system" => task.with(options.system(value)),
            "temperature" => task.with(options.temperature(temperature(value)?)),
            name if LIMITS.contains(&name) => task.with(options.max_output_tokens(tokens(name, value)?)),
            "" if value.is_empty() => task,
            "" => task.field(format!("column {}", at + 1), value),
            _ => task.field(name.clone(), Value::from(value)),
        };
    }
    Ok(task)
}

impl Task {
    fn with(mut self, options: crate::client::PromptOptions) -> Self {
        self.prompt = self.prompt.options(options);
        self
    }
}
