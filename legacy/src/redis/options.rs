//! How a server is reached, and what to do where it is not.

use std::{path::PathBuf, time::Duration};

use super::{address::Address, failure::RedisError};
use crate::missing::OnMissing;

/// How a server is reached. `Debug` shows neither user nor password.
///
/// ```
/// use std::time::Duration;
/// use tower_keypool::redis::{OnMissing, Options};
///
/// let options = Options::new("redis://:not-a-real-password@127.0.0.1:6379/2")?
///     .namespace("team-a")?
///     .on_missing(OnMissing::Wait(Duration::from_secs(30)));
/// assert!(!format!("{options:?}").contains("not-a-real-password"));
/// # Ok::<(), tower_keypool::redis::RedisError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Options {
    pub(super) address: Address,
    pub(super) namespace: String,
    pub(super) timeout: Duration,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) on_missing: OnMissing,
}

impl Options {
    /// A server by its address: `redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss://…` over TLS (feature
    /// `redis-tls`), or `redis+unix:///PATH`; `valkey` in the place of `redis` is the same.
    ///
    /// # Errors
    /// When it is no such address. It is not repeated in the error.
    pub fn new(address: &str) -> Result<Self, RedisError> {
        Ok(Self {
            address: Address::parse(address)?,
            namespace: "keypool".to_owned(),
            timeout: Duration::from_secs(1),
            ca_file: None,
            on_missing: OnMissing::default(),
        })
    }

    /// What all names begin with: processes that share keys have the same. `keypool` by default; 1 to 64 letters,
    /// digits, `-`, `_`, `.` or `:`.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn namespace(mut self, name: impl Into<String>) -> Result<Self, RedisError> {
        let name = name.into();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
            return Err(RedisError::invalid(format!(
                "a namespace is 1 to 64 letters, digits, `-`, `_`, `.` or `:`, and not {name:?}"
            )));
        }
        self.namespace = name;
        Ok(self)
    }

    /// Who asks, where the address does not say so.
    #[must_use]
    pub fn user(mut self, name: &str) -> Self {
        self.address.login = self.address.login.set_username(name);
        self
    }

    /// The password, where the address does not say so.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.address.login = self.address.login.set_password(password);
        self
    }

    /// Certificates (PEM) of the authorities that are trusted, and no others; else those that browsers trust. For
    /// `rediss://` alone.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// How long to wait for the connection, and for an answer where the caller does not say so. 1 s by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// What to do when the server cannot be reached at start.
    #[must_use]
    pub fn on_missing(mut self, on_missing: OnMissing) -> Self {
        self.on_missing = on_missing;
        self
    }
}
