//! By hand: a key is switched off, and on again.

use std::borrow::Cow;

use super::{
    event::Event,
    rest::End,
    scope::Whom,
    state::{NO_MODEL, State},
};
use crate::{
    time::Now,
    verdict::{Scope, VerdictKind},
};

impl State {
    /// Switches a key off until it is switched on.
    pub(super) fn disable(&mut self, slot: u32, reason: &str, now: Now) {
        let owner = self.roster.keys[slot as usize].owner;
        let whom = Whom { scope: Scope::Key, slot, owner, lane: NO_MODEL };
        let rest = self.rest_slot(whom).expect("a key has a place for a rest");
        let is_news = !rest.by_hand || rest.end != End::Never || rest.code != reason;
        rest.by_hand = true;
        rest.end = End::Never;
        rest.since = now.tick;
        rest.code = Cow::Owned(reason.to_owned());
        rest.probe = None;
        rest.before = None;
        rest.held = false;
        self.guard.forget(slot);
        self.note_key(slot, NO_MODEL);
        self.lost();
        if !is_news {
            return;
        }
        let (key, code) = (self.roster.keys[slot as usize].id.clone(), reason.to_owned());
        self.event(|| Event::Disabled {
            key,
            scope: Scope::Key,
            exit: None,
            model: None,
            kind: VerdictKind::Unjudged,
            code,
            advice: "Switched off by hand: enable the key to use it again.".to_owned(),
        });
    }

    /// Lifts a key's own rest.
    pub(super) fn lift_key(&mut self, slot: u32, now: Now) {
        let owner = self.roster.keys[slot as usize].owner;
        self.lift(Whom { scope: Scope::Key, slot, owner, lane: NO_MODEL }, now);
    }

    /// Lifts every rest of a key and of its owner, and lets it serve again.
    pub(super) fn enable(&mut self, slot: u32, now: Now) {
        let owner = self.roster.keys[slot as usize].owner;
        for lane in 0..self.lanes.len() as u16 {
            for scope in [Scope::KeyLane, Scope::OwnerLane] {
                let whom = Whom { scope, slot, owner, lane };
                if (owner as usize) < self.lanes[usize::from(lane)].owners.len() && self.rest_slot_of(whom).is_some() {
                    self.lift(whom, now);
                }
            }
        }
        self.lift_lanes(slot, owner, now);
        self.open_tier_everywhere(owner);
        self.unlearn(owner, now);
        for scope in [Scope::Key, Scope::Owner, Scope::BillingAccount] {
            let whom = Whom { scope, slot, owner, lane: NO_MODEL };
            if self.rest_slot_of(whom).is_some() {
                self.lift(whom, now);
            }
        }
        self.roster.keys[slot as usize].extra.get_or_insert_default().lifted_at = self.seq + 1;
        // What its owner may do again its other keys may do, too.
        self.revive_owner(owner);
        self.guard.forget(slot);
        self.recovered(Whom { scope: Scope::Key, slot, owner, lane: NO_MODEL });
        self.serve(now);
    }

    /// Lanes that are out without end, whoever asks, have no other hand that lifts them.
    fn lift_lanes(&mut self, slot: u32, owner: u32, now: Now) {
        for lane in 0..self.lanes.len() as u16 {
            if self.lanes[usize::from(lane)].rest.as_ref().is_some_and(|rest| rest.end == End::Never) {
                let whom = Whom { scope: Scope::Lane, slot, owner, lane };
                self.lift(whom, now);
                self.recovered(whom);
            }
        }
    }
}
