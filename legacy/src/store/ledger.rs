//! What a host keeps beside what its pool keeps: named entries of a kind, each somebody's, each for a time.
//!
//! A gateway keeps whose a file is here, which uploads are open, who its tenants are and what they used. The library
//! reads none of it.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::StoreError;

/// An entry of a [`Ledger`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerEntry {
    /// What it is called, among those of its kind.
    pub name: String,
    /// Whose it is.
    pub whose: String,
    /// What it says.
    pub value: String,
    /// When it is forgotten, in Unix milliseconds; `None`: never.
    pub until: Option<i64>,
    /// The number of the change that made it, among those of its kind. Not the writer's to say.
    pub revision: u64,
}

/// What becomes of an entry whose name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placing {
    /// It takes the other's place.
    Replace,
    /// The other stays, unless it is the same one's: then that is kept for longer.
    Claim,
}

/// Keeps entries. Times are Unix milliseconds by the caller's clock.
pub trait Ledger: Send + Sync {
    /// Keeps entries, all of them or none.
    ///
    /// # Errors
    /// When they cannot be written.
    fn keep(
        &self,
        kind: &str,
        entries: Vec<LedgerEntry>,
        placing: Placing,
        now: i64,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Those of these names that are there.
    ///
    /// # Errors
    /// When they cannot be read.
    fn kept(
        &self,
        kind: &str,
        names: Vec<String>,
        now: i64,
    ) -> impl Future<Output = Result<Vec<LedgerEntry>, StoreError>> + Send;

    /// Those of one whose names begin so, by name.
    ///
    /// # Errors
    /// When they cannot be read.
    fn kept_of(
        &self,
        kind: &str,
        whose: &str,
        prefix: &str,
        now: i64,
    ) -> impl Future<Output = Result<Vec<LedgerEntry>, StoreError>> + Send;

    /// Forgets these names.
    ///
    /// # Errors
    /// When that cannot be written.
    fn forget(&self, kind: &str, names: Vec<String>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The number of the last change of this kind that is still there. Cheap.
    ///
    /// # Errors
    /// When it cannot be read.
    fn revision(&self, kind: &str) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Takes up to `want` of what is left of `most` under this name until it is forgotten: how much there was. Whoever
    /// else draws there gets none of it.
    ///
    /// # Errors
    /// When it cannot be written.
    fn draw(&self, name: &str, draw: Draw) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Adds to counts, or gives back to them, all or none: what each then holds, in the same order. One to which nothing is
    /// added is read.
    ///
    /// # Errors
    /// When they cannot be read or written.
    fn count(&self, counts: Vec<Count>, now: i64) -> impl Future<Output = Result<Vec<u64>, StoreError>> + Send;
}

/// How much is wanted of what is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// As much as this.
    pub want: u64,
    /// Of this, less what was drawn.
    pub most: u64,
    /// When the count is forgotten, in Unix milliseconds.
    pub until: i64,
    /// The time now.
    pub now: i64,
}

/// What is used of a count from which others draw, whether anything is left there or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// What it is called.
    pub name: String,
    /// So much more; below zero: so much is given back.
    pub by: i64,
    /// When the count is forgotten, in Unix milliseconds.
    pub until: i64,
}

/// The kind of counts.
pub(super) const DRAWN: &str = "drawn";

impl LedgerEntry {
    /// Whether it is there at this time.
    pub fn is_there(&self, now: i64) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// A [`Ledger`] that ends with the process. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct MemoryLedger(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    entries: BTreeMap<(String, String), LedgerEntry>,
    revision: u64,
    /// Entries when those that ended were looked for last.
    swept: usize,
}

