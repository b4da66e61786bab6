//! What changed, as records: gathered from the state, a bounded part under each taking of the mutex.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use super::{
    journal::Unit,
    lane::Origin,
    recorded::{rest_record, wall, window_record},
    rest::End,
    roster::NO_ACCOUNT,
    scope::Whom,
    state::{NO_MODEL, State},
    uses::Used,
};
use crate::{
    limit::{At, Limits, Plan},
    share::{Noted, Started, UnitId},
    store::{Batch, Credit, KeyRecord, KeyStanding, RestId, Run, StartedRecord, UnitRecord, UsageRecord},
    time::Now,
    verdict::Scope,
};

/// So much is gathered under one taking of the mutex.
const PIECE: usize = 64;

/// What is still to be looked at, and what was.
#[derive(Default)]
pub(super) struct Look {
    units: Vec<Unit>,
    /// As the journal had them, to be lined up outside of the mutex.
    noted_keys: HashSet<(u32, u16)>,
    touched: Vec<(u32, u16)>,
    used: Vec<Unit>,
    usage: Vec<UsageRecord>,
    seen: Vec<Unit>,
    /// What was copied under the mutex, to be made records of outside of it.
    raw_units: Vec<RawUnit>,
    started: Vec<StartedRecord>,
    noted: Vec<Noted>,
    /// Nothing pressed, nor does anybody wait for the write.
    routine: bool,
    plans: HashMap<u16, Plan>,
    /// Two keys of one owner say the same of it.
    rests: HashSet<RestId>,
}

/// An owner in a lane, as it stood.
struct RawUnit {
    owner: Arc<str>,
    lane: Arc<str>,
    plan: u16,
    log: Vec<u16>,
    at: At,
    credit: Credit,
    learned: Limits,
    epoch: u64,
    /// Under which name and number it is held, where several processes share owners.
    held: Option<(UnitId, u64)>,
}

/// What is to be written of an owner in a lane.
enum Seen {
    Whole(RawUnit),
    Started(StartedRecord),
    /// The same where several processes share owners.
    Noted(Noted),
}

impl Look {
    /// Puts what was noted in line; the mutex is free.
    pub(super) fn line_up(&mut self) {
        self.touched.extend(std::mem::take(&mut self.noted_keys));
        // As they lie in memory.
        self.units.sort_unstable();
        self.used.sort_unstable();
        self.started.reserve(self.units.len());
        self.seen.reserve(self.units.len());
        self.usage.reserve(self.used.len());
    }

    /// Makes records of what was copied; the mutex is free.
    pub(super) fn spell_out(&mut self, batch: &mut Batch) {
        batch.routine = self.routine && !batch.keys.is_empty();
        for mut raw in self.raw_units.drain(..) {
            let Some(plan) = self.plans.get(&raw.plan) else { continue };
            if let Some((unit, fence)) = raw.held {
                let counts = plan.tell(&mut raw.log, &raw.at);
                let ahead = raw.credit.as_spent();
                batch.notes.get_or_insert_default().units.push(Noted { unit, fence, counts, started: None, ahead });
                continue;
            }
            let ahead_ms = raw.at.day.wall_ms - raw.at.tick.millis() as i64;
            let now = Now { tick: raw.at.tick, ahead_ms };
            let kept = plan.keep(&mut raw.log, &raw.at);
            batch.units.push(UnitRecord {
                owner: raw.owner.to_string(),
                lane: raw.lane.to_string(),
                epoch: raw.epoch,
                windows: kept.into_iter().map(|kept| window_record(kept, now)).collect(),
                credit: raw.credit,
                learned: raw.learned,
                lost: None,
            });
        }
        batch.started.append(&mut self.started);
        if !self.noted.is_empty() {
            batch.notes.get_or_insert_default().units.append(&mut self.noted);
        }
        batch.usage.append(&mut self.usage);
    }
}

impl State {
    /// Takes what is noted; what is noted from here on is for the next look. Its number, too.
    pub(super) fn begin_gathering(&mut self, batch: &mut Batch) -> (Look, u64) {
        self.post_entries();
        if self.journal.as_ref().is_some_and(|journal| journal.flushing || journal.ending) {
            self.note_weights();
        }
        let Some(journal) = &mut self.journal else { return (Look::default(), 0) };
        let routine = !(journal.flushing || journal.urgent || journal.ending);
        (journal.flushing, journal.urgent) = (false, false);
        journal.short = false;
        journal.looks += 1;
        batch.units_gone.append(&mut journal.units_gone);
        batch.quota_models.append(&mut journal.followers);
        batch.imports.append(&mut journal.imports);
        if journal.share.is_some() {
            batch.units_gone.clear();
        }
        batch.rests_gone.append(&mut journal.rests_gone);
        batch.keys.append(&mut journal.parted);
        batch.usage.append(&mut journal.parted_use);
        batch.run = journal.ending.then_some(Run::Ended);
        let look = Look {
            units: std::mem::take(&mut journal.units),
            noted_keys: std::mem::take(&mut journal.touched),
            used: journal.used.list(),
            routine,
            ..Look::default()
        };
        (look, journal.looks)
    }

