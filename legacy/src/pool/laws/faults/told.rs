//! What the pool told of rests: the oracle of law 1. Whoever was told to rest serves no request until the time is over, it
//! was told to serve again, or somebody lifted it by hand; but for the one probe of what rests without end.

use std::collections::HashMap;

use proptest::{prelude::*, test_runner::TestCaseError};

use crate::{
    Event, Events, Scope, Tick,
    pool::{roster::NO_ACCOUNT, state::State},
};

/// Whom a rest concerns, and in which lane.
type Place = (Scope, u32, String);

pub(super) struct Told {
    events: Events,
    rests: HashMap<Place, Tick>,
}

/// The number that a scope of this key has.
fn of(state: &State, scope: Scope, slot: u32) -> u32 {
    let owner = state.roster.keys[slot as usize].owner;
    match scope {
        Scope::Key | Scope::KeyLane => slot,
        Scope::Owner | Scope::OwnerLane => owner,
        Scope::BillingAccount => match state.roster.owners[owner as usize].account {
            // It stands for the owner then.
            NO_ACCOUNT => NO_ACCOUNT - 1 - owner,
            account => account,
        },
        Scope::Exit => state.exit_of(slot).into(),
        _ => 0,
    }
}

impl Told {
    pub(super) fn new(events: Events) -> Self {
        Self { events, rests: HashMap::new() }
    }

    /// Reads what was told since. Owners that became one take nothing with them that is held against the pool.
    pub(super) fn hear(&mut self, state: &State, now: Tick) -> Vec<String> {
        let mut heard = Vec::new();
        while let Some(event) = self.events.try_next() {
            let event = event.expect("none is lost");
            heard.push(format!("{event:?}"));
            let mut rests = |key: &crate::KeyId, scope, model: &Option<std::sync::Arc<str>>, until: Option<Tick>| {
                let Some(slot) = state.roster.slot_of(key) else { return };
                let place = (scope, of(state, scope, slot), model.as_deref().unwrap_or_default().to_owned());
                match until {
                    Some(until) => {
                        let held = self.rests.entry(place).or_insert(until);
                        *held = (*held).max(until);
                    }
                    None => drop(self.rests.remove(&place)),
                }
            };
            match &event {
                Event::Rested { key, scope, model, rest, .. } => rests(key, *scope, model, Some(now.plus(*rest))),
                Event::Disabled { key, scope, model, .. } => rests(key, *scope, model, Some(Tick::NEVER)),
                Event::Recovered { key, scope, model, .. } => rests(key, *scope, model, None),
                Event::Grouped { .. } => {
                    self.rests.retain(|(scope, ..), _| matches!(scope, Scope::Key | Scope::KeyLane));
                }
                _ => {}
            }
        }
        heard
    }

    /// Somebody lifted all that rests of this key, its owner, its account and its exit.
    pub(super) fn lifted(&mut self, state: &State, slot: u32) {
        let of_key = |scope| of(state, scope, slot);
        self.rests.retain(|(scope, whom, _), _| *scope == Scope::Lane || of_key(*scope) != *whom);
    }

    /// Law 1: a key that is granted rests in no scope that was told of.
    pub(super) fn check(
        &self,
        state: &State,
        slot: u32,
        model: &str,
        probes: &[Scope],
        now: Tick,
    ) -> Result<(), TestCaseError> {
        for ((scope, whom, lane), until) in &self.rests {
            let covers = *whom == of(state, *scope, slot) && (lane.is_empty() || lane == model);
            // A fault that is held is tried again before it is known whose it is.
            let held = |scope: &Scope| {
                let lane = state.lane_of.get(model).unwrap_or_default();
                let rests = state.rests(lane, slot);
                rests.into_iter().any(|(rest, of)| of == *scope && rest.is_some_and(|rest| rest.held))
            };
            if !covers || *until <= now || probes.contains(scope) || held(scope) {
                continue;
            }
            prop_assert!(
                false,
                "law 1: slot {} is granted, though {:?} rests until {:?}, now {:?}",
                slot,
                scope,
                until,
                now
            );
        }
        Ok(())
    }
}
