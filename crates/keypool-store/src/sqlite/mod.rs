//! One SQLite file, for all processes of a machine.
//!
//! [`SqliteStore`] is a [`Store`]: reservations, cooldowns, disabled keys and learned limits. Beside that it keeps what a
//! gateway needs: keys with their secrets encrypted ([`StoredKey`]), the history of imports, tenants, who owns which file
//! of a provider ([`Resource`]), and the usage by day ([`UsageQuery`]).
//!
//! A process that is killed loses nothing that was answered. The file must lie on a local disk.

mod backup;
mod error;
mod file;
mod keys;
mod quota;
mod records;
mod resources;
mod secrets;
mod tenants;
mod time;
mod usage;
mod windows;
mod writer;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::oneshot;
use tower_keypool::store::{Changes, Record, ReserveRequest, Reserved, Store, StoreFuture};

pub use error::{SqliteError, SqliteErrorKind};
pub use keys::{Import, StoredKey};
pub use resources::Resource;
pub use secrets::MasterKey;
pub use tenants::Tenant;
pub use usage::{UsageQuery, UsageRow};

use secrets::Ciphers;
use time::{InjectedTime, Time};
use writer::{Answer, Job, Writer};

/// Usage is kept for so many days.
const USAGE_DAYS: i32 = 400;

/// How a database is opened.
#[derive(Clone)]
pub struct SqliteOptions {
    master_key: Option<MasterKey>,
    busy_timeout: Duration,
    time: Option<InjectedTime>,
    max_pages: Option<u32>,
}

impl SqliteOptions {
    /// The master key in the file `<database>.key`, which is made for a new database; a busy timeout of 5 s.
    pub fn new() -> Self {
        Self { master_key: None, busy_timeout: Duration::from_secs(5), time: None, max_pages: None }
    }

    /// The master key that encrypts the secrets. No file is made for it.
    #[must_use]
    pub fn master_key(self, key: MasterKey) -> Self {
        Self { master_key: Some(key), ..self }
    }

    /// For how long a transaction waits for one of another process before it fails.
    #[must_use]
    pub fn busy_timeout(self, timeout: Duration) -> Self {
        Self { busy_timeout: timeout, ..self }
    }

    /// The time in milliseconds since the Unix epoch, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn with_time(self, time: Arc<dyn Fn() -> i64 + Send + Sync>) -> Self {
        Self { time: Some(time), ..self }
    }

    /// The disk is full when the file has so many pages of 4 KiB, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn max_pages(self, pages: u32) -> Self {
        Self { max_pages: Some(pages), ..self }
    }
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for SqliteOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteOptions").field("busy_timeout", &self.busy_timeout).finish_non_exhaustive()
    }
}

/// A store in one SQLite file, which several processes of a machine may share. A clone is the same store.
///
/// ```
/// use keypool_store::{SqliteOptions, SqliteStore};
/// use tower_keypool::store::Store;
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("keypool.db");
/// let store = SqliteStore::open(&path, SqliteOptions::new())?;
/// assert_eq!(store.load().await?.records, []);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct SqliteStore(Arc<Shared>);

