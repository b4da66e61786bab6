//! Stores for [`tower_keypool`]: counts, cooldowns and disabled keys that outlive the process. Several processes and
//! machines can share a store without exceeding a limit together.
//!
//! [`SqliteStore`] uses one file for all processes of a machine; it also stores keys, usage by day, tenants and
//! resources. [`RedisStore`] uses a Redis or Valkey server and works across machines. `open().await` opens a pool with
//! a store:
//!
//! ```
//! use keypool_store::{SqliteOptions, SqliteStore, sqlite::UsageQuery};
//! use tower_keypool::{Gemini, Key, KeyPool, Limits};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("keys.db");
//! let store = SqliteStore::open(path, SqliteOptions::new())?;
//! let pool = KeyPool::builder(Gemini::new())
//!     .key(Key::new("AIza-not-a-real-key-001").named("one"))
//!     .limits("gemini-2.5-flash", Limits::new().per_minute(10))
//!     .store(store.clone())
//!     .open()
//!     .await?;
//! drop(pool.acquire("gemini-2.5-flash").await?);
//! let usage = store.usage(UsageQuery::of_days(0..=i32::MAX).by_key()).await?;
//! assert_eq!(usage[0].used.requests, 1);
//! # Ok(())
//! # }
//! ```
//!
//! You can implement [`tower_keypool::store::Store`] yourself; the suite in `conformance` (feature `conformance`)
//! checks that an implementation meets the contract.

#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(any(feature = "redis", feature = "sqlite"))]
mod window;

#[cfg(feature = "redis")]
pub use redis::RedisStore;
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteOptions, SqliteStore};
