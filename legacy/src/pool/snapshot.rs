//! The pool as it stands: for dashboards, metrics and people. Serialisable; no secrets.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use super::{SharingView, plans::LimitSource, rank::Strategy};
use crate::{
    key::{Exit, KeyId, Tier},
    limit::{Limit, Span, Unit},
    verdict::{Scope, VerdictKind},
};

/// The pool as it stands.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// When it was taken.
    pub at: SystemTime,
    /// The provider's name.
    pub provider: String,
    /// The order among ready keys.
    pub strategy: Strategy,
    /// When the provider's day ends, and with it what was used of the quotas of days; owners in other zones have
    /// another.
    pub day_ends: SystemTime,
    /// Keys in the pool.
    pub total_keys: usize,
    /// Keys that may carry a request of some lane now. Requests without a model count as a lane once there was one.
    pub available_keys: usize,
    /// Keys with as many requests in flight as they may carry, or between two starts.
    pub busy_keys: usize,
    /// Keys that rest and come back by themselves.
    pub resting_keys: usize,
    /// Keys that rest without end.
    pub disabled_keys: usize,
    /// Keys whose secret was given more than once, when the pool was built or since: they were made one.
    pub merged: Vec<KeyId>,
    /// Keys that rest without end as a whole, by whom the fault concerns and what the answer meant. A key whose owner
    /// rests, too, counts with both.
    pub disabled: Vec<DisabledView>,
    /// The counts of keys, by priority.
    pub priorities: Vec<PriorityView>,
    /// Requests in flight.
    pub in_flight: usize,
    /// Who waits for a key.
    pub waiters: usize,
    /// Requests started so far.
    pub started: u64,
    /// Requests started in the last 60 s.
    pub requests_last_minute: u64,
    /// Good answers in the last 60 s.
    pub successes_last_minute: u64,
    /// 429s in the last 60 s.
    pub limit_hits_last_minute: u64,
    /// Verdicts so far. A good answer that its reader left before the end is a success and cancelled: these may be more
    /// than requests were started.
    pub verdicts: BTreeMap<VerdictKind, u64>,
    /// Requests that went over a later priority.
    pub spills: u64,
    /// Demands that no key could serve.
    pub exhausted: u64,
    /// Events that subscribers did not read in time.
    pub events_lost: u64,
    /// How sharing owners with other processes stands; none where nothing is shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sharing: Option<SharingView>,
    /// A rest of the one exit that all keys go out by: none is used. Where they have several each has its own, in
    /// [`exits`](Self::exits).
    pub exit_rest: Option<RestView>,
    /// The ways out of the keys, the usual one first where a key takes it.
    pub exits: Vec<ExitView>,
    /// Each key.
    pub keys: Vec<KeyView>,
    /// Each lane.
    pub lanes: Vec<LaneView>,
    /// Bytes that the pool holds, secrets included.
    pub total_memory_bytes: usize,
    /// The same for each key.
    pub bytes_per_key: usize,
}

/// A way out to the provider.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ExitView {
    /// Its name; `None`: the usual one, of keys that name none.
    pub name: Option<Exit>,
    /// Keys that go out by it.
    pub keys: usize,
    /// Its rest: none of those keys is used, and none of them rests for it.
    pub rest: Option<RestView>,
}

/// The keys of one priority.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PriorityView {
    /// Lower comes first.
    pub priority: u16,
    /// Keys of it.
    pub keys: usize,
    /// Those that may carry a request of some lane now.
    pub available: usize,
    /// Those that rest and come back by themselves.
    pub resting: usize,
    /// Those that rest without end.
    pub disabled: usize,
    /// Requests in flight over them.
    pub in_flight: usize,
}

/// Keys that rest without end for one reason.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct DisabledView {
    /// Whom the fault concerns: the key, its owner or its account.
    pub scope: Scope,
    /// What the answer meant; `unjudged` when somebody switched it off by hand.
    pub kind: VerdictKind,
    /// How many keys.
    pub keys: usize,
}

