//! Metrics of pools for a Prometheus registry (feature `metrics`).
//!
//! [`PoolCollector`] keeps no counters of its own. At each scrape it reads a [`Snapshot`] of each pool, so the metrics
//! add no cost to requests. No metric contains a secret.
//!
//! ```
//! use prometheus_client::{encoding::text::encode, registry::Registry};
//! use tower_keypool::{Gemini, Key, KeyPool, metrics::PoolCollector};
//!
//! let pool = KeyPool::builder(Gemini::new()).key(Key::free("AIza-not-a-real-key-001").named("first")).build()?;
//! let mut registry = Registry::default();
//! registry.register_collector(Box::new(PoolCollector::new(&pool, "gemini").per_key()));
//!
//! drop(pool.try_acquire("gemini-2.5-flash")?);
//! let mut text = String::new();
//! encode(&mut text, &registry)?;
//! assert!(text.contains(r#"keypool_keys{pool="gemini",state="ready"} 1"#));
//! assert!(text.contains(r#"keypool_leases_total{pool="gemini"} 1"#));
//! assert!(text.contains(r#"keypool_key_in_flight{pool="gemini",key="first"} 0"#));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
#![doc = include_str!("../docs/metrics.md")]

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::{MetricType, exemplar::Exemplar},
};

use crate::{
    classify::Scope,
    limit::Span,
    pool::{BreakerState, KeyPool, KeyView, ProjectView, Snapshot},
};

/// Maximum number of keys of a pool that have their own series.
const MAX_KEYS: usize = 1_000;
/// Number of keys that are read under one lock of the pool.
const PAGE: usize = 250;

/// A collector of the metrics of one or more pools. See the [module](self) for the names of the metrics.
#[derive(Clone, Debug)]
#[must_use = "a registry has to have it"]
pub struct PoolCollector {
    pools: Vec<(String, KeyPool)>,
    per_key: bool,
}

impl PoolCollector {
    /// Creates a collector of this pool, whose metrics have `name` as their label `pool`.
    pub fn new(pool: &KeyPool, name: impl Into<String>) -> Self {
        Self { pools: vec![(name.into(), pool.clone())], per_key: false }
    }

    /// Adds another pool. Register all pools of a process in one collector, since a registry may contain each metric
    /// only once.
    pub fn with_pool(mut self, pool: &KeyPool, name: impl Into<String>) -> Self {
        self.pools.push((name.into(), pool.clone()));
        self
    }

    /// Adds series for the first 1,000 keys of each pool, and for the limits of their projects.
    pub fn per_key(mut self) -> Self {
        self.per_key = true;
        self
    }
}

impl Collector for PoolCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut families = Families(encoder);
        let snapshots: Vec<_> = self.pools.iter().map(|(name, pool)| (name.as_str(), pool.snapshot(0, 0))).collect();
        of_pools(&mut families, &snapshots)?;
        if self.per_key {
            let pages: Vec<_> = self.pools.iter().map(|(name, pool)| (name.as_str(), Keys::of(pool))).collect();
            of_keys(&mut families, &pages)?;
        }
        Ok(())
    }
}

/// The labels and the value of a series.
type Row = (Vec<(&'static str, String)>, u64);

struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn counter(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = Row>) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        rows.into_iter().try_for_each(|(labels, value)| {
            family.encode_family(&labels)?.encode_counter(&value, None::<&Exemplar<NoLabelSet, u64>>)
        })
    }

    fn gauge(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = Row>) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        rows.into_iter().try_for_each(|(labels, value)| family.encode_family(&labels)?.encode_gauge(&value))
    }
}

