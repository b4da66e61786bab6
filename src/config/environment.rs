//! Variables of the environment, as values.

use std::{collections::BTreeMap, fmt};

use super::{Loaded, Place, Problem, key::KeyConfig, plain::Plain};
use crate::{Secret, Tier};

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

    /// The variables that hold keys of this provider, with the tier that their names say.
    fn of_provider(&self, provider: &str) -> Vec<(&str, Option<Tier>)> {
        let prefix = provider.to_ascii_uppercase().replace(['-', '.'], "_");
        let is_google = prefix == "GEMINI";
        let tier_of = |name: &str| {
            let name = name.strip_suffix("_FILE").unwrap_or(name);
            let rest = name.strip_prefix(&prefix).or_else(|| name.strip_prefix("GOOGLE").filter(|_| is_google))?;
            match rest {
                "_API_KEY" | "_API_KEYS" => Some(None),
                "_FREE_KEYS" => Some(Some(Tier::Free)),
                "_PAID_KEYS" => Some(Some(Tier::Paid)),
                _ => {
                    let number = rest.strip_prefix("_API_KEY_")?;
                    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(None)
                }
            }
        };
        let names = self.0.keys().filter(|name| self.get(name).is_some());
        let mut names: Vec<_> = names.filter_map(|name| Some((name.as_str(), tier_of(name)?))).collect();
        // `…_KEY_10` stands behind `…_KEY_9`.
        names.sort_by_key(|(name, _)| (name.len(), *name));
        names
    }

    pub(super) fn load(&self, provider: &str, loaded: &mut Loaded) {
        for (name, tier) in self.of_provider(provider) {
            let value = self.get(name).unwrap_or_default();
            if name.ends_with("_FILE") {
                loaded.read_file(value.as_ref(), tier);
                continue;
            }
            let secrets = value.split(|c: char| matches!(c, ',' | ';') || c.is_whitespace());
            let secrets = secrets.map(|secret| secret.trim_matches(['"', '\''])).filter(|secret| !secret.is_empty());
            for (n, secret) in secrets.enumerate() {
                let place = Place::Variable { name: name.to_owned(), value: Some(n + 1) };
                match <Secret as Plain>::parse(secret) {
                    Some(secret) => {
                        let key = KeyConfig { secret: Some(secret), tier, ..KeyConfig::default() };
                        loaded.add(place, Ok(key));
                    }
                    None => loaded.problems.push(Problem::new(place, format!("expected {}", Secret::EXPECTED))),
                }
            }
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
