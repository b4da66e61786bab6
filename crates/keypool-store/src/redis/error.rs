//! Errors of a Redis store.

use std::{error::Error, fmt};

use redis::{ErrorKind, RedisError as ClientError, ServerErrorKind};

/// An error of a Redis store. Its message names the server, what happened and what to do; it never contains a password.
#[derive(Clone, Debug)]
pub struct RedisError {
    kind: RedisErrorKind,
    message: String,
    sent: bool,
}

/// The kind of a [`RedisError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RedisErrorKind {
    /// The address, the namespace or a certificate is malformed.
    Invalid,
    /// The connection could not be opened, or it broke.
    Unreachable,
    /// No connection within three seconds, or no reply within one second.
    TimedOut,
    /// A wrong or missing password, or a command that the user may not run.
    Denied,
    /// The other side is not a Redis server.
    NotRedis,
    /// The server replied with an error.
    Server,
}

impl RedisError {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self { kind: RedisErrorKind::Invalid, message: message.into(), sent: false }
    }

    pub(super) fn timed_out(address: &str) -> Self {
        let message = format!("Redis at {address} did not answer in time");
        Self { kind: RedisErrorKind::TimedOut, message, sent: false }
    }

    pub(super) fn new(address: &str, error: &ClientError) -> Self {
        let code = error.code().unwrap_or_default();
        let server = |what: &str| (RedisErrorKind::Server, format!("Redis at {address} {what}"));
        let (kind, message) = match error.kind() {
            ErrorKind::AuthenticationFailed => (RedisErrorKind::Denied, denied(address)),
            _ if code == "NOAUTH" || code == "WRONGPASS" => (RedisErrorKind::Denied, denied(address)),
            ErrorKind::Server(ServerErrorKind::NoPerm) => {
                let what = error.detail().unwrap_or("a command");
                (RedisErrorKind::Denied, format!("Redis at {address} does not allow what the store needs: {what}"))
            }
            ErrorKind::Server(ServerErrorKind::ReadOnly) => {
                server("is a read-only replica; the store needs the primary")
            }
            _ if code == "OOM" => server("is out of memory; raise its maxmemory"),
            _ if code == "MOVED" || code == "CLUSTERDOWN" => {
                server("is a node of a cluster, which is not supported; use a server that has all data")
            }
            ErrorKind::Io if error.is_timeout() => return Self::timed_out(address),
            ErrorKind::Io => {
                let why = error.to_string();
                let advice = if why.contains("UnknownIssuer") {
                    "; trust the authority of its certificate (`redis_ca_file`)"
                } else if why.contains("CaUsedAsEndEntity") {
                    "; use a certificate that is not one of an authority"
                } else {
                    ""
                };
                (RedisErrorKind::Unreachable, format!("Redis at {address} cannot be reached: {why}{advice}"))
            }
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
                (RedisErrorKind::NotRedis, format!("{address} does not answer like a Redis server"))
            }
            ErrorKind::InvalidClientConfig => (RedisErrorKind::Invalid, format!("{error}")),
            _ => (RedisErrorKind::Server, format!("Redis at {address} answered with an error: {error}")),
        };
        Self { kind, message, sent: false }
    }

    /// Marks the call as sent to the server, which may have executed it.
    pub(super) fn sent(self) -> Self {
        Self { sent: true, ..self }
    }

    pub(super) fn was_sent(&self) -> bool {
        self.sent
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> RedisErrorKind {
        self.kind
    }
}

fn denied(address: &str) -> String {
    format!("Redis at {address} refuses the user or password; check both in the store's address")
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for RedisError {}

impl From<RedisError> for tower_keypool::Error {
    fn from(error: RedisError) -> Self {
        Self::store(error)
    }
}
