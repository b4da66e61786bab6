//! Reads a TOML file with variables over it into any type, and finds everything that is wrong with it.

use std::{borrow::Cow, collections::HashMap, ops::Range, path::Path};

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue, Deserializer},
};

use super::{
    Environment, Place, Problem, Problems,
    plain::{looks_like_key, without_values},
};

/// More faults than these are not looked for.
const MOST: usize = 100;

/// Reads the text of a TOML file with each variable `KEYPOOL__A__B` over it as the setting `a.b`. `path` is for messages.
///
/// A variable is text; where the type wants a number, `true` or a list (with commas), it is read as such.
///
/// # Errors
/// Everything that is wrong, each by its place: what is no TOML, or, where all is TOML, each value that the type does not take.
pub fn read<T: DeserializeOwned>(
    path: impl AsRef<Path>,
    text: &str,
    environment: &Environment,
) -> Result<T, Problems> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let settings = environment.settings();
    let mut document = Document { path: path.as_ref(), text, settings, problems: Vec::new() };
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let place = document.place(&error.span().unwrap_or_default());
        document.problems.push(Problem::new(place, without_values(error.message())));
    }
    Problems::check(std::mem::take(&mut document.problems))?;
    let mut table = table.into_inner();
    for setting in 0..document.settings.len() {
        document.lay(&mut table, setting);
    }
    let value = document.read(&mut table);
    Problems::check(document.problems)?;
    value.ok_or_else(|| unreachable_problem(path.as_ref()))
}

fn unreachable_problem(path: &Path) -> Problems {
    Problem::new(Place::File { path: path.to_owned(), line: None }, "this is no configuration").into()
}

struct Document<'t> {
    path: &'t Path,
    text: &'t str,
    /// Variables over the file: name, path, value. Each has a span behind the text.
    settings: Vec<(&'t str, Vec<String>, &'t str)>,
    problems: Vec<Problem>,
}

impl<'t> Document<'t> {
    fn read<T: DeserializeOwned>(&mut self, table: &mut DeTable<'t>) -> Option<T> {
        let mut forms = HashMap::new();
        while self.problems.len() < MOST {
            let error = match T::deserialize(Deserializer::from(Spanned::new(0..self.text.len(), table.clone()))) {
                Ok(value) => return Some(value),
                Err(error) => error,
            };
            let span = error.span().unwrap_or(0..self.text.len());
            let unknown = error.message().starts_with("unknown field");
            if let Some(setting) = self.setting(&span).filter(|_| !unknown)
                && let Some(leaf) = leaf(table, &span)
                && other_form(leaf, self.settings[setting].2, &span, forms.entry(setting).or_insert(0))
            {
                continue;
            }
            let name = cut(table, &span);
            let place = self.place(&span);
            let known = self.problems.iter().any(|problem| problem.place == place && self.setting(&span).is_some());
            if !known {
                let setting = name.clone().unwrap_or_default();
                self.problems.push(Problem::of_setting(place, setting, without_values(error.message())));
            }
            name?;
        }
        None
    }

    /// Puts a variable in its place.
    fn lay(&mut self, table: &mut DeTable<'t>, setting: usize) {
        let span = self.span(setting);
        let (name, path, value) = self.settings[setting].clone();
        let Some((last, folders)) = path.split_last() else { return };
        let mut at = table;
        for folder in folders {
            let made = || Spanned::new(span.clone(), DeValue::Table(DeTable::new()));
            let entry = at.entry(Spanned::new(span.clone(), Cow::Owned(folder.clone()))).or_insert_with(made);
            let DeValue::Table(table) = entry.get_mut() else {
                let place = Place::Variable { name: name.to_owned(), value: None };
                self.problems.push(Problem::new(place, "there is no table that this could be set in"));
                return;
            };
            at = table;
        }
        at.remove(last.as_str());
        let value = Spanned::new(span.clone(), DeValue::String(Cow::Borrowed(value)));
        at.insert(Spanned::new(span, Cow::Owned(last.clone())), value);
    }

