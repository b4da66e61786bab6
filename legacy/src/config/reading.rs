//! Reads a whole tree into types, and finds everything that is wrong with it, not only the first: what is refused is
//! reported, cut out, and the rest is read again.

use std::{borrow::Cow, ops::Range};

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue, Deserializer, Error},
};

use super::{
    Document, Problem,
    document::{Step, cut, shown},
    tables, wording,
};

/// So many faults are looked for in each entry of a list, and in all that stands in none.
const MOST: usize = 1_000;

impl<'t> Document<'t> {
    /// Reads everything. What cannot be read is noted as a problem, and the type's default stands in for it.
    pub fn read<T: DeserializeOwned + Default>(&mut self) -> T {
        let mut tree = self.tree.clone();
        for other in tables::no_tables(&self.tree) {
            let path = self.path_of(&other).unwrap_or_default();
            self.note(&path, other.clone(), "expected a table", false);
            cut(&mut tree, &other);
        }
        if let Ok(read) = whole(&tree) {
            return read;
        }
        self.read_entries::<T>(&mut tree);
        self.read_all(&mut tree, &[]).unwrap_or_default()
    }

    /// Each entry of the lists of tables that there may be thousands of, as if it were the only one: what is wrong with it is noted,
    /// and taken out of the tree. Otherwise each fault would be a reading of all the others.
    fn read_entries<T: DeserializeOwned>(&mut self, tree: &mut Spanned<DeValue<'t>>) {
        let DeValue::Table(table) = tree.get_mut() else { return };
        for (name, list) in table.iter_mut() {
            let around = list.span();
            let DeValue::Array(entries) = list.get_mut() else { continue };
            if !entries.iter().all(|entry| entry.get_ref().is_table()) {
                continue;
            }
            for (n, entry) in std::mem::replace(entries, DeArray::new()).into_iter().enumerate() {
                let mut list = DeArray::new();
                list.push(entry);
                let mut only = DeTable::new();
                only.insert(name.clone(), Spanned::new(around.clone(), DeValue::Array(list)));
                let mut only = Spanned::new(around.clone(), DeValue::Table(only));
                let at = [Step::Key(name.get_ref().to_string()), Step::Index(n)];
                let _ = self.read_all::<T>(&mut only, &at);
                if let DeValue::Table(only) = only.get_mut()
                    && let Some(list) = only.get_mut(&**name.get_ref())
                    && let DeValue::Array(list) = list.get_mut()
                {
                    std::mem::replace(list, DeArray::new()).into_iter().for_each(|entry| entries.push(entry));
                }
            }
        }
    }

    /// The tree, or the one entry of it that stands at this path; none where too much is wrong with it.
    fn read_all<T: DeserializeOwned>(&mut self, tree: &mut Spanned<DeValue<'t>>, at: &[Step]) -> Option<T> {
        // How often a setting was tried in another form, and what was said of it as text.
        let mut tries: Vec<(u8, String)> = vec![(0, String::new()); self.settings.len()];
        for _ in 0..MOST {
            let error = match whole(tree) {
                Ok(read) => return Some(read),
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
                if self.try_another_form(tree, &span, number, &mut tries[number].0) {
                    continue;
                }
            }
            // Which texts it takes is said of a text alone.
            if error.message() == "wanted string or table" && put(tree, &span, DeValue::String("".into())) {
                continue;
            }
            let path = self.path_below(at, &span).unwrap_or_default();
            if path.len() < at.len() || (path.is_empty() && !at.is_empty()) {
                // It is not the entry's: it shows when all is read.
                return None;
            }
            let first = number.filter(|_| !unknown).map(|number| tries[number].1.as_str());
            self.note(&path, span.clone(), first.unwrap_or(error.message()), unknown);
            if path.is_empty() || !cut(tree, &span) {
                return None;
            }
        }
        let what = format!("more is wrong here than the {MOST} faults that are named");
        let origin = if at.is_empty() { self.origin_of(self.end()) } else { self.origin(&shown(at)) };
        self.problems.push(Problem::new(origin, shown(at), what));
        None
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

/// All of it as its types, or the first thing that is wrong.
fn whole<T: DeserializeOwned>(tree: &Spanned<DeValue<'_>>) -> Result<T, Error> {
    match tree.get_ref() {
        DeValue::Table(table) => T::deserialize(Deserializer::from(Spanned::new(tree.span(), table.clone()))),
        _ => Err(serde::de::Error::custom("expected a table")),
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
