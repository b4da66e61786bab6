//! What must hold of a run's pool, beside what each operation checks itself.

use proptest::{prelude::*, test_runner::TestCaseError};

use super::{
    described::{CONCURRENT, KEYS, id, key_of},
    schedule::Run,
};
use crate::{
    Demand, Scope, Tick,
    pool::{check::Check, roster::NO_ACCOUNT},
};

impl Run {
    /// No key of the first priority is passed over that could have carried it.
    pub(super) fn none_was_ready(&self, demand: &Demand) -> Result<(), TestCaseError> {
        let now = self.pool.clock().now();
        let mut state = self.pool.lock();
        let ask = state.ask(demand, now);
        let wanted = state.wanted(&demand.affinity);
        for key in (0..4).filter(|key| self.present[*key]) {
            let slot = state.roster.slot_of(&id(key)).expect("a key of this test");
            let asked_for = !self.must || wanted.contains(&slot);
            let ready = asked_for && matches!(state.check(&ask, slot), Check::Ready(_));
            prop_assert!(!ready, "key-{} was passed over", key);
        }
        Ok(())
    }

    /// Law 7: no key of an earlier priority could have carried it, or is waited for.
    pub(super) fn law_7(&self, key: usize, model: &str, tokens: u64) -> Result<(), TestCaseError> {
        if key < 4 {
            return Ok(());
        }
        let now = self.pool.clock().now();
        let demand = Demand::new(model).tokens(tokens);
        let mut state = self.pool.lock();
        let ask = state.ask(&demand, now);
        for earlier in (0..4).filter(|earlier| self.present[*earlier]) {
            let slot = state.roster.slot_of(&id(earlier)).expect("a key of this test");
            prop_assert_eq!(state.roster.owners[state.roster.keys[slot as usize].owner as usize].account, NO_ACCOUNT);
            let check = state.check(&ask, slot);
            let waited_for = matches!(check, Check::Ready(_) | Check::Busy(..));
            // A demand for this very key (MustKey) has no other to wait for.
            prop_assert!(
                !waited_for || self.must,
                "law 7: key-{} is {:?}, yet key-{} of a later priority serves",
                earlier,
                check,
                key
            );
        }
        Ok(())
    }

    /// Until when the pool itself holds the scope to rest.
    pub(super) fn rest_end(&self, scope: Scope, key: usize, lane: &str) -> Option<Tick> {
        let view = self.pool.snapshot();
        let found = view.keys.iter().find(|held| held.id == id(key))?;
        let of_lane = |model: Option<&str>| model.is_none_or(|model| model == lane);
        let rest = found.rests.iter().find(|rest| rest.scope == scope && of_lane(rest.model.as_deref()))?;
        Some(rest.ends_in.map_or(Tick::NEVER, |ends_in| self.now().plus(ends_in)))
    }

    /// What a fault may not change: everything about every key but its counts.
    pub(super) fn standing(&self) -> Vec<String> {
        let snapshot = self.pool.snapshot();
        snapshot
            .keys
            .iter()
            .map(|key| format!("{} {:?} {:?} {} {:?}", key.id, key.state, key.rests, key.current_weight, key.lanes))
            .collect()
    }

    pub(super) fn law_2(&self) -> Result<(), TestCaseError> {
        let mut counts = [0u16; KEYS];
        for held in &self.held {
            counts[key_of(held.lease.key_id())] += 1;
        }
        for (key, count) in counts.iter().enumerate() {
            prop_assert!(*count <= CONCURRENT, "law 2: {} requests in flight on key-{}", count, key);
        }
        prop_assert_eq!(self.pool.snapshot().in_flight, self.held.len(), "law 4");
        Ok(())
    }
}
