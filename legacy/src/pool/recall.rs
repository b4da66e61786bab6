//! What the last process left in the store comes back: of a key when it joins, of an owner in a lane when the lane is
//! filled.

use std::{ops::Range, sync::Arc, time::Duration};

use super::{
    health::Health,
    journal::{Journal, Known, RunState},
    lane::Origin,
    mark::{self, Mark},
    rest::{End, Probe, Rest},
    roster::NO_ACCOUNT,
    scope::Whom,
    state::{MAX_LANES, NO_MODEL, SHARED, State},
};
use crate::{
    limit::{Kept, add, date_number},
    store::{Crash, Credit, Image, KeyStanding, RestId, RestRecord, Run, UnitRecord, WindowRecord, secret_hash},
    time::{Now, Tick},
    verdict::Scope,
};

/// A crash this long ago is in no window any more, and on no date that counts: two days.
const FORGOTTEN_MS: i64 = 2 * 86_400_000;
/// So many crashes are told apart.
const CRASHES: usize = 32;

impl Journal {
    /// Begins where the last process ended, or broke off.
    pub(super) fn begin(image: Image, now: Now) -> Self {
        let mut crashes = image.crashes.clone();
        if image.running {
            crashes.push(Crash { epoch: image.epoch, noticed: now.wall_ms() });
        }
        crashes.retain(|crash| now.wall_ms().saturating_sub(crash.noticed) < FORGOTTEN_MS);
        crashes.drain(..crashes.len().saturating_sub(CRASHES));
        let run = RunState { epoch: image.epoch + 1, crashes };
        let mut known = Known::default();
        for (name, unit) in &image.units {
            known.by_lane.entry(unit.lane.clone()).or_default().push(name.clone());
        }
        let rests = image.rests.values().map(|rest| rest.id.clone()).collect();
        known.image = image;
        Self { rests, known, run, ..Self::default() }
    }

    /// What is written before anything is served.
    pub(super) fn opening(&self) -> Run {
        Run::Begun { epoch: self.run.epoch, crashes: self.run.crashes.clone() }
    }

    /// The record of a rest, which is then the pool's own.
    fn take_rest(&mut self, id: &RestId) -> Option<RestRecord> {
        if self.known.image.rests.is_empty() { None } else { self.known.image.rests.remove(&id.name()) }
    }
}

impl State {
    /// A key has joined: its own state, and the rests of its owner and account, are as they were.
    pub(super) fn recall_key(&mut self, slot: u32, now: Now) {
        if self.journal.is_none() {
            return;
        }
        self.part_with_use(slot, now);
        let hash = self.secret_hash(slot);
        let Some(journal) = &mut self.journal else { return };
        *journal.health(slot) =
            Health { hash: Some(Arc::clone(&hash)), since: now.tick, created: now.wall_ms(), ..Health::default() };
        journal.known.by_hash.insert(Arc::clone(&hash), slot);
        if let Some(share) = &mut journal.share {
            share.forget_key(slot);
        }
        self.name_owner(slot);
        let Some(journal) = &mut self.journal else { return };
        let known = journal.known.image.keys.remove(&*hash);
        if let Some(known) = &known {
            let health = journal.health(slot);
            health.last_success = known.last_success;
            health.last_failure = known.last_failure;
            health.consecutive = known.consecutive_failures;
            health.created = known.created;
            health.told = known.last_success.unwrap_or(0);
            let key = &mut self.roster.keys[slot as usize];
            if known.weight > 0.0 && known.weight_now > 0.0 {
                key.adaptive = key.weight * (known.weight_now / known.weight);
            }
            key.ramp = known.ramp;
            if let Some(consumer) = &known.consumer {
                self.group_by(slot, consumer, now);
            }
            if known.state == KeyStanding::Disabled {
                self.disable(slot, &known.reason, now);
            }
        }
        for scope in [Scope::Key, Scope::Owner, Scope::BillingAccount] {
            let owner = self.roster.keys[slot as usize].owner;
            self.recall_rest(Whom { scope, slot, owner, lane: NO_MODEL }, now);
        }
        let weight = self.roster.keys[slot as usize].weight;
        // Written where it is new or another than it was.
        let told = known.as_ref().map(|known| (known.id.clone(), known.state, known.priority, known.owner.clone()));
        let now_told =
            self.key_record(slot, now).map(|record| (record.id, record.state, record.priority, record.owner));
        if told != now_told || known.is_some_and(|known| known.weight.to_bits() != weight.to_bits()) {
            self.note_key(slot, NO_MODEL);
        }
    }

