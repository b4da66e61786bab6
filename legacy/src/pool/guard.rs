//! The guard: when many keys fail for good at once, the fault is more likely ours.
//!
//! Disabling pauses while, within 30 s, at least 5 distinct keys and 90 % of those tried failed permanently and none
//! succeeded since the first of them. Those keys are held meanwhile; the first success lets the held verdicts take effect.
//! What went out before the first failure shows nothing: a provider that begins to refuse everybody has just served.

use std::{collections::VecDeque, time::Duration};

use super::{
    event::Event,
    rest::{End, Rest},
    scope::Whom,
    state::{NO_MODEL, State},
};
use crate::{
    time::{Now, Tick},
    verdict::Scope,
};

/// The scopes whose rests without end are held.
const SCOPES: [Scope; 3] = [Scope::Key, Scope::Owner, Scope::BillingAccount];

/// Only failures this recent count.
const SPAN: Duration = Duration::from_secs(30);

/// At least so many keys have to fail for good.
const KEYS: usize = 5;

/// How long a held key rests before it is tried again.
pub(super) const HOLD: Duration = Duration::from_secs(60);

/// At most so many failures are remembered.
const MEMORY: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Guard {
    /// (when, which key, whether for good), oldest first.
    failures: VecDeque<(Tick, u32, bool)>,
    last_success: Option<Tick>,
    /// Keys whose verdict is held.
    held: Vec<u32>,
    /// Whether it was told that verdicts are held.
    told: bool,
}

impl Guard {
    /// A good answer to a request that began then. Returns the keys whose held verdicts now take effect.
    pub(super) fn success(&mut self, began: Tick, now: Tick) -> Vec<u32> {
        self.good(now);
        let first = self.failures.iter().map(|(at, ..)| *at).find(|at| now.since(*at) < SPAN);
        if first.is_some_and(|first| began < first) {
            return Vec::new();
        }
        self.failures.clear();
        self.told = false;
        std::mem::take(&mut self.held)
    }

    /// A good answer, where the guard remembers nothing: see [`Guard::remembers`].
    #[inline]
    pub(super) fn good(&mut self, now: Tick) {
        self.last_success = Some(now);
    }

    /// When the last good answer came.
    pub(super) fn last_success(&self) -> Option<Tick> {
        self.last_success
    }

    /// Whether there is anything that a good answer clears.
    #[inline]
    pub(super) fn remembers(&self) -> bool {
        !(self.failures.is_empty() && self.held.is_empty())
    }

    /// A key failed, but not for good: it counts among those tried.
    pub(super) fn passing(&mut self, now: Tick, slot: u32) {
        self.note(now, slot, false);
    }

    /// A key failed for good. Returns whether its verdict is to be held, and those of all [`Guard::suspects`] with it.
    pub(super) fn permanent(&mut self, now: Tick, slot: u32) -> bool {
        self.note(now, slot, true);
        if self.held.contains(&slot) {
            // Tried again, with no success anywhere since.
            return true;
        }
        let from = now.minus(SPAN);
        let recent = || self.failures.iter().filter(|(at, ..)| *at >= from);
        let mut slots: Vec<u32> = recent().map(|(_, slot, _)| *slot).collect();
        slots.sort_unstable();
        slots.dedup();
        let permanent = recent().filter(|(.., permanent)| *permanent).map(|(_, slot, _)| *slot);
        let mut permanent: Vec<u32> = permanent.collect();
        permanent.sort_unstable();
        permanent.dedup();
        let holds = permanent.len() >= KEYS && permanent.len() * 10 >= slots.len() * 9;
        if holds {
            for slot in permanent {
                if !self.held.contains(&slot) {
                    self.held.push(slot);
                }
            }
        }
        holds
    }

    /// The keys whose verdicts are held.
    pub(super) fn suspects(&self) -> &[u32] {
        &self.held
    }

