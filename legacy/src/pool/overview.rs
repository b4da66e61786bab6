//! A snapshot taken in pieces: a pool of many keys is not held for as long as it takes to look at each of them.

use std::{collections::BTreeMap, time::Duration};

use super::{
    DisabledView, KeyPool, KeyState, KeyView, LaneLimitView, PriorityView, Snapshot, lane::Origin, rest::End,
    roster::NO_ACCOUNT, state::State, survey::view,
};
use crate::{
    limit::{Span, Unit},
    time::{Now, system_time},
    verdict::{Scope, VerdictKind},
};

/// Keys times lanes that are looked at before the pool is let go: some 50 µs.
const PIECE: usize = 512;
/// How long it is let go. To yield would not do: whoever sleeps on the mutex needs time to wake, and finds it taken.
const PAUSE: Duration = Duration::from_micros(50);

impl KeyPool {
    /// [`snapshot`](Self::snapshot) for pools of many keys: the pool is held for some hundred keys at a time and not
    /// for all of them, so the numbers are of moments that lie a little apart. Blocks the thread, for 0.1 s at 100,000 keys
    /// and three models. [`Snapshot::keys`] is empty where the
    /// pool has more than `most_keys` keys; everything else is there.
    pub fn snapshot_in_pieces(&self, most_keys: usize) -> Snapshot {
        let mut overview = None;
        loop {
            let now = self.0.clock.now();
            let mut state = self.look_at(now);
            let held: &mut Overview = overview.get_or_insert_with(|| Overview::begin(&state, most_keys));
            if !state.look_on(held, PIECE, now) {
                let overview = overview.take().unwrap_or_default();
                return state.conclude(overview, now);
            }
            drop(state);
            std::thread::sleep(PAUSE);
        }
    }
}

impl KeyPool {
    /// Whether some key is not disabled: it may serve, now or later. Holds the pool as
    /// [`snapshot_in_pieces`](Self::snapshot_in_pieces) does, and looks no further than the first such key.
    pub fn has_enabled_key(&self) -> bool {
        let mut next = 0;
        loop {
            let now = self.0.clock.now();
            let mut state = self.look_at(now);
            let lanes = state.used_lanes();
            let end = (next + (PIECE / lanes.len().max(1)).max(1)).min(state.roster.keys.len());
            let mut available = vec![0; state.lanes.len()];
            for slot in next..end {
                if !state.roster.keys[slot].removed
                    && state.key_state(slot as u32, &lanes, &mut available, None, now) != KeyState::Disabled
                {
                    return true;
                }
            }
            if end == state.roster.keys.len() {
                return false;
            }
            next = end;
            drop(state);
            std::thread::sleep(PAUSE);
        }
    }
}

/// What was seen so far.
#[derive(Default)]
pub(super) struct Overview {
    /// The next slot to look at.
    next: usize,
    views: bool,
    keys: Vec<KeyView>,
    total: usize,
    states: [usize; 5],
    priorities: BTreeMap<u16, PriorityView>,
    available_in: Vec<usize>,
    disabled: BTreeMap<(Scope, VerdictKind), usize>,
    owners_seen: Vec<bool>,
    limits: BTreeMap<(u16, Unit, Span), (u64, u64)>,
    key_bytes: usize,
}

impl Overview {
    pub(super) fn begin(state: &State, most_keys: usize) -> Self {
        Self { views: state.roster.len() <= most_keys, ..Self::default() }
    }

    fn available(&self) -> usize {
        self.states[KeyState::Ready as usize] + self.states[KeyState::Partly as usize]
    }
}

impl State {
    pub(super) fn snapshot(&mut self, now: Now) -> Snapshot {
        let mut overview = Overview { views: true, ..Overview::default() };
        self.look_on(&mut overview, usize::MAX, now);
        self.conclude(overview, now)
    }

    /// Looks at so many keys in a lane more. Says whether there are others.
    fn look_on(&mut self, overview: &mut Overview, most: usize, now: Now) -> bool {
        self.turn_dates(now);
        let lanes = self.used_lanes();
        overview.available_in.resize(self.lanes.len(), 0);
        overview.owners_seen.resize(self.roster.owners.len(), false);
        let keys = (most / lanes.len().max(1)).max(1);
        let end = overview.next.saturating_add(keys).min(self.roster.keys.len());
        for slot in overview.next..end {
            if !self.roster.keys[slot].removed {
                self.look_at_key(overview, slot as u32, &lanes, now);
            }
        }
        overview.next = end;
        end < self.roster.keys.len()
    }

