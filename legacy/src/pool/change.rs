//! Changes of the keys while the pool runs.

use std::fmt;

use futures_core::Stream;

use super::{
    KeyPool,
    cell::Place,
    configured::by_lane_names,
    event::Event,
    lane::Origin,
    roster::{Added, RAMP_STEPS},
    state::{NO_MODEL, State},
    trace::MERGED,
};
use crate::{
    error::KeyError,
    key::{Key, KeyId, Priority, Secret},
    limit::{MIDNIGHT_GUARD, Zone},
    time::Now,
};

/// One change of a pool's keys, as a vault or a database would send it.
#[derive(Clone)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "there are few at a time")]
pub enum KeyChange {
    /// A new key.
    Add(Key),
    /// A key goes: no further request goes out with it.
    Remove(KeyId),
    /// A new secret for the same key; its state stays.
    Replace(KeyId, String),
    /// Switched off until it is enabled, and why.
    Disable(KeyId, String),
    /// Every rest is lifted.
    Enable(KeyId),
    /// Another share of the load.
    Weight(KeyId, f32),
    /// Another place in the order.
    Priority(KeyId, Priority),
}

impl fmt::Debug for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Add(key) => f.debug_tuple("Add").field(key).finish(),
            Self::Remove(id) => f.debug_tuple("Remove").field(id).finish(),
            Self::Replace(id, _) => f.debug_tuple("Replace").field(id).field(&format_args!("***")).finish(),
            Self::Disable(id, reason) => f.debug_tuple("Disable").field(id).field(reason).finish(),
            Self::Enable(id) => f.debug_tuple("Enable").field(id).finish(),
            Self::Weight(id, weight) => f.debug_tuple("Weight").field(id).field(weight).finish(),
            Self::Priority(id, priority) => f.debug_tuple("Priority").field(id).field(priority).finish(),
        }
    }
}

impl KeyPool {
    /// Adds a key. A secret that the pool holds already is merged with it; the id says which key it is.
    ///
    /// It is a key of this pool, for as long as the pool lives. A [store](crate::store) keeps what the key did and how it
    /// stands, and finds that again by the secret, but not the secret itself: a program brings its keys along at each
    /// start, and whether and how a secret lies on a disk is nothing that a pool decides. What is to be a key of every
    /// process on a store, and of the next start, is put into its book: `edit_keys` of `Sqlite` or of the Redis store.
    ///
    /// # Errors
    /// When the key cannot be taken: see [`KeyError`].
    pub fn add(&self, key: Key) -> Result<KeyId, KeyError> {
        let (key, now) = (self.cleared_key(key), self.0.clock.now());
        self.lock().add(None, key, now, true)
    }

    /// The same, but a secret that the pool holds already is left as it is. Says whether the key is new.
    #[cfg(feature = "config")]
    pub(crate) fn add_unless_known(&self, key: Key) -> Result<(KeyId, bool), KeyError> {
        let secret = self.0.provider.prepare(&key.secret).map_err(|source| KeyError::Secret { key: None, source })?;
        let (key, now) = (self.cleared_key(key), self.0.clock.now());
        let mut state = self.lock();
        match state.roster.slot_of_secret(&secret) {
            Some(slot) => Ok((state.roster.keys[slot as usize].id.clone(), false)),
            None => state.add(None, key, now, true).map(|id| (id, true)),
        }
    }

    /// What became of a key file, for the store's history. `import` is asked only where there is a store; it is told the
    /// time, in Unix milliseconds.
    #[cfg(feature = "config")]
    pub(crate) fn note_import(&self, import: impl FnOnce(i64) -> crate::store::ImportRecord) {
        let time = self.0.clock.now().wall_ms();
        let mut state = self.lock();
        if state.journal.is_some() {
            state.note_import(import(time));
        }
    }

