//! Key files: one key a line, CSV, TSV or JSON.

use std::path::Path;

use serde::{
    Deserialize,
    de::value::{Error as ValueError, MapDeserializer},
};
use serde_json::value::RawValue;

use super::{
    key::KeyConfig,
    plain::{unknown_option, without_values},
};

/// Other names of the field that holds the key.
const KEY_FIELDS: [&str; 4] = ["key", "secret", "api_key", "apikey"];

/// Reads a file: each entry, or what is wrong with it, with its line.
pub(super) fn parse(path: &Path, text: &str, entry: &mut dyn FnMut(usize, Result<KeyConfig, String>)) {
    let ends = |end: &str| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(end));
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or_default();
    let is_header = |by: char| first.split(by).count() > 1 && first.split(by).any(|name| is_key_field(name));
    if ends("json") || first.starts_with(['[', '{']) {
        json(text, entry);
    } else if ends("tsv") || is_header('\t') {
        table(text, b'\t', entry);
    } else if ends("csv") || is_header(',') {
        table(text, b',', entry);
    } else if is_header(';') {
        table(text, b';', entry);
    } else {
        for (n, line) in text.lines().enumerate() {
            if let Some(read) = self::line(line).transpose() {
                entry(n + 1, read);
            }
        }
    }
}

fn column(name: &str) -> String {
    name.trim().trim_matches('"').to_ascii_lowercase().replace([' ', '-'], "_")
}

fn is_key_field(name: &str) -> bool {
    KEY_FIELDS.contains(&column(name).as_str())
}

/// A key of these options.
fn key<'a>(options: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<KeyConfig, String> {
    let options = MapDeserializer::<_, ValueError>::new(options.into_iter());
    checked(KeyConfig::deserialize(options).map_err(|error| message(&error.to_string())))
}

/// What is wrong, with the names of options that a key file has.
fn message(message: &str) -> String {
    match message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`')) {
        Some((name, _)) => unknown_option(name, &KeyConfig::OPTIONS),
        None => without_values(message),
    }
}

/// A key file holds the keys themselves.
fn checked(key: Result<KeyConfig, String>) -> Result<KeyConfig, String> {
    let key = key?;
    match &key.secret {
        None => Err("there is no key".to_owned()),
        Some(_) if key.secret_env.is_some() || key.secret_file.is_some() => {
            Err("a key file holds the keys themselves: secret_env and secret_file are for [[keys]]".to_owned())
        }
        Some(secret) if secret.expose().len() < 8 => Err("the key is shorter than 8 characters".to_owned()),
        Some(_) => Ok(key),
    }
}

/// A line: the key, then `name=value` options. `None` for a blank line or a comment.
fn line(text: &str) -> Result<Option<KeyConfig>, String> {
    let words = words(text)?;
    let Some((secret, options)) = words.split_first() else { return Ok(None) };
    let is_assigned = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let is_variable = secret.split_once('=').is_some_and(|(name, value)| !value.trim_matches('=').is_empty() && is_assigned(name));
    if secret == "export" || is_variable {
        return Err("the line begins with a name; a key file has the key first, then its options".to_owned());
    }
    let mut pairs = vec![("key", secret.as_str())];
    for (n, word) in options.iter().enumerate() {
        let (name, value) = word.split_once('=').ok_or_else(|| {
            format!("word {} is no option: options are name=value, with quotes around spaces", n + 2)
        })?;
        pairs.push((name, value));
    }
    key(pairs).map(Some)
}

/// Words between white space, up to one that begins with `#`. White space within double quotes belongs to the word.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut letters = text.trim().chars().peekable();
    while let Some(first) = letters.peek() {
        if *first == '#' {
            break;
        }
        let (mut word, mut quoted) = (String::new(), false);
        for letter in letters.by_ref() {
            match letter {
                '"' => quoted = !quoted,
                letter if letter.is_whitespace() && !quoted => break,
                letter => word.push(letter),
            }
        }
        if quoted {
            return Err("a quote is not closed".to_owned());
        }
        words.push(word);
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
    }
    Ok(words)
}

/// A table whose first line names the columns.
fn table(text: &str, delimiter: u8, entry: &mut dyn FnMut(usize, Result<KeyConfig, String>)) {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .has_headers(false)
        .from_reader(text.as_bytes());
    // The names of the columns, empty where a column is not read.
    let mut header: Option<Vec<String>> = None;
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(1, csv::Position::line);
                entry(line as usize, Err("the row has another number of columns than the first line".to_owned()));
                continue;
            }
        };
        let line = record.position().map_or(1, csv::Position::line) as usize;
        let Some(header) = &header else {
            let mut names: Vec<String> = record.iter().map(column).collect();
            if !names.iter().any(|name| is_key_field(name)) {
                entry(line, Err("no column is named key".to_owned()));
                return;
            }
            for name in names.iter_mut().filter(|name| !is_read(name)) {
                entry(line, Err(format!("a column is not read: {}", unknown_option(name, &KeyConfig::OPTIONS))));
                name.clear();
            }
            header = Some(names);
            continue;
        };
        let pairs = header.iter().map(String::as_str).zip(record.iter());
        entry(line, key(pairs.filter(|(name, value)| !name.is_empty() && !value.is_empty())));
    }
}

/// Whether a field of this name is read.
fn is_read(name: &str) -> bool {
    let read = KeyConfig::deserialize(MapDeserializer::<_, ValueError>::new(std::iter::once((name, ""))));
    read.err().is_none_or(|error| !error.to_string().starts_with("unknown field"))
}

/// An array of keys, each a text or an object; also as the field `keys` of an object.
fn json(text: &str, entry: &mut dyn FnMut(usize, Result<KeyConfig, String>)) {
    #[derive(Deserialize)]
    struct Wrapped<'a> {
        #[serde(borrow)]
        keys: Vec<&'a RawValue>,
    }
    let items = serde_json::from_str::<Vec<&RawValue>>(text)
        .or_else(|error| serde_json::from_str::<Wrapped<'_>>(text).map(|wrapped| wrapped.keys).map_err(|_| error));
    let items = match items {
        Ok(items) => items,
        Err(error) => {
            let expected = r#"expected a JSON array of keys, such as ["AIza…", {"key": "AIza…", "project": "a"}]"#;
            entry(error.line(), Err(expected.to_owned()));
            return;
        }
    };
    let (mut line, mut counted) = (1, 0);
    for item in items {
        let at = item.get().as_ptr() as usize - text.as_ptr() as usize;
        line += text.as_bytes()[counted..at].iter().filter(|byte| **byte == b'\n').count();
        counted = at;
        let read = match serde_json::from_str::<String>(item.get()) {
            Ok(secret) => key([("key", secret.as_str())]),
            Err(_) => checked(serde_json::from_str::<KeyConfig>(item.get()).map_err(|error| {
                let text = error.to_string();
                message(text.split_once(" at line ").map_or(text.as_str(), |(message, _)| message))
            })),
        };
        entry(line, read);
    }
}
