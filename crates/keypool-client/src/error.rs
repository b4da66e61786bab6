//! Why there is no answer.

use std::{fmt, time::Duration};

use http::StatusCode;
use serde_json::Value;
use tower_keypool::{KeyId, ServedBy, VerdictKind};

/// Why there is no answer: which key was tried last, how often, for which request.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    request_id: Option<String>,
    served_by: Option<ServedBy>,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The pool found no key, or no answer came.
    #[error("{0}")]
    Pool(tower_keypool::Error),
    /// The provider answered that it will not.
    #[error("{status}{}: {message}", code.as_deref().map(|code| format!(" {code}")).unwrap_or_default())]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The provider's own word, such as `INVALID_ARGUMENT`.
        code: Option<String>,
        /// What it says.
        message: String,
        /// All of it.
        body: Box<Value>,
    },
    /// What came is not what was to come.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
    /// The answer broke off.
    #[error("the answer broke off: {0}")]
    Broken(String),
    /// The request cannot be made: a model without a name, a field that is no JSON.
    #[error("the request cannot be made: {0}")]
    Unmade(String),
    /// The text of the answer is no JSON of the kind that was to come.
    #[error("{0}")]
    Json(String),
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Inner { kind, request_id: None, served_by: None }))
    }

    pub(crate) fn of_pool(error: tower_keypool::Error) -> Self {
        let served_by = error.served_by().cloned();
        let mut made = Self::new(ErrorKind::Pool(error));
        made.0.served_by = served_by;
        made
    }

    /// What the provider refused with.
    pub(crate) fn refused(status: StatusCode, body: &[u8]) -> Self {
        let parsed: Value = serde_json::from_slice(body).unwrap_or_default();
        // Some endpoints wrap it in a list.
        let whole = parsed.get(0).unwrap_or(&parsed);
        let error = &whole["error"];
        let text = |name: &str| error[name].as_str().map(str::to_owned);
        // With a good status the number is all that there is; with any other it is that status.
        let number = || error["code"].as_u64().filter(|_| status.is_success()).map(|number| number.to_string());
        let code = text("status").or_else(|| text("code")).or_else(number).or_else(|| text("type"));
        let shown = || String::from_utf8_lossy(&body[..body.len().min(300)]).trim().to_owned();
        let message = text("message").or_else(|| error.as_str().map(str::to_owned)).unwrap_or_else(shown);
        Self::new(ErrorKind::Refused { status, code, message, body: Box::new(whole.clone()) })
    }

    /// The error that something with a good status tells of, where it tells of one.
    pub(crate) fn told(said: &Value, body: &[u8]) -> Option<Self> {
        let error = said.get(0).unwrap_or(said).get("error").filter(|error| !error.is_null())?;
        let number = error["code"].as_u64().and_then(|code| u16::try_from(code).ok());
        let status = number.and_then(|number| StatusCode::from_u16(number).ok());
        let status = status.filter(|status| status.is_client_error() || status.is_server_error());
        Some(Self::refused(status.unwrap_or(StatusCode::BAD_GATEWAY), body))
    }

    /// The same, unread.
    pub(crate) fn told_in(body: &[u8]) -> Option<Self> {
        Self::told(&serde_json::from_slice(body).ok()?, body)
    }

    pub(crate) fn with(mut self, request_id: Option<&str>, served_by: Option<ServedBy>) -> Self {
        self.0.request_id = request_id.map(str::to_owned);
        self.0.served_by = served_by.or(self.0.served_by);
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The id that the request was given.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// Who tried.
    pub fn served_by(&self) -> Option<&ServedBy> {
        self.0.served_by.as_ref()
    }

    /// The key of the last attempt.
    pub fn key_id(&self) -> Option<&KeyId> {
        self.served_by()?.key()
    }

    /// How many attempts reached for a key.
    pub fn attempts(&self) -> usize {
        self.served_by().map_or(0, ServedBy::attempts)
    }

    /// The status of the provider's answer, where there was one.
    pub fn status(&self) -> Option<StatusCode> {
        match &self.0.kind {
            ErrorKind::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// No key may carry the request now; [`retry_after`](Self::retry_after) says when. The pool found that, or the last key
    /// that was asked is at its limit: that answer comes up unless
    /// [`exhausted_instead`](tower_keypool::Retry::exhausted_instead) is set.
    pub fn is_exhausted(&self) -> bool {
        match &self.0.kind {
            ErrorKind::Pool(error) => error.is_exhausted(),
            ErrorKind::Refused { .. } => {
                matches!(self.verdict(), Some(VerdictKind::RateLimited | VerdictKind::QuotaExhausted))
            }
            _ => false,
        }
    }

    /// The request is at fault: sent again it fails again.
    pub fn is_invalid_request(&self) -> bool {
        match &self.0.kind {
            ErrorKind::Pool(error) => error.is_never_fits() || error.is_refused(),
            ErrorKind::Refused { .. } => self.verdict() == Some(VerdictKind::CallerFault),
            ErrorKind::Unmade(_) => true,
            _ => false,
        }
    }

    /// When to try again, from now, where that is known: by the pool for all keys, in a refusal by the provider for the last.
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.0.kind {
            ErrorKind::Pool(error) => error.retry_after(),
            ErrorKind::Refused { .. } => self.served_by()?.verdict().retry_after(),
            _ => None,
        }
    }

    /// The pool's own error, where it is one.
    pub fn pool(&self) -> Option<&tower_keypool::Error> {
        match &self.0.kind {
            ErrorKind::Pool(error) => Some(error),
            _ => None,
        }
    }

    fn verdict(&self) -> Option<VerdictKind> {
        self.served_by().map(|served| served.verdict().kind())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(id) = self.request_id() {
            write!(f, "request {id}: ")?;
        }
        self.0.kind.fmt(f)?;
        match (&self.0.kind, self.key_id()) {
            // It says so itself.
            (ErrorKind::Pool(_), _) | (_, None) => Ok(()),
            (_, Some(key)) => write!(f, " (key {key}, attempt {})", self.attempts()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.kind {
            ErrorKind::Pool(error) => error.source(),
            _ => None,
        }
    }
}
