//! A store that ends with the process.

use std::{
    future::{Future, ready},
    sync::{Arc, Mutex, PoisonError},
};

use super::{Batch, Image, ImportRecord, Store, StoreError, UsageRecord};

/// A store that ends with the process: for tests, and for pools that follow one another in one process. Clones share
/// what they hold.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore(Arc<Mutex<Image>>);

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// All that it holds.
    pub fn image(&self) -> Image {
        self.with(|image| image.clone())
    }

    /// Forgets all of it, as a store that somebody flushed.
    pub fn clear(&self) {
        self.with(|image| *image = Image::default());
    }

    fn with<T>(&self, look: impl FnOnce(&mut Image) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Store for MemoryStore {
    fn load(&self) -> impl Future<Output = Result<Image, StoreError>> + Send {
        ready(Ok(self.image()))
    }

    fn write(&self, batch: Arc<Batch>) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.with(|image| image.apply(&batch));
        ready(Ok(()))
    }

    fn takes_started(&self) -> bool {
        true
    }

    fn usage(&self, from: &str, to: &str) -> impl Future<Output = Result<Vec<UsageRecord>, StoreError>> + Send {
        let within = |record: &&UsageRecord| *record.day >= *from && *record.day <= *to;
        ready(Ok(self.with(|image| image.usage.values().filter(within).cloned().collect())))
    }

    fn imports(&self) -> impl Future<Output = Result<Vec<ImportRecord>, StoreError>> + Send {
        ready(Ok(self.with(|image| image.imports.clone())))
    }
}