    /// Looks at the next few; whether that was all.
    pub(super) fn gather_some(&mut self, look: &mut Look, batch: &mut Batch, now: Now) -> bool {
        for unit in look.units.drain(look.units.len().saturating_sub(PIECE)..) {
            match self.look_at(unit, &mut look.plans, now) {
                Some(Seen::Whole(raw)) => look.raw_units.push(raw),
                Some(Seen::Started(record)) => look.started.push(record),
                Some(Seen::Noted(noted)) => look.noted.push(noted),
                None => continue,
            }
            look.seen.push(unit);
        }
        for (slot, lane) in look.touched.drain(look.touched.len().saturating_sub(PIECE)..) {
            self.gather_key(slot, lane, &mut look.rests, batch, now);
        }
        for unit in look.used.drain(look.used.len().saturating_sub(PIECE)..) {
            let used = self.journal.as_mut().and_then(|journal| journal.used.take(unit));
            look.usage.extend(used.and_then(|used| self.usage_record(unit.1, unit.0, used, now)));
        }
        look.units.is_empty() && look.touched.is_empty() && look.used.is_empty()
    }

    /// What was gathered is kept by the store: marks rise, a few at a time; whether those were all.
    pub(super) fn kept(&mut self, look: &mut Look, now: Now) -> bool {
        let mut short = HashSet::new();
        for unit in look.seen.drain(look.seen.len().saturating_sub(PIECE)..) {
            let Some(owner) = self.lanes[usize::from(unit.0)].owners.get(unit.1 as usize).copied() else { continue };
            let plan = self.plans.plan(owner.plan);
            let Some(journal) = &mut self.journal else { return true };
            let Some(mark) = journal.marks.get_mut(unit) else { continue };
            let (was_short, lavish) = mark.written(plan);
            if lavish {
                // It falls again when the owner is quiet.
                journal.note_unit(unit);
            }
            if was_short {
                short.insert(unit);
            }
        }
        if !short.is_empty() {
            let owners: HashSet<u32> = short.iter().map(|unit| unit.1).collect();
            let of_them = |slot: &u32| owners.contains(&self.roster.keys[*slot as usize].owner);
            for slot in self.roster.slots().filter(of_them).collect::<Vec<_>>() {
                self.revive_key(slot);
            }
            self.serve(now);
        }
        look.seen.is_empty()
    }

    fn look_at(&mut self, unit: Unit, plans: &mut HashMap<u16, Plan>, now: Now) -> Option<Seen> {
        let (lane, owner) = unit;
        let at = self.at(now, owner);
        let granted = self.seq;
        let held = &mut self.lanes[usize::from(lane)];
        let number = held.owners.get(owner as usize)?.plan;
        let plan = self.plans.plan(number);
        let journal = self.journal.as_mut()?;
        let lent = match &journal.share {
            Some(share) => Some(share.fence(unit)?),
            None => None,
        };
        let mark = journal.marks.get_mut(unit)?;
        // Nothing is written of one that has none yet.
        let name = journal.names.get(&owner)?;
        let epoch = journal.run.epoch;
        // What has not begun yet counts for as long as it has not: only the log can say that.
        let whole = !journal.takes_started || plan.holds_any(held.log_ref(owner, plan.words()));
        let part = mark.part(granted, whole, now.tick);
        let credit = mark.write(plan);
        if let (Some(amounts), Some((unit, fence))) = (part, &lent) {
            let dates = (at.day.days.first, at.day.days.last);
            let started = Some(Started { spent: amounts.as_spent(), dates });
            let (unit, fence) = (unit.clone(), *fence);
            return Some(Seen::Noted(Noted { unit, fence, counts: Vec::new(), started, ahead: credit.as_spent() }));
        }
        let name = Arc::clone(name);
        if let Some(amounts) = part {
            let days = (journal.date(at.day.days.first), journal.date(at.day.days.last));
            let (lane, at) = (Arc::clone(&held.name), wall(now.tick, now));
            return Some(Seen::Started(StartedRecord { owner: name, lane, epoch, at, days, amounts, credit }));
        }
        plans.entry(number).or_insert_with(|| plan.clone());
        Some(Seen::Whole(RawUnit {
            owner: name,
            lane: Arc::clone(&held.name),
            plan: number,
            log: held.log_ref(owner, plan.words()).to_vec(),
            at,
            credit,
            learned: self.plans.sources(number).learned.clone(),
            epoch,
            held: lent,
        }))
    }