    /// Removes a key. Requests that are under way with it end as they will.
    ///
    /// It leaves this pool alone, as one that is [added](Self::add) or [replaced](Self::replace) does not join others that
    /// share its [store](crate::store): each program makes its own changes ([`follow`](Self::follow)), and a key that is
    /// gone already would be unknown to it. In all of them within two seconds acts what is [switched
    /// off](Self::disable) and on, and what is done to the store's book, in each program that goes by that (asks `key_news`
    /// or `key_book` twice a second, as `keypool serve` does).
    ///
    /// # Errors
    /// [`KeyError::UnknownId`].
    pub fn remove(&self, id: &KeyId) -> Result<(), KeyError> {
        self.change(id, |state, slot, now| {
            state.remove(slot, now);
            Ok(())
        })
    }

    /// Gives a key a new secret; id, counts and rests stay. A key that was disabled for its secret is enabled.
    ///
    /// # Errors
    /// [`KeyError::UnknownId`], or a secret that cannot be sent or that another key has.
    pub fn replace(&self, id: &KeyId, secret: &str) -> Result<(), KeyError> {
        self.change(id, |state, slot, now| state.replace(slot, secret, now))
    }

    /// Switches a key off until it is enabled. `reason` is shown, with every key of the pool in it [overwritten](Self::masked).
    ///
    /// # Errors
    /// [`KeyError::UnknownId`].
    pub fn disable(&self, id: &KeyId, reason: &str) -> Result<(), KeyError> {
        let reason = self.masked(reason);
        self.change(id, |state, slot, now| {
            state.disable(slot, &reason, now);
            Ok(())
        })
    }

    /// Lifts every rest of a key, its owner and its exit, and those of models that are out without end whoever asks. Forgets the
    /// limits that answers named for its owner: an upgraded account is not held to its old ones. Late answers to requests from
    /// before do not bring rests back, but for used-up days and faults without end.
    ///
    /// # Errors
    /// [`KeyError::UnknownId`].
    pub fn enable(&self, id: &KeyId) -> Result<(), KeyError> {
        self.change(id, |state, slot, now| {
            state.enable(slot, now);
            state.lift_exit(state.exit_of(slot), now);
            Ok(())
        })
    }

    /// Changes a key's share of the load: above 0, finite.
    ///
    /// # Errors
    /// [`KeyError::UnknownId`], [`KeyError::Weight`].
    pub fn set_weight(&self, id: &KeyId, weight: f32) -> Result<(), KeyError> {
        if !(weight > 0.0 && weight.is_finite()) {
            return Err(KeyError::Weight { id: id.clone(), weight });
        }
        self.change(id, |state, slot, _| {
            state.reweigh(slot, weight);
            state.reenter(slot);
            Ok(())
        })
    }

    /// Changes a key's place in the order.
    ///
    /// # Errors
    /// [`KeyError::UnknownId`].
    pub fn set_priority(&self, id: &KeyId, priority: Priority) -> Result<(), KeyError> {
        self.change(id, |state, slot, _| {
            state.reorder(slot, priority.0);
            state.reenter(slot);
            Ok(())
        })
    }

    /// Takes one change.
    ///
    /// # Errors
    /// What the change's own method says.
    pub fn apply(&self, change: KeyChange) -> Result<(), KeyError> {
        match change {
            KeyChange::Add(key) => self.add(key).map(drop),
            KeyChange::Remove(id) => self.remove(&id),
            KeyChange::Replace(id, secret) => self.replace(&id, &secret),
            KeyChange::Disable(id, reason) => self.disable(&id, &reason),
            KeyChange::Enable(id) => self.enable(&id),
            KeyChange::Weight(id, weight) => self.set_weight(&id, weight),
            KeyChange::Priority(id, priority) => self.set_priority(&id, priority),
        }
    }

