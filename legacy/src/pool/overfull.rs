//! Requests that fill a limit of tokens alone: the window of no owner with that limit has room for them, however long it
//! rests. The key that refuses such a request is asked in vain, and so are the others of its tier.

use std::sync::Arc;

use super::{Attempt, Demand, KeyPool, Seat, ServedBy, Usage, seats::SeatCell, state::State};
use crate::{
    limit::{Need, Unit},
    time::Now,
    verdict::Verdict,
};

/// Units of which one request may need more than a whole window holds.
const OF_ONE_REQUEST: [Unit; 3] = [Unit::InputTokens, Unit::OutputTokens, Unit::Tokens];

/// The limit of tokens that it says was hit, and how many of them are needed.
fn hit(verdict: &Verdict, need: &Need) -> Option<(u64, u64)> {
    let hit = verdict.news_of().filter(|_| verdict.kind().is_limit())?.decisive?;
    let amount = hit.amount.filter(|amount| *amount > 0 && OF_ONE_REQUEST.contains(&hit.unit))?;
    Some((amount, need.of(hit.unit)))
}

/// Whether what it says was hit holds no more than this request alone needs. What is needed is mostly a guess: it is believed
/// where several owners say it.
fn is_overfull(verdict: &Verdict, need: &Need) -> bool {
    hit(verdict, need).is_some_and(|(amount, needed)| needed >= amount)
}

impl Verdict {
    /// Whether the limit that it names is too small for this demand, whoever's it is.
    pub(super) fn is_overfull_by(&self, demand: &Demand) -> bool {
        is_overfull(self, &demand.need())
    }
}

impl SeatCell {
    /// The same for the request that has this seat.
    pub(super) fn overfills(&self, verdict: &Verdict) -> bool {
        is_overfull(verdict, &self.need)
    }

    /// Whether it had the whole of the window that has no room for it: what it needs was cut to this limit, and it went out
    /// when nothing else was in there.
    pub(super) fn had_all_of(&self, verdict: &Verdict) -> bool {
        hit(verdict, &self.need).is_some_and(|(amount, needed)| needed == amount)
    }
}

impl State {
    /// A request that is too large for the limit that is named was refused whole: what it would have filled is there for
    /// others, also where that limit is known from this answer on. What it needed, where that is so.
    pub(super) fn leave_whole(&mut self, seat: Seat, verdict: &Verdict, now: Now) -> Option<Need> {
        let need = self.seats.get(seat).filter(|cell| cell.overfills(verdict))?.need;
        self.usage(seat, Usage { input_tokens: Some(0), output_tokens: Some(0), ..Usage::default() }, || now);
        Some(need)
    }
}

impl KeyPool {
    /// All attempts so far for this demand, the last one included: what the next one is told. A limit that its answer names may
    /// rest nobody (it was the request's own, or the caller's): its key stands ready, and would say the same again and again.
    pub(crate) fn attempts(&self, served_by: &ServedBy, demand: &Demand) -> Arc<[Attempt]> {
        let last = served_by.last(served_by.verdict.is_overfull_by(demand)).map(|mut last| {
            if last.met_limit() {
                last.unrested = !self.lock().rests_for(&last, demand.free, self.clock().now());
            }
            last
        });
        served_by.earlier().iter().cloned().chain(last).collect()
    }
}

impl State {
    /// Whether the key of this attempt rests, or is gone.
    fn rests_for(&mut self, attempt: &Attempt, free: bool, now: Now) -> bool {
        let Some(slot) = self.roster.slot_of(&attempt.key) else { return true };
        let model = attempt.model.as_ref();
        let lane = if free { self.free_lane(model.map(|model| &**model)) } else { self.lane(model) };
        let of_lane = self.lanes[usize::from(lane)].rest.as_deref();
        let of_key = self.rests(lane, slot).into_iter().filter_map(|(rest, _)| rest);
        of_key.chain(of_lane).any(|rest| rest.is_active(now))
    }
}

impl Attempt {
    /// Whether other owners of the same tier would answer as it was answered: that the model is not for the tier, or that the
    /// request is too large for it.
    pub(super) fn holds_for_a_tier(&self) -> bool {
        self.overfull || self.speaks_of_a_tier()
    }

    /// Whether it found the whole of a limit that its owner's keys share too small for this request.
    pub(super) fn is_too_large(&self, model: Option<&str>) -> bool {
        self.overfull && self.unrested && self.bars_key(model)
    }
}
