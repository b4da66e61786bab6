//! The API's view of pools: the library's views, with readable states and limits.

use std::collections::HashMap;

use serde::Serialize;
use tower_keypool::{
    Limit, Scope, Span, Unit,
    pool::{BreakerState, BreakerView, KeyView, ProjectView, Snapshot, Stats},
    provider::whole_seconds,
};

use crate::proxy::pools::ProviderPool;

/// The state of a key.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize, utoipa::ToSchema,
)]
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

/// A key, without its secret.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct KeyRow {
    #[serde(flatten)]
    #[schema(value_type = Object)]
    key: KeyView,
    /// The name of the provider.
    pub pool: String,
    pub state: KeyState,
    /// Whether it is listed in the database, so that this API can change it.
    in_database: bool,
}

/// A project, whose keys share limits.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ProjectRow {
    /// The name of the provider.
    pool: String,
    name: String,
    /// Number of its keys.
    keys: usize,
    /// The time zone of its days.
    zone: String,
    /// Its given limits, by model or pattern.
    given: Vec<ModelRow>,
    billing_account: Option<String>,
    /// The open circuit breakers of the project and its models.
    #[schema(value_type = Vec<Object>)]
    breakers: Vec<BreakerView>,
    models: Vec<ModelRow>,
}

/// A model of a project.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ModelRow {
    /// The name of the model; `*` stands for all unknown models.
    model: String,
    limits: Vec<LimitRow>,
}

/// A limit and its current use.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LimitRow {
    /// The limited quantity, such as `requests`, `tokens` or `images`.
    #[schema(value_type = String)]
    unit: Unit,
    /// `minute`, `day`, or seconds such as `30s`.
    span: String,
    /// The maximum within the span.
    limit: u64,
    /// The amount used within the span.
    used: u64,
    /// `given`, `learned` or `assumed`. An assumed limit refuses no request.
    #[schema(value_type = String)]
    source: tower_keypool::limit::LimitSource,
    /// Seconds until there is room again; null if there is room now.
    opens_in: Option<u64>,
}

/// A provider, with a page of its keys.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct PoolRow {
    name: String,
    /// `gemini`, `openai` or `anthropic`.
    dialect: &'static str,
    #[schema(value_type = String)]
    strategy: tower_keypool::Strategy,
    /// Counters since the start.
    #[schema(value_type = Object)]
    stats: Stats,
    /// Numbers of keys by the state of their own circuit breaker.
    states: StateCounts,
    /// The open circuit breakers of models, billing accounts and exits.
    #[schema(value_type = Vec<Object>)]
    breakers: Vec<BreakerView>,
    /// The requested page of keys.
    keys: Vec<KeyRow>,
    /// The projects of these keys.
    projects: Vec<ProjectRow>,
}

/// Numbers of keys by the state of their own circuit breaker.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub struct StateCounts {
    usable: usize,
    cooling: usize,
    half_open: usize,
    disabled: usize,
}

impl PoolRow {
    /// Creates the view of a provider with `limit` of its keys, from `offset` on.
    pub fn of(provider: &ProviderPool, offset: usize, limit: usize) -> Self {
        let snapshot = provider.pool.snapshot(offset, limit);
        let mut states = StateCounts { usable: snapshot.stats.keys, ..StateCounts::default() };
        for open in snapshot.open_breakers.iter().filter(|open| open.scope == Scope::Key) {
            states.usable = states.usable.saturating_sub(open.count);
            match open.state {
                BreakerState::Cooling => states.cooling += open.count,
                BreakerState::HalfOpen => states.half_open += open.count,
                BreakerState::Disabled => states.disabled += open.count,
                _ => {}
            }
        }
        Self {
            name: provider.name.to_string(),
            dialect: provider.dialect.as_str(),
            strategy: snapshot.strategy,
            stats: snapshot.stats.clone(),
            states,
            breakers: snapshot.breakers.clone(),
            keys: key_rows(provider, &snapshot),
            projects: snapshot.projects.iter().map(|project| project_row(&provider.name, project)).collect(),
        }
    }
}

