//! Errors of the client.

use std::{collections::BTreeSet, error::Error as StdError, fmt, io, time::Duration};

use http::{Response, StatusCode, header};
use tower_keypool::{
    Attempts, Base, ErrorClass, Failure, KeyId, KeyPool, Unavailable,
    classify::causes,
    pool::{Attempt, BreakerState, BreakerView, UnavailableReason as Reason},
};

use crate::time::time_left;

/// The reason why a prompt has no answer. It never contains a secret.
#[derive(Debug)]
pub struct Error {
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    code: Option<String>,
    status: Option<StatusCode>,
    retry_after: Option<Duration>,
    attempts: Attempts,
    library: Option<tower_keypool::Error>,
    cause: Option<UnavailableCause>,
}

/// The cause of [`ErrorKind::Unavailable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnavailableCause {
    /// Keys are at a rate limit or a daily limit.
    Quota,
    /// The keys are rejected or disabled.
    Keys,
    /// The provider or the network failed, or keys are busy.
    Provider,
}

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is invalid: it was not sent, or the provider refused it. A retry would fail again.
    Invalid,
    /// The model does not exist.
    ModelNotFound,
    /// Keys of three projects or more were refused in the same way, without a reason.
    Refused,
    /// A failure of the provider: a 5xx, or an error within a stream.
    Provider,
    /// No key can serve now; [`Error::retry_after`] returns when one may.
    Unavailable,
    /// The provider could not be reached.
    Connect,
    /// The provider did not respond in time.
    Timeout,
    /// The connection was closed before the end of the response.
    Closed,
    /// The response does not have the format of the provider's API.
    Unreadable,
    /// The pool's store is not available.
    Store,
    /// The pool was shut down.
    ShutDown,
}