struct Shared {
    path: PathBuf,
    options: SqliteOptions,
    time: Time,
    /// The random number by which its records are known.
    id: i64,
    ciphers: Ciphers,
    reader: Mutex<Connection>,
    /// None when the store is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl SqliteStore {
    /// Opens a database; it is made where there is none, with the folders above it. The structure of all tables but that of
    /// usage is checked, so this blocks for some milliseconds, and for about 100 ms with 100,000 keys.
    ///
    /// # Errors
    /// Each [`SqliteErrorKind`] but `Invalid`. The file is left as it is.
    pub fn open(path: impl Into<PathBuf>, options: SqliteOptions) -> Result<Self, SqliteError> {
        let path = path.into();
        let open = || {
            let (connection, time, cipher) = file::open(&path, &options)?;
            Ok((connection, time, cipher, file::open_reader(&path, &options)?, secrets::random()?))
        };
        let (connection, time, cipher, reader, id) = open().map_err(|error: SqliteError| error.at(&path))?;
        let (jobs, queue) = mpsc::channel();
        let writer = Writer::new(connection, time.clone(), id, options.busy_timeout);
        let writer = std::thread::Builder::new().name("keypool-sqlite".to_owned()).spawn(move || writer.run(&queue));
        let writer = Some(writer.map_err(|error| SqliteError::io(&path, &error))?);
        let (ciphers, reader, jobs) = (Ciphers::new(cipher), Mutex::new(reader), Some(jobs));
        Ok(Self(Arc::new(Shared { path, options, time, id, ciphers, reader, jobs, writer })))
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The size of the file and of those that SQLite keeps beside it, in bytes.
    ///
    /// # Errors
    /// [`SqliteErrorKind::Io`] if the file is gone.
    pub fn size(&self) -> Result<u64, SqliteError> {
        let size = |end: &str| Ok(std::fs::metadata(secrets::beside(self.path(), end))?.len());
        let main = size("").map_err(|error: std::io::Error| SqliteError::io(self.path(), &error))?;
        Ok(main + size("-wal").unwrap_or(0) + size("-shm").unwrap_or(0))
    }

    /// Hands a job to the writer; the future is its answer.
    fn ask<T, J: FnOnce(Answer<T>) -> Job>(&self, job: J) -> impl Future<Output = Result<T, SqliteError>> + use<T, J> {
        let (answer, answered) = oneshot::channel();
        let sent = self.0.jobs.as_ref().is_some_and(|jobs| jobs.send(job(answer)).is_ok());
        let shared = Arc::clone(&self.0);
        async move {
            let answered = if sent { answered.await.ok() } else { None };
            let stopped = || SqliteError::new(SqliteErrorKind::Io, "its writer stopped; restart the program");
            answered.unwrap_or_else(|| Err(stopped())).map_err(|error| error.at(&shared.path))
        }
    }

    /// Changes the database in a transaction of its own.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection, &Time) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<T, SqliteError> {
        self.on_writer(|writer| writer.transaction(|writer| change(&writer.connection, &writer.time))).await
    }

    /// Has the writer do something between two batches.
    async fn on_writer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<T, SqliteError> {
        self.ask(|answer| Job::Alone(Box::new(move |writer| drop(answer.send(work(writer)))))).await
    }

    /// Reads from the database, beside the writer.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection, &Shared) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<T, SqliteError> {
        let shared = Arc::clone(&self.0);
        self.block(move || read(&shared.reader.lock().unwrap_or_else(PoisonError::into_inner), &shared)).await
    }

    /// Reads for long, over a connection of its own.
    async fn read_long<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection, &Shared) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<T, SqliteError> {
        let shared = Arc::clone(&self.0);
        self.block(move || read(&file::open_reader(&shared.path, &shared.options)?, &shared)).await
    }

    async fn block<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<T, SqliteError> {
        let done = tokio::task::spawn_blocking(work).await;
        let done = done.unwrap_or_else(|error| Err(SqliteError::new(SqliteErrorKind::Io, error.to_string())));
        done.map_err(|error| error.at(self.path()))
    }
}

impl Store for SqliteStore {
    fn load(&self) -> StoreFuture<'_, Changes> {
        Box::pin(async move { Ok(self.on_writer(Writer::load).await?) })
    }

    fn reserve(&self, request: ReserveRequest) -> StoreFuture<'static, Reserved> {
        let reserved = self.ask(|answer| Job::Reserve(request, answer));
        Box::pin(async move { Ok(reserved.await?) })
    }

    fn record(&self, records: Vec<Record>) -> StoreFuture<'_, ()> {
        let recorded = self.ask(|answer| Job::Record(records, answer));
        Box::pin(async move { Ok(recorded.await?) })
    }

    fn changes(&self, since: u64) -> StoreFuture<'_, Changes> {
        Box::pin(async move {
            let read = move |connection: &Connection, shared: &Shared| {
                let transaction = connection.unchecked_transaction()?;
                let (revision, records) = records::since(&transaction, since, shared.id)?;
                Ok(Changes { revision, now_ms: shared.time.now_ms(), records })
            };
            Ok(self.read(read).await?)
        })
    }
}

impl Drop for Shared {
    /// Waits until the jobs that were sent are done.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            // It has said why it stopped.
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.0.path).finish_non_exhaustive()
    }
}
