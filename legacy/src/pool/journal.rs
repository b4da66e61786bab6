//! The journal of a pool with a store: what changed since the last write. It says where to look; what stands there is
//! gathered from the state itself (`gather`), so that a request costs a few notes and no copy.

use std::{sync::Arc, task::Waker};

use hashbrown::{HashMap, HashSet};

use super::{
    Demand, Seat, Usage,
    by_unit::ByUnit,
    entries::{Did, Entries},
    exhausted::{LENDING, PATIENCE},
    health::Health,
    mark::Mark,
    parting::GivenUp,
    sharing::Share,
    state::{NO_MODEL, State},
    uses::{Used, Uses},
};
use crate::{
    limit::{Need, Plan},
    share::Spent,
    store::{Crash, Image, ImportRecord, KeyRecord, RestId, UsageRecord},
    time::{Now, Tick},
    verdict::VerdictKind,
};

/// An owner in a lane: (lane, owner).
pub(super) type Unit = (u16, u32);

#[derive(Default)]
pub(super) struct Journal {
    pub(super) marks: ByUnit<Mark>,
    /// Units whose log is to be looked at; each once.
    pub(super) units: Vec<Unit>,
    /// Keys in lanes: the key itself and the rests that cover it there are to be looked at.
    pub(super) touched: HashSet<(u32, u16)>,
    /// What requests did that is not in `used` and `health` yet.
    pub(super) entries: Entries,
    /// What keys used of lanes since.
    pub(super) used: Uses,
    pub(super) units_gone: Vec<(String, String)>,
    /// Models that were found to count in another's quota: (model, the other).
    pub(super) followers: Vec<(String, String)>,
    /// Key files that were taken in.
    pub(super) imports: Vec<ImportRecord>,
    /// Which rests the store holds.
    pub(super) rests: HashSet<RestId>,
    /// Rests of secrets that were replaced.
    pub(super) rests_gone: Vec<RestId>,
    /// What leases said that they cost, by seat: its generation, and that.
    pub(super) told: Vec<(u32, Usage)>,
    /// Records of keys that left.
    pub(super) parted: Vec<KeyRecord>,
    /// Use by keys that left.
    pub(super) parted_use: Vec<UsageRecord>,
    /// Secrets that gave their places to others while requests may have been under way.
    pub(super) given_up: Vec<GivenUp>,
    /// When requests of another lane went over to one.
    pub(super) moved_into: HashMap<u16, Tick>,
    /// By slot.
    pub(super) health: Vec<Health>,
    /// What owners are called in the store, once they were.
    pub(super) names: HashMap<u32, Arc<str>>,
    /// Of what the last process left, what waits for its lane or key.
    pub(super) known: Known,
    pub(super) run: RunState,
    /// The write-behind task, while it waits for news.
    pub(super) bell: Bell,
    /// The same while it rests between two writes.
    pub(super) press: Bell,
    /// Something else than counts changed: it is not to wait.
    pub(super) urgent: bool,
    /// Somebody waits until all that is noted is written.
    pub(super) flushing: bool,
    /// Marks are not kept to: the store takes no writes. Nobody else counts on them unless the process crashes, too.
    pub(super) void: bool,
    /// Somebody was refused until the next write.
    pub(super) short: bool,
    /// So was somebody during this look for a key: no later priority opens for it.
    pub(super) met_short: bool,
    /// The number of the last look at everything.
    pub(super) looks: u64,
    /// Lanes are filled for good: before, they are made only to be counted.
    pub(super) settled: bool,
    /// All is over: the next look is the last.
    pub(super) ending: bool,
    /// The store takes what owners started, to be added to the records that it has.
    pub(super) takes_started: bool,
    /// Processes of several machines work on the store.
    pub(super) spans_machines: bool,
    /// Dates as they are written, the last few.
    pub(super) dates: Vec<(u16, Arc<str>)>,
    /// The number of the last look that is over.
    pub(super) gathered: u64,
    /// Owners are shared with other processes.
    pub(super) share: Option<Box<Share>>,
}

/// Wakes the write-behind task.
#[derive(Default)]
pub(super) struct Bell(pub(super) Option<Waker>);

/// What the last process left behind.
#[derive(Default)]
pub(super) struct Known {
    pub(super) image: Image,
    /// Names of units in the image, by lane.
    pub(super) by_lane: HashMap<String, Vec<String>>,
    /// Slots by the hash of their secret.
    pub(super) by_hash: HashMap<Arc<str>, u32>,
}

/// Where this process stands.
#[derive(Default)]
pub(super) struct RunState {
    pub(super) epoch: u64,
    /// Runs that ended unseen.
    pub(super) crashes: Vec<Crash>,
}

impl Journal {
    /// Whether there is anything to write.
    pub(super) fn has_news(&self) -> bool {
        self.flushing
            || !(self.units.is_empty()
                && self.touched.is_empty()
                && self.entries.is_empty()
                && self.used.is_empty()
                && self.units_gone.is_empty()
                && self.followers.is_empty()
                && self.imports.is_empty()
                && self.rests_gone.is_empty()
                && self.parted.is_empty()
                && self.parted_use.is_empty())
    }

