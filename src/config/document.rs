//! Reads a TOML file with overriding environment variables into any type, and reports all problems at once.

use std::{borrow::Cow, ops::Range, path::Path};

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue, Deserializer, Error},
};

use super::{Environment, Problem, loaded::shown, wording};

/// Maximum number of problems that are reported.
const MAX_PROBLEMS: usize = 100;

/// Parses the text of a TOML file. Each variable `KEYPOOL__A__B` overrides the setting `a.b`. `path` is only used in
/// messages. The value of a variable is parsed as a TOML number, boolean, string or array if it is one, and is a plain
/// string otherwise.
///
/// # Errors
/// All problems with their places, in the order of the file: the syntax errors, or, if the TOML is valid, each value that
/// does not fit the type.
pub fn read<T: DeserializeOwned>(
    path: impl AsRef<Path>,
    text: &str,
    environment: &Environment,
) -> Result<T, Vec<Problem>> {
    let settings = environment.settings();
    // Each variable has a span of one byte after the end of the text.
    let problem = |error: &Error, name: &str| {
        let at = error.span().map_or(0, |span| span.start);
        let setting = at.checked_sub(text.len() + 1).and_then(|setting| settings.get(setting));
        let in_file = || format!("{}:{}", shown(path.as_ref()), line_at(text, at));
        let message = wording::without_values(error.message());
        let is_named = setting.is_none() && message.starts_with("expected") && name.split('.').all(wording::is_word);
        let message = if is_named { format!("{name}: {message}") } else { message };
        (at, Problem::new(setting.map_or_else(in_file, |(name, ..)| name.clone()), message))
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut problems: Vec<_> = errors.iter().map(|error| problem(error, "")).collect();
    let mut table = table.into_inner();
    for (n, (name, path, value)) in settings.iter().enumerate() {
        if !insert(&mut table, path, value, text.len() + 1 + n) {
            problems.push((text.len() + 1 + n, Problem::new(name, "the parent setting is not a table")));
        }
    }
    // Removes each invalid value and deserializes the rest again. A value that was removed from an item of a list is not
    // reported as missing.
    let mut incomplete = Vec::new();
    while errors.is_empty() && problems.len() < MAX_PROBLEMS {
        match T::deserialize(Deserializer::from(Spanned::new(0..text.len(), table.clone()))) {
            Ok(value) if problems.is_empty() => return Ok(value),
            Ok(_) => break,
            Err(error) => {
                let span = error.span().unwrap_or_default();
                let is_removed = error.message().starts_with("missing") && incomplete.contains(&span);
                let name = remove(&mut table, &span, &mut incomplete);
                if !is_removed {
                    problems.push(problem(&error, name.as_deref().unwrap_or_default()));
                }
                if name.is_none() {
                    break;
                }
            }
        }
    }
    problems.sort_by_key(|(at, _)| *at);
    Err(problems.into_iter().map(|(_, problem)| problem).collect())
}

/// Returns the line of a byte offset, counted from 1.
pub(super) fn line_at(text: &str, byte: usize) -> usize {
    1 + text.get(..byte.min(text.len())).unwrap_or_default().matches('\n').count()
}

/// Inserts the value of a variable at this path. Returns false if a parent is not a table.
fn insert<'t>(table: &mut DeTable<'t>, path: &[String], text: &'t str, start: usize) -> bool {
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
    let Some((last, parents)) = path.split_last() else { return false };
    let mut at = table;
    for parent in parents {
        let new_table = || spanned(DeValue::Table(DeTable::new()));
        let DeValue::Table(table) = at.entry(key(parent)).or_insert_with(new_table).get_mut() else { return false };
        at = table;
    }
    at.remove(last.as_str());
    at.insert(key(last), spanned(value));
    true
}

/// Removes the value with this span, or the value whose key has it, and returns its name, such as `pool.wait`.
/// Adds the spans of the items of arrays around it to `incomplete`.
fn remove(table: &mut DeTable<'_>, span: &Range<usize>, incomplete: &mut Vec<Range<usize>>) -> Option<String> {
    let is_it = |(key, value): (&Spanned<Cow<'_, str>>, &Spanned<DeValue<'_>>)| {
        (key.span() == *span || value.span() == *span).then(|| key.get_ref().to_string())
    };
    if let Some(name) = table.iter().find_map(is_it) {
        table.remove(name.as_str());
        return Some(name);
    }
    table.iter_mut().find_map(|(key, value)| match value.get_mut() {
        DeValue::Table(table) => Some(format!("{}.{}", key.get_ref(), remove(table, span, incomplete)?)),
        DeValue::Array(items) => {
            let mut found = None;
            for mut item in std::mem::replace(items, DeArray::new()) {
                let at = item.span();
                if let DeValue::Table(table) = item.get_mut()
                    && let Some(name) = remove(table, span, incomplete)
                {
                    incomplete.push(at.clone());
                    found = Some(format!("{}.{name}", key.get_ref()));
                }
                if at == *span { found = Some(key.get_ref().to_string()) } else { items.push(item) }
            }
            found
        }
        _ => None,
    })
}
