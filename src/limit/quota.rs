//! The limits of one project and model, and how much of them is used.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Amounts, Cost, Limit, Limits, Span, Unit,
    daily::{DailyCount, Today},
    sliding::{Length, SlidingWindow},
};
use crate::time::Tick;

/// How long a learned limit is kept after it was last confirmed.
const FORGET: Duration = Duration::from_secs(86_400);

/// Maximum number of remembered refusals. Each requires one more success over the assumed limits before they are
/// dropped.
const MAX_REFUSED: u8 = 8;

/// The amount that stands for no limit.
const NO_LIMIT: u64 = u64::MAX;

/// All windows of one project and model. Requests per minute are always counted, so that a limit learned later also
/// covers earlier requests.
#[derive(Clone, Debug)]
pub(crate) struct Quota {
    meters: Arc<Meters>,
    /// The counter of each meter, in the same order.
    counters: Box<[Counter]>,
}

/// The units and spans that a quota counts, with their limits. Quotas with the same limits share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meters {
    list: Vec<Meter>,
    /// Requests that the provider refused while limits were assumed. They count here, but perhaps not at the provider.
    refused: u8,
}

/// A unit that is counted over a span, with its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Meter {
    unit: Unit,
    span: Span,
    /// How long an amount counts if the span is sliding.
    length: Length,
    given: u64,
    assumed: u64,
    learned: Option<Learned>,
}

#[derive(Clone, Debug)]
enum Counter {
    Sliding(SlidingWindow),
    Daily(DailyCount),
}

/// A limit that the provider reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Learned {
    amount: u64,
    confirmed: Tick,
}

/// Whether a request fits under the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Under every limit.
    Free,
    /// Over an assumed limit, but under the given and learned ones.
    OverAssumed,
    /// Over a given or learned limit until this tick.
    Full { until: Tick, reason: FullReason },
}

/// Why a request does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FullReason {
    /// A sliding window is full, or the tokens of a day are used up. The end of a request may make room earlier.
    Window,
    /// The requests of a day are used up.
    Day,
    /// The cost is larger than a limit and never fits under it.
    TooLarge,
    /// The cost does not fit now, but a smaller one would.
    CostTooLargeNow,
}

/// The cost that a request reserved, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reservation {
    at: Tick,
    today: Today,
    cost: Cost,
}

/// A limit and how much of it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LimitView {
    /// The unit that is counted.
    pub unit: Unit,
    /// The span over which it is counted.
    pub span: Span,
    /// The maximum.
    pub limit: u64,
    /// The amount that counts now; more than the limit if responses used more tokens than estimated.
    pub used: u64,
    /// The source of the limit.
    pub source: LimitSource,
    /// The time until one more fits; `None` if one fits now or never.
    pub opens_in: Option<Duration>,
}

/// The source of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitSource {
    /// The configuration.
    Given,
    /// A response of the provider.
    Learned,
    /// The table of known tiers. It only orders keys and never refuses a request.
    Assumed,
}

display_serialized!(LimitSource);

impl Quota {
    pub(crate) fn new(given: &Limits, assumed: Option<&Limits>) -> Self {
        let mut quota = Self { meters: Arc::default(), counters: Box::default() };
        quota.meter(Unit::Requests, Span::MINUTE);
        quota.set_given(given);
        quota.set_assumed(assumed);
        quota
    }

    /// Shares the limits of the quota created before, if they are equal.
    pub(crate) fn share_limits(&mut self, before: &mut Arc<Meters>) {
        if self.meters == *before {
            self.meters = Arc::clone(before);
        } else {
            *before = Arc::clone(&self.meters);
        }
    }

    /// Replaces the given limits; the counts stay.
    pub(crate) fn set_given(&mut self, given: &Limits) {
        for meter in &mut Arc::make_mut(&mut self.meters).list {
            meter.given = NO_LIMIT;
        }
        for limit in given.iter() {
            let meter = self.meter(limit.unit, limit.span);
            meter.given = limit.amount;
            if let (Unit::Requests, Span::Sliding(span)) = (limit.unit, limit.span) {
                meter.length = Length::exact(span);
            }
        }
    }

    /// Replaces the assumed limits; the counts stay.
    pub(crate) fn set_assumed(&mut self, assumed: Option<&Limits>) {
        self.retire_assumed();
        for limit in assumed.iter().flat_map(|limits| limits.iter()) {
            self.meter(limit.unit, limit.span).assumed = limit.amount;
        }
    }

