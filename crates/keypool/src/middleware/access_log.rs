//! One line of the log a request, and one an attempt that failed; the last requests for the dashboard.

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

/// So many requests are remembered.
const RECENT: usize = 256;

/// A request as it was answered.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct RequestRecord {
    /// The value of its header `x-request-id`.
    pub id: String,
    /// When it was answered, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    pub method: String,
    pub path: String,
    /// The tenant that sent it; none: whoever has the gateway's own token.
    pub tenant: Option<String>,
    pub status: u16,
    /// From its arrival to the head of its answer.
    pub milliseconds: u64,
    /// What came of it.
    pub result: RequestResult,
    /// Why the gateway refused it, or no key could serve it.
    pub cause: Option<String>,
    pub attempts: Vec<AttemptRecord>,
}

/// What came of a request, and whose doing it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestResult {
    /// It was served.
    Good,
    /// It was wrong: the caller is to mend it.
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

/// One request to a provider with one key.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct AttemptRecord {
    pub key: String,
    pub project: String,
    pub model: Option<String>,
    /// The class of its error; none for a good answer.
    pub class: Option<&'static str>,
    /// The status of its error.
    pub status: Option<u16>,
    /// What the provider said.
    pub message: Option<String>,
    pub milliseconds: u64,
}

/// The last requests.
#[derive(Debug, Default)]
pub struct Recent(Mutex<VecDeque<RequestRecord>>);

impl Recent {
    /// All that are remembered, newest first.
    pub fn list(&self) -> Vec<RequestRecord> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    /// The one with this id.
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

/// Whether a path is a page of the gateway itself: such requests, of probes and dashboards, are not counted.
pub fn is_own_page(path: &str) -> bool {
    path.starts_with("/-/") || matches!(path, "/" | "/health" | "/healthz" | "/livez" | "/readyz")
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request on its way.
pub struct Entry {
    arrived: Instant,
    id: HeaderValue,
    method: Method,
    uri: Uri,
    in_progress: InProgress,
}

impl Entry {
    /// A request arrived. It keeps the `x-request-id` that it has, and gets one else.
    pub fn begin(app: &App, request: &Request) -> Self {
        let given = request.headers().get(REQUEST_ID).cloned();
        let random = || HeaderValue::try_from(format!("{:016x}", fastrand::u64(..))).expect("digits");
        Self {
            arrived: Instant::now(),
            id: given.unwrap_or_else(random),
            method: request.method().clone(),
            uri: request.uri().clone(),
            in_progress: app.metrics.begin(request.uri().path()),
        }
    }

    /// Its answer begins: it is logged, counted and remembered.
    pub fn end(self, app: &App, mut response: Response) -> Response {
        let Self { arrived, id, method, uri, in_progress } = self;
        drop(in_progress);
        let extensions = response.extensions_mut();
        let attempts = extensions.remove::<Attempts>().unwrap_or_default();
        let record = RequestRecord {
            id: id.to_str().unwrap_or_default().to_owned(),
            at_ms: jiff::Timestamp::now().as_millisecond(),
            method: method.to_string(),
            path: uri.path().to_owned(),
            tenant: extensions.remove::<Arc<Tenant>>().and_then(|tenant| Some(tenant.name.as_ref()?.to_string())),
            cause: extensions.remove::<Cause>().map(|cause| cause.0),
            result: RequestResult::of(response.status(), &attempts),
            status: response.status().as_u16(),
            milliseconds: milliseconds(arrived.elapsed()),
            attempts: attempts.iter().map(attempt).collect(),
        };
        if record.path.contains("/messages") {
            // Where Anthropic's clients look for it.
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
        model: attempt.model().map(str::to_owned),
        class: attempt.class().map(tower_keypool::ErrorClass::as_str),
        status: attempt.status().map(|status| status.as_u16()),
        message: attempt.outcome().failure().and_then(|failure| failure.message().map(str::to_owned)),
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

fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}
