//! The pool as the one who keeps the windows of units that are held. Each look takes the mutex for itself, so that no
//! request waits for a whole renewal.

use std::time::Duration;

use hashbrown::HashMap;

use super::{Holding, OFFERED_AGAIN};
use crate::{
    limit::{Limit, Limits, Span, Told, Unknown},
    pool::{KeyPool, check::LEAST, journal::Unit, mark::Mark, state::State},
    share::{Correction, Granted, Ledger, Moment, Spent, UnitId, own::Own, stricter},
    time::{Now, Tick},
};

pub(super) struct Windows {
    pub(super) pool: KeyPool,
    /// The number of the last note of which the holder knows every change.
    noted: u64,
    /// How much may be started of units that were just told.
    ahead: HashMap<UnitId, Spent>,
    /// Units granted or with more room: their keys are to be looked at again.
    pub(super) granted: Vec<Unit>,
}

impl Windows {
    pub(super) fn new(pool: KeyPool) -> Self {
        Self { pool, noted: 0, ahead: HashMap::new(), granted: Vec::new() }
    }

    pub(super) fn newer_than(self, noted: u64) -> Self {
        Self { noted, ..self }
    }

    fn now(moment: Moment) -> Now {
        Now { tick: moment.tick, ahead_ms: moment.wall_ms - moment.tick.millis() as i64 }
    }
}

impl State {
    fn unit_at(&self, unit: &UnitId) -> Option<Unit> {
        let share = self.share()?;
        let named = share.leaving.get(unit).or_else(|| share.by_name.get(unit));
        let at = *named.or_else(|| share.bare.get(unit))?;
        let owners = self.lanes[usize::from(at.0)].owners.len();
        ((at.1 as usize) < owners).then_some(at)
    }

    /// When some key of the unit may serve as far as rests go; `None`: now.
    fn rests_until(&self, (lane, owner): Unit, now: Now) -> Option<Tick> {
        let slots = self.share()?.slots.get(&owner)?;
        let usable = slots.iter().filter(|slot| !self.roster.keys[**slot as usize].removed);
        let earliest = usable.map(|slot| self.key_rests_until(lane, *slot, now)).min().unwrap_or(Tick::NEVER);
        (earliest > now.tick).then_some(earliest)
    }

    /// When a key may serve as far as rests go.
    pub(super) fn key_rests_until(&self, lane: u16, slot: u32, now: Now) -> Tick {
        let resting = self.rests(lane, slot).into_iter().filter_map(|(rest, _)| rest);
        let active = resting.filter(|rest| rest.is_active(now) && !rest.may_probe(now));
        active.map(|rest| rest.wakes(now)).max().unwrap_or(now.tick)
    }

    /// Limits of other processes that are stricter hold here as well.
    fn tighten_unit(&mut self, (lane, owner): Unit, limits: &Limits, now: Now) {
        let number = self.lanes[usize::from(lane)].owners[owner as usize].plan;
        let sources = self.plans.sources(number);
        let own = sources.own();
        let elsewhere = if stricter(&own, limits) == own { Limits::new() } else { limits.clone() };
        if elsewhere != sources.elsewhere {
            let learned = sources.learned.clone();
            let number = self.plan_among(lane, owner, learned, elsewhere);
            self.replan_as(lane, owner, number, now);
        }
    }