    /// Whether this owner may start so much before the next write.
    #[inline]
    pub(super) fn allows(&self, unit: Unit, plan: &Plan, need: &Need) -> bool {
        plan.words() == 0
            || self.share.as_ref().map_or(self.void, |share| share.is_divided())
            || self.marks.get(unit).map_or_else(|| Mark::first(plan).covers(need), |mark| mark.covers(need))
    }

    /// The same of a demand. Out of line: a pool without a store pays for nothing. `alone`: its key has limits of its own.
    /// `held`: its owner's cell says that this process holds it.
    #[inline(never)]
    pub(super) fn allows_demand(
        &self,
        unit: Unit,
        plan: &Plan,
        (alone, held): (bool, bool),
        demand: &Demand,
        now: Now,
    ) -> bool {
        ((plan.words() == 0 && !alone) || self.holds(unit, held, now))
            && self.allows(unit, plan, &State::ask_in(unit.0, demand, now).need)
    }

    pub(super) fn note_unit(&mut self, unit: Unit) {
        if let Some(share) = &mut self.share {
            share.changed(unit);
            if !share.noting {
                return;
            }
        }
        if let Some(mark) = self.marks.get_mut(unit)
            && !std::mem::replace(&mut mark.noted, true)
        {
            self.units.push(unit);
        }
    }

    pub(super) fn health(&mut self, slot: u32) -> &mut Health {
        let slot = slot as usize;
        if self.health.len() <= slot {
            self.health.resize(slot + 1, Health::default());
        }
        &mut self.health[slot]
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        // The pool is gone, and the task may end.
        if let Some(waker) = self.0.take() {
            waker.wake();
        }
    }
}

impl State {
    /// Tells the write-behind task, once the mutex is free.
    pub(super) fn news(&mut self) {
        if let Some(journal) = &mut self.journal {
            self.wakes.extend(journal.bell.0.take());
        }
    }

    /// [`Journal::allows`]; where it does not, the next write is to allow it.
    #[inline]
    pub(super) fn marked(&mut self, unit: Unit, need: &Need) -> bool {
        self.journal.is_none() || self.within_mark(unit, need)
    }

    fn within_mark(&mut self, unit: Unit, need: &Need) -> bool {
        let plan = self.plans.plan(self.lanes[usize::from(unit.0)].owners[unit.1 as usize].plan);
        let Some(journal) = &mut self.journal else { return true };
        if journal.allows(unit, plan, need) {
            return true;
        }
        journal.marks.or_insert_with(unit, || Mark::first(plan)).ask(need);
        (journal.short, journal.met_short) = (true, true);
        journal.note_unit(unit);
        if journal.share.as_ref().is_some_and(|share| !share.noting) {
            self.ring_at_mark();
        } else {
            self.news();
            self.press();
        }
        false
    }

    /// A key was granted.
    #[inline]
    pub(super) fn note_start(&mut self, slot: u32, owner: u32, lane: u16, need: &Need, free: bool) {
        if self.journal.is_some() {
            self.write_start(slot, owner, lane, need, free);
        }
    }

    #[inline(never)]
    fn write_start(&mut self, slot: u32, owner: u32, lane: u16, need: &Need, free: bool) {
        let plan = self.plans.plan(self.lanes[usize::from(lane)].owners[owner as usize].plan);
        let now = self.last_now.tick;
        let Some(journal) = &mut self.journal else { return };
        let (mut is_new, mut did) = (false, Did::Started);
        if !free && plan.words() > 0 {
            let unit = (lane, owner);
            let mark = journal.marks.or_insert_with(unit, || Mark::first(plan));
            mark.spend(need, now);
            let noting = journal.share.as_mut().is_none_or(|share| {
                if need.is_of_tokens() && !share.is_divided() {
                    did = Did::Counted { owner, input: need.input_tokens };
                } else {
                    share.started(unit, &Spent::from(*need), now);
                }
                share.noting
            });
            if noting && !std::mem::replace(&mut mark.noted, true) {
                journal.units.push(unit);
            }
        } else if !free && let Some(share) = &mut journal.share {
            is_new = share.served_uncounted((lane, owner), &self.roster.keys[slot as usize], need);
        }
        if is_new {
            self.begin_lane(lane);
        }
        self.jot(slot, lane, did);
    }

    /// What an owner's windows count in a lane changed otherwise: a start moved, came back, or cost more.
    #[inline]
    pub(super) fn note_unit(&mut self, lane: u16, owner: u32) {
        if self.journal.is_some() {
            self.write_unit(lane, owner);
        }
    }

    pub(super) fn write_unit(&mut self, lane: u16, owner: u32) {
        let plan = self.plans.plan(self.lanes[usize::from(lane)].owners[owner as usize].plan);
        if let Some(journal) = &mut self.journal
            && plan.words() > 0
        {
            journal.marks.or_insert_with((lane, owner), || Mark::first(plan)).whole = true;
            journal.note_unit((lane, owner));
            self.news();
        }
    }

