//! The library's error.

use std::{any::Any, error::Error as StdError, fmt, time::Duration};

use serde::Serialize;

use crate::{
    classify::causes,
    key::KeyId,
    pool::{Attempts, Unavailable},
};

/// Any error of another service.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// An error of the pool or of its layers. It never contains a secret.
///
/// ```
/// use std::time::Duration;
/// use tower_keypool::{ErrorKind, Gemini, Key, KeyPool, Limits};
///
/// let key = Key::free("AIza-not-a-real-key-001").limits("*", Limits::new().per_minute(1));
/// let pool = KeyPool::builder(Gemini::new()).key(key).build()?;
/// drop(pool.try_acquire("gemini-2.5-flash")?);
/// let error = pool.try_acquire("gemini-2.5-flash").expect_err("the limit is used up");
/// assert_eq!(error.kind(), ErrorKind::Unavailable);
/// assert!(error.retry_after().is_some_and(|after| after <= Duration::from_secs(61)));
/// assert!(error.to_string().starts_with("no key is available for gemini-2.5-flash: 1 limit used up"));
/// # Ok::<(), tower_keypool::Error>(())
/// ```
pub struct Error {
    inner: Box<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    unavailable: Option<Unavailable>,
    attempts: Attempts,
    source: Option<BoxError>,
}

display_serialized!(ErrorKind);

/// The kind of an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// No key can serve the request now; [`Error::retry_after`] returns when one may.
    Unavailable,
    /// The service below failed: no connection, a timeout, a broken response.
    Transport,
    /// The request's body could not be read, or the request cannot carry a key.
    Request,
    /// A key or secret is malformed.
    InvalidKey,
    /// The configuration is wrong.
    Config,
    /// The pool has no key with this id.
    UnknownKey,
    /// The store is unavailable or its data is damaged.
    Store,
    /// The pool was shut down.
    ShutDown,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let inner =
            Inner { kind, message: message.into(), unavailable: None, attempts: Attempts::default(), source: None };
        Self { inner: Box::new(inner) }
    }

    /// Returns an error about the request, for your own [`Provider`](crate::Provider). The message must not contain a
    /// secret.
    pub fn request(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Request, message)
    }

    pub(crate) fn invalid_key(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidKey, message)
    }

    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// Puts the id of the key that is at fault before the message.
    pub(crate) fn of_key(mut self, key: &KeyId) -> Self {
        self.inner.message = format!("key {key}: {}", self.inner.message);
        self
    }

    pub(crate) fn unavailable(unavailable: Unavailable) -> Self {
        let mut error = Self::new(ErrorKind::Unavailable, String::new());
        error.inner.unavailable = Some(unavailable);
        error
    }

    pub(crate) fn shut_down() -> Self {
        Self::new(ErrorKind::ShutDown, "the pool was shut down")
    }

    /// Returns the error of a store that is unavailable or whose data is damaged.
    pub fn store(source: impl Into<BoxError>) -> Self {
        let source = source.into();
        Self::new(ErrorKind::Store, format!("the store failed: {source}")).with_source(source)
    }

    pub(crate) fn transport(source: BoxError) -> Self {
        let mut error = Self::new(ErrorKind::Transport, "the request to the provider failed");
        error.inner.source = Some(source);
        error
    }

    /// Converts the error of a service below: an error of this crate is kept, any other becomes a transport error.
    pub(crate) fn from_below(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => *error,
            Err(error) => Self::transport(error),
        }
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    pub(crate) fn with_attempts(mut self, attempts: Attempts) -> Self {
        self.inner.attempts = attempts;
        self
    }

    /// Replaces the attempts.
    pub(crate) fn set_attempts(&mut self, attempts: Attempts) {
        self.inner.attempts = attempts;
    }

    /// Finds the library's error in the error of a service: the error itself, or in a [`BoxError`] or its sources.
    pub(crate) fn find<E: 'static>(error: &E) -> Option<&Self> {
        let error: &dyn Any = error;
        error.downcast_ref().or_else(|| Self::find_source(&**error.downcast_ref::<BoxError>()?))
    }

    /// Like [`find`](Self::find), mutably and without the sources.
    pub(crate) fn find_mut<E: 'static>(error: &mut E) -> Option<&mut Self> {
        let error: &mut dyn Any = error;
        if error.is::<Self>() {
            return error.downcast_mut();
        }
        error.downcast_mut::<BoxError>()?.downcast_mut()
    }

    /// Finds the library's error among an error and its sources.
    pub(crate) fn find_source<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Self> {
        causes(error).find_map(|error| error.downcast_ref())
    }

    /// Returns the message with that of the root cause: `the request failed: connection refused`.
    pub fn with_cause(&self) -> String {
        let message = self.to_string();
        match causes(self).last().map(ToString::to_string) {
            Some(cause) if !message.contains(&cause) => format!("{message}: {cause}"),
            _ => message,
        }
    }

    /// Returns the kind of error.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Returns after which time a retry may succeed, if known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.unavailable.as_ref().and_then(Unavailable::retry_after)
    }

    /// Sets the time after which a retry may succeed, unless it is less already.
    pub(crate) fn lower_retry_after(&mut self, after: Duration) {
        if let Some(unavailable) = &mut self.inner.unavailable {
            unavailable.retry_after = Some(unavailable.retry_after.map_or(after, |earlier| earlier.min(after)));
        }
    }

    /// Returns why no key could serve, if that is the error.
    pub fn as_unavailable(&self) -> Option<&Unavailable> {
        self.inner.unavailable.as_ref()
    }

    /// Returns the keys that were tried, with their outcomes.
    pub fn attempts(&self) -> &Attempts {
        &self.inner.attempts
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner.unavailable {
            Some(unavailable) => unavailable.fmt(f)?,
            None => f.write_str(&self.inner.message)?,
        }
        if !self.inner.attempts.is_empty() {
            write!(f, " ({})", self.inner.attempts)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("message", &self.to_string())
            .field("source", &self.inner.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
