//! Stores: where counts, rests and disabled keys outlive the process.
//!
//! A pool that is [opened](crate::KeyPoolBuilder::open) on a store begins with what the last process left there, and
//! writes what changes behind: batches of 100 ms, never on a request's path. So that a crash between two batches never
//! lets more through than a limit allows, each batch also says how much may be started before the next one (the
//! *mark*): no key goes beyond it, and whoever begins after a crash counts it as used.
//!
//! [`MemoryStore`] ends with the process; `Sqlite` (feature `sqlite`) is one file; `Redis` (feature `redis`) is a server. To write another: implement
//! [`Store`], and let [`conformance::check`] run against it (see `examples/own_store.rs`).

mod any;
mod batch;
mod book;
mod book_error;
pub mod conformance;
mod error;
mod image;
mod ledger;
mod memory;
mod moments;
mod record;
#[cfg(feature = "redis")]
mod redis;
mod secret;
mod settings;
#[cfg(feature = "sqlite")]
mod sqlite;
mod started;
#[cfg(any(feature = "redis", feature = "sqlite"))]
mod vault;

use std::{future::Future, sync::Arc};

#[cfg(feature = "redis")]
pub use self::redis::{Redis, SharedRedis};
pub(crate) use any::AnyStore;
pub use batch::{Batch, Crash, Notes, Run};
pub use book::{Added, BookKey, KeyBook};
pub use book_error::BookError;
pub use error::StoreError;
pub use image::Image;
pub use ledger::{Count, Draw, Ledger, LedgerEntry, MemoryLedger, Placing};
pub use memory::MemoryStore;
pub(crate) use record::secret_hash;
pub use record::{
    Credit, ImportRecord, KeyRecord, KeyStanding, RestId, RestRecord, UnitRecord, UsageRecord, WindowRecord,
};
pub use secret::KeptSecret;
pub use settings::{KeyNews, KeySettings};
#[cfg(feature = "sqlite")]
pub use sqlite::{Contents, Migrated, SharedSqlite, Sqlite};
pub use started::StartedRecord;
#[cfg(any(feature = "redis", feature = "sqlite"))]
pub use vault::{InvalidVaultKey, Keeping, Vault};

/// Keeps what a pool knows. One process works on it at a time.
///
/// A pool waits for it as long as it takes (but for the first write, and the last): give what may hang a time-out. While
/// a write is under way, keys whose limits are counted go no further than the last one allowed. One that panics failed.
pub trait Store: Send + Sync + 'static {
    /// All that it holds, for whoever is about to work on it. Days' use and imports may be left out.
    ///
    /// # Errors
    /// When it cannot be read, or another process works on it.
    fn load(&self) -> impl Future<Output = Result<Image, StoreError>> + Send;

    /// Takes a batch: all of it or nothing. Once it has said so, the batch outlives the process; one that
    /// [is lasting](Batch::is_lasting) the machine, too.
    ///
    /// # Errors
    /// When it could not be kept. It is handed over again.
    fn write(&self, batch: Arc<Batch>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Whether it takes [`Batch::started`]: what an owner started, to be added to the record that is there. Whoever does
    /// is told the whole log of an owner now and then only, and when a key served last with its use
    /// ([`UsageRecord::last_success`]). Otherwise each batch has the whole log of each owner that was used.
    fn takes_started(&self) -> bool {
        false
    }

    /// Whether processes of several machines work on it. What the provider says of a machine's own address is then neither
    /// kept nor told to others.
    fn spans_machines(&self) -> bool {
        false
    }

    /// Use by key and lane of the days `from` to `to` (dates such as `2026-06-15`, both included), in the order of day,
    /// key and lane.
    ///
    /// # Errors
    /// When it cannot be read.
    fn usage(&self, from: &str, to: &str) -> impl Future<Output = Result<Vec<UsageRecord>, StoreError>> + Send;

    /// Imports made, oldest first.
    ///
    /// # Errors
    /// When it cannot be read.
    fn imports(&self) -> impl Future<Output = Result<Vec<ImportRecord>, StoreError>> + Send;
}
