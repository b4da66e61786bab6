//! Places given out one by one: where there are fewer units than processes that ask for them, the board keeps their
//! windows itself.

use super::{
    counts::{heard, room},
    free::Offer,
    state::{BoardState, Booking, UnitRecord},
    wire::{Claim, Drawn, Mode, Renewal, Reply, Settled},
};
use crate::limit::{Limit, Limits, Span, Told, Unit};

/// A draw is good for this part of a lease.
const LIFE: i64 = 4;
const OF_LEASE: i64 = 10;
/// How long after its end a draw may still be settled.
const SETTLED_LATE: i64 = 60_000;

/// Gives out places of drawn units, booked as if they were used at the last moment that they may be; how many requests
/// are still lacking.
pub(super) fn draw(
    state: &mut BoardState,
    renewal: &Renewal,
    claim: &Claim,
    units: &[Offer<'_>],
    mut left: u64,
    now: i64,
    reply: &mut Reply,
) -> u64 {
    let life = renewal.lease as i64 * LIFE / OF_LEASE;
    let each = claim.tokens.div_ceil(claim.requests.max(1));
    for unit in units.iter().map(Offer::name) {
        if left == 0 {
            break;
        }
        let open =
            |record: &UnitRecord| record.mode == Mode::Drawn && record.is_free(now) && record.days_unknown.is_none();
        if !state.units.get(unit).is_some_and(open) || state.is_joining(unit) {
            continue;
        }
        let limits = state.limits(unit);
        let Some(record) = state.units.get_mut(unit) else { continue };
        let requests = left.min(record.places(&limits, each, claim.dates, now));
        if requests == 0 {
            continue;
        }
        // The same number must not come again, even when the board forgot what it gave out.
        let draw = renewal.number << 16 | reply.draws.len() as u64;
        let (until, tokens) = (now + life, requests * each);
        record.prune(now);
        for limit in limits.iter() {
            record.count(*limit, until, amount(limit.unit, requests, tokens), claim.dates);
        }
        record.bookings.push(Booking {
            draw,
            holder: renewal.holder.clone(),
            until,
            requests,
            tokens,
            dates: claim.dates,
        });
        reply.draws.push(Drawn { unit: unit.clone(), draw, requests, tokens, life: life as u64 });
        left -= requests;
    }
    left
}

/// What became of a draw takes the place of what was booked, once.
pub(super) fn settle(state: &mut BoardState, renewal: &Renewal, now: i64) {
    for Settled { unit, draw, starts } in &renewal.settled {
        let limits = state.limits(unit);
        let Some(record) = state.units.get_mut(unit) else { continue };
        let of_draw = |booking: &Booking| booking.draw == *draw && booking.holder == renewal.holder;
        let Some(at) = record.bookings.iter().position(of_draw) else { continue };
        let booking = record.bookings.remove(at);
        // Whoever holds it as a whole by now has the booking in his windows.
        if record.mode != Mode::Drawn || record.holder.is_some() {
            continue;
        }
        for limit in limits.iter() {
            let booked = amount(limit.unit, booking.requests, booking.tokens);
            let used = starts.iter().map(|start| amount(limit.unit, start.1, start.2)).sum::<u64>();
            let Some(told) =
                record.counts.iter_mut().find(|told| told.limit.unit == limit.unit && told.limit.span == limit.span)
            else {
                continue;
            };
            let unused = booked.saturating_sub(used);
            for date in told.dates.iter_mut().filter(|date| (booking.dates.0..=booking.dates.1).contains(&date.0)) {
                date.1 = date.1.saturating_sub(unused);
            }
            if let Some(moment) = told.moments.iter_mut().find(|moment| moment.0 == booking.until) {
                moment.1 = moment.1.saturating_sub(booked);
                let starts = starts.iter().map(|start| (heard(start.0, now), amount(limit.unit, start.1, start.2)));
                told.moments.extend(starts);
                told.moments.retain(|moment| moment.1 > 0);
                told.moments.sort_unstable();
            }
        }
    }
    let over = |booking: &Booking| booking.until + SETTLED_LATE <= now;
    for unit in state.units.named(|record| record.bookings.iter().any(over)) {
        if let Some(record) = state.units.get_mut(&unit) {
            record.bookings.retain(|booking| !over(booking));
        }
    }
}

fn amount(unit: Unit, requests: u64, tokens: u64) -> u64 {
    match unit {
        Unit::Requests => requests,
        Unit::InputTokens | Unit::Tokens => tokens,
        Unit::OutputTokens | Unit::Images => 0,
    }
}

impl UnitRecord {
    /// Whether some of its places are out.
    pub(super) fn is_drawn_from(&self, now: i64) -> bool {
        self.bookings.iter().any(|booking| booking.until > now)
    }

    /// For how many requests of `each` tokens there is room now, in windows and days.
    fn places(&self, limits: &Limits, each: u64, dates: (u16, u16), now: i64) -> u64 {
        let mut places = u64::MAX;
        for limit in limits.iter() {
            let needs = amount(limit.unit, 1, each);
            let told = |told: &&Told| (told.limit.unit, told.limit.span) == (limit.unit, limit.span);
            let left = match limit.span {
                Span::Day => {
                    let used = self.counts.iter().filter(told).flat_map(|told| &told.dates);
                    let used = used.filter(|date| (dates.0..=dates.1).contains(&date.0)).map(|date| date.1).max();
                    limit.amount.saturating_sub(used.unwrap_or(0))
                }
                Span::Sliding(_) => {
                    // The same arithmetic, in this limit's unit.
                    let as_requests = Limit { unit: Unit::Requests, ..*limit };
                    let told = self.counts.iter().filter(told).map(|told| Told { limit: as_requests, ..told.clone() });
                    room(&told.collect::<Vec<_>>(), &Limits::new().with(as_requests), 0, self.unknown, now)
                }
            };
            places = places.min(left.checked_div(needs).unwrap_or(if left == 0 { 0 } else { u64::MAX }));
        }
        places
    }

    fn count(&mut self, limit: Limit, moment: i64, amount: u64, dates: (u16, u16)) {
        let told = self.window(limit);
        if limit.span != Span::Day {
            return told.moments.push((moment, amount));
        }
        for date in dates.0..=dates.1 {
            match told.dates.iter_mut().find(|used| used.0 == date) {
                Some(used) => used.1 += amount,
                None => told.dates.push((date, amount)),
            }
        }
    }
}
