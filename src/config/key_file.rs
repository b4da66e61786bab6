//! Key files: one key a line, CSV, TSV or JSON.

use std::path::Path;

use serde_json::{Value, value::RawValue};

use super::{
    document::line_at,
    key_entry::{EntryError, KeyEntry, Options, option},
    wording::without_values,
};

/// The reason why a whole file is invalid, with its line.
type FileError = (usize, String);

/// Parses a key file of the provider with these names. Calls `entry` for each entry with its line and its options or an
/// error.
///
/// # Errors
/// If the whole file is invalid, so that none of its keys is known.
pub(super) fn parse(
    path: &Path,
    text: &str,
    names: &[String],
    entry: &mut dyn FnMut(usize, Result<Options, EntryError>),
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
            for read in self::line(line, names, "") {
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
/// may be another tier. The value of a variable may be several keys, each with options if the value is in quotes. Returns
/// nothing for a blank line or a comment.
pub(super) fn line(text: &str, names: &[String], tier: &str) -> Vec<Result<Options, EntryError>> {
    let text = text.trim();
    if text.starts_with("//") || text.starts_with(';') {
        return Vec::new();
    }
    // The line may be copied from a shell script, a list or code.
    let text = text.strip_prefix("export ").or(text.strip_prefix("- ")).unwrap_or(text);
    let words = match words(text.trim_end_matches([',', ';'])) {
        Ok(words) => words,
        Err(message) => return vec![Err(message.into())],
    };
    let Some((first, shared)) = words.split_first() else { return Vec::new() };
    // "=" at the end is part of a key, or follows the name of an empty variable.
    let is_pad = |name: &str, value: &str| value.bytes().all(|byte| byte == b'=') && !name.contains('_');
    // Any word before "=" may be a name: its value could be a password.
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let (name, keys) = match first.split_once('=') {
        Some((name, value)) if is_name(name) && !is_pad(name, value) => {
            if !is_key_name(name, names) {
                // Another name may be part of a key.
                let is_usual = |b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_');
                let is_usual = name.len() <= 64 && name.bytes().all(is_usual);
                let name = if is_usual { name } else { "the text before =" };
                let message = format!("{name} is not a name for a key of {}; options come after the key", names[0]);
                return vec![Err(EntryError::OtherService(message))];
            }
            (name, keys_in(value))
        }
        _ => ("", vec![Ok(first.trim_matches(['\'', '`']))]),
    };
    let read = |key: Result<&str, String>| {
        let own = self::words(key?)?;
        let secret = own.first().map_or("", String::as_str);
        let mut pairs = vec![("key", secret), ("tier", tier), ("tier", tier_in(name))];
        for (n, word) in own[1..].iter().chain(shared).enumerate() {
            let expected = || format!("word {} is not an option: write name=value, with quotes around spaces", n + 2);
            pairs.push(word.split_once('=').ok_or_else(expected)?);
        }
        Ok(Options::of(pairs)?)
    };
    keys.into_iter().map(read).collect()
}

/// Splits the value of a variable into keys, or keys with options. Commas and spaces separate only keys without options,
/// because they may be part of an option.
pub(super) fn keys_in(value: &str) -> Vec<Result<&str, String>> {
    let whole = value.trim();
    let inner = whole.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).filter(|inner| !inner.contains('"'));
    let mut keys = Vec::new();
    for part in split(inner.unwrap_or(whole), |letter| matches!(letter, ';' | '\n' | '\r')) {
        let part = part.trim().trim_end_matches(',');
        let words = || split(part, char::is_whitespace);
        let has_comma = |word: &str| !word.starts_with("models=") && split(word, |letter| letter == ',').count() > 1;
        let mut others = words().skip(1).map(|word| word.trim_end_matches('='));
        if !others.any(|word| word.contains('=') || option(word).is_ok()) {
            let plain =
                part.split(',').flat_map(str::split_whitespace).map(|key| key.trim_matches(['"', '\'', '`', '[', ']']));
            keys.extend(plain.filter(|key| !key.is_empty()).map(Ok));
        } else if words().any(has_comma) {
            keys.push(Err(
                "keys with options are separated by semicolons; a value with a comma needs quotes".to_owned()
            ));
        } else {
            keys.push(Ok(part));
        }
    }
    keys
}

/// Splits a text at these characters outside the quotes that [`words`] knows.
fn split(text: &str, is_separator: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    let (mut quote, mut before) = (None, ' ');
    text.split(move |letter| {
        match quote {
            Some(open) if open == letter => quote = None,
            None if letter == '"' || letter == '\'' && before == '=' => quote = Some(letter),
            _ => {}
        }
        before = letter;
        quote.is_none() && is_separator(letter)
    })
}

/// Returns the tier in the name of a variable, such as `GEMINI_PAID_KEYS`.
pub(super) fn tier_in(name: &str) -> &'static str {
    let tiers = [("_FREE_KEYS", "free"), ("_PAID_KEYS", "paid")];
    tiers.into_iter().find(|(end, _)| name.to_ascii_uppercase().ends_with(end)).map_or("", |(_, tier)| tier)
}