    fn look_at_key(&mut self, overview: &mut Overview, slot: u32, lanes: &[u16], now: Now) {
        let mut lane_views = overview.views.then(Vec::new);
        let state = self.key_state(slot, lanes, &mut overview.available_in, lane_views.as_mut(), now);
        overview.total += 1;
        overview.states[state as usize] += 1;
        let key = &self.roster.keys[slot as usize];
        overview.key_bytes += key.heap_bytes();
        let (priority, owner) = (key.priority, key.owner);
        let of_priority = overview.priorities.entry(priority).or_insert(PriorityView {
            priority,
            keys: 0,
            available: 0,
            resting: 0,
            disabled: 0,
            in_flight: 0,
        });
        of_priority.keys += 1;
        of_priority.in_flight += usize::from(key.in_flight);
        match state {
            KeyState::Ready | KeyState::Partly => of_priority.available += 1,
            KeyState::Busy => {}
            KeyState::Resting => of_priority.resting += 1,
            KeyState::Disabled => of_priority.disabled += 1,
        }
        self.count_disabled(overview, slot, now);
        if !std::mem::replace(&mut overview.owners_seen[owner as usize], true) {
            for lane in lanes {
                for seen in self.limit_views(*lane, slot, now) {
                    let sum = overview.limits.entry((*lane, seen.limit.unit, seen.limit.span)).or_default();
                    *sum = (sum.0.saturating_add(seen.limit.amount), sum.1.saturating_add(seen.used));
                }
            }
        }
        if let Some(lane_views) = lane_views {
            let view = self.key_view(slot, lanes, state, lane_views, now);
            overview.keys.push(view);
        }
    }

    /// Rests without end of the key or of whoever owns it.
    fn count_disabled(&self, overview: &mut Overview, slot: u32, now: Now) {
        let key = &self.roster.keys[slot as usize];
        let owner = &self.roster.owners[key.owner as usize];
        let account = (owner.account != NO_ACCOUNT).then(|| &self.roster.accounts[owner.account as usize]);
        let rests = [
            (key.rest.as_deref(), Scope::Key),
            (owner.rest.as_deref(), Scope::Owner),
            (account.and_then(|account| account.rest.as_deref()), Scope::BillingAccount),
        ];
        for (rest, scope) in rests {
            if let Some(rest) = rest.filter(|rest| rest.end == End::Never && rest.is_active(now)) {
                let kind = if rest.by_hand { VerdictKind::Unjudged } else { rest.kind };
                *overview.disabled.entry((scope, kind)).or_default() += 1;
            }
        }
    }

    /// The snapshot of what was seen, with the pool's totals as they are now.
    fn conclude(&mut self, overview: Overview, now: Now) -> Snapshot {
        let (started, succeeded, limited) = self.tally.last_minute(now);
        let memory = self.memory_bytes() + overview.key_bytes;
        let day_ends = self.zones[0].1.next_midnight(now.wall_ms());
        let lanes = self.used_lanes();
        let mut lanes_seen = Vec::with_capacity(lanes.len());
        for lane in lanes {
            let sums = overview.limits.range((lane, Unit::Requests, Span::Sliding(Duration::ZERO))..);
            let sums = sums.take_while(|((of, ..), _)| *of == lane);
            let limits = sums.map(|((_, unit, span), (amount, used))| LaneLimitView {
                unit: *unit,
                span: *span,
                amount: *amount,
                used: *used,
            });
            let available = overview.available_in.get(usize::from(lane)).copied().unwrap_or_default();
            lanes_seen.push(self.lane_view(lane, available, limits.collect(), now));
        }
        let disabled = overview.disabled.iter();
        Snapshot {
            at: system_time(now.wall_ms()),
            provider: self.provider.name().to_owned(),
            strategy: self.settings.strategy,
            day_ends: system_time(day_ends),
            total_keys: overview.total,
            available_keys: overview.available(),
            busy_keys: overview.states[KeyState::Busy as usize],
            resting_keys: overview.states[KeyState::Resting as usize],
            disabled_keys: overview.states[KeyState::Disabled as usize],
            disabled: disabled
                .map(|((scope, kind), keys)| DisabledView { scope: *scope, kind: *kind, keys: *keys })
                .collect(),
            merged: self.roster.merged.iter().map(|slot| self.roster.keys[*slot as usize].id.clone()).collect(),
            in_flight: self.seats.out(),
            waiters: self.waiters.len(),
            started: self.tally.started,
            requests_last_minute: started,
            successes_last_minute: succeeded,
            limit_hits_last_minute: limited,
            verdicts: self.tally.verdicts(),
            spills: self.tally.spills,
            exhausted: self.tally.exhausted,
            events_lost: self.events_lost.load(std::sync::atomic::Ordering::Relaxed),
            sharing: self.sharing_view(now),
            exit_rest: self.roster.exits.rest_of_all().and_then(|rest| view(rest, Scope::Exit, None, now)),
            exits: self.exit_views(now),
            lanes: lanes_seen,
            total_memory_bytes: memory,
            bytes_per_key: memory / overview.total.max(1),
            priorities: overview.priorities.into_values().collect(),
            keys: overview.keys,
        }
    }

    fn used_lanes(&self) -> Vec<u16> {
        (0..self.lanes.len() as u16).filter(|lane| self.lanes[usize::from(*lane)].origin != Origin::Free).collect()
    }
}
