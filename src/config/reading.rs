//! Reads a whole tree into types, and finds everything that is wrong with it, not only the first: what is refused is
//! reported, cut out, and the rest is read again.

use std::{borrow::Cow, ops::Range};

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeArray, DeValue, Deserializer},
};

use super::{
    Document, Problem,
    document::{Step, cut, shown},
    tables, wording,
};

/// A configuration with more faults than this is none.
const MOST: usize = 1_000;

impl<'t> Document<'t> {
    /// Reads everything. What cannot be read is noted as a problem, and the type's default stands in for it.
    pub fn read<T: DeserializeOwned + Default>(&mut self) -> T {
        let mut tree = self.tree.clone();
        for list in tables::lists_for_tables(&self.tree) {
            let path = self.path_of(&list).unwrap_or_default();
            self.note(&path, list.clone(), "expected a table", false);
            cut(&mut tree, &list);
        }
        // How often a setting was tried in another form, and what was said of it as text.
        let mut tries: Vec<(u8, String)> = vec![(0, String::new()); self.settings.len()];
        for _ in 0..MOST {
            let DeValue::Table(table) = tree.get_ref() else { break };
            let error = match T::deserialize(Deserializer::from(Spanned::new(tree.span(), table.clone()))) {
                Ok(read) => return read,
                Err(error) => error,
            };
            let span = error.span().unwrap_or_else(|| self.tree.span());
            let unknown = error.message().starts_with("unknown field");
            // Not where a table was made for it, in the place of something else.
            let number = self.setting_at(&span).filter(|number| self.span_of(*number) == span);
            if let Some(number) = number.filter(|_| !unknown) {
                if tries[number].0 == 0 {
                    error.message().clone_into(&mut tries[number].1);
                }
                if self.try_another_form(&mut tree, &span, number, &mut tries[number].0) {
                    continue;
                }
            }
            // Which texts it takes is said of a text alone.
            if error.message() == "wanted string or table" && put(&mut tree, &span, DeValue::String("".into())) {
                continue;
            }
            let path = self.path_of(&span).unwrap_or_default();
            let first = number.filter(|_| !unknown).map(|number| tries[number].1.as_str());
            self.note(&path, span.clone(), first.unwrap_or(error.message()), unknown);
            if path.is_empty() || !cut(&mut tree, &span) {
                break;
            }
        }
        T::default()
    }

    fn note(&mut self, path: &[Step], span: Range<usize>, message: &str, unknown: bool) {
        let name = shown(path);
        // A name that nothing knows may be anything, even a key that was pasted in.
        let strange = matches!(path.last(), Some(Step::Key(name))
            if unknown && name.len() >= wording::SHORT && name.bytes().any(|byte| byte.is_ascii_digit()));
        let name = match path.split_last() {
            Some((_, around)) if strange => format!("{}.(a name that is not shown)", shown(around)),
            _ => name,
        };
        // What is missing only because it was refused is no news.
        let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
        let refused = missing.is_some_and(|field| self.refused.contains(&format!("{name}.{field}")));
        let origin = self.origin_of(span);
        // Where the text is no TOML, what comes of it is no news either.
        let broken = self.problems.iter().any(|problem| problem.path.is_empty() && problem.origin == origin);
        if !refused && !broken {
            let name = name.trim_start_matches('.');
            let list_of_tables = matches!(name, "keys" | "models") && message.ends_with("expected a sequence");
            let message = if list_of_tables {
                format!("expected tables, each begun with [[{name}]]")
            } else {
                wording::plain(message)
            };
            self.problems.push(Problem::new(origin, name, message));
        }
        self.refused.insert(name);
    }

    /// A variable is text, whatever the setting takes: as TOML's own value (a number, true, a list), then as a list
    /// between commas.
    fn try_another_form(
        &self,
        tree: &mut Spanned<DeValue<'t>>,
        span: &Range<usize>,
        number: usize,
        tries: &mut u8,
    ) -> bool {
        let value = &self.settings[number].value;
        loop {
            *tries += 1;
            let form = match *tries {
                1 => DeValue::parse(value).ok().filter(|value| !value.get_ref().is_str()).map(|mut value| {
                    move_to(&mut value, span);
                    value.into_inner()
                }),
                2 => Some(list(value, span)),
                _ => return false,
            };
            if let Some(form) = form {
                return put(tree, span, form);
            }
        }
    }
}

/// What was read on its own stands where its setting does.
fn move_to(value: &mut Spanned<DeValue<'_>>, span: &Range<usize>) {
    match value.get_mut() {
        DeValue::Array(items) => items.iter_mut().for_each(|item| move_to(item, span)),
        DeValue::Table(table) => {
            for (key, mut value) in std::mem::take(table) {
                move_to(&mut value, span);
                table.insert(Spanned::new(span.clone(), key.into_inner()), value);
            }
        }
        _ => {}
    }
    *value = Spanned::new(span.clone(), std::mem::replace(value.get_mut(), DeValue::Boolean(false)));
}

fn list<'t>(value: &'t str, span: &Range<usize>) -> DeValue<'t> {
    let mut items = DeArray::new();
    for item in value.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        items.push(Spanned::new(span.clone(), DeValue::String(Cow::Borrowed(item))));
    }
    DeValue::Array(items)
}

/// Another value for the node of this span.
fn put<'t>(node: &mut Spanned<DeValue<'t>>, span: &Range<usize>, value: DeValue<'t>) -> bool {
    let Some(held) = leaf(node, span) else { return false };
    *held = value;
    true
}

fn leaf<'n, 't>(node: &'n mut Spanned<DeValue<'t>>, span: &Range<usize>) -> Option<&'n mut DeValue<'t>> {
    if node.span() == *span {
        return Some(node.get_mut());
    }
    match node.get_mut() {
        DeValue::Table(table) => table.iter_mut().find_map(|(_, value)| leaf(value, span)),
        _ => None,
    }
}
