//! A key with its state and limits, as the admin API and commands show it.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};
use tower_keypool::{
    ErrorClass, Limit, Scope, Span, Tier, Unit,
    limit::LimitSource,
    pool::{BreakerState, BreakerView, KeyView, ProjectView, Snapshot},
    provider::whole_seconds,
    store::BreakerTarget,
};

use crate::proxy::pools::ProviderPool;

/// The state of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// The key can be used.
    #[default]
    Usable,
    /// The key can be used now for some models only.
    Partly,
    /// One request at a time tests whether the key works again.
    HalfOpen,
    /// The key is not used for a limited time.
    Cooling,
    /// The key is not used until it is enabled.
    Disabled,
}

impl KeyState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Usable => "usable",
            Self::Partly => "partly",
            Self::HalfOpen => "half-open",
            Self::Cooling => "cooling",
            Self::Disabled => "disabled",
        }
    }
}

/// A key without its secret: its options, its state, and everything that limits its use.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(default)]
pub struct KeyRow {
    pub id: String,
    /// The name of the provider.
    pub provider: String,
    /// The place where the key is listed, such as `keys.txt:3` or `database`.
    pub listed_at: String,
    /// Whether it is listed in the database only, so that it can be changed there.
    pub in_database: bool,
    /// The project, whose keys share limits and cooldowns.
    pub project: String,
    pub billing_account: Option<String>,
    pub label: Option<String>,
    #[schema(value_type = String)]
    pub tier: Tier,
    pub priority: u16,
    pub weight: u16,
    /// The models that it may be used for; null means all.
    pub models: Option<Vec<String>>,
    /// Maximum number of concurrent requests.
    pub max_concurrent: Option<u32>,
    /// Minimum time between the starts of two requests.
    pub interval_seconds: Option<f64>,
    /// The exit through which its requests are sent.
    pub exit: Option<String>,
    /// The time zone of the project's days.
    pub zone: String,
    /// The given limits of the project, by model or pattern.
    pub given: Vec<LimitRow>,
    pub state: KeyState,
    /// The circuit breakers that cover the key and are not closed: its own, and those of its project, billing account and
    /// exit.
    pub breakers: Vec<BreakerRow>,
    pub in_flight: u32,
    /// Requests since the start of the process.
    pub started: u64,
    pub succeeded: u64,
    /// Failures that were not the caller's fault.
    pub failed: u64,
    /// Requests today. Only commands read it from the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub used_today: Option<u64>,
    /// The limits of the project for the models that it has used.
    pub limits: Vec<LimitRow>,
}

/// A circuit breaker that is not closed.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BreakerRow {
    /// The kind of the target: `key`, `key_model`, `project`, `project_model`, `model`, `billing_account` or `exit`.
    #[schema(value_type = String)]
    pub scope: Scope,
    /// The target, such as `project a for gemini-2.5-flash`.
    pub target: String,
    /// `cooling`, `half_open` or `disabled`.
    #[schema(value_type = String)]
    pub state: BreakerState,
    pub seconds_left: Option<u64>,
    /// The class of the error; null if a person disabled the target.
    #[schema(value_type = Option<String>)]
    pub class: Option<ErrorClass>,
    /// The message of the provider or of the person.
    pub reason: Option<String>,
    /// The recommended action.
    pub advice: Option<String>,
}

/// A limit and its current use.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct LimitRow {
    /// The model, or a pattern; `*` stands for all unknown models.
    pub model: String,
    /// The limited quantity, such as `requests` or `tokens`.
    #[schema(value_type = String)]
    pub unit: Unit,
    /// `minute`, `day`, or seconds such as `30s`.
    pub span: String,
    /// The maximum within the span.
    pub limit: u64,
    /// The amount used within the span.
    pub used: u64,
    /// `given`, `learned` or `assumed`. An assumed limit refuses no request.
    #[schema(value_type = String)]
    pub source: LimitSource,
    /// Time until there is room again; null if there is room now.
    pub opens_in_seconds: Option<u64>,
}

/// Returns the keys of a snapshot for which `matches` returns true. `matches` sees rows whose limits are not filled in.
pub fn key_rows(provider: &ProviderPool, snapshot: &Snapshot, mut matches: impl FnMut(&KeyRow) -> bool) -> Vec<KeyRow> {
    let projects: HashMap<&str, &ProjectView> =
        snapshot.projects.iter().map(|project| (&*project.name, project)).collect();
    let row = |key: &KeyView| {
        let project = projects.get(&*key.project)?;
        let mut row = Some(row_without_limits(provider, snapshot, key, project)).filter(&mut matches)?;
        for (model, limits) in &project.given {
            row.given.extend(limits.iter().map(|limit| LimitRow::given(model, limit)));
        }
        row.limits = limit_rows(project);
        Some(row)
    };
    snapshot.keys.iter().filter_map(row).collect()
}

