//! A process's side of the protocol: what it holds, until when, what it may start, what it says next. A state machine
//! that is told the time and does no I/O.

mod answer;
mod draw;
mod elsewhere;
mod guards;
mod hinted;
mod last;
mod left;
mod living;
mod named;
mod need;
mod renew;
mod told;
mod turn;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use self::{draw::Draw, elsewhere::Elsewhere, hinted::Hints, need::Demand};
use super::{
    counters::Counters,
    info,
    ledger::{Moment, Spent},
    names::{HolderId, Kind, UnitId},
    settings::{OnStoreLoss, Settings},
    wire::{Mark, Mode, News, Rest, UnitInfo},
};
use crate::{
    limit::{Span, Unit},
    time::Tick,
};

/// Why a unit may not be used by this process now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Another process holds it, or nobody does.
    HeldElsewhere,
    /// The lease has ended and the board did not answer.
    StoreAway,
    /// The day may not be used further before the board has heard of it.
    AtMark,
}

/// Leave to start a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Leave {
    /// The unit is held.
    Held,
    /// A place of it was drawn, which counts in no window of this process.
    Drawn,
    /// The board is away: within each limit divided by so many processes.
    FairShare(u32),
}

/// A process's side of the protocol.
#[derive(Debug)]
pub struct Holder {
    id: HolderId,
    settings: Settings,
    roster: u64,
    infos: BTreeMap<UnitId, UnitInfo>,
    has_guards: bool,
    /// The board knows the roster.
    enrolled: bool,
    generation: u64,
    number: u64,
    acknowledged: u64,
    /// When the last renewal that was answered was sent; none where leases are void.
    anchor: Option<Moment>,
    /// When it was sent, void or not.
    heard: Option<Tick>,
    /// The longest time that an answer took lately, in milliseconds.
    trip: u64,
    outstanding: Option<Sent>,
    units: BTreeMap<UnitId, HeldUnit>,
    /// Given back, as far as the board has not confirmed it.
    returning: BTreeMap<UnitId, Returning>,
    elsewhere: Elsewhere,
    draws: Vec<Draw>,
    demands: BTreeMap<Kind, Demand>,
    /// Guards that are held and that others want.
    wanted_guards: BTreeSet<UnitId>,
    /// Units that are held and that others want by their names.
    wanted_units: BTreeSet<UnitId>,
    /// Units whose limits somebody knows to be stricter.
    tightened: BTreeSet<UnitId>,
    news: VecDeque<(u64, Told)>,
    next_news: u64,
    facts: BTreeMap<String, Rest>,
    revision: u64,
    buried: Vec<HolderId>,
    /// When the next renewal is due.
    due: Tick,
    /// It is due before its time.
    hurried: bool,
    /// When the last one was sent.
    sent: Tick,
    /// How many may be sent before their time, and when that was so; the next not before then.
    hasty: (Tick, f64),
    unhurried: Tick,
    hints: Hints,
    /// When it was looked last whether a unit that goes round is to be passed on.
    looked: Tick,
    /// Tries without an answer.
    failures: u32,
    /// The longest lease of anybody's, in milliseconds: what the board forgets is waited for as long.
    longest: u64,
    nonces: fastrand::Rng,
    /// There is nobody to give anything back to.
    alone: bool,
    /// All leases ended since the last answer; said once.
    lost: bool,
    counters: Counters,
    /// Of one who notes: the number of the last note before the board was told of all units, when that was, and whether
    /// there is something that no note says.
    noted: u64,
    told_all: Option<Tick>,
    pressing: bool,
}

/// News, and when it happened.
type Told = (Tick, News);

/// Up to where days may be used of units, each with how much of it was by then.
type Marks = BTreeMap<UnitId, Vec<(Mark, u64)>>;

/// A renewal that is under way.
#[derive(Debug)]
struct Sent {
    number: u64,
    at: Moment,
    returned: Vec<UnitId>,
    settled: Vec<u64>,
    dates: (u16, u16),
    marks: Marks,
    buried: usize,
    /// It tells of all units that changed; the last note that is older than it.
    tells: Option<u64>,
    /// It says how much of days can have been used, and asks for these.
    bounds: bool,
    looks: BTreeSet<UnitId>,
    left: Vec<UnitId>,
}

