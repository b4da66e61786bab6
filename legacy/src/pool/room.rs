//! Room for lanes. A lane is an attacker's allocator, so there are few: a model's is made when it is asked for, and
//! stays once an answer has shown that the model exists. Where all are taken, the one used longest ago that no answer
//! has confirmed and that holds nothing is given up; where there is none, the model goes to the lane that such models
//! share.

use std::{borrow::Cow, time::Duration};

use super::{
    cell::Place,
    configured::lane_name,
    lane::{Lane, Origin},
    rest::Rest,
    seats::SeatCell,
    state::{MAX_LANES, SHARED, State},
};
use crate::{
    limit::Limit,
    time::Now,
    verdict::{Scope, Until, Verdict, VerdictKind},
};

/// How long a verdict about one model keeps a key out of the lane that such models share: long enough that they do not
/// try it at once again, short enough that the others hardly miss it.
const SHARED_REST: Duration = Duration::from_secs(1);
/// So many lanes are searched for what they count, each time that room is wanted.
const SEARCHED: usize = 4;
/// A lane that was found to count something is not searched again for so long.
const KEPT: Duration = Duration::from_secs(10);
/// Behind the model's name in that of the lane for requests that count in none of its windows; alone that of those that name
/// no model, such as lists.
const UNCOUNTED: &str = "(uncounted)";
/// No model has a longer name.
const LONGEST_NAME: usize = 256;

/// What a verdict about one model comes to in the lane that models share: a short rest of the key or its owner
/// there, however long it was meant to be. `None` where it holds as it is.
pub(super) fn of_a_shared_lane(cell: &SeatCell, verdict: &Verdict) -> Option<Verdict> {
    let of_the_lane = matches!(verdict.scope_of(), Scope::Lane | Scope::KeyLane | Scope::OwnerLane);
    (cell.lane == SHARED && of_the_lane && verdict.until_of() != Until::Now).then(|| {
        let until = if verdict.scope_of() == Scope::Lane { Until::Now } else { Until::For(SHARED_REST) };
        verdict.clone().until(until)
    })
}

impl State {
    #[cold]
    pub(super) fn new_lane(&mut self, model: &str) -> u16 {
        let spelled = model;
        let plain = lane_name(&*self.provider, model);
        let model: &str = &plain;
        if model != spelled
            && let Some(lane) = self.lane_of.get(model)
        {
            return lane;
        }
        let nameless = model.is_empty() || model.len() > LONGEST_NAME;
        // What is told of a lane tells its name.
        let is_secret = |name: &str| self.has_secret_in(name.strip_suffix(UNCOUNTED).unwrap_or(name).trim_end());
        let is_key = is_secret(model) || is_secret(spelled);
        if nameless || is_key || !self.has_room_for_a_lane() {
            return self.own_lane(SHARED);
        }
        let lane = self.push_lane(model.into(), Origin::Tentative);
        self.lanes[usize::from(lane)].last_used = self.seq;
        lane
    }

    /// The lane of requests that count in no window, of the model that they name, such as one to count its tokens, or of
    /// any: what the provider says of them says nothing of the others, nor of other models.
    pub(super) fn free_lane(&mut self, model: Option<&str>) -> u16 {
        let name = model.map_or(Cow::Borrowed(UNCOUNTED), |model| format!("{model} {UNCOUNTED}").into());
        self.lane_of.get(&name).unwrap_or_else(|| self.new_lane(&name))
    }

    /// Whether nothing that starts in this lane counts in a window.
    pub(super) fn is_uncounted(&self, lane: u16) -> bool {
        self.lanes[usize::from(lane)].name.ends_with(UNCOUNTED)
    }

    fn has_room_for_a_lane(&mut self) -> bool {
        let used = self.lanes.iter().filter(|lane| lane.origin != Origin::Free).count();
        used < MAX_LANES || self.give_up_the_oldest(self.last_now)
    }

    /// Gives up the lane used longest ago, of those that were only named and hold nothing; whether there was one.
    fn give_up_the_oldest(&mut self, now: Now) -> bool {
        let idle = |lane: &&Lane| {
            lane.origin == Origin::Tentative
                && lane.in_flight == 0
                && lane.queue.is_empty()
                && lane.kept_until <= now.tick
        };
        let named = (0u16..).zip(&self.lanes).filter(|(_, lane)| idle(lane));
        let mut oldest: Vec<(u64, u16)> = named.map(|(at, lane)| (lane.last_used, at)).collect();
        oldest.sort_unstable();
        for (_, at) in oldest.into_iter().take(SEARCHED) {
            if !self.holds_something(at, now) {
                self.lane_of.remove(at);
                self.give_lane_up(at);
                return true;
            }
            self.lanes[usize::from(at)].kept_until = now.tick.plus(KEPT);
        }
        false
    }

