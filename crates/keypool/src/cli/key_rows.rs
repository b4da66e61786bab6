//! Rows of keys that commands show, from a pool of this process or from a running gateway. Both are read from a
//! [`PoolRow`] of the admin API, as JSON.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::output::{left, plain, short};
use crate::{
    admin::views::{KeyState, PoolRow},
    proxy::pools::ProviderPool,
};

/// A key, with its options and everything that limits its use.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct KeyRow {
    pub id: String,
    pub provider: String,
    /// The place where the key is listed; for a running gateway, the key's label.
    pub listed_at: String,
    pub project: String,
    #[serde(flatten)]
    pub options: Options,
    pub billing_account: Option<String>,
    /// The time zone of the project's days.
    pub zone: String,
    /// The given limits of the key's project.
    pub given: Vec<GivenLimit>,
    pub state: KeyState,
    /// Breakers that apply to the key and are not closed.
    pub breakers: Vec<Breaker>,
    pub in_flight: u64,
    /// Requests since the process started.
    pub started: u64,
    /// Requests today, if there is a database.
    pub used_today: Option<u64>,
    /// Limits of the key's project.
    pub limits: Vec<LimitRow>,
}

/// Options of a key.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Options {
    pub label: Option<String>,
    pub tier: String,
    pub priority: u16,
    pub weight: u16,
    /// The models that it may be used for; `None` means all.
    pub models: Option<Vec<String>>,
    pub max_concurrent: Option<u32>,
    pub interval_seconds: Option<f64>,
    pub exit: Option<String>,
}

/// A breaker that is not closed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Breaker {
    pub scope: String,
    pub target: String,
    pub state: String,
    pub seconds_left: Option<u64>,
    pub class: Option<String>,
    pub reason: Option<String>,
    /// Advice for the operator.
    pub advice: Option<String>,
}

/// A limit that was given for a project.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct GivenLimit {
    /// A model, or a pattern such as `*`.
    pub model: String,
    pub unit: String,
    /// `minute`, `day`, or seconds such as `30s`.
    pub per: String,
    pub limit: u64,
}

