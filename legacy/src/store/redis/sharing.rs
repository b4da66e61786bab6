//! One server, many machines: the store of a pool, and the board by which it shares.

use std::{
    borrow::Cow,
    path::Path,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::FromRedisValue;

use tokio::{sync::oneshot, time::timeout};

use super::{
    Redis,
    remembered::{Known, Remembered},
    write,
};
use crate::{
    redis::{Ear, Script, Word},
    share::{Board, Hint, HolderId, KEYS, RedisBoard, Renewal, Reply, Settings, hint_names},
    store::{Batch, Image, ImportRecord, Store, StoreError, UsageRecord},
};

/// A server that other processes work on as well: the store of a pool, and its board. A cheap handle.
///
/// What a process holds and what its windows count stands on the board, which hears of it with each renewal; the store
/// keeps keys, rests, use and imports. What keys used goes to the store in one call with the next renewal, all else at
/// once. That a process is dead the others know when its lease has ended.
#[derive(Clone, Debug)]
pub struct SharedRedis {
    redis: Redis,
    board: RedisBoard,
    holder: HolderId,
    /// Until it goes out on its own.
    patience: Duration,
    waiting: Arc<Mutex<Option<Waiting>>>,
    ear: Arc<Ear>,
    /// The generation of the board that was heard last.
    generation: Arc<AtomicU64>,
    /// Where this machine keeps that.
    remembered: Option<Arc<Remembered>>,
}

/// Whether there is a board.
static IS_THERE: LazyLock<Script> = LazyLock::new(|| Script::new("return redis.call('EXISTS', KEYS[1] .. ':board')"));

/// A batch that goes out with the next renewal.
#[derive(Debug)]
struct Waiting {
    batch: Arc<Batch>,
    answer: oneshot::Sender<Result<(), StoreError>>,
}

impl Redis {
    /// Takes part in what other processes do on this server and under this namespace, as one more of them.
    /// [`SharedRedis::settings`] are those of the sharing.
    pub fn share(self) -> SharedRedis {
        let settings = SharedRedis::usual();
        let board = RedisBoard::new(&self.link, &settings).listening();
        // At random: a server that forgot its processes must not call two by one name.
        let holder = HolderId::new(&format!("{:016x}", fastrand::u64(..)), 1);
        let base = self.link.base();
        let [hint, echo] = hint_names(&base, &holder);
        // Echoes come first of all that is heard: they say that the rest is.
        let ear = Arc::new(Ear::new(vec![echo, hint, format!("{base}:revision")]));
        self.link.listen(&ear);
        SharedRedis {
            redis: self,
            board,
            holder,
            patience: patience(&settings),
            waiting: Arc::default(),
            ear,
            generation: Arc::default(),
            remembered: None,
        }
    }
}

impl SharedRedis {
    /// How any process takes part that shares a server.
    pub fn usual() -> Settings {
        // What one switches off is off in all within 2 s; where that is told at once, a call a
        // little less often is enough: should the way have fallen silent, it is still 2 s. What is written goes along.
        let (renew_every, renew_hinted) = (Duration::from_millis(1_800), Duration::from_millis(1_950));
        Settings { draws: false, renew_every, renew_hinted, ..Settings::default() }
    }

    /// Who this process is among them.
    pub fn holder(&self) -> &HolderId {
        &self.holder
    }

    /// How it takes part.
    pub fn settings(&self) -> Settings {
        Self::usual()
    }

    /// With these times, for tests that cannot wait.
    #[must_use]
    pub fn with(mut self, settings: &Settings) -> Self {
        self.board = RedisBoard::new(&self.redis.link, settings).listening();
        self.patience = patience(settings);
        self
    }

    /// Keeps in a small file in this folder what the server's board is called. A process that starts later on this machine,
    /// within 48 h, knows by it of a server that lost all meanwhile, and counts what limits allow as used: a minute's, and a
    /// day's to its end. Without it such a server is one like any at its first start.
    #[must_use]
    pub fn remembering_in(mut self, folder: impl AsRef<Path>) -> Self {
        let server = format!("{:?}", self.redis.link);
        self.remembered = Some(Arc::new(Remembered::new(folder.as_ref(), &server)));
        self
    }

    /// The store, whoever works on it.
    pub fn store(&self) -> &Redis {
        &self.redis
    }

    /// A batch waits for the next renewal, unless another does.
    fn wait(&self, batch: &Arc<Batch>) -> Option<oneshot::Receiver<Result<(), StoreError>>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_some() {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        *waiting = Some(Waiting { batch: Arc::clone(batch), answer });
        Some(answered)
    }

    /// What waits, where `which` says so of it.
    fn taken(&self, which: impl FnOnce(&Waiting) -> bool) -> Option<Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take_if(|waiting| which(waiting))
    }

    /// The first that is said to a board says what this machine remembers of it. Whether there is none any more, as it seems.
    async fn recalled<'a>(&self, renewal: &'a Renewal) -> (Cow<'a, Renewal>, bool) {
        let remembered = self.remembered.as_ref().filter(|_| renewal.generation == 0);
        let known = remembered.and_then(|remembered| remembered.known(self.redis.clock.now().wall_ms()));
        let Some(Known { generation, heard }) = known else { return (Cow::Borrowed(renewal), false) };
        let there = self.redis.link.run(&IS_THERE, &[], self.patience).await;
        let gone = there.is_ok_and(|there| u64::from_redis_value(there).is_ok_and(|there| there == 0));
        (Cow::Owned(Renewal { generation, heard, ..renewal.clone() }), gone)
    }

    /// The board is called so, and this is its time. Whoever ends says it once more: whoever comes next on this machine knows
    /// by it of a server that has lost what was done meanwhile.
    async fn heard_generation(&self, Reply { generation, time, .. }: &Reply, ends: bool) {
        let (generation, heard) = (*generation, *time);
        if self.generation.swap(generation, Ordering::Relaxed) != generation {
            // Another than before: what this process wrote may not be there any more.
            self.redis.days.doubt();
        }
        let now = self.redis.clock.now().wall_ms();
        let is_news = |remembered: &Arc<Remembered>| remembered.is_news(generation, now) || ends;
        let Some(remembered) = self.remembered.clone().filter(is_news) else { return };
        let written = tokio::task::spawn_blocking(move || {
            if let Err((error, true)) = remembered.write(Known { generation, heard: Some(heard) }, now) {
                tracing::warn!(
                    name: "keypool.store_warning",
                    "{} cannot be written ({error}): should the server lose all while no process runs, nobody will know",
                    remembered.path().display()
                );
            }
        });
        if ends {
            let _ = written.await;
        }
    }

    /// Renews, and writes what waited for that.
    async fn renew_and_write(
        &self,
        renewal: &Renewal,
        Waiting { batch, answer }: Waiting,
    ) -> Result<Reply, tower::BoxError> {
        let (number, id) = self.redis.named(&batch);
        let words = match self.redis.words(&id, &batch, write::Part::ButCounts) {
            Ok(words) => words,
            Err(error) => {
                let _ = answer.send(Err(error));
                return self.board.renew(renewal).await;
            }
        };
        let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
        let (renewed, written) = self.board.renew_with(renewal, &write::WRITE, &words).await;
        let written = match written {
            Some(Ok(said)) => {
                self.redis.settle(number, &batch, &said).await;
                Ok(())
            }
            Some(Err(error)) => Err(write::failed(error)),
            None => Err(StoreError::new("the renewal that the batch went with came to nothing")),
        };
        let _ = answer.send(written);
        renewed
    }
}

