//! One SQLite file: what a pool keeps, and a person can look at with any SQLite.

mod care;
mod connection;
mod desk;
mod emptied;
mod failure;
mod file;
mod fold;
mod gap;
mod keys;
mod ledger;
mod look;
mod mending;
mod migrate;
mod numbers;
mod pack;
mod pending;
mod presence;
mod read;
mod row;
mod shape;
mod sharing;
mod whose;
mod write;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    fs::File,
    future::Future,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{Batch, Image, ImportRecord, KeyRecord, Store, StoreError, UsageRecord};
use connection::{begin, begin_telling};
use desk::{Desk, Job};
use failure::Failure;
use numbers::Numbers;
pub use sharing::SharedSqlite;

use crate::time::Clock;

pub use care::Contents;
pub use migrate::Migrated;

/// A store in one SQLite file (with `-wal` and `-shm` beside it while it is open). A cheap handle: clones share the
/// file and its one thread, which ends with the last of them.
///
/// The files belong to their owner alone (mode 0600), whatever the umask. Keys that come from a file or a variable leave
/// no secret here; of those that are added to it, see [`Keeping`](super::Keeping).
///
/// ```
/// use tower_keypool::{Gemini, Key, KeyPool, store::Sqlite};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("keypool.db");
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let store = Sqlite::open(&path)?;
/// let pool = KeyPool::builder(Gemini::new()).key(Key::free("AIza-not-a-real-key-001")).open(store).await?;
/// // …
/// pool.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Sqlite(Arc<Inner>);

struct Inner {
    path: PathBuf,
    jobs: mpsc::Sender<Job>,
    /// Held while a pool works on it.
    claim: Mutex<Option<File>>,
    found: Found,
}

/// What was done about the file that was found.
#[derive(Debug, Default)]
struct Found {
    set_aside: Option<PathBuf>,
    migrated: Option<Migrated>,
}

impl Sqlite {
    /// Opens the file, making it and its folder where there is none. An older schema is brought forward, once the file
    /// was copied beside itself. A broken database is set aside under another name ([`Sqlite::set_aside`] says which, and
    /// so does a warning), and a new one begun. A database of another program, and a file that never was one, are left as
    /// they are.
    ///
    /// # Errors
    /// When it cannot be made, read or written, a newer version wrote it, or it is another program's or no database.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = &*file::real(path.as_ref());
        whose::look(path)?;
        let begun = emptied::check(path).and_then(|()| {
            file::prepare(path)?;
            begin_telling(path)
        });
        match begun {
            Ok((connection, migrated)) => Self::start(path, connection, Found { migrated, ..Found::default() }),
            Err(Failure::Broken(error)) => {
                // Another process may have found it broken, too.
                let _turn = file::mending(path)?;
                if let Ok(connection) = emptied::check(path).and_then(|()| begin(path)) {
                    return Self::start(path, connection, Found::default());
                }
                let aside = file::set_aside(path, file::CORRUPT)?;
                tracing::warn!(
                    name: "keypool.database_anew",
                    %error,
                    "the database {} is broken: it was set aside as {}, and a new one is begun. Keys \
                     that only it had are gone, and those that were switched off by hand are on again; what was used before is \
                     not known any more: nothing with limits is sent for a minute, and days that limits count are taken as used up until each of them ends",
                    path.display(),
                    aside.display()
                );
                file::prepare_in_turn(path)?;
                let found = Found { set_aside: Some(aside), ..Found::default() };
                Self::start(path, begin(path).map_err(|failure| failure.of(path))?, found)
            }
            Err(failure) => Err(failure.of(path)),
        }
    }

    /// Opens a file that is there, to copy or to check it. Nothing is brought forward or set aside. It may stand where
    /// nothing can be written.
    ///
    /// # Errors
    /// When it is not there, is empty, cannot be read, or a newer version wrote it.
    pub fn inspect(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = &*file::real(path.as_ref());
        whose::look(path)?;
        let empty = || StoreError::new(format!("the database {} is empty: not even a table is in it", path.display()));
        if whose::is_empty(path) {
            return Err(empty());
        }
        let known = |connection: Connection| {
            connection.busy_timeout(BUSY)?;
            // What lay beside it (-wal) held all, and was not copied along.
            if migrate::known(&connection, path, migrate::MIGRATIONS)? == 0 {
                return Err(empty().into());
            }
            Ok(connection)
        };
        Self::start(path, look::opened(path, known).map_err(|failure| failure.of(path))?, Found::default())
    }

    /// Whether [`Sqlite::open`] would refuse the file that is there, and why: another program's, no database, or a newer
    /// version's.
    /// Nothing is made or changed; what else stands in the way shows when it is opened.
    ///
    /// # Errors
    /// That it would.
    pub fn may_open(path: impl AsRef<Path>) -> Result<(), StoreError> {
        let path = &*file::real(path.as_ref());
        whose::look(path)?;
        if whose::is_empty(path) {
            return Ok(());
        }
        let version = || {
            let connection = whose::untouched(path)?;
            migrate::known(&connection, path, migrate::MIGRATIONS).map(drop)
        };
        match version() {
            Err(Failure::Said(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Every key that it knows, whoever works on it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        self.run(|desk| read::keys(&*migrate::view(&desk.connection)?)).await
    }

    /// Where it lies ([`Sqlite::place`]).
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Where the database lies that is asked for by a path: where that leads through links. What belongs to a database lies
    /// beside the file itself, whichever way somebody came to it.
    pub fn place(path: impl AsRef<Path>) -> PathBuf {
        file::real(path.as_ref())
    }

    /// Where the broken file went that was found in its place.
    pub fn set_aside(&self) -> Option<&Path> {
        self.0.found.set_aside.as_deref()
    }

    /// That it was of an earlier schema, and was brought forward when it was opened.
    pub fn migrated(&self) -> Option<&Migrated> {
        self.0.found.migrated.as_ref()
    }

    /// Has what lies beside the file (`-wal`) go into it, as far as nobody reads that just now: who copies the file alone has
    /// what was written, and a power cut takes none of it. Each time costs two waits for the disk.
    ///
    /// # Errors
    /// When the database's thread has ended.
    pub async fn settle(&self) -> Result<(), StoreError> {
        self.run(|desk| {
            desk.settle();
            Ok(())
        })
        .await
    }

    fn start(path: &Path, connection: Connection, found: Found) -> Result<Self, StoreError> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let mut desk = Desk::new(connection, path);
        thread::Builder::new()
            .name("keypool-sqlite".to_owned())
            .spawn(move || desk.work(&queue))
            .map_err(|error| StoreError::because("no thread for the database", error))?;
        Ok(Self(Arc::new(Inner { path: path.to_owned(), jobs, claim: Mutex::new(None), found })))
    }

    /// Runs on the database's own thread.
    async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Desk) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |desk| {
            // Whoever asked may have left.
            let _ = answer.send(desk.done(job));
        });
        let gone = || StoreError::new(format!("the thread of {} has ended", self.0.path.display()));
        self.0.jobs.send(job).map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?.map_err(|failure| failure.of(&self.0.path))
    }

    /// Says that this process works on it: two would each count for itself. Loading it does so, too. Until the last
    /// handle is dropped, or the process is gone. Waits a little for one that is just ending.
    ///
    /// # Errors
    /// [`StoreError::is_in_use`]: another one does.
    pub fn claim(&self) -> Result<(), StoreError> {
        self.0.claim()
    }
}

