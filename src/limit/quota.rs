//! The limits of one project and model, and what of them is used.

use std::time::Duration;

use serde::Serialize;

use super::{Amounts, Cost, Limit, Limits, Span, Unit, daily::DailyCount, daily::Today, sliding::SlidingWindow};
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
    meters: Vec<Meter>,
    learned: Vec<Learned>,
    /// Requests that the provider refused while limits were assumed: they were counted here, and perhaps not there.
    refused: u8,
}

/// The count of one unit over one span, and its limits.
#[derive(Clone, Debug)]
struct Meter {
    unit: Unit,
    counter: Counter,
    given: u64,
    assumed: u64,
}

#[derive(Clone, Debug)]
enum Counter {
    Sliding(SlidingWindow),
    Daily(DailyCount),
}

/// A limit that the provider told.
#[derive(Clone, Copy, Debug)]
struct Learned {
    limit: Limit,
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

/// What a quota counted of one unit over one span, for a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) unit: Unit,
    pub(crate) span: Span,
    /// Amounts of a sliding span with their ticks.
    pub(crate) ticks: Vec<(Tick, u64)>,
    /// Amounts of days, by days since 1970-01-01.
    pub(crate) days: Vec<(i32, u64)>,
}

impl Quota {
    pub(crate) fn new(given: &Limits, assumed: Option<&Limits>) -> Self {
        let mut quota = Self { meters: Vec::new(), learned: Vec::new(), refused: 0 };
        quota.meter(Unit::Requests, Span::MINUTE);
        quota.set_given(given);
        quota.set_assumed(assumed);
        quota
    }

