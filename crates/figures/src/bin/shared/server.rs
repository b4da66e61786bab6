//! Where the processes keep what they share.

use anyhow::Context;
use redis_fixture::RedisServer;
use tempfile::TempDir;

/// A database file, or a Redis of its own.
pub(crate) enum Server {
    Sqlite(TempDir),
    Redis(Box<RedisServer>),
}

impl Server {
    pub(crate) fn start(kind: &str) -> anyhow::Result<Self> {
        Ok(match kind {
            "redis" => {
                // What it was told before it was killed it knows when it is back.
                let server = RedisServer::lasting();
                Self::Redis(Box::new(server.context("redis-server is missing: sudo apt-get install redis-server")?))
            }
            _ => Self::Sqlite(tempfile::tempdir()?),
        })
    }

    pub(crate) fn address(&self) -> String {
        match self {
            Self::Sqlite(folder) => folder.path().join("keypool.db").display().to_string(),
            Self::Redis(server) => server.url(),
        }
    }

    /// The Redis that it is.
    pub(crate) fn redis(&mut self) -> anyhow::Result<&mut RedisServer> {
        match self {
            Self::Redis(server) => Ok(server),
            Self::Sqlite(_) => anyhow::bail!("this happens to Redis alone"),
        }
    }
}
