//! Owners that several processes share: what the pool knows of it, under its mutex.
//!
//! An owner in a lane (a *unit*) that this process does not hold is as if it had no room. What is lacking is noted here,
//! and a task of its own ([`renewing`]) asks the board for it. The board's side and the holder's are in `crate::share`.

mod agree;
mod board;
mod divided;
mod enrol;
mod events;
mod facts;
mod filled;
mod guards;
mod hearing;
mod held;
mod joining;
mod learned;
mod learning;
mod lifted;
mod names;
mod own;
pub(super) mod renewing;
mod view;
mod windows;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use hashbrown::{HashMap, HashSet};

pub(super) use held::Wire;
pub(super) use renewing::{Renewing, Standing};
pub use view::{SharingState, SharingView};

use self::divided::Divided;
use super::{
    by_unit::ByUnit,
    journal::{Bell, Unit},
};
use crate::{
    share::{Counters, Kind, News, Reply, Settings, Spent, UnitId},
    time::{Now, Tick},
};

/// What is lent to one process at a time: a lane and a priority.
type KindAt = (u16, u16);

/// For so long a store that forgot counts what nobody tells it as used: a lease, a minute, and what it takes to go round.
const FORGOTTEN: Duration = Duration::from_secs(80);

/// A request whose unit was given back after it was granted reaches the wire within this time, or never.
const LONG_ON_THE_WAY: Duration = Duration::from_secs(60);

/// A unit whose keys all rest is offered to others again after this time, whatever they rest for: others may know better.
const OFFERED_AGAIN: Duration = Duration::from_secs(30);

/// So far may wall clock and ticks part before no lease can be relied on, in milliseconds.
const APART: u64 = 1_000;

#[derive(Default)]
pub(super) struct Share {
    /// What is started is noted in the store with each batch, and nothing beyond what was noted.
    pub(super) noting: bool,
    /// Until when what is held may be used, and how far the wall clock was ahead when that was said.
    valid_until: Tick,
    ahead_ms: i64,
    /// Lanes that somebody asked for: their units are told to the board.
    lanes: HashSet<u16>,
    /// Of these, those in which no key was lacking so far.
    served: HashSet<u16>,
    by_name: HashMap<UnitId, Unit>,
    /// Units without limits, while others differ.
    bare: HashMap<UnitId, Unit>,
    differ: bool,
    /// What keys allow by themselves, where others have it stricter.
    stricter: own::Stricter,
    kind_at: HashMap<Unit, KindAt>,
    held: ByUnit<Holding>,
    /// Windows of units that are not held, and which an answer called full.
    filled: HashMap<Unit, Vec<filled::Filled>>,
    /// When the last unit was granted.
    granted: Tick,
    /// When units were given back, as long as requests may still go out that began before.
    gone: HashMap<Unit, Tick>,
    kinds: BTreeMap<KindAt, Demanded>,
    /// Whose guard a unit is.
    guards: HashMap<UnitId, u32>,
    /// What the board calls owners.
    names: names::Names,
    /// To be given back with the next renewal, whatever is wanted.
    returns: Vec<UnitId>,
    /// Whose windows go back by a name that may be another's here by now.
    leaving: HashMap<UnitId, Unit>,
    /// Owners whose keys an earlier holder may still use, and until when.
    barred: HashMap<u32, Tick>,
    /// How long a request may last.
    longest_request: Duration,
    /// Slots of each owner, as of the last look at the roster.
    slots: HashMap<u32, Vec<u32>>,
    /// The units are not what the board was told.
    pub(super) stale: bool,
    /// Somebody lacks a unit.
    lacking: bool,
    /// Somebody was refused at a day's mark.
    at_mark: bool,
    /// A batch is with the store, where it may wait for the next renewal.
    pub(super) writing: bool,
    /// What is to be written behind it cannot wait for that.
    pressed: bool,
    /// Units of which something was started since the holder was told.
    touched: Vec<Unit>,
    /// What it was of those that were not held by then, or are not any more.
    touched_aside: HashMap<Unit, Spent>,
    changed: HashSet<Unit>,
    news: Vec<News>,
    facts: facts::Facts,
    bell: Bell,
    /// The board did not answer last.
    away: bool,
    /// It has heard of nobody else lately.
    alone: bool,
    /// Limits are divided: the board is away, and somebody asked for that.
    divided: Option<Divided>,
    /// The board only hears until then.
    recovering_until: Tick,
    /// What it does not know it counts as used until then.
    forgot_until: Tick,
    /// How it stood when somebody looked last, and since when by the wall clock.
    stood: (SharingState, i64),
    /// As the holder last said.
    counters: Counters,
    tally: Tally,
    /// All is to be given back.
    pub(super) ending: bool,
}