    fn hear_unit(&mut self, at: Unit, granted: &Granted, now: Now) {
        let (lane, owner) = at;
        self.tighten_unit(at, &granted.learned, now);
        let when = self.at(now, owner);
        let zone = usize::from(self.roster.owners[owner as usize].zone());
        let then = |ago: i64| {
            let ago = ago.min(0);
            (when.tick.minus(Duration::from_millis(ago.unsigned_abs())), now.wall_ms().saturating_add(ago))
        };
        let unknown = Unknown {
            starts: granted.unknown.map(|ago| then(ago).0),
            dates: granted.days_unknown.map(|ago| self.zones[zone].1.days(then(ago).1)),
        };
        let held = &mut self.lanes[usize::from(lane)];
        let plan = self.plans.plan(held.owners[owner as usize].plan);
        let words = plan.words();
        if words > 0 {
            plan.hear(&granted.counts, unknown, held.log(owner, words), &when);
        }
        self.fill_up_heard(at, now);
        let plan = self.plans.plan(self.lanes[usize::from(lane)].owners[owner as usize].plan);
        let mark = if granted.ahead.is_some() {
            Mark::granted(plan, granted.ahead.as_ref())
        } else {
            Mark::told(plan, &granted.marks, &when)
        };
        let spaced = self.share().and_then(|share| share.slots.get(&owner)).cloned().unwrap_or_default();
        if let Some(ago) = granted.last_start {
            for slot in spaced {
                let key = &mut self.roster.keys[slot as usize];
                if key.interval_ms > 0 {
                    key.last_started = key.last_started.max(then(ago).0);
                    key.last_seq = key.last_seq.max(1);
                }
            }
        }
        self.post_entries();
        let Some(journal) = &mut self.journal else { return };
        journal.marks.insert(at, mark);
        // Its owner is called otherwise by now: it goes back, with what it counts.
        let called = self.unit_name(lane, owner).is_some_and(|name| name == granted.unit);
        let Some(share) = self.share_mut() else { return };
        if !called || !share.is_named(owner, &granted.unit) {
            share.leaving.insert(granted.unit.clone(), at);
            share.returns.push(granted.unit.clone());
            share.stale = true;
            return;
        }
        // Where the lane was given up meanwhile it is given back with the next renewal.
        let Some(kind) = share.kind_at.get(&at).copied() else { return };
        if let Some(kind) = share.kinds.get_mut(&kind) {
            kind.held += u32::from(!share.held.contains(at));
            kind.lifted.remove(&at.1);
        }
        let touched = share.take_unheard(at);
        share.gone.remove(&at);
        share.granted = now.tick;
        share.held.insert(
            at,
            Holding {
                fence: granted.fence,
                since: now.tick,
                told: Tick::ZERO,
                kind,
                name: granted.unit.clone(),
                touched,
            },
        );
        let cell = &mut self.lanes[usize::from(lane)].owners[owner as usize];
        cell.hold(true);
        cell.outgrow();
    }

    /// What the board counts of the days of a unit that is not held, so that whoever looks sees what all used.
    fn see_days(&mut self, at: Unit, marks: &[crate::share::Mark], now: Now) {
        let (lane, owner) = at;
        let is_here = |share: &super::Share| share.held.contains(at) || share.is_divided();
        if self.share().is_none_or(is_here) || self.is_pending(at) {
            return;
        }
        let when = self.at(now, owner);
        let held = &mut self.lanes[usize::from(lane)];
        let plan = self.plans.plan(held.owners[owner as usize].plan);
        let words = plan.words();
        let is_used = marks.iter().any(|mark| mark.upto > 0);
        if words == 0 || !(is_used || held.log_ref(owner, words).iter().any(|word| *word != 0)) {
            return;
        }
        let mut days: Vec<Told> = Vec::new();
        for mark in marks {
            let date = (mark.date, mark.upto);
            match days.iter_mut().find(|told| told.limit.unit == mark.unit) {
                Some(told) => told.dates.push(date),
                None => days.push(Told {
                    limit: Limit { unit: mark.unit, span: Span::Day, amount: 0 },
                    moments: Vec::new(),
                    dates: vec![date],
                }),
            }
        }
        plan.hear_days(&days, held.log(owner, words), &when);
        held.owners[owner as usize].outgrow();
    }

