//! What is wrong with a configuration, and where.

use std::{fmt, path::PathBuf};

use serde::Serialize;

use super::plain::looks_like_key;

/// Where a setting or a key stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Place {
    /// In a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1; none where it is the file as a whole.
        line: Option<usize>,
    },
    /// In a list of tables of a file.
    Entry {
        /// The file.
        path: PathBuf,
        /// The list, such as `keys`.
        table: &'static str,
        /// Which of the list's tables, from 1.
        number: usize,
    },
    /// In a variable of the environment.
    Variable {
        /// Its name.
        name: String,
        /// Which of the values that it lists, from 1; none where it is the variable as a whole.
        value: Option<usize>,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, at) = match self {
            Self::File { path, line } => (path.display().to_string(), line.map(|line| format!(":{line}"))),
            Self::Entry { path, table, number } => {
                (path.display().to_string(), Some(format!(", entry {number} of [[{table}]]")))
            }
            Self::Variable { name, value } => (name.clone(), value.map(|value| format!(", value {value}"))),
        };
        // Somebody may have pasted a key where the name of a file belongs.
        f.write_str(if looks_like_key(&name) { "(a name that looks like a key)" } else { &name })?;
        f.write_str(&at.unwrap_or_default())
    }
}

/// One thing that is wrong. It never holds a value, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// The setting, such as `limits.rpm`, where it is one.
    pub setting: Option<String>,
    /// What is wrong, and what is expected.
    pub message: String,
}

impl Problem {
    pub(super) fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, setting: None, message: message.into() }
    }

    pub(super) fn of_setting(place: Place, setting: String, message: impl Into<String>) -> Self {
        Self { place, setting: (!setting.is_empty()).then_some(setting), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.setting {
            Some(setting) => write!(f, "{}: {setting}: {}", self.place, self.message),
            None => write!(f, "{}: {}", self.place, self.message),
        }
    }
}

/// Everything that is wrong with a configuration: at least one problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// `Err` where there is a problem.
    pub(super) fn check(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self(problems)) }
    }

    /// Each problem, in the order in which they were found.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.0.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self(vec![problem])
    }
}

impl From<Problems> for crate::Error {
    fn from(problems: Problems) -> Self {
        Self::config(problems.to_string()).with_source(problems)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.0.iter().enumerate() {
            write!(f, "{}{problem}", if n == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
