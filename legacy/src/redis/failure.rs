//! What can go wrong with a server.

use std::{error::Error, fmt};

use tower::BoxError;

/// A call to the server came to nothing. Never shows a password.
#[derive(Debug)]
pub struct RedisError {
    kind: Kind,
    what: String,
    source: Option<BoxError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// What was configured makes no sense.
    Invalid,
    /// The server cannot be reached, or did not answer in time.
    Unreachable,
    /// The server answered that it does nothing just now: no memory, no disk, a script that does not end.
    Hindered,
    /// The server evicts what it holds.
    Evicting,
    /// The server answered with an error.
    Refused,
}

impl RedisError {
    pub(super) fn invalid(what: impl Into<String>) -> Self {
        Self { kind: Kind::Invalid, what: what.into(), source: None }
    }

    pub(super) fn unreachable(what: impl Into<String>) -> Self {
        Self { kind: Kind::Unreachable, what: what.into(), source: None }
    }

    pub(super) fn evicting(what: impl Into<String>) -> Self {
        Self { kind: Kind::Evicting, what: what.into(), source: None }
    }

    /// What lies there is of somebody else.
    pub(super) fn foreign(what: impl Into<String>) -> Self {
        Self { kind: Kind::Refused, what: what.into(), source: None }
    }

    /// What the server, or the way to it, said.
    pub(super) fn of(what: impl Into<String>, source: redis::RedisError) -> Self {
        let code = code(&source);
        let kind = match code {
            _ if passes(&source) => Kind::Unreachable,
            Some("OOM" | "MISCONF" | "NOREPLICAS" | "BUSY" | FULL) => Kind::Hindered,
            _ => Kind::Refused,
        };
        let mut what = what.into();
        if is_about_a_password(&source) {
            what.push_str(" without the right password (KEYPOOL_REDIS_PASSWORD, store.password_file, or in its URL)");
        }
        what.push_str(code.and_then(hint).unwrap_or_default());
        Self { kind, what, source: Some(Box::new(source)) }
    }

    /// What the server at `address` said to whoever came in.
    pub(super) fn of_coming_in(address: impl fmt::Display, source: redis::RedisError) -> Self {
        let verb = if is_about_a_password(&source) { "lets nobody in" } else { "does not take the connection" };
        Self::of(format!("{address} {verb}"), source)
    }

    pub(super) fn because(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Whether the options make no sense: trying again is of no use.
    pub fn is_invalid(&self) -> bool {
        self.kind == Kind::Invalid
    }

    /// Whether the server could not be reached, did not answer in time, or cannot serve yet.
    pub fn is_unreachable(&self) -> bool {
        self.kind == Kind::Unreachable
    }

    /// Whether it may be otherwise a little later, with nothing set otherwise: [`RedisError::is_unreachable`], or a server
    /// that has no memory or disk left, too few replicas, as many clients as it may have, or a script that does not end.
    pub fn is_passing(&self) -> bool {
        matches!(self.kind, Kind::Unreachable | Kind::Hindered)
    }

    /// Whether the server would throw away what it holds when it is full.
    pub fn is_evicting(&self) -> bool {
        self.kind == Kind::Evicting
    }

    /// Whether the server answered, and refused: a wrong password, no right to a command.
    pub fn is_refused(&self) -> bool {
        self.kind == Kind::Refused
    }
}

/// Our word for a server that has as many clients as it may have, which has none of its own.
const FULL: &str = "MAXCLIENTS";

/// The same of a node of a cluster that is asked for another database than its one.
const ONE_DATABASE: &str = "ONEDATABASE";

/// What the server calls the reason. Where a number of a database could not be chosen the client tells the sentence alone.
fn code(error: &redis::RedisError) -> Option<&str> {
    const SENTENCES: [(&str, &str); 7] = [
        ("loading the dataset", "LOADING"),
        ("against a read only", "READONLY"),
        ("link with master is down", "MASTERDOWN"),
        ("authentication required", "NOAUTH"),
        ("is busy running a script", "BUSY"),
        ("max number of clients", FULL),
        ("not allowed in cluster mode", ONE_DATABASE),
    ];
    let by_sentence = || {
        let told = error.to_string().to_lowercase();
        SENTENCES.iter().find(|(sentence, _)| told.contains(sentence)).map(|(_, code)| *code)
    };
    error.code().filter(|code| *code != "ERR").or_else(by_sentence)
}

/// What to know of a reason, or to do.
fn hint(code: &str) -> Option<&'static str> {
    Some(match code {
        "LOADING" => " yet, since it loads its data: it serves when it has them",
        "READONLY" => {
            ", since it is a read-only replica: name the master (store.url, --redis, KEYPOOL_REDIS_URL), or let this one take \
             its place (redis-cli REPLICAOF NO ONE)"
        }
        "MASTERDOWN" => ", since it is a replica that has lost its master",
        "MOVED" | "ASK" => {
            ", since it is a node of a Redis Cluster, and another node has the slot of our names (they share one hash tag): \
             name the master that its answer tells (store.url, --redis, KEYPOOL_REDIS_URL), or a server that is no cluster"
        }
        "CROSSSLOT" => {
            ", since it is a Redis Cluster, where a call's names must share one hash tag, as ours do if nothing on the way \
             changes them: name the master that has their slot (store.url, --redis, KEYPOOL_REDIS_URL), or a server that is no \
             cluster"
        }
        ONE_DATABASE => ", since it is a node of a Redis Cluster, which has database 0 alone: name no other in its URL",
        FULL => ", since it has as many clients as it may have (maxclients)",
        _ => return None,
    })
}

/// Whether it may be otherwise a little later, or over another connection: nobody answers, or one who loads its data, was
/// made a replica, or is part of a cluster that has no majority.
pub(super) fn passes(error: &redis::RedisError) -> bool {
    let code = matches!(code(error), Some("LOADING" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN"));
    code || error.is_io_error() || error.is_timeout() || error.is_connection_dropped()
}

/// Whether the server asks for a password, or for another one.
fn is_about_a_password(error: &redis::RedisError) -> bool {
    matches!(code(error), Some("NOAUTH" | "WRONGPASS")) || error.kind() == redis::ErrorKind::AuthenticationFailed
}

impl fmt::Display for RedisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl Error for RedisError {
    /// What stood in the way is said already: this is what is behind that.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source = self.source.as_deref()?;
        // A server's words lie behind themselves.
        source.source().filter(|behind| !source.to_string().contains(&behind.to_string()))
    }
}
