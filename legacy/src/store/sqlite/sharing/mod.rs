//! One file, several processes: the board of who holds what lies beside the rest, and each change of it is one
//! transaction.

mod board;
mod life;
mod noted;
mod notes;
mod turn;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    future::Future,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use life::Life;
use notes::Unfolded;
pub(super) use notes::unfolded;
pub(super) use turn::{give_over, seen};

use super::{Sqlite, failure::Failure, migrate, read};
use crate::{
    share::{Board, HolderId, Renewal, Reply, Settings, Shelf},
    store::{Batch, Image, ImportRecord, Store, StoreError, UsageRecord},
    time::Clock,
};

/// A database that other processes of this machine work on as well: the store of a pool, and its board. A cheap handle.
///
/// That a process is dead the others know at once, by a lock that it holds as long as it lives
/// (`keypool.db.run-…`). What it had started is known up to its last batch, 150 ms, and how much it may have started
/// since: see [`Renewal::noting`].
///
/// ```
/// use tower_keypool::{Gemini, Key, KeyPool, Sharing, store::Sqlite};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("keypool.db");
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let store = Sqlite::open(&path)?.share()?;
/// let sharing = Sharing::new(store.holder().clone()).settings(store.settings());
/// let pool = KeyPool::builder(Gemini::new())
///     .key(Key::free("AIza-not-a-real-key-001"))
///     .open_shared(store.clone(), store, sharing)
///     .await?;
/// // …
/// pool.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct SharedSqlite {
    sqlite: Sqlite,
    life: Arc<Life>,
    clock: Clock,
    /// Taken on the database's thread alone.
    desk: Arc<Mutex<SharedDesk>>,
}

/// What is at hand of the board.
#[derive(Default)]
struct SharedDesk {
    shelf: Shelf,
    version: i64,
    /// Use that is in `board_notes` alone.
    unfolded: Unfolded,
    /// As whom this process told it last.
    holder: Option<HolderId>,
    /// It is another file than before, and the pool has not been told to say all that it knows.
    moved: bool,
}

impl SharedDesk {
    /// What was read and not written says nothing.
    fn forget(&mut self) {
        (self.shelf, self.version) = (Shelf::default(), 0);
        self.unfolded.forget_names();
    }

    /// The file is another one.
    fn move_to(&mut self, life: &Life) -> Result<(), Failure> {
        self.forget();
        self.moved = true;
        self.unfolded.elsewhere = true;
        Ok(life.lock_again()?)
    }
}

impl Sqlite {
    /// Takes part in what other processes do on this file, as one more of them.
    ///
    /// # Errors
    /// [`StoreError::is_in_use`]: a process works on it alone. Or it cannot be read or written.
    pub fn share(self) -> Result<SharedSqlite, StoreError> {
        self.share_by(Clock::system())
    }

    /// The same by another clock: all processes' must show the same wall time.
    ///
    /// # Errors
    /// As of [`Sqlite::share`].
    pub fn share_by(self, clock: Clock) -> Result<SharedSqlite, StoreError> {
        let life = Arc::new(Life::begin(self.path(), || self.next_run())?);
        Ok(SharedSqlite { sqlite: self, life, clock, desk: Arc::default() })
    }
}

impl SharedSqlite {
    /// Who this process is among them.
    pub fn holder(&self) -> &HolderId {
        &self.life.holder
    }

    /// How it takes part: what it starts it notes with each batch, and asking is cheap.
    pub fn settings(&self) -> Settings {
        Self::usual()
    }

    /// How any process takes part that shares a file.
    pub fn usual() -> Settings {
        let renew_every = Duration::from_secs(1);
        Settings { noting: true, draws: false, haste: (50, 10), renew_every, ..Settings::default() }
    }

    /// The database, whoever works on it.
    pub fn database(&self) -> &Sqlite {
        &self.sqlite
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.sqlite.path()
    }
}

fn taken(desk: &Mutex<SharedDesk>) -> MutexGuard<'_, SharedDesk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All that the file holds, but what the board counts.
fn load(desk: &mut super::Desk, shared: &mut SharedDesk, life: &Life, now: i64) -> Result<Image, Failure> {
    // What somebody left who worked on it alone.
    super::fold_all(desk)?;
    turn::take_over(&mut desk.connection, now)?;
    turn::carry(&mut desk.connection, shared, life, now).inspect_err(|_| shared.forget())?;
    let mut image = read::image(&*migrate::view(&desk.connection)?)?;
    // Counts are the board's.
    image.units.values_mut().for_each(|unit| unit.windows.clear());
    Ok(Image { running: false, crashes: Vec::new(), ..image })
}

