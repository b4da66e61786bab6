//! Redis or Valkey: one connection that comes back, and what lies there under one name.
//!
//! A [`Link`] is opened from [`Options`] and cloned freely; [`RedisBoard`](crate::share::RedisBoard) and
//! [`Redis`](crate::store::Redis) both work over it. All names begin with `{namespace}:`, so that one node of a cluster
//! holds them all, and everything is done by scripts: each call is one transaction.
//!
//! The server must not evict (`maxmemory-policy noeviction`). A replica that takes the master's place while the old one
//! is still written to lends the same units twice: where there are replicas, set `min-replicas-to-write 1` and
//! `min-replicas-max-lag` below the lease (10 s).

mod address;
mod failure;
mod link;
mod options;
mod script;
mod start;
mod stream;
#[cfg(feature = "redis-tls")]
mod tls;

#[cfg(test)]
mod tests;

pub use failure::RedisError;
pub use link::Link;
pub use options::{OnMissing, Options};
pub(crate) use script::Script;