impl ErrorKind {
    /// Returns the name of the kind in results and logs, such as `timeout`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::ModelNotFound => "model_unavailable",
            Self::Refused => "refused",
            Self::Provider => "model_error",
            Self::Unavailable => "unavailable",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Unreadable => "unreadable",
            Self::Store => "store",
            Self::ShutDown => "shut_down",
        }
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let inner = Inner {
            kind,
            message: message.into(),
            code: None,
            status: None,
            retry_after: None,
            attempts: Attempts::default(),
            library: None,
            cause: None,
        };
        Self { inner: Box::new(inner) }
    }

    pub(crate) fn with_attempts(mut self, attempts: Attempts) -> Self {
        self.inner.attempts = attempts;
        self
    }

    /// Converts an error of the library.
    pub(super) fn of_library(error: tower_keypool::Error, pool: &KeyPool) -> Self {
        use tower_keypool::ErrorKind as Library;
        let attempts = error.attempts().clone();
        // The first keys stand for all, which may be many.
        let classes = error.as_unavailable().map_or_else(Vec::new, |_| cooling_classes(pool));
        let mut out = match error.kind() {
            Library::Unavailable => Self::new(ErrorKind::Unavailable, unavailable_text(&error, &classes)),
            Library::Store => Self::new(ErrorKind::Store, error.to_string()),
            Library::ShutDown => Self::new(ErrorKind::ShutDown, error.to_string()),
            Library::Transport => Self::from_transport(&error, pool.provider().base()),
            _ => Self::new(ErrorKind::Invalid, error.with_cause()),
        };
        out.inner.retry_after = error.retry_after();
        out.inner.cause = error.as_unavailable().map(|unavailable| cause(unavailable, &attempts, classes));
        out.inner.library = Some(error);
        out.with_attempts(attempts)
    }

    /// Converts an error of the connection.
    pub(super) fn from_transport(error: &(dyn StdError + 'static), base: &Base) -> Self {
        let failure = Failure::from_transport(error);
        let is_connect = causes(error).any(|cause| {
            cause
                .downcast_ref::<hyper_util::client::legacy::Error>()
                .is_some_and(hyper_util::client::legacy::Error::is_connect)
        });
        let kind = match failure.code() {
            Some("timeout") => ErrorKind::Timeout,
            Some("connect") => ErrorKind::Connect,
            _ if is_connect => ErrorKind::Connect,
            _ => ErrorKind::Closed,
        };
        let authority = base.authority();
        let default = if base.scheme() == &http::uri::Scheme::HTTPS { 443 } else { 80 };
        let address = format!("{}:{}", authority.host(), authority.port_u16().unwrap_or(default));
        let root = causes(error).last().unwrap_or(error);
        let cause = match root.downcast_ref::<io::Error>().and_then(|error| words_of(error.kind())) {
            Some(words) => words.to_owned(),
            None if kind == ErrorKind::Timeout => "no answer in time".to_owned(),
            None => root.to_string(),
        };
        Self::new(kind, format!("{cause} at {address}"))
    }

    /// Converts an error response of the provider.
    pub(super) fn of_failure<B>(failure: &Failure, answer: &Response<B>, attempts: Attempts, base: &Base) -> Self {
        let kind = match failure.class() {
            ErrorClass::Caller => ErrorKind::Invalid,
            ErrorClass::ModelNotFound => ErrorKind::ModelNotFound,
            ErrorClass::Transient => ErrorKind::Provider,
            ErrorClass::Egress => ErrorKind::Unavailable,
            // A 404 for a model that no key may use.
            ErrorClass::NotEntitled if failure.status() == Some(StatusCode::NOT_FOUND) => ErrorKind::ModelNotFound,
            _ => ErrorKind::Refused,
        };
        let status = failure.status().unwrap_or(answer.status());
        let content_type = answer.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        let is_page = content_type.starts_with(b"text/") && failure.code().is_none();
        let text = match failure.message() {
            _ if is_page && matches!(status.as_u16(), 400 | 404 | 405 | 501) => {
                wrong_address(&status.to_string(), base)
            }
            None if status.is_client_error() => wrong_address(&format!("{status} without a reason"), base),
            _ => failure_text(failure),
        };
        let mut error = Self::new(kind, text).with_attempts(attempts);
        error.inner.status = Some(status);
        error.inner.code = failure.code().map(str::to_owned);
        error.inner.retry_after = failure.retry_after();
        error
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Returns the message without the time of a retry.
    pub(crate) fn message(&self) -> &str {
        &self.inner.message
    }

    /// Returns the provider's error code, such as `INVALID_ARGUMENT`.
    pub fn code(&self) -> Option<&str> {
        self.inner.code.as_deref()
    }

    /// Returns the status of the provider's response.
    pub fn status(&self) -> Option<StatusCode> {
        self.inner.status
    }

    /// Returns how long to wait before a retry may succeed, if that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// Returns the key that was used last.
    pub fn key(&self) -> Option<&KeyId> {
        self.inner.attempts.last().map(Attempt::key)
    }

    /// Returns the keys that were tried, each with its outcome.
    pub fn attempts(&self) -> &Attempts {
        &self.inner.attempts
    }

    /// Returns why no key could serve, if that is the error.
    pub fn as_unavailable(&self) -> Option<&Unavailable> {
        self.inner.library.as_ref()?.as_unavailable()
    }

    /// Returns the cause why no key could serve, if that is the error.
    pub fn unavailable_cause(&self) -> Option<UnavailableCause> {
        self.inner.cause
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)?;
        match self.as_unavailable().and_then(Unavailable::retry_after) {
            Some(after) => write!(f, "; try again in {}", time_left(after.as_secs().max(1))),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.library.as_ref().map(|error| error as &(dyn StdError + 'static))
    }
}

/// Returns the breakers that are cooling down, for the first keys of a pool.
pub(crate) fn cooling(pool: &KeyPool, keys: usize) -> Vec<BreakerView> {
    let snapshot = pool.snapshot(0, keys);
    let of_keys = snapshot.keys.into_iter().flat_map(|key| key.breakers);
    let of_projects = snapshot.projects.into_iter().flat_map(|project| project.breakers);
    let breakers = of_keys.chain(of_projects).chain(snapshot.breakers);
    breakers.filter(|breaker| breaker.state == BreakerState::Cooling).collect()
}

/// Returns the classes of failures for which the first keys of a pool are cooling down.
pub(crate) fn cooling_classes(pool: &KeyPool) -> Vec<ErrorClass> {
    cooling(pool, 64).iter().filter_map(|breaker| breaker.class).collect()
}

fn unavailable_text(error: &tower_keypool::Error, classes: &[ErrorClass]) -> String {
    let text = match error.as_unavailable() {
        Some(unavailable) if unavailable.retry_after().is_some() => format!("{unavailable:#}"),
        // Without a time, the attempts are the best explanation.
        _ => error.to_string(),
    };
    with_classes(text, classes)
}

/// Inserts the classes into the reasons why no key is available, such as `2 cooling down (key rejected)`.
pub(crate) fn with_classes(text: String, classes: &[ErrorClass]) -> String {
    let names: BTreeSet<&str> = classes.iter().map(|class| class.as_str()).collect();
    if names.is_empty() {
        return text;
    }
    let cooling = Reason::Cooling.to_string();
    let why = names.into_iter().collect::<Vec<_>>().join(", ").replace('_', " ");
    text.replacen(&cooling, &format!("{cooling} ({why})"), 1)
}

/// Returns the cause why no key could serve, from the attempts and the classes of the cooldowns.
fn cause(unavailable: &Unavailable, attempts: &Attempts, cooling: Vec<ErrorClass>) -> UnavailableCause {
    use ErrorClass::{DailyQuota, Egress, RateLimit, Transient};
    let mut reasons = unavailable.reasons().iter().map(|(reason, _)| *reason);
    let last = attempts.last().and_then(Attempt::class);
    let classes: Vec<ErrorClass> = attempts.iter().filter_map(Attempt::class).chain(cooling).collect();
    let is_limit = |reason| matches!(reason, Reason::Limit | Reason::DailyLimit | Reason::Store);
    match () {
        () if matches!(last, Some(Transient | Egress)) => UnavailableCause::Provider,
        () if reasons.clone().any(is_limit) => UnavailableCause::Quota,
        () if classes.iter().any(|class| matches!(class, RateLimit | DailyQuota)) => UnavailableCause::Quota,
        () if reasons.all(|reason| matches!(reason, Reason::Disabled | Reason::Model)) => UnavailableCause::Keys,
        // A key that is not rejected may serve later.
        () if classes.iter().any(|class| matches!(class, Transient | Egress)) => UnavailableCause::Provider,
        () if classes.iter().any(|class| class.is_key_fault()) => UnavailableCause::Keys,
        () => UnavailableCause::Provider,
    }
}

/// Formats the status, code and message of a failure: `429 RESOURCE_EXHAUSTED: quota exceeded`.
pub(crate) fn failure_text(failure: &Failure) -> String {
    let status = failure.status().map(|status| status.as_u16().to_string());
    let mut words = [status.as_deref(), failure.code()].into_iter().flatten().collect::<Vec<_>>().join(" ");
    if let Some(message) = failure.message() {
        words.push_str(if words.is_empty() { "" } else { ": " });
        words.push_str(message);
    }
    words
}

/// Formats an error of a response that another server than the provider may have sent.
pub(super) fn wrong_address(what: &str, base: &Base) -> String {
    format!("{what} from {base}: is this the provider's address? Check the upstream (--upstream)")
}

/// Describes an I/O error by its kind, if the kind is known.
fn words_of(kind: io::ErrorKind) -> Option<&'static str> {
    Some(match kind {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::HostUnreachable => "host unreachable",
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => "network unreachable",
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => "connection reset",
        io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => "connection closed",
        io::ErrorKind::TimedOut => "no answer in time",
        _ => return None,
    })
}