/// A unit that is given back.
#[derive(Clone, Copy, Debug)]
struct Returning {
    fence: u64,
    mode: Mode,
    last_start: Option<Tick>,
    /// The board may have heard of it, and lent it to another.
    said: bool,
}

/// A unit that is held.
#[derive(Debug)]
struct HeldUnit {
    fence: u64,
    /// When it was granted.
    since: Tick,
    /// When it was granted or used last.
    touched: Tick,
    last_start: Option<Tick>,
    /// It was used, or changed otherwise, since the board heard of it.
    changed: bool,
    /// The same since the renewal under way was made.
    changed_since: bool,
    /// How much is left up to each mark.
    marks: Vec<Mark>,
    /// What was started since the renewal under way was made.
    since_sent: Spent,
    /// What was started since the one before.
    since_last: Spent,
    corrected: u64,
}

impl Holder {
    /// A process that can serve these units. `seed` is for the generations of boards that went back in time: random, and
    /// another in each process.
    pub fn new(id: HolderId, settings: Settings, units: Vec<UnitInfo>, seed: u64) -> Self {
        let hasty = (Tick::ZERO, f64::from(settings.haste.0.max(1)));
        let longest = settings.lease.as_millis() as u64;
        let mut holder = Self {
            id,
            settings,
            longest,
            roster: 0,
            infos: BTreeMap::new(),
            has_guards: false,
            enrolled: false,
            generation: 0,
            number: 0,
            acknowledged: 0,
            anchor: None,
            heard: None,
            trip: 0,
            outstanding: None,
            units: BTreeMap::new(),
            returning: BTreeMap::new(),
            elsewhere: Elsewhere::default(),
            draws: Vec::new(),
            demands: BTreeMap::new(),
            wanted_guards: BTreeSet::new(),
            wanted_units: BTreeSet::new(),
            tightened: BTreeSet::new(),
            news: VecDeque::new(),
            next_news: 0,
            facts: BTreeMap::new(),
            revision: 0,
            buried: Vec::new(),
            due: Tick::ZERO,
            hurried: false,
            sent: Tick::ZERO,
            hasty,
            unhurried: Tick::ZERO,
            hints: Hints::new(),
            looked: Tick::ZERO,
            failures: 0,
            nonces: fastrand::Rng::with_seed(seed),
            alone: false,
            lost: false,
            counters: Counters::default(),
            noted: 0,
            told_all: None,
            pressing: true,
        };
        holder.serve(units);
        holder
    }

    /// The board's generation as last heard: to be kept where it outlives the process.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// An earlier life of this process, or another on this machine, has heard this generation from the board: should the
    /// board know nothing any more, it lost what it knew.
    #[must_use]
    pub fn remembering(mut self, generation: u64) -> Self {
        self.generation = generation;
        self
    }

    /// What this process can serve from now on. Units that it cannot any more are given back.
    pub fn serve(&mut self, units: Vec<UnitInfo>) {
        let infos = units.into_iter().map(|info| (info.unit.clone(), info)).collect();
        let before = std::mem::replace(&mut self.infos, infos);
        self.count_elsewhere(&before);
        self.has_guards = guards::are_among(self.infos.values());
        self.roster = info::number_of(self.infos.values());
        self.enrolled = false;
        let gone: Vec<UnitId> = self.units.keys().filter(|unit| !self.infos.contains_key(unit)).cloned().collect();
        for unit in gone {
            self.give_back(&unit, Mode::Whole);
        }
    }

