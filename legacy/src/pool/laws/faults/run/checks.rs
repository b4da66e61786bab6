//! What must hold of a grant, of a refusal, and of a verdict.

use std::time::Duration;

use proptest::{prelude::*, test_runner::TestCaseError};

use super::{CONCURRENT, KEYS, MODELS, Run, id};
use crate::{
    Affinity, Demand, Lease, Scope, Spill, Until, Verdict,
    limit::{Span, Unit},
    pool::{check::Check, rest::End, roster::NO_ACCOUNT},
};

impl Run {
    /// Nothing that covers the key rests, but what this very request probes; and of each there is one probe.
    pub(super) fn law_1(&self, lease: &Lease, model: usize) -> Result<(), TestCaseError> {
        let now = self.pool.clock().now();
        let state = self.pool.lock();
        let slot = state.roster.slot_of(lease.key_id()).expect("a key of this test");
        let probes: Vec<Scope> = state.seats.get(lease.granted().seat).expect("it is out").probes.iter().collect();
        let lane = state.lane_of.get(MODELS[model]).expect("it was asked for");
        prop_assert!(!state.all_rest(lane, now), "law 1: the way out or the lane rests");
        for (rest, scope) in state.rests(lane, slot) {
            let Some(rest) = rest.filter(|rest| rest.is_active(now)) else { continue };
            prop_assert!(probes.contains(&scope), "law 1: {:?} rests: {:?}", scope, rest);
            prop_assert!(rest.probe.is_some_and(|probe| probe.out), "law 1: a second probe of {:?}", scope);
            let others = self.held.iter().filter(|held| {
                let theirs = state.roster.slot_of(held.lease.key_id()) == Some(slot);
                let cell = state.seats.get(held.lease.granted().seat).expect("it is out");
                // One of an earlier rest, which ended with its day, is no probe of this one.
                let unjudged = !held.judged && held.lifts == self.lifts && cell.began.tick >= rest.since;
                theirs && scope == Scope::Key && unjudged && cell.probes.iter().any(|probed| probed == scope)
            });
            prop_assert_eq!(others.count(), 0, "law 1: two probes of {:?} are out", scope);
        }
        self.told.check(&state, slot, MODELS[model], &probes, now.tick)
    }

    /// What the owner started in the last minute is within what the pool knows of its limits.
    pub(super) fn law_3(&self, key: usize, model: usize) -> Result<(), TestCaseError> {
        let now = self.now();
        let owner_of = |key: usize| {
            let state = self.pool.lock();
            let slot = state.roster.slot_of(&id(key)).expect("a key of this test");
            state.roster.keys[slot as usize].owner
        };
        let owner = owner_of(key);
        let of_owner: Vec<bool> = (0..KEYS).map(|key| owner_of(key) == owner).collect();
        let recent = self.starts.values().filter(|start| {
            let counts = start.at.is_none_or(|at| now.since(at) <= Duration::from_secs(60));
            start.model == model && of_owner[start.key] && counts
        });
        let (count, tokens) = recent.fold((0, 0), |(count, sum), start| (count + 1, sum + start.tokens));
        let snapshot = self.pool.snapshot();
        let lanes = &snapshot.keys.iter().find(|view| view.id == id(key)).expect("a key of this test").lanes;
        // What started in the other lane before its limit was learned is not known.
        let limits = lanes.iter().filter(|lane| model == 0 && lane.model.as_deref() == Some(MODELS[model]));
        for view in limits.flat_map(|lane| &lane.limits).filter(|view| view.limit.span == Span::MINUTE) {
            let used = if view.limit.unit == Unit::Requests { count } else { tokens };
            prop_assert!(used <= view.limit.amount, "law 3: {} of {} in a minute by {}", used, view.limit, id(key));
        }
        Ok(())
    }

    /// A key of the later priority serves only where the rule opens it.
    pub(super) fn law_7(&self, key: usize, checks: &[(Check, bool)]) -> Result<(), TestCaseError> {
        prop_assert!(!self.patient, "law 7: key-{} serves a demand that does not wait", key);
        for (earlier, (check, barred)) in checks.iter().enumerate().take(4).filter(|(_, (_, barred))| !barred) {
            let waited_for = match self.spill {
                Spill::Any => matches!(check, Check::Ready(_)),
                Spill::Limits => matches!(check, Check::Ready(_) | Check::Busy(..)),
            };
            prop_assert!(!waited_for, "law 7: key-{} is {:?} ({}), yet key-{} serves", earlier, check, barred, key);
        }
        Ok(())
    }

    /// No key was passed over that could have carried it.
    pub(super) fn none_was_ready(
        &self,
        demand: &Demand,
        checks: &[(Check, bool)],
        affinity: &Affinity,
    ) -> Result<(), TestCaseError> {
        let now = self.pool.clock().now();
        let mut state = self.pool.lock();
        let lane = state.lane(demand.model.as_ref());
        if state.all_rest(lane, now) {
            return Ok(());
        }
        drop(state);
        let ready = |key: &usize| matches!(checks[*key], (Check::Ready(_), false));
        let passed_over = if let Affinity::MustKey(wanted) = affinity {
            (0..KEYS).find(|key| id(*key) == *wanted && ready(key))
        } else {
            let busy = checks[..4].iter().any(|(check, barred)| !barred && matches!(check, Check::Busy(..)));
            let opens = !self.patient && (self.spill == Spill::Any || !busy);
            (0..if opens { KEYS } else { 4 }).find(ready)
        };
        prop_assert!(passed_over.is_none(), "{:?} was passed over", passed_over);
        Ok(())
    }

    /// A fault that nobody doubts rests whom it concerns, at once.
    pub(super) fn rests_now(&self, key: usize, model: usize, verdict: &Verdict) -> Result<(), TestCaseError> {
        let now = self.pool.clock().now();
        let state = self.pool.lock();
        let slot = state.roster.slot_of(&id(key)).expect("a key of this test");
        let lane = state.lane_of.get(MODELS[model]).expect("it was asked for");
        let scope = match verdict.scope_of() {
            Scope::Lane => {
                prop_assert!(state.all_rest(lane, now), "law 1: {:?} rests nobody", verdict);
                return Ok(());
            }
            Scope::BillingAccount
                if state.roster.owners[state.roster.keys[slot as usize].owner as usize].account == NO_ACCOUNT =>
            {
                Scope::Owner
            }
            scope => scope,
        };
        let rests = state.rests(lane, slot);
        let rest = rests.into_iter().find(|(_, of)| *of == scope).and_then(|(rest, _)| rest);
        let rest = rest.filter(|rest| rest.is_active(now));
        prop_assert!(rest.is_some(), "law 1: {:?} of key-{} does not rest for {:?}", scope, key, verdict);
        if let (Some(rest), Until::For(pause)) = (rest, verdict.until_of()) {
            let longer = rest.held || rest.end == End::Never || rest.end.tick(now) >= now.tick.plus(pause);
            prop_assert!(longer, "law 1: {:?} rests less than {:?}", rest, pause);
        }
        Ok(())
    }

    pub(super) fn counts(&self) -> Result<(), TestCaseError> {
        for key in 0..KEYS {
            let out = self.held.iter().filter(|held| *held.lease.key_id() == id(key)).count();
            prop_assert!(out <= usize::from(CONCURRENT), "law 2: {} requests in flight on key-{}", out, key);
        }
        prop_assert_eq!(self.pool.snapshot().in_flight, self.held.len(), "law 4");
        Ok(())
    }
}
