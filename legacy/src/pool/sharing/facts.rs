//! Facts: rests, keys switched off, limits that answers told. Whoever learns one tells it, and it acts in every process.
//!
//! One without end is told for a week, and again by those whom it concerns still, each day and whenever they hear that nobody
//! did for half a day: the board forgets the others.

use std::{collections::HashMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::names;
use crate::{
    limit::Limits,
    pool::{
        exits::USUAL,
        recall::as_rest,
        roster::NO_ACCOUNT,
        scope::Whom,
        state::{NO_MODEL, State},
    },
    share::{CONCERNS, NAMED, News, Reply, UnitId},
    store::{Batch, KeyRecord, KeyStanding, RestId, RestRecord},
    time::{Now, Tick},
    verdict::Scope,
};

/// What ends this much later is no news, in milliseconds: messages take a while.
const SAME: i64 = 1_000;
/// What somebody told so long ago may be told once more.
const STALE: Duration = Duration::from_secs(12 * 3600);

/// What this process told or heard, by scope.
pub(super) type Facts = HashMap<String, Known>;

#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) generation: u32,
    /// Until when, by the wall clock; `i64::MAX` without end.
    pub(super) until: i64,
    /// What is said of it.
    pub(super) why: Box<str>,
    /// When somebody said it last.
    said: Tick,
}

/// What is said of a fact.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    Rest(Box<RestRecord>),
    Disabled {
        hash: String,
        reason: String,
        /// Somebody switched it on again: another thing than that nobody said for a week that it is off.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        lifted: bool,
    },
    Learned {
        unit: UnitId,
        limits: Limits,
    },
}

impl Known {
    fn is_endless(&self) -> bool {
        self.until == i64::MAX
    }

    /// Whether the board has forgotten it: whoever says something of that scope begins with the first generation.
    pub(super) fn is_forgotten(&self, now: Now) -> bool {
        self.until.saturating_add(CONCERNS) <= now.wall_ms()
    }
}

impl Said {
    /// Whether it has no end by itself, as long as it is said.
    fn is_endless(&self) -> bool {
        match self {
            Self::Rest(record) => record.ends.is_none(),
            Self::Disabled { lifted, .. } => !lifted,
            Self::Learned { .. } => true,
        }
    }
}

fn of_rest(id: &RestId) -> String {
    format!("rest\n{}", id.name())
}

fn of_key(hash: &str) -> String {
    format!("disabled\n{hash}")
}

/// Whether it does not wait for the next renewal: somebody switched a key off or on.
pub(super) fn presses(news: &News) -> bool {
    matches!(news, News::Rest { scope, .. } if scope.starts_with("disabled\n"))
}

impl State {
    /// Tells other processes what a batch says of rests and keys.
    pub(in crate::pool) fn tell_facts(&mut self, batch: &Batch, now: Now) {
        if self.share().is_none() {
            return;
        }
        let wall = now.wall_ms();
        for rest in &batch.rests {
            let until = rest.ends.unwrap_or(i64::MAX);
            self.tell_fact(of_rest(&rest.id), until, &Said::Rest(Box::new(rest.clone())), now);
        }
        for id in &batch.rests_gone {
            let over = RestRecord { id: id.clone(), ends: Some(wall), ..RestRecord::nothing(id.clone(), wall) };
            self.tell_fact(of_rest(id), wall, &Said::Rest(Box::new(over)), now);
        }
        for key in &batch.keys {
            self.tell_key(key, now);
        }
    }

    fn tell_key(&mut self, key: &KeyRecord, now: Now) {
        if key.state == KeyStanding::Removed {
            // It left this pool. How it stands others know who have it.
            return;
        }
        let disabled = key.state == KeyStanding::Disabled;
        let (hash, reason) = (key.hash.clone(), key.reason.clone());
        let until = if disabled { i64::MAX } else { now.wall_ms() };
        self.tell_fact(of_key(&key.hash), until, &Said::Disabled { hash, reason, lifted: !disabled }, now);
    }

    /// Of one generation the latest end holds; what ends earlier than was told is a lift, and begins another.
    pub(super) fn tell_fact(&mut self, scope: String, until: i64, said: &Said, now: Now) {
        let Some(share) = self.share_mut() else { return };
        let wall = now.wall_ms();
        let known = share.facts.get(&scope);
        let lifted = known.is_some_and(|known| known.until > wall + SAME && until <= wall);
        let longer = until > wall && known.is_none_or(|known| until > known.until.saturating_add(SAME));
        if !(lifted || longer) {
            return;
        }
        let generation = known.map_or(0, |known| known.generation) + u32::from(lifted);
        let why = serde_json::to_string(said).unwrap_or_default();
        let endless = until == i64::MAX;
        let known = Known { generation, until, why: why.as_str().into(), said: now.tick };
        share.facts.insert(scope.clone(), known);
        let until = if endless { NAMED } else { until - wall };
        share.news.push(News::Rest { scope, until, generation, why });
        self.ring();
    }

