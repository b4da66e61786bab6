//! Metrics in the `OpenMetrics` text format: the library's metrics of the pools, and this gateway's requests.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use axum::{
    extract::{ConnectInfo, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use serde::Serialize;
use tower_keypool::metrics::PoolCollector;

use crate::{
    app::AppState,
    middleware::access_log::{RequestRecord, is_own_page},
    proxy::headers::is_by_proxy,
    request_result::RequestResult,
    server::Peer,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    status: u16,
    tenant: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabels {
    class: &'static str,
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Upper bounds of the histogram of seconds until the response head.
const SECONDS: [f64; 12] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

fn histogram() -> Histogram {
    Histogram::new(SECONDS)
}

/// The gateway's own counters.
#[derive(Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    seconds: Family<ClassLabels, Histogram, fn() -> Histogram>,
    in_progress: Gauge,
    traffic: Traffic,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = Family::new_with_constructor(histogram as fn() -> Histogram);
        Self { requests: Family::default(), seconds, in_progress: Gauge::default(), traffic: Traffic::default() }
    }
}

impl Metrics {
    /// Counts a request as in progress until it is [`answered`](Self::answered).
    pub fn arrived(&self, path: &str) {
        if !is_own_page(path) {
            self.in_progress.inc();
        }
    }

    pub fn answered(&self, record: &RequestRecord) {
        if is_own_page(&record.path) {
            return;
        }
        self.in_progress.dec();
        let labels = RequestLabels { status: record.status, tenant: record.tenant.clone().unwrap_or_default() };
        self.requests.get_or_create(&labels).inc();
        let class = CLASSES[usize::from(record.status / 100).clamp(1, 5) - 1];
        self.seconds.get_or_create(&ClassLabels { class }).observe(record.milliseconds as f64 / 1_000.0);
        self.traffic.count(record.at_ms, record.result);
    }

    /// Returns the number of requests whose response has not started.
    pub fn in_progress(&self) -> i64 {
        self.in_progress.get()
    }

    /// Returns the counts since the start, and those of the last ten minutes by step.
    pub fn traffic(&self) -> (Counts, Vec<Step>) {
        self.traffic.view(jiff::Timestamp::now().as_millisecond())
    }
}

/// Numbers of requests by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Counts {
    /// Requests that were served.
    pub good: u64,
    /// Invalid requests: the caller's fault.
    pub caller: u64,
    /// Requests for which no key was available in time.
    pub unavailable: u64,
    /// Requests that failed at the provider or in the gateway.
    pub failed: u64,
}

/// Requests of ten seconds, by result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Step {
    /// Start of the ten seconds, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    #[serde(flatten)]
    pub counts: Counts,
}

const STEP_MS: i64 = 10_000;
/// Number of steps kept: ten minutes.
const STEPS: i64 = 60;

#[derive(Debug, Default)]
struct Traffic(Mutex<(Counts, VecDeque<Step>)>);

impl Traffic {
    fn count(&self, at_ms: i64, result: RequestResult) {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, steps) = &mut *guard;
        let begin = at_ms - at_ms.rem_euclid(STEP_MS);
        if steps.back().is_none_or(|step| step.at_ms < begin) {
            steps.push_back(Step { at_ms: begin, counts: Counts::default() });
        }
        while steps.front().is_some_and(|step| step.at_ms <= begin - STEPS * STEP_MS) {
            steps.pop_front();
        }
        for counts in [total, &mut steps.back_mut().expect("one was pushed").counts] {
            *match result {
                RequestResult::Good => &mut counts.good,
                RequestResult::Caller => &mut counts.caller,
                RequestResult::Unavailable => &mut counts.unavailable,
                RequestResult::Failed => &mut counts.failed,
            } += 1;
        }
    }

    fn view(&self, now_ms: i64) -> (Counts, Vec<Step>) {
        let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = now_ms - now_ms.rem_euclid(STEP_MS) - STEPS * STEP_MS;
        (guard.0, guard.1.iter().filter(|step| step.at_ms > oldest).copied().collect())
    }
}

/// Maximum number of keys, over all pools, for which each key has its own series.
const PER_KEY: usize = 1_000;

/// Serves `/-/metrics`. Clients on other machines, or behind a proxy, need the gateway's token as `Authorization:
/// Bearer`.
pub async fn serve(State(app): State<AppState>, ConnectInfo(peer): ConnectInfo<Peer>, headers: HeaderMap) -> Response {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let proxied = headers.keys().any(is_by_proxy);
    let is_local = peer.address.ip().to_canonical().is_loopback() && !proxied;
    let has_token = |token| app.tenants.find(token).is_some_and(|tenant| tenant.name.is_none());
    if !(is_local || bearer.is_some_and(has_token)) {
        let message = "the gateway's token is required for metrics: send it as Authorization: Bearer TOKEN\n";
        return (StatusCode::UNAUTHORIZED, message).into_response();
    }
    let mut registry = Registry::default();
    let mut pools = app.pools.iter();
    if let Some(first) = pools.next() {
        let mut collector = PoolCollector::new(&first.pool, &*first.name);
        let mut keys = first.pool.stats().keys;
        for provider in pools {
            keys += provider.pool.stats().keys;
            collector = collector.with_pool(&provider.pool, &*provider.name);
        }
        if keys <= PER_KEY {
            collector = collector.per_key();
        }
        registry.register_collector(Box::new(collector));
    }
    let metrics = &app.metrics;
    registry.register("keypool_gateway_requests", "Requests by response status", metrics.requests.clone());
    registry.register(
        "keypool_gateway_seconds",
        "Seconds until the response headers, by status class",
        metrics.seconds.clone(),
    );
    registry.register(
        "keypool_gateway_in_progress",
        "Requests whose response has not started",
        metrics.in_progress.clone(),
    );
    let mut text = String::new();
    if encode(&mut text, &registry).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_ten_minutes_are_kept_in_steps() {
        let traffic = Traffic::default();
        for second in 0..1_200 {
            traffic.count(second * 1_000, RequestResult::Good);
        }
        traffic.count(1_199_500, RequestResult::Caller);
        let (total, steps) = traffic.view(1_199_999);
        assert_eq!((total.good, total.caller), (1_200, 1));
        assert_eq!(steps.len(), 60);
        assert!(steps.iter().all(|step| step.counts.good == 10), "{steps:?}");
        assert_eq!(traffic.view(1_199_999 + 600_000).1, []);
    }
}
