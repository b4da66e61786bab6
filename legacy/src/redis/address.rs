//! Where a server is, and who asks.

use std::fmt;

use redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};

use super::failure::RedisError;

const FORMS: &str = "redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], rediss://… for TLS, or redis+unix:///PATH";

/// Where a server is, and who asks. `Debug` and `Display` show neither user nor password.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) place: ConnectionAddr,
    pub(super) login: RedisConnectionInfo,
    /// Over TLS, which we lay ourselves.
    #[cfg(feature = "redis-tls")]
    pub(super) tls: bool,
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, RedisError> {
        // What is wrong is not repeated: there may be a password in it.
        let invalid = |what: &str| RedisError::invalid(format!("the address of the Redis server {what}: {FORMS}"));
        let url = url.trim();
        let (scheme, rest) = url.split_once("://").ok_or_else(|| invalid("has no scheme"))?;
        let (scheme, tls) = match scheme {
            "rediss" | "valkeys" => ("redis", true),
            scheme => (scheme, false),
        };
        if rest.contains('#') {
            return Err(invalid("has a part behind `#`, which nothing reads (write `#` of a password as `%23`)"));
        }
        if tls && cfg!(not(feature = "redis-tls")) {
            return Err(invalid("asks for TLS, for which the feature `redis-tls` is needed"));
        }
        let parsed = format!("{scheme}://{rest}").into_connection_info();
        let parsed = parsed.map_err(|error| invalid("makes no sense").because(error.category().to_owned()))?;
        let login = parsed.redis_settings().clone().set_lib_name("tower-keypool", env!("CARGO_PKG_VERSION"));
        Ok(Self {
            place: parsed.addr().clone(),
            login,
            #[cfg(feature = "redis-tls")]
            tls,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis at {}", self.place)?;
        match self.login.db() {
            0 => Ok(()),
            database => write!(f, " (database {database})"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
