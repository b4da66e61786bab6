//! Key files: one key a line, CSV, TSV or JSON.

use std::path::Path;

use serde_json::{Value, value::RawValue};

use super::{
    document::line_at,
    key_entry::{KeyEntry, Options, option},
    wording::without_values,
};

/// The reason why a whole file is invalid, with its line.
type FileError = (usize, String);

/// The part of the error for a line `NAME=key` of another service.
pub(super) const OTHER_NAME: &str = "is not a name for a key of";

/// Parses a key file of a provider. Calls `entry` for each entry with its line and its options or an error.
///
/// # Errors
/// If the whole file is invalid, so that none of its keys is known.
pub(super) fn parse(
    path: &Path,
    text: &str,
    provider: &str,
    entry: &mut dyn FnMut(usize, Result<Options, String>),
) -> Result<(), FileError> {
    let ends = |end: &str| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(end));
    let is_entry = |line: &&str| !line.is_empty() && !line.starts_with(['#', ';']);
    let first = text.lines().map(str::trim).find(is_entry).unwrap_or_default();
    let is_header = |by: &char| first.split(*by).count() > 1 && first.split(*by).any(is_key_field);
    if ends("json") || first.starts_with(['[', '{']) {
        return json(text, entry);
    }
    let by_ending = || [('\t', "tsv"), (',', "csv")].into_iter().find(|(_, end)| ends(end)).map(|(by, _)| by);
    if let Some(by) = ['\t', ',', ';'].into_iter().find(is_header).or_else(by_ending) {
        table(text, by as u8, entry)
    } else {
        for (n, line) in text.lines().enumerate() {
            if let Some(read) = self::line(line, provider, "").transpose() {
                entry(n + 1, read);
            }
        }
        Ok(())
    }
}

fn column(name: &str) -> String {
    name.trim().trim_matches('"').to_ascii_lowercase().replace([' ', '-'], "_")
}

fn is_key_field(name: &str) -> bool {
    option(&column(name)).is_ok_and(|(option, _)| option == "secret")
}

/// Parses a line: the key, alone or as the value of a variable of this provider, then `name=value` options, among which
/// may be another tier. Returns `None` for a blank line or a comment.
pub(super) fn line(text: &str, provider: &str, tier: &str) -> Result<Option<Options>, String> {
    let text = text.trim();
    if text.starts_with("//") || text.starts_with(';') {
        return Ok(None);
    }
    // The line may be copied from a shell script, a list or code.
    let text = text.strip_prefix("export ").or(text.strip_prefix("- ")).unwrap_or(text);
    let words = words(text.trim_end_matches([',', ';']))?;
    let Some((first, options)) = words.split_first() else { return Ok(None) };
    // The text before "=" is shown if it is a usual name. Otherwise it may be part of a key.
    let is_usual = |name: &str| name.len() <= 64 && name.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_'));
    let secret = match first.split_once('=') {
        Some((name, value)) if !value.trim_matches('=').is_empty() => {
            if !is_key_name(name, provider) {
                let name = if is_usual(name) { name } else { "the text before =" };
                return Err(format!("{name} {OTHER_NAME} {provider}; options come after the key"));
            }
            value
        }
        _ => first,
    };
    let secret = secret.trim_matches(['\'', '`']);
    if secret.len() < 8 {
        return Err("the key is shorter than 8 characters".to_owned());
    }
    let mut pairs = vec![("key", secret), ("tier", tier)];
    for (n, word) in options.iter().enumerate() {
        let expected = || format!("word {} is not an option: write name=value, with quotes around spaces", n + 2);
        pairs.push(word.split_once('=').ok_or_else(expected)?);
    }
    Options::of(pairs).map(Some)
}

/// Reports whether a variable of this name contains a key of this provider. Other services' keys must not be sent to it.
fn is_key_name(name: &str, provider: &str) -> bool {
    let (name, provider) = (name.to_ascii_uppercase(), variable_prefix(provider));
    let kind = name.trim_end_matches(|last: char| last.is_ascii_digit() || last == '_');
    let is_own = name.strip_prefix(&*provider).is_some_and(|end| end.starts_with('_'))
        || provider == "GEMINI" && (name.contains("GEMINI") || name.contains("GOOGLE"));
    matches!(kind, "KEY" | "KEYS" | "API_KEY" | "API_KEYS" | "APIKEY")
        || is_own && (kind.ends_with("KEY") || kind.ends_with("KEYS"))
}

/// Returns the start of the names of a provider's variables.
pub(super) fn variable_prefix(provider: &str) -> String {
    provider.to_ascii_uppercase().replace(['-', '.'], "_")
}

/// Splits at white space outside double quotes, up to a word that starts with `#`.
fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
    for letter in text.chars().chain([' ']) {
        match letter {
            '#' if word.is_empty() && !quoted => break,
            '"' => quoted = !quoted,
            letter if letter.is_whitespace() && !quoted => words.push(std::mem::take(&mut word)),
            letter => word.push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    if quoted { Err("a quote is not closed".to_owned()) } else { Ok(words) }
}

/// Parses a table whose first line names the columns.
fn table(text: &str, delimiter: u8, entry: &mut dyn FnMut(usize, Result<Options, String>)) -> Result<(), FileError> {
    let mut reader = csv::ReaderBuilder::new();
    reader.delimiter(delimiter).comment(Some(b'#')).trim(csv::Trim::All).has_headers(false).flexible(true);
    let line = |record: &csv::StringRecord| record.position().map_or(1, csv::Position::line) as usize;
    // A record of a `flexible` reader over valid UTF-8 is never an error.
    let mut records = reader.from_reader(text.as_bytes()).into_records().flatten();
    let Some(first) = records.next() else { return Ok(()) };
    let columns: Vec<_> = first.iter().map(|name| option(&column(name)).map(|(option, _)| option)).collect();
    if !columns.contains(&Ok("secret")) {
        return Err((line(&first), "no column is named key".to_owned()));
    }
    for message in columns.iter().filter_map(|column| column.as_ref().err()) {
        entry(line(&first), Err(format!("a column is ignored: {message}")));
    }
    for record in records {
        let cells = columns.iter().zip(&record).filter_map(|(column, value)| Some((*column.as_ref().ok()?, value)));
        let surplus = (record.len() > columns.len()).then(|| "the row has more columns than the first line".to_owned());
        entry(line(&record), surplus.map_or_else(|| Options::of(cells), Err));
    }
    Ok(())
}

/// Parses an array of keys, each a string or an object.
fn json(text: &str, entry: &mut dyn FnMut(usize, Result<Options, String>)) -> Result<(), FileError> {
    let items: Vec<&RawValue> = match serde_json::from_str(text) {
        Ok(items) => items,
        Err(error) => {
            let expected = r#"expected a JSON array of keys, such as ["AIza…", {"key": "AIza…", "project": "a"}]"#;
            return Err((error.line(), expected.to_owned()));
        }
    };
    let (mut line, mut counted) = (1, 0);
    for item in items {
        let before = item.get().as_ptr() as usize - text.as_ptr() as usize;
        let read = match serde_json::from_str(item.get()) {
            Ok(Value::String(secret)) => Options::of([("key", &*secret)]),
            Ok(value) => serde_json::from_value(value)
                .map_or_else(|error| Err(without_values(&error.to_string())), |entry: KeyEntry| entry.0),
            Err(error) => Err(without_values(&error.to_string())),
        };
        line += line_at(&text[counted..before], before) - 1;
        counted = before;
        entry(line, read);
    }
    Ok(())
}
