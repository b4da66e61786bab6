//! The pool's state: everything that its one mutex guards. What each part does stands in a file of its own:
//! `pick` chooses, `grant` grants, `settle` ends, `judge` and `incident` rest, `learn` tightens, `wait` queues, `change` edits the roster.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{Arc, atomic::AtomicU64},
    task::Waker,
    time::Duration,
};

use super::{
    builder::Settings,
    configured::GivenLimits,
    event::Event,
    group::class_of,
    guard::Guard,
    journal::Journal,
    lane::{Lane, Origin},
    lane_names::LaneNames,
    lately::Lately,
    plans::{Plans, Sources},
    rank::Standing,
    ring::Ring,
    roster::{KeyCell, Roster},
    seats::Seats,
    tally::Tally,
    trace,
    wait::Waiters,
};
use crate::{
    key::Tier,
    limit::{At, Limits, Zone},
    provider::Provider,
    time::Now,
};

/// At most this many lanes a pool: a lane is an attacker's allocator.
pub(super) const MAX_LANES: usize = 256;
/// At most this many of them are kept for models that the pool was given limits for.
pub(super) const MAX_CONFIGURED: usize = MAX_LANES / 2;
/// The lane of requests that name no model: what every model may use holds there, and a rest bound to no lane is noted by it.
pub(super) const NO_MODEL: u16 = 0;
/// The lane that models share for which there is no room.
pub(super) const SHARED: u16 = 1;

pub(super) struct State {
    pub(super) settings: Settings,
    /// How long a demand waits that does not say so itself.
    pub(super) wait: Duration,
    pub(super) provider: Arc<dyn Provider>,
    pub(super) roster: Roster,
    /// Priorities that some key has, sorted: a lane's groups in this order.
    pub(super) priorities: Vec<u16>,
    pub(super) lanes: Vec<Lane>,
    pub(super) lane_of: LaneNames,
    pub(super) plans: Plans,
    pub(super) zones: Vec<(String, Zone)>,
    /// Limits given to the pool by model and tier.
    pub(super) limits: GivenLimits,
    pub(super) seats: Seats,
    pub(super) waiters: Waiters,
    pub(super) guard: Guard,
    pub(super) tally: Tally,
    /// The number of the last start.
    pub(super) seq: u64,
    /// Wall less monotonic time, in ms, when last looked at.
    pub(super) wall_offset: Option<i64>,
    pub(super) closed: bool,
    /// The last reading of the clocks.
    pub(super) last_now: Now,
    /// To be woken once the mutex is free.
    pub(super) wakes: Vec<Waker>,
    /// To be sent once the mutex is free.
    pub(super) events: Vec<Event>,
    /// Somebody subscribes.
    pub(super) watched: bool,
    /// Whether each lease is told, too.
    pub(super) tells_leases: bool,
    /// Events that subscribers did not read in time.
    pub(super) events_lost: Arc<AtomicU64>,
    /// Slots put aside during a pick; kept for its capacity.
    pub(super) aside: Vec<u32>,
    /// Slots whose timer fired; kept for its capacity.
    pub(super) fired: Vec<u32>,
    /// What changed since the last write; none without a store.
    pub(super) journal: Option<Box<Journal>>,
    /// Where requests that had better meet the same owner again find it.
    pub(super) ring: Ring,
    /// Why no key could carry a demand when all were looked at last.
    pub(super) lately: Option<Box<Lately>>,
    /// No request goes a short way.
    #[cfg(test)]
    pub(super) always_long: bool,
}

impl State {
    pub(super) fn new(
        settings: Settings,
        provider: Arc<dyn Provider>,
        zone: Zone,
        limits: GivenLimits,
        keys: usize,
    ) -> Self {
        let mut state = Self {
            plans: Plans::new(settings.guard),
            settings,
            wait: Duration::ZERO,
            roster: Roster::with_capacity(keys),
            priorities: Vec::new(),
            lanes: Vec::new(),
            lane_of: LaneNames::default(),
            zones: vec![(provider.zone().to_owned(), zone)],
            provider,
            limits,
            seats: Seats::default(),
            waiters: Waiters::default(),
            guard: Guard::default(),
            tally: Tally::default(),
            seq: 0,
            wall_offset: None,
            closed: false,
            last_now: Now::NEVER,
            wakes: Vec::new(),
            events: Vec::new(),
            watched: false,
            tells_leases: false,
            events_lost: Arc::default(),
            aside: Vec::new(),
            fired: Vec::new(),
            journal: None,
            ring: Ring::default(),
            lately: None,
            #[cfg(test)]
            always_long: false,
        };
        state.push_lane("".into(), Origin::Configured);
        state.push_lane("*".into(), Origin::Configured);
        state
    }

