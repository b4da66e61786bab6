//! The access log: one line per request and per failed attempt. The last requests are kept for the dashboard.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use serde::Serialize;
use tokio::time::Instant;
use tower_keypool::{Attempts, Failure, Lease};

use crate::{
    app::{App, AppState},
    error::Cause,
    metrics::InProgress,
    request_result::RequestResult,
    tenants::Tenant,
};

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

/// Logs a request when its response starts, or when the client leaves before.
pub async fn log(State(app): State<AppState>, mut request: Request, next: Next) -> Response {
    let entry = Entry::begin(&app, &mut request);
    entry.end(next.run(request).await)
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const UPSTREAM_REQUEST_ID: HeaderName = HeaderName::from_static("x-upstream-request-id");

/// The status of a request whose client left before the response. Only logs have it; nginx uses the same number.
const CLIENT_LEFT: u16 = 499;

/// The log entry of a request whose response has not started. If it is dropped before, the client has left.
struct Entry {
    app: AppState,
    begun: Option<Begun>,
}

struct Begun {
    arrived: Instant,
    method: Method,
    uri: Uri,
    is_anthropic: bool,
    #[expect(dead_code, reason = "held")]
    in_progress: InProgress,
    progress: Progress,
}

/// What is known of a request before its response. It is an extension of the request.
#[derive(Clone)]
pub struct Progress(Arc<Shared>);

struct Shared {
    id: HeaderValue,
    /// Whether the request was sent with a key.
    has_attempts: AtomicBool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    tenant: Option<Arc<Tenant>>,
    attempts: Vec<AttemptRecord>,
}

impl Progress {
    /// Returns the `x-request-id`.
    pub fn id(&self) -> &str {
        self.0.id.to_str().unwrap_or_default()
    }

    /// Records the tenant of the request.
    pub fn authenticated(&self, tenant: &Arc<Tenant>) {
        self.known().tenant = Some(Arc::clone(tenant));
    }

    /// Records that the request is sent with a key.
    pub fn begin_attempt(&self, lease: &Lease) -> Attempting {
        self.0.has_attempts.store(true, Ordering::Relaxed);
        let mut known = self.known();
        known.attempts.push(AttemptRecord {
            key: lease.key().to_string(),
            project: lease.project().to_owned(),
            model: lease.model().map(short),
            class: Some("cancelled"),
            status: None,
            message: None,
            milliseconds: 0,
        });
        Attempting { progress: self.clone(), begun: Instant::now(), at: known.attempts.len() - 1 }
    }

    /// Reports whether the request was sent with a key.
    pub fn has_attempts(&self) -> bool {
        self.0.has_attempts.load(Ordering::Relaxed)
    }

    /// Logs that the response of the last attempt broke off after its head was passed on.
    pub fn broke_off(&self, attempts: &Attempts, error: &(dyn std::error::Error + 'static)) {
        let Some(last) = attempts.last() else { return };
        let failure = Failure::from_transport(error);
        let (key, project, model) = (last.key().as_str(), last.project(), last.model());
        let (class, error) = (failure.class().as_str(), failure.message());
        tracing::info!(request = self.id(), key, project, model, class, error, "attempt failed");
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.progress.known().attempts[self.at].milliseconds = milliseconds(self.begun.elapsed());
    }
}

impl Attempting {
    /// Records the head of the response or the error of the connection.
    pub fn end(self, result: Result<StatusCode, &(dyn std::error::Error + 'static)>) {
        let record = &mut self.progress.known().attempts[self.at];
        match result {
            Ok(status) if !status.is_client_error() && !status.is_server_error() => {}
            Ok(status) => (record.class, record.status) = (Some("failed"), Some(status.as_u16())),
            Err(error) => {
                let failure = Failure::from_transport(error);
                record.class = Some(failure.class().as_str());
                record.message = failure.message().map(short);
            }
        }
    }
}

impl Entry {
    /// Starts the entry of a request. Its `x-request-id` is kept; without one, or with one of more than 128 bytes, it gets
    /// a random id.
    fn begin(app: &AppState, request: &mut Request) -> Self {
        let given = request.headers().get(REQUEST_ID).filter(|id| id.len() <= MAX_ID).cloned();
        let random = || HeaderValue::try_from(format!("{:016x}", fastrand::u64(..))).expect("digits");
        let id = given.unwrap_or_else(random);
        let progress = Progress(Arc::new(Shared { id, has_attempts: AtomicBool::new(false), known: Mutex::default() }));
        request.extensions_mut().insert(progress.clone());
        let begun = Begun {
            arrived: Instant::now(),
            method: request.method().clone(),
            uri: request.uri().clone(),
            is_anthropic: ["anthropic-version", "x-api-key"].iter().any(|name| request.headers().contains_key(*name)),
            in_progress: app.metrics.begin(request.uri().path()),
            progress,
        };
        Self { app: Arc::clone(app), begun: Some(begun) }
    }

    /// Logs, counts and keeps the request when its response starts, and adds the `x-request-id`.
    fn end(mut self, mut response: Response) -> Response {
        let Some(begun) = self.begun.take() else { return response };
        let extensions = response.extensions_mut();
        let attempts = extensions.remove::<Attempts>().unwrap_or_default();
        let cause = extensions.remove::<Cause>().map(|cause| short(&cause.0));
        let record = RequestRecord {
            cause,
            result: RequestResult::of(response.status(), &attempts),
            status: response.status().as_u16(),
            attempts: attempts.iter().map(attempt).collect(),
            ..begun.record()
        };
        let id = &begun.progress.0.id;
        if begun.is_anthropic || record.path.contains("/messages") {
            // Anthropic clients read the id from this header.
            response.headers_mut().entry("request-id").or_insert(id.clone());
        }
        if let Some(theirs) = response.headers_mut().insert(REQUEST_ID, id.clone()) {
            // OpenAI's support asks for it.
            response.headers_mut().insert(UPSTREAM_REQUEST_ID, theirs);
        }
        drop(begun);
        keep(&self.app, record);
        response
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(begun) = self.begun.take() else { return };
        let attempts = begun.progress.known().attempts.clone();
        let cause = if self.app.shutdown.is_cancelled() {
            "the gateway shut down, or the client left, before the response"
        } else {
            "the client left before the response"
        };
        let record = RequestRecord { cause: Some(cause.to_owned()), attempts, ..begun.record() };
        drop(begun);
        keep(&self.app, record);
    }
}

impl Begun {
    /// Returns the record of a request without a response.
    fn record(&self) -> RequestRecord {
        RequestRecord {
            id: self.progress.id().to_owned(),
            at_ms: jiff::Timestamp::now().as_millisecond(),
            method: short(self.method.as_str()),
            path: short(self.uri.path()),
            tenant: self.progress.known().tenant.as_ref().and_then(|tenant| Some(tenant.name.as_ref()?.to_string())),
            status: CLIENT_LEFT,
            milliseconds: milliseconds(self.arrived.elapsed()),
            result: RequestResult::Caller,
            cause: None,
            attempts: Vec::new(),
        }
    }
}

/// Logs, counts and keeps a request.
fn keep(app: &App, record: RequestRecord) {
    write(&record);
    app.metrics.answered(&record);
    if !is_own_page(&record.path) {
        app.recent.push(record);
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
