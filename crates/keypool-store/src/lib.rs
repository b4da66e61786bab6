//! Stores for [`tower_keypool`]: counts, cooldowns and disabled keys that outlive the process, and that several processes and
//! machines share without ever exceeding a limit together.

#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqlite")]
pub mod sqlite;

#[cfg(feature = "redis")]
pub use redis::RedisStore;
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteOptions, SqliteStore};
