//! Keys from the environment, under the names that people use.

use std::path::PathBuf;

use super::{Environment, KeySpec, Problem, Rank, Source, environment::Variable, key_file};
use crate::{key::Tier, limit::Limits};

/// Whose keys: what the names of its variables begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyVariables {
    prefix: &'static str,
    also: &'static [&'static str],
}

impl KeyVariables {
    /// `GEMINI_API_KEY`, `GEMINI_API_KEYS`, `GEMINI_API_KEY_1`…, `GOOGLE_API_KEY`, `GEMINI_FREE_KEYS`,
    /// `GEMINI_PAID_KEY`.
    pub const GEMINI: Self = Self { prefix: "GEMINI", also: &["GOOGLE_API_KEY"] };
    /// The like for `OPENAI_…`.
    pub const OPENAI: Self = Self { prefix: "OPENAI", also: &[] };
    /// The like for `ANTHROPIC_…`.
    pub const ANTHROPIC: Self = Self { prefix: "ANTHROPIC", also: &[] };

    /// Names of variables that hold keys, each with the tier that it says.
    fn names(&self, environment: &Environment) -> Vec<(String, Option<Tier>)> {
        let prefix = self.prefix;
        let mut names = vec![(format!("{prefix}_API_KEY"), None), (format!("{prefix}_API_KEYS"), None)];
        let numbered = format!("{prefix}_API_KEY_");
        let mut numbers: Vec<(u64, &str)> = environment
            .beginning(&numbered)
            .into_iter()
            .filter_map(|name| {
                let number = name[numbered.len()..].trim_end_matches("_FILE");
                let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
                digits.then(|| (number.parse().unwrap_or(u64::MAX), name.trim_end_matches("_FILE")))
            })
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        names.extend(numbers.into_iter().map(|(_, name)| (name.to_owned(), None)));
        names.extend(self.also.iter().map(|name| ((*name).to_owned(), None)));
        for (end, tier) in [("FREE", Tier::Free), ("PAID", Tier::Paid)] {
            names.push((format!("{prefix}_{end}_KEY"), Some(tier.clone())));
            names.push((format!("{prefix}_{end}_KEYS"), Some(tier)));
        }
        names
    }

    /// Whether a variable of this name holds such keys, or the rate of some.
    pub fn reads(&self, name: &str) -> bool {
        let names = self.names(&Environment::of([(name, "")]));
        let is_rate = |tier: &Tier| name == self.rate_name(tier);
        names.iter().any(|(known, _)| known == name) || is_rate(&Tier::Free) || is_rate(&Tier::Paid)
    }

    fn rate_name(&self, tier: &Tier) -> String {
        let end = if *tier == Tier::Free { "FREE" } else { "PAID" };
        format!("{}_{end}_RATE_LIMIT", self.prefix)
    }

    /// The one to name in a message.
    pub fn example(&self) -> String {
        format!("{}_API_KEY", self.prefix)
    }

    /// The keys that the environment holds. `not_keys`: values that are none, the clients' token.
    pub fn source(&self, environment: &Environment, not_keys: &[&str], problems: &mut Vec<Problem>) -> Source {
        let mut source = Source::new(Rank::Environment);
        // What is wrong with them is said, whether they limit a key or not.
        let rates = [Tier::Free, Tier::Paid].map(|tier| self.rate(environment, &tier, problems));
        for (name, tier) in self.names(environment) {
            let rate = tier.as_ref().map(|tier| &rates[usize::from(*tier != Tier::Free)]);
            for variable in environment.secrets(&name) {
                let variable = match variable {
                    Ok(variable) => variable,
                    Err(problem) => {
                        problems.push(problem);
                        continue;
                    }
                };
                if let Some(option) = option_in(&variable.value) {
                    let why = format!(
                        "the option {option}= stands here, which is read behind a key in a key file alone: name the file with --keys or \
                         in pool.key_files, or leave the options out"
                    );
                    problems.push(Problem::new(variable.origin(), "", why));
                    continue;
                }
                take(&mut source, &variable, not_keys, |mut spec| {
                    spec.tier.clone_from(&tier);
                    match rate {
                        Some(Rate::Said(limits)) => {
                            spec.limits.insert("*".to_owned(), limits.clone());
                        }
                        Some(Rate::Assumed(limits)) => spec.assumed = limits.clone(),
                        None => {}
                    }
                    spec
                });
            }
        }
        source
    }

    /// The files that hold keys of the environment: those of `…_FILE` variables.
    pub fn files(&self, environment: &Environment) -> Vec<PathBuf> {
        let names = self.names(environment).into_iter();
        names.filter_map(|(name, _)| environment.secrets_file(&name)).collect()
    }

    /// Requests a minute of the keys of a tier's variable.
    fn rate(&self, environment: &Environment, tier: &Tier, problems: &mut Vec<Problem>) -> Rate {
        let usual = Rate::Assumed(Limits::new().per_minute(if *tier == Tier::Free { 60 } else { 1_000 }));
        let Some(variable) = environment.named(&self.rate_name(tier)) else { return usual };
        match variable.value.parse::<u64>() {
            Ok(amount) if (1..=1_000_000_000_000).contains(&amount) => Rate::Said(Limits::new().per_minute(amount)),
            _ => {
                problems.push(Problem::new(
                    variable.origin(),
                    "",
                    "expected a whole number of requests a minute, 1 or more",
                ));
                usual
            }
        }
    }
}

/// What limits keys of a tier's variable.
enum Rate {
    /// Somebody set it: a learned limit only tightens it.
    Said(Limits),
    /// Nobody did: it gives way to what is learned.
    Assumed(Limits),
}

/// An option of a key file's that stands among the keys of a variable: left out, it would be a limit that is not kept.
fn option_in(values: &str) -> Option<&'static str> {
    apart(values).filter_map(|value| value.split_once('=')).find_map(|(name, _)| key_file::option_named(name))
}

/// What stands between commas, semicolons and white space.
fn apart(values: &str) -> impl Iterator<Item = &str> {
    let values = values.split(|letter: char| matches!(letter, ',' | ';') || letter.is_whitespace());
    values.filter(|value| !value.is_empty())
}

/// The keys of one variable.
fn take(source: &mut Source, variable: &Variable, not_keys: &[&str], with: impl Fn(KeySpec) -> KeySpec) {
    for (n, value) in apart(&variable.value).enumerate() {
        // Quotes that a file of variables kept.
        let value = value.trim_matches(['"', '\'']);
        match key_file::check(value, not_keys) {
            Ok(()) => source.keys.push(with(KeySpec::new(value, variable.origin()))),
            Err(error) => {
                source.notes.push(Problem::new(variable.origin(), "", format!("value {} is not used: {error}", n + 1)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_a_key_file_are_not_lost() {
        const KEYS: &str = "AIzaSyTEST-variables-key-number-000000001";
        for (value, keys) in [
            (KEYS.to_owned(), 1),
            (format!("{KEYS},{KEYS}2"), 2),
            (format!("{KEYS}=="), 1),
            (format!("{KEYS} rpm=5 rpd=20\n{KEYS}2 owner=a"), 0),
            (format!("{KEYS}\n# ours\n{KEYS}2 max_concurrent=2"), 0),
        ] {
            let mut problems = Vec::new();
            let environment = Environment::of([("GEMINI_API_KEYS", value.as_str())]);
            let source = KeyVariables::GEMINI.source(&environment, &[], &mut problems);
            assert_eq!((source.keys.len(), problems.len()), (keys, usize::from(keys == 0)), "{value}: {problems:?}");
            assert!(!format!("{problems:?}").contains("AIza"), "{problems:?}");
        }
    }
}
