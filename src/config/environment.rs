//! Environment variables, passed as a value.

use std::{collections::BTreeMap, fmt};

/// Environment variables by name. `Debug` shows only the names.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// Returns the variables of this process. Variables that are not valid UTF-8 are left out.
    pub fn process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// Creates an environment of these variables.
    pub fn from_vars<N: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// Returns the trimmed value of a variable, or `None` if it is unset or empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Returns the name, the path `["a", "b"]` and the value of each variable `KEYPOOL__A__B`.
    pub(super) fn settings(&self) -> Vec<(String, Vec<String>, String)> {
        let path = |name: &str| name.split("__").skip(1).map(str::to_ascii_lowercase).collect();
        self.overlay().map(|(name, value)| (name.to_owned(), path(name), value.to_owned())).collect()
    }

    /// Returns the variables that override settings of a file: `KEYPOOL__A__B` overrides the setting `a.b`.
    #[doc(hidden)]
    pub fn overlay(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.keys().filter(|name| name.starts_with("KEYPOOL__")).filter_map(|name| Some((&**name, self.get(name)?)))
    }

    /// Returns the names of all variables.
    pub(super) fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