    /// Replaces the given limits; the counts stay.
    pub(crate) fn set_given(&mut self, given: &Limits) {
        for meter in &mut self.meters {
            meter.given = NO_LIMIT;
        }
        for limit in given.iter() {
            let meter = self.meter(limit.unit, limit.span);
            meter.given = limit.amount;
            if let (Unit::Requests, Counter::Sliding(window)) = (limit.unit, &mut meter.counter) {
                window.make_exact();
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
        match self.refused.checked_sub(1) {
            Some(fewer) => self.refused = fewer,
            None => self.retire_assumed(),
        }
    }

    /// The provider refused a request for its rate: the assumed limits may be right.
    pub(crate) fn refused(&mut self, assumed: &Limits) {
        self.refused = (self.refused + 1).min(MOST_REFUSED);
        self.set_assumed(Some(assumed));
    }

    /// Drops the assumed limits.
    pub(crate) fn retire_assumed(&mut self) {
        for meter in &mut self.meters {
            meter.assumed = NO_LIMIT;
        }
    }

    /// The provider told a limit. It replaces the one learned before and is forgotten after 24 h unless it is learned
    /// again. Whether it is new or another amount; a span that is no window's changes nothing.
    pub(crate) fn learn(&mut self, unit: Unit, span: Span, amount: u64, now: Tick) -> bool {
        let limit = Limit { unit, span, amount };
        if !span.is_valid() {
            return false;
        }
        self.forget(now);
        if let Some(learned) = self.learned.iter_mut().find(|learned| learned.limit.is_for(unit, span)) {
            let changed = learned.limit.amount != amount;
            *learned = Learned { limit, confirmed: now };
            return changed;
        }
        self.meter(unit, span);
        self.learned.push(Learned { limit, confirmed: now });
        true
    }

    /// Whether a request of this cost fits now.
    pub(crate) fn room(&mut self, cost: &Cost, now: Tick, today: Today) -> Room {
        self.forget(now);
        let mut room = Room::Free;
        for meter in &mut self.meters {
            let amount = cost.of(meter.unit);
            if amount == 0 {
                continue;
            }
            let limit = meter.hard_limit(&self.learned);
            // A guess is no reason to refuse for good: it waits for an empty window.
            let amount = if cost.estimated && meter.unit != Unit::Requests { amount.min(limit) } else { amount };
            let after = meter.used(now, today).saturating_add(amount);
            if after > limit {
                room = room.or(meter.full(amount, limit, &self.learned, now, today));
            } else if after > meter.assumed && room == Room::Free {
                room = Room::OverAssumed;
            }
        }
        room
    }

    /// Counts the cost, whether it fits or not.
    pub(crate) fn reserve(&mut self, cost: Cost, now: Tick, today: Today) -> Reservation {
        let reservation = Reservation { at: now, today, cost };
        for meter in &mut self.meters {
            meter.add(&reservation, cost.of(meter.unit));
        }
        reservation
    }

    /// Replaces the reserved tokens by those that were used, in the span where they were reserved. Whether fewer were used.
    pub(crate) fn correct(&mut self, reservation: &Reservation, actual: &Cost) -> bool {
        let mut freed = false;
        for meter in &mut self.meters {
            if matches!(meter.unit, Unit::InputTokens | Unit::OutputTokens | Unit::Tokens) {
                let (reserved, used) = (reservation.cost.of(meter.unit), actual.of(meter.unit));
                meter.add(reservation, used.saturating_sub(reserved));
                meter.remove(reservation, reserved.saturating_sub(used));
                freed |= used < reserved;
            }
        }
        freed
    }

    /// Takes a reservation back: its request was never sent.
    pub(crate) fn cancel(&mut self, reservation: &Reservation) {
        for meter in &mut self.meters {
            meter.remove(reservation, reservation.cost.of(meter.unit));
        }
    }

    /// Starts with what another quota counted, in each window that both have.
    pub(crate) fn copy_counts_from(&mut self, other: &Self) {
        for meter in &mut self.meters {
            let Some(source) = other.meters.iter().find(|source| source.is_for(meter.unit, meter.span())) else {
                continue;
            };
            meter.counter = source.counter.clone();
            if let (Unit::Requests, Counter::Sliding(window)) = (meter.unit, &mut meter.counter)
                && meter.given < NO_LIMIT
            {
                window.make_exact();
            }
        }
    }

    /// Each limit with how much of it is used; of limits for the same unit and span, the one that holds.
    pub(crate) fn views(&mut self, now: Tick, today: Today) -> Vec<LimitView> {
        self.forget(now);
        let mut views = Vec::new();
        for meter in &mut self.meters {
            let hard = meter.hard_limit(&self.learned);
            let (limit, source) = match hard {
                NO_LIMIT => (meter.assumed, LimitSource::Assumed),
                hard if hard == meter.given => (hard, LimitSource::Given),
                hard => (hard, LimitSource::Learned),
            };
            if limit == NO_LIMIT {
                continue;
            }
            let opens = meter.opens(1, limit, now, today);
            let opens_in = (opens > now && opens < Tick::NEVER).then(|| opens.since(now));
            let used = meter.used(now, today);
            views.push(LimitView { unit: meter.unit, span: meter.span(), limit, used, source, opens_in });
        }
        views
    }

    /// The limits that hold: of each unit and span the lower of the given and the learned one.
    pub(crate) fn hard_limits(&self) -> Vec<Limit> {
        let limits = self.meters.iter().map(|meter| {
            let amount = meter.hard_limit(&self.learned);
            Limit { unit: meter.unit, span: meter.span(), amount }
        });
        limits.filter(|limit| limit.amount < NO_LIMIT).collect()
    }

    /// Whether nothing counts any more and nothing is learned: it may be dropped.
    #[cfg(test)]
    pub(crate) fn is_idle(&mut self, now: Tick, today: Today) -> bool {
        self.forget(now);
        self.learned.is_empty() && self.meters.iter_mut().all(|meter| meter.used(now, today) == 0)
    }

    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        let windows: usize = self.meters.iter().map(|meter| meter.counter.heap_bytes()).sum();
        windows + self.meters.capacity() * size_of::<Meter>() + self.learned.capacity() * size_of::<Learned>()
    }

    /// What was counted, for a store.
    pub(crate) fn export(&self) -> Vec<Counts> {
        let counts = self.meters.iter().map(|meter| {
            let (ticks, days) = match &meter.counter {
                Counter::Sliding(window) => (window.entries().collect(), Vec::new()),
                Counter::Daily(count) => (Vec::new(), count.entries().collect()),
            };
            Counts { unit: meter.unit, span: meter.span(), ticks, days }
        });
        counts.filter(|counts| !counts.ticks.is_empty() || !counts.days.is_empty()).collect()
    }

    /// Adds what was exported before.
    pub(crate) fn restore(&mut self, counts: &[Counts]) {
        for counts in counts {
            match &mut self.meter(counts.unit, counts.span).counter {
                Counter::Sliding(window) => counts.ticks.iter().for_each(|(tick, amount)| window.add(*tick, *amount)),
                Counter::Daily(count) => counts.days.iter().for_each(|(date, amount)| count.add_to(*date, *amount)),
            }
        }
    }

    /// Counts what a store counted in a sliding window.
    pub(crate) fn count_start(&mut self, span: Duration, at: Tick, amounts: &Amounts) {
        for meter in self.meters.iter_mut().filter(|meter| meter.span() == Span::Sliding(span)) {
            if let Counter::Sliding(window) = &mut meter.counter {
                let amount = amounts.of(meter.unit);
                if amount > 0 {
                    window.add(at, amount);
                }
            }
        }
    }

    /// Counts what a store counted on a day.
    pub(crate) fn count_day(&mut self, date: i32, amounts: &Amounts) {
        for meter in &mut self.meters {
            if let Counter::Daily(count) = &mut meter.counter {
                count.add_to(date, amounts.of(meter.unit));
            }
        }
    }

    /// The meter of a unit and span; it is made where there is none.
    fn meter(&mut self, unit: Unit, span: Span) -> &mut Meter {
        let place = self.meters.iter().position(|meter| meter.is_for(unit, span)).unwrap_or_else(|| {
            self.meters.reserve_exact(1);
            self.meters.push(Meter::new(unit, span));
            self.meters.len() - 1
        });
        &mut self.meters[place]
    }

    #[inline]
    fn forget(&mut self, now: Tick) {
        if !self.learned.is_empty() {
            self.learned.retain(|learned| now.since(learned.confirmed) < FORGET);
        }
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

impl Limit {
    fn is_for(&self, unit: Unit, span: Span) -> bool {
        (self.unit, self.span) == (unit, span)
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
    fn new(unit: Unit, span: Span) -> Self {
        let counter = match span {
            Span::Sliding(span) => Counter::Sliding(SlidingWindow::coalesced(span)),
            Span::Day => Counter::Daily(DailyCount::new()),
        };
        Self { unit, counter, given: NO_LIMIT, assumed: NO_LIMIT }
    }

    fn span(&self) -> Span {
        match &self.counter {
            Counter::Sliding(window) => Span::Sliding(window.span()),
            Counter::Daily(_) => Span::Day,
        }
    }

    #[inline]
    fn is_for(&self, unit: Unit, span: Span) -> bool {
        self.unit == unit && self.span() == span
    }

    /// The given limit or the learned one, whichever is lower.
    #[inline]
    fn hard_limit(&self, learned: &[Learned]) -> u64 {
        self.learned(learned).map_or(self.given, |learned| learned.limit.amount.min(self.given))
    }

    #[inline]
    fn learned<'a>(&self, learned: &'a [Learned]) -> Option<&'a Learned> {
        learned.iter().find(|learned| self.is_for(learned.limit.unit, learned.limit.span))
    }

    #[inline]
    fn used(&mut self, now: Tick, today: Today) -> u64 {
        match &mut self.counter {
            Counter::Sliding(window) => window.used(now),
            Counter::Daily(count) => count.used(today),
        }
    }

    fn opens(&mut self, amount: u64, limit: u64, now: Tick, today: Today) -> Tick {
        match &mut self.counter {
            Counter::Sliding(window) => window.opens(now, amount, limit),
            Counter::Daily(count) => count.opens(today, amount, limit),
        }
    }

    /// Until when, and why, an amount does not fit under the limit.
    #[cold]
    fn full(&mut self, amount: u64, limit: u64, learned: &[Learned], now: Tick, today: Today) -> Room {
        if amount > limit {
            let forgotten = self.learned(learned).filter(|_| amount <= self.given);
            let until = forgotten.map_or(Tick::NEVER, |learned| learned.confirmed.plus(FORGET));
            return Room::Full { until, reason: FullReason::TooLarge };
        }
        let used = self.used(now, today);
        let reason = match &self.counter {
            _ if used < limit => FullReason::Tokens,
            Counter::Sliding(_) => FullReason::Window,
            Counter::Daily(_) => FullReason::Day,
        };
        Room::Full { until: self.opens(amount, limit, now, today), reason }
    }

    #[inline]
    fn add(&mut self, reservation: &Reservation, amount: u64) {
        if amount > 0 {
            match &mut self.counter {
                Counter::Sliding(window) => window.add(reservation.at, amount),
                Counter::Daily(count) => count.add(reservation.today, amount),
            }
        }
    }

    fn remove(&mut self, reservation: &Reservation, amount: u64) {
        if amount > 0 {
            match &mut self.counter {
                Counter::Sliding(window) => window.remove(reservation.at, amount),
                Counter::Daily(count) => count.remove(reservation.today, amount),
            }
        }
    }
}

impl Counter {
    #[cfg(test)]
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Sliding(window) => window.heap_bytes(),
            Self::Daily(_) => 0,
        }
    }
}
