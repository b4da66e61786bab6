//! Where reservations and cooldowns outlive the process, and are shared between processes.
//!
//! A pool asks its [`Store`] before each request and tells it what answers change. [`MemoryStore`], the default, keeps nothing:
//! the pool's own windows are exact for one process.

mod memory;

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub use memory::MemoryStore;

use crate::{
    Error,
    classify::ErrorClass,
    key::KeyId,
    limit::{Limit, Unit},
};

/// A future of a store.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Keeps what must outlive a process and be the same for all processes.
///
/// The four methods are called in this order: [`load`](Store::load) once, then [`reserve`](Store::reserve) before each request,
/// [`record`](Store::record) every 250 ms where something changed, and [`changes`](Store::changes) to learn what others recorded.
pub trait Store: Send + Sync + 'static {
    /// All that is kept, and the revision that it has.
    fn load(&self) -> StoreFuture<'_, Changes>;

    /// Reserves one request with the first candidate that has room. The request is sent only after it is granted.
    fn reserve(self: Arc<Self>, request: ReserveRequest) -> Reserve;

    /// Whether reservations are asked for at all: not where the pool's own windows are all there is.
    fn is_shared(&self) -> bool {
        true
    }

    /// Keeps what changed.
    fn record(&self, records: Vec<Record>) -> StoreFuture<'_, ()>;

    /// What others recorded since a revision.
    fn changes(&self, since: u64) -> StoreFuture<'_, Changes>;
}

/// The answer of [`Store::reserve`].
#[must_use]
pub enum Reserve {
    /// At once.
    Now(Result<Reserved, Error>),
    /// After the store was asked.
    Later(StoreFuture<'static, Reserved>),
}

/// One request, and the keys that may serve it, best first; at most 8.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ReserveRequest {
    /// The keys, best first.
    pub candidates: Vec<Candidate>,
    /// How much of each unit it takes.
    pub cost: Vec<(Unit, u64)>,
}

/// A key that may serve a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Candidate {
    /// The key.
    pub key: KeyId,
    /// Its project: who owns the quota.
    pub project: Arc<str>,
    /// The model whose windows count.
    pub model: Arc<str>,
    /// The limits that hold, given and learned.
    pub limits: Vec<Limit>,
    /// The IANA zone in which the project's days end.
    pub zone: Arc<str>,
}

/// What a store granted.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Reserved {
    /// The candidate that was granted, by its place; none where no one has room.
    pub granted: Option<usize>,
    /// For each candidate before it that has no room: when it may have.
    pub opens: Vec<Duration>,
}

impl Reserved {
    /// This candidate was granted.
    pub fn granted(candidate: usize) -> Self {
        Self { granted: Some(candidate), opens: Vec::new() }
    }

    /// No candidate has room; each may have after its time.
    pub fn refused(opens: Vec<Duration>) -> Self {
        Self { granted: None, opens }
    }
}

/// What others recorded.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Changes {
    /// The revision after these records.
    pub revision: u64,
    /// The records, oldest first.
    pub records: Vec<Record>,
}

impl Changes {
    /// These records, after which the store has this revision.
    pub fn new(revision: u64, records: Vec<Record>) -> Self {
        Self { revision, records }
    }
}

/// One thing to keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// A breaker is open.
    Open {
        /// What it covers.
        target: BreakerTarget,
        /// Until when, in milliseconds since the Unix epoch; none: until somebody enables it.
        until_ms: Option<i64>,
        /// The class of the error; none where a person did it.
        class: Option<ErrorClass>,
        /// What the provider, or the person, said.
        reason: Option<Box<str>>,
    },
    /// A breaker closed.
    Closed {
        /// What it covers.
        target: BreakerTarget,
    },
    /// A limit was learned.
    Limit {
        /// The project.
        project: Arc<str>,
        /// The model.
        model: Arc<str>,
        /// The limit.
        limit: Limit,
    },
    /// A key's project was learned.
    Project {
        /// The key.
        key: KeyId,
        /// Its project.
        project: Arc<str>,
    },
}

/// What a breaker covers, by names that hold in every process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BreakerTarget {
    /// A key.
    Key(KeyId),
    /// A key for a model.
    KeyModel(KeyId, Arc<str>),
    /// A project.
    Project(Arc<str>),
    /// A project for a model.
    ProjectModel(Arc<str>, Arc<str>),
    /// A model.
    Model(Arc<str>),
    /// A billing account.
    BillingAccount(Arc<str>),
    /// An exit.
    Exit(Arc<str>),
}

impl fmt::Display for BreakerTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "key {key}"),
            Self::KeyModel(key, model) => write!(f, "key {key} for {model}"),
            Self::Project(project) => write!(f, "project {project}"),
            Self::ProjectModel(project, model) => write!(f, "project {project} for {model}"),
            Self::Model(model) => write!(f, "model {model}"),
            Self::BillingAccount(account) => write!(f, "billing account {account}"),
            Self::Exit(exit) => write!(f, "exit {exit}"),
        }
    }
}

impl fmt::Debug for Reserve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(reserved) => f.debug_tuple("Now").field(reserved).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}
