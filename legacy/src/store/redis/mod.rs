//! What a pool keeps, in Redis or Valkey.

mod days;
mod heard;
mod keys;
mod ledger;
mod read;
mod remembered;
mod sharing;
mod write;

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

pub use sharing::SharedRedis;

use self::{days::Days, heard::Heard};
use super::{Batch, Image, ImportRecord, KeyRecord, Store, StoreError, UsageRecord};
use crate::{
    redis::{Link, RedisError},
    time::Clock,
};

/// So many batches whose fate is not known are remembered.
const UNSURE: usize = 16;

/// A store in Redis or Valkey. A cheap handle: clones share the connection.
///
/// Keys that come from a file or a variable leave no secret here. Those that are added to it are encrypted always: a
/// batch with a plain secret is refused. A batch whose answer was lost and that is handed over again is done once.
///
/// ```no_run
/// use tower_keypool::{Gemini, Key, KeyPool, redis::{Link, Options}, store::Redis};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let link = Link::open(Options::new("redis://127.0.0.1:6379")?).await?;
/// let pool = KeyPool::builder(Gemini::new()).key(Key::free("AIza-not-a-real-key-001")).open(Redis::new(&link)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Redis {
    link: Link,
    clock: Clock,
    batches: Arc<Batches>,
    heard: Arc<Heard>,
    days: Arc<Days>,
}

/// What names batches, so that none is done twice.
#[derive(Debug)]
struct Batches {
    writer: u64,
    next: AtomicU64,
    /// Those that may have been done, or not.
    unsure: Mutex<VecDeque<(Arc<Batch>, u64)>>,
}

impl Redis {
    /// The store of this server and namespace.
    pub fn new(link: &Link) -> Self {
        let batches = Batches { writer: fastrand::u64(..), next: AtomicU64::new(0), unsure: Mutex::default() };
        Self {
            link: link.clone(),
            clock: Clock::system(),
            batches: Arc::new(batches),
            heard: Arc::default(),
            days: Arc::default(),
        }
    }

    /// Every key that it knows, whoever works on it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        Ok(read::image(&self.link).await?.keys.into_values().collect())
    }

    /// The number of the last change of keys by commands ([`KeyNews::revision`](super::KeyNews)), as the last renewal of a
    /// pool that shares over this handle said it; none where there was no such renewal within 3 s. It costs no call.
    pub fn heard_revision(&self) -> Option<u64> {
        self.heard.revision(self.clock.tick())
    }

    async fn keep(&self, batch: &Arc<Batch>, part: write::Part) -> Result<(), StoreError> {
        let (number, id) = self.named(batch);
        let words = self.words(&id, batch, part)?;
        let answer = write::run(&self.link, &words).await?;
        self.settle(number, batch, &answer).await;
        Ok(())
    }

    /// What the script is told of a batch.
    fn words(&self, id: &str, batch: &Batch, part: write::Part) -> Result<Vec<String>, StoreError> {
        write::words((id, &self.batches.name()), self.clock.now().wall_ms(), batch, part, &self.days)
    }

    /// A batch is done, and the server said this.
    async fn settle(&self, number: u64, batch: &Batch, answer: &redis::Value) {
        self.batches.done(number);
        self.days.wrote(batch, write::is_lost(answer));
        let next = self.batches.next.fetch_add(1, Ordering::Relaxed);
        let (id, now) = (self.batches.id(next), self.clock.now().wall_ms());
        let Some(words) = self.days.again(id, now, &self.batches.name()) else { return };
        // With the next batch, else.
        let Ok(answer) = write::run(&self.link, &words).await else { return };
        self.days.restored();
        if write::is_again(&answer) {
            tracing::warn!(
                name: "keypool.usage_restored",
                "the server has lost what keys used: what this process knew of the last days is there again"
            );
        }
    }

    /// A batch's number, and what it is called.
    fn named(&self, batch: &Arc<Batch>) -> (u64, String) {
        let number = self.batches.number_of(batch);
        (number, self.batches.id(number))
    }
}

impl StoreError {
    fn of_server(what: &str, error: RedisError) -> Self {
        match (error.is_unreachable(), error.is_passing()) {
            (true, _) => Self::unreachable(what, error),
            (false, true) => Self::passing(what, error),
            (false, false) => Self::because(what, error),
        }
    }
}

impl Batches {
    /// Whose they are.
    fn name(&self) -> String {
        format!("by {:x}", self.writer)
    }

    fn id(&self, number: u64) -> String {
        format!("{:x}-{number}", self.writer)
    }

    fn number_of(&self, batch: &Arc<Batch>) -> u64 {
        let mut unsure = self.unsure.lock().unwrap_or_else(PoisonError::into_inner);
        let known = unsure.iter().position(|(held, _)| Arc::ptr_eq(held, batch));
        let number = known.map_or_else(|| self.next.fetch_add(1, Ordering::Relaxed), |at| unsure[at].1);
        // Until it is known to be done: also where the caller does not wait for that.
        if known.is_none() {
            if unsure.len() >= UNSURE {
                unsure.pop_front();
            }
            unsure.push_back((Arc::clone(batch), number));
        }
        number
    }

    fn done(&self, number: u64) {
        let mut unsure = self.unsure.lock().unwrap_or_else(PoisonError::into_inner);
        unsure.retain(|(_, held)| *held != number);
    }
}

impl Store for Redis {
    async fn load(&self) -> Result<Image, StoreError> {
        read::image(&self.link).await
    }

    async fn write(&self, batch: Arc<Batch>) -> Result<(), StoreError> {
        self.keep(&batch, write::Part::Whole).await
    }

    async fn usage(&self, from: &str, to: &str) -> Result<Vec<UsageRecord>, StoreError> {
        read::usage(&self.link, from, to).await
    }

    async fn imports(&self) -> Result<Vec<ImportRecord>, StoreError> {
        read::imports(&self.link).await
    }
}
