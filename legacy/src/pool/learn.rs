//! Learning: limits that answers name, what rate headers say remains, and which keys share an owner.

use std::{cmp::Reverse, time::Duration};

use super::{
    Seat,
    allowance::LONGEST_RESET,
    event::Event,
    given::stricter,
    plans::find,
    rest::longer,
    roster::NO_ACCOUNT,
    seats::SeatCell,
    state::{NO_MODEL, SHARED, State},
};
use crate::{
    limit::{Limit, Limits, Need, Plan, Span, Unit},
    time::{Now, Tick},
    verdict::{QuotaNews, RateHeader, Verdict},
};

/// More than this in a window is no limit that anybody has.
const MOST_LEARNED: u64 = 1_000_000_000_000;

impl State {
    /// Takes in what an answer tells of quotas: first whose quota it is, then what that allows.
    pub(super) fn learn(&mut self, seat: Seat, news: &QuotaNews, verdict: &Verdict, now: Now) {
        if let Some(model) = &news.quota_model
            && let Some(lane) = self.seats.get(seat).filter(|cell| !cell.free).map(|cell| cell.lane)
        {
            self.follow(lane, model, now);
        }
        if let Some(consumer) = &news.consumer
            && let Some(slot) = self.seats.get(seat).map(|cell| cell.slot)
        {
            self.group_by(slot, consumer, now);
        }
        let Some(cell) = self.seats.get(seat).cloned() else { return };
        // What is said of one model without a lane of its own says nothing of the others there.
        let of_another = cell.lane == SHARED || (cell.lane == NO_MODEL && news.quota_model.is_some());
        if self.settings.fixed_limits || of_another || cell.free {
            return;
        }
        for violation in &news.violations {
            if let Some(amount) = violation.amount.filter(|amount| (1..=MOST_LEARNED).contains(amount)) {
                let limit = Limit { unit: violation.unit, span: violation.span, amount };
                self.learn_limit(&cell, limit, verdict.retry_after(), now);
            }
        }
        // Of several limits of one unit the one that holds: of those that are heeded what is left of it is the least, and for
        // the longest.
        let room = |header: &RateHeader| (header.reset > LONGEST_RESET, header.remaining, Reverse(header.reset));
        let holds = |header: &&RateHeader| {
            news.remaining.iter().all(|other| other.unit != header.unit || room(header) <= room(other))
        };
        for header in news.remaining.iter().filter(holds) {
            self.allow(&cell, *header, verdict, now);
        }
    }

    /// The answer named a limit: it holds for the owner in this lane from now on. `delay`: after how long there is room again,
    /// as the provider says.
    fn learn_limit(&mut self, cell: &SeatCell, limit: Limit, delay: Option<Duration>, now: Now) {
        // A key may have changed its owner while this was under way.
        let owner = self.roster.keys[cell.slot as usize].owner;
        let number = self.lanes[usize::from(cell.lane)].owners[owner as usize].plan;
        let sources = self.plans.sources(number);
        if find(&sources.learned, limit) == Some(limit) {
            return;
        }
        let given = find(&sources.given, limit).map(|given| given.amount).filter(|given| *given != limit.amount);
        let learned = sources.learned.clone().with(limit);
        let began = self.lanes[usize::from(cell.lane)].unlimited.take(owner);
        self.replan(cell.lane, owner, learned, now);
        if !self.fill_up((cell.lane, owner), limit, delay, &began, now) {
            self.began_without_limits((cell.lane, owner), &began, now);
        }
        self.tell_learned((cell.lane, owner), now);
        let (key, model) = (self.roster.keys[cell.slot as usize].id.clone(), self.lane_name(cell.lane));
        self.event(|| Event::Learned { key, model, limit, given });
    }

    /// The answer that named the limit says that its window is full; who filled it before it was known was not
    /// counted. Where the provider says when the first of them leaves, they are taken to have come evenly since then.
    /// Where that is about as long as the window they came just now: the rest alone would end while those that came last still
    /// count. One as long as the window needs no count.
    /// Whether that is so; `began`: what is known to have begun before.
    fn fill_up(
        &mut self,
        (lane, owner): (u16, u32),
        limit: Limit,
        delay: Option<Duration>,
        began: &[(Tick, u32)],
        now: Now,
    ) -> bool {
        let (Unit::Requests, Span::Sliding(span), Some(delay)) = (limit.unit, limit.span, delay) else { return false };
        // Delays are told in whole seconds, rounded down.
        let left = delay.saturating_add(Duration::from_secs(1));
        if delay >= span {
            return false;
        }
        let first = span.saturating_sub(left);
        let at = self.at(now, owner);
        let place = &mut self.lanes[usize::from(lane)];
        let plan = self.plans.plan(place.owners[owner as usize].plan);
        plan.fill_up(place.log(owner, plan.words()), limit, [first, Duration::ZERO], began, &at);
        self.note_filled((lane, owner), limit, first, now);
        true
    }

