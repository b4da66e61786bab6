//! A pool on a store: load, say so, then serve.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use tokio::{sync::watch, time::timeout};

use super::{
    KeyPool, KeyPoolBuilder,
    builder::Opened,
    sharing::{Renewing, Share, Standing},
    write_behind::{Cadence, Progress, write_behind},
};
use crate::{
    error::KeyError,
    share::{Board, Counters, Holder, HolderId, OnMissing, OnStoreLoss, Settings},
    store::{AnyStore, Batch, Store, StoreError},
    time::{Clock, Tick},
};

/// How long a store may take for the first write.
const FIRST_WRITE: Duration = Duration::from_secs(30);

/// Why a pool could not be opened on its store.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// A key cannot be taken.
    Key(KeyError),
    /// The store cannot be read or written.
    Store(StoreError),
    /// The store that processes share was not reached in time.
    Missing {
        /// How long it was tried.
        waited: Duration,
        /// What the last try said.
        source: StoreError,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Missing { waited, source } => write!(f, "nothing was reached for {} s: {source}", waited.as_secs()),
        }
    }
}

impl StdError for OpenError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Key(error) => error.source(),
            Self::Store(error) | Self::Missing { source: error, .. } => error.source(),
        }
    }
}

impl From<KeyError> for OpenError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl KeyPoolBuilder {
    /// Builds it on a store: counts, rests and disabled keys are as the last process left them, and what changes is
    /// written behind. [`KeyPool::shutdown`] writes the rest; a process that ends without it loses what the last
    /// 200 ms counted, and never lets more through for it. The answer of a request that met a rest waits until that is
    /// kept (200 ms at most).
    ///
    /// Spawns one task, which ends with the pool, and before it with the runtime that this is called in: from then on
    /// nothing is written, which is said once, and requests go on by what the pool itself counts. Open it in the runtime that
    /// lasts.
    ///
    /// ```
    /// use tower_keypool::{Gemini, Key, KeyPool, Limits, store::MemoryStore};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// let store = MemoryStore::new();
    /// let pool = || {
    ///     KeyPool::builder(Gemini::new())
    ///         .key(Key::free("AIza-not-a-real-key-001"))
    ///         .limits("gemini-2.5-flash", Limits::new().per_minute(1))
    ///         .open(store.clone())
    /// };
    /// let first = pool().await?;
    /// drop(first.try_acquire("gemini-2.5-flash")?);
    /// first.shutdown().await;
    ///
    /// let second = pool().await?;
    /// assert!(second.try_acquire("gemini-2.5-flash").is_err(), "the minute is not over");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// When a key cannot be taken, or the store cannot be read or written, or takes more than 30 s for its first write.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open(self, store: impl Store) -> Result<KeyPool, OpenError> {
        let (spans_machines, takes_started) = (store.spans_machines(), store.takes_started());
        let store: Arc<dyn AnyStore> = Arc::new(store);
        let image = store.load().await?;
        let (progress, written) = watch::channel(Progress::default());
        let opened = Opened { image, spans_machines, written: Some(written), share: None, sharing: None };
        let pool = self.assemble(Some(opened))?;
        let opening = pool.lock().journal.as_mut().map(|journal| {
            journal.takes_started = takes_started;
            journal.opening()
        });
        // Before anything is granted: what this run starts unseen, the next one must know of.
        let opening = Batch { run: opening, ..Batch::default() };
        let Ok(written) = timeout(FIRST_WRITE, store.write(Arc::new(opening))).await else {
            return Err(StoreError::new(format!("the store did not answer within {} s", FIRST_WRITE.as_secs())).into());
        };
        written?;
        tokio::spawn(write_behind(Arc::downgrade(&pool.0), store, progress, Cadence::ALONE));
        Ok(pool)
    }

    /// Builds it on a store that other processes work on as well, and shares owners with them by `board`: no two use
    /// one's windows at a time, so that together they exceed no limit. Counts are the board's; keys, rests and use are
    /// the store's.
    ///
    /// What is not held is asked for when a request wants it; such a request waits a moment for it, also where it would
    /// wait for nothing else. [`KeyPool::shutdown`] gives all back at once; of a process that dies without it the board
    /// hears by its lock, or when its lease ends.
    ///
    /// Where store or board cannot be reached [`Sharing::on_missing`] says what happens: it is tried for 30 s, unless
    /// set.
    ///
    /// Spawns two tasks, which end with the pool, and before it with the runtime that this is called in: open it in the one
    /// that lasts. Without them what it holds of its owners runs out, and nothing more is lent.
    ///
    /// # Errors
    /// When a key cannot be taken, or store or board cannot be read or written; [`OpenError::Missing`] when they were not
    /// reached in time.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn open_shared(
        mut self,
        store: impl Store,
        board: impl Board + 'static,
        sharing: Sharing,
    ) -> Result<KeyPool, OpenError> {
        let Sharing { holder, settings, seed, on_missing } = sharing;
        // A place that was drawn stands in no window, and a pool starts nothing without one.
        let settings = Settings { draws: false, ..settings };
        let mut patience = Patience::begin(on_missing, self.clock_in_use());
        let (takes_started, spans_machines) = (store.takes_started(), store.spans_machines());
        let store: Arc<dyn AnyStore> = Arc::new(store);
        let image = loop {
            match store.load().await {
                Ok(image) => break Some(image),
                Err(error) if !error.is_passing() => return Err(error.into()),
                Err(error) => {
                    if !patience.may_try_again(error).await? {
                        break None;
                    }
                }
            }
        };
        let missing = image.is_none();
        let image = image.unwrap_or_default();
        let (progress, written) = watch::channel(Progress::default());
        let (standing, stands) = watch::channel(Standing::default());
        let share = Some(Box::new(Share::new(&settings)));
        let opened = Opened { image, spans_machines, written: Some(written), share, sharing: Some(stands) };
        let pool = self.assemble(Some(opened))?;
        let mut renewing = Renewing {
            holder: Holder::new(holder, settings.clone(), Vec::new(), seed),
            settings: settings.clone(),
            board: Arc::new(board),
            store: Arc::clone(&store),
            standing,
            noted: 0,
            counters: Counters::default(),
            error: None,
        };
        if let Some(journal) = &mut pool.lock().journal {
            journal.takes_started = takes_started;
        }
        let mut local = missing;
        while !local {
            let Err(error) = renewing.begin(&pool).await else { break };
            local = match error.downcast::<StoreError>() {
                Ok(error) if error.is_passing() => !patience.may_try_again(*error).await?,
                Ok(error) => return Err((*error).into()),
                Err(error) => return Err(StoreError::because("the board does not answer", error).into()),
            };
        }
        if let (true, OnMissing::Local { expected_processes }) = (local, on_missing) {
            renewing.begin_locally(&pool, expected_processes, patience.said);
        }
        let cadence = if settings.noting { Cadence::NOTING } else { Cadence::IDLE };
        tokio::spawn(write_behind(Arc::downgrade(&pool.0), store, progress, cadence));
        tokio::spawn(renewing.run(Arc::downgrade(&pool.0)));
        Ok(pool)
    }
}