    /// What has no end is told again where nobody did of late, as long as its key or owner is here.
    pub(super) fn tell_facts_still(&mut self, now: Now) {
        let Some(share) = self.share_mut() else { return };
        share.facts.retain(|_, known| !known.is_forgotten(now));
        let stale = |known: &Known| known.is_endless() && now.tick.since(known.said) >= STALE;
        let endless = share.facts.iter().filter(|(_, known)| stale(known)).map(|(scope, _)| scope.clone()).collect();
        self.tell_known(endless, now);
    }

    /// The board lost what it knew: it is told all that is known, and so is the store beside it.
    pub(super) fn tell_facts_again(&mut self, now: Now) {
        let Some(share) = self.share_mut() else { return };
        share.facts.retain(|_, known| !known.is_forgotten(now));
        // What was lifted, too: the board may have become what it was before that.
        let all = share.facts.keys().cloned().collect();
        self.tell_known(all, now);
        // A board's own store takes what is written to it; nobody asks how often it began.
        let _ = self.note_everything();
        // Whether a request comes or not.
        self.news();
    }

    fn tell_known(&mut self, scopes: Vec<String>, now: Now) {
        for scope in scopes {
            let Some(why) = self.share().and_then(|share| Some(share.facts.get(&scope)?.why.clone())) else { continue };
            if !serde_json::from_str(&why).is_ok_and(|said| self.concerns(&said)) {
                continue;
            }
            let Some(share) = self.share_mut() else { return };
            let Some(known) = share.facts.get_mut(&scope) else { continue };
            known.said = now.tick;
            let until = if known.is_endless() { NAMED } else { known.until.saturating_sub(now.wall_ms()) };
            let generation = known.generation;
            share.news.push(News::Rest { scope, until, generation, why: why.into() });
        }
    }

    /// Whether it is about a key or an owner of this pool.
    fn concerns(&self, said: &Said) -> bool {
        match said {
            // Whether or not this process has asked for its lane.
            Said::Rest(record) => match record.id.scope {
                Scope::Key | Scope::KeyLane => self.has_key(&record.id.whom),
                Scope::Owner | Scope::OwnerLane => self.owner_by_name(&record.id.whom).is_some(),
                Scope::Lane | Scope::Exit => true,
                Scope::BillingAccount | Scope::Caller => self.whom(&record.id).is_some(),
            },
            Said::Disabled { hash, .. } => self.has_key(hash),
            Said::Learned { unit, .. } => {
                unit.as_str().split_once('\n').is_some_and(|(_, owner)| self.owner_by_name(owner).is_some())
            }
        }
    }

    fn has_key(&self, hash: &str) -> bool {
        self.slot_by_hash(hash).is_some_and(|slot| !self.roster.keys[slot as usize].removed)
    }

    /// Goes by what others told.
    pub(super) fn apply_facts(&mut self, reply: &Reply, now: Now) {
        for (scope, fact) in &reply.facts {
            if names::Said::read(scope, 0, "").is_some() {
                self.hear_age(fact.until, now);
                continue;
            }
            // What a later version says in another way is its own affair.
            let said = serde_json::from_str::<Said>(&fact.why).ok();
            if fact.until <= 0 && said.as_ref().is_some_and(Said::is_endless) {
                // It was not said again, by whoever might have: nobody lifted it.
                continue;
            }
            let endless = fact.until == i64::MAX || (fact.until > 0 && said.as_ref().is_some_and(Said::is_endless));
            // However short a life is, what has not been said for long is said again in it.
            let said_at = if endless { self.hear_age(fact.until, now) } else { now.tick };
            let until = if endless { i64::MAX } else { now.wall_ms().saturating_add(fact.until) };
            let Some(share) = self.share_mut() else { return };
            if let Some(known) = share.facts.get_mut(scope).filter(|known| !known.is_forgotten(now))
                && (fact.generation, until.saturating_sub(SAME)) <= (known.generation, known.until)
            {
                if fact.generation == known.generation && endless {
                    known.said = known.said.max(said_at);
                }
                continue;
            }
            let known = Known { generation: fact.generation, until, why: fact.why.as_str().into(), said: said_at };
            share.facts.insert(scope.clone(), known);
            if let Some(said) = said {
                self.apply_fact(said, until, now);
            }
        }
    }