impl MemoryLedger {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn keep(&mut self, kind: &str, mut entry: LedgerEntry, placing: Placing, now: i64) {
        let name = (kind.to_owned(), entry.name.clone());
        if placing == Placing::Claim
            && let Some(held) = self.entries.get(&name).filter(|held| held.is_there(now))
        {
            if held.whose != entry.whose {
                return;
            }
            entry.value.clone_from(&held.value);
        }
        self.revision += 1;
        entry.revision = self.revision;
        self.entries.insert(name, entry);
        if self.entries.len() > 2 * self.swept.max(1024) {
            self.entries.retain(|_, entry| entry.is_there(now));
            self.swept = self.entries.len();
        }
    }
}

impl Ledger for MemoryLedger {
    async fn keep(&self, kind: &str, entries: Vec<LedgerEntry>, placing: Placing, now: i64) -> Result<(), StoreError> {
        let mut held = self.held();
        for entry in entries {
            held.keep(kind, entry, placing, now);
        }
        Ok(())
    }

    async fn kept(&self, kind: &str, names: Vec<String>, now: i64) -> Result<Vec<LedgerEntry>, StoreError> {
        let held = self.held();
        let found = names.into_iter().filter_map(|name| held.entries.get(&(kind.to_owned(), name)));
        Ok(found.filter(|entry| entry.is_there(now)).cloned().collect())
    }

    async fn kept_of(&self, kind: &str, whose: &str, prefix: &str, now: i64) -> Result<Vec<LedgerEntry>, StoreError> {
        let held = self.held();
        let begins = held.entries.range((kind.to_owned(), prefix.to_owned())..);
        let begins = begins.take_while(|((of, name), _)| of == kind && name.starts_with(prefix));
        let theirs = begins.map(|(_, entry)| entry).filter(|entry| entry.whose == whose && entry.is_there(now));
        Ok(theirs.cloned().collect())
    }

    async fn forget(&self, kind: &str, names: Vec<String>) -> Result<(), StoreError> {
        let mut held = self.held();
        for name in names {
            held.entries.remove(&(kind.to_owned(), name));
        }
        Ok(())
    }

    async fn revision(&self, kind: &str) -> Result<u64, StoreError> {
        let held = self.held();
        let of_kind = held.entries.range((kind.to_owned(), String::new())..).take_while(|((of, _), _)| of == kind);
        Ok(of_kind.map(|(_, entry)| entry.revision).max().unwrap_or(0))
    }

    async fn draw(&self, name: &str, Draw { want, most, until, now }: Draw) -> Result<u64, StoreError> {
        let mut held = self.held();
        let place = (DRAWN.to_owned(), name.to_owned());
        let drawn = held.entries.get(&place).filter(|entry| entry.is_there(now));
        let drawn = drawn.and_then(|entry| entry.value.parse().ok()).unwrap_or(0u64);
        let granted = want.min(most.saturating_sub(drawn));
        let value = drawn.saturating_add(granted).to_string();
        let entry = LedgerEntry { name: name.to_owned(), value, until: Some(until), ..LedgerEntry::default() };
        held.keep(DRAWN, entry, Placing::Replace, now);
        Ok(granted)
    }

    async fn count(&self, counts: Vec<Count>, now: i64) -> Result<Vec<u64>, StoreError> {
        let mut held = self.held();
        let mut sums = Vec::with_capacity(counts.len());
        for Count { name, by, until } in counts {
            let drawn = held.entries.get(&(DRAWN.to_owned(), name.clone())).filter(|entry| entry.is_there(now));
            let drawn = drawn.and_then(|entry| entry.value.parse().ok()).unwrap_or(0u64);
            let sum = drawn.saturating_add_signed(by);
            if sum != drawn {
                let value = sum.to_string();
                let entry = LedgerEntry { name, value, until: Some(until), ..LedgerEntry::default() };
                held.keep(DRAWN, entry, Placing::Replace, now);
            }
            sums.push(sum);
        }
        Ok(sums)
    }
}

#[cfg(test)]
mod tests;
#[cfg(all(test, any(feature = "redis", feature = "sqlite")))]
pub(super) use tests::conforms;