    /// Records a success over the assumed limits. Drops them if no earlier refusal explains it.
    pub(crate) fn exceeded_assumed(&mut self) {
        match self.meters.refused.checked_sub(1) {
            Some(fewer) => Arc::make_mut(&mut self.meters).refused = fewer,
            None => self.retire_assumed(),
        }
    }

    /// Restores the assumed limits after the provider refused a request for its rate: they may be right.
    pub(crate) fn refused(&mut self, assumed: &Limits) {
        let meters = Arc::make_mut(&mut self.meters);
        meters.refused = (meters.refused + 1).min(MAX_REFUSED);
        self.set_assumed(Some(assumed));
    }

    /// Drops the assumed limits.
    pub(crate) fn retire_assumed(&mut self) {
        for meter in &mut Arc::make_mut(&mut self.meters).list {
            meter.assumed = NO_LIMIT;
        }
    }

    /// Records a limit that the provider reported. It replaces the one learned before and is forgotten after 24 h
    /// unless it is learned again. Returns whether the limit is new or its amount changed. An invalid span is ignored.
    pub(crate) fn learn(&mut self, unit: Unit, span: Span, amount: u64, now: Tick) -> bool {
        if !span.is_valid() {
            return false;
        }
        let meter = self.meter(unit, span);
        let before = meter.learned(now);
        meter.learned = Some(Learned { amount, confirmed: now });
        before.is_none_or(|before| before.amount != amount)
    }

    /// Records a limit that refused the latest request. If it is one per minute whose unit was not counted until now,
    /// the earlier requests of this minute used it up: it is divided among them.
    pub(crate) fn learn_from_refusal(&mut self, unit: Unit, span: Span, amount: u64, now: Tick) -> bool {
        let was_counted = self.place(unit, span).is_some();
        let is_new = self.learn(unit, span, amount, now);
        if let (false, Span::MINUTE, Some(requests)) = (was_counted, span, self.place(Unit::Requests, Span::MINUTE))
            && let Counter::Sliding(requests) = &self.counters[requests]
        {
            let mut entries: Vec<_> = requests.entries().collect();
            if let Some((_, refused)) = entries.last_mut() {
                *refused -= 1;
            }
            let total = entries.iter().map(|(_, count)| count).sum::<u64>().max(1);
            let place = self.place(unit, span).expect("it was learned");
            let length = self.meters.list[place].length;
            if let Counter::Sliding(window) = &mut self.counters[place] {
                for (tick, count) in entries {
                    window.add(length, tick, amount.saturating_mul(count) / total);
                }
            }
        }
        is_new
    }

    /// Reports whether a request of this cost fits now.
    pub(crate) fn room(&mut self, cost: &Cost, now: Tick, today: Today) -> Room {
        let mut room = Room::Free;
        for (meter, counter) in self.meters.list.iter().zip(&mut self.counters) {
            let amount = cost.amounts.needed(meter.unit);
            if amount == 0 {
                continue;
            }
            let limit = meter.hard_limit(now);
            // An estimate must not refuse a request forever: it waits for an empty window.
            let amount = if cost.estimated && meter.unit != Unit::Requests { amount.min(limit.max(1)) } else { amount };
            let after = counter.used(meter.length, now, today).saturating_add(amount);
            if after > limit {
                room = room.or(meter.full(counter, amount, now, today));
            } else if after > meter.assumed && room == Room::Free {
                room = Room::OverAssumed;
            }
        }
        room
    }

    /// Counts the cost, whether or not it fits.
    pub(crate) fn reserve(&mut self, cost: Cost, now: Tick, today: Today) -> Reservation {
        let reservation = Reservation { at: now, today, cost };
        for (meter, counter) in self.meters.list.iter().zip(&mut self.counters) {
            counter.add(meter.length, &reservation, cost.amounts.of(meter.unit));
        }
        reservation
    }