impl Store for SharedSqlite {
    async fn load(&self) -> Result<Image, StoreError> {
        let (now, life, shared) = (self.clock.now().wall_ms(), Arc::clone(&self.life), Arc::clone(&self.desk));
        self.sqlite
            .run(move |desk| {
                let mut shared = taken(&shared);
                match load(desk, &mut shared, &life, now) {
                    Err(Failure::Broken(error)) => {
                        if desk.look_after(Some(&error))? {
                            // Nothing is known yet that the next file is to be told.
                            shared.forget();
                            life.lock_again()?;
                        }
                        load(desk, &mut shared, &life, now)
                    }
                    loaded => loaded,
                }
            })
            .await
    }

    fn write(&self, batch: Arc<Batch>) -> impl Future<Output = Result<(), StoreError>> + Send {
        let (shared, life, clock) = (Arc::clone(&self.desk), Arc::clone(&self.life), self.clock.clone());
        self.sqlite.run(move |desk| {
            let mut shared = taken(&shared);
            if desk.look_after(None)? {
                shared.move_to(&life)?;
            }
            let mut written = Ok(());
            if !shared.moved {
                let SharedDesk { unfolded, holder, .. } = &mut *shared;
                let holder = holder.as_ref().unwrap_or(&life.holder);
                written = notes::write(desk, unfolded, holder, &batch, clock.now().wall_ms());
            }
            if let Err(Failure::Broken(error)) = &written
                && desk.look_after(Some(error))?
            {
                shared.move_to(&life)?;
            }
            if std::mem::take(&mut shared.moved) {
                return Err(StoreError::begun_anew("the database is another file than before").into());
            }
            desk.settle_after(&batch);
            written
        })
    }

    fn takes_started(&self) -> bool {
        true
    }

    fn usage(&self, from: &str, to: &str) -> impl Future<Output = Result<Vec<UsageRecord>, StoreError>> + Send {
        Store::usage(&self.sqlite, from, to)
    }

    fn imports(&self) -> impl Future<Output = Result<Vec<ImportRecord>, StoreError>> + Send {
        Store::imports(&self.sqlite)
    }
}

impl Board for SharedSqlite {
    async fn renew(&self, renewal: &Renewal) -> Result<Reply, tower::BoxError> {
        let (shared, life, clock) = (Arc::clone(&self.desk), Arc::clone(&self.life), self.clock.clone());
        let mut renewal = renewal.clone();
        let reply = self.sqlite.run(move |desk| {
            let mut shared = taken(&shared);
            if desk.look_after(None)? {
                shared.move_to(&life)?;
            }
            let mut renew = |desk: &mut super::Desk, shared: &mut SharedDesk| {
                desk.last_through_power_cuts(false)?;
                let name = desk.file_name();
                board::renew(&mut desk.connection, shared, &mut renewal, &life, &name, || clock.now().wall_ms())
            };
            let mut renewed = renew(desk, &mut shared);
            if let Err(Failure::Broken(error)) = &renewed
                && desk.look_after(Some(error))?
            {
                shared.move_to(&life)?;
                renewed = renew(desk, &mut shared);
            }
            if renewed.is_err() {
                shared.forget();
            }
            renewed
        });
        Ok(reply.await?)
    }
}

impl fmt::Debug for SharedSqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSqlite")
            .field("path", &self.sqlite.path())
            .field("holder", self.holder())
            .finish_non_exhaustive()
    }
}

impl Sqlite {
    /// One more run of a process on this file; its number.
    fn next_run(&self) -> Result<u64, StoreError> {
        self.run_here(|desk| board::next_run(&mut desk.connection))
    }

    /// Runs on the database's own thread, and waits for it.
    fn run_here<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut super::Desk) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = std::sync::mpsc::channel();
        let job: super::Job = Box::new(move |desk| {
            let _ = answer.send(desk.done(job));
        });
        let gone = || StoreError::new(format!("the thread of {} has ended", self.path().display()));
        self.0.jobs.send(job).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?.map_err(|failure| failure.of(self.path()))
    }
}