    /// Takes changes from a stream (a vault, a database) until it ends. A change that cannot be taken is logged and
    /// passed over, so that the others still arrive.
    pub async fn follow(&self, changes: impl Stream<Item = KeyChange>) {
        let mut changes = std::pin::pin!(changes);
        while let Some(change) = std::future::poll_fn(|cx| changes.as_mut().poll_next(cx)).await {
            if let Err(error) = self.apply(change) {
                tracing::warn!(name: "keypool.change_refused", %error, "a change of the keys was not taken");
            }
        }
    }

    fn change(
        &self,
        id: &KeyId,
        change: impl FnOnce(&mut State, u32, Now) -> Result<(), KeyError>,
    ) -> Result<(), KeyError> {
        let now = self.0.clock.now();
        let mut state = self.lock();
        let slot = state.roster.slot_of(id).ok_or_else(|| KeyError::UnknownId(id.clone()))?;
        let changed = change(&mut state, slot, now);
        state.serve(now);
        changed
    }
}

impl State {
    /// Takes a key in. `number` is its place among those given, for the error. `late`: while the pool runs. No other
    /// key stands in what it is disabled for.
    pub(super) fn add(&mut self, number: Option<usize>, key: Key, now: Now, late: bool) -> Result<KeyId, KeyError> {
        let key = by_lane_names(&*self.provider, key);
        let zone = match &key.zone {
            Some(name) => self.zone(name).ok_or_else(|| KeyError::Zone { id: key.key_id(), zone: key.masked(name) })?,
            None => 0,
        };
        let (priority, disabled) = (key.priority.0, key.disabled.as_deref().map(|reason| key.masked(reason)));
        self.expect_tokens_of(&key);
        let provider = std::sync::Arc::clone(&self.provider);
        let (slot, change) = match self.roster.add(number, key, zone, &*provider)? {
            Added::Merged { slot } => {
                self.merged(slot);
                (slot, MERGED)
            }
            Added::Back { slot, id, key } => {
                self.take_back(slot, id, &key, zone, now)?;
                (slot, "added")
            }
            Added::New { slot, recycled } => {
                self.open_priority(priority);
                if recycled {
                    self.reset_owner(self.roster.keys[slot as usize].owner);
                }
                self.recall_key(slot, now);
                if let Some(reason) = disabled {
                    self.disable(slot, &reason, now);
                }
                if late {
                    let busy = self.seats.out() > 0;
                    self.roster.keys[slot as usize].ramp = if busy { RAMP_STEPS } else { 0 };
                    self.join_lanes(slot);
                    let used = self.roster.used_before(slot);
                    self.count_former(slot, used, now);
                    self.serve(now);
                }
                (slot, "added")
            }
        };
        let id = self.roster.keys[slot as usize].id.clone();
        let key = id.clone();
        if change != MERGED {
            self.event(|| Event::Roster { key, change });
        }
        // Told whoever listens.
        self.events.append(&mut self.roster.news);
        Ok(id)
    }

    /// A secret that was given more than once is one key.
    pub(super) fn merged(&mut self, slot: u32) {
        if !self.roster.merged.contains(&slot) {
            self.roster.merged.push(slot);
        }
        let key = self.roster.keys[slot as usize].id.clone();
        self.events.push(Event::Roster { key, change: MERGED });
    }

    /// The number of a zone; `None` when the tz database does not know it.
    pub(super) fn zone(&mut self, name: &str) -> Option<u8> {
        if let Some(at) = self.zones.iter().position(|(known, _)| known == name) {
            return Some(at as u8);
        }
        let zone = jiff::tz::TimeZone::get(name).ok()?;
        let number = u8::try_from(self.zones.len()).ok()?;
        let mut zone = Zone::new(zone, MIDNIGHT_GUARD);
        zone.keep(self.plans.kept());
        self.zones.push((name.to_owned(), zone));
        // Its midnight may be the next one.
        for lane in &mut self.lanes {
            lane.timers.turn_at(0);
        }
        Some(number)
    }

