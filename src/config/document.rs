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
    let settings = environment.settings();
    // The variables have spans of one letter each behind the text.
    let problem = |error: &Error| {
        let at = error.span().map_or(0, |span| span.start);
        let setting = at.checked_sub(text.len() + 1).and_then(|setting| settings.get(setting));
        let in_file = || format!("{}:{}", shown(path.as_ref()), line_at(text, at));
        Problem::new(setting.map_or_else(in_file, |(name, ..)| name.clone()), without_values(error.message()))
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut problems: Vec<_> = errors.iter().map(problem).collect();
    let mut table = table.into_inner();
    for (n, (name, path, value)) in settings.iter().enumerate() {
        if !lay(&mut table, path, value, text.len() + 1 + n) {
            problems.push(Problem::new(name, "what it stands in is no table"));
        }
    }
    // What is wrong is taken out, and the rest is read again.
    while errors.is_empty() && problems.len() < MOST {
        match T::deserialize(Deserializer::from(Spanned::new(0..text.len(), table.clone()))) {
            Ok(value) if problems.is_empty() => return Ok(value),
            Ok(_) => break,
            Err(error) => {
                problems.push(problem(&error));
                if !error.span().is_some_and(|span| cut(&mut table, &span)) {
                    break;
                }
            }
        }
    }
    Err(problems)
}

/// The line of a byte, from 1.
pub(super) fn line_at(text: &str, byte: usize) -> usize {
    1 + text.get(..byte.min(text.len())).unwrap_or_default().matches('\n').count()
}

/// Puts a variable in its place, where all on the way there are tables.
fn lay<'t>(table: &mut DeTable<'t>, path: &[String], text: &'t str, start: usize) -> bool {
    let spanned = |value| Spanned::new(start..start + 1, value);
    let key = |name: &String| Spanned::new(start..start + 1, Cow::Owned(name.clone()));
    let value = match DeValue::parse(text).map(Spanned::into_inner) {
        Ok(DeValue::Array(items)) => {
            let mut list = DeArray::new();
            items.into_iter().for_each(|item| list.push(spanned(item.into_inner())));
            DeValue::Array(list)
        }
        Ok(value @ (DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::String(_))) => value,
        _ => DeValue::String(Cow::Borrowed(text)),
    };
    let Some((last, folders)) = path.split_last() else { return false };
    let mut at = table;
    for folder in folders {
        let made = || spanned(DeValue::Table(DeTable::new()));
        let DeValue::Table(table) = at.entry(key(folder)).or_insert_with(made).get_mut() else { return false };
        at = table;
    }
    at.remove(last.as_str());
    at.insert(key(last), spanned(value));
    true
}

/// Takes the value of this span, or the value of the key of this span, out of a table; an entry of a list as a whole.
fn cut(table: &mut DeTable<'_>, span: &Range<usize>) -> bool {
    let is_it = |(key, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        (key.span() == *span || value.span() == *span).then(|| key.get_ref().to_string())
    };
    if let Some(name) = table.iter().find_map(is_it) {
        return table.remove(name.as_str()).is_some();
    }
    table.iter_mut().any(|(_, value)| match value.get_mut() {
        DeValue::Table(table) => cut(table, span),
        DeValue::Array(items) => {
            let before = items.len();
            for mut item in std::mem::replace(items, DeArray::new()) {
                let is_in = if let DeValue::Table(table) = item.get_mut() { cut(table, span) } else { false };
                if item.span() != *span && !is_in {
                    items.push(item);
                }
            }
            items.len() < before
        }
        _ => false,
    })
}
