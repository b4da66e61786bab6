//! A host on which several processes share one board, under tokio's paused time.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, SystemTime},
};

use tower_keypool::{
    Clock, Gemini, Key, KeyPool, KeyPoolBuilder, OpenError, Sharing,
    share::{Board, HolderId, MemoryBoard, Renewal, Reply, Settings},
    store::{Batch, Image, ImportRecord, MemoryStore, Store, StoreError, UsageRecord},
};

pub(crate) const FLASH: &str = "gemini-2.5-flash";
pub(crate) const PRO: &str = "gemini-2.5-pro";

/// What becomes of what a process says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It arrives, and so does the answer.
    Open = 0,
    /// It arrives, but no answer comes.
    Deaf = 1,
    /// Nothing arrives.
    Cut = 2,
    /// It arrives after so long that nobody waits any more.
    Slow = 3,
}

/// A process's way to the board and the store.
#[derive(Clone)]
pub(crate) struct Line {
    board: Arc<MemoryBoard>,
    store: MemoryStore,
    holder: HolderId,
    life: u64,
    way: Arc<AtomicU8>,
    /// It stands on a machine of its own.
    pub(crate) apart: bool,
}

impl Line {
    pub(crate) fn set(&self, way: Way) {
        self.way.store(way as u8, Ordering::Relaxed);
    }

    /// It is as it was, unless something else became of it since.
    pub(crate) fn mend(&self, way: Way) {
        let _ = self.way.compare_exchange(way as u8, Way::Open as u8, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn is(&self, way: Way) -> bool {
        self.way.load(Ordering::Relaxed) == way as u8
    }
}

impl Board for Line {
    async fn renew(&self, renewal: &Renewal) -> Result<Reply, tower::BoxError> {
        if self.is(Way::Cut) {
            std::future::pending::<()>().await;
        }
        if self.is(Way::Slow) {
            let (board, renewal) = (Arc::clone(&self.board), renewal.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(3)).await;
                drop(board.renew(&renewal).await);
            });
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        let reply = self.board.renew(renewal).await;
        if self.is(Way::Deaf) {
            std::future::pending::<()>().await;
        }
        reply
    }
}

impl Store for Line {
    async fn load(&self) -> Result<Image, StoreError> {
        if self.is(Way::Cut) {
            return Err(StoreError::unreachable("the store cannot be read", "nobody answers"));
        }
        self.store.load().await
    }

    async fn write(&self, batch: Arc<Batch>) -> Result<(), StoreError> {
        if self.is(Way::Cut) || self.is(Way::Slow) {
            return Err(StoreError::new("the disk is gone"));
        }
        if let Some(notes) = &batch.notes {
            self.board.note(&self.holder, notes.number, notes.units.clone());
        }
        self.store.write(batch).await?;
        if self.is(Way::Deaf) {
            return Err(StoreError::new("nobody answers"));
        }
        Ok(())
    }

    fn takes_started(&self) -> bool {
        true
    }

    fn spans_machines(&self) -> bool {
        self.apart
    }

    fn usage(&self, from: &str, to: &str) -> impl Future<Output = Result<Vec<UsageRecord>, StoreError>> + Send {
        self.store.usage(from, to)
    }

    fn imports(&self) -> impl Future<Output = Result<Vec<ImportRecord>, StoreError>> + Send {
        self.store.imports()
    }
}

/// It is noon in Los Angeles.
pub(crate) fn noon() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000)
}

/// One host, and the clock of all its processes.
pub(crate) struct Host {
    pub(crate) clock: Clock,
    board: Arc<MemoryBoard>,
    store: MemoryStore,
    settings: Settings,
}

/// A process: its pool, and its way to the others.
pub(crate) struct Process {
    pub(crate) pool: KeyPool,
    pub(crate) line: Line,
}

impl Host {
    /// It is noon in Los Angeles.
    pub(crate) fn new(noting: bool) -> Self {
        Self::by(noting, Clock::tokio_from(noon()))
    }

    /// By this clock.
    pub(crate) fn by(noting: bool, clock: Clock) -> Self {
        let board = Arc::new(MemoryBoard::new(clock.clone()));
        let mut settings = Settings::default();
        settings.noting = noting;
        settings.draws = false;
        Self { clock, board, store: MemoryStore::new(), settings }
    }

    /// A life of the process `name`.
    pub(crate) async fn process(&self, name: &str, life: u64, builder: KeyPoolBuilder) -> Process {
        self.process_as(name, life, builder, |sharing| sharing).await
    }

    /// The same where something is otherwise.
    pub(crate) async fn process_as(
        &self,
        name: &str,
        life: u64,
        builder: KeyPoolBuilder,
        otherwise: impl FnOnce(Sharing) -> Sharing,
    ) -> Process {
        let line = self.line(name, life);
        let pool = self.open(&line, builder, otherwise).await;
        Process { pool: pool.expect("a pool on this board"), line }
    }

    /// A way to board and store.
    pub(crate) fn line(&self, name: &str, life: u64) -> Line {
        Line {
            board: Arc::clone(&self.board),
            store: self.store.clone(),
            holder: HolderId::new(name, life),
            life,
            way: Arc::default(),
            apart: false,
        }
    }

    /// The same of one that has a store of its own: what it knows of the others it has from the board.
    pub(crate) fn stranger(&self, name: &str) -> Line {
        Line { store: MemoryStore::new(), ..self.line(name, 1) }
    }

    /// The board loses all that it knows.
    pub(crate) fn forget(&self) {
        self.board.forget();
    }

    pub(crate) async fn open(
        &self,
        line: &Line,
        builder: KeyPoolBuilder,
        otherwise: impl FnOnce(Sharing) -> Sharing,
    ) -> Result<KeyPool, OpenError> {
        let sharing = Sharing::new(line.holder.clone()).settings(self.settings.clone()).seed(line.life);
        builder.clock(self.clock.clone()).open_shared(line.clone(), line.clone(), otherwise(sharing)).await
    }
}

impl Process {
    /// It is gone from one moment to the next: whatever is left of it here reaches nobody any more.
    pub(crate) fn crash(self) {
        self.line.set(Way::Cut);
    }
}

pub(crate) fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}

pub(crate) fn builder(keys: usize) -> KeyPoolBuilder {
    KeyPool::builder(Gemini::new()).keys((0..keys).map(key))
}

pub(crate) fn key(number: usize) -> Key {
    Key::new(format!("AIza-not-a-real-key-{number:05}")).owner(format!("project-{number}"))
}

pub(crate) async fn pass(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}