/// Returns the keys of a snapshot.
pub fn key_rows(provider: &ProviderPool, snapshot: &Snapshot) -> Vec<KeyRow> {
    let projects: HashMap<&str, &ProjectView> =
        snapshot.projects.iter().map(|project| (&*project.name, project)).collect();
    let row = |key: &KeyView| KeyRow {
        pool: provider.name.to_string(),
        state: state(key, projects.get(&*key.project).copied(), snapshot),
        in_database: provider.is_stored(&key.id),
        key: key.clone(),
    };
    snapshot.keys.iter().map(row).collect()
}

fn state(key: &KeyView, project: Option<&ProjectView>, snapshot: &Snapshot) -> KeyState {
    let exit = key.exit.as_ref().map(|exit| format!("exit {exit}"));
    let account = project.and_then(|project| project.billing_account.as_ref());
    let account = account.map(|account| format!("billing account {account}"));
    let shared = snapshot.breakers.iter().filter(|breaker| [&exit, &account].contains(&&Some(breaker.target.clone())));
    let of_project = project.into_iter().flat_map(|project| &project.breakers);
    let breakers: Vec<&BreakerView> = key.breakers.iter().chain(of_project).chain(shared).collect();
    let whole = |state| {
        let is_whole = |scope| matches!(scope, Scope::Key | Scope::Project | Scope::BillingAccount | Scope::Exit);
        breakers.iter().any(|breaker| breaker.state == state && is_whole(breaker.scope))
    };
    if whole(BreakerState::Disabled) {
        KeyState::Disabled
    } else if whole(BreakerState::Cooling) {
        KeyState::Cooling
    } else if whole(BreakerState::HalfOpen) {
        KeyState::HalfOpen
    } else if !breakers.is_empty() || project.is_some_and(|project| project.models.iter().any(is_full)) {
        KeyState::Partly
    } else {
        KeyState::Usable
    }
}

fn is_full(model: &tower_keypool::pool::ModelView) -> bool {
    let assumed = tower_keypool::limit::LimitSource::Assumed;
    model.limits.iter().any(|limit| limit.source != assumed && limit.used >= limit.limit)
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
    pub fn unused(limit: &Limit) -> Self {
        let source = tower_keypool::limit::LimitSource::Given;
        Self { unit: limit.unit, span: shown_span(limit.span), limit: limit.amount, used: 0, source, opens_in: None }
    }
}

/// Returns the view of a project of a provider.
pub fn project_row(pool: &str, project: &ProjectView) -> ProjectRow {
    let models = project.models.iter().map(|model| {
        let limits = model.limits.iter().map(|limit| LimitRow {
            unit: limit.unit,
            span: shown_span(limit.span),
            limit: limit.limit,
            used: limit.used,
            source: limit.source,
            opens_in: limit.opens_in.map(whole_seconds),
        });
        ModelRow { model: model.model.to_string(), limits: limits.collect() }
    });
    ProjectRow {
        pool: pool.to_owned(),
        name: project.name.to_string(),
        keys: project.keys,
        zone: project.zone.to_string(),
        given: project
            .given
            .iter()
            .map(|(model, limits)| ModelRow {
                model: model.to_string(),
                limits: limits.iter().map(LimitRow::unused).collect(),
            })
            .collect(),
        billing_account: project.billing_account.as_ref().map(ToString::to_string),
        breakers: project.breakers.clone(),
        models: models.collect(),
    }
}

impl ProjectRow {
    /// Returns the limits of all its models.
    pub fn into_limits(self) -> Vec<LimitRow> {
        self.models.into_iter().flat_map(|model| model.limits).collect()
    }
}

impl KeyRow {
    /// Reports whether its id, label or project contains a lowercase text.
    pub fn mentions(&self, text: &str) -> bool {
        let label = self.key.label.as_deref().unwrap_or_default();
        [self.key.id.as_str(), &*self.key.project, label].iter().any(|shown| shown.to_lowercase().contains(text))
    }

    pub fn project(&self) -> &str {
        &self.key.project
    }

    pub fn id(&self) -> &str {
        self.key.id.as_str()
    }

    /// Returns the place where it is listed.
    pub fn place(&self) -> &str {
        self.key.label.as_deref().unwrap_or("the configuration")
    }
}
