//! The look at a key or lane that a snapshot is made of.

use std::{sync::Arc, time::Duration};

use super::{
    Demand, KeyLaneView, KeyState, KeyView, LaneLimitView, LaneView, LimitView, OutReason, RestView,
    ask::Ask,
    check::{Check, reason_of},
    lane::Origin,
    rank::Strategy,
    rest::{End, Rest},
    roster::UNBOUNDED,
    state::{NO_MODEL, State},
};
use crate::{
    time::Now,
    verdict::{Scope, VerdictKind},
};

/// A rest as it is shown; none once it is over.
pub(super) fn view(rest: &Rest, scope: Scope, model: Option<Arc<str>>, now: Now) -> Option<RestView> {
    if !rest.is_active(now) {
        return None;
    }
    let ends_in = (rest.end != End::Never).then(|| rest.lasts_until(now).since(now.tick));
    Some(RestView {
        scope,
        model,
        kind: if rest.by_hand { VerdictKind::Unjudged } else { rest.kind },
        code: rest.code.clone().into_owned(),
        advice: rest.advice.clone().into_owned(),
        ends_in,
        probe_in: rest.probe.map(|probe| probe.at.since(now.tick)),
        held: rest.held,
    })
}

impl State {
    /// Whether a key may be used, over all these lanes. Adds to the keys that each lane has available, and what there
    /// is to say of each lane to `views`, where they are wanted.
    pub(super) fn key_state(
        &mut self,
        slot: u32,
        lanes: &[u16],
        available: &mut [usize],
        mut views: Option<&mut Vec<KeyLaneView>>,
        now: Now,
    ) -> KeyState {
        let (mut ready, mut busy, mut resting, mut out) = (0, 0, 0, 0);
        for lane in lanes {
            let check = self.check_plain(*lane, slot, now);
            // The pool's own lanes say nothing until they are used, but where there are no others.
            let unused = *lane <= super::state::SHARED && self.lanes[usize::from(*lane)].started == 0;
            let silent = unused && (*lane == super::state::SHARED || lanes.len() > 2);
            match check {
                Check::Ready(_) => available[usize::from(*lane)] += 1,
                _ if silent => {}
                // It may be had as soon as it is wanted, as far as anybody knows.
                Check::Out(OutReason::HeldElsewhere) if self.may_be_asked(*lane) => available[usize::from(*lane)] += 1,
                Check::Busy(..) | Check::Out(OutReason::HeldElsewhere | OutReason::StoreUnreachable) => busy += 1,
                // It may be probed some time, but comes back by that alone.
                Check::Until(_, reason) if reason.is_disabled() => out += 1,
                Check::Until(..) | Check::NotThis(..) => resting += 1,
                Check::Out(_) => out += 1,
            }
            if silent {
                continue;
            }
            let asked = check == Check::Out(OutReason::HeldElsewhere) && self.may_be_asked(*lane);
            ready += usize::from(asked || matches!(check, Check::Ready(_)));
            if let Some(views) = views.as_deref_mut() {
                views.extend(self.key_lane_view(*lane, slot, check, now));
            }
        }
        match (ready, busy, resting, out) {
            (_, 0, 0, 0) => KeyState::Ready,
            (1.., ..) => KeyState::Partly,
            (0, 1.., ..) => KeyState::Busy,
            (0, 0, 1.., _) => KeyState::Resting,
            _ => KeyState::Disabled,
        }
    }

    fn key_lane_view(&mut self, lane: u16, slot: u32, check: Check, now: Now) -> Option<KeyLaneView> {
        let (reason, at) = match check {
            Check::Ready(_) => (None, None),
            Check::Until(at, reason) => (Some(reason), Some(at)),
            Check::Busy(at, reason) | Check::NotThis(at, reason) => (Some(reason), at),
            Check::Out(reason) => (Some(reason), None),
        };
        let limits = self.limit_views(lane, slot, now);
        (lane != NO_MODEL || reason.is_some() || !limits.is_empty()).then(|| KeyLaneView {
            model: self.lane_name(lane),
            out: reason.map(|reason: OutReason| reason.to_string()),
            ready_in: at.map(|at| at.since(now.tick)),
            limits,
        })
    }

    pub(super) fn key_view(
        &self,
        slot: u32,
        lanes: &[u16],
        state: KeyState,
        views: Vec<KeyLaneView>,
        now: Now,
    ) -> KeyView {
        let rests = self.rest_views(slot, lanes, now);
        let total = self.tally.started.max(1);
        let key = &self.roster.keys[slot as usize];
        let judged = key.succeeded + key.failed + key.limited;
        let extra = key.extra.as_deref();
        let learned = if self.settings.strategy == Strategy::Adaptive { key.adaptive } else { key.weight };
        KeyView {
            id: key.id.clone(),
            owner: self.roster.owner_name(key.owner),
            priority: key.priority,
            weight: key.weight,
            current_weight: learned * key.ramp_factor(),
            share: f64::from(key.started) / total as f64,
            tier: extra.and_then(|extra| extra.tier.clone()),
            exit: self.roster.exits.name(key.secret.exit()),
            labels: extra.map(|extra| extra.labels.clone()).unwrap_or_default(),
            state,
            in_flight: key.in_flight,
            max_concurrent: (key.max_concurrent != UNBOUNDED).then_some(key.max_concurrent),
            started: key.started,
            succeeded: key.succeeded,
            failed: key.failed,
            limit_hits: key.limited,
            error_rate: f64::from(key.failed) / f64::from(judged.max(1)),
            rests,
            lanes: views,
        }
    }

