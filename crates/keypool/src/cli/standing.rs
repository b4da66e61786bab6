//! The state of keys: from a snapshot of a pool of this process ([`tower_keypool::pool::Snapshot`]), or of a running gateway (a
//! `PoolRow` of its admin API). Both are read as JSON, which they have nearly in common.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::output::{left, plain, short};

/// A key, with all that keeps it from being used.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct KeyRow {
    pub id: String,
    pub provider: String,
    /// Where it is listed; of a running gateway what the key's label says.
    pub listed_at: String,
    pub project: String,
    pub tier: String,
    pub priority: u16,
    pub state: State,
    /// Breakers that cover it and are not closed.
    pub breakers: Vec<Breaker>,
    pub in_flight: u64,
    /// Requests since the process started.
    pub started: u64,
    /// Requests of today, where the database knows.
    pub used_today: Option<u64>,
    /// Limits of its project.
    pub limits: Vec<LimitRow>,
}

/// Whether a key is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    #[default]
    Ready,
    /// Not for some models.
    Partly,
    HalfOpen,
    Cooling,
    Disabled,
}

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Partly => "partly",
            Self::HalfOpen => "half-open",
            Self::Cooling => "cooling",
            Self::Disabled => "disabled",
        }
    }
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
    /// What a person should do.
    pub advice: Option<String>,
}

