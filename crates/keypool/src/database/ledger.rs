//! What the gateway keeps beside its pool, where a database is and where there is none.

use tower_keypool::store::{Count, Draw, Ledger, LedgerEntry, MemoryLedger, Placing, StoreError};

use super::Database;

/// A ledger of whichever kind. A cheap handle.
#[derive(Clone, Debug)]
pub enum Records {
    /// It ends with the process.
    Memory(MemoryLedger),
    /// It is shared, and outlives it.
    Kept(Database),
}

impl Default for Records {
    fn default() -> Self {
        Self::Memory(MemoryLedger::default())
    }
}

impl From<Option<Database>> for Records {
    fn from(database: Option<Database>) -> Self {
        database.map_or_else(Self::default, Self::Kept)
    }
}

/// The same call of whichever there is.
macro_rules! of_any {
    ($self:ident, $ledger:ident => $call:expr) => {
        match $self {
            Self::Memory($ledger) => $call.await,
            Self::Kept(Database::File($ledger)) => $call.await,
            Self::Kept(Database::Server($ledger, _)) => $call.await,
        }
    };
}

impl Ledger for Records {
    async fn keep(&self, kind: &str, entries: Vec<LedgerEntry>, placing: Placing, now: i64) -> Result<(), StoreError> {
        of_any!(self, ledger => ledger.keep(kind, entries, placing, now))
    }

    async fn kept(&self, kind: &str, names: Vec<String>, now: i64) -> Result<Vec<LedgerEntry>, StoreError> {
        of_any!(self, ledger => ledger.kept(kind, names, now))
    }

    async fn kept_of(&self, kind: &str, whose: &str, prefix: &str, now: i64) -> Result<Vec<LedgerEntry>, StoreError> {
        of_any!(self, ledger => ledger.kept_of(kind, whose, prefix, now))
    }

    async fn forget(&self, kind: &str, names: Vec<String>) -> Result<(), StoreError> {
        of_any!(self, ledger => ledger.forget(kind, names))
    }

    async fn revision(&self, kind: &str) -> Result<u64, StoreError> {
        of_any!(self, ledger => ledger.revision(kind))
    }

    async fn draw(&self, name: &str, draw: Draw) -> Result<u64, StoreError> {
        of_any!(self, ledger => ledger.draw(name, draw))
    }

    async fn count(&self, counts: Vec<Count>, now: i64) -> Result<Vec<u64>, StoreError> {
        of_any!(self, ledger => ledger.count(counts, now))
    }
}