    // === lanes ===

    /// The lane of a model; made when it is new and there is room.
    #[expect(clippy::inline_always, reason = "on the way of every request: a call costs as much as it does")]
    #[inline(always)]
    pub(super) fn lane(&mut self, model: Option<&Arc<str>>) -> u16 {
        let Some(model) = model else { return self.own_lane(NO_MODEL) };
        match self.lane_of.find(model) {
            Some(lane) => lane,
            None => self.new_lane(model),
        }
    }

    /// One of the pool's own lanes: most pools never use them, so they are filled when they are.
    #[inline]
    pub(super) fn own_lane(&mut self, lane: u16) -> u16 {
        if std::mem::take(&mut self.lanes[usize::from(lane)].asleep) {
            self.fill_lane(lane);
        }
        lane
    }

    /// Puts all keys into all lanes, once they are all known.
    pub(super) fn settle_in(&mut self) {
        for lane in 0..self.lanes.len() as u16 {
            let held = &mut self.lanes[usize::from(lane)];
            *held = Lane::new(Arc::clone(&held.name), Origin::Configured, self.priorities.len());
            held.asleep = lane <= SHARED;
            if !held.asleep {
                self.fill_lane(lane);
            }
        }
    }

    pub(super) fn push_lane(&mut self, name: Arc<str>, origin: Origin) -> u16 {
        let lane = Lane::new(Arc::clone(&name), origin, self.priorities.len());
        let index = if let Some(free) = self.lanes.iter().position(|lane| lane.origin == Origin::Free) {
            self.lanes[free] = lane;
            free as u16
        } else {
            self.lanes.push(lane);
            self.lanes.len() as u16 - 1
        };
        if index > SHARED {
            self.lane_of.insert(name, index);
        }
        self.fill_lane(index);
        index
    }

    /// Puts every owner and key of the roster into a lane that does not hold them yet.
    pub(super) fn fill_lane(&mut self, lane: u16) {
        let at = usize::from(lane);
        let owners = self.lanes[at].owners.len() as u32..self.roster.owners.len() as u32;
        let mut plans: Vec<u16> = Vec::with_capacity(owners.len());
        for owner in owners.clone() {
            plans.push(self.plan_for(lane, owner, Limits::new()));
        }
        let words: usize = plans.iter().map(|plan| self.plans.plan(*plan).words()).sum();
        let first = self.lanes[at].cells.len() as u32;
        let (keys, all_owners) = (self.roster.keys.len(), self.roster.owners.len());
        // A lane is sized once for a whole pool; a key that comes later finds room as it must.
        if all_owners > self.lanes[at].owners.len() + 1 {
            let sizes: Vec<usize> = self
                .priorities
                .iter()
                .map(|priority| self.roster.keys.iter().filter(|key| key.priority == *priority).count())
                .collect();
            self.lanes[at].reserve(keys, all_owners, &sizes, words);
        }
        for plan in plans {
            let lane = &mut self.lanes[at];
            let log = lane.new_log(self.plans.plan(plan).words());
            lane.owners.push(super::lane::LaneOwner::of(plan, log));
        }
        self.lanes[at].cells.resize(keys, super::cell::LaneCell::default());
        for slot in first..keys as u32 {
            if !self.roster.keys[slot as usize].removed {
                self.enter(lane, slot);
            }
        }
        if self.journal.is_some() {
            self.recall_lane(lane, owners, first..keys as u32);
            self.units_changed();
        }
    }

    /// Puts a key in a lane's ready order; where it really stands is found out when it comes to the top.
    pub(super) fn enter(&mut self, lane: u16, slot: u32) {
        let key = &self.roster.keys[slot as usize];
        let group = self.group(key.priority);
        let owner = key.owner;
        let class = self.class(lane, owner);
        let standing = standing(key);
        let lane = &mut self.lanes[usize::from(lane)];
        let rank = self.settings.strategy.joining(standing, lane.cells[slot as usize].rank, lane.groups[group].time);
        lane.make_ready(slot, group, class, rank);
    }

    #[inline]
    pub(super) fn group(&self, priority: u16) -> usize {
        if self.priorities.first() == Some(&priority) {
            return 0;
        }
        self.priorities.binary_search(&priority).unwrap_or(0)
    }