/// A limit of a project for a model, and its use.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct LimitRow {
    pub model: String,
    pub unit: String,
    /// `minute`, `day`, or seconds such as `30s`.
    pub per: String,
    pub used: u64,
    pub limit: u64,
    /// `given`, `learned` or `assumed`.
    pub source: String,
    /// Time until the limit allows one more; `None` if it does now.
    pub opens_in_seconds: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pool {
    name: String,
    keys: Vec<Key>,
    projects: Vec<Project>,
    breakers: Vec<Breaker>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Key {
    id: String,
    project: String,
    #[serde(flatten)]
    options: Options,
    in_flight: u64,
    started: u64,
    state: KeyState,
    breakers: Vec<Breaker>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Project {
    name: String,
    zone: String,
    given: Vec<Model>,
    billing_account: Option<String>,
    models: Vec<Model>,
    breakers: Vec<Breaker>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Model {
    model: String,
    limits: Vec<Limit>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Limit {
    unit: String,
    span: String,
    #[serde(rename = "limit")]
    amount: u64,
    used: u64,
    source: String,
    opens_in: Option<u64>,
}

/// Returns the keys of a pool of this process.
pub(super) fn of_pool(provider: &ProviderPool) -> anyhow::Result<Vec<KeyRow>> {
    rows(serde_json::to_value(PoolRow::of(provider, 0, usize::MAX))?)
}

/// Returns the keys of a [`PoolRow`].
pub(super) fn rows(pool: Value) -> anyhow::Result<Vec<KeyRow>> {
    let pool: Pool = serde_json::from_value(pool).context("cannot read the gateway's snapshot: another version?")?;
    let row = |key: &Key| {
        let project = pool.projects.iter().find(|project| project.name == key.project);
        let account = project.and_then(|project| project.billing_account.as_ref());
        let shared = [
            account.map(|account| format!("billing account {account}")),
            key.options.exit.as_ref().map(|exit| format!("exit {exit}")),
        ];
        let of_others = pool.breakers.iter().filter(|breaker| shared.contains(&Some(breaker.target.clone())));
        let of_project = project.map(|project| project.breakers.as_slice()).unwrap_or_default();
        let breakers: Vec<Breaker> = key.breakers.iter().chain(of_project).chain(of_others).cloned().collect();
        let limits: Vec<LimitRow> = project.iter().flat_map(|project| &project.models).flat_map(limits).collect();
        KeyRow {
            id: key.id.clone(),
            provider: pool.name.clone(),
            listed_at: key.options.label.clone().unwrap_or_default(),
            project: key.project.clone(),
            options: key.options.clone(),
            billing_account: account.cloned(),
            zone: project.map(|project| project.zone.clone()).unwrap_or_default(),
            given: project.iter().flat_map(|project| &project.given).flat_map(given).collect(),
            state: key.state,
            breakers,
            in_flight: key.in_flight,
            started: key.started,
            used_today: None,
            limits,
        }
    };
    Ok(pool.keys.iter().map(row).collect())
}

fn given(model: &Model) -> impl Iterator<Item = GivenLimit> {
    model.limits.iter().map(|limit| GivenLimit {
        model: model.model.clone(),
        unit: limit.unit.clone(),
        per: limit.span.clone(),
        limit: limit.amount,
    })
}

fn limits(model: &Model) -> impl Iterator<Item = LimitRow> {
    model.limits.iter().map(|limit| LimitRow {
        model: model.model.clone(),
        unit: limit.unit.clone(),
        per: limit.span.clone(),
        used: limit.used,
        limit: limit.amount,
        source: limit.source.clone(),
        opens_in_seconds: limit.opens_in,
    })
}

fn short_model(model: &str) -> &str {
    match model {
        "*" => "any",
        model => model.strip_prefix("gemini-").unwrap_or(model),
    }
}

impl Breaker {
    /// Returns the state of a key that the breaker applies to.
    fn of_key(&self) -> KeyState {
        if matches!(self.scope.as_str(), "key_model" | "project_model" | "model") {
            return KeyState::Partly;
        }
        match self.state.as_str() {
            "disabled" => KeyState::Disabled,
            "cooling" => KeyState::Cooling,
            _ => KeyState::HalfOpen,
        }
    }

    /// Returns the model, if the breaker is for one.
    fn model(&self) -> Option<&str> {
        let model = self.target.rsplit_once(" for ").map(|(_, model)| model);
        model.filter(|_| self.of_key() == KeyState::Partly)
    }

    /// Describes the breaker: its model, the time left and the reason.
    fn text(&self) -> String {
        let model = self.model().map(|model| format!("{}: ", short_model(model))).unwrap_or_default();
        let until = self.seconds_left.map(|seconds| format!("{} left, ", left(seconds))).unwrap_or_default();
        let why = match (&self.class, &self.reason) {
            (Some(class), Some(reason)) if !reason.is_empty() => {
                format!("{}: {}", class.replace('_', " "), short(reason, 60))
            }
            (Some(class), _) => class.replace('_', " "),
            (None, reason) => reason.clone().unwrap_or_else(|| "by hand".to_owned()),
        };
        plain(&format!("{model}{until}{why}"))
    }
}

impl KeyRow {
    /// Reports whether only the operator can enable the key again.
    pub(super) fn is_disabled(&self) -> bool {
        self.state == KeyState::Disabled
    }

    /// Returns the breakers, the most severe first.
    fn by_severity(&self) -> Vec<&Breaker> {
        let mut breakers: Vec<&Breaker> = self.breakers.iter().collect();
        breakers.sort_by_key(|breaker| std::cmp::Reverse((breaker.of_key(), breaker.seconds_left)));
        breakers
    }

    /// Returns the row as JSON, with `why` and `advice`.
    pub(super) fn json(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        value["why"] = self.why().into();
        value["advice"] = self.advice().into();
        value
    }

    /// Describes the state, the reason and the action in one sentence.
    pub(super) fn sentence(&self) -> String {
        let parts = [format!("{} ({}): {}", self.id, self.listed_at, self.state.as_str()), self.why()];
        let text = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
        [text, self.advice()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
    }

    /// Returns the models that the key cannot be used for now, with the number of seconds left if that is known.
    pub(super) fn unavailable_models(&self) -> impl Iterator<Item = (&str, Option<u64>)> {
        let full = self.limits.iter().filter(|limit| limit.is_full());
        let full = full.map(|limit| (limit.model.as_str(), limit.opens_in_seconds));
        let partly = self.breakers.iter().filter(|breaker| breaker.of_key() == KeyState::Partly);
        partly.filter_map(|breaker| Some((breaker.model()?, breaker.seconds_left))).chain(full)
    }

    /// Describes why the key is not used and for how long, including full limits.
    pub(super) fn why(&self) -> String {
        let mut parts: Vec<String> = self.by_severity().into_iter().map(Breaker::text).collect();
        let mut full: Vec<&LimitRow> = self.limits.iter().filter(|limit| limit.is_full()).collect();
        full.sort_by_key(|limit| limit.opens_in());
        parts.extend(
            full.iter().map(|limit| format!("{} full, {} left", short_model(&limit.model), left(limit.opens_in()))),
        );
        parts.join("; ")
    }

    /// Returns advice for the operator; empty if there is none.
    pub(super) fn advice(&self) -> String {
        let advice = self.by_severity().into_iter().find_map(|breaker| breaker.advice.clone());
        let by_hand = || self.breakers.iter().any(|breaker| breaker.class.is_none() && breaker.state == "disabled");
        advice.unwrap_or_else(|| if by_hand() { format!("keypool keys enable {}", self.id) } else { String::new() })
    }

    /// Describes in one line how much of the fullest limits is used, and how many more limits there are.
    pub(super) fn used(&self) -> String {
        let mut limits: Vec<&LimitRow> = self.limits.iter().filter(|limit| limit.used > 0).collect();
        if limits.is_empty() {
            limits.extend(self.limits.first());
        }
        let share = |limit: &LimitRow| (limit.used * 1_000).checked_div(limit.limit).unwrap_or(0);
        limits.sort_by_key(|limit| std::cmp::Reverse(share(limit)));
        let shown = 2;
        let mut parts: Vec<String> = limits.iter().take(shown).map(|limit| limit.text()).collect();
        if limits.len() > shown {
            parts.push(format!("+{}", limits.len() - shown));
        }
        parts.join(", ")
    }
}

impl LimitRow {
    /// Reports whether the limit is reached. An assumed limit blocks no requests.
    fn is_full(&self) -> bool {
        self.opens_in_seconds.is_some() && self.source != "assumed"
    }

    fn opens_in(&self) -> u64 {
        self.opens_in_seconds.unwrap_or(0)
    }

    fn text(&self) -> String {
        let model = short_model(&self.model);
        let unit = match self.unit.as_str() {
            "requests" => String::new(),
            unit => format!(" {}", unit.replace('_', " ")),
        };
        let per = if self.per == "minute" { "min" } else { &self.per };
        let source = if self.source == "given" { String::new() } else { format!(" {}", self.source) };
        format!("{model} {}/{}{unit}/{per}{source}", self.used, self.limit)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pool() -> Value {
        json!({
            "name": "gemini",
            "keys": [
                { "id": "a", "project": "p", "tier": "free", "state": "cooling", "breakers": [], "label": "keys.txt:1" },
                { "id": "b", "project": "q", "state": "disabled", "exit": "tokyo", "breakers": [
                    { "scope": "key", "target": "key b", "state": "disabled", "class": "key_rejected", "reason": "API key not valid",
                      "advice": "replace the key" }] },
            ],
            "projects": [{ "name": "p", "billing_account": "acme", "breakers": [
                { "scope": "project_model", "target": "project p for m", "state": "cooling", "seconds_left": 41, "class": "rate_limit" }],
              "models": [{ "model": "m", "limits": [
                { "unit": "requests", "span": "minute", "limit": 10, "used": 10, "source": "learned", "opens_in": 4 }] }] }],
            "breakers": [{ "scope": "billing_account", "target": "billing account acme", "state": "cooling", "class": "billing" }],
        })
    }

    #[test]
    fn a_key_has_the_breakers_that_cover_it() {
        let rows = rows(pool()).expect("a pool");
        assert_eq!((rows[0].state, rows[1].state), (KeyState::Cooling, KeyState::Disabled));
        assert_eq!(rows[0].why(), "billing; m: 41 s left, rate limit; m full, 4 s left");
        assert_eq!(rows[1].advice(), "replace the key");
    }

    #[test]
    fn limits_say_where_they_come_from_and_when_they_open() {
        let rows = rows(pool()).expect("a pool");
        assert_eq!(rows[0].used(), "m 10/10/min learned");
        assert_eq!(rows[0].limits[0].opens_in_seconds, Some(4));
    }
}
