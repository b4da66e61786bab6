//! A configuration before it has types: the file's tree, with variables and options laid over it.

use std::{borrow::Cow, collections::BTreeSet, fmt::Write, ops::Range, path::Path};

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use super::{Origin, Problem, origin::line_at, wording};

/// One setting from beside the file: a variable, or an option of the command line.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    /// Which: `["gateway", "listen"]`.
    pub path: Vec<String>,
    /// Its value as text; lists are separated by commas.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

impl Setting {
    /// The setting at `path`, steps separated by dots.
    pub fn new(path: &str, value: impl Into<String>, origin: Origin) -> Self {
        Self { path: path.split('.').map(str::to_owned).collect(), value: value.into(), origin }
    }
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setting").field("path", &self.path).field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// A step on the way to a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// The tree of a configuration. Spans beyond the file's text stand for what was laid over it.
#[derive(Debug)]
pub struct Document<'t> {
    path: &'t Path,
    text: &'t str,
    pub(super) settings: &'t [Setting],
    pub(super) tree: Spanned<DeValue<'t>>,
    /// Settings whose value could not be taken, so that nobody calls them missing.
    pub(super) refused: BTreeSet<String>,
    pub(super) problems: Vec<Problem>,
}

impl<'t> Document<'t> {
    /// Reads a file's text, and lays settings over it; later ones win. What is no TOML is a problem.
    pub fn new(path: &'t Path, text: &'t str, settings: &'t [Setting]) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        let span = table.span();
        let mut document = Self {
            path,
            text,
            settings,
            tree: Spanned::new(span, DeValue::Table(table.into_inner())),
            refused: BTreeSet::new(),
            problems: Vec::new(),
        };
        for error in errors {
            let origin = document.origin_of(error.span().unwrap_or_default());
            document.problems.push(Problem::new(origin, "", wording::plain(error.message())));
        }
        for (n, setting) in settings.iter().enumerate() {
            document.lay(n, setting);
        }
        document
    }

    /// A setting takes its place in the tree.
    fn lay(&mut self, number: usize, setting: &'t Setting) {
        let span = self.span_of(number);
        // Wider, so that a table that was made on the way is not taken for its setting.
        let around = span.start..span.end + 1;
        let Some((last, folders)) = setting.path.split_last() else { return };
        let mut at = self.tree.get_mut();
        for (n, folder) in folders.iter().enumerate() {
            let DeValue::Table(table) = at else { return };
            let key = Spanned::new(around.clone(), Cow::Borrowed(folder.as_str()));
            let made = || Spanned::new(around.clone(), DeValue::Table(DeTable::new()));
            let entry = table.entry(key).or_insert_with(made);
            if !entry.get_ref().is_table() {
                if entry.span().start <= self.text.len() {
                    // With a table in its place, what the file says there would be lost without a word.
                    let path: Vec<_> = folders[..=n].iter().cloned().map(Step::Key).collect();
                    let what = "no table in the file: nothing can be set in it";
                    self.problems.push(Problem::new(setting.origin.clone(), shown(&path), what));
                    return;
                }
                *entry = made();
            }
            at = entry.get_mut();
        }
        if let DeValue::Table(table) = at {
            // The key of what it replaces would keep its old span.
            table.remove(last.as_str());
            let value = DeValue::String(Cow::Borrowed(setting.value.as_str()));
            table.insert(Spanned::new(span.clone(), Cow::Borrowed(last.as_str())), Spanned::new(span, value));
        }
    }

    /// Spans behind the text, two wide, one a setting.
    pub(super) fn span_of(&self, setting: usize) -> Range<usize> {
        let start = self.text.len() + 2 + 2 * setting;
        start..start + 1
    }

    /// The number of the setting that a span stands for, if it is none of the file's.
    pub(super) fn setting_at(&self, span: &Range<usize>) -> Option<usize> {
        let behind = span.start.checked_sub(self.text.len() + 2)?;
        (behind / 2 < self.settings.len()).then_some(behind / 2)
    }

    pub(super) fn origin_of(&self, span: Range<usize>) -> Origin {
        if let Some(number) = self.setting_at(&span) {
            return self.settings[number].origin.clone();
        }
        Origin::file(self.path, line_at(self.text.as_bytes(), span.start))
    }

    /// Where the value of a path such as `keys[2].weight` came from; where it is not set, the nearest that is around
    /// it and stands in a list (`keys[2]`); else [`Origin::Default`].
    pub fn origin(&self, path: &str) -> Origin {
        let (origin, around) = self.find_origin(path);
        origin.unwrap_or(around)
    }

    /// Where exactly this value came from; [`Origin::Default`] where it is not set.
    pub fn exact_origin(&self, path: &str) -> Origin {
        self.find_origin(path).0.unwrap_or_default()
    }

