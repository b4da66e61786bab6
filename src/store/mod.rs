//! Where reservations and cooldowns outlive the process, and are shared between processes.
//!
//! A pool asks its [`Store`] before each request and tells it what answers change. [`MemoryStore`], the default, keeps nothing:
//! the pool's own windows are exact for one process.

mod memory;

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub use memory::MemoryStore;

pub use crate::limit::{Amounts, Day, MIDNIGHT_GUARD};

use crate::{Error, classify::ErrorClass, key::KeyId, limit::Limit};

/// A future of a store.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Keeps what must outlive a process and be the same for all processes.
///
/// The pool calls [`load`](Store::load) once, [`reserve`](Store::reserve) before each request,
/// [`record`](Store::record) every 250 ms if something changed (corrections every second), and [`changes`](Store::changes) every 250 ms to learn what
/// others recorded. All times are in milliseconds since the Unix epoch.
pub trait Store: Send + Sync + 'static {
    /// All that is kept, and its revision.
    fn load(&self) -> StoreFuture<'_, Changes>;

    /// Reserves one request with the first candidate that has room in all its limits. The reservation must be durable when
    /// the future ends: the request is sent after that. A future that is dropped early may still reserve.
    ///
    /// A cost that is larger than a limit fits if nothing else is counted in the window. Within [`MIDNIGHT_GUARD`] after a
    /// project's midnight a request counts for both days.
    fn reserve(&self, request: ReserveRequest) -> StoreFuture<'static, Reserved>;

    /// Keeps what changed.
    fn record(&self, records: Vec<Record>) -> StoreFuture<'_, ()>;

    /// What other processes recorded since a revision; never [`Record::Starts`] or [`Record::Day`].
    fn changes(&self, since: u64) -> StoreFuture<'_, Changes>;

    /// Whether the pool asks for reservations at all: not if its own windows are all there is.
    fn is_shared(&self) -> bool {
        true
    }
}

/// One request, and the keys that may serve it, best first.
#[derive(Clone, Debug)]
pub struct ReserveRequest {
    /// The keys, best first; 1 to 8.
    pub candidates: Vec<Candidate>,
    /// What the request takes from the limits.
    pub cost: Amounts,
}

/// A key that may serve a request.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The key.
    pub key: KeyId,
    /// Its project, which owns the quota.
    pub project: Arc<str>,
    /// The model whose windows count.
    pub model: Arc<str>,
    /// The limits that hold, given and learned; of each unit and span one.
    pub limits: Vec<Limit>,
    /// The IANA zone in which the project's days end.
    pub zone: Arc<str>,
}

/// The answer to a [`ReserveRequest`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reserved {
    /// What was granted; `None` if no candidate has room.
    pub granted: Option<Granted>,
    /// For each candidate before the granted one, in order: after which time it may have room.
    pub opens: Vec<Duration>,
}

/// A reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The place of the candidate in the request.
    pub candidate: usize,
    /// Where it is counted.
    pub at: ReservedAt,
    /// How long after the call of [`Store::reserve`] the request may still be sent. A reservation that is older is given
    /// back and asked for anew.
    pub usable_for: Duration,
}

/// Where a reservation is counted, so that it can be corrected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservedAt {
    /// The time at which the sliding windows count it: not before the request is sent.
    pub at_ms: i64,
    /// The day that counts it, in days since 1970-01-01.
    pub date: i32,
}

/// What is kept, or what others recorded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// The revision after these records.
    pub revision: u64,
    /// The time by the store's clock.
    pub now_ms: i64,
    /// The records, oldest first.
    pub records: Vec<Record>,
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
        /// Until when, by the wall clock; none: until somebody enables it.
        until_ms: Option<i64>,
        /// The class of the error; none if a person did it.
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
        /// When, by the wall clock; it is forgotten after 24 h.
        learned_ms: i64,
    },
    /// A key's project was learned.
    Project {
        /// The key.
        key: KeyId,
        /// Its project.
        project: Arc<str>,
    },
    /// What a reservation used in the end; `requests` is 0 if it was never sent.
    Used {
        /// The key.
        key: KeyId,
        /// The project.
        project: Arc<str>,
        /// The model.
        model: Arc<str>,
        /// Where it is counted.
        at: ReservedAt,
        /// What was reserved.
        reserved: Amounts,
        /// What was used.
        used: Amounts,
    },
    /// What a sliding window of a project and model counts; only from [`Store::load`].
    Starts {
        /// The project.
        project: Arc<str>,
        /// The model.
        model: Arc<str>,
        /// The length of the window.
        span: Duration,
        /// Times by the store's clock with what is counted there.
        starts: Vec<(i64, Amounts)>,
    },
    /// What a day of a project and model counts; only from [`Store::load`].
    Day {
        /// The project.
        project: Arc<str>,
        /// The model.
        model: Arc<str>,
        /// In days since 1970-01-01.
        date: i32,
        /// What is counted.
        used: Amounts,
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
