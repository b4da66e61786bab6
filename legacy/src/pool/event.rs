//! Events: what happens to keys, for dashboards and stores. Bounded, lossy with a count, never slowing a pick.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use tokio::sync::broadcast;

use super::{LimitSource, OutReason};
use crate::{
    key::{Exit, KeyId},
    limit::{Limit, Span, Unit},
    verdict::{Scope, VerdictKind},
};

/// Something that happened in the pool.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A key was leased. Only sent while somebody subscribes.
    Leased {
        /// Which key.
        key: KeyId,
        /// For which model.
        model: Option<Arc<str>>,
    },
    /// A scope rests.
    Rested {
        /// The key whose answer said so.
        key: KeyId,
        /// Whom it concerns.
        scope: Scope,
        /// Which exit, where the scope is one that has a name.
        #[serde(skip_serializing_if = "Option::is_none")]
        exit: Option<Exit>,
        /// In which lane, where the scope is one.
        model: Option<Arc<str>>,
        /// What the answer meant.
        kind: VerdictKind,
        /// The provider's own short word for it.
        code: String,
        /// Of a way out that failed: the innermost error.
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
        /// The limit that was hit, where the answer named it.
        limit: Option<LimitHit>,
        /// How long.
        rest: Duration,
    },
    /// A scope is disabled: it rests without end.
    Disabled {
        /// The key whose answer said so, or that was disabled by hand.
        key: KeyId,
        /// Whom it concerns.
        scope: Scope,
        /// Which exit, where the scope is one that has a name.
        #[serde(skip_serializing_if = "Option::is_none")]
        exit: Option<Exit>,
        /// In which lane, where the scope is one.
        model: Option<Arc<str>>,
        /// What the answer meant.
        kind: VerdictKind,
        /// The provider's own short word for it, or the reason that it was switched off for.
        code: String,
        /// One plain sentence: what a person can do about it.
        advice: String,
    },
    /// Disabling pauses: many keys failed for good at once, so the fault may be ours.
    Held {
        /// How many keys are held.
        keys: usize,
    },
    /// A scope that rested serves again: its first good answer since then, a lift by hand, or a fault that turned out
    /// to be the request's. When a rest ends by itself is no event: [`Event::Rested`] says how long it lasts.
    Recovered {
        /// The key that showed it.
        key: KeyId,
        /// What came back.
        scope: Scope,
        /// Which exit, where the scope is one that has a name.
        #[serde(skip_serializing_if = "Option::is_none")]
        exit: Option<Exit>,
        /// In which lane, where the scope is one.
        model: Option<Arc<str>>,
    },
    /// A limit was learned.
    Learned {
        /// The key whose answer said so.
        key: KeyId,
        /// In which lane.
        model: Option<Arc<str>>,
        /// The limit.
        limit: Limit,
        /// What was configured, where that differs.
        given: Option<u64>,
    },
    /// Keys of one owner were given different limits: the smaller holds.
    Contested {
        /// The owner.
        owner: String,
        /// For which model; `*`: every model without limits of its own.
        model: Arc<str>,
        /// The limit that holds.
        limit: Limit,
        /// The other amount.
        other: u64,
    },
    /// Keys turned out to share one owner: together they have one quota.
    Grouped {
        /// The key that joined.
        key: KeyId,
        /// The owner, as the provider names it.
        owner: String,
        /// How many keys are known to be the owner's now, whatever they were configured as.
        keys: u32,
    },
    /// A request went over a later priority.
    Spilled {
        /// Which key took it.
        key: KeyId,
        /// That key's priority.
        priority: u16,
        /// For which model.
        model: Option<Arc<str>>,
    },
    /// No key could serve a demand.
    Exhausted {
        /// For which model.
        model: Option<Arc<str>>,
        /// The reason that most keys are out for.
        reason: Option<OutReason>,
        /// When the earliest comes back.
        next_in: Option<Duration>,
    },
    /// The keys of the pool changed.
    Roster {
        /// Which key.
        key: KeyId,
        /// `added`, `removed`, `replaced`, `merged`, `reweighted`, `changed`.
        change: &'static str,
    },
}

/// A limit that an answer said was hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LimitHit {
    /// What it counts.
    pub unit: Unit,
    /// Over which time.
    pub span: Span,
    /// How many it allows, where the answer said so. Zero: the owner has none of it.
    pub named: Option<u64>,
    /// How many the pool allows, where it limits this.
    pub held: Option<u64>,
    /// Where that came from; `None` where nothing is held.
    pub source: Option<LimitSource>,
}

impl LimitHit {
    /// How many it allows as far as is known: as the answer said, else as the pool has it.
    pub fn amount(&self) -> Option<u64> {
        self.named.or(self.held)
    }
}

/// What is counted over which time: `requests/minute`.
impl fmt::Display for LimitHit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Limit { unit: self.unit, span: self.span, amount: 0 }, f)
    }
}

/// A subscription: what happens from now on. Slow readers lose the oldest events and are told how many.
#[derive(Debug)]
pub struct Events {
    /// By reference: room for all that a slow reader may lag behind is there from the start.
    receiver: broadcast::Receiver<Arc<Event>>,
    /// Of all subscribers together.
    lost: Arc<AtomicU64>,
}

/// How many events a slow reader may lag behind before it loses the oldest.
pub(super) const CAPACITY: usize = 1024;

impl Events {
    pub(super) fn new(receiver: broadcast::Receiver<Arc<Event>>, lost: &Arc<AtomicU64>) -> Self {
        Self { receiver, lost: Arc::clone(lost) }
    }

    fn missed(&self, events: u64) -> Lost {
        self.lost.fetch_add(events, Ordering::Relaxed);
        Lost(events)
    }

    /// The next event, or how many were lost; `None` once the pool is gone.
    pub async fn next(&mut self) -> Option<Result<Event, Lost>> {
        match self.receiver.recv().await {
            Ok(event) => Some(Ok(Arc::unwrap_or_clone(event))),
            Err(broadcast::error::RecvError::Lagged(lost)) => Some(Err(self.missed(lost))),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// The next event if one is there already.
    pub fn try_next(&mut self) -> Option<Result<Event, Lost>> {
        match self.receiver.try_recv() {
            Ok(event) => Some(Ok(Arc::unwrap_or_clone(event))),
            Err(broadcast::error::TryRecvError::Lagged(lost)) => Some(Err(self.missed(lost))),
            Err(_) => None,
        }
    }
}

/// This many events were lost, since they were not read in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost(pub u64);