    fn find_origin(&self, path: &str) -> (Option<Origin>, Origin) {
        let mut around = Origin::Default;
        let mut at = &self.tree;
        for step in steps(path) {
            let Some(next) = below(at, &step) else {
                // A list between commas has no items yet.
                let text = matches!((&step, at.get_ref()), (Step::Index(_), DeValue::String(_)));
                return (text.then(|| self.origin_of(at.span())), around);
            };
            at = next;
            if matches!(step, Step::Index(_)) {
                around = self.origin_of(at.span());
            }
        }
        (Some(self.origin_of(at.span())), around)
    }

    /// Adds a problem of the setting at `path`, unless its value was refused already.
    pub fn problem(&mut self, path: &str, message: impl Into<String>) {
        if !self.refused.contains(path) {
            self.problems.push(Problem::new(self.origin(path), path, message));
        }
    }

    /// The same of a whole entry, unless what it misses begins with `field` and was refused.
    pub(super) fn problem_unless_refused(&mut self, entry: &str, field: &str, message: &str) {
        let missing = format!("{entry}.{field}");
        if !self.refused.iter().any(|refused| refused.starts_with(&missing) || refused == entry) {
            self.problems.push(Problem::new(self.origin(entry), entry, message));
        }
    }

    /// What was wrong so far.
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// The path of the node that has this span, as value or as key: `keys[2].weight`.
    pub(super) fn path_of(&self, span: &Range<usize>) -> Option<Vec<Step>> {
        self.path_below(&[], span)
    }

    /// The same where it is known which node it is in.
    pub(super) fn path_below(&self, at: &[Step], span: &Range<usize>) -> Option<Vec<Step>> {
        let mut path = at.to_vec();
        let node = at.iter().try_fold(&self.tree, |node, step| below(node, step))?;
        find(node, span, &mut path).then_some(path)
    }

    /// Behind the last of the file.
    pub(super) fn end(&self) -> Range<usize> {
        self.text.len()..self.text.len()
    }
}

/// The node that is one step on.
fn below<'n, 't>(node: &'n Spanned<DeValue<'t>>, step: &Step) -> Option<&'n Spanned<DeValue<'t>>> {
    match (step, node.get_ref()) {
        (Step::Key(name), DeValue::Table(table)) => table.get(name.as_str()),
        (Step::Index(n), DeValue::Array(items)) => items.get(*n),
        _ => None,
    }
}

/// Walks to the node of this span.
fn find(node: &Spanned<DeValue<'_>>, span: &Range<usize>, path: &mut Vec<Step>) -> bool {
    match node.get_ref() {
        DeValue::Table(table) => {
            for (key, value) in table {
                path.push(Step::Key(key.get_ref().to_string()));
                if find(value, span, path) || key.span() == *span {
                    return true;
                }
                path.pop();
            }
        }
        DeValue::Array(items) => {
            for (n, item) in items.iter().enumerate() {
                path.push(Step::Index(n));
                if find(item, span, path) {
                    return true;
                }
                path.pop();
            }
        }
        _ => {}
    }
    node.span() == *span
}

/// A path as text.
pub(super) fn shown(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Index(n) => {
                let _ = write!(text, "[{n}]");
            }
            Step::Key(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(&wording::step(name));
            }
        }
    }
    text
}

/// The steps of a path as text.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        rest = rest.trim_start_matches('.');
        if let Some(index) = rest.strip_prefix('[') {
            let (number, behind) = index.split_once(']').unwrap_or((index, ""));
            steps.push(Step::Index(number.parse().unwrap_or(usize::MAX)));
            rest = behind;
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let (name, behind) = quoted.split_once('"').unwrap_or((quoted, ""));
            steps.push(Step::Key(name.to_owned()));
            rest = behind;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            steps.push(Step::Key(rest[..end].to_owned()));
            rest = &rest[end..];
        }
    }
    steps
}

/// Takes a node out of a tree.
pub(super) fn cut(node: &mut Spanned<DeValue<'_>>, span: &Range<usize>) -> bool {
    match node.get_mut() {
        DeValue::Table(table) => {
            let key = table.iter().find(|(key, value)| key.span() == *span || value.span() == *span);
            if let Some(key) = key.map(|(key, _)| key.get_ref().to_string()) {
                return table.remove(key.as_str()).is_some();
            }
            table.iter_mut().any(|(_, value)| cut(value, span))
        }
        DeValue::Array(items) => {
            if items.iter().any(|item| item.span() == *span) {
                let mut kept = DeArray::new();
                for item in items.iter().filter(|item| item.span() != *span) {
                    kept.push(item.clone());
                }
                *items = kept;
                return true;
            }
            items.iter_mut().any(|item| cut(item, span))
        }
        _ => false,
    }
}