    /// Whether it is still to be told that verdicts are held. It is told once until a success lets them take effect.
    pub(super) fn is_news(&mut self) -> bool {
        !std::mem::replace(&mut self.told, true)
    }

    /// Evidence took this key's failures back.
    pub(super) fn forget(&mut self, slot: u32) {
        self.held.retain(|held| *held != slot);
        self.told &= !self.held.is_empty();
        self.failures.retain(|(_, held, _)| *held != slot);
    }

    fn note(&mut self, now: Tick, slot: u32, permanent: bool) {
        let from = now.minus(SPAN);
        while self.failures.front().is_some_and(|(at, ..)| *at < from) || self.failures.len() >= MEMORY {
            self.failures.pop_front();
        }
        self.failures.push_back((now, slot, permanent));
    }
}

impl State {
    /// All keys under suspicion rest for a while instead of being disabled. One that was tried again in vain prolongs this for
    /// all of them.
    pub(super) fn hold_suspects(&mut self, now: Now) {
        let suspects = self.guard.suspects().to_vec();
        for slot in &suspects {
            let owner = self.owner_at(*slot);
            for scope in SCOPES {
                let whom = Whom { scope, slot: *slot, owner, lane: NO_MODEL };
                let is_to_hold = |rest: &&mut Rest| (rest.end == End::Never || rest.held) && !rest.by_hand;
                let Some(rest) = self.rest_slot_of(whom).filter(is_to_hold) else { continue };
                if !rest.held {
                    rest.held = true;
                    // It was without end until now, which was told.
                    rest.told = true;
                }
                rest.end = End::At(now.tick.plus(HOLD));
                // A rest without end has its keys stand where nothing would call them when this one is over.
                self.revive(whom);
            }
            self.note_key(*slot, NO_MODEL);
        }
        if self.guard.is_news() {
            self.event(|| Event::Held { keys: suspects.len() });
        }
    }

    /// A good answer shows that the fault is not ours: the verdicts that were held for this key take effect.
    pub(super) fn release_held(&mut self, slot: u32) {
        let owner = self.owner_at(slot);
        for scope in SCOPES {
            let whom = Whom { scope, slot, owner, lane: NO_MODEL };
            let Some(rest) = self.rest_slot_of(whom).filter(|rest| rest.held) else { continue };
            rest.held = false;
            rest.end = End::Never;
            let was_told = std::mem::take(&mut rest.told);
            let (kind, code, advice) = (rest.kind, rest.code.to_string(), rest.advice.to_string());
            self.note_key(slot, NO_MODEL);
            self.lost();
            if !was_told {
                let key = self.roster.keys[slot as usize].id.clone();
                self.event(|| Event::Disabled { key, scope, exit: None, model: None, kind, code, advice });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_from_the_fifth_key_and_lets_go_at_a_success() {
        let mut guard = Guard::default();
        let at = |s| Tick::from_nanos(s * 1_000_000_000);
        for slot in 0..4 {
            assert!(!guard.permanent(at(100 + u64::from(slot)), slot));
        }
        assert!(guard.permanent(at(105), 4));
        assert_eq!(guard.suspects().len(), 5);
        assert_eq!(guard.success(at(99), at(106)).len(), 0, "it went out before any failed");
        assert_eq!(guard.success(at(103), at(106)).len(), 5);
        assert!(guard.suspects().is_empty());
        assert!(!guard.permanent(at(107), 5), "those before a success do not count");
    }

    #[test]
    fn one_key_failing_five_times_is_one_key() {
        let mut guard = Guard::default();
        for n in 0..5 {
            assert!(!guard.permanent(Tick::from_nanos(n), 7));
        }
    }

    #[test]
    fn needs_nine_of_ten() {
        let mut guard = Guard::default();
        let now = Tick::from_nanos(1);
        guard.permanent(now, 0);
        for slot in 1..3 {
            guard.passing(now, slot);
        }
        for slot in 3..8 {
            assert!(!guard.permanent(now, slot));
        }
    }
}