/// A limit of a project for a model.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct LimitRow {
    pub model: String,
    pub unit: String,
    /// `minute`, `day`, or a number of seconds.
    pub per: String,
    pub used: u64,
    pub limit: u64,
    /// given, learned or assumed
    pub source: String,
    /// When there is room for one more; none: now.
    pub opens_in_seconds: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Snapshot {
    provider: String,
    keys: Vec<Key>,
    projects: Vec<Project>,
    breakers: Vec<Breaker>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Key {
    id: String,
    project: String,
    tier: String,
    priority: u16,
    label: Option<String>,
    exit: Option<String>,
    in_flight: u64,
    started: u64,
    breakers: Vec<Breaker>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Project {
    name: String,
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
    span: Value,
    #[serde(rename = "limit")]
    amount: u64,
    used: u64,
    source: String,
    #[serde(deserialize_with = "seconds")]
    opens_in: Option<f64>,
}

/// A number of seconds, as the admin API has it, or a `Duration` as serde writes it.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok(value.as_f64().or_else(|| Some(value["secs"].as_f64()? + value["nanos"].as_f64()? / 1e9)))
}

/// The keys of a snapshot.
pub(super) fn rows(snapshot: Value) -> Vec<KeyRow> {
    let snapshot: Snapshot = serde_json::from_value(snapshot).unwrap_or_default();
    let row = |key: &Key| {
        let project = snapshot.projects.iter().find(|project| project.name == key.project);
        let account = project.and_then(|project| project.billing_account.as_ref());
        let shared = [
            account.map(|account| format!("billing account {account}")),
            key.exit.as_ref().map(|exit| format!("exit {exit}")),
        ];
        let of_others = snapshot.breakers.iter().filter(|breaker| shared.contains(&Some(breaker.target.clone())));
        let of_project = project.map(|project| project.breakers.as_slice()).unwrap_or_default();
        let breakers: Vec<Breaker> = key.breakers.iter().chain(of_project).chain(of_others).cloned().collect();
        let limits: Vec<LimitRow> = project.iter().flat_map(|project| &project.models).flat_map(limits).collect();
        let is_full = limits.iter().any(LimitRow::is_full);
        KeyRow {
            id: key.id.clone(),
            provider: snapshot.provider.clone(),
            listed_at: key.label.clone().unwrap_or_default(),
            project: key.project.clone(),
            tier: key.tier.clone(),
            priority: key.priority,
            state: breakers
                .iter()
                .map(Breaker::of_key)
                .chain(is_full.then_some(State::Partly))
                .max()
                .unwrap_or_default(),
            breakers,
            in_flight: key.in_flight,
            started: key.started,
            used_today: None,
            limits,
        }
    };
    snapshot.keys.iter().map(row).collect()
}

fn limits(model: &Model) -> impl Iterator<Item = LimitRow> {
    model.limits.iter().map(|limit| LimitRow {
        model: model.model.clone(),
        unit: limit.unit.clone(),
        per: per(&limit.span),
        used: limit.used,
        limit: limit.amount,
        source: limit.source.clone(),
        opens_in_seconds: limit.opens_in.map(|seconds| (seconds * 10.0).ceil() / 10.0),
    })
}

fn short_model(model: &str) -> &str {
    match model {
        "*" => "any",
        model => model.strip_prefix("gemini-").unwrap_or(model),
    }
}

/// A span as the library writes it (`{"sliding": {"secs": 60, …}}` or `"day"`), or as the admin API does (`minute`, `day`, `30s`).
fn per(span: &Value) -> String {
    match span["sliding"]["secs"].as_u64() {
        Some(60) => "minute".to_owned(),
        Some(seconds) => format!("{seconds} s"),
        None => span.as_str().unwrap_or("day").to_owned(),
    }
}

impl Breaker {
    /// What it means for a key that it covers.
    fn of_key(&self) -> State {
        if matches!(self.scope.as_str(), "key_model" | "project_model" | "model") {
            return State::Partly;
        }
        match self.state.as_str() {
            "disabled" => State::Disabled,
            "cooling" => State::Cooling,
            _ => State::HalfOpen,
        }
    }

    /// What it covers of a key, why, until when, and what to do.
    fn text(&self) -> String {
        let model = self.target.rsplit_once(" for ").map(|(_, model)| model);
        let model = model.filter(|_| self.of_key() == State::Partly);
        let model = model.map(|model| format!("{}: ", short_model(model))).unwrap_or_default();
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
    /// Whether nothing but a person can bring it back.
    pub(super) fn is_disabled(&self) -> bool {
        self.state == State::Disabled
    }

    /// The gravest first.
    fn by_gravity(&self) -> Vec<&Breaker> {
        let mut breakers: Vec<&Breaker> = self.breakers.iter().collect();
        breakers.sort_by_key(|breaker| std::cmp::Reverse((breaker.of_key(), breaker.seconds_left)));
        breakers
    }

    /// Why it is not used, until when; of a limit when it opens.
    pub(super) fn why(&self) -> String {
        let mut parts: Vec<String> = self.by_gravity().into_iter().map(Breaker::text).collect();
        let mut full: Vec<&LimitRow> = self.limits.iter().filter(|limit| limit.is_full()).collect();
        full.sort_by_key(|limit| limit.opens());
        parts.extend(
            full.iter().map(|limit| format!("{} full, {} left", short_model(&limit.model), left(limit.opens()))),
        );
        parts.join("; ")
    }

    /// What a person should do.
    pub(super) fn advice(&self) -> String {
        let advice = self.by_gravity().into_iter().find_map(|breaker| breaker.advice.clone());
        let by_hand = || self.breakers.iter().any(|breaker| breaker.class.is_none() && breaker.state == "disabled");
        advice.unwrap_or_else(|| if by_hand() { format!("keypool keys enable {}", self.id) } else { String::new() })
    }

    /// For one line of a terminal: how much of which limits is used, the fullest first, and how many more there are.
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
    /// Whether it has no room now. An assumed limit refuses nobody.
    fn is_full(&self) -> bool {
        self.opens_in_seconds.is_some() && self.source != "assumed"
    }

    fn opens(&self) -> u64 {
        self.opens_in_seconds.map_or(0, |seconds| seconds.ceil() as u64)
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

    fn snapshot() -> Value {
        json!({
            "provider": "gemini",
            "keys": [
                { "id": "a", "project": "p", "tier": "free", "breakers": [], "label": "keys.txt:1" },
                { "id": "b", "project": "q", "exit": "tokyo", "breakers": [
                    { "scope": "key", "target": "key b", "state": "disabled", "class": "key_rejected", "reason": "API key not valid",
                      "advice": "replace the key" }] },
            ],
            "projects": [{ "name": "p", "billing_account": "acme", "breakers": [
                { "scope": "project_model", "target": "project p for m", "state": "cooling", "seconds_left": 41, "class": "rate_limit" }],
              "models": [{ "model": "m", "limits": [
                { "unit": "requests", "span": { "sliding": { "secs": 60, "nanos": 0 } }, "limit": 10, "used": 10, "source": "learned",
                  "opens_in": { "secs": 3, "nanos": 500_000_000 } }] }] }],
            "breakers": [{ "scope": "billing_account", "target": "billing account acme", "state": "cooling", "class": "billing" }],
        })
    }

    #[test]
    fn a_key_has_the_breakers_that_cover_it() {
        let rows = rows(snapshot());
        assert_eq!((rows[0].state, rows[1].state), (State::Cooling, State::Disabled));
        assert_eq!(rows[0].why(), "billing; m: 41 s left, rate limit; m full, 4 s left");
        assert_eq!(rows[1].advice(), "replace the key");
    }

    #[test]
    fn limits_say_where_they_come_from_and_when_they_open() {
        let rows = rows(snapshot());
        assert_eq!(rows[0].used(), "m 10/10/min learned");
        assert_eq!(rows[0].limits[0].opens_in_seconds, Some(3.5));
    }
}