    /// Who this is.
    pub fn id(&self) -> &HolderId {
        &self.id
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Units that are held, valid or not.
    pub fn held(&self) -> impl Iterator<Item = &UnitId> {
        self.units.keys()
    }

    /// Whether this unit is this process's to use, as far as it knows; [`Holder::may_start`] is the whole answer.
    pub fn holds(&self, unit: &UnitId) -> bool {
        self.units.contains_key(unit)
    }

    /// Until when what is held may be used, if no further renewal is answered.
    pub fn valid_until(&self) -> Option<Tick> {
        let anchor = self.anchor?;
        Some(anchor.tick.plus(self.settings.lease).minus(self.settings.margin))
    }

    /// Whether leases hold at `now`. Where the wall clock and the monotonic one parted, the machine slept or was set: no
    /// lease can be relied on until the board has answered again.
    pub fn is_valid(&mut self, now: Moment) -> bool {
        let Some(anchor) = self.anchor else { return false };
        let ahead = |moment: Moment| moment.wall_ms - moment.tick.millis() as i64;
        if ahead(now).abs_diff(ahead(anchor)) > 1_000 {
            self.anchor = None;
            self.void_draws();
            self.counters.clocks_parted += 1;
            self.hurry(now.tick);
            return false;
        }
        let valid = self.valid_until().is_some_and(|end| now.tick < end);
        if !valid && !self.lost {
            self.lost = true;
            self.counters.store_lost += 1;
        }
        valid
    }

    /// Whether a request that takes `spent`, and counts on the dates from `dates.0` to `dates.1`, may start in this unit
    /// now. To be asked when it is picked and again when it goes to the wire.
    ///
    /// # Errors
    /// Why not.
    pub fn may_start(
        &mut self,
        unit: &UnitId,
        spent: &Spent,
        dates: (u16, u16),
        now: Moment,
    ) -> Result<Leave, Refusal> {
        let valid = self.is_valid(now);
        if self.has_drawn(unit, spent, dates, now.tick) && self.anchor.is_some() {
            return Ok(Leave::Drawn);
        }
        if !valid {
            return self.without_lease(unit);
        }
        let (Some(held), Some(info)) = (self.units.get(unit), self.infos.get(unit)) else {
            return Err(Refusal::HeldElsewhere);
        };
        let marked = |of: Unit, date: u16| {
            let mark = held.marks.iter().find(|mark| mark.unit == of && mark.date == date);
            mark.is_some_and(|mark| mark.upto >= spent.of(of).max(1))
        };
        let all_marked = self.settings.noting || {
            let mut daily = info.limits.iter().filter(|limit| limit.span == Span::Day);
            daily.all(|limit| (dates.0..=dates.1).all(|date| marked(limit.unit, date)))
        };
        if !all_marked {
            self.counters.at_mark += 1;
            self.hurry(now.tick);
            return Err(Refusal::AtMark);
        }
        Ok(Leave::Held)
    }

    fn without_lease(&mut self, unit: &UnitId) -> Result<Leave, Refusal> {
        match self.settings.on_store_loss {
            OnStoreLoss::FairShare { processes } if self.infos.contains_key(unit) && self.failures > 0 => {
                self.counters.fair_share += 1;
                Ok(Leave::FairShare(processes.max(1)))
            }
            _ => {
                self.counters.failed_closed += 1;
                Err(Refusal::StoreAway)
            }
        }
    }

    /// A request started.
    pub fn started(&mut self, unit: &UnitId, spent: &Spent, dates: (u16, u16), now: Moment) {
        self.started_guarded(unit, now);
        let Some(held) = self.units.get_mut(unit) else {
            self.take_drawn(unit, spent, dates, now.tick);
            return;
        };
        held.touched = now.tick;
        held.last_start = Some(now.tick);
        held.changed = true;
        held.changed_since = true;
        for since in [&mut held.since_sent, &mut held.since_last] {
            since.requests += spent.requests;
            since.input_tokens += spent.input_tokens;
            since.output_tokens += spent.output_tokens;
            since.images += spent.images;
        }
        for mark in held.marks.iter_mut().filter(|mark| (dates.0..=dates.1).contains(&mark.date)) {
            mark.upto = mark.upto.saturating_sub(spent.of(mark.unit));
        }
    }

    /// The windows of a unit changed otherwise: a start was given back, a request cost more or less.
    pub fn changed(&mut self, unit: &UnitId) {
        if let Some(held) = self.units.get_mut(unit) {
            held.changed = true;
            held.changed_since = true;
        }
    }

    fn hurry(&mut self, now: Tick) {
        let at = now.max(self.sent.plus(self.settings.coalesce)).max(self.unhurried);
        if at < self.due {
            self.due = at;
            self.hurried = true;
        }
    }
}
