//! A store in one SQLite file, for all processes of a machine.
//!
//! [`SqliteStore`] is a [`Store`]: it keeps reservations, cooldowns, disabled keys and learned limits. It also keeps
//! the data of a gateway: keys with encrypted secrets ([`StoredKey`]), tenants, the owners of the files at a
//! provider ([`Resource`]), and usage by day ([`UsageQuery`]).
//!
//! A killed process loses nothing that the store confirmed. The file must be on a local disk.

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
pub use keys::StoredKey;
pub use resources::Resource;
pub use secrets::MasterKey;
pub use tenants::Tenant;
pub use usage::{UsageQuery, UsageRow};

use file::OpenedFile;
use secrets::Ciphers;
use time::{InjectedTime, Time};
use writer::{Answer, Job, Writer};

/// Options for opening a database.
#[derive(Clone)]
pub struct SqliteOptions {
    master_key: Option<MasterKey>,
    busy_timeout: Duration,
    time: Option<InjectedTime>,
    max_pages: Option<u32>,
}

impl SqliteOptions {
    /// Creates the default options: a busy timeout of 5 s, and the master key in the file `<database>.key`, which is
    /// created with a new database.
    pub fn new() -> Self {
        Self { master_key: None, busy_timeout: Duration::from_secs(5), time: None, max_pages: None }
    }

    /// Sets the master key that encrypts the secrets. It is not written to a file.
    #[must_use]
    pub fn master_key(self, key: MasterKey) -> Self {
        Self { master_key: Some(key), ..self }
    }

    /// Sets how long a transaction waits for one of another process before it fails.
    #[must_use]
    pub fn busy_timeout(self, timeout: Duration) -> Self {
        Self { busy_timeout: timeout, ..self }
    }

    /// Sets a source of the time in milliseconds since the Unix epoch, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn with_time(self, time: Arc<dyn Fn() -> i64 + Send + Sync>) -> Self {
        Self { time: Some(time), ..self }
    }

    /// Sets the number of 4 KiB pages at which the disk counts as full, for tests.
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

/// A store in one SQLite file, which several processes of a machine may share. Clones share the same store.
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
    file: OpenedFile,
    options: SqliteOptions,
    time: Time,
    /// The random id that marks this store's records.
    id: i64,
    ciphers: Ciphers,
    reader: Mutex<Connection>,
    /// `None` while the store is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl SqliteStore {
    /// Opens a database, and creates it and its parent folders if they are missing. The structure of all tables except
    /// usage is checked, so this blocks for some milliseconds, and for about 100 ms with 100,000 keys.
    ///
    /// # Errors
    /// Any [`SqliteErrorKind`] except `Invalid`. The file is left unchanged.
    pub fn open(path: impl Into<PathBuf>, options: SqliteOptions) -> Result<Self, SqliteError> {
        let path = path.into();
        let open = || {
            let (connection, time, cipher) = file::open(&path, &options)?;
            Ok((connection, time, cipher, file::open_reader(&path, &options)?, secrets::random()?))
        };
        let (connection, time, cipher, reader, id) = open().map_err(|error: SqliteError| error.at(&path))?;
        let (jobs, queue) = mpsc::channel();
        let file = OpenedFile::new(&path);
        let writer = Writer::new(connection, file.clone(), time.clone(), id, options.busy_timeout);
        let writer = std::thread::Builder::new().name("keypool-sqlite".to_owned()).spawn(move || writer.run(&queue));
        let writer = Some(writer.map_err(|error| SqliteError::io(&path, &error))?);
        let (ciphers, reader, jobs) = (Ciphers::new(cipher), Mutex::new(reader), Some(jobs));
        Ok(Self(Arc::new(Shared { path, file, options, time, id, ciphers, reader, jobs, writer })))
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Returns the size of the file and of SQLite's files beside it, in bytes.
    ///
    /// # Errors
    /// [`SqliteErrorKind::Io`] if the file cannot be read, for example because it was removed.
    pub fn size(&self) -> Result<u64, SqliteError> {
        let size = |end: &str| Ok(std::fs::metadata(secrets::beside(self.path(), end))?.len());
        let main = size("").map_err(|error: std::io::Error| SqliteError::io(self.path(), &error))?;
        Ok(main + size("-wal").unwrap_or(0) + size("-shm").unwrap_or(0))
    }

    /// Sends a job to the writer; the future resolves to the writer's reply.
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

    /// Runs a closure on the writer thread, between two batches.
    async fn on_writer<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Writer) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<T, SqliteError> {
        self.ask(|answer| Job::Alone(Box::new(move |writer| drop(answer.send(work(writer)))))).await
    }

    /// Reads from the database over the shared read connection, in parallel to the writer.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection, &Shared) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<T, SqliteError> {
        let shared = Arc::clone(&self.0);
        self.block(move || read(&shared.reader.lock().unwrap_or_else(PoisonError::into_inner), &shared)).await
    }

    /// Runs a long read over a connection of its own.
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
        let shared = Arc::clone(&self.0);
        let done = tokio::task::spawn_blocking(move || shared.file.check().and_then(|()| work())).await;
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
    /// Waits until all sent jobs are done.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            // An error here is a panic, which was reported already.
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.0.path).finish_non_exhaustive()
    }
}
