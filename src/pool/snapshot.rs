//! The pool as it stands: for dashboards, metrics and people. Serialisable; no secrets.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use super::{
    Demand, OutReason,
    lane::Origin,
    pick::Check,
    plans::LimitSource,
    rank::Strategy,
    rest::{End, Rest},
    roster::UNBOUNDED,
    state::{NO_MODEL, State},
};
use crate::{
    key::{KeyId, Tier},
    limit::Limit,
    time::{Now, system_time},
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
    /// Keys in the pool.
    pub total_keys: usize,
    /// Keys that may carry a request of some lane now. Requests without a model count as a lane once there was one.
    pub available_keys: usize,
    /// Keys that rest and come back by themselves.
    pub resting_keys: usize,
    /// Keys that rest without end.
    pub disabled_keys: usize,
    /// The same by priority.
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
    /// Verdicts so far.
    pub verdicts: BTreeMap<VerdictKind, u64>,
    /// Requests that went over a later priority.
    pub spills: u64,
    /// Demands that no key could serve.
    pub exhausted: u64,
    /// A rest of our address or the endpoint.
    pub exit_rest: Option<RestView>,
    /// Each key.
    pub keys: Vec<KeyView>,
    /// Each lane.
    pub lanes: Vec<LaneView>,
    /// Bytes that the pool holds, secrets included.
    pub total_memory_bytes: usize,
    /// The same for each key.
    pub bytes_per_key: usize,
}

/// The keys of one priority.
#[derive(Clone, Debug, Serialize)]
pub struct PriorityView {
    /// Lower comes first.
    pub priority: u16,
    /// Keys of it.
    pub keys: usize,
    /// Those that may carry a request of some lane now.
    pub available: usize,
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
    /// Answers that were faults, 429s apart.
    pub failed: u32,
    /// 429s.
    pub limit_hits: u32,
    /// Faults among judged answers, 0 to 1.
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
    /// Keys that may carry a request now.
    pub available_keys: usize,
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

impl State {
    pub(super) fn snapshot(&mut self, now: Now) -> Snapshot {
        let lanes: Vec<u16> =
            (0..self.lanes.len() as u16).filter(|lane| self.lanes[usize::from(*lane)].origin != Origin::Free).collect();
        let mut available_in = vec![0; self.lanes.len()];
        let slots: Vec<u32> = self.roster.slots().collect();
        let total_started = self.tally.started.max(1);
        let mut keys = Vec::with_capacity(slots.len());
        for slot in slots {
            let view = self.key_view(slot, &lanes, &mut available_in, total_started, now);
            keys.push(view);
        }
        let available = |key: &&KeyView| matches!(key.state, KeyState::Ready | KeyState::Partly);
        let count = |state: KeyState| keys.iter().filter(|key| key.state == state).count();
        let priorities = self.priorities.iter().map(|priority| PriorityView {
            priority: *priority,
            keys: keys.iter().filter(|key| key.priority == *priority).count(),
            available: keys.iter().filter(available).filter(|key| key.priority == *priority).count(),
        });
        let (started, succeeded, limited) = self.tally.last_minute(now);
        let memory = self.memory_bytes();
        Snapshot {
            at: system_time(now.wall_ms),
            provider: self.provider.name().to_owned(),
            strategy: self.settings.strategy,
            total_keys: keys.len(),
            available_keys: keys.iter().filter(available).count(),
            resting_keys: count(KeyState::Resting),
            disabled_keys: count(KeyState::Disabled),
            priorities: priorities.collect(),
            in_flight: self.seats.out(),
            waiters: self.waiters.len(),
            started: self.tally.started,
            requests_last_minute: started,
            successes_last_minute: succeeded,
            limit_hits_last_minute: limited,
            verdicts: self.tally.verdicts(),
            spills: self.tally.spills,
            exhausted: self.tally.exhausted,
            exit_rest: self.exit.as_ref().and_then(|rest| view(rest, Scope::Exit, None, now)),
            lanes: lanes.iter().map(|lane| self.lane_view(*lane, available_in[usize::from(*lane)], now)).collect(),
            total_memory_bytes: memory,
            bytes_per_key: memory / keys.len().max(1),
            keys,
        }
    }