    /// What an answer cost, as far as it is known by now: more may be told later.
    pub(super) fn note_usage(&mut self, seat: Seat, usage: Usage) {
        let (Some(journal), Some(cell)) = (&mut self.journal, self.seats.get(seat)) else { return };
        let index = seat.index as usize;
        if journal.told.len() <= index {
            journal.told.resize(index + 1, Default::default());
        }
        let told = &mut journal.told[index];
        let before = if told.0 == seat.generation { told.1 } else { Usage::default() };
        let usage = before.updated(usage);
        *told = (seat.generation, usage);
        let more = |now: Option<u64>, before: Option<u64>| now.unwrap_or(0).saturating_sub(before.unwrap_or(0));
        let input = more(usage.input_tokens, before.input_tokens);
        let output = more(usage.output_tokens, before.output_tokens);
        let (slot, lane, seq) = (cell.slot, cell.lane, cell.seq);
        if input == 0 && output == 0 {
            return;
        }
        if let Some(secret) = self.given_up(slot, seq) {
            let used = Used { input_tokens: input, output_tokens: output, ..Used::default() };
            return self.note_of_former(secret, (slot, lane), used, self.last_now);
        }
        self.jot(slot, lane, Did::Cost { input, output });
    }

    /// An answer was judged; `first`: for the first time. Whatever it changes about rests is found by looking there.
    #[inline]
    pub(super) fn note_verdict(
        &mut self,
        (slot, lane, seq): (u32, u16, u64),
        kind: VerdictKind,
        first: bool,
        now: Now,
    ) {
        if self.journal.is_some() {
            self.write_verdict(slot, lane, seq, kind, first, now);
        }
    }

    #[inline(never)]
    fn write_verdict(&mut self, slot: u32, lane: u16, seq: u64, kind: VerdictKind, first: bool, now: Now) {
        use VerdictKind as K;
        let owner = self.roster.keys[slot as usize].owner;
        let rested = self.lanes[usize::from(lane)].rest.is_some() || self.may_rest(slot, owner, lane);
        let (ramps, weight) = (self.roster.keys[slot as usize].ramp > 0, self.roster.keys[slot as usize].adaptive);
        let takes_started = self.journal.as_ref().is_some_and(|journal| journal.takes_started);
        if kind == K::Success && takes_started && !rested && !ramps {
            return self.jot(slot, lane, Did::Succeeded(now.wall_ms()));
        }
        self.post_entries();
        let nobodys = matches!(kind, K::CallerFault | K::Cancelled | K::Unjudged);
        let mut touch = rested || !(nobodys || kind == K::Success);
        // One that breaks off was a good one by its head.
        let counts = kind != K::Success && (first || kind == K::Broken);
        let former = self.given_up(slot, seq);
        if let Some(secret) = former.clone().filter(|_| counts) {
            let used = Used { errors: [(kind, 1)].into(), ..Used::default() };
            self.note_of_former(secret, (slot, lane), used, now);
        }
        let Some(journal) = &mut self.journal else { return };
        if counts && former.is_none() {
            *journal.used.of(slot, lane).errors.entry(kind).or_default() += 1;
        }
        if former.is_some() {
            // How the secret fares that is there now it does not tell.
        } else if kind == K::Success {
            touch |= journal.succeeded(slot, weight, now.wall_ms()) || ramps;
            if takes_started {
                journal.used.of(slot, lane).last_success = Some(now.wall_ms());
            }
        } else if !nobodys {
            let health = journal.health(slot);
            health.last_failure = Some(now.wall_ms());
            health.consecutive = health.consecutive.saturating_add(u32::from(first));
        }
        if touch {
            journal.touched.insert((slot, lane));
        }
        // A rest that is not known to be over is known to be.
        if touch && kind != K::Success {
            journal.urgent = true;
            self.press();
        }
        self.news();
    }

    /// A key or a rest that covers it in this lane may have changed.
    pub(super) fn note_key(&mut self, slot: u32, lane: u16) {
        if let Some(journal) = &mut self.journal {
            journal.touched.insert((slot, lane));
            journal.urgent = true;
            self.news();
            self.press();
        }
    }

    /// What this owner used in this lane counts as another's from now on.
    pub(super) fn note_moved(&mut self, lane: u16, owner: u32, into: Unit) {
        let Some(journal) = &mut self.journal else { return };
        if journal.marks.remove((lane, owner)).is_some() {
            journal.units.retain(|unit| *unit != (lane, owner));
            let name = self.lanes[usize::from(lane)].name.to_string();
            journal.units_gone.extend(journal.names.get(&owner).map(|owner| (owner.to_string(), name)));
            self.note_unit(into.0, into.1);
        }
    }

    /// How long a demand waits that would not: until the next write, where only that is in the way.
    pub(super) fn patience(&self, wait: std::time::Duration, model: Option<&str>) -> std::time::Duration {
        let short = self.journal.as_ref().is_some_and(|journal| journal.short);
        let lane = model.map_or(Some(NO_MODEL), |model| self.lane_of.get(model));
        if lane.is_some_and(|lane| self.is_asking(lane)) {
            return wait.max(LENDING);
        }
        if short { wait.max(PATIENCE) } else { wait }
    }
}
