//! Stores, which keep reservations and cooldowns beyond the process and share them between processes.
//!
//! A pool reserves each request in its [`Store`] before it is sent, and records there what responses change.
//! Without a store, the pool's own windows are exact for one process.

use std::{fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

pub use crate::limit::{Amounts, Day, MIDNIGHT_GUARD};

use crate::{Error, classify::ErrorClass, key::KeyId, limit::Limit};

/// The future of a [`Store`] method.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Storage for the state that outlives a process and is shared by all processes.
///
/// The pool calls [`load`](Store::load) at the start and after keys were added, [`reserve`](Store::reserve) before each
/// request, [`record`](Store::record) every 250 ms if something changed (corrections every second, or before a request is
/// refused; what keeps a limit is written at once), and [`changes`](Store::changes) as often to read the records of
/// other processes. Times are in milliseconds: those of reservations and windows by the store's clock, all others since
/// the Unix epoch.
pub trait Store: Send + Sync + 'static {
    /// Returns all kept records and their revision. An open breaker is dropped at its end, a limit 24 h after it was
    /// learned. A closed breaker may be dropped after 24 h.
    fn load(&self) -> StoreFuture<'_, Changes>;

    /// Reserves one request with the first candidate that has room in all its limits. The reservation must be durable
    /// when the future completes: the request is sent after that. A future that is dropped early may still reserve.
    /// The pool sets no deadline for this future: the store must.
    ///
    /// A window may open later than the limit requires, by at most the sum of `usable_for`, 1/240 of the window, and the
    /// guard (1/64 of it, up to 250 ms).
    ///
    /// A cost larger than a limit fits if nothing else counts in the window. Within [`MIDNIGHT_GUARD`] after a
    /// project's midnight, a request counts for both days.
    fn reserve(&self, request: ReserveRequest) -> StoreFuture<'static, Reserved>;

    /// Keeps these records. If several are about the same breaker, limit or key's project, only the last one counts.
    fn record(&self, records: Vec<Record>) -> StoreFuture<'_, ()>;

    /// Returns the records of other processes since a revision; never [`Record::Starts`] or [`Record::Day`].
    fn changes(&self, since: u64) -> StoreFuture<'_, Changes>;
}

impl<S: Store> From<S> for Box<dyn Store> {
    fn from(store: S) -> Self {
        Box::new(store)
    }
}

/// A request to reserve, with the keys that may serve it.
#[derive(Clone, Debug)]
pub struct ReserveRequest {
    /// The keys, best first: 1 to 8.
    pub candidates: Vec<Candidate>,
    /// The amounts that the request takes from the limits.
    pub cost: Amounts,
}

/// A key that may serve a request.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The key.
    pub key: KeyId,
    /// The project of the key, which owns the quota.
    pub project: Arc<str>,
    /// The model whose windows count the request.
    pub model: Arc<str>,
    /// The limits in force, given or learned: one for each unit and span.
    pub limits: Vec<Limit>,
    /// The IANA time zone in which the project's days end.
    pub zone: Arc<str>,
}

/// The result of a [`ReserveRequest`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reserved {
    /// The granted reservation; `None` if no candidate has room.
    pub granted: Option<Granted>,
    /// For each candidate before the granted one, in order, the time until it may have room.
    pub opens_in: Vec<Duration>,
}

/// A reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The index of the candidate in the request.
    pub candidate: usize,
    /// The time and date at which the reservation is counted.
    pub at: ReservedAt,
    /// How long after the call of [`Store::reserve`] the request may be sent. An older reservation is given back and
    /// redone.
    pub usable_for: Duration,
}

/// The time and date at which a reservation is counted, so that it can be corrected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservedAt {
    /// The time at which the sliding windows count it, not before the request is sent.
    pub at_ms: i64,
    /// The date for which it counts, in days since 1970-01-01.
    pub date: i32,
}

/// All kept records, or those of other processes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// The revision after these records.
    pub revision: u64,
    /// The current time by the store's clock.
    pub now_ms: i64,
    /// The records, oldest first.
    pub records: Vec<Record>,
}

/// A record in a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Record {
    /// A breaker opened.
    Open {
        /// The target of the breaker.
        target: BreakerTarget,
        /// The end, by the wall clock; `None`: open until a person enables the target.
        until_ms: Option<i64>,
        /// The class of the error; `None` if a person opened it.
        class: Option<ErrorClass>,
        /// The message of the provider or of the person.
        reason: Option<Box<str>>,
    },
    /// A breaker closed.
    Closed {
        /// The target of the breaker.
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
        /// When it was learned, by the wall clock; it is forgotten after 24 h.
        learned_ms: i64,
    },
    /// A key's project was learned.
    Project {
        /// The key.
        key: KeyId,
        /// The project of the key.
        project: Arc<str>,
    },
    /// The final usage of a reservation; `requests` is 0 if it was never sent.
    Used {
        /// The key.
        key: KeyId,
        /// The project.
        project: Arc<str>,
        /// The model.
        model: Arc<str>,
        /// The time and date at which the reservation is counted.
        at: ReservedAt,
        /// The reserved amounts.
        reserved: Amounts,
        /// The used amounts.
        used: Amounts,
    },
    /// The counts of a sliding window of a project and model; only from [`Store::load`].
    Starts {
        /// The project.
        project: Arc<str>,
        /// The model.
        model: Arc<str>,
        /// The length of the window.
        span: Duration,
        /// Times by the store's clock, each with the amounts counted there.
        starts: Vec<(i64, Amounts)>,
    },
    /// The counts of a day of a project and model; only from [`Store::load`].
    Day {
        /// The project.
        project: Arc<str>,
        /// The model.
        model: Arc<str>,
        /// The date, in days since 1970-01-01.
        date: i32,
        /// The counted amounts.
        used: Amounts,
    },
}

/// The target of a breaker, by names that are valid in every process.
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
