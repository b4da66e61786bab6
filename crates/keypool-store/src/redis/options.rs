//! The address of a Redis server and how to connect to it.

use std::{fmt, sync::Arc};

use redis::io::tcp::TcpSettings;
use redis::{Client, ConnectionAddr, IntoConnectionInfo, TlsCertificates};

use super::error::RedisError;

/// The address of a Redis server and how to connect to it.
///
/// ```
/// use keypool_store::redis::RedisOptions;
///
/// let options = RedisOptions::new("redis://localhost:6379").namespace("gateway").password("secret");
/// assert!(!format!("{options:?}").contains("secret"));
/// ```
#[derive(Clone)]
pub struct RedisOptions {
    url: String,
    pub(super) namespace: String,
    username: Option<String>,
    password: Option<String>,
    root_certificates: Option<Vec<u8>>,
    pub(super) time: Option<Time>,
}

/// A source of the time in milliseconds since the Unix epoch.
pub(super) type Time = Arc<dyn Fn() -> i64 + Send + Sync>;

impl RedisOptions {
    /// Creates options for the server at `redis://[user:password@]host[:port][/database]`, `rediss://` for TLS, or
    /// `unix:///path`.
    pub fn new(url: impl Into<String>) -> Self {
        let namespace = "keypool".to_owned();
        Self { url: url.into(), namespace, username: None, password: None, root_certificates: None, time: None }
    }

    /// Sets the prefix of all Redis keys, `keypool` by default. Pools that share limits use the same namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Sets the user, in place of the one in the URL.
    #[must_use]
    pub fn username(mut self, username: impl Into<String>) -> Self {
        self.username = Some(username.into());
        self
    }

    /// Sets the password, in place of the one in the URL.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Sets the certificates (PEM) of the authorities that are trusted over TLS, in place of the system's.
    #[must_use]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates = Some(pem.into());
        self
    }

    /// Sets a source of the time in milliseconds since the Unix epoch, in place of the server's clock, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn with_time(mut self, time: Arc<dyn Fn() -> i64 + Send + Sync>) -> Self {
        self.time = Some(time);
        self
    }

    pub(super) fn client(&self) -> Result<Client, RedisError> {
        let invalid = "the address of the Redis server must be redis://, rediss:// or unix://, with host and port";
        // The client's error may quote the address, which may contain a password.
        let info = self.url.as_str().into_connection_info().map_err(|_| RedisError::invalid(invalid))?;
        let mut login = info.redis_settings().clone();
        if let Some(username) = &self.username {
            login = login.set_username(username);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password);
        }
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = info.set_redis_settings(login).set_tcp_settings(tcp);
        if let ConnectionAddr::TcpTls { .. } = info.addr() {
            // Without a default provider the client panics. One that the program installed before stays in use.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        match &self.root_certificates {
            Some(pem) if !String::from_utf8_lossy(pem).contains("-----BEGIN CERTIFICATE-----") => {
                Err(RedisError::invalid("the certificates to trust (`redis_ca_file`) contain none in PEM form"))
            }
            Some(pem) => {
                let tls = TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) };
                Client::build_with_tls(info, tls).map_err(|error| RedisError::invalid(error.to_string()))
            }
            None => Client::open(info).map_err(|_| RedisError::invalid(invalid)),
        }
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}