    fn span(&self, setting: usize) -> Range<usize> {
        let start = self.text.len() + 1 + setting;
        start..start + 1
    }

    fn setting(&self, span: &Range<usize>) -> Option<usize> {
        let setting = span.start.checked_sub(self.text.len() + 1)?;
        (setting < self.settings.len()).then_some(setting)
    }

    fn place(&self, span: &Range<usize>) -> Place {
        if let Some(setting) = self.setting(span) {
            return Place::Variable { name: self.settings[setting].0.to_owned(), value: None };
        }
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Place::File { path: self.path.to_owned(), line: Some(line) }
    }
}

/// Tries a variable's text as what else it may be: a number or `true`, then a list. False when there is no other form.
fn other_form<'t>(leaf: &mut DeValue<'t>, text: &'t str, span: &Range<usize>, tries: &mut u8) -> bool {
    *tries += 1;
    let scalar = DeValue::parse(text).ok().map(Spanned::into_inner).filter(|value| {
        matches!(value, DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_))
    });
    match (*tries, scalar) {
        (1, Some(scalar)) => *leaf = scalar,
        (1, None) | (2, Some(_)) => {
            let items = text.trim_matches(['[', ']']).split(',').map(|item| item.trim().trim_matches(['"', '\'']));
            let mut list = DeArray::new();
            for item in items.filter(|item| !item.is_empty()) {
                list.push(Spanned::new(span.clone(), DeValue::String(Cow::Borrowed(item))));
            }
            *leaf = DeValue::Array(list);
        }
        _ => return false,
    }
    true
}

/// The innermost value of this span.
fn leaf<'a, 't>(table: &'a mut DeTable<'t>, span: &Range<usize>) -> Option<&'a mut DeValue<'t>> {
    for (_, value) in table.iter_mut() {
        if value.span() == *span && !value.get_ref().is_table() {
            return Some(value.get_mut());
        }
        if let DeValue::Table(inner) = value.get_mut()
            && let Some(found) = leaf(inner, span)
        {
            return Some(found);
        }
    }
    None
}

/// Takes the innermost value, or the value of the innermost key, of this span out of the table; its path without indices.
fn cut(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<String> {
    let joined = |name: &str, inner: String| if inner.is_empty() { name.to_owned() } else { format!("{name}.{inner}") };
    let mut found = None;
    for (key, value) in table.iter_mut() {
        let inner = match value.get_mut() {
            DeValue::Table(inner) => cut(inner, span),
            DeValue::Array(items) => cut_item(items, span),
            _ => None,
        };
        if let Some(inner) = inner {
            return Some(joined(&shown(key.get_ref()), inner));
        }
        if value.span() == *span || key.span() == *span {
            found = Some(key.get_ref().to_string());
        }
    }
    let name = found?;
    table.remove(name.as_str());
    Some(shown(&name))
}

fn cut_item(items: &mut DeArray<'_>, span: &Range<usize>) -> Option<String> {
    for item in items.iter_mut() {
        let inner = match item.get_mut() {
            DeValue::Table(inner) => cut(inner, span),
            DeValue::Array(inner) => cut_item(inner, span),
            _ => None,
        };
        if inner.is_some() {
            return inner;
        }
    }
    let at = items.iter().position(|item| item.span() == *span)?;
    let all = std::mem::replace(items, DeArray::new());
    for (n, item) in all.into_iter().enumerate() {
        if n != at {
            items.push(item);
        }
    }
    Some(String::new())
}

/// The name of a setting, unless it may be a key that was pasted in.
fn shown(name: &str) -> String {
    let plain = name.len() <= 64 && !looks_like_key(name) && !name.chars().any(char::is_control);
    if plain { name.to_owned() } else { "(a name that is not shown)".to_owned() }
}
