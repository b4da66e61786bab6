//! Reads a TOML file with variables over it into any type, and finds everything that is wrong with it.

use std::{borrow::Cow, ops::Range, path::Path};

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue, Deserializer, Error},
};

use super::{Environment, Problem, loaded::shown, wording::without_values};

/// More faults than these are not looked for.
const MOST: usize = 100;

/// Reads the text of a TOML file with each variable `KEYPOOL__A__B` over it as the setting `a.b`. `path` is for messages. A variable
/// is a number, `true`, `false` or a list where it is written as TOML writes these, and else a text.
///
/// # Errors
/// Everything that is wrong, each by its place: what is no TOML, or, where all is TOML, each value that the type does not take.
pub fn read<T: DeserializeOwned>(
    path: impl AsRef<Path>,
    text: &str,
    environment: &Environment,
) -> Result<T, Vec<Problem>> {
    let mut document = Document { path: path.as_ref(), text, settings: environment.settings(), problems: Vec::new() };
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        errors.iter().for_each(|error| document.note(error));
        return Err(document.problems);
    }
    let mut table = table.into_inner();
    for setting in 0..document.settings.len() {
        document.lay(&mut table, setting);
    }
    // What is wrong is taken out, and the rest is read again.
    while document.problems.len() < MOST {
        match T::deserialize(Deserializer::from(Spanned::new(0..text.len(), table.clone()))) {
            Ok(value) if document.problems.is_empty() => return Ok(value),
            Ok(_) => break,
            Err(error) => {
                document.note(&error);
                if !error.span().is_some_and(|span| cut(&mut table, &span)) {
                    break;
                }
            }
        }
    }
    Err(document.problems)
}

struct Document<'t> {
    path: &'t Path,
    text: &'t str,
    /// Variables over the file: name, path, value. Each has a span of one letter behind the text.
    settings: Vec<(&'t str, Vec<String>, &'t str)>,
    problems: Vec<Problem>,
}

impl<'t> Document<'t> {
    /// Puts a variable in its place.
    fn lay(&mut self, table: &mut DeTable<'t>, setting: usize) {
        let start = self.text.len() + 1 + setting;
        let (name, path, text) = &self.settings[setting];
        let spanned = |value| Spanned::new(start..start + 1, value);
        let value = match DeValue::parse(text).map(Spanned::into_inner) {
            Ok(DeValue::Array(items)) => {
                let mut list = DeArray::new();
                items.into_iter().for_each(|item| list.push(spanned(item.into_inner())));
                DeValue::Array(list)
            }
            Ok(value @ (DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::String(_))) => value,
            _ => DeValue::String(Cow::Borrowed(*text)),
        };
        let key = |name: &String| Spanned::new(start..start + 1, Cow::Owned(name.clone()));
        let Some((last, folders)) = path.split_last() else { return };
        let mut at = table;
        for folder in folders {
            let made = || spanned(DeValue::Table(DeTable::new()));
            at = match at.entry(key(folder)).or_insert_with(made).get_mut() {
                DeValue::Table(table) => table,
                _ => {
                    let message = format!("{folder} is no table in which this could be set");
                    return self.problems.push(Problem::new(*name, message));
                }
            };
        }
        at.remove(last.as_str());
        at.insert(key(last), spanned(value));
    }

    fn note(&mut self, error: &Error) {
        let at = error.span().map_or(0, |span| span.start);
        let place = match at.checked_sub(self.text.len() + 1).and_then(|setting| self.settings.get(setting)) {
            Some((name, ..)) => (*name).to_owned(),
            None => {
                let before = &self.text.as_bytes()[..at.min(self.text.len())];
                let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                format!("{}:{line}", shown(self.path))
            }
        };
        self.problems.push(Problem::new(place, without_values(error.message())));
    }
}

/// Takes the value of this span, or the value of the key of this span, out of a table.
fn cut(table: &mut DeTable<'_>, span: &Range<usize>) -> bool {
    let is_it = |(key, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        (key.span() == *span || value.span() == *span).then(|| key.get_ref().to_string())
    };
    match table.iter().find_map(is_it) {
        Some(name) => table.remove(name.as_str()).is_some(),
        None => table.iter_mut().any(|(_, value)| cut_below(value, span)),
    }
}

fn cut_below(value: &mut Spanned<DeValue<'_>>, span: &Range<usize>) -> bool {
    match value.get_mut() {
        DeValue::Table(table) => cut(table, span),
        DeValue::Array(items) if items.iter().any(|item| item.span() == *span) => {
            let all = std::mem::replace(items, DeArray::new());
            all.into_iter().filter(|item| item.span() != *span).for_each(|item| items.push(item));
            true
        }
        DeValue::Array(items) => items.iter_mut().any(|item| cut_below(item, span)),
        _ => false,
    }
}