    /// The board has heard what was used of a day, and allows so much more.
    pub(super) fn allow_unit(&mut self, unit: &UnitId, marks: &[crate::share::Mark], now: Now) {
        let Some(at) = self.unit_at(unit) else { return };
        let when = self.at(now, at.1);
        self.post_entries();
        let plan = self.plans.plan(self.lanes[usize::from(at.0)].owners[at.1 as usize].plan);
        let Some(journal) = &mut self.journal else { return };
        let unheard = journal.share.as_ref().and_then(|share| share.unheard(at)).unwrap_or_default();
        let Some(mark) = journal.marks.get_mut(at) else { return };
        let left = |mark: &crate::share::Mark| crate::share::Mark {
            upto: mark.upto.saturating_sub(unheard.of(mark.unit)),
            ..*mark
        };
        mark.allow(plan, &marks.iter().map(left).collect::<Vec<_>>(), &when);
        if std::mem::take(&mut mark.short) {
            self.revive_units(&[at]);
        }
    }

    /// Keys of units that came are looked at again.
    pub(super) fn revive_units(&mut self, units: &[Unit]) {
        for (lane, owner) in units {
            let slots = self.share().and_then(|share| share.slots.get(owner)).cloned().unwrap_or_default();
            for slot in slots {
                self.revive_in(*lane, slot);
            }
        }
    }

    /// A unit is not this process's to use from now on.
    pub(super) fn let_go(&mut self, at: Unit) {
        if let Some(owner) = self.lanes[usize::from(at.0)].owners.get_mut(at.1 as usize) {
            owner.hold(false);
        }
        self.post_entries();
        if let Some(share) = self.share_mut() {
            share.drop_unit(at);
        }
    }
}

impl Ledger for Windows {
    fn tell(&mut self, unit: &UnitId, now: Moment) -> Vec<Told> {
        let now = Self::now(now);
        let mut state = self.pool.lock();
        let Some((lane, owner)) = state.unit_at(unit) else { return Vec::new() };
        let at = state.at(now, owner);
        let state = &mut *state;
        let held = &mut state.lanes[usize::from(lane)];
        let plan = state.plans.plan(held.owners[owner as usize].plan);
        if plan.words() == 0 {
            return Vec::new();
        }
        let noting =
            state.journal.as_ref().and_then(|journal| journal.share.as_ref()).is_some_and(|share| share.noting);
        let log = held.log(owner, plan.words());
        let told = if noting { plan.tell(log, &at) } else { plan.tell_begun(log, &at) };
        let Some(journal) = &mut state.journal else { return told };
        let ahead = journal.marks.get_mut((lane, owner)).map(|mark| {
            mark.told_whole();
            mark.ahead()
        });
        let Some(share) = &mut journal.share else { return told };
        if let Some(held) = share.held.get_mut((lane, owner)) {
            held.told = now.tick;
        }
        if share.noting {
            self.ahead.extend(ahead.map(|ahead| (unit.clone(), ahead)));
        }
        told
    }

    fn ahead(&self, unit: &UnitId) -> Option<Spent> {
        self.ahead.get(unit).copied()
    }

    fn noted(&self) -> u64 {
        self.noted
    }

    fn hear(&mut self, granted: &Granted, now: Moment) {
        let now = Self::now(now);
        let mut state = self.pool.lock();
        if let Some(owner) = state.guarded_by(&granted.unit) {
            return state.hear_guard(owner, granted, now);
        }
        if let Some(share) = state.share_mut() {
            share.leaving.remove(&granted.unit);
        }
        let Some(at) = state.unit_at(&granted.unit) else { return };
        state.hear_unit(at, granted, now);
        drop(state);
        self.granted.push(at);
    }

    fn correct(&mut self, correction: &Correction, now: Moment) {
        let now = Self::now(now);
        let mut state = self.pool.lock();
        let Some(at) = state.unit_at(&correction.unit) else { return };
        let began = now.tick.minus(Duration::from_millis(correction.began.min(0).unsigned_abs()));
        let limit = Limit { unit: correction.of, span: Span::MINUTE, amount: 0 };
        state.count_more(at, limit, correction.more, began, now);
    }

    fn tighten(&mut self, unit: &UnitId, limits: &Limits, now: Moment) {
        let now = Self::now(now);
        let mut state = self.pool.lock();
        if state.tighten_own(unit, Own::told(limits)) {
            return;
        }
        if let Some(at) = state.unit_at(unit) {
            state.tighten_unit(at, limits, now);
        }
    }