/// A key as it stands.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KeyView {
    /// Its name.
    pub id: KeyId,
    /// Who owns its quota, where that is known.
    pub owner: Option<Arc<str>>,
    /// Its place in the order.
    pub priority: u16,
    /// The share of the load that was configured.
    pub weight: f32,
    /// The weight it has now: ramp and learning included.
    pub current_weight: f32,
    /// Its share of the requests started so far, 0 to 1.
    pub share: f64,
    /// Its tier, where one is named.
    pub tier: Option<Tier>,
    /// The exit that it goes out by; `None`: the usual way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<Exit>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it may be used, and if not, why.
    pub state: KeyState,
    /// Requests in flight.
    pub in_flight: u16,
    /// How many there may be.
    pub max_concurrent: Option<u16>,
    /// Requests started.
    pub started: u32,
    /// Good answers.
    pub succeeded: u32,
    /// Answers that were faults of the key, its owner or its account, 429s apart. What the caller, the provider or the way
    /// there did is not counted.
    pub failed: u32,
    /// 429s.
    pub limit_hits: u32,
    /// Faults of the key among its good answers, its faults and its 429s, 0 to 1.
    pub error_rate: f64,
    /// Rests of the key, its owner and its account, in any lane.
    pub rests: Vec<RestView>,
    /// Each lane that it was used in or that limits it.
    pub lanes: Vec<KeyLaneView>,
}

/// Whether a key may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It may carry a request.
    Ready,
    /// In some lanes it may, in others it rests or is full.
    Partly,
    /// As many requests in flight as it may carry, or between two starts.
    Busy,
    /// It comes back by itself.
    Resting,
    /// It rests without end.
    Disabled,
}

/// A key in a lane.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KeyLaneView {
    /// The model; `None`: requests without a model.
    pub model: Option<Arc<str>>,
    /// Why it may not carry a request now; `None`: it may.
    pub out: Option<String>,
    /// When it may again, from now; `None` with `out`: not by itself.
    pub ready_in: Option<Duration>,
    /// Its owner's limits and what is used of them.
    pub limits: Vec<LimitView>,
}

/// A limit and what is used of it.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct LimitView {
    /// The limit.
    pub limit: Limit,
    /// How much is used now.
    pub used: u64,
    /// Where it came from.
    pub source: LimitSource,
}

/// A rest.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RestView {
    /// Whom it concerns.
    pub scope: Scope,
    /// In which lane, where it is bound to one.
    pub model: Option<Arc<str>>,
    /// What the answer meant; `unjudged` when somebody switched it off by hand.
    pub kind: VerdictKind,
    /// The provider's own short word for it.
    pub code: String,
    /// What a person can do about it.
    pub advice: String,
    /// How long it still lasts; `None`: without end.
    pub ends_in: Option<Duration>,
    /// When the next real request may probe it, from now.
    pub probe_in: Option<Duration>,
    /// Held until it is clear whether the fault is ours.
    pub held: bool,
}

/// A lane.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LaneView {
    /// The model; `None`: requests without a model.
    pub model: Option<Arc<str>>,
    /// Whether it was configured or an answer confirmed that the provider knows the model. Others go again.
    pub confirmed: bool,
    /// Keys that may carry a request now.
    pub available_keys: usize,
    /// Its limits, over all owners.
    pub limits: Vec<LaneLimitView>,
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests started.
    pub started: u64,
    /// Requests that went over a later priority.
    pub spilled: u64,
    /// Who waits.
    pub waiters: usize,
    /// A rest of the whole lane.
    pub rest: Option<RestView>,
}

/// The limits of one kind of all owners in a lane, together.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct LaneLimitView {
    /// What is counted.
    pub unit: Unit,
    /// Over which time.
    pub span: Span,
    /// What all owners that have such a limit may use.
    pub amount: u64,
    /// What they have used of it.
    pub used: u64,
}