    /// Gives an owner other limits in a lane; what it used so far stays counted.
    pub(super) fn replan(&mut self, lane: u16, owner: u32, learned: Limits, now: Now) {
        let number = self.plan_for(lane, owner, learned);
        self.replan_as(lane, owner, number, now);
    }

    /// The same for limits that are compiled already.
    pub(super) fn replan_as(&mut self, lane: u16, owner: u32, number: u16, now: Now) {
        let old_number = self.lanes[usize::from(lane)].owners[owner as usize].plan;
        if number == old_number {
            return;
        }
        let held = self.held(lane, owner);
        let at = self.at(now, owner);
        let (old, new) = (self.plans.plan(old_number), self.plans.plan(number));
        let place = &mut self.lanes[usize::from(lane)];
        let old_log = place.log_ref(owner, old.words()).to_vec();
        let mut words = vec![0; new.words()];
        Plan::migrate(old, &old_log, new, &mut words, &held, &at);
        let stamped_out = old.words() == 0 && new.words() > 0;
        if new.counts_requests() {
            let began = self.lanes[usize::from(lane)].unlimited.take(owner);
            new.count_starts(&mut words, &began, &at);
        }
        let since = self.swap_aside((lane, owner), (old_number, &old_log), (number, &mut words), &at);
        if !old_log.is_empty() {
            self.count_out_anew((lane, owner), (old_number, number), &mut words, since, &at);
        }
        let place = &mut self.lanes[usize::from(lane)];
        let fresh = place.new_log(words.len());
        place.logs[fresh as usize..fresh as usize + words.len()].copy_from_slice(&words);
        let spare = place.owners[owner as usize].log;
        place.spare_log(spare, old_log.len());
        place.owners[owner as usize].log = fresh;
        place.owners[owner as usize].go_by(number);
        place.owners[owner as usize].outgrow();
        if stamped_out {
            self.count_out_since(lane, owner, since, now);
        }
        self.note_unit(lane, owner);
        self.units_changed();
        self.revive_owner(owner);
    }

    /// What answers said of an owner's limits, and of what remains, holds no more: its account may have been upgraded
    /// since. What it used stays counted; the next answer that names a limit says it anew.
    pub(super) fn unlearn(&mut self, owner: u32, now: Now) {
        for lane in 0..self.lanes.len() as u16 {
            if (owner as usize) >= self.lanes[usize::from(lane)].owners.len() {
                continue;
            }
            let number = self.lanes[usize::from(lane)].owners[owner as usize].plan;
            if !self.plans.sources(number).learned.is_empty() {
                self.replan(lane, owner, Limits::new(), now);
                self.tell_learned((lane, owner), now);
            }
            if let Some(extra) = self.lanes[usize::from(lane)].extra_of_mut(owner) {
                extra.allowances.clear();
            }
        }
    }

    /// The limits that are given to an owner may have changed; what was learned stays.
    pub(super) fn replan_kept(&mut self, lane: u16, owner: u32) {
        let number = self.lanes[usize::from(lane)].owners[owner as usize].plan;
        let learned = self.plans.sources(number).learned.clone();
        let now = self.last_now;
        self.replan(lane, owner, learned, now);
    }

    /// What leases of this owner and lane hold provisionally.
    pub(super) fn held(&mut self, lane: u16, owner: u32) -> Need {
        let mut held = Need::default();
        let waiting =
            |cell: &&mut SeatCell| cell.lane == lane && cell.owner == owner && cell.stamp.is_none() && !cell.free;
        for cell in self.seats.iter_mut().filter(waiting) {
            held.requests = held.requests.saturating_add(cell.need.requests);
            held.input_tokens = held.input_tokens.saturating_add(cell.need.input_tokens);
            held.output_tokens = held.output_tokens.saturating_add(cell.need.output_tokens);
            held.images = held.images.saturating_add(cell.need.images);
        }
        held
    }

