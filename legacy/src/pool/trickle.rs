//! What follows a rest whose end many wait for while nobody knows how many the provider takes by then: few go first, and
//! more as these are served. The others stand in line, which costs them no attempt. A request that would not wait goes where it
//! finds no line.

use std::{collections::HashSet, time::Duration};

use super::{rest::Rest, scope::Whom, seats::SeatCell, state::State};
use crate::{
    time::{Now, Tick},
    verdict::{Scope, Verdict, VerdictKind},
};

/// After each of these twice as many may have gone, though none was answered: a good answer may take long.
const STEP: Duration = Duration::from_millis(500);

/// After so many steps all may.
const STEPS: u32 = 7;

/// It lasts no longer.
pub(super) const LONGEST: Duration = Duration::from_millis(STEP.as_millis() as u64 * STEPS as u64);

/// How many may go, and went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trickle {
    /// The rest's end.
    from: Tick,
    gone: u32,
    /// How many more may go since others were served.
    earned: u32,
    /// What the rest was for.
    pub(super) kind: VerdictKind,
}

impl Trickle {
    pub(super) fn after(end: Tick, kind: VerdictKind) -> Self {
        Self { from: end, gone: 0, earned: 0, kind }
    }

    /// When it is over.
    fn ends(&self) -> Tick {
        self.from.plus(LONGEST)
    }

    /// Until when nobody else may go; `None`: somebody may.
    pub(super) fn closed_until(&self, now: Tick) -> Option<Tick> {
        let is_full = |step: &u32| self.gone >= self.earned.saturating_add(1 << step);
        let step = (now.since(self.from).as_millis() / STEP.as_millis()) as u32;
        if now < self.from || step >= STEPS || !is_full(&step) {
            return None;
        }
        let opens = (step + 1..STEPS).find(|step| !is_full(step)).unwrap_or(STEPS);
        Some(self.from.plus(STEP * opens))
    }

    /// One that went was served: two may follow it.
    pub(super) fn served(&mut self) {
        self.earned = self.earned.saturating_add(2);
    }
}

impl Rest {
    /// Whether it keeps a request out that would wait so long: it is not over, or as many went since as may go before the others.
    /// These stand in line, or begin one: callers who were told the same time to come back come all at once.
    pub(super) fn holds(&self, would_wait: Duration, now: Now, is_line: impl FnOnce() -> bool) -> bool {
        let in_time = |opens: Tick| opens <= now.tick.plus(would_wait);
        self.is_active(now) || self.closed_until(now).is_some_and(|opens| in_time(opens) || is_line())
    }

    /// What it is, or was, for.
    pub(super) fn reason(&self) -> VerdictKind {
        self.trickle.map_or(self.kind, |trickle| trickle.kind)
    }

    pub(super) fn closed_until(&self, now: Now) -> Option<Tick> {
        self.trickle.and_then(|trickle| trickle.closed_until(now.tick))
    }
}

impl State {
    /// Whether anybody waits in a lane.
    pub(super) fn is_line(&self, lane: u16) -> bool {
        !self.lanes[usize::from(lane)].queue.is_empty()
    }

    /// What is to follow a rest of this scope's until then: where a limit is named, that says how many may go.
    pub(super) fn trickles(&mut self, whom: Whom, verdict: &Verdict, end: Tick) -> Option<Trickle> {
        let of_a_lane = matches!(whom.scope, Scope::KeyLane | Scope::OwnerLane);
        let named = verdict.news_of().is_some_and(|news| news.decisive.is_some());
        let is_unknown = verdict.kind() == VerdictKind::RateLimited && !named;
        (of_a_lane && is_unknown).then(|| self.trickle(whom.lane, end, verdict.fault()))
    }

    pub(super) fn trickle(&mut self, lane: u16, end: Tick, kind: VerdictKind) -> Trickle {
        let trickle = Trickle::after(end, kind);
        let trickles = &mut self.lanes[usize::from(lane)].trickles;
        *trickles = trickle.ends().max(*trickles);
        trickle
    }

    /// One goes whose scopes may let few go.
    #[cold]
    pub(super) fn went_first(&mut self, lane: u16, slot: u32, owner: u32) {
        for scope in [Scope::Lane, Scope::KeyLane, Scope::OwnerLane] {
            let rest = self.rest_slot_of(Whom { scope, slot, owner, lane });
            if let Some(trickle) = rest.and_then(|rest| rest.trickle.as_mut()) {
                trickle.gone = trickle.gone.saturating_add(1);
            }
        }
    }

    /// A good answer came to a request that began after the rest of its lane's did: that is over, and who waits for it goes
    /// little by little. Whether the former is news.
    #[cold]
    pub(super) fn lane_serves(&mut self, lane: u16, started: Tick) -> bool {
        let (now, is_line) = (self.last_now, self.is_line(lane));
        let held = &mut self.lanes[usize::from(lane)].rest;
        let Some(mut rest) = held.take_if(|rest| started >= rest.since) else { return false };
        let was_told = rest.kind != VerdictKind::Unjudged;
        if let Some(mut trickle) = rest.trickle.filter(|_| is_line) {
            if rest.is_active(now) {
                trickle = self.trickle(lane, now.tick, trickle.kind);
                rest.end = super::rest::End::At(now.tick);
            }
            trickle.served();
            *rest = Rest { end: rest.end, since: rest.since, trickle: Some(trickle), ..Rest::new(now) };
            self.lanes[usize::from(lane)].rest = Some(rest);
        }
        was_told
    }

    /// Nobody waits any more: keys that would have let few go serve whoever comes.
    #[cold]
    pub(super) fn line_ends(&mut self, lane: u16) {
        let (held, now) = (&self.lanes[usize::from(lane)], self.last_now);
        // Of the many that may rest, those alone that are closed to no one but the line.
        let is_closed = |rest: &Rest| !rest.is_active(now) && rest.closed_until(now).is_some();
        let closed = |rest: &Option<Box<Rest>>| rest.as_deref().is_some_and(is_closed);
        let of_owners = held.extras.iter().filter(|(_, extra)| closed(&extra.rest));
        let owners: HashSet<u32> = of_owners.map(|(owner, _)| *owner).collect();
        let mut slots: Vec<u32> =
            held.key_rests.iter().filter(|(_, rest)| closed(rest)).map(|(slot, _)| *slot).collect();
        if !owners.is_empty() {
            slots.extend(self.roster.slots().filter(|slot| owners.contains(&self.owner_at(*slot))));
        }
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            self.revive_in(lane, slot);
        }
    }

    /// A key that served lets more of those go who wait for it.
    #[cold]
    pub(super) fn key_serves(&mut self, cell: &SeatCell) {
        for scope in [Scope::KeyLane, Scope::OwnerLane] {
            let whom = Whom { scope, slot: cell.slot, owner: cell.owner, lane: cell.lane };
            // An owner's keys are looked for among all.
            if self.rest_slot_of(whom).is_some_and(|rest| rest.trickle.is_some()) {
                self.revive(whom);
            }
        }
    }
}