    /// When somebody said last what has no end and the board keeps for so long still. Where that is long ago, this process says
    /// all that it knows at once.
    pub(super) fn hear_age(&mut self, left: i64, now: Now) -> Tick {
        let age = if left == i64::MAX { 0 } else { NAMED.saturating_sub(left).max(0).unsigned_abs() };
        let age = Duration::from_millis(age);
        if age >= STALE
            && let Some(share) = self.share_mut()
        {
            share.names.overdue = true;
        }
        now.tick.minus(age)
    }

    fn apply_fact(&mut self, said: Said, until: i64, now: Now) {
        match said {
            Said::Rest(record) => self.apply_rest(*record, until, now),
            Said::Disabled { hash, reason, .. } => {
                let Some(slot) = self.slot_by_hash(&hash) else { return };
                let by_hand = self.roster.keys[slot as usize].rest.as_ref().is_some_and(|rest| rest.by_hand);
                match (until == i64::MAX, by_hand) {
                    (true, false) => self.disable(slot, &reason, now),
                    (false, true) => self.lift_key(slot, now),
                    _ => {}
                }
            }
            Said::Learned { unit, limits } => self.apply_learned(&unit, limits, now),
        }
    }

    pub(super) fn apply_rest(&mut self, mut record: RestRecord, until: i64, now: Now) {
        let over = until <= now.wall_ms();
        record.ends = (until != i64::MAX).then_some(until);
        record.since = now.wall_ms();
        let Some(whom) = self.whom(&record.id) else {
            // Its lane or key is not here yet.
            if let Some(journal) = self.journal.as_mut().filter(|_| !over) {
                journal.known.image.rests.insert(record.id.name(), record);
            }
            return;
        };
        let held = self.rest_slot_of(whom).map(|rest| (rest.by_hand, rest.is_active(now), rest.end.tick(now)));
        let (by_hand, active, end) = held.unwrap_or((false, false, now.tick));
        if by_hand {
            return;
        }
        if over {
            if active {
                self.lift(whom, now);
            }
            return;
        }
        let longest = self.settings.rests.longest;
        let kind = record.kind;
        let rest = as_rest(record, longest, now);
        if active && rest.end.tick(now) <= end {
            return;
        }
        if until == i64::MAX {
            self.lost();
        }
        if let Some(place) = self.rest_slot(whom) {
            let lifted_at = place.lifted_at;
            **place = rest;
            place.lifted_at = lifted_at;
        }
        // As where it happened.
        self.ramp_after(whom, kind);
    }

    pub(super) fn slot_by_hash(&self, hash: &str) -> Option<u32> {
        self.journal.as_ref()?.known.by_hash.get(hash).copied()
    }

    /// Whom a rest of another process concerns here.
    fn whom(&self, id: &RestId) -> Option<Whom> {
        let lane = match &id.lane {
            None => NO_MODEL,
            Some(name) if name.is_empty() => NO_MODEL,
            Some(name) if name == "*" => crate::pool::state::SHARED,
            Some(name) => self.lane_of.get(name)?,
        };
        let slot = match id.scope {
            Scope::Key | Scope::KeyLane => self.slot_by_hash(&id.whom)?,
            Scope::Owner | Scope::OwnerLane => {
                let owner = self.owner_by_name(&id.whom)?;
                self.roster.slots().find(|slot| self.roster.keys[*slot as usize].owner == owner)?
            }
            Scope::BillingAccount => self.roster.slots().find(|slot| {
                let owner = self.roster.keys[*slot as usize].owner;
                let account = self.roster.owners[owner as usize].account;
                account != NO_ACCOUNT && *self.roster.accounts[account as usize].name == *id.whom
            })?,
            Scope::Lane => self.roster.slots().next()?,
            Scope::Exit => {
                let exit = if id.whom.is_empty() { USUAL } else { self.roster.exits.find(&id.whom)? };
                // What was met at another machine's address says nothing of this one's.
                self.exit_told(exit)?;
                self.roster.slots().find(|slot| self.exit_of(*slot) == exit)?
            }
            Scope::Caller => return None,
        };
        Some(Whom { scope: id.scope, slot, owner: self.roster.keys[slot as usize].owner, lane })
    }
}

impl RestRecord {
    /// No rest, of this scope.
    fn nothing(id: RestId, wall: i64) -> Self {
        Self {
            id,
            kind: crate::verdict::VerdictKind::Unjudged,
            code: String::new(),
            advice: String::new(),
            since: wall,
            ends: None,
            at_midnight: false,
            step: 0,
            strikes: 0,
            probe: None,
            confirming: false,
            held: false,
            raised: false,
        }
    }
}