    /// Corrects a reservation, at its time, to the used tokens. Returns whether less was used than reserved, and
    /// whether more of a limited unit was used.
    pub(crate) fn correct(&mut self, reservation: &Reservation, used: &Amounts) -> (bool, bool) {
        let (mut freed, mut exceeded) = (false, false);
        for (meter, counter) in self.meters.list.iter().zip(&mut self.counters) {
            if matches!(meter.unit, Unit::InputTokens | Unit::OutputTokens | Unit::Tokens) {
                let (reserved, used) = (reservation.cost.amounts.of(meter.unit), used.of(meter.unit));
                counter.add(meter.length, reservation, used.saturating_sub(reserved));
                counter.remove(meter.length, reservation, reserved.saturating_sub(used));
                freed |= used < reserved;
                exceeded |= used > reserved && meter.hard_limit(reservation.at) < NO_LIMIT;
            }
        }
        (freed, exceeded)
    }

    /// Removes a reservation whose request was never sent.
    pub(crate) fn cancel(&mut self, reservation: &Reservation) {
        for (meter, counter) in self.meters.list.iter().zip(&mut self.counters) {
            counter.remove(meter.length, reservation, reservation.cost.amounts.of(meter.unit));
        }
    }

    /// Adds the counts of another quota, and takes over limits that it learned later.
    pub(crate) fn add_counts_of(&mut self, other: &Self) {
        for (counted, source) in other.meters.list.iter().zip(&other.counters) {
            let meter = self.meter(counted.unit, counted.span);
            meter.learned = meter.learned.into_iter().chain(counted.learned).max_by_key(|learned| learned.confirmed);
            let length = meter.length;
            let place = self.place(counted.unit, counted.span).expect("it is there now");
            match (&mut self.counters[place], source) {
                (Counter::Sliding(window), Counter::Sliding(source)) => {
                    source.entries().for_each(|(tick, amount)| window.add(length, tick, amount));
                }
                (Counter::Daily(count), Counter::Daily(source)) => {
                    source.entries().for_each(|(date, amount)| count.add_to(date, amount));
                }
                _ => unreachable!("a meter of a sliding span has a sliding window"),
            }
        }
    }

    /// Returns each effective limit with how much of it is used, one for each unit and span.
    pub(crate) fn views(&mut self, now: Tick, today: Today) -> Vec<LimitView> {
        let mut views = Vec::new();
        for (meter, counter) in self.meters.list.iter().zip(&mut self.counters) {
            let (limit, source) = match meter.hard_limit(now) {
                NO_LIMIT => (meter.assumed, LimitSource::Assumed),
                hard if hard == meter.given => (hard, LimitSource::Given),
                hard => (hard, LimitSource::Learned),
            };
            if limit == NO_LIMIT {
                continue;
            }
            let opens = counter.opens_at(meter.length, 1, limit, now, today);
            let opens_in = (opens > now && opens < Tick::NEVER).then(|| opens.since(now));
            let used = counter.used(meter.length, now, today);
            views.push(LimitView { unit: meter.unit, span: meter.span, limit, used, source, opens_in });
        }
        views
    }

    /// Returns the enforced limits: for each unit and span the lower of the given and the learned one.
    pub(crate) fn hard_limits(&self, now: Tick) -> Vec<Limit> {
        let limits = self.meters.list.iter().map(|meter| Limit {
            unit: meter.unit,
            span: meter.span,
            amount: meter.hard_limit(now),
        });
        limits.filter(|limit| limit.amount < NO_LIMIT).collect()
    }

    /// Adds an amount that a store counted in a sliding window.
    pub(crate) fn count_start(&mut self, span: Duration, at: Tick, amounts: &Amounts) {
        for (meter, counter) in self.meters.list.iter().zip(&mut self.counters) {
            let amount = amounts.of(meter.unit);
            if let Counter::Sliding(window) = counter
                && meter.span == Span::Sliding(span)
                && amount > 0
            {
                window.add(meter.length, at, amount);
            }
        }
    }

    /// Adds an amount that a store counted for a day.
    pub(crate) fn count_day(&mut self, date: i32, amounts: &Amounts) {
        for (meter, counter) in self.meters.list.iter().zip(&mut self.counters) {
            if let Counter::Daily(count) = counter {
                count.add_to(date, amounts.of(meter.unit));
            }
        }
    }