fn row_without_limits(provider: &ProviderPool, snapshot: &Snapshot, key: &KeyView, project: &ProjectView) -> KeyRow {
    let in_database = provider.is_stored(&key.id);
    let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
    let shared = snapshot.breakers.iter().filter(|breaker| match &breaker.target {
        BreakerTarget::Exit(exit) => key.exit.as_ref() == Some(exit),
        BreakerTarget::BillingAccount(account) => project.billing_account.as_ref() == Some(account),
        _ => false,
    });
    let breakers: Vec<_> = key.breakers.iter().chain(&project.breakers).chain(shared).map(BreakerRow::of).collect();
    let mut limits = project.models.iter().flat_map(|model| &model.limits);
    let full = limits.any(|limit| is_full(limit.source, limit.used, limit.limit)).then_some(KeyState::Partly);
    KeyRow {
        id: key.id.to_string(),
        provider: provider.name.to_string(),
        listed_at: if in_database { "database" } else { key.label.as_deref().unwrap_or("the configuration") }
            .to_owned(),
        in_database,
        project: key.project.to_string(),
        billing_account: text(&project.billing_account),
        label: text(&key.label),
        tier: key.tier,
        priority: key.priority,
        weight: key.weight,
        models: key.models.as_ref().map(|models| models.iter().map(ToString::to_string).collect()),
        max_concurrent: key.max_concurrent,
        interval_seconds: key.interval_seconds,
        exit: text(&key.exit),
        zone: project.zone.to_string(),
        state: breakers.iter().map(BreakerRow::key_state).chain(full).max().unwrap_or_default(),
        breakers,
        in_flight: key.in_flight,
        started: key.started,
        succeeded: key.succeeded,
        failed: key.failed,
        ..KeyRow::default()
    }
}

/// Returns the limits of all models of a project.
pub fn limit_rows(project: &ProjectView) -> Vec<LimitRow> {
    let rows = project.models.iter().flat_map(|model| {
        model.limits.iter().map(|limit| LimitRow {
            model: model.model.to_string(),
            unit: limit.unit,
            span: shown_span(limit.span),
            limit: limit.limit,
            used: limit.used,
            source: limit.source,
            opens_in_seconds: limit.opens_in.map(whole_seconds),
        })
    });
    rows.collect()
}

fn shown_span(span: Span) -> String {
    match span {
        Span::Day => "day".to_owned(),
        Span::MINUTE => "minute".to_owned(),
        Span::Sliding(span) => format!("{}s", span.as_secs_f64()),
        _ => String::new(),
    }
}

impl LimitRow {
    /// Creates the view of a given limit of which nothing is used.
    pub fn given(model: &str, limit: &Limit) -> Self {
        Self {
            model: model.to_owned(),
            unit: limit.unit,
            span: shown_span(limit.span),
            limit: limit.amount,
            used: 0,
            source: LimitSource::Given,
            opens_in_seconds: None,
        }
    }

    pub fn is_full(&self) -> bool {
        is_full(self.source, self.used, self.limit)
    }
}

/// Reports whether a limit is reached. An assumed limit blocks no requests.
fn is_full(source: LimitSource, used: u64, limit: u64) -> bool {
    source != LimitSource::Assumed && used >= limit
}

impl BreakerRow {
    pub fn of(view: &BreakerView) -> Self {
        Self {
            scope: view.scope,
            target: view.target.to_string(),
            state: view.state,
            seconds_left: view.seconds_left,
            class: view.class,
            reason: view.reason.clone(),
            advice: view.class.map(|class| class.policy().advice.to_owned()),
        }
    }

    /// Returns the state of a key that only this breaker covers.
    pub fn key_state(&self) -> KeyState {
        match (self.scope, self.state) {
            (Scope::KeyModel | Scope::ProjectModel | Scope::Model, _) => KeyState::Partly,
            (_, BreakerState::Disabled) => KeyState::Disabled,
            (_, BreakerState::Cooling) => KeyState::Cooling,
            _ => KeyState::HalfOpen,
        }
    }
}

impl KeyRow {
    /// Reports whether its id, label or project contains a lowercase text.
    pub fn mentions(&self, text: &str) -> bool {
        let label = self.label.as_deref().unwrap_or_default();
        [&self.id, &self.project, label].iter().any(|shown| shown.to_lowercase().contains(text))
    }
}