/// How long it is tried to reach what is missing.
struct Patience {
    on_missing: OnMissing,
    clock: Clock,
    begun: Tick,
    /// In pauses, by the runtime's time.
    slept: Duration,
    said: Option<String>,
}

impl Patience {
    /// How long after a try in vain the next follows.
    const AGAIN: Duration = Duration::from_millis(500);

    fn begin(on_missing: OnMissing, clock: Clock) -> Self {
        let begun = clock.tick();
        Self { on_missing, clock, begun, slept: Duration::ZERO, said: None }
    }

    /// Waits a moment, and whether there is another try; not where one does without.
    async fn may_try_again(&mut self, error: StoreError) -> Result<bool, OpenError> {
        let waited = self.clock.tick().since(self.begun).max(self.slept);
        match self.on_missing {
            OnMissing::Wait(patience) if waited < patience => {
                if self.said.is_none() {
                    tracing::warn!(name: "keypool.store_missing", %error, "the store that processes share is missing; it is tried for {} s", patience.as_secs());
                }
                self.said = Some(error.to_string());
                let pause = Self::AGAIN.min(patience.saturating_sub(waited));
                tokio::time::sleep(pause).await;
                self.slept += pause;
                Ok(true)
            }
            OnMissing::Wait(_) => Err(OpenError::Missing { waited, source: error }),
            OnMissing::Local { .. } => {
                self.said = Some(error.to_string());
                Ok(false)
            }
        }
    }
}

/// How a pool shares owners with other processes.
#[derive(Clone, Debug)]
pub struct Sharing {
    holder: HolderId,
    settings: Settings,
    seed: u64,
    on_missing: OnMissing,
}

impl Sharing {
    /// As `holder`, which no other process may be.
    pub fn new(holder: HolderId) -> Self {
        Self { holder, settings: Settings::default(), seed: fastrand::u64(..), on_missing: OnMissing::default() }
    }

    /// With these times.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// What to do where store or board cannot be reached when the pool is opened; tried for 30 s unless set.
    #[must_use]
    pub fn on_missing(mut self, on_missing: OnMissing) -> Self {
        self.on_missing = on_missing;
        self
    }

    /// What to do once leases have ended since the board is away: fail closed, unless set. The same as
    /// [`Settings::on_store_loss`].
    #[must_use]
    pub fn on_store_loss(mut self, on_store_loss: OnStoreLoss) -> Self {
        self.settings.on_store_loss = on_store_loss;
        self
    }

    /// With this seed of the numbers that a board which lost its records begins anew with; random unless set.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}