    /// The key's own record, and the rests that cover it in this lane.
    fn gather_key(&mut self, slot: u32, lane: u16, seen: &mut HashSet<RestId>, batch: &mut Batch, now: Now) {
        let Some(key) = self.roster.keys.get(slot as usize) else { return };
        // Of one that left the record says so already; what rests still does.
        if !key.removed {
            batch.keys.extend(self.key_record(slot, now));
        }
        let owner = self.roster.keys[slot as usize].owner;
        let lane = if self.lanes[usize::from(lane)].origin == Origin::Free { NO_MODEL } else { lane };
        for scope in [
            Scope::Key,
            Scope::Owner,
            Scope::BillingAccount,
            Scope::KeyLane,
            Scope::OwnerLane,
            Scope::Lane,
            Scope::Exit,
        ] {
            let whom = Whom { scope, slot, owner, lane };
            // Mostly nothing rests, nor did the store hear of anything that does.
            let nothing_known = self.journal.as_ref().is_none_or(|journal| journal.rests.is_empty());
            if nothing_known && self.rest_slot_of(whom).is_none() {
                continue;
            }
            let Some(id) = self.rest_id(whom) else { continue };
            if seen.contains(&id) {
                continue;
            }
            let record = self.rest_slot_of(whom).and_then(|rest| rest_record(rest, &id, now));
            let Some(journal) = &mut self.journal else { return };
            match record {
                Some(record) => {
                    journal.rests.insert(id.clone());
                    batch.rests.push(record);
                }
                None if journal.rests.remove(&id) => batch.rests_gone.push(id.clone()),
                None => {}
            }
            seen.insert(id);
        }
    }

    /// What a rest is called in the store.
    pub(super) fn rest_id(&self, whom: Whom) -> Option<RestId> {
        let journal = self.journal.as_ref()?;
        let owner = || journal.names.get(&whom.owner).map(ToString::to_string);
        let key = || journal.health.get(whom.slot as usize)?.hash.as_ref().map(ToString::to_string);
        let name = match whom.scope {
            Scope::Key | Scope::KeyLane => key()?,
            Scope::Owner | Scope::OwnerLane => owner()?,
            Scope::BillingAccount => match self.roster.owners[whom.owner as usize].account {
                NO_ACCOUNT => return None,
                account => self.roster.accounts[account as usize].name.to_string(),
            },
            Scope::Lane => String::new(),
            Scope::Exit => self.exit_told(self.exit_of(whom.slot))?.map_or_else(String::new, |exit| exit.to_string()),
            Scope::Caller => return None,
        };
        let bound = matches!(whom.scope, Scope::KeyLane | Scope::OwnerLane | Scope::Lane);
        let lane = bound.then(|| self.lanes[usize::from(whom.lane)].name.to_string());
        Some(RestId { scope: whom.scope, whom: name, lane })
    }

    pub(super) fn key_record(&mut self, slot: u32, now: Now) -> Option<KeyRecord> {
        let key = &self.roster.keys[slot as usize];
        let owner = self.roster.owners[key.owner as usize].extra.as_deref();
        let health = self.journal.as_mut()?.health(slot);
        health.told = now.wall_ms();
        health.told_weight = Some(key.adaptive);
        let rest = key.rest.as_deref().filter(|rest| rest.is_active(now));
        let (state, reason) = match rest {
            Some(rest) if rest.by_hand => (KeyStanding::Disabled, rest.code.to_string()),
            Some(rest) if rest.end == End::Never => (KeyStanding::Faulty, rest.code.to_string()),
            _ => (KeyStanding::Active, String::new()),
        };
        let extra = key.extra.as_deref();
        Some(KeyRecord {
            hash: health.hash.as_ref()?.to_string(),
            id: key.id.to_string(),
            tier: extra.and_then(|extra| extra.tier.as_ref()).map(|tier| tier.name().to_owned()),
            priority: key.priority,
            weight: key.weight,
            weight_now: key.adaptive,
            ramp: key.ramp,
            owner: owner.and_then(|owner| owner.name.as_ref()).map(ToString::to_string),
            consumer: owner.and_then(|owner| owner.consumer.as_ref()).map(ToString::to_string),
            source: extra.and_then(|extra| extra.labels.get("source").cloned()),
            state,
            reason,
            last_success: health.last_success,
            last_failure: health.last_failure,
            consecutive_failures: health.consecutive,
            created: health.created,
            ..KeyRecord::default()
        })
    }

    /// A key's use of a lane, as it comes to today's.
    pub(super) fn usage_record(&mut self, slot: u32, lane: u16, used: Used, now: Now) -> Option<UsageRecord> {
        let owner = self.roster.keys.get(slot as usize)?.owner;
        let day = self.at(now, owner).day.days.last;
        let id = &self.roster.keys[slot as usize].id;
        let journal = self.journal.as_mut()?;
        let day = journal.date(day);
        let health = journal.health.get_mut(slot as usize)?;
        let shown = match &health.shown {
            Some((known, shown)) if known == id => Arc::clone(shown),
            _ => Arc::clone(&health.shown.insert((id.clone(), id.to_string().into())).1),
        };
        Some(UsageRecord {
            day,
            key: Arc::clone(health.hash.as_ref()?),
            id: shown,
            lane: Arc::clone(&self.lanes[usize::from(lane)].name),
            requests: used.requests,
            input_tokens: used.input_tokens,
            output_tokens: used.output_tokens,
            errors: used.errors,
            last_success: used.last_success,
        })
    }
}
