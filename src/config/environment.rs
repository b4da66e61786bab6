//! Variables of the environment, as values.

use std::{collections::BTreeMap, fmt};

use super::{KeyEntry, Loaded};

/// Variables by name. Values are never shown.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process. Those whose value is not UTF-8 are left out.
    pub fn process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// These variables.
    pub fn of<N: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// A variable without the white space around it; an empty one is none.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Each `KEYPOOL__A__B` with its path `["a", "b"]` and its value.
    pub(super) fn settings(&self) -> Vec<(&str, Vec<String>, &str)> {
        let setting = |name| {
            let path = str::strip_prefix(name, "KEYPOOL__")?.split("__").map(str::to_ascii_lowercase).collect();
            Some((name, path, self.get(name)?))
        };
        self.0.keys().map(String::as_str).filter_map(setting).collect()
    }

    /// The keys in the variables of a provider.
    pub(super) fn load(&self, provider: &str, loaded: &mut Loaded) {
        let prefix = provider.to_ascii_uppercase().replace(['-', '.'], "_");
        let mut names: Vec<&str> = self.0.keys().map(String::as_str).collect();
        // `…_KEY_10` stands behind `…_KEY_9`.
        names.sort_by_key(|name| (name.len(), *name));
        for name in names {
            let google = || name.strip_prefix("GOOGLE").filter(|_| prefix == "GEMINI");
            let Some(end) = name.strip_prefix(&prefix).or_else(google) else { continue };
            let is_number = |end: &str| !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_digit());
            let tier = match end {
                "_API_KEY" | "_API_KEYS" => "",
                "_FREE_KEYS" => "free",
                "_PAID_KEYS" => "paid",
                end if end.strip_prefix("_API_KEY_").is_some_and(is_number) => "",
                _ => continue,
            };
            let value = self.get(name).unwrap_or_default();
            let secrets = value.split(|c: char| matches!(c, ',' | ';') || c.is_whitespace());
            let secrets = secrets.map(|secret| secret.trim_matches(['"', '\''])).filter(|secret| !secret.is_empty());
            for (n, secret) in secrets.enumerate() {
                let entry = KeyEntry::of([("secret", secret), ("tier", tier)]);
                loaded.add(format!("{name}, value {}", n + 1), entry, self);
            }
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
