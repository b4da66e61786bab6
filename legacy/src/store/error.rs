//! Why a store could not be read or written.

use std::{
    error::Error,
    fmt,
    io::{self, ErrorKind},
};

use tower::BoxError;

/// A store could not be read or written. Says which and why, never a secret.
#[derive(Debug)]
pub struct StoreError {
    what: String,
    source: Option<BoxError>,
    in_use: bool,
    anew: bool,
    unreachable: bool,
    broken: bool,
    denied: bool,
    passing: bool,
}

impl StoreError {
    /// What could not be done.
    pub fn new(what: impl Into<String>) -> Self {
        let (in_use, anew, unreachable, broken, denied, passing) = Default::default();
        Self { what: what.into(), source: None, in_use, anew, unreachable, broken, denied, passing }
    }

    /// The same, and what stood in the way.
    pub fn because(what: impl Into<String>, source: impl Into<BoxError>) -> Self {
        let source = source.into();
        let kind = source.downcast_ref::<io::Error>().map(io::Error::kind);
        let denied = matches!(kind, Some(ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem));
        let full = matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded));
        let passing = full || source.downcast_ref().is_some_and(Self::is_passing);
        Self { source: Some(source), denied, passing, ..Self::new(what) }
    }

    /// What stands in the way may be gone a little later, with nothing set otherwise: a full disk, full memory, a lock.
    pub fn passing(what: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self { passing: true, ..Self::because(what, source) }
    }

    /// The system lets nobody like us at it.
    pub fn denied(what: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self { denied: true, ..Self::because(what, source) }
    }

    /// Nobody answers where it is kept; a little later somebody may.
    pub fn unreachable(what: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self { unreachable: true, ..Self::because(what, source) }
    }

    /// What is kept contradicts itself: it cannot be read as it is.
    pub fn broken(what: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self { broken: true, ..Self::because(what, source) }
    }

    /// Another process works on it.
    pub fn in_use(what: impl Into<String>) -> Self {
        Self { in_use: true, ..Self::new(what) }
    }

    /// What it held is gone, and it has begun anew: whoever works on it is to say all that it knows.
    pub fn begun_anew(what: impl Into<String>) -> Self {
        Self { anew: true, ..Self::new(what) }
    }

    /// Whether what it held is gone, and it takes writes all the same.
    pub fn is_begun_anew(&self) -> bool {
        self.anew
    }

    /// Whether nobody answered, so that trying again may help.
    pub fn is_unreachable(&self) -> bool {
        self.unreachable
    }

    /// Whether it may be otherwise a little later, with nothing set otherwise: nobody answered, or a disk is full.
    pub fn is_passing(&self) -> bool {
        self.unreachable || self.passing
    }

    /// Whether what is kept contradicts itself. Nothing was changed.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether the system lets nobody like us write it, or read it.
    pub fn is_denied(&self) -> bool {
        self.denied
    }

    /// Whether another process works on it.
    pub fn is_in_use(&self) -> bool {
        self.in_use
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl Error for StoreError {
    /// What stood in the way is said already: this is what is behind that.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref()?.source()
    }
}
