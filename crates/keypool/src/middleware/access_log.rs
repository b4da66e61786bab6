//! The access log: one line per request and per failed attempt. The last requests are kept for the dashboard.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{extract::Request, response::Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use serde::Serialize;
use tokio::time::Instant;
use tower_keypool::{Attempts, ErrorClass};

use crate::{app::App, error::Cause, metrics::InProgress, tenants::Tenant};

/// Number of requests kept.
const RECENT: usize = 256;
/// Maximum number of characters of each text in a record. Clients choose paths and models, which can be very long.
const MAX_TEXT: usize = 1_000;
/// Maximum length of an `x-request-id` that is kept.
const MAX_ID: usize = 128;

/// A request, with its result and its attempts.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RequestRecord {
    /// The value of its header `x-request-id`.
    pub id: String,
    /// Time of the response head, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    pub method: String,
    pub path: String,
    /// The tenant that sent it; null if it was sent with the gateway's own token, or without a valid token.
    pub tenant: Option<String>,
    /// The status of the response.
    pub status: u16,
    /// Milliseconds from the request's arrival to the response head.
    pub milliseconds: u64,
    /// The result of the request.
    pub result: RequestResult,
    /// The reason why the gateway refused it, or why no key could serve it.
    pub cause: Option<String>,
    /// The requests to providers, in order.
    pub attempts: Vec<AttemptRecord>,
}

/// The result of a request, by cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestResult {
    /// It was served.
    Good,
    /// The request was invalid: the caller must correct it.
    Caller,
    /// No key was available in time.
    Unavailable,
    /// The provider or the gateway failed.
    Failed,
}

impl RequestResult {
    fn of(status: StatusCode, attempts: &Attempts) -> Self {
        let class = attempts.last().and_then(tower_keypool::pool::Attempt::class);
        match class {
            _ if !status.is_client_error() && !status.is_server_error() => Self::Good,
            Some(ErrorClass::Caller | ErrorClass::ModelNotFound) => Self::Caller,
            Some(class) if class.is_key_fault() => Self::Unavailable,
            None if status.is_client_error() => Self::Caller,
            None if status == StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            _ => Self::Failed,
        }
    }
}

/// One request to a provider, with one key.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct AttemptRecord {
    /// The id of the key.
    pub key: String,
    /// The project of the key.
    pub project: String,
    pub model: Option<String>,
    /// The class of the error; null if the attempt succeeded.
    pub class: Option<&'static str>,
    /// The status of the error.
    pub status: Option<u16>,
    /// The error message of the provider or of the connection to it.
    pub message: Option<String>,
    /// Duration of the attempt in milliseconds.
    pub milliseconds: u64,
}

/// The last requests.
#[derive(Debug, Default)]
pub struct Recent(Mutex<VecDeque<RequestRecord>>);

impl Recent {
    /// Returns all kept requests, newest first.
    pub fn list(&self) -> Vec<RequestRecord> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    /// Returns the newest kept request with this id.
    pub fn find(&self, id: &str) -> Option<RequestRecord> {
        let records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().rev().find(|record| record.id == id).cloned()
    }

    fn push(&self, record: RequestRecord) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() == RECENT {
            records.pop_front();
        }
        records.push_back(record);
    }
}

/// Reports whether a path is one of the gateway's own pages, whose requests (probes, dashboards) are not counted.
pub fn is_own_page(path: &str) -> bool {
    path.starts_with("/-/") || matches!(path, "/" | "/health" | "/healthz" | "/livez" | "/readyz")
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The log entry of a request whose response has not started.
pub struct Entry {
    arrived: Instant,
    id: HeaderValue,
    method: Method,
    uri: Uri,
    is_anthropic: bool,
    in_progress: InProgress,
}

impl Entry {
    /// Starts the entry of a request. Its `x-request-id` is kept; without one, or with one of more than 128 bytes, it gets
    /// a random id.
    pub fn begin(app: &App, request: &Request) -> Self {
        let given = request.headers().get(REQUEST_ID).filter(|id| id.len() <= MAX_ID).cloned();
        let random = || HeaderValue::try_from(format!("{:016x}", fastrand::u64(..))).expect("digits");
        Self {
            arrived: Instant::now(),
            id: given.unwrap_or_else(random),
            method: request.method().clone(),
            uri: request.uri().clone(),
            is_anthropic: ["anthropic-version", "x-api-key"].iter().any(|name| request.headers().contains_key(*name)),
            in_progress: app.metrics.begin(request.uri().path()),
        }
    }

    /// Logs, counts and keeps the request when its response starts, and adds the `x-request-id`.
    pub fn end(self, app: &App, mut response: Response) -> Response {
        let Self { arrived, id, method, uri, is_anthropic, in_progress } = self;
        drop(in_progress);
        let extensions = response.extensions_mut();
        let attempts = extensions.remove::<Attempts>().unwrap_or_default();
        let record = RequestRecord {
            id: id.to_str().unwrap_or_default().to_owned(),
            at_ms: jiff::Timestamp::now().as_millisecond(),
            method: short(method.as_str()),
            path: short(uri.path()),
            tenant: extensions.remove::<Arc<Tenant>>().and_then(|tenant| Some(tenant.name.as_ref()?.to_string())),
            cause: extensions.remove::<Cause>().map(|cause| short(&cause.0)),
            result: RequestResult::of(response.status(), &attempts),
            status: response.status().as_u16(),
            milliseconds: milliseconds(arrived.elapsed()),
            attempts: attempts.iter().map(attempt).collect(),
        };
        if is_anthropic || record.path.contains("/messages") {
            // Anthropic clients read the id from this header.
            response.headers_mut().entry("request-id").or_insert(id.clone());
        }
        response.headers_mut().insert(REQUEST_ID, id);
        write(&record);
        app.metrics.answered(&record);
        if !is_own_page(&record.path) {
            app.recent.push(record);
        }
        response
    }
}

fn attempt(attempt: &tower_keypool::pool::Attempt) -> AttemptRecord {
    AttemptRecord {
        key: attempt.key().to_string(),
        project: attempt.project().to_owned(),
        model: attempt.model().map(short),
        class: attempt.class().map(tower_keypool::ErrorClass::as_str),
        status: attempt.status().map(|status| status.as_u16()),
        message: attempt.outcome().failure().and_then(|failure| failure.message().map(short)),
        milliseconds: milliseconds(attempt.elapsed()),
    }
}

fn write(record: &RequestRecord) {
    for attempt in &record.attempts {
        let AttemptRecord { key, project, model, class, status, message, milliseconds } = attempt;
        if let Some(class) = class {
            tracing::info!(
                request = record.id,
                key,
                project,
                model,
                class,
                status,
                error = message,
                ms = milliseconds,
                "attempt failed"
            );
        }
    }
    let RequestRecord { id, method, path, tenant, status, milliseconds, cause, attempts, .. } = record;
    let last = attempts.last();
    let (key, model) = (last.map(|last| &*last.key), last.and_then(|last| last.model.as_deref()));
    if is_own_page(path) {
        tracing::debug!(request = id, method, path, status, ms = milliseconds, "answered");
    } else {
        tracing::info!(
            request = id,
            method,
            path,
            status,
            ms = milliseconds,
            tenant,
            key,
            model,
            attempts = attempts.len(),
            cause,
            "answered"
        );
    }
}

fn short(text: &str) -> String {
    if text.len() <= MAX_TEXT { text.to_owned() } else { text.chars().take(MAX_TEXT).collect() }
}

fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