    /// The headroom class of an owner in a lane; without a look at the time, so that it may be too high.
    pub(super) fn class(&self, lane: u16, owner: u32) -> usize {
        let lane = &self.lanes[usize::from(lane)];
        let plan = self.plans.plan(lane.owners[owner as usize].plan);
        class_of(plan.most_input())
    }

    // === limits ===

    /// The limits that hold for an owner in a lane, with what was learned.
    pub(super) fn plan_for(&mut self, lane: u16, owner: u32, learned: Limits) -> u16 {
        let held = self.lanes[usize::from(lane)].owners.get(owner as usize);
        let elsewhere = held.map(|held| self.plans.sources(held.plan).elsewhere.clone()).unwrap_or_default();
        self.plan_among(lane, owner, learned, elsewhere)
    }

    /// The same where other processes have limits of their own.
    pub(super) fn plan_among(&mut self, lane: u16, owner: u32, learned: Limits, elsewhere: Limits) -> u16 {
        if self.is_uncounted(lane) {
            return 0;
        }
        let name = Arc::clone(&self.lanes[usize::from(lane)].name);
        let given = self.given_for(lane, owner);
        let table = match (self.roster.assumed(owner), self.roster.tier(owner)) {
            (Some(assumed), _) => assumed.clone(),
            (None, Some(tier)) if self.settings.known_limits => match self.limits.known(&name, tier) {
                Some(known) => known.clone(),
                None => known_limits(&*self.provider, &name, tier).unwrap_or_default(),
            },
            _ => Limits::new(),
        };
        self.plans.intern(Sources { given, learned, table, elsewhere, among: 0 })
    }

    // === time ===

    #[inline]
    pub(super) fn at(&mut self, now: Now, owner: u32) -> At {
        let zone = usize::from(self.roster.owners[owner as usize].zone());
        At { tick: now.tick, day: self.zones[zone].1.at(now.tick, now.wall_ms()) }
    }

    /// Notices a wall clock that was set: everything that waits for a midnight is looked at again.
    #[inline]
    pub(super) fn watch_wall(&mut self, now: Now) {
        let last = std::mem::replace(&mut self.last_now, now);
        if last.ahead_ms != now.ahead_ms {
            self.wall_moved(now);
        }
    }

    #[cold]
    fn wall_moved(&mut self, now: Now) {
        if self.journal.is_some() {
            self.ring_if_void(now);
        }
        let jumped = self.wall_offset.is_some_and(|last| last.abs_diff(now.ahead_ms) > 1000);
        if jumped || self.wall_offset.is_none() {
            self.wall_offset = Some(now.ahead_ms);
        }
        if jumped {
            // What is less moves midnight within its guard, where both days count.
            self.watch_dates(now);
            self.turn_dates(now);
            self.note_all();
            self.revive_all();
        }
    }

    /// One lane less in which this key waits for itself.
    pub(super) fn unpark(&mut self, slot: u32) {
        let key = &mut self.roster.keys[slot as usize];
        key.parked = key.parked.saturating_sub(1);
    }

    /// Whether anybody is told what happens to keys.
    pub(super) fn is_heard(&self) -> bool {
        self.watched || trace::hears_changes()
    }

    pub(super) fn event(&mut self, event: impl FnOnce() -> Event) {
        if self.is_heard() {
            self.events.push(event());
        }
    }

    /// The same for what many requests may do.
    pub(super) fn event_of_request(&mut self, event: impl FnOnce() -> Event) {
        if self.watched || trace::hears_requests() {
            self.events.push(event());
        }
    }

    /// The name of a lane as it is shown: none for requests without a model.
    pub(super) fn lane_name(&self, lane: u16) -> Option<Arc<str>> {
        (lane != NO_MODEL).then(|| Arc::clone(&self.lanes[usize::from(lane)].name))
    }
}

/// What a key's rank is made of.
pub(super) fn standing(key: &KeyCell) -> Standing {
    let ramp = key.ramp_factor();
    Standing {
        in_flight: key.in_flight,
        weight: key.weight * ramp,
        adaptive: key.adaptive * ramp,
        ramp,
        last_start: key.last_seq,
    }
}

/// What a provider knows of a model. One that panics knows nothing: it is asked while the pool is locked and a lane half made,
/// and which model it is asked about is up to callers.
fn known_limits(provider: &dyn Provider, model: &str, tier: &Tier) -> Option<Limits> {
    let asked = panic::catch_unwind(AssertUnwindSafe(|| provider.known_limits(model, tier)));
    asked.unwrap_or_else(|_| {
        tracing::error!(name: "keypool.provider_panicked", model, "the provider panicked where it was asked for a model's limits: it has none");
        None
    })
}