    pub(super) fn check_plain(&mut self, lane: u16, slot: u32, now: Now) -> Check {
        // A lane that nobody has used counts nothing.
        let demand = Demand { free: self.lanes[usize::from(lane)].asleep, ..Demand::any_model() };
        let ask = State::ask_in(lane, &demand, now);
        let check = match self.check(&ask, slot) {
            // It is kept for one who waits: what keeps it from that one is what there is to say of the key.
            kept @ Check::NotThis(_, OutReason::Queued) => match self.check(&Ask { ticket: 0, ..ask }, slot) {
                Check::Ready(_) => kept,
                check => check,
            },
            check => check,
        };
        // What rests may have no room either by then.
        let check = match check {
            Check::Until(at, reason) if !demand.free && !reason.is_disabled() => {
                Check::Until(self.earliest(&ask, slot).map_or(at, |earliest| earliest.max(at)), reason)
            }
            check => check,
        };
        match (check, self.rest_of_all(lane, Duration::ZERO, now)) {
            // It will not come back with the others.
            (Check::Out(_), _) | (_, None) => check,
            (Check::Until(_, reason), _) if reason.is_disabled() => check,
            (Check::Until(at, _), Some(rest)) if at >= rest.wakes(now) => check,
            (_, Some(rest)) => Check::Until(rest.wakes(now), reason_of(rest)),
        }
    }

    pub(super) fn limit_views(&mut self, lane: u16, slot: u32, now: Now) -> Vec<LimitView> {
        let owner = self.roster.keys[slot as usize].owner;
        let at = self.at(now, owner);
        let lane = &mut self.lanes[usize::from(lane)];
        if lane.asleep {
            return Vec::new();
        }
        let number = lane.owners[owner as usize].plan;
        let (plan, sources) = (self.plans.plan(number), self.plans.sources(number));
        let used = plan.used(lane.log(owner, plan.words()), &at);
        used.map(|(limit, used)| LimitView { limit, used, source: sources.source(limit) }).collect()
    }

    pub(super) fn rest_views(&self, slot: u32, lanes: &[u16], now: Now) -> Vec<RestView> {
        let key = &self.roster.keys[slot as usize];
        let owner = &self.roster.owners[key.owner as usize];
        let account = self.roster.accounts.get(owner.account as usize);
        let mut views: Vec<RestView> = [
            (key.rest.as_deref(), Scope::Key),
            (owner.rest.as_deref(), Scope::Owner),
            (account.and_then(|account| account.rest.as_deref()), Scope::BillingAccount),
        ]
        .into_iter()
        .filter_map(|(rest, scope)| view(rest?, scope, None, now))
        .collect();
        for lane in lanes {
            let held = &self.lanes[usize::from(*lane)];
            let key_lane = held.key_rests.get(&slot).and_then(Option::as_deref);
            let owner_lane = held.extra_of(key.owner).and_then(|extra| extra.rest.as_deref());
            let owner_lane = owner_lane.or_else(|| self.closed_to(*lane, key.owner));
            let bound = [(key_lane, Scope::KeyLane), (owner_lane, Scope::OwnerLane)];
            views.extend(bound.into_iter().filter_map(|(rest, scope)| view(rest?, scope, self.lane_name(*lane), now)));
        }
        views
    }

    pub(super) fn lane_view(&self, lane: u16, available_keys: usize, limits: Vec<LaneLimitView>, now: Now) -> LaneView {
        let held = &self.lanes[usize::from(lane)];
        let model = self.lane_name(lane);
        LaneView {
            confirmed: matches!(held.origin, Origin::Configured | Origin::Confirmed),
            limits,
            available_keys,
            in_flight: held.in_flight,
            started: held.started,
            spilled: held.spilled,
            waiters: held.queue.len(),
            rest: held.rest.as_ref().and_then(|rest| view(rest, Scope::Lane, model.clone(), now)),
            model,
        }
    }

    /// Heap bytes behind the state, but for what each key has of its own.
    pub(super) fn memory_bytes(&self) -> usize {
        self.roster.heap_bytes()
            + self.lanes.iter().map(super::lane::Lane::heap_bytes).sum::<usize>()
            + self.seats.heap_bytes()
            + size_of::<Self>()
    }
}
