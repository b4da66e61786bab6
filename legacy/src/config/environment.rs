//! The environment as values, so that nobody reads it behind another's back.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
};

use super::{Origin, Problem, Setting};

/// Variables by name. Values are never shown.
#[derive(Clone, Default)]
pub struct Environment {
    texts: BTreeMap<String, String>,
    not_text: BTreeSet<String>,
}

/// A variable that was found: its full name and its value.
#[derive(Clone, PartialEq, Eq)]
pub struct Variable {
    /// As it is called: with `KEYPOOL_`, or `_FILE`, where it has that.
    pub name: String,
    /// Its value, or what its file holds, without white space around it.
    pub value: String,
}

impl Variable {
    /// Where it came from.
    pub fn origin(&self) -> Origin {
        Origin::env(self.name.as_str())
    }
}

impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Variable").field(&self.name).finish_non_exhaustive()
    }
}

/// A name with this in front wins over the same without.
const OURS: &str = "KEYPOOL_";

impl Environment {
    /// This process's.
    pub fn process() -> Self {
        let mut environment = Self::default();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => drop(environment.texts.insert(name, value)),
                Err(_) => drop(environment.not_text.insert(name)),
            }
        }
        environment
    }

    /// The names of those whose value is no text (UTF-8), which is read as if they were not set.
    pub fn not_text(&self) -> impl Iterator<Item = &str> {
        self.not_text.iter().map(String::as_str)
    }

    /// These variables.
    pub fn of<N: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        let texts = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { texts, not_text: BTreeSet::new() }
    }

    /// A variable by exactly this name; an empty one is none.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.texts.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// The names of all that are set.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.texts.keys().map(String::as_str).filter(|name| self.get(name).is_some())
    }

    /// A variable by this name: `KEYPOOL_NAME`, else `NAME`.
    pub fn named(&self, name: &str) -> Option<Variable> {
        [format!("{OURS}{name}"), name.to_owned()].into_iter().find_map(|name| self.exact(name))
    }

    fn exact(&self, name: String) -> Option<Variable> {
        self.get(&name).map(str::to_owned).map(|value| Variable { name, value })
    }

    /// A secret by this name: `KEYPOOL_NAME`, `KEYPOOL_NAME_FILE`, `NAME`, `NAME_FILE`, whichever is there first; of a
    /// `_FILE` what that file holds.
    ///
    /// # Errors
    /// Those of [`Environment::first_secret`].
    pub fn secret(&self, name: &str) -> Result<Option<Variable>, Problem> {
        self.first_secret(both(name))
    }

    /// The first of these variables that is there, each also as `NAME_FILE`. Where both are they must say the same.
    ///
    /// # Errors
    /// When a file that is named cannot be read, or holds something else than the variable beside it does.
    pub fn first_secret(&self, names: impl IntoIterator<Item = String>) -> Result<Option<Variable>, Problem> {
        for name in names {
            let said = self.exact(name.clone());
            let Some(file) = self.exact(format!("{name}_FILE")) else {
                if said.is_some() {
                    return Ok(said);
                }
                continue;
            };
            let wrong = |why: String| Problem::new(file.origin(), "", why);
            let value = read(Path::new(&file.value)).map_err(wrong)?;
            return match said {
                Some(said) if said.value == value => Ok(Some(said)),
                Some(_) => {
                    Err(wrong(format!("expected only one of {name} and {}: they say different things", file.name)))
                }
                None => Ok(Some(Variable { name: file.name, value })),
            };
        }
        Ok(None)
    }

    /// What this variable holds, and what the file does that `NAME_FILE` names: of `KEYPOOL_NAME`, where one of the two is
    /// there, else of `NAME`.
    pub(super) fn secrets(&self, name: &str) -> Vec<Result<Variable, Problem>> {
        let at = |name: String| {
            let value = self.exact(name.clone()).map(Ok);
            let file = self.exact(format!("{name}_FILE")).map(|file| {
                let value = read(Path::new(&file.value)).map_err(|why| Problem::new(file.origin(), "", why))?;
                Ok(Variable { name: file.name, value })
            });
            value.into_iter().chain(file).collect::<Vec<_>>()
        };
        both(name).into_iter().map(at).find(|found| !found.is_empty()).unwrap_or_default()
    }

    /// The file that [`Environment::secrets`] reads, if it reads one.
    pub(super) fn secrets_file(&self, name: &str) -> Option<PathBuf> {
        let file = |name: &String| self.get(&format!("{name}_FILE")).map(PathBuf::from);
        both(name).iter().find(|name| self.get(name).is_some() || file(name).is_some()).and_then(file)
    }

    /// The file that [`Environment::first_secret`] reads for these names, if it reads one.
    pub fn secret_file(&self, names: impl IntoIterator<Item = String>) -> Option<PathBuf> {
        for name in names {
            if let Some(file) = self.get(&format!("{name}_FILE")) {
                return Some(file.into());
            }
            if self.get(&name).is_some() {
                return None;
            }
        }
        None
    }

    /// Names that begin so, with `KEYPOOL_` in front or not, without it.
    pub(super) fn beginning(&self, prefix: &str) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .texts
            .keys()
            .map(|name| name.strip_prefix(OURS).unwrap_or(name))
            .filter(|name| name.starts_with(prefix))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Every `KEYPOOL__A__B` as the setting `a.b`.
    pub fn overlay(&self) -> Vec<Setting> {
        let setting = |(name, value): (&String, &String)| {
            let path = name.strip_prefix("KEYPOOL__")?;
            let path = path.split("__").map(str::to_ascii_lowercase).collect();
            Some(Setting { path, value: value.trim().to_owned(), origin: Origin::env(name.as_str()) })
        };
        self.texts.iter().filter_map(setting).collect()
    }
}

/// A name with [`OURS`] in front, and without.
pub(super) fn both(name: &str) -> [String; 2] {
    [format!("{OURS}{name}"), name.to_owned()]
}

/// What a file of a secret holds, without white space around it.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let text = crate::whole_file::read_text(path)
        .map_err(|error| format!("{} cannot be read: {error}", super::wording::file(path)))?;
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() { Err(format!("{} is empty", super::wording::file(path))) } else { Ok(text.to_owned()) }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.texts.keys()).finish()
    }
}
