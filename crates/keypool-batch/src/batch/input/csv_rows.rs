//! Tasks as rows of CSV or TSV.

use std::io::{self, BufRead};

use serde_json::Value;

use super::{Item, Place, not_utf8, read_line};
use crate::batch::task::{Task, temperature, tokens};

/// The error for a carriage return that the parser would take as the end of the row.
const BARE_CR: &str =
    "a carriage return outside quotes has no line feed after it: `tr '\\r' '\\n'` converts such line ends";

/// Returns the rows after the header, which must name the column of the prompt. The header decides which delimiter is
/// used.
pub(super) fn rows<R: BufRead + Send + 'static>(
    mut source: R,
    column: &str,
    delimiters: &[u8],
) -> io::Result<impl Iterator<Item = Item> + Send + use<R>> {
    let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
    let mut first = Vec::new();
    read_line(&mut source, &mut first)?;
    if std::str::from_utf8(&first).is_err() || first.contains(&0) {
        return Err(invalid(not_utf8(&first).to_owned()));
    }
    if trim_end(&first).contains(&b'\r') {
        return Err(invalid(format!("line 1: {BARE_CR}")));
    }
    let is_prompt = |name: &String| name.eq_ignore_ascii_case(column);
    let heads: Vec<_> = delimiters.iter().map(|delimiter| (*delimiter, head(&first, *delimiter))).collect();
    let Some((delimiter, head)) = heads.iter().find(|(_, head)| head.iter().any(is_prompt)).cloned() else {
        let most = heads.iter().map(|(_, head)| head).max_by_key(|head| head.len());
        let names: Vec<_> = most.into_iter().flatten().filter(|name| !name.is_empty()).map(String::as_str).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(invalid(format!("line 1: there is no column `{column}`; the columns are: {names}")));
    };
    for (at, name) in head.iter().enumerate() {
        if !name.is_empty() && head[..at].iter().any(|other| other.eq_ignore_ascii_case(name)) {
            return Err(invalid(format!("line 1: two columns are named `{name}`")));
        }
    }
    let prompt = head.iter().position(is_prompt).expect("the header has this column");
    let mut reader = RecordReader { source, delimiter, line: 1, failed: false };
    Ok(std::iter::from_fn(move || {
        loop {
            let (place, record) = match reader.next()? {
                Ok(record) => record,
                Err(item) => return Some(item),
            };
            // Spreadsheets may end with empty rows.
            if record.iter().any(|value| !value.trim().is_empty()) {
                return Some(Item { place, task: task(&head, prompt, &record), is_fatal: false });
            }
        }
    }))
}

fn head(line: &[u8], delimiter: u8) -> Vec<String> {
    parse(line, delimiter).map(|row| row.iter().map(|name| name.trim().to_owned()).collect()).unwrap_or_default()
}

/// Returns the line without its line end.
fn trim_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n'));
    end.map_or(&[], |end| &line[..=end])
}

/// Parses one record, which may have several lines.
fn parse(record: &[u8], delimiter: u8) -> Result<csv::StringRecord, String> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .buffer_capacity(record.len().max(1))
        .from_reader(record);
    let mut row = csv::StringRecord::new();
    match reader.read_record(&mut row) {
        Ok(_) => Ok(row),
        Err(error) if matches!(error.kind(), csv::ErrorKind::Utf8 { .. }) => Err(not_utf8(record).to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn task(head: &[String], prompt: usize, row: &csv::StringRecord) -> Result<Task, String> {
    if row.len() != head.len() {
        return Err(format!("the row has {} fields, but the header has {}", row.len(), head.len()));
    }
    let mut task = Task::of_text(&row[prompt])?;
    for (at, (name, value)) in head.iter().zip(row).enumerate().filter(|(at, _)| *at != prompt) {
        let known = name.to_ascii_lowercase();
        let options = task.prompt.options.clone();
        let is_known = matches!(&*known, "id" | "model" | "system" | "temperature" | "max_output_tokens");
        if is_known && value.trim().is_empty() {
            continue;
        }
        task = match &*known {
            "id" => task.id(value),
            "model" => task.with(options.model(value)),
            "system" => task.with(options.system(value)),
            "temperature" => task.with(options.temperature(temperature(value)?)),
            "max_output_tokens" => task.with(options.max_output_tokens(tokens(value)?)),
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

/// A reader that joins lines until no quote is open.
struct RecordReader<R> {
    source: R,
    delimiter: u8,
    /// Number of lines that were read.
    line: u64,
    failed: bool,
}

impl<R: BufRead> RecordReader<R> {
    fn next(&mut self) -> Option<Result<(Place, csv::StringRecord), Item>> {
        if self.failed {
            return None;
        }
        let place = Place::Line(self.line + 1);
        let mut record = Vec::new();
        let mut line = Vec::new();
        let mut quote = Quote::Begin;
        let mut opened = self.line + 1;
        let mut bare_cr = None;
        loop {
            match read_line(&mut self.source, &mut line) {
                Ok(true) => {}
                Ok(false) if record.is_empty() => return None,
                Ok(false) => {
                    self.failed = true;
                    let why = "a quote is not closed before the end of the file";
                    return Some(Err(Item::fatal(Place::Line(opened), why)));
                }
                Err(error) => {
                    self.failed = true;
                    return Some(Err(Item::fatal(place, error)));
                }
            }
            self.line += 1;
            let end = trim_end(&line).len();
            for (at, byte) in line.iter().enumerate() {
                if *byte == b'\r' && at < end && quote != Quote::Open {
                    bare_cr = Some(Place::Line(self.line));
                }
                let next = quote.after(*byte, self.delimiter);
                if next == Quote::Open && quote == Quote::Begin {
                    opened = self.line;
                }
                quote = next;
            }
            record.append(&mut line);
            if quote != Quote::Open {
                if let Some(place) = bare_cr {
                    return Some(Err(Item::wrong(place, BARE_CR)));
                }
                return Some(
                    parse(&record, self.delimiter).map(|row| (place, row)).map_err(|why| Item::wrong(place, why)),
                );
            }
        }
    }
}

/// The position within a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quote {
    /// At the start: only here, a quote opens.
    Begin,
    Bare,
    Open,
    /// After a quote within quotes: it closes them, unless another quote follows.
    Closing,
}

impl Quote {
    fn after(self, byte: u8, delimiter: u8) -> Self {
        match (self, byte) {
            (Self::Open, b'"') => Self::Closing,
            (Self::Begin | Self::Closing, b'"') | (Self::Open, _) => Self::Open,
            (_, b'\n' | b'\r') => Self::Begin,
            (_, byte) if byte == delimiter => Self::Begin,
            _ => Self::Bare,
        }
    }
}
