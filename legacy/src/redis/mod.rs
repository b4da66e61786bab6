//! Redis or Valkey: one connection that comes back, and what lies there under one name.
//!
//! A [`Link`] is opened from [`Options`] and cloned freely; [`RedisBoard`](crate::share::RedisBoard) and
//! [`Redis`](crate::store::Redis) both work over it. All names begin with `{namespace}:`, so that one node of a cluster
//! holds them all, and everything is done by scripts: each call is one transaction.
//!
//! What the server needs:
//!
//! - Redis 5, Valkey 7.2 or later; of a cluster, the node that serves the namespace's slot.
//! - `maxmemory-policy noeviction`: one that evicts is refused.
//! - Rights of the user: `~{NAMESPACE} ~{NAMESPACE}:* +@read +@write +@scripting +@transaction +@connection +time +info`.
//!   Without `info` a copy that takes the server's place is noticed late; without `client|tracking` (of `@connection`), and
//!   before Redis 6, what other processes change is heard with the next renewal alone.
//! - Anything may be lost without a limit being exceeded: whoever holds keys says so again, and the rest waits for a
//!   lease (10 s) and counts as used. An append-only file keeps days' counts, rests and keys that were added.
//! - Where there are replicas: `min-replicas-to-write 1` and `min-replicas-max-lag` below the lease. A master that is cut
//!   off and still written to, while a replica takes its place, lends the same units twice.

mod address;
mod ear;
mod failure;
mod kinds;
mod link;
mod options;
mod script;
mod start;
mod stream;
#[cfg(feature = "redis-tls")]
mod tls;

#[cfg(test)]
mod tests;

pub use crate::missing::OnMissing;
pub(crate) use ear::{Ear, Word};
pub use failure::RedisError;
pub use link::Link;
pub use options::Options;
pub(crate) use script::Script;
