//! The access log: one line per request and per failed attempt. The last requests are kept for the dashboard.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{extract::Request, response::Response};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use tokio::time::Instant;
use tower::ServiceExt;
use tower_keypool::{Attempts, Failure, Lease};

use crate::{
    app::{AppState, Next},
    error::Cause,
    request_result::{RequestResult, Sent},
    tenants::Tenant,
};

/// Number of requests kept.
const RECENT: usize = 256;
/// Maximum number of characters of each text in a record. Clients choose paths and models, which can be very long.
const MAX_TEXT: usize = 1_000;
/// Maximum length of an `x-request-id` that is kept.
const MAX_ID: usize = 128;

/// A request, with its result and its attempts.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
pub struct RequestRecord {
    /// The value of its header `x-request-id`.
    pub id: String,
    /// Time of the response head, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    pub method: String,
    pub path: String,
    /// The tenant that sent it; null if it was sent with the gateway's own token, or without a valid token.
    pub tenant: Option<String>,
    /// The status of the response; 499 if the client left, or the gateway shut down, before it.
    pub status: u16,
    /// Milliseconds from the request's arrival to the response head, or until the client left.
    pub milliseconds: u64,
    /// The result of the request.
    pub result: RequestResult,
    /// The reason why the gateway refused it, or why no key could serve it.
    pub cause: Option<String>,
    /// The requests to providers, in order.
    pub attempts: Vec<AttemptRecord>,
}

/// One request to a provider, with one key.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct AttemptRecord {
    /// The id of the key.
    pub key: String,
    /// The project of the key.
    pub project: String,
    pub model: Option<String>,
    /// The class of the error; null if the attempt succeeded. If the client left before the response, it is `cancelled`
    /// for the last attempt, and `failed` for a response with an error status.
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
/// Anthropic clients read the id from this header.
const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// OpenAI's support asks for the provider's own id.
const UPSTREAM_REQUEST_ID: HeaderName = HeaderName::from_static("x-upstream-request-id");

/// The status of a request whose client left before the response. Only logs have it; nginx uses the same number.
const CLIENT_LEFT: u16 = 499;

/// Logs a request when its response starts, or when the client leaves before.
pub async fn log(app: AppState, mut request: Request, next: impl Next) -> Result<Response, Infallible> {
    let entry = Entry::begin(app, &mut request);
    Ok(entry.end(next.oneshot(request).await?))
}

/// The log entry of a request. When it is dropped, the request is logged, counted and kept.
struct Entry {
    app: AppState,
    arrived: Instant,
    progress: Progress,
}

/// What is known of a request so far. It is an extension of the request.
#[derive(Clone)]
pub struct Progress {
    id: HeaderValue,
    sent: Sent,
    record: Arc<Mutex<RequestRecord>>,
}

impl Progress {
    /// Returns the `x-request-id`.
    pub fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    /// Records the tenant of the request.
    pub fn authenticated(&self, tenant: &Tenant) {
        self.record().tenant = tenant.name.as_deref().map(str::to_owned);
    }

    /// Records that the request is sent with a key.
    pub fn begin_attempt(&self, lease: &Lease) -> Attempting {
        self.sent.set();
        let mut record = self.record();
        record.attempts.push(AttemptRecord {
            key: lease.key().to_string(),
            project: lease.project().to_owned(),
            model: lease.model().map(short),
            class: Some("cancelled"),
            status: None,
            message: None,
            milliseconds: 0,
        });
        Attempting { progress: self.clone(), begun: Instant::now(), at: record.attempts.len() - 1 }
    }

    /// Logs that the response of the last attempt broke off after its head was passed on.
    pub fn broke_off(&self, attempts: &Attempts, error: &(dyn std::error::Error + 'static)) {
        let Some(last) = attempts.last() else { return };
        let failure = Failure::from_transport(error);
        let (key, project, model) = (last.key().as_str(), last.project(), last.model());
        let (class, error) = (failure.class().as_str(), failure.message());
        tracing::info!(request = self.id(), key, project, model, class, error, "attempt failed");
    }

    fn record(&self) -> MutexGuard<'_, RequestRecord> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt that has no response yet. Its duration is recorded when this is dropped.
pub struct Attempting {
    progress: Progress,
    begun: Instant,
    at: usize,
}

impl Drop for Attempting {
    fn drop(&mut self) {
        if let Some(attempt) = self.progress.record().attempts.get_mut(self.at) {
            attempt.milliseconds = milliseconds(self.begun.elapsed());
        }
    }
}

impl Attempting {
    /// Records the head of the response or the error of the connection.
    pub fn end(self, result: Result<StatusCode, &(dyn std::error::Error + 'static)>) {
        let mut record = self.progress.record();
        let Some(attempt) = record.attempts.get_mut(self.at) else { return };
        match result {
            Ok(status) if !status.is_client_error() && !status.is_server_error() => {}
            Ok(status) => (attempt.class, attempt.status) = (Some("failed"), Some(status.as_u16())),
            Err(error) => {
                let failure = Failure::from_transport(error);
                attempt.class = Some(failure.class().as_str());
                attempt.message = failure.message().map(short);
            }
        }
    }
}

impl Entry {
    /// Starts the entry of a request. Its `x-request-id` is kept; without one, or with one of more than 128 bytes, it gets
    /// a random id.
    fn begin(app: AppState, request: &mut Request) -> Self {
        let given = request.headers().get(REQUEST_ID).filter(|id| id.len() <= MAX_ID).cloned();
        let random = || HeaderValue::try_from(format!("{:016x}", fastrand::u64(..))).expect("digits");
        let id = given.unwrap_or_else(random);
        app.metrics.arrived(request.uri().path());
        let record = RequestRecord {
            id: id.to_str().unwrap_or_default().to_owned(),
            method: short(request.method().as_str()),
            path: short(request.uri().path()),
            status: CLIENT_LEFT,
            ..RequestRecord::default()
        };
        let progress = Progress { id, sent: Sent::default(), record: Arc::new(Mutex::new(record)) };
        request.extensions_mut().insert(progress.sent.clone());
        request.extensions_mut().insert(progress.clone());
        Self { app, arrived: Instant::now(), progress }
    }

    /// Records the response, and adds the `x-request-id`.
    fn end(self, mut response: Response) -> Response {
        let extensions = response.extensions_mut();
        let attempts = extensions.remove::<Attempts>().unwrap_or_default();
        let cause = extensions.remove::<Cause>().map(|cause| short(&cause.0));
        let mut record = self.progress.record();
        record.cause = cause;
        record.status = response.status().as_u16();
        record.result = RequestResult::of(response.status(), &attempts);
        record.attempts = attempts.iter().map(attempt).collect();
        drop(record);
        let id = &self.progress.id;
        response.headers_mut().entry(ANTHROPIC_REQUEST_ID).or_insert_with(|| id.clone());
        if let Some(theirs) = response.headers_mut().insert(REQUEST_ID, id.clone()) {
            response.headers_mut().insert(UPSTREAM_REQUEST_ID, theirs);
        }
        response
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut record = std::mem::take(&mut *self.progress.record());
        record.at_ms = jiff::Timestamp::now().as_millisecond();
        record.milliseconds = milliseconds(self.arrived.elapsed());
        if record.status == CLIENT_LEFT {
            let is_shut_down = self.app.shutdown.is_cancelled();
            let what = if is_shut_down { "the gateway shut down, or the client left," } else { "the client left" };
            record.cause = Some(format!("{what} before the response"));
        }
        self.app.metrics.answered(&record);
        write(&record);
        if !is_own_page(&record.path) {
            self.app.recent.push(record);
        }
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