/// What the holder does not see.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    failed_closed: u64,
    fair_share: u64,
    writes: u64,
    conflicts: u64,
}

/// A unit that is held.
struct Holding {
    fence: u64,
    since: Tick,
    /// When the board was told last.
    told: Tick,
    kind: KindAt,
    name: UnitId,
    /// What was started of it since the holder was told.
    touched: Option<Spent>,
}

/// Units of one kind, and who wants them.
struct Demanded {
    name: Kind,
    /// How many there are, and how many of them are held.
    units: u32,
    held: u32,
    asked: u64,
    /// A key without limits served while some were not held.
    aside: bool,
    /// Somebody found none, and the board has not been asked since.
    lacks: bool,
    /// Tokens of the prompt of whoever found none last.
    tokens: u64,
    /// The board had none when it was asked last, and since when it has had none each time.
    dry: Option<Tick>,
    /// It knows when it has one.
    opens: Option<Tick>,
    /// Owners that somebody must have, as of the same.
    named: BTreeSet<u32>,
    /// Owners of which somebody lifted a rest, and when: whoever gave their units back said when that would end.
    lifted: BTreeMap<u32, Tick>,
}

impl Demanded {
    /// Somebody found none who needs so many tokens of a prompt; whether that is new.
    fn lack(&mut self, tokens: u64) -> bool {
        self.tokens = tokens;
        !std::mem::replace(&mut self.lacks, true)
    }
}

impl Share {
    pub(super) fn new(settings: &Settings) -> Self {
        Self { noting: settings.noting, longest_request: settings.longest_request, ..Self::default() }
    }

    /// Whether leases hold now.
    #[inline]
    pub(super) fn is_valid(&self, now: Now) -> bool {
        now.tick < self.valid_until && now.ahead_ms.abs_diff(self.ahead_ms) <= APART
    }

    /// Under which number a unit is held, and its name.
    pub(super) fn fence(&self, unit: Unit) -> Option<(UnitId, u64)> {
        let held = self.held.get(unit)?;
        Some((held.name.clone(), held.fence))
    }

    /// Whether no other process uses these keys, as far as is known.
    #[inline]
    pub(super) fn is_alone(&self) -> bool {
        self.alone && !self.away
    }

    /// Whether limits are divided, and no lease is asked for.
    #[inline]
    pub(super) fn is_divided(&self) -> bool {
        self.divided.is_some()
    }

    /// A batch went to the store.
    pub(super) fn wrote(&mut self) {
        self.tally.writes += 1;
    }

    /// A request was granted in a unit.
    pub(super) fn started(&mut self, unit: Unit, spent: &Spent, now: Tick) {
        if let Some(divided) = &mut self.divided {
            divided.started(unit, spent, now);
            self.tally.fair_share += 1;
            // Its units are told to the board once that is back.
            self.stale |= self.lanes.insert(unit.0);
        }
        self.heard(unit, spent);
    }

    /// The same where limits are not divided: may be said later, but before the holder or the board hears what was started.
    pub(super) fn heard(&mut self, unit: Unit, spent: &Spent) {
        let Some(held) = self.held.get_mut(unit) else {
            return self.touched_aside.entry(unit).or_default().add(spent);
        };
        let touched = &mut self.touched;
        held.touched
            .get_or_insert_with(|| {
                touched.push(unit);
                Spent::default()
            })
            .add(spent);
        if let Some(kind) = self.kinds.get_mut(&held.kind) {
            kind.asked += spent.requests.max(1);
        }
    }

    /// A key without limits served: keys with limits of the same priority that are not held would have had their part. Whether
    /// the board has not heard of the lane.
    fn served_aside(&mut self, kind: KindAt) -> bool {
        match self.kinds.get_mut(&kind) {
            Some(kind) => {
                kind.aside |= kind.held < kind.units;
                kind.asked += u64::from(kind.held < kind.units);
                false
            }
            None => !self.lanes.contains(&kind.0),
        }
    }

    /// What a unit's windows count changed otherwise.
    pub(super) fn changed(&mut self, unit: Unit) {
        self.changed.insert(unit);
    }

    /// A unit is not this process's any more.
    fn drop_unit(&mut self, unit: Unit) {
        let Some(held) = self.held.remove(unit) else { return };
        if let Some(touched) = held.touched {
            self.touched_aside.entry(unit).or_default().add(&touched);
        }
        if let Some(kind) = self.kinds.get_mut(&held.kind) {
            kind.held = kind.held.saturating_sub(1);
        }
    }

    /// What was started of a unit since the holder was told.
    fn unheard(&self, unit: Unit) -> Option<Spent> {
        let held = self.held.get(unit).and_then(|held| held.touched);
        held.or_else(|| self.touched_aside.get(&unit).copied())
    }

