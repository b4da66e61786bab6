//! The pages under `/-/`.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::Full;
use prometheus_client::{encoding::text::encode, registry::Registry};
use tower_keypool::{KeyPool, metrics::PoolCollector};

use super::{
    exposed::Exposed, merged::Merged, pieces::Pieces, plain::Plain, ready::Readiness, store::StoreHealth,
    traffic::Traffic,
};

/// Whether a path is the gateway's own and never goes upstream.
pub(crate) fn is_ours(path: &str) -> bool {
    path.starts_with("/-") && matches!(path.as_bytes().get(2), None | Some(b'/'))
}

/// A page of the gateway's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// Links to the others.
    Index,
    /// Prometheus.
    Metrics,
    /// The process is alive.
    Health,
    /// Requests may be sent here.
    Ready,
}

impl Page {
    /// The page at a path of ours, if there is one.
    pub(crate) fn at(path: &str) -> Option<Self> {
        match path.trim_end_matches('/') {
            "/-" => Some(Self::Index),
            "/-/metrics" => Some(Self::Metrics),
            "/-/health" => Some(Self::Health),
            "/-/ready" => Some(Self::Ready),
            _ => None,
        }
    }

    /// Whether it says no more than yes or no: probes know neither a token nor our names.
    pub(crate) fn is_probe(self) -> bool {
        matches!(self, Self::Health | Self::Ready)
    }
}

/// What the gateway tells of itself.
pub struct Status {
    readiness: Readiness,
    /// One scrape at a time.
    registry: Mutex<Registry>,
    /// The pools of other providers, by name, each with a registry of its own.
    beside: Mutex<BTreeMap<String, Registry>>,
}

impl Status {
    /// Of a gateway over this pool that counts in `traffic`, with the store that `store` speaks of.
    pub fn new(pool: &KeyPool, traffic: &Arc<Traffic>, store: StoreHealth) -> Self {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(PoolCollector::new(pool)));
        registry.register_collector(Box::new(Exposed { traffic: Arc::clone(traffic), store: store.clone() }));
        Self {
            readiness: Readiness::new(pool.clone(), store),
            registry: Mutex::new(registry),
            beside: Mutex::default(),
        }
    }

    /// Tells of these pools, too, from now on: their series have their name as the label `pool`.
    pub fn stand_beside(&self, pools: &BTreeMap<String, KeyPool>) {
        self.readiness.stand_beside(pools);
        let registry = |(name, pool): (&String, &KeyPool)| {
            let mut registry = Registry::default();
            let labelled = registry.sub_registry_with_label(("pool".into(), name.clone().into()));
            labelled.register_collector(Box::new(PoolCollector::new(pool)));
            (name.clone(), registry)
        };
        *self.beside.lock().unwrap_or_else(PoisonError::into_inner) = pools.iter().map(registry).collect();
    }

    /// The gateway is ending: requests had better go elsewhere.
    pub(crate) fn end(&self) {
        self.readiness.end();
    }

    /// The answer. Looks at every key for some pages: not to be called where others wait for the thread.
    /// `open`: whoever asks takes `OpenMetrics`.
    pub(crate) fn answer(&self, page: Page, method: &Method, open: bool) -> Response<Pieces> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "this page is only read\n".to_owned());
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match page {
            Page::Index => told(StatusCode::OK, "text/html; charset=utf-8", INDEX.to_owned().into()),
            Page::Health => text(StatusCode::OK, "ok\n".to_owned()),
            Page::Ready => match self.readiness.check() {
                Ok(barren) => text(StatusCode::OK, ready(&barren)),
                Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
            },
            Page::Metrics => self.metrics(open),
        }
    }

    fn metrics(&self, open: bool) -> Response<Pieces> {
        let mut out = Pieces::default();
        let (kind, written) = if open {
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", self.scrape(&mut out))
        } else {
            ("text/plain; version=0.0.4; charset=utf-8", self.scrape(&mut Plain::new(&mut out)))
        };
        match written {
            Ok(()) => told(StatusCode::OK, kind, out),
            Err(fmt::Error) => text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n".to_owned()),
        }
    }

    fn scrape(&self, out: &mut impl fmt::Write) -> fmt::Result {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let beside = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        if beside.is_empty() {
            return encode(out, &registry);
        }
        let mut merged = Merged::default();
        let mut own = String::new();
        encode(&mut own, &registry)?;
        merged.add(&own);
        drop(own);
        for registry in beside.values() {
            let mut theirs = String::new();
            if encode(&mut theirs, registry).is_ok() {
                merged.add(&theirs);
            }
        }
        write!(out, "{merged}")
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Status").field("readiness", &self.readiness).finish_non_exhaustive()
    }
}

/// That it is ready, and which pools have no key that is not disabled.
fn ready(barren: &[String]) -> String {
    let mut text = "ready\n".to_owned();
    for name in barren {
        text.extend(["but ", name, ": it has no key that is not disabled\n"]);
    }
    text
}

/// A page that nobody has.
pub(crate) fn nowhere() -> Response<Full<Bytes>> {
    text(StatusCode::NOT_FOUND, "no such page; see /-/\n".to_owned())
}

/// Where a person who comes to `/` goes.
pub(crate) fn to_index() -> Response<Full<Bytes>> {
    let mut response = text(StatusCode::FOUND, "see /-/\n".to_owned());
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/-/"));
    response
}

const INDEX: &str = "<!doctype html><meta charset=utf-8><title>keypool</title><h1>keypool</h1>\
<ul><li><a href=/-/health>health</a>: the process is alive\
<li><a href=/-/ready>ready</a>: requests may be sent here\
<li><a href=/-/metrics>metrics</a>: for Prometheus\
<li><a href=/-/ui>ui</a>: keys, traffic and errors, where the administrator has a token</ul>\
<p>Every other path goes to the provider, with this gateway's token.\n";

fn text<B: From<String>>(status: StatusCode, body: String) -> Response<B> {
    told(status, "text/plain; charset=utf-8", body.into())
}

fn told<B>(status: StatusCode, kind: &'static str, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
