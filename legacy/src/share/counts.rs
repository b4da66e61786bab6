//! Windows as the board keeps them: moments on its own clock.

use crate::limit::{Limit, Limits, Span, Told, Unit};

/// The same, with all moments later by so many milliseconds.
pub(super) fn moved(counts: &[Told], by: i64) -> Vec<Told> {
    let moved = |told: &Told| Told {
        moments: told.moments.iter().map(|(moment, amount)| (moment.saturating_add(by), *amount)).collect(),
        ..told.clone()
    };
    counts.iter().map(moved).collect()
}

/// Moments of a sender become those of the board. Clocks drift: what was long ago may have been less long ago.
pub(super) fn heard(ago: i64, now: i64) -> i64 {
    let drift = ago.min(0).unsigned_abs() as i64 / 1000 + 1;
    now.saturating_add((ago + drift).min(0))
}

pub(super) fn all_heard(counts: &[Told], now: i64) -> Vec<Told> {
    let all = |told: &Told| Told {
        moments: told.moments.iter().map(|(ago, amount)| (heard(*ago, now), *amount)).collect(),
        ..told.clone()
    };
    counts.iter().map(all).collect()
}

impl Told {
    /// All that it counts seems to have begun at `then`, or with what began last.
    pub(super) fn begin_at(&mut self, then: i64) {
        let last = self.moments.iter().map(|moment| moment.0).max();
        let all = self.moments.iter().map(|moment| moment.1).sum();
        self.moments = last.map(|last| (last.max(then), all)).into_iter().collect();
    }
}

/// The zones that are furthest behind UTC and ahead of it.
const WEST: i64 = 12 * HOUR;
const EAST: i64 = 14 * HOUR;
const HOUR: i64 = 3_600_000;

/// The earliest date that it is anywhere at a moment by the wall clock.
pub(super) fn first_date(wall_ms: i64) -> u16 {
    date_at(wall_ms - WEST)
}

/// The latest.
pub(super) fn last_date(wall_ms: i64) -> u16 {
    date_at(wall_ms + EAST)
}

/// The date of a moment in UTC, as dates are numbered.
fn date_at(wall_ms: i64) -> u16 {
    u16::try_from(wall_ms.div_euclid(24 * HOUR) + 1).unwrap_or(u16::MAX)
}

/// How long a window counts longer than its span: more than any process takes for the way.
const GUARD: i64 = 300;

/// What seems to have still been there so late may have left before, and its place been taken again.
const SURELY: i64 = 2_000;

/// How many requests of so many tokens of the prompt each there is room for at `then`, as far as moments tell; more than there
/// is where limits are of other units. One that is larger than a limit counts as large as that. `unknown`: until when all else
/// may have been used.
pub(super) fn room(counts: &[Told], limits: &Limits, each: u64, unknown: Option<i64>, then: i64) -> u64 {
    let mut room = u64::MAX;
    for limit in limits.iter() {
        let Span::Sliding(span) = limit.span else { continue };
        let span = span.as_millis() as i64 + GUARD;
        let told = counts.iter().find(|told| told.limit.unit == limit.unit && told.limit.span == limit.span);
        let within = |end: i64, since: i64| -> u64 {
            let moments = told.map_or(&[][..], |told| &told.moments);
            moments.iter().filter(|then| then.0 > since && then.0 <= end).map(|then| then.1).sum()
        };
        let mut used = within(i64::MAX, then - span);
        if let Some(end) = unknown.filter(|end| then - end < span) {
            used += limit.amount.saturating_sub(within(end, end - span + SURELY));
        }
        let left = limit.amount.saturating_sub(used);
        match limit.unit {
            Unit::Requests => room = room.min(left),
            _ if left == 0 => room = 0,
            Unit::InputTokens | Unit::Tokens if each > 0 => room = room.min(left / each.min(limit.amount)),
            _ => {}
        }
    }
    room
}

/// Whether limits allow more than they did when this was told: when a window opens is not known any more.
pub(super) fn grew(counts: &[Told], limits: &Limits) -> bool {
    let same = |one: &Limit, other: &Limit| (one.unit, one.span) == (other.unit, other.span);
    let now = |told: &Told| limits.iter().find(|limit| same(limit, &told.limit)).map(|limit| limit.amount);
    counts.iter().any(|told| now(told).is_none_or(|amount| amount > told.limit.amount))
}

/// How many requests a minute it allows: what a share is measured in.
pub(super) fn size(limits: &Limits) -> u64 {
    let a_minute = |limit: &crate::limit::Limit| match limit.span {
        Span::Sliding(span) => limit.amount.saturating_mul(60_000) / (span.as_millis() as u64).max(1),
        Span::Day => limit.amount / 1440 + 1,
    };
    let requests = || limits.iter().filter(|limit| limit.unit == Unit::Requests);
    let least = |days: bool| requests().filter(|limit| (limit.span == Span::Day) == days).map(a_minute).min();
    least(false).or_else(|| least(true)).unwrap_or(1).max(1)
}

/// Of both limits the smaller.
pub(crate) fn stricter(one: &Limits, other: &Limits) -> Limits {
    other.iter().fold(one.clone(), |limits, limit| {
        let held = limits.iter().find(|held| (held.unit, held.span) == (limit.unit, limit.span));
        if held.is_some_and(|held| held.amount <= limit.amount) { limits } else { limits.with(*limit) }
    })
}