    /// The answer named its owner: keys that share one are grouped, since together they have one quota.
    pub(super) fn group_by(&mut self, slot: u32, consumer: &str, now: Now) {
        let owner = self.roster.keys[slot as usize].owner;
        let Some(known) = self.roster.learn_consumer(owner, consumer) else {
            return self.note_key(slot, NO_MODEL);
        };
        let named = self.roster.owners[owner as usize].extra.as_ref().is_some_and(|extra| extra.name.is_some());
        let both_named =
            named && self.roster.owners[known as usize].extra.as_ref().is_some_and(|extra| extra.name.is_some());
        if both_named {
            // Somebody configured them as two; that holds, and is said once.
            let noted = &mut self.roster.owners[owner as usize].extra.get_or_insert_default().consumer;
            if noted.as_deref() == Some(consumer) {
                return;
            }
            *noted = Some(consumer.into());
            let key = self.roster.keys[slot as usize].id.clone();
            let keys = self.roster.keys_of_consumer(consumer);
            self.event(|| Event::Grouped { key, owner: format!("{consumer} (configured as several owners)"), keys });
            return;
        }
        self.join(slot, owner, known, consumer, now);
    }

    /// All keys of one owner go over to another, by the provider's word.
    fn join(&mut self, slot: u32, owner: u32, into: u32, consumer: &str, now: Now) {
        self.merge_owners(owner, into, now);
        self.agree();
        let (key, keys) = (self.roster.keys[slot as usize].id.clone(), self.roster.owners[into as usize].keys());
        self.event(|| Event::Grouped { key, owner: consumer.to_owned(), keys });
    }

    /// All keys of one owner go over to another, with what they used.
    pub(super) fn merge_owners(&mut self, owner: u32, into: u32, now: Now) {
        let movers: Vec<u32> =
            self.roster.slots().filter(|slot| self.roster.keys[*slot as usize].owner == owner).collect();
        self.join_given(owner, into);
        self.roster.former.moved(owner, into);
        self.roster.consumers_joined(owner, into);
        self.post_entries();
        if let Some(share) = self.share_mut() {
            share.owner_joined(owner, into);
        }
        self.lost();
        for lane in 0..self.lanes.len() as u16 {
            if (owner as usize) < self.lanes[usize::from(lane)].owners.len() {
                self.join_logs(lane, owner, into, now);
                self.note_moved(lane, owner, (lane, into));
            }
        }
        self.ring.forget();
        let count = movers.len() as u32;
        for mover in &movers {
            self.roster.keys[*mover as usize].owner = into;
            self.note_key(*mover, NO_MODEL);
        }
        self.roster.owners[owner as usize].lose(count);
        self.roster.owners[into as usize].gain(count);
        let from = self.roster.owners[owner as usize].rest.take();
        let account = self.roster.owners[owner as usize].account;
        let to = &mut self.roster.owners[into as usize];
        to.rest = longer(to.rest.take(), from, now);
        if to.account == NO_ACCOUNT {
            to.account = account;
        }
        for cell in self.seats.iter_mut().filter(|cell| cell.owner == owner) {
            cell.owner = into;
        }
        self.revive_owner(into);
    }

    fn join_logs(&mut self, lane: u16, owner: u32, into: u32, now: Now) {
        let at = self.at(now, into);
        let numbers = [owner, into].map(|owner| self.lanes[usize::from(lane)].owners[owner as usize].plan);
        let learned = numbers.map(|number| self.plans.sources(number).learned.clone());
        self.replan(lane, into, stricter(&learned[0], &learned[1]), now);
        let new = self.lanes[usize::from(lane)].owners[into as usize].plan;
        let carried = self.carried((lane, owner), (numbers[0], new), &at);
        // Where it is shared the board adds it up.
        let adds = self.share().is_none_or(super::sharing::Share::is_divided);
        let place = &mut self.lanes[usize::from(lane)];
        let plan = self.plans.plan(new);
        if adds {
            plan.merge(&carried, place.log(into, plan.words()), &at);
            place.owners[into as usize].outgrow();
        }
        place.aside.join(owner, into);
        let began = place.unlimited.take(owner);
        if let Some(extra) = place.extras.remove(&owner) {
            place.owners[owner as usize].clear();
            let kept = place.extra(into);
            kept.rest = longer(kept.rest.take(), extra.rest, now);
            kept.allowances.extend(extra.allowances);
        }
        self.began_without_limits((lane, into), &began, now);
    }

    /// What began while nothing was limited counts with what this owner used in this lane.
    pub(super) fn began_without_limits(&mut self, (lane, owner): (u16, u32), began: &[(Tick, u32)], now: Now) {
        if began.is_empty() {
            return;
        }
        let at = self.at(now, owner);
        let place = &mut self.lanes[usize::from(lane)];
        let plan = self.plans.plan(place.owners[owner as usize].plan);
        if plan.counts_requests() {
            plan.count_starts(place.log(owner, plan.words()), began, &at);
        } else {
            place.unlimited.put(owner, began.iter().copied(), now.tick);
        }
    }
}
