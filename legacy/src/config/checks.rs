//! What no single value tells: names that are there twice, values that depend on one another, texts that stand for nothing.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{
    Amounts, Document, Origin, PoolConfig, amounts::WindowEntry, interval::shown, key_file, plain_values, wording,
};
use crate::pool::RestTable;

impl PoolConfig {
    /// Looks at what no single value tells: names that are there twice, ranges that depend on one another.
    pub fn check(&self, document: &mut Document<'_>) {
        self.check_pool(document);
        self.check_pauses(document);
        self.store.check(document);
        self.check_keys_at("keys", document);
        self.check_models(document);
        for model in self.limits.known.keys().filter(|model| !is_model_name(model)) {
            document.problem(&format!("limits.known.{}", wording::step(model)), MODEL);
        }
        let known = self
            .limits
            .known
            .iter()
            .map(|(model, tiers)| (format!("limits.known.{}", wording::step(model)), tiers, false));
        for (path, tiers, every) in known.chain([("limits.default".to_owned(), &self.limits.default, true)]) {
            tiered(document, &path, tiers, every);
        }
    }

    /// The same of keys that stand elsewhere in the file, at `place`.
    pub fn check_keys_at(&self, place: &str, document: &mut Document<'_>) {
        let mut ids: HashMap<&str, usize> = HashMap::new();
        for (n, key) in self.keys.iter().enumerate() {
            let given = [key.secret.is_some(), key.secret_env.is_some(), key.secret_file.is_some()];
            if given.iter().filter(|given| **given).count() != 1 {
                let what = "expected exactly one of secret, secret_env and secret_file";
                document.problem_unless_refused(&format!("{place}[{n}]"), "secret", what);
            }
            let id = key.id.as_ref().map(|id| id.0.as_str());
            if let Some(first) = id.and_then(|id| ids.insert(id, n)) {
                document.problem(&format!("{place}[{n}].id"), format!("{place}[{first}] has this id already"));
            }
            for (model, amounts) in &key.limits {
                let at = format!("{place}[{n}].limits.{}", wording::step(model));
                if !is_model_name(model) {
                    document.problem(&at, MODEL);
                }
                overlapping(document, &at, amounts);
            }
            for (name, value) in &key.labels {
                if let Some(what) = key_file::wrong_label(name, value) {
                    document
                        .problem(&format!("{place}[{n}].labels.{}", wording::step(name)), format!("expected {what}"));
                }
            }
        }
    }

    fn check_models(&self, document: &mut Document<'_>) {
        let mut names: HashMap<&str, usize> = HashMap::new();
        for (n, model) in self.models.iter().enumerate() {
            names.entry(&model.name).or_insert(n);
        }
        for (n, model) in self.models.iter().enumerate() {
            let at = format!("models[{n}].name");
            if model.name.is_empty() && matches!(document.exact_origin(&at), Origin::Default) {
                document.problem_unless_refused(&format!("models[{n}]"), "name", "name is missing");
            } else if !is_model_name(&model.name) {
                document.problem(&at, MODEL);
            } else if names[model.name.as_str()] != n {
                document.problem(&format!("models[{n}].name"), "this model is there twice");
            }
            for (nth, alias) in model.aliases.iter().enumerate() {
                let at = format!("models[{n}].aliases[{nth}]");
                if !is_model_name(alias) {
                    document.problem(&at, MODEL);
                } else if model.aliases[..nth].contains(alias) {
                    document.problem(&at, "this alias is there twice");
                } else if names.contains_key(alias.as_str()) {
                    document.problem(&at, "expected a name that no model has");
                }
            }
            tiered(document, &format!("models[{n}].limits"), &model.limits, true);
        }
    }

    fn check_pool(&self, document: &mut Document<'_>) {
        for (n, path) in self.pool.key_files.iter().enumerate() {
            if path.as_os_str().is_empty() {
                document.problem(&format!("pool.key_files[{n}]"), "expected the path of a file");
            } else if self.pool.key_files[..n].contains(path) {
                document.problem(&format!("pool.key_files[{n}]"), "this file is there twice");
            }
        }
        for (n, model) in self.pool.fallback.iter().enumerate() {
            let at = format!("pool.fallback[{n}]");
            if !is_model_name(model) {
                document.problem(&at, MODEL);
            } else if self.pool.fallback[..n].contains(model) {
                document.problem(&at, "this model is there twice");
            }
        }
    }

    /// Pauses that grow: what they grow by, and up to where.
    fn check_pauses(&self, document: &mut Document<'_>) {
        if !(1.0..=100.0).contains(&self.retry.factor) {
            document.problem("retry.factor", "expected a number from 1 to 100");
        }
        grows(document, "retry", self.retry.first.0, self.retry.cap.0);
        let usual = RestTable::default();
        for (name, row, usual) in [
            ("rate_limited", &self.rests.rate_limited, usual.rate_limited),
            ("quota_exhausted", &self.rests.quota_exhausted, usual.quota_exhausted),
            ("suspect", &self.rests.suspect, usual.suspect),
            ("overloaded", &self.rests.overloaded, usual.overloaded),
            ("model_unavailable", &self.rests.model_unavailable, usual.model_unavailable),
            ("blocked", &self.rests.blocked, usual.blocked),
            ("unreachable", &self.rests.unreachable, usual.unreachable),
            ("other", &self.rests.other, usual.other),
        ] {
            let row = row.or(usual);
            grows(document, &format!("rests.{name}"), row.first, row.cap);
        }
    }
}

/// A pause that begins above its cap. Said of whichever of them is set.
fn grows(document: &mut Document<'_>, path: &str, first: Duration, cap: Duration) {
    let (first_at, cap_at) = (format!("{path}.first"), format!("{path}.cap"));
    if first <= cap {
        return;
    }
    if matches!(document.exact_origin(&cap_at), Origin::Default) {
        document.problem(&first_at, format!("expected at most cap, which is {}", shown(cap)));
    } else {
        document.problem(&cap_at, format!("expected at least first, which is {}", shown(first)));
    }
}

/// Whether a text may be the name of a model in a configuration: 1 to 256 bytes without spaces or control characters.
#[must_use]
pub fn is_model_name(name: &str) -> bool {
    (1..=256).contains(&name.len()) && !name.contains(|letter: char| letter.is_whitespace() || letter.is_control())
}

const MODEL: &str = "expected a model's name: 1 to 256 bytes without spaces";

/// Limits by tier: the tiers' names, and their windows.
fn tiered(document: &mut Document<'_>, path: &str, tiers: &BTreeMap<String, Amounts>, every: bool) {
    for (tier, amounts) in tiers {
        let path = format!("{path}.{}", wording::step(tier));
        overlapping(document, &path, amounts);
        if plain_values::tier(tier).is_none() && !(every && tier == "*") {
            let or_every = if every { ", or \"*\" for every other" } else { "" };
            document.problem(&path, format!("expected a tier: free, paid, or one by name such as tier-2{or_every}"));
        }
    }
}

/// Windows of the same unit and span: only one of them can be meant.
fn overlapping(document: &mut Document<'_>, path: &str, amounts: &Amounts) {
    for (n, window) in amounts.windows.iter().enumerate() {
        let at = format!("{path}.windows[{n}]");
        if let Some(name) = amounts.minute_of(window) {
            document.problem(&at, format!("{name} says how many of these a minute already"));
        }
        let like = |other: &WindowEntry| (other.unit, other.span.0) == (window.unit, window.span.0);
        if let Some(first) = amounts.windows[..n].iter().position(like) {
            document.problem(&at, format!("windows[{first}] counts the same over the same span already"));
        }
    }
}