    /// The same, to go on with it under another number.
    fn take_unheard(&mut self, unit: Unit) -> Option<Spent> {
        if let Some(held) = self.held.get_mut(unit) {
            return held.touched.take();
        }
        let aside = self.touched_aside.remove(&unit)?;
        self.touched.push(unit);
        Some(aside)
    }

    /// What was started of units that are held since this was asked last.
    fn take_started(&mut self) -> Vec<(UnitId, Spent)> {
        self.touched_aside.clear();
        let room = Vec::with_capacity(self.touched.len());
        let touched = std::mem::replace(&mut self.touched, room);
        let started = |unit: Unit| {
            let held = self.held.get_mut(unit)?;
            Some((held.name.clone(), held.touched.take()?))
        };
        touched.into_iter().filter_map(started).collect()
    }

    /// A unit goes back by its name, whosever that is by the time when it is told what it counts.
    fn leave(&mut self, unit: Unit) {
        if let Some(held) = self.held.get(unit) {
            self.leaving.insert(held.name.clone(), unit);
            self.returns.push(held.name.clone());
        }
    }

    /// The kinds of a lane, the first priority first.
    fn kinds_of(&mut self, lane: u16) -> impl Iterator<Item = (&KindAt, &mut Demanded)> {
        self.kinds.range_mut((lane, 0)..=(lane, u16::MAX))
    }

    /// Of which kinds the board has none, and until when where it knows.
    fn hear_what_is_out(&mut self, reply: &Reply, now: Now) {
        for kind in self.kinds.values_mut() {
            kind.dry = reply.dry.contains(&kind.name).then(|| kind.dry.unwrap_or(now.tick));
            let opens = reply.opens.get(&kind.name);
            kind.opens = opens.map(|ms| now.tick.plus(Duration::from_millis(ms.unsigned_abs())));
        }
    }

    /// A lane is given up: its number may mean another from now on.
    pub(super) fn forget_lane(&mut self, lane: u16) {
        self.lanes.remove(&lane);
        self.served.remove(&lane);
        self.by_name.retain(|_, unit| unit.0 != lane);
        self.bare.retain(|_, unit| unit.0 != lane);
        self.held.forget_lane(lane);
        self.filled.retain(|unit, _| unit.0 != lane);
        self.gone.retain(|unit, _| unit.0 != lane);
        self.leaving.retain(|_, unit| unit.0 != lane);
        self.touched_aside.retain(|unit, _| unit.0 != lane);
        self.kinds.retain(|kind, _| kind.0 != lane);
        if let Some(divided) = &mut self.divided {
            divided.retain(|unit| unit.0 != lane);
        }
        self.stale = true;
    }

    /// A place is another key's, or that key has another secret: whose quota that counts in is to be agreed on.
    pub(super) fn forget_key(&mut self, slot: u32) {
        *self.names.key(slot) = names::KeyName::default();
        self.stale = true;
    }

    /// What is said of one owner is said of another from now on.
    pub(super) fn owner_joined(&mut self, owner: u32, into: u32) {
        let named = self.names.owners.values_mut().chain(self.guards.values_mut());
        named.filter(|named| **named == owner).for_each(|named| *named = into);
    }

    /// Whether a unit is this owner's by what the board calls it now.
    fn is_named(&self, owner: u32, unit: &UnitId) -> bool {
        let name = unit.as_str().rsplit_once('\n').map_or("", |(_, name)| name);
        self.names.owners.get(name).is_none_or(|named| *named == owner)
    }

    /// The owner that the board calls by this name.
    pub(super) fn owner_called(&self, name: &str) -> Option<u32> {
        self.names.owners.get(name).copied()
    }

    /// The place of an owner is somebody else's from now on.
    pub(super) fn forget_owner(&mut self, owner: u32) {
        self.by_name.retain(|_, unit| unit.1 != owner);
        self.bare.retain(|_, unit| unit.1 != owner);
        self.held.forget_owner(owner);
        self.filled.retain(|unit, _| unit.1 != owner);
        self.gone.retain(|unit, _| unit.1 != owner);
        self.leaving.retain(|_, unit| unit.1 != owner);
        self.touched_aside.retain(|unit, _| unit.1 != owner);
        self.guards.retain(|_, guarded| *guarded != owner);
        self.names.owners.retain(|_, named| *named != owner);
        self.barred.remove(&owner);
        if let Some(divided) = &mut self.divided {
            divided.retain(|unit| unit.1 != owner);
        }
        self.stale = true;
    }
}

impl Demanded {
    /// Whether the board may have more of these.
    fn may_come(&self) -> bool {
        self.held < self.units && self.dry.is_none()
    }
}