    fn key_view(&mut self, slot: u32, lanes: &[u16], available: &mut [usize], total: u64, now: Now) -> KeyView {
        let mut views = Vec::new();
        let (mut ready, mut busy, mut resting, mut out) = (0, 0, 0, 0);
        for lane in lanes {
            let check = self.check_plain(*lane, slot, now);
            // The pool's own lanes say nothing until they are used, but where there are no others.
            let unused = *lane <= super::state::SHARED && self.lanes[usize::from(*lane)].started == 0;
            let silent = unused && (*lane == super::state::SHARED || lanes.len() > 2);
            match check {
                Check::Ready(_) => available[usize::from(*lane)] += 1,
                _ if silent => {}
                Check::Busy(..) => busy += 1,
                // It may be probed some time, but comes back by that alone.
                Check::Until(_, reason) if reason.is_disabled() => out += 1,
                Check::Until(..) | Check::NotThis(..) => resting += 1,
                Check::Out(_) => out += 1,
            }
            if silent {
                continue;
            }
            ready += usize::from(matches!(check, Check::Ready(_)));
            let limits = self.limit_views(*lane, slot, now);
            let (reason, at) = match check {
                Check::Ready(_) => (None, None),
                Check::Until(at, reason) => (Some(reason), Some(at)),
                Check::Busy(at, reason) | Check::NotThis(at, reason) => (Some(reason), at),
                Check::Out(reason) => (Some(reason), None),
            };
            if *lane != NO_MODEL || reason.is_some() {
                views.push(KeyLaneView {
                    model: self.lane_name(*lane),
                    out: reason.map(|reason: OutReason| reason.to_string()),
                    ready_in: at.map(|at| at.since(now.tick)),
                    limits,
                });
            }
        }
        let state = match (ready, busy, resting, out) {
            (_, 0, 0, 0) => KeyState::Ready,
            (1.., ..) => KeyState::Partly,
            (0, 1.., ..) => KeyState::Busy,
            (0, 0, 1.., _) => KeyState::Resting,
            _ => KeyState::Disabled,
        };
        let rests = self.rest_views(slot, lanes, now);
        let key = &self.roster.keys[slot as usize];
        let judged = key.succeeded + key.failed + key.limited;
        let extra = key.extra.as_deref();
        let learned = if self.settings.strategy == Strategy::Adaptive { key.adaptive } else { key.weight };
        KeyView {
            id: key.id.clone(),
            owner: self.roster.owner_name(key.owner),
            priority: key.priority,
            weight: key.weight,
            current_weight: learned * key.ramp_factor(),
            share: f64::from(key.started) / total as f64,
            tier: extra.and_then(|extra| extra.tier.clone()),
            labels: extra.map(|extra| extra.labels.clone()).unwrap_or_default(),
            state,
            in_flight: key.in_flight,
            max_concurrent: (key.max_concurrent != UNBOUNDED).then_some(key.max_concurrent),
            started: key.started,
            succeeded: key.succeeded,
            failed: key.failed,
            limit_hits: key.limited,
            error_rate: f64::from(key.failed) / f64::from(judged.max(1)),
            rests,
            lanes: views,
        }
    }

    fn check_plain(&mut self, lane: u16, slot: u32, now: Now) -> Check {
        let upfront = [self.exit.as_ref(), self.lanes[usize::from(lane)].rest.as_ref()];
        if let Some(rest) = upfront.into_iter().flatten().find(|rest| rest.is_active(now)) {
            return Check::Until(rest.wakes(now), super::pick::reason_of(rest));
        }
        // A lane that nobody has used counts nothing.
        let demand = Demand { free: self.lanes[usize::from(lane)].asleep, ..Demand::any_model() };
        let ask = State::ask_in(lane, &demand, now);
        self.check(&ask, slot)
    }

    fn limit_views(&mut self, lane: u16, slot: u32, now: Now) -> Vec<LimitView> {
        let owner = self.roster.keys[slot as usize].owner;
        let at = self.at(now, owner);
        let lane = &mut self.lanes[usize::from(lane)];
        if lane.asleep {
            return Vec::new();
        }
        let number = lane.owners[owner as usize].plan;
        let (plan, sources) = (self.plans.plan(number), self.plans.sources(number));
        let used = plan.used(lane.log(owner, plan.words()), &at);
        used.map(|(limit, used)| LimitView { limit, used, source: sources.source(limit) }).collect()
    }

    fn rest_views(&self, slot: u32, lanes: &[u16], now: Now) -> Vec<RestView> {
        let key = &self.roster.keys[slot as usize];
        let owner = &self.roster.owners[key.owner as usize];
        let account = self.roster.accounts.get(owner.account as usize);
        let mut views: Vec<RestView> = [
            (key.rest.as_deref(), Scope::Key),
            (owner.rest.as_deref(), Scope::Owner),
            (account.and_then(|account| account.rest.as_deref()), Scope::BillingAccount),
        ]
        .into_iter()
        .filter_map(|(rest, scope)| view(rest?, scope, None, now))
        .collect();
        for lane in lanes {
            let held = &self.lanes[usize::from(*lane)];
            let key_lane = held.key_rests.get(&slot).and_then(Option::as_deref);
            let owner_lane = held.extra_of(key.owner).and_then(|extra| extra.rest.as_deref());
            let bound = [(key_lane, Scope::KeyLane), (owner_lane, Scope::OwnerLane)];
            views.extend(bound.into_iter().filter_map(|(rest, scope)| view(rest?, scope, self.lane_name(*lane), now)));
        }
        views
    }

    fn lane_view(&self, lane: u16, available_keys: usize, now: Now) -> LaneView {
        let held = &self.lanes[usize::from(lane)];
        let model = self.lane_name(lane);
        LaneView {
            available_keys,
            in_flight: held.in_flight,
            started: held.started,
            spilled: held.spilled,
            waiters: held.queue.len(),
            rest: held.rest.as_ref().and_then(|rest| view(rest, Scope::Lane, model.clone(), now)),
            model,
        }
    }

    /// Heap bytes behind the state.
    pub(super) fn memory_bytes(&self) -> usize {
        let secrets: usize =
            self.roster.slots().map(|slot| self.roster.keys[slot as usize].secret.expose().len()).sum();
        self.roster.heap_bytes()
            + secrets
            + self.lanes.iter().map(super::lane::Lane::heap_bytes).sum::<usize>()
            + self.seats.heap_bytes()
            + size_of::<Self>()
    }
}

fn view(rest: &Rest, scope: Scope, model: Option<Arc<str>>, now: Now) -> Option<RestView> {
    if !rest.is_active(now) {
        return None;
    }
    let ends_in = (rest.end != End::Never).then(|| rest.end.tick(now).since(now.tick));
    Some(RestView {
        scope,
        model,
        kind: if rest.by_hand { VerdictKind::Unjudged } else { rest.kind },
        code: rest.code.clone().into_owned(),
        advice: rest.advice.clone().into_owned(),
        ends_in,
        probe_in: rest.probe.map(|probe| probe.at.since(now.tick)),
        held: rest.held,
    })
}