/// A renewal that is late by so much is waited for no longer.
fn patience(settings: &Settings) -> Duration {
    settings.renew_every.max(settings.renew_hinted) + settings.timeout
}

/// Whether only what keys used is in it, as far as it is written.
fn is_use(batch: &Batch) -> bool {
    !batch.is_lasting() && batch.rests.is_empty() && batch.quota_models.is_empty()
}

impl Store for SharedRedis {
    async fn load(&self) -> Result<Image, StoreError> {
        let mut image = self.redis.load().await?;
        // Counts are the board's; that others run says nothing of this one.
        image.units.values_mut().for_each(|unit| unit.windows.clear());
        Ok(Image { running: false, crashes: Vec::new(), ..image })
    }

    async fn write(&self, batch: Arc<Batch>) -> Result<(), StoreError> {
        if is_use(&batch)
            && let Some(mut answered) = self.wait(&batch)
        {
            if let Ok(told) = timeout(self.patience, &mut answered).await {
                return told.unwrap_or_else(|_| Err(StoreError::new("the renewal that the batch went with was late")));
            }
            if self.taken(|waiting| Arc::ptr_eq(&waiting.batch, &batch)).is_none() {
                // It is on its way.
                return answered.await.unwrap_or_else(|_| Err(StoreError::new("nobody says what became of the batch")));
            }
        }
        self.redis.keep(&batch, write::Part::ButCounts).await
    }

    fn takes_started(&self) -> bool {
        // What was started the board hears of; when a key served last comes with its use.
        true
    }

    fn spans_machines(&self) -> bool {
        true
    }

    async fn usage(&self, from: &str, to: &str) -> Result<Vec<UsageRecord>, StoreError> {
        self.redis.usage(from, to).await
    }

    async fn imports(&self) -> Result<Vec<ImportRecord>, StoreError> {
        self.redis.imports().await
    }
}

impl Board for SharedRedis {
    async fn renew(&self, renewal: &Renewal) -> Result<Reply, tower::BoxError> {
        let sent = self.redis.clock.tick();
        let (renewal, gone) = self.recalled(renewal).await;
        let renewal = &*renewal;
        let mut reply = match self.taken(|_| true) {
            Some(waiting) => self.renew_and_write(renewal, waiting).await,
            None => self.board.renew(renewal).await,
        }?;
        // A server that was flushed knows of no change.
        let keys = reply.other.remove(KEYS).and_then(|keys| keys.as_u64()).unwrap_or(0);
        self.redis.heard.hear(keys, sent);
        if !reply.stale {
            self.heard_generation(&reply, renewal.ends).await;
        }
        if let (true, Some(remembered)) = (gone, &self.remembered) {
            tracing::warn!(
                name: "keypool.counts_gone",
                "the server has lost what was counted before (as {} says): nothing with limits is sent for a minute, and days \
                 that limits count are taken as used up until each of them ends",
                remembered.path().display()
            );
        }
        Ok(reply)
    }

    async fn hint(&self) -> Hint {
        if self.ear.next().await == Word::Written(0) { Hint::Echo } else { Hint::News }
    }
}