    /// Returns the meter of a unit and span, and creates it if needed.
    fn meter(&mut self, unit: Unit, span: Span) -> &mut Meter {
        let place = self.place(unit, span).unwrap_or_else(|| {
            let (length, counter) = match span {
                Span::Sliding(span) => (Length::coalesced(span), Counter::Sliding(SlidingWindow::default())),
                Span::Day => (Length::coalesced(Duration::ZERO), Counter::Daily(DailyCount::default())),
            };
            let meter = Meter { unit, span, length, given: NO_LIMIT, assumed: NO_LIMIT, learned: None };
            Arc::make_mut(&mut self.meters).list.push(meter);
            self.counters = std::mem::take(&mut self.counters).into_iter().chain([counter]).collect();
            self.counters.len() - 1
        });
        &mut Arc::make_mut(&mut self.meters).list[place]
    }

    fn place(&self, unit: Unit, span: Span) -> Option<usize> {
        self.meters.list.iter().position(|meter| meter.unit == unit && meter.span == span)
    }
}

impl Reservation {
    /// Returns the reserved cost.
    pub(crate) fn cost(&self) -> Cost {
        self.cost
    }

    /// Returns the day on which it was made.
    pub(crate) fn today(&self) -> Today {
        self.today
    }
}

impl Room {
    /// Combines two results: the reason that applies to the most costs, else the later end.
    fn or(self, other: Self) -> Self {
        let (Self::Full { until, reason }, Self::Full { until: until_other, reason: other_reason }) = (self, other)
        else {
            return other;
        };
        // A reason that applies to every cost replaces one that applies only to this cost, with its end. `TooLarge` is
        // kept.
        let takes_place = match (reason, other_reason) {
            (FullReason::CostTooLargeNow, FullReason::CostTooLargeNow) => until_other > until,
            (FullReason::TooLarge, _) | (_, FullReason::CostTooLargeNow) => false,
            (FullReason::CostTooLargeNow, _) | (_, FullReason::TooLarge) => true,
            _ => until_other > until,
        };
        if takes_place { other } else { self }
    }
}

impl Meter {
    /// Returns the lower of the given and the learned limit.
    #[inline]
    fn hard_limit(&self, now: Tick) -> u64 {
        self.learned(now).map_or(self.given, |learned| learned.amount.min(self.given))
    }

    #[inline]
    fn learned(&self, now: Tick) -> Option<Learned> {
        self.learned.filter(|learned| now.since(learned.confirmed) < FORGET)
    }

    /// Returns until when, and why, an amount does not fit under the hard limit.
    #[cold]
    fn full(&self, counter: &mut Counter, amount: u64, now: Tick, today: Today) -> Room {
        let limit = self.hard_limit(now);
        if amount > limit {
            let forgotten = self.learned(now).filter(|_| amount <= self.given);
            let until = forgotten.map_or(Tick::NEVER, |learned| learned.confirmed.plus(FORGET));
            return Room::Full { until, reason: FullReason::TooLarge };
        }
        // A full window delays every request until the smallest one fits.
        let (reason, amount) = match self.span {
            _ if counter.used(self.length, now, today) < limit => (FullReason::CostTooLargeNow, amount),
            Span::Day if self.unit == Unit::Requests => (FullReason::Day, 1),
            Span::Sliding(_) | Span::Day => (FullReason::Window, 1),
        };
        Room::Full { until: counter.opens_at(self.length, amount, limit, now, today), reason }
    }
}

impl Counter {
    #[inline]
    fn used(&mut self, length: Length, now: Tick, today: Today) -> u64 {
        match self {
            Self::Sliding(window) => window.used(length, now),
            Self::Daily(count) => count.used(today),
        }
    }

    fn opens_at(&mut self, length: Length, amount: u64, limit: u64, now: Tick, today: Today) -> Tick {
        match self {
            Self::Sliding(window) => window.opens_at(length, now, amount, limit),
            Self::Daily(count) => count.opens_at(today, amount, limit),
        }
    }

    #[inline]
    fn add(&mut self, length: Length, reservation: &Reservation, amount: u64) {
        if amount > 0 {
            match self {
                Self::Sliding(window) => window.add(length, reservation.at, amount),
                Self::Daily(count) => count.add(reservation.today, amount),
            }
        }
    }

    fn remove(&mut self, length: Length, reservation: &Reservation, amount: u64) {
        if amount > 0 {
            match self {
                Self::Sliding(window) => window.remove(length, reservation.at, amount),
                Self::Daily(count) => count.remove(reservation.today, amount),
            }
        }
    }
}
