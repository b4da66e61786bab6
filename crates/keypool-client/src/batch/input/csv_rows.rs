//! A task a row of CSV.

use std::{collections::HashMap, io::BufRead};

use serde_json::{Map, Value};

use super::{
    InputError, Place, Take,
    csv_quotes::{OpenQuote, Quotes},
    encoding::Encoding,
};
use crate::batch::task::Task;

/// What a column may be called that is no label, in any case.
const KNOWN: [&str; 4] = ["id", "model", "system", "temperature"];

/// Reads rows under a head, which has to name the column with the prompt: one that does not is taken for the first row.
pub(super) fn read(mut source: impl BufRead, prompt: &str, take: Take<'_>) {
    // What cannot be read is said below.
    let begin = source.fill_buf().unwrap_or_default();
    let (delimiter, encoding) = (delimiter(begin, prompt), Encoding::of(begin));
    let (source, unclosed) = Quotes::new(source, delimiter);
    let mut reader = csv::ReaderBuilder::new().flexible(false).delimiter(delimiter).from_reader(source);
    let head: Vec<String> = match reader.headers() {
        Ok(head) => head.iter().map(named).collect(),
        Err(error) => {
            take(Err(InputError::fatal(Place::Line(1), told(&error, encoding))));
            return;
        }
    };
    if let Some(error) = open(&unclosed) {
        take(Err(error));
        return;
    }
    let alike: Vec<&str> = head.iter().map(String::as_str).filter(|name| name.eq_ignore_ascii_case(prompt)).collect();
    if alike.len() > 1 {
        let what = format!("{} columns are called {prompt:?}: which one holds the prompt?", alike.len());
        take(Err(InputError::fatal(Place::Line(1), what)));
        return;
    }
    if let Some((first, second)) = twice(&head) {
        let what = format!("columns {} and {} are both called {:?}", first + 1, second + 1, head[first]);
        take(Err(InputError::fatal(Place::Line(1), what)));
        return;
    }
    let named = head.iter().position(|name| name.eq_ignore_ascii_case(prompt));
    let Some(column) = named else {
        let what = match &*head {
            [only] => format!(
                "no column is called {prompt:?}; the only one is called {only:?}: put a head {prompt:?} before the first \
                 row, or name the column with --column; of prompts, one a line, --format text makes tasks"
            ),
            head => format!(
                "no column is called {prompt:?}; there are {}: call one so, or name it with --column",
                head.join(", ")
            ),
        };
        take(Err(InputError::fatal(Place::Line(1), what)));
        return;
    };
    for (index, row) in (0..).zip(reader.records()) {
        if let Some(error) = open(&unclosed) {
            take(Err(error));
            return;
        }
        let task = match row {
            // As spreadsheets end.
            Ok(row) if row.iter().all(|value| value.trim().is_empty()) => continue,
            Ok(row) => {
                let line = row.position().map_or(index + 2, csv::Position::line);
                let place = Place::Line(line);
                of_row(&head, column, &row).map(|task| (index, place, task)).map_err(|what| InputError::at(place, what))
            }
            Err(error) if error.is_io_error() => Err(InputError::fatal(Place::Line(index + 2), error)),
            Err(error) => {
                let line = error.position().map_or(index + 2, csv::Position::line);
                Err(InputError::at(Place::Line(line), told(&error, encoding)))
            }
        };
        if !take(task) {
            return;
        }
    }
}

/// What cannot be read, for who wrote it.
fn told(error: &csv::Error, encoding: Encoding) -> String {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => encoding.wrong().to_owned(),
        _ => error.to_string(),
    }
}

/// Two columns of one name; nothing is known of those without.
fn twice(head: &[String]) -> Option<(usize, usize)> {
    let mut first = HashMap::new();
    let named = head.iter().enumerate().filter(|(_, name)| !name.is_empty());
    named.into_iter().find_map(|(at, name)| first.insert(name, at).map(|earlier| (earlier, at)))
}

/// A column's name, without what surrounds it; the known ones as they are known.
fn named(name: &str) -> String {
    let name = name.trim_start_matches('\u{feff}').trim();
    let known = KNOWN.iter().find(|known| known.eq_ignore_ascii_case(name));
    known.map_or(name, |known| *known).to_owned()
}

/// That the file ended in quotes: whatever stands behind the first of them is one field.
fn open(unclosed: &OpenQuote) -> Option<InputError> {
    let line = unclosed.get()?;
    let what = "a quote is opened and not closed before the end of the file: all rows from there on are one field";
    Some(InputError::fatal(Place::Line(line), what))
}

/// What stands between columns, by the head: a comma, unless another brings a column for prompts, or the only ones.
fn delimiter(begin: &[u8], prompt: &str) -> u8 {
    let columns = |delimiter: u8| -> Vec<String> {
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(begin);
        let head = reader.headers().map(|head| head.iter().map(str::to_owned).collect());
        head.unwrap_or_default()
    };
    let others = [b';', b'\t'].map(|delimiter| (delimiter, columns(delimiter)));
    let names = |columns: &[String]| {
        columns.iter().any(|name| name.trim_start_matches('\u{feff}').trim().eq_ignore_ascii_case(prompt))
    };
    let by_comma = columns(b',');
    if names(&by_comma) {
        return b',';
    }
    let several = others.iter().find(|(_, columns)| by_comma.len() == 1 && columns.len() > 1);
    let named = others.iter().find(|(_, columns)| names(columns));
    named.or(several).map_or(b',', |(delimiter, _)| *delimiter)
}

fn of_row(head: &[String], column: usize, row: &csv::StringRecord) -> Result<Task, String> {
    let mut fields = Map::new();
    // One of that name which is not the prompt is the task's own.
    let mut beside = None;
    for (n, (name, value)) in head.iter().zip(row).enumerate() {
        let value = match &**name {
            _ if n == column => {
                fields.insert("prompt".to_owned(), value.into());
                continue;
            }
            "prompt" => {
                beside = Some(value);
                continue;
            }
            "" if value.is_empty() => continue,
            "" if fields.contains_key("") => return Err("two columns without a name have a value".to_owned()),
            name if KNOWN.contains(&name) && value.trim().is_empty() => continue,
            "temperature" => value
                .trim()
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite())
                .map(Value::from)
                .ok_or_else(|| format!("temperature {value:?} is no number"))?,
            _ => value.into(),
        };
        fields.insert(name.clone(), value);
    }
    let task = Task::from_value(Value::Object(fields)).map_err(|error| error.to_string())?;
    Ok(beside.into_iter().fold(task, |task, value| task.field("prompt", value)))
}
