//! Doubt: answers that are not held against a key. The same unclear one from two owners within one request speaks of the
//! request; many keys failing for good at once speak of us (the guard).

use super::{
    event::Event,
    guard::HOLD,
    judge::{ADAPT_CEILING, ADAPT_DOWN},
    rest::End,
    scope::Whom,
    seats::SeatCell,
    state::{NO_MODEL, State},
};
use crate::{
    time::Now,
    verdict::{Scope, Verdict},
};

impl State {
    /// The same unclear verdict from keys of two owners within one request speaks of the request or the model: the
    /// first's rest is given back, and this one's is not taken.
    pub(super) fn spoken_by_two(&mut self, cell: &SeatCell, verdict: &Verdict, now: Now) -> bool {
        let mut spoken = false;
        for attempt in cell.earlier.as_deref().unwrap_or_default() {
            if attempt.named || attempt.kind != verdict.kind() {
                continue;
            }
            let Some(slot) = self.roster.slot_of(&attempt.key) else { continue };
            let owner = self.roster.keys[slot as usize].owner;
            if owner != cell.owner {
                spoken = true;
                self.give_back(slot, owner, cell.lane, attempt.seq, now);
            }
        }
        spoken
    }

    /// Takes back what one incident did to a key's and its owner's rests.
    pub(super) fn give_back(&mut self, slot: u32, owner: u32, lane: u16, seq: u64, now: Now) {
        for scope in [Scope::Key, Scope::KeyLane, Scope::Owner, Scope::OwnerLane, Scope::BillingAccount] {
            let whom = Whom { scope, slot, owner, lane };
            let Some(rest) = self.rest_slot_of(whom) else { continue };
            if rest.incident != seq {
                continue;
            }
            let Some(before) = rest.before.take() else { continue };
            rest.end = before.end;
            rest.step = before.step;
            rest.strikes = before.strikes;
            rest.probe = None;
            rest.held = false;
            rest.confirming = false;
            let over = !rest.is_active(now);
            let key = &mut self.roster.keys[slot as usize];
            key.adaptive = (key.adaptive / ADAPT_DOWN).min(key.weight * ADAPT_CEILING);
            key.ramp = before.ramp;
            if over {
                self.revive(whom);
            }
            self.note_key(slot, lane);
        }
    }

    /// All keys under suspicion rest for a while instead of being disabled.
    pub(super) fn hold_suspects(&mut self, now: Now) {
        let suspects = self.guard.suspects().to_vec();
        for slot in &suspects {
            let key = &mut self.roster.keys[*slot as usize];
            let owner = key.owner;
            for rest in [&mut key.rest, &mut self.roster.owners[owner as usize].rest] {
                if let Some(rest) = rest.as_mut().filter(|rest| rest.end == End::Never && !rest.by_hand) {
                    rest.held = true;
                    rest.end = End::At(now.tick.plus(HOLD));
                }
            }
            self.note_key(*slot, NO_MODEL);
        }
        self.event(|| Event::Held { keys: suspects.len() });
    }

    /// The way out is good: what was held takes effect.
    pub(super) fn release_held(&mut self, slot: u32, now: Now) {
        let owner = self.roster.keys[slot as usize].owner;
        for scope in [Scope::Key, Scope::Owner] {
            let whom = Whom { scope, slot, owner, lane: NO_MODEL };
            let Some(rest) = self.rest_slot_of(whom).filter(|rest| rest.held) else { continue };
            rest.held = false;
            rest.end = End::Never;
            self.note_key(slot, NO_MODEL);
            let Some(rest) = self.rest_slot_of(whom) else { continue };
            let (kind, code, advice) = (rest.kind, rest.code.clone().into_owned(), rest.advice.clone().into_owned());
            let key = self.roster.keys[slot as usize].id.clone();
            self.event(|| Event::Disabled { key, scope, kind, code, advice });
        }
        let _ = now;
    }
}