    /// Whether a lane rests anybody, knows a limit by an answer, or has a window that counts something.
    fn holds_something(&mut self, at: u16, now: Now) -> bool {
        let lane = &self.lanes[usize::from(at)];
        let rests = |rest: &Option<Box<Rest>>| rest.as_ref().is_some_and(|rest| rest.is_active(now));
        let extra = |extra: &super::lane::LaneExtra| {
            rests(&extra.rest) || extra.booked.is_some() || extra.allowances.iter().any(|held| held.holds(now.tick))
        };
        let closed = lane.closed.as_ref().is_some_and(|closed| closed.is_any(now));
        if closed || rests(&lane.rest) || lane.key_rests.values().any(rests) || lane.extras.values().any(extra) {
            return true;
        }
        // Most that were named were never used.
        if lane.started == 0 {
            return false;
        }
        (0..lane.owners.len() as u32).any(|owner| {
            let when = self.at(now, owner);
            let lane = &mut self.lanes[usize::from(at)];
            let number = lane.owners[owner as usize].plan;
            let plan = self.plans.plan(number);
            let learned = self.plans.sources(number).learned.iter().next().is_some();
            let words = plan.words();
            // Where there was nothing but callers' mistakes, a model that nobody has shown to exist: what a day counts of
            // those would keep its room to the day's end.
            let long = lane.mistakes < lane.started;
            let counts = |(limit, used): (Limit, u64)| used > 0 && (long || limit.span.is_short());
            learned || words > 0 && plan.used(lane.log(owner, words), &when).any(counts)
        })
    }

    /// An answer that shows the lane's model to exist, or not to.
    pub(super) fn confirm_lane(&mut self, lane: u16, verdict: &Verdict) {
        use VerdictKind as K;
        let held = &mut self.lanes[usize::from(lane)];
        if held.origin == Origin::Tentative {
            let not_found = verdict.status_of().is_some_and(|status| status == http::StatusCode::NOT_FOUND);
            // It exists, but not for this owner, and that for good: as long as that is known it is not asked again.
            let retired = verdict.scope_of() == Scope::OwnerLane && verdict.until_of() == Until::Lifted;
            let limited = verdict.kind().is_limit();
            held.mistakes += u64::from(verdict.kind() == K::CallerFault);
            if not_found && !retired {
                held.origin = Origin::Unknown;
            } else if limited || verdict.status_of().is_some() && verdict.kind() != K::CallerFault {
                held.origin = Origin::Confirmed;
            }
        }
    }

    /// Gives a lane up whose model the provider does not know, once nothing is in flight and nobody waits there.
    pub(super) fn drop_unknown(&mut self, lane: u16) {
        let held = &self.lanes[usize::from(lane)];
        if held.in_flight == 0 && held.queue.is_empty() && held.origin == Origin::Unknown {
            self.lane_of.remove(lane);
            self.give_lane_up(lane);
        }
    }

    /// Frees a lane's memory and number; nothing may be in flight or wait there.
    pub(super) fn give_lane_up(&mut self, lane: u16) {
        let held = &self.lanes[usize::from(lane)];
        let parked = held.cells.iter().zip(0u32..).filter(|(cell, _)| cell.place() == Place::Busy);
        for slot in parked.map(|(_, slot)| slot).collect::<Vec<_>>() {
            self.unpark(slot);
        }
        self.forget_lane(lane);
        self.lanes[usize::from(lane)] = Lane::new("".into(), Origin::Free, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::{Demand, Gemini, Key, KeyPool, Limits, ManualClock, QuotaNews, Violation, limit::Span, limit::Unit};

    fn pool() -> KeyPool {
        let key = Key::new("AIza-not-a-real-key-00000");
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000));
        let limits = Limits::new().per_minute(1);
        KeyPool::builder(Gemini::new()).key(key).limits("*", limits).clock(clock.clock()).build().expect("a pool")
    }

    fn counting(model: Option<&str>) -> Demand {
        Demand { model: model.map(Into::into), free: true, ..Demand::default() }
    }

    fn limited() -> Verdict {
        let violation = Violation { unit: Unit::Requests, span: Span::MINUTE, amount: Some(3) };
        let news = QuotaNews { violations: vec![violation], quota_model: Some("pro".into()), ..QuotaNews::default() };
        Verdict::new(VerdictKind::RateLimited).until(Until::For(Duration::from_secs(20))).news(news)
    }

    #[test]
    fn a_429_for_counting_tokens_rests_counting_for_that_model_alone() {
        let pool = pool();
        let mut events = pool.changes();
        for _ in 0..3 {
            pool.try_acquire(counting(Some("flash"))).expect("counts in no window").settle(&Verdict::SUCCESS);
        }
        pool.try_acquire(counting(Some("flash"))).expect("counts in no window").settle(&limited());
        assert!(pool.try_acquire(counting(Some("flash"))).is_err());
        for demand in [counting(Some("pro")), counting(None), Demand::any_model(), Demand::new("flash")] {
            assert!(pool.try_acquire(demand).is_ok());
        }
        assert!(pool.try_acquire("flash").is_err(), "it has its own window");
        let Some(Ok(super::super::Event::Rested { model, .. })) = events.try_next() else { panic!("a rest is told") };
        assert_eq!(model.as_deref(), Some("flash (uncounted)"));
        assert!(events.try_next().is_some_and(|next| !format!("{next:?}").contains("Learned")));
    }

    #[test]
    fn a_429_for_a_list_rests_lists() {
        let pool = pool();
        pool.try_acquire(counting(None)).expect("counts in no window").settle(&limited());
        assert!(pool.try_acquire(counting(None)).is_err());
        assert!(pool.try_acquire(Demand::any_model()).is_ok());
        assert!(pool.try_acquire(counting(Some("flash"))).is_ok());
        assert!(pool.try_acquire("flash").is_ok());
    }

    #[test]
    fn counting_tokens_of_many_models_stays_bounded() {
        let pool = pool();
        for n in 0..1_000 {
            let lease = pool.try_acquire(counting(Some(&format!("made-up-{n}")))).expect("counts in no window");
            lease.settle(&Verdict::new(VerdictKind::CallerFault));
        }
        assert!(pool.snapshot().lanes.len() <= MAX_LANES);
    }
}
