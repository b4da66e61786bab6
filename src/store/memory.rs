//! The store of a single process.

use std::future::ready;

use super::{Changes, Record, ReserveRequest, Reserved, Store, StoreFuture};

/// A store that keeps nothing. The pool makes no reservations in it: its own windows are exact for one process.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryStore;

impl MemoryStore {
    /// Returns the store.
    pub fn new() -> Self {
        Self
    }
}

impl Store for MemoryStore {
    fn load(&self) -> StoreFuture<'_, Changes> {
        Box::pin(ready(Ok(Changes::default())))
    }

    /// Refuses every candidate, since this store has no windows.
    fn reserve(&self, request: ReserveRequest) -> StoreFuture<'static, Reserved> {
        let opens_in = vec![std::time::Duration::MAX; request.candidates.len()];
        Box::pin(ready(Ok(Reserved { granted: None, opens_in })))
    }

    fn record(&self, _records: Vec<Record>) -> StoreFuture<'_, ()> {
        Box::pin(ready(Ok(())))
    }

    fn changes(&self, since: u64) -> StoreFuture<'_, Changes> {
        Box::pin(ready(Ok(Changes { revision: since, ..Changes::default() })))
    }

    fn is_shared(&self) -> bool {
        false
    }
}