/// Returns the label `pool` followed by these labels.
fn labels<const N: usize>(pool: &str, others: [(&'static str, String); N]) -> Vec<(&'static str, String)> {
    std::iter::once(("pool", pool.to_owned())).chain(others).collect()
}

fn span(span: Span) -> String {
    match span {
        Span::Day => "day".to_owned(),
        Span::MINUTE => "minute".to_owned(),
        Span::Sliding(span) => format!("{}s", span.as_secs_f64()),
    }
}

fn of_pools(families: &mut Families<'_>, pools: &[(&str, Snapshot)]) -> fmt::Result {
    let each = |value: fn(&Snapshot) -> u64| pools.iter().map(move |(pool, of)| (labels(pool, []), value(of)));
    families.gauge("keypool_keys", "Keys by the state of their own breaker", pools.iter().flat_map(key_states))?;
    families.gauge(
        "keypool_breakers",
        "Breakers that are not closed, by what they cover",
        pools.iter().flat_map(|(pool, of)| {
            of.open_breakers.iter().map(|open| {
                (
                    labels(pool, [("scope", open.scope.to_string()), ("state", open.state.to_string())]),
                    open.count as u64,
                )
            })
        }),
    )?;
    families.gauge("keypool_in_flight", "Requests in flight", each(|of| of.stats.in_flight))?;
    families.gauge("keypool_waiting", "Requests that wait for a key", each(|of| of.stats.waiting as u64))?;
    families.gauge(
        "keypool_disabling_paused",
        "1 while keys are not disabled, because nearly all keys are refused",
        each(|of| u64::from(of.stats.disabling_paused)),
    )?;
    families.counter("keypool_leases", "Requests sent with a key", each(|of| of.stats.sent))?;
    families.counter(
        "keypool_unreserved",
        "Requests sent without a reservation, because the store was unavailable",
        each(|of| of.stats.unreserved),
    )?;
    families.counter(
        "keypool_requests",
        "Attempts by outcome; unavailable: requests that got no key within their wait",
        pools.iter().flat_map(|(pool, Snapshot { stats, .. })| {
            [("success", stats.succeeded), ("failure", stats.failed), ("unavailable", stats.unavailable)]
                .map(|(outcome, requests)| (labels(pool, [("outcome", outcome.to_owned())]), requests))
        }),
    )?;
    families.counter(
        "keypool_failures",
        "Failed attempts by the class of the error",
        pools.iter().flat_map(|(pool, Snapshot { stats, .. })| {
            stats.by_class.iter().map(|(class, count)| (labels(pool, [("class", class.to_string())]), *count))
        }),
    )?;
    families.counter(
        "keypool_tokens",
        "Tokens used, as reported in responses",
        pools.iter().flat_map(|(pool, Snapshot { stats, .. })| {
            [("input", stats.input_tokens), ("output", stats.output_tokens)]
                .map(|(direction, tokens)| (labels(pool, [("direction", direction.to_owned())]), tokens))
        }),
    )
}

fn key_states((pool, snapshot): &(&str, Snapshot)) -> Vec<Row> {
    let row = |state: &str, keys: usize| (labels(pool, [("state", state.to_owned())]), keys as u64);
    let mut ready = snapshot.stats.keys;
    let mut rows = Vec::new();
    for state in [BreakerState::Cooling, BreakerState::HalfOpen, BreakerState::Disabled] {
        let of_keys = snapshot.open_breakers.iter().filter(|open| open.scope == Scope::Key && open.state == state);
        let keys = of_keys.map(|open| open.count).sum();
        ready = ready.saturating_sub(keys);
        rows.push(row(&state.to_string(), keys));
    }
    rows.insert(0, row("ready", ready));
    rows
}

/// The keys of a pool that have their own series, and their projects.
struct Keys {
    views: Vec<KeyView>,
    projects: Vec<ProjectView>,
    omitted: usize,
}

impl Keys {
    fn of(pool: &KeyPool) -> Self {
        let (mut keys, mut projects) = (Vec::new(), Vec::<ProjectView>::new());
        while keys.len() < MAX_KEYS {
            let page = pool.snapshot(keys.len(), PAGE);
            if page.keys.is_empty() {
                break;
            }
            keys.extend(page.keys);
            projects.extend(page.projects);
        }
        projects.sort_by(|a, b| a.name.cmp(&b.name));
        projects.dedup_by(|a, b| a.name == b.name);
        let omitted = pool.stats().keys.saturating_sub(keys.len());
        Self { views: keys, projects, omitted }
    }
}

fn of_keys(families: &mut Families<'_>, pools: &[(&str, Keys)]) -> fmt::Result {
    let omitted = pools.iter().map(|(pool, of)| (labels(pool, []), of.omitted as u64));
    families.gauge("keypool_keys_omitted", "Keys without their own series", omitted)?;
    let each = || pools.iter().flat_map(|(pool, of)| of.views.iter().map(move |key| (*pool, key)));
    let id = |key: &KeyView| ("key", key.id.to_string());
    families.gauge(
        "keypool_key_info",
        "1 for each key, with its project and tier",
        each().map(|(pool, key)| {
            (labels(pool, [id(key), ("project", key.project.to_string()), ("tier", key.tier.to_string())]), 1)
        }),
    )?;
    families.gauge(
        "keypool_key_in_flight",
        "Requests in flight with a key",
        each().map(|(pool, key)| (labels(pool, [id(key)]), u64::from(key.in_flight))),
    )?;
    families.gauge(
        "keypool_key_state",
        "1 for the state of a key's own breaker",
        each().map(|(pool, key)| {
            let own = key.breakers.iter().find(|breaker| breaker.scope == Scope::Key);
            let state = own.map_or_else(|| "ready".to_owned(), |breaker| breaker.state.to_string());
            (labels(pool, [id(key), ("state", state)]), 1)
        }),
    )?;
    families.counter(
        "keypool_key_requests",
        "Attempts with a key by outcome; the caller's failures do not count",
        each().flat_map(|(pool, key)| {
            [("success", key.succeeded), ("failure", key.failed)]
                .map(|(outcome, count)| (labels(pool, [id(key), ("outcome", outcome.to_owned())]), count))
        }),
    )?;
    let (mut limits, mut used) = (Vec::new(), Vec::new());
    for (pool, project) in pools.iter().flat_map(|(pool, of)| of.projects.iter().map(move |project| (pool, project))) {
        for (model, limit) in
            project.models.iter().flat_map(|model| model.limits.iter().map(move |limit| (&model.model, limit)))
        {
            let project = ("project", project.name.to_string());
            let of =
                [project, ("model", model.to_string()), ("unit", limit.unit.to_string()), ("span", span(limit.span))];
            let mut labels = labels(pool, of);
            used.push((labels.clone(), limit.used));
            labels.push(("source", limit.source.to_string()));
            limits.push((labels, limit.limit));
        }
    }
    families.gauge("keypool_limit", "The limit of a project for a model, and where it comes from", limits)?;
    families.gauge("keypool_limit_used", "How much of a limit is used now", used)
}