    /// An owner's place goes to somebody else: nothing that was counted or learned there is theirs.
    fn reset_owner(&mut self, owner: u32) {
        self.forget_owner(owner);
        for at in 0..self.lanes.len() as u16 {
            let lane = &mut self.lanes[usize::from(at)];
            let Some(held) = lane.owners.get(owner as usize).copied() else { continue };
            lane.extras.remove(&owner);
            lane.aside.forget(owner);
            lane.unlimited.take(owner);
            lane.spare_log(held.log, self.plans.plan(held.plan).words());
            let plan = self.plan_for(at, owner, crate::limit::Limits::new());
            let lane = &mut self.lanes[usize::from(at)];
            let log = lane.new_log(self.plans.plan(plan).words());
            lane.owners[owner as usize] = super::lane::LaneOwner::of(plan, log);
        }
    }

    fn join_lanes(&mut self, slot: u32) {
        for lane in 0..self.lanes.len() as u16 {
            let held = &self.lanes[usize::from(lane)];
            if held.origin == Origin::Free || held.asleep {
                continue;
            }
            // A slot that was used before has its cell already.
            if (slot as usize) < self.lanes[usize::from(lane)].cells.len() {
                self.fill_lane(lane);
                self.lanes[usize::from(lane)].cells[slot as usize] = super::cell::LaneCell::default();
                self.enter(lane, slot);
            } else {
                self.fill_lane(lane);
            }
            let owner = self.roster.keys[slot as usize].owner;
            self.replan_kept(lane, owner);
        }
    }

    pub(super) fn leave_lanes(&mut self, slot: u32) {
        let group = self.group(self.roster.keys[slot as usize].priority);
        for lane in &mut self.lanes {
            if lane.cells.get(slot as usize).is_some_and(|cell| cell.place() != Place::Out) {
                lane.take_out(slot, group);
            }
        }
        self.roster.keys[slot as usize].parked = 0;
    }

    /// Looked at afresh everywhere, as it is by now.
    pub(super) fn join_again(&mut self, slot: u32) {
        self.note_key(slot, NO_MODEL);
        self.leave_lanes(slot);
        self.revive_key(slot);
    }

    fn reenter(&mut self, slot: u32) {
        self.join_again(slot);
        let key = self.roster.keys[slot as usize].id.clone();
        self.event(|| Event::Roster { key, change: "reweighted" });
    }

    pub(super) fn replace(&mut self, slot: u32, secret: &str, now: Now) -> Result<(), KeyError> {
        let secret = self.provider.prepare(secret).map_err(|source| KeyError::Secret { key: None, source })?;
        if let Some(other) = self.roster.slot_of_secret(&secret) {
            if other == slot {
                return Ok(());
            }
            let [id, other] = [slot, other].map(|slot| self.roster.keys[slot as usize].id.clone());
            return Err(KeyError::DuplicateSecret { id, other });
        }
        self.roster.check_secret(None, &secret)?;
        self.note_parted(slot, now);
        let parted = self.roster.disown(&secret);
        self.change_secret(slot, secret, now);
        let former = self.roster.used_before(slot);
        self.count_former(slot, former, now);
        self.count_former(slot, parted, now);
        let key = self.roster.keys[slot as usize].id.clone();
        self.event(|| Event::Roster { key, change: "replaced" });
        Ok(())
    }

    /// What is known of the old secret is kept elsewhere.
    pub(super) fn change_secret(&mut self, slot: u32, secret: Secret, now: Now) {
        self.roster.replace(slot, secret);
        self.note_replaced(slot);
        self.roster.keys[slot as usize].extra.get_or_insert_default().replaced_at = self.seq;
        let invalid = |rest: &super::rest::Rest| rest.kind == crate::verdict::VerdictKind::InvalidKey && !rest.by_hand;
        if self.roster.keys[slot as usize].rest.as_ref().is_some_and(|rest| invalid(rest)) {
            self.lift_key(slot, now);
        }
    }
}