    /// A lane was filled with these owners: what they used of it, and what rests there, is as it was.
    pub(super) fn recall_lane(&mut self, lane: u16, owners: Range<u32>, slots: Range<u32>) {
        let now = self.last_now;
        let Some(journal) = self.journal.as_ref().filter(|journal| journal.settled) else { return };
        let crashed = !journal.run.crashes.is_empty();
        let names = journal.known.by_lane.get(&*self.lanes[usize::from(lane)].name).cloned().unwrap_or_default();
        let mut recalled = vec![false; if crashed { owners.len() } else { 0 }];
        for name in names {
            let Some(journal) = &self.journal else { return };
            let Some(record) = journal.known.image.units.get(&name) else { continue };
            let Some(owner) = self.owner_by_name(&record.owner).filter(|owner| owners.contains(owner)) else {
                continue;
            };
            let Some(record) = self.journal.as_mut().and_then(|journal| journal.known.image.units.remove(&name)) else {
                continue;
            };
            if let Some(done) = recalled.get_mut((owner - owners.start) as usize) {
                *done = true;
            }
            self.recall_unit(lane, owner, record, now);
        }
        if crashed {
            let unseen = owners.clone().zip(recalled).filter(|(_, done)| !done);
            for owner in unseen.map(|(owner, _)| owner).collect::<Vec<_>>() {
                self.recall_unit(lane, owner, UnitRecord::default(), now);
            }
        }
        self.recall_learned(lane, &owners, now);
        if self.journal.as_ref().is_some_and(|journal| journal.known.image.rests.is_empty()) {
            return;
        }
        self.recall_rest(Whom { scope: Scope::Lane, slot: 0, owner: 0, lane }, now);
        for slot in slots.filter(|slot| !self.roster.keys[*slot as usize].removed).collect::<Vec<_>>() {
            let owner = self.roster.keys[slot as usize].owner;
            self.recall_rest(Whom { scope: Scope::KeyLane, slot, owner, lane }, now);
            self.recall_rest(Whom { scope: Scope::OwnerLane, slot, owner, lane }, now);
        }
    }

    /// Lanes that somebody used of late are there again before anybody asks, so that what rests there is seen.
    pub(super) fn reopen_lanes(&mut self, now: Now) {
        let Some(journal) = &self.journal else { return };
        let lately = |ms: i64| now.wall_ms().saturating_sub(ms) < FORGOTTEN_MS;
        let today = crate::limit::date_text(self.zones[0].1.at(now.tick, now.wall_ms()).days.last);
        let used = |window: &WindowRecord| {
            window.moments.last().is_some_and(|(at, _)| lately(*at)) || window.days.iter().any(|(day, _)| *day == today)
        };
        let units = journal.known.image.units.values().filter(|unit| unit.windows.iter().any(used));
        let rests = journal.known.image.rests.values().filter(|rest| rest.ends.is_none_or(lately));
        let mut lanes: Vec<String> = units.map(|unit| unit.lane.clone()).collect();
        lanes.extend(rests.filter_map(|rest| rest.id.lane.clone()));
        lanes.sort_unstable();
        lanes.dedup();
        for name in lanes {
            match &*name {
                "" => drop(self.own_lane(NO_MODEL)),
                "*" => drop(self.own_lane(SHARED)),
                _ if self.lane_of.get(&name).is_some() || self.lanes.len() >= MAX_LANES / 2 => {}
                _ => drop(self.push_lane(name.into(), Origin::Confirmed)),
            }
        }
    }

    /// The ways out rest as they did.
    pub(super) fn recall_exits(&mut self, now: Now) {
        if self.journal.is_none() {
            return;
        }
        for exit in self.roster.exits.numbers() {
            let first = self.roster.slots().find(|slot| self.exit_of(*slot) == exit);
            if let Some(slot) = first {
                self.recall_rest(Whom { scope: Scope::Exit, slot, owner: 0, lane: NO_MODEL }, now);
            }
        }
    }

    /// What a key's state is bound to.
    pub(super) fn secret_hash(&self, slot: u32) -> Arc<str> {
        secret_hash(self.roster.keys[slot as usize].secret.expose()).into()
    }

    pub(super) fn owner_by_name(&self, name: &str) -> Option<u32> {
        let journal = self.journal.as_ref()?;
        if let Some(owner) = journal.share.as_ref().and_then(|share| share.owner_called(name)) {
            return Some(owner);
        }
        match name.strip_prefix("key:").and_then(|hash| journal.known.by_hash.get(hash)) {
            Some(slot) => Some(self.roster.keys[*slot as usize].owner),
            None => self.roster.owner_named(name),
        }
    }

