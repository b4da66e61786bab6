//! The store of a single process.

use std::sync::Arc;

use super::{Changes, Record, Reserve, ReserveRequest, Reserved, Store, StoreFuture};

/// Keeps nothing and grants what the pool asks for first: the pool's own windows are exact for one process.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryStore;

impl MemoryStore {
    /// The store.
    pub fn new() -> Self {
        Self
    }
}

impl Store for MemoryStore {
    fn load(&self) -> StoreFuture<'_, Changes> {
        Box::pin(std::future::ready(Ok(Changes::default())))
    }

    fn reserve(self: Arc<Self>, request: ReserveRequest) -> Reserve {
        let granted = if request.candidates.is_empty() { None } else { Some(0) };
        Reserve::Now(Ok(Reserved { granted, opens: Vec::new() }))
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn record(&self, _records: Vec<Record>) -> StoreFuture<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn changes(&self, since: u64) -> StoreFuture<'_, Changes> {
        Box::pin(std::future::ready(Ok(Changes { revision: since, records: Vec::new() })))
    }
}
