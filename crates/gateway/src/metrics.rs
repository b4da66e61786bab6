//! Metrics in OpenMetrics text: the pools by the library's collector, and the requests of this gateway.

use std::net::SocketAddr;

use axum::{
    extract::{ConnectInfo, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use tower_keypool::metrics::PoolCollector;

use crate::{app::AppState, middleware::access_log::RequestRecord};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    status: u16,
    tenant: String,
}

/// The gateway's own counters.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
}

impl Metrics {
    pub fn answered(&self, record: &RequestRecord) {
        if record.path.starts_with("/-/") {
            return;
        }
        let labels = RequestLabels { status: record.status, tenant: record.tenant.clone().unwrap_or_default() };
        self.requests.get_or_create(&labels).inc();
    }
}

/// Pools of more keys have no series for each.
const PER_KEY: usize = 1_000;

/// `/-/metrics`: for anybody on this machine; for others with the gateway's token as `Authorization: Bearer`.
pub async fn serve(
    State(app): State<AppState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let proxied = ["forwarded", "via", "x-forwarded-for"].iter().any(|name| headers.contains_key(*name));
    let is_local = peer.ip().to_canonical().is_loopback() && !proxied;
    if !is_local && !bearer.is_some_and(|token| app.tenants.find(token).is_some_and(|tenant| tenant.name.is_none())) {
        let message = "metrics need the gateway's token, as Authorization: Bearer TOKEN\n";
        return (StatusCode::UNAUTHORIZED, message).into_response();
    }
    let mut registry = Registry::default();
    let mut pools = app.pools.iter();
    if let Some(first) = pools.next() {
        let mut collector = PoolCollector::new(&first.pool, &*first.name);
        let mut keys = first.pool.stats().keys;
        for provider in pools {
            keys += provider.pool.stats().keys;
            collector = collector.and(&provider.pool, &*provider.name);
        }
        if keys <= PER_KEY {
            collector = collector.per_key();
        }
        registry.register_collector(Box::new(collector));
    }
    registry.register(
        "keypool_gateway_requests",
        "Requests by the status of their answer",
        app.metrics.requests.clone(),
    );
    let mut text = String::new();
    if encode(&mut text, &registry).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}