    fn recall_unit(&mut self, lane: u16, owner: u32, record: UnitRecord, now: Now) {
        if !record.learned.is_empty() && !self.settings.fixed_limits {
            self.replan(lane, owner, record.learned.clone(), now);
        }
        let zone = usize::from(self.roster.owners[owner as usize].zone());
        let guard = self.settings.guard;
        let plan = self.plans.plan(self.lanes[usize::from(lane)].owners[owner as usize].plan);
        let Some(journal) = &mut self.journal else { return };
        let mut kept: Vec<Kept> = record.windows.iter().map(|window| as_kept(window, now)).collect();
        if kept.is_empty() {
            let empty = |limit| Kept { limit, moments: Vec::new(), held: 0, dates: Vec::new() };
            kept = plan.limits().map(empty).collect();
        }
        for crash in journal.run.crashes.iter().filter(|crash| crash.epoch >= record.epoch) {
            // What may have been started without a word: no later than when it was noticed.
            let unseen = if crash.epoch == record.epoch { record.credit } else { mark::unwritten(plan) };
            let days = self.zones[zone].1.days(crash.noticed);
            count_unseen(&mut kept, &unseen, tick_at(crash.noticed, now), [days.first, days.last]);
        }
        if plan.words() > 0 {
            let at = crate::limit::At { tick: now.tick, day: self.zones[zone].1.at(now.tick, now.wall_ms()) };
            let held = &mut self.lanes[usize::from(lane)];
            plan.recall(held.log(owner, plan.words()), &kept, guard, &at);
            journal.marks.insert((lane, owner), Mark::first(plan));
        }
        let name: Arc<str> = record.owner.as_str().into();
        if name.is_empty() || journal.names.get(&owner) == Some(&name) {
            return;
        }
        // It is called otherwise by now (another of its keys comes first): its counts move over.
        journal.units_gone.push((record.owner, record.lane));
        self.note_unit(lane, owner);
    }

    fn recall_rest(&mut self, whom: Whom, now: Now) {
        if whom.scope == Scope::BillingAccount && self.roster.owners[whom.owner as usize].account == NO_ACCOUNT {
            return;
        }
        let Some(id) = self.rest_id(whom) else { return };
        let Some(record) = self.journal.as_mut().and_then(|journal| journal.take_rest(&id)) else { return };
        let longest = self.settings.rests.longest;
        let Some(rest) = self.rest_slot(whom).filter(|rest| !rest.by_hand) else { return };
        **rest = as_rest(record, longest, now);
    }

    /// Use that is noted for a slot that another key takes now.
    pub(super) fn part_with_use(&mut self, slot: u32, now: Now) {
        self.post_entries();
        let Some(journal) = &mut self.journal else { return };
        for (lane, used) in journal.used.take_all_of(slot) {
            let used = self.usage_record(slot, lane, used, now);
            if let Some(journal) = &mut self.journal {
                journal.parted_use.extend(used);
            }
        }
    }
}

/// Counts `unseen` in each window at this moment and on these dates.
fn count_unseen(kept: &mut [Kept], unseen: &Credit, at: Tick, dates: [u16; 2]) {
    for kept in kept {
        let amount = unseen.of(kept.limit.unit);
        if kept.limit.span == crate::limit::Span::Day {
            // Just before midnight or just after: on both days.
            let newest = kept.dates.iter().map(|(date, _)| *date).max().unwrap_or(dates[1]);
            let mut all = [dates[0], dates[1], newest].to_vec();
            all.sort_unstable();
            all.dedup();
            for date in all {
                add(&mut kept.dates, date, amount);
            }
        } else {
            kept.moments.push((at, amount));
        }
    }
}

fn as_kept(record: &WindowRecord, now: Now) -> Kept {
    let dates = record.days.iter().filter_map(|(day, count)| Some((date_number(day)?, *count)));
    Kept {
        limit: record.limit,
        moments: record.moments.iter().map(|(at, amount)| (tick_at(*at, now), *amount)).collect(),
        held: record.held,
        dates: dates.collect(),
    }
}

pub(super) fn as_rest(record: RestRecord, longest: Duration, now: Now) -> Rest {
    let end = match record.ends {
        None => End::Never,
        Some(ends) if record.at_midnight => End::Wall(ends),
        // On a clock that is late it lasts no longer than it was meant to.
        Some(ends) if now.wall_ms() < record.since => {
            End::At(now.tick.plus(millis(ends.saturating_sub(record.since)).min(longest)))
        }
        Some(ends) => End::At(tick_at(ends, now).min(now.tick.plus(longest))),
    };
    let probe = record.probe.map(|(at, interval)| {
        let interval = Duration::from_millis(interval);
        // Who is to confirm it comes after a pause that is longer than between two of them.
        let latest = if record.confirming { longest } else { interval };
        Probe { at: tick_at(at, now).min(now.tick.plus(latest)), interval, out: false }
    });
    Rest {
        end,
        since: tick_at(record.since, now).min(now.tick),
        kind: record.kind,
        code: record.code.into(),
        advice: record.advice.into(),
        step: record.step,
        strikes: record.strikes,
        // Of no request that is still known.
        incident: if record.raised { u64::MAX } else { 0 },
        probe,
        confirming: record.confirming,
        held: record.held,
        ..Rest::new(now)
    }
}

/// A time of the wall clock on the monotonic one, as they stand now.
fn tick_at(wall_ms: i64, now: Now) -> Tick {
    Tick::ZERO.plus(millis(wall_ms.saturating_sub(now.ahead_ms)))
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