    fn room(&mut self, unit: &UnitId, each: u64, within: Duration, now: Moment) -> u64 {
        let now = Self::now(now);
        let mut state = self.pool.lock();
        let Some((lane, owner)) = state.unit_at(unit) else { return 0 };
        let then = Now { tick: now.tick.plus(within), ..now };
        if state.rests_until((lane, owner), now).is_some_and(|until| until > then.tick) {
            return 0;
        }
        let of_keys = state.room_of_keys((lane, owner), within, now);
        let at = state.at(then, owner);
        let held = &state.lanes[usize::from(lane)];
        let plan = state.plans.plan(held.owners[owner as usize].plan);
        if plan.words() == 0 || of_keys == 0 {
            return of_keys;
        }
        let mut log = held.log_ref(owner, plan.words()).to_vec();
        plan.room_for_requests(&mut log, each, &at).min(of_keys)
    }

    fn is_pending(&self, unit: &UnitId) -> bool {
        let state = self.pool.lock();
        state.unit_at(unit).is_some_and(|at| state.is_pending(at))
    }

    fn give_up(&mut self, unit: &UnitId, now: Moment) -> bool {
        let mut state = self.pool.lock();
        if let Some(owner) = state.guarded_by(unit) {
            return state.under_way(owner) == 0;
        }
        let Some(at) = state.unit_at(unit) else { return true };
        if state.is_pending(at) {
            return false;
        }
        state.let_go(at);
        if let Some(share) = state.share_mut() {
            share.gone.insert(at, now.tick);
        }
        true
    }

    fn lose(&mut self, unit: &UnitId, _: Moment) {
        let mut state = self.pool.lock();
        if let Some(at) = state.unit_at(unit) {
            state.let_go(at);
        }
    }

    fn in_flight(&self, unit: &UnitId, now: Moment) -> Vec<i64> {
        let state = self.pool.lock();
        state.guarded_by(unit).map_or_else(Vec::new, |owner| state.under_way_until(owner, now.tick))
    }

    fn opens(&mut self, unit: &UnitId, now: Moment) -> Option<i64> {
        let now = Self::now(now);
        let mut state = self.pool.lock();
        let (lane, owner) = state.unit_at(unit)?;
        let rests = state.rests_until((lane, owner), now).map(|until| until.min(now.tick.plus(OFFERED_AGAIN)));
        let at = state.at(now, owner);
        let state = &mut *state;
        let held = &mut state.lanes[usize::from(lane)];
        let plan = state.plans.plan(held.owners[owner as usize].plan);
        let full = if plan.words() == 0 { None } else { plan.room(held.log(owner, plan.words()), &LEAST, &at).err() };
        let opens = full.and_then(|full| full.opens.tick(&at)).into_iter().chain(rests).max()?;
        Some(opens.since(now.tick).as_millis() as i64 + 1)
    }

    fn days_of(&mut self, unit: &UnitId, then: Moment) -> (u16, u16) {
        let mut state = self.pool.lock();
        let zone = state.unit_at(unit).map_or(0, |(_, owner)| state.roster.owners[owner as usize].zone());
        let days = state.zones[usize::from(zone)].1.days(then.wall_ms);
        (days.first, days.last)
    }

    fn look(&mut self, unit: &UnitId, marks: &[crate::share::Mark], now: Moment) {
        let mut state = self.pool.lock();
        if let Some(at) = state.unit_at(unit) {
            state.see_days(at, marks, Self::now(now));
        }
    }

    fn dates(&mut self, now: Moment) -> (u16, u16) {
        let mut state = self.pool.lock();
        let days = state.zones[0].1.at(now.tick, now.wall_ms).days;
        (days.first, days.last)
    }
}

impl State {
    fn is_pending(&self, (lane, owner): Unit) -> bool {
        let held = &self.lanes[usize::from(lane)];
        let plan = self.plans.plan(held.owners[owner as usize].plan);
        plan.words() > 0 && plan.is_pending(held.log_ref(owner, plan.words()))
    }
}
