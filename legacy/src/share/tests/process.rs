//! A process of the simulation: its clocks, its side of the protocol, its callers.

use std::{collections::VecDeque, time::Duration};

use jiff::tz::TimeZone;

use super::kept::Kept;
use crate::{
    share::{Books, Holder, HolderId, Kind, Leave, Ledger, Moment, Settings, Spent, UnitId, UnitInfo},
    time::Tick,
};

/// A request that waits for a unit.
#[derive(Clone, Copy, Debug)]
pub(in crate::share) struct Waiter {
    pub(in crate::share) until: i64,
    pub(in crate::share) tokens: u64,
    pub(in crate::share) kind: usize,
}

pub(in crate::share) struct Process {
    pub(in crate::share) name: usize,
    pub(in crate::share) life: u64,
    pub(in crate::share) holder: Holder,
    pub(in crate::share) books: Kept,
    pub(in crate::share) alive: bool,
    /// Frozen until then.
    pub(in crate::share) frozen: i64,
    /// Cut off from the board until then.
    pub(in crate::share) cut: i64,
    born: i64,
    /// How many millionths its monotonic clock is fast.
    drift: i64,
    /// How far its wall clock is ahead, in microseconds.
    pub(in crate::share) skew: i64,
    /// How long its monotonic clock stood still while the machine slept.
    pub(in crate::share) slept: i64,
    pub(in crate::share) waiters: VecDeque<Waiter>,
    /// Units by when they were used last.
    pub(in crate::share) order: VecDeque<UnitId>,
    pub(in crate::share) kinds: Vec<Kind>,
    pub(in crate::share) infos: Vec<UnitInfo>,
    pub(in crate::share) calls: u64,
    /// When it looks at what is due next.
    pub(in crate::share) polls: i64,
    /// It looks at its waiters again.
    pub(in crate::share) serving: bool,
}

impl Process {
    pub(in crate::share) fn new(name: usize, life: u64, born: i64, drift: i64, skew: i64, make: &Make<'_>) -> Self {
        let id = HolderId::new(&format!("p{name}"), life);
        let seed = (name as u64) << 32 | life;
        Self {
            name,
            life,
            holder: Holder::new(id, make.settings.clone(), make.infos.to_vec(), seed),
            books: Kept::new(Books::new(make.infos, Duration::from_millis(250), TimeZone::UTC), make.settings.noting),
            alive: true,
            frozen: 0,
            cut: 0,
            born,
            drift,
            skew,
            slept: 0,
            waiters: VecDeque::new(),
            order: VecDeque::new(),
            kinds: make.kinds.to_vec(),
            infos: make.infos.to_vec(),
            calls: 0,
            polls: i64::MAX,
            serving: false,
        }
    }

    /// What its clocks show at a true time, in microseconds.
    pub(in crate::share) fn moment(&self, epoch_ms: i64, now: i64) -> Moment {
        let lived = now - self.born - self.slept;
        let local = lived + lived / 1000 * self.drift / 1000;
        Moment { tick: Tick::from_nanos(local.max(0) as u64 * 1000), wall_ms: epoch_ms + (now + self.skew) / 1000 }
    }

    /// The true time at which its monotonic clock shows `tick`, or a little later.
    pub(in crate::share) fn when(&self, tick: Tick) -> i64 {
        let local = (tick.nanos() / 1000).min(1 << 52) as i64;
        self.born + self.slept + local - local / 1000 * self.drift / 1000 + 2 + local.abs() / 1_000_000
    }

    /// Starts a request in one of the units held, the one used longest ago; which.
    pub(in crate::share) fn start(&mut self, waiter: &Waiter, now: Moment) -> Option<UnitId> {
        let kind = &self.kinds[waiter.kind];
        let spent = Spent { requests: 1, input_tokens: waiter.tokens, ..Spent::default() };
        let drawn: Vec<UnitId> = self.holder.drawn(now).cloned().collect();
        self.order.retain(|unit| self.holder.holds(unit) || drawn.contains(unit));
        for unit in self.holder.held().chain(&drawn) {
            if !self.order.contains(unit) {
                self.order.push_front(unit.clone());
            }
        }
        let dates = self.books.dates(now);
        for at in 0..self.order.len() {
            let unit = self.order[at].clone();
            let of_kind = self.infos.iter().any(|info| info.unit == unit && info.kind == *kind);
            let whole = self.holder.holds(&unit);
            if !of_kind || (whole && !self.books.has_room(&unit, &spent, now)) {
                continue;
            }
            match self.holder.may_start(&unit, &spent, dates, now) {
                Ok(Leave::Held) => assert!(self.books.start(&unit, &spent, now), "there was room"),
                Ok(_) => {}
                Err(_) => continue,
            }
            self.holder.started(&unit, &spent, dates, now);
            let used = self.order.remove(at);
            self.order.extend(used);
            return Some(unit);
        }
        None
    }
}

/// What all processes have in common.
pub(in crate::share) struct Make<'a> {
    pub(in crate::share) settings: &'a Settings,
    pub(in crate::share) infos: &'a [UnitInfo],
    pub(in crate::share) kinds: &'a [Kind],
}