/// Reports whether a variable of this name contains a key of the provider with these names. Other services' keys must
/// not be sent to it.
fn is_key_name(name: &str, names: &[String]) -> bool {
    // Without the number.
    let stem = name.trim_end_matches(|last: char| last.is_ascii_digit() || last == '_').to_ascii_uppercase();
    // A short name may be part of another word.
    let is_own = |own: &String| {
        let own = variable_prefix(own);
        own.len() > 3 && stem.contains(&own) || format!("_{stem}").contains(&format!("_{own}_"))
    };
    matches!(&*stem, "KEY" | "KEYS" | "API_KEY" | "API_KEYS" | "APIKEY")
        || (stem.ends_with("KEY") || stem.ends_with("KEYS")) && names.iter().any(is_own)
}

/// Returns the start of the names of a provider's variables.
pub(super) fn variable_prefix(provider: &str) -> String {
    provider.to_ascii_uppercase().replace(['-', '.'], "_")
}

/// Splits at white space outside quotes, up to a word that starts with `#`. Single quotes are quotes if they contain the
/// whole value of an option.
fn words(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for letter in text.chars().chain([' ']) {
        match (quote, letter) {
            (None, '#') if word.is_empty() => break,
            (None, '"') => quote = Some('"'),
            (None, '\'') if word.ends_with('=') => quote = Some('\''),
            (Some(open), letter) if open == letter => quote = None,
            (None, letter) if letter.is_whitespace() => words.push(std::mem::take(&mut word)),
            (_, letter) => word.push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    if quote.is_some() { Err("a quote is not closed".to_owned()) } else { Ok(words) }
}

/// Parses a table whose first line names the columns.
fn table(
    text: &str,
    delimiter: u8,
    entry: &mut dyn FnMut(usize, Result<Options, EntryError>),
) -> Result<(), FileError> {
    let mut reader = csv::ReaderBuilder::new();
    reader.delimiter(delimiter).comment(Some(b'#')).trim(csv::Trim::All).has_headers(false).flexible(true);
    let line = |record: &csv::StringRecord| record.position().map_or(1, csv::Position::line) as usize;
    // A record of a `flexible` reader over valid UTF-8 is never an error.
    let mut records = reader.from_reader(text.as_bytes()).into_records().flatten();
    // Only "#" starts a comment for the reader.
    let Some(first) = records.find(|record| !record[0].starts_with(';')) else { return Ok(()) };
    let columns: Vec<_> = first.iter().map(|name| option(&column(name)).map(|(option, _)| option)).collect();
    if !columns.contains(&Ok("secret")) {
        return Err((line(&first), "the first line must name the columns, one of them key".to_owned()));
    }
    for message in columns.iter().filter_map(|column| column.as_ref().err()) {
        entry(line(&first), Err(EntryError::IgnoredColumn(format!("a column is ignored: {message}"))));
    }
    for record in records.filter(|record| record.iter().any(|cell| !cell.is_empty())) {
        let cells = columns.iter().zip(&record).filter_map(|(column, value)| Some((*column.as_ref().ok()?, value)));
        let surplus = (record.len() > columns.len()).then_some("the row has more columns than the first line");
        entry(line(&record), surplus.map_or_else(|| Ok(Options::of(cells)?), |message| Err(message.into())));
    }
    Ok(())
}

/// Parses an array of keys, each a string or an object.
fn json(text: &str, entry: &mut dyn FnMut(usize, Result<Options, EntryError>)) -> Result<(), FileError> {
    let items: Vec<&RawValue> = match serde_json::from_str(text) {
        Ok(items) => items,
        Err(error) => {
            let expected = r#"expected a JSON array of keys, such as ["AIza…", {"key": "AIza…", "project": "a"}]"#;
            // A data error is another type than an array.
            let cause = if error.is_data() { String::new() } else { format!(": {error}") };
            return Err((error.line(), format!("{expected}{cause}")));
        }
    };
    let (mut line, mut counted) = (1, 0);
    for item in items {
        let before = item.get().as_ptr() as usize - text.as_ptr() as usize;
        let read = match serde_json::from_str(item.get()) {
            Ok(Value::String(secret)) => Options::of([("key", &*secret)]),
            value => value
                .and_then(serde_json::from_value::<KeyEntry>)
                .map_or_else(|error| Err(without_values(&error.to_string())), |entry| entry.0),
        };
        line += line_at(&text[counted..before], before) - 1;
        counted = before;
        entry(line, read.map_err(EntryError::Invalid));
    }
    Ok(())
}
