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
}

/// What every ledger does.
#[cfg(test)]
pub(super) async fn conforms(ledger: impl Ledger) {
    let entry = |name: &str, whose: &str, value: &str, until| LedgerEntry {
        name: name.to_owned(),
        whose: whose.to_owned(),
        value: value.to_owned(),
        until,
        revision: 0,
    };
    let names = |found: &[LedgerEntry]| found.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>();
    // A server forgets by its own clock.
    let now = 1_000_000_000_000 * 4;
    let all = vec![
        entry("files/a", "x", "1", None),
        entry("files/b", "y", "2", Some(now + 60_000)),
        entry("files/c", "x", "3", Some(now + 10_000_000_000)),
        entry("filings/d", "x", "4", None),
    ];
    ledger.keep("resource", all, Placing::Claim, now).await.unwrap();
    ledger.keep("other", vec![entry("files/a", "z", "9", None)], Placing::Claim, now).await.unwrap();
    let asked = || ["files/a", "files/b", "nothing"].map(str::to_owned).to_vec();
    let found = ledger.kept("resource", asked(), now).await.unwrap();
    assert_eq!(names(&found), ["files/a", "files/b"]);
    assert_eq!((found[0].whose.as_str(), found[0].value.as_str()), ("x", "1"));
    assert_eq!(names(&ledger.kept("resource", asked(), now + 60_000).await.unwrap()), ["files/a"], "the other ended");
    assert_eq!(names(&ledger.kept_of("resource", "x", "files/", now).await.unwrap()), ["files/a", "files/c"]);

    // Whose it is is whoever said so first.
    let claims = vec![entry("files/a", "y", "stolen", None), entry("files/b", "y", "new", Some(now + 90_000))];
    ledger.keep("resource", claims, Placing::Claim, now).await.unwrap();
    let found = ledger.kept("resource", asked(), now + 80_000).await.unwrap();
    assert_eq!((found[0].whose.as_str(), found[0].value.as_str()), ("x", "1"));
    assert_eq!((found[1].value.as_str(), found[1].until), ("2", Some(now + 90_000)), "it is kept for longer");
    let ended = vec![entry("files/b", "x", "mine", None)];
    ledger.keep("resource", ended, Placing::Claim, now + 90_000).await.unwrap();
    assert_eq!(ledger.kept("resource", asked(), now + 90_000).await.unwrap()[1].whose, "x", "who had it ended");

    let before = ledger.revision("resource").await.unwrap();
    let anew = vec![entry("files/a", "y", "given", None)];
    ledger.keep("resource", anew, Placing::Replace, now).await.unwrap();
    let found = ledger.kept("resource", asked(), now).await.unwrap();
    assert_eq!((found[0].whose.as_str(), found[0].value.as_str()), ("y", "given"));
    assert!(ledger.revision("resource").await.unwrap() > before);
    assert_eq!(names(&ledger.kept_of("resource", "x", "files/a", now).await.unwrap()), [""; 0]);
    ledger.forget("resource", asked()).await.unwrap();
    assert!(ledger.kept("resource", asked(), now).await.unwrap().is_empty());
    assert_eq!(ledger.kept("other", asked(), now).await.unwrap().len(), 1, "of another kind");

    let draw = |want, now| Draw { want, most: 10, until: 4_000_000_060_000, now };
    let mut drawn = Vec::new();
    for want in [4, 4, 4, 1] {
        drawn.push(ledger.draw("acme", draw(want, now)).await.unwrap());
    }
    assert_eq!(drawn, [4, 4, 2, 0]);
    assert_eq!(ledger.draw("other", draw(4, now)).await.unwrap(), 4);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_conforms() {
        conforms(MemoryLedger::default()).await;
    }

    #[tokio::test]
    async fn what_ended_takes_no_room_for_long() {
        let ledger = MemoryLedger::default();
        for at in 0..10_000 {
            let entry = LedgerEntry { name: at.to_string(), until: Some(at + 10), ..LedgerEntry::default() };
            ledger.keep("upload", vec![entry], Placing::Replace, at).await.unwrap();
        }
        assert!(ledger.held().entries.len() < 3_000);
    }
}