const BUSY: Duration = Duration::from_secs(5);

/// All that it holds, where its tables say it.
fn load(desk: &mut Desk) -> Result<Image, Failure> {
    fold_all(desk)?;
    sharing::give_over(&mut desk.connection, Clock::system().now().wall_ms())?;
    forget_gap(desk)?;
    read::image(&*migrate::view(&desk.connection)?)
}

/// Whoever works on the file alone knows of no limits yet that could count as used.
fn forget_gap(desk: &mut Desk) -> Result<(), Failure> {
    let to = migrate::turn(&mut desk.connection)?;
    if gap::take(&to)? {
        let path = desk.path.display();
        tracing::warn!(name: "keypool.counts_gone", "what was used before is not known to the database {path}: it counts from zero");
    }
    Ok(to.commit()?)
}

/// What the journal holds goes into the tables, whoever wrote it: nobody works on the file alone meanwhile.
fn fold_all(desk: &mut Desk) -> Result<(), Failure> {
    fold::fold_journal(&mut desk.connection, None)?;
    desk.numbers = Numbers::default();
    keys::carry(&mut desk.connection)
}

impl Inner {
    fn claim(&self) -> Result<(), StoreError> {
        let mut claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        if claim.is_none() {
            *claim = Some(file::claim(&self.path)?);
        }
        Ok(())
    }

    /// The lock may have gone with the file.
    fn claim_again(&self) -> Result<(), StoreError> {
        let mut claim = self.claim.lock().unwrap_or_else(PoisonError::into_inner);
        if claim.take().is_some() {
            *claim = Some(file::claim(&self.path)?);
        }
        Ok(())
    }
}

impl Store for Sqlite {
    async fn load(&self) -> Result<Image, StoreError> {
        let inner = Arc::downgrade(&self.0);
        self.run(move |desk| {
            if let Some(inner) = inner.upgrade() {
                inner.claim()?;
            }
            match load(desk) {
                Err(Failure::Broken(error)) => {
                    // Said already; nothing is known.
                    let _ = desk.begin_anew(&error);
                    load(desk)
                }
                loaded => loaded,
            }
        })
        .await
    }

    fn write(&self, batch: Arc<Batch>) -> impl Future<Output = Result<(), StoreError>> + Send {
        let inner = Arc::downgrade(&self.0);
        self.run(move |desk| {
            if desk.keep_its_name()?
                && let Some(inner) = inner.upgrade()
            {
                inner.claim_again()?;
            }
            match write::batch(desk, &batch) {
                Err(Failure::Broken(error)) => Err(desk.begin_anew(&error)),
                written => {
                    desk.settle_after(&batch);
                    written
                }
            }
        })
    }

    fn takes_started(&self) -> bool {
        true
    }

    async fn usage(&self, from: &str, to: &str) -> Result<Vec<UsageRecord>, StoreError> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.run(move |desk| read::usage(&desk.connection, &from, &to)).await
    }

    async fn imports(&self) -> Result<Vec<ImportRecord>, StoreError> {
        self.run(|desk| read::imports(&*migrate::view(&desk.connection)?)).await
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("path", &self.0.path).finish_non_exhaustive()
    }
}
