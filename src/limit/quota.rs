//! The limits of one project and model, and what of them is used.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use super::{
    Amounts, Cost, Limit, Limits, Span, Unit,
    daily::{DailyCount, Today},
    sliding::{Length, SlidingWindow},
};
use crate::time::Tick;

/// A learned limit is forgotten so long after it was last confirmed.
const FORGET: Duration = Duration::from_secs(86_400);

/// So many refusals are remembered: as many good answers beyond the assumed limits are needed before they are dropped.
const MOST_REFUSED: u8 = 8;

/// The amount of a limit that is not set.
const NO_LIMIT: u64 = u64::MAX;

/// All windows of one project and model. Requests of a minute are always counted, so that a limit that is learned later
/// can look back.
#[derive(Clone, Debug)]
pub(crate) struct Quota {
    meters: Arc<Meters>,
    /// What each meter counted, in the same order.
    counters: Box<[Counter]>,
}

/// What a quota counts, and its limits. Quotas with the same limits share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meters {
    list: Vec<Meter>,
    /// Requests that the provider refused while limits were assumed: they were counted here, and perhaps not there.
    refused: u8,
}

/// One unit that is counted over one span, and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Meter {
    unit: Unit,
    span: Span,
    /// For how long an amount counts where the span is sliding.
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

/// A limit that the provider told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Learned {
    amount: u64,
    confirmed: Tick,
}

/// Whether a request fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Under every limit.
    Free,
    /// Over an assumed limit; the given and learned ones have room.
    OverAssumed,
    /// Over a given or learned limit until then.
    Full { until: Tick, reason: FullReason },
}

/// Why a request does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FullReason {
    /// A sliding window is full.
    Window,
    /// The day's count is full.
    Day,
    /// The cost is larger than a limit: it never fits under this limit.
    TooLarge,
    /// The cost is too large now; a smaller one would fit.
    Tokens,
}

/// What a request took, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reservation {
    at: Tick,
    today: Today,
    cost: Cost,
}

/// How much of a limit is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LimitView {
    /// What is counted.
    pub unit: Unit,
    /// Over which time.
    pub span: Span,
    /// How many at most.
    pub limit: u64,
    /// How many count now; more than the limit where answers used more tokens than was estimated.
    pub used: u64,
    /// Where the limit comes from.
    pub source: LimitSource,
    /// When one more fits; `None` where it fits now or never.
    pub opens_in: Option<Duration>,
}

/// Where a limit comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitSource {
    /// The configuration.
    Given,
    /// The provider, by an answer.
    Learned,
    /// The table of known tiers; it refuses nobody.
    Assumed,
}

impl Quota {
    pub(crate) fn new(given: &Limits, assumed: Option<&Limits>) -> Self {
        let mut quota = Self { meters: Arc::default(), counters: Box::default() };
        quota.meter(Unit::Requests, Span::MINUTE);
        quota.set_given(given);
        quota.set_assumed(assumed);
        quota
    }

    /// Shares the limits of the quota that was made before, where they are the same.
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

    /// A good answer beyond the assumed limits came: they are dropped, unless it may have been within them for the provider.
    pub(crate) fn exceeded_assumed(&mut self) {
        match self.meters.refused.checked_sub(1) {
            Some(fewer) => Arc::make_mut(&mut self.meters).refused = fewer,
            None => self.retire_assumed(),
        }
    }

    /// The provider refused a request for its rate: the assumed limits may be right.
    pub(crate) fn refused(&mut self, assumed: &Limits) {
        let meters = Arc::make_mut(&mut self.meters);
        meters.refused = (meters.refused + 1).min(MOST_REFUSED);
        self.set_assumed(Some(assumed));
    }

    /// Drops the assumed limits.
    pub(crate) fn retire_assumed(&mut self) {
        for meter in &mut Arc::make_mut(&mut self.meters).list {
            meter.assumed = NO_LIMIT;
        }
    }

    /// The provider told a limit. It replaces the one learned before and is forgotten after 24 h unless it is learned
    /// again. Whether it is new or another amount; a span that is no window's changes nothing.
    pub(crate) fn learn(&mut self, unit: Unit, span: Span, amount: u64, now: Tick) -> bool {
        if !span.is_valid() {
            return false;
        }
        let meter = self.meter(unit, span);
        let before = meter.learned(now);
        meter.learned = Some(Learned { amount, confirmed: now });
        before.is_none_or(|before| before.amount != amount)
    }

    /// Whether a request of this cost fits now.
    pub(crate) fn room(&mut self, cost: &Cost, now: Tick, today: Today) -> Room {
        let mut room = Room::Free;
        for (meter, counter) in self.meters.list.iter().zip(&mut self.counters) {
            let amount = cost.of(meter.unit);
            if amount == 0 {
                continue;
            }
            let limit = meter.hard_limit(now);
            // A guess is no reason to refuse for good: it waits for an empty window.
            let amount = if cost.estimated && meter.unit != Unit::Requests { amount.min(limit) } else { amount };
            let after = counter.used(meter.length, now, today).saturating_add(amount);
            if after > limit {
                room = room.or(meter.full(counter, amount, now, today));
            } else if after > meter.assumed && room == Room::Free {
                room = Room::OverAssumed;
            }
        }
        room
    }

    /// Counts the cost, whether it fits or not.
    pub(crate) fn reserve(&mut self, cost: Cost, now: Tick, today: Today) -> Reservation {
        let reservation = Reservation { at: now, today, cost };
        for (meter, counter) in self.meters.list.iter().zip(&mut self.counters) {
            counter.add(meter.length, &reservation, cost.of(meter.unit));
        }
        reservation
    }

    /// Replaces the reserved tokens by those that were used, in the span where they were reserved. Whether fewer were used.
    pub(crate) fn correct(&mut self, reservation: &Reservation, actual: &Cost) -> bool {
        let mut freed = false;
        for (meter, counter) in self.meters.list.iter().zip(&mut self.counters) {
            if matches!(meter.unit, Unit::InputTokens | Unit::OutputTokens | Unit::Tokens) {
                let (reserved, used) = (reservation.cost.of(meter.unit), actual.of(meter.unit));
                counter.add(meter.length, reservation, used.saturating_sub(reserved));
                counter.remove(meter.length, reservation, reserved.saturating_sub(used));
                freed |= used < reserved;
            }
        }
        freed
    }

    /// Takes a reservation back: its request was never sent.
    pub(crate) fn cancel(&mut self, reservation: &Reservation) {
        for (meter, counter) in self.meters.list.iter().zip(&mut self.counters) {
            counter.remove(meter.length, reservation, reservation.cost.of(meter.unit));
        }
    }

    /// Adds what another quota counted.
    pub(crate) fn add_counts_of(&mut self, other: &Self) {
        for (counted, source) in other.meters.list.iter().zip(&other.counters) {
            let length = self.meter(counted.unit, counted.span).length;
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

    /// Each limit with how much of it is used; of limits for the same unit and span, the one that holds.
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
            let opens = counter.opens(meter.length, 1, limit, now, today);
            let opens_in = (opens > now && opens < Tick::NEVER).then(|| opens.since(now));
            let used = counter.used(meter.length, now, today);
            views.push(LimitView { unit: meter.unit, span: meter.span, limit, used, source, opens_in });
        }
        views
    }

    /// The limits that hold: of each unit and span the lower of the given and the learned one.
    pub(crate) fn hard_limits(&self, now: Tick) -> Vec<Limit> {
        let limits = self.meters.list.iter().map(|meter| Limit {
            unit: meter.unit,
            span: meter.span,
            amount: meter.hard_limit(now),
        });
        limits.filter(|limit| limit.amount < NO_LIMIT).collect()
    }

    /// Counts what a store counted in a sliding window.
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

    /// Counts what a store counted on a day.
    pub(crate) fn count_day(&mut self, date: i32, amounts: &Amounts) {
        for (meter, counter) in self.meters.list.iter().zip(&mut self.counters) {
            if let Counter::Daily(count) = counter {
                count.add_to(date, amounts.of(meter.unit));
            }
        }
    }

    /// The meter of a unit and span; it is made where there is none.
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
    /// What was reserved.
    pub(crate) fn cost(&self) -> Cost {
        self.cost
    }

    /// The day on which it was made.
    pub(crate) fn today(&self) -> Today {
        self.today
    }
}

impl Room {
    /// Both reasons hold: the later end, and of the reasons the one that concerns most costs.
    fn or(self, other: Self) -> Self {
        let (Self::Full { until, reason }, Self::Full { until: until_other, reason: other_reason }) = (self, other)
        else {
            return other;
        };
        // A reason that concerns only this cost gives way to one that concerns every cost; too large stays.
        let takes_place = match (reason, other_reason) {
            (FullReason::TooLarge, _) | (_, FullReason::Tokens) => false,
            (FullReason::Tokens, _) | (_, FullReason::TooLarge) => true,
            _ => until_other > until,
        };
        Self::Full { until: until.max(until_other), reason: if takes_place { other_reason } else { reason } }
    }
}

impl Meter {
    /// The given limit or the learned one, whichever is lower.
    #[inline]
    fn hard_limit(&self, now: Tick) -> u64 {
        self.learned(now).map_or(self.given, |learned| learned.amount.min(self.given))
    }

    #[inline]
    fn learned(&self, now: Tick) -> Option<Learned> {
        self.learned.filter(|learned| now.since(learned.confirmed) < FORGET)
    }

    /// Until when, and why, an amount does not fit under the limit that holds.
    #[cold]
    fn full(&self, counter: &mut Counter, amount: u64, now: Tick, today: Today) -> Room {
        let limit = self.hard_limit(now);
        if amount > limit {
            let forgotten = self.learned(now).filter(|_| amount <= self.given);
            let until = forgotten.map_or(Tick::NEVER, |learned| learned.confirmed.plus(FORGET));
            return Room::Full { until, reason: FullReason::TooLarge };
        }
        let reason = match self.span {
            _ if counter.used(self.length, now, today) < limit => FullReason::Tokens,
            Span::Sliding(_) => FullReason::Window,
            Span::Day => FullReason::Day,
        };
        Room::Full { until: counter.opens(self.length, amount, limit, now, today), reason }
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

    fn opens(&mut self, length: Length, amount: u64, limit: u64, now: Tick, today: Today) -> Tick {
        match self {
            Self::Sliding(window) => window.opens(length, now, amount, limit),
            Self::Daily(count) => count.opens(today, amount, limit),
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
