//! What is used of an owner's limits, as it was written last.

use serde::Serialize;
use tower_keypool::{
    Limit, Span,
    store::{UnitRecord, WindowRecord},
};

use super::Calendar;

/// A limit of an owner, and what is used of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Window {
    /// The model; empty: requests without one, `*`: other models.
    pub model: String,
    /// The limit.
    pub limit: Limit,
    /// How much is used now.
    pub used: u64,
}

/// Those of an owner in a lane, at this moment in Unix milliseconds.
pub(super) fn of(unit: &UnitRecord, calendar: &Calendar, now: i64) -> Vec<Window> {
    let today = calendar.today();
    let window = |window: &WindowRecord| Window {
        model: unit.lane.clone(),
        limit: window.limit,
        used: used(window, &today, now),
    };
    unit.windows.iter().map(window).collect()
}

fn used(window: &WindowRecord, today: &str, now: i64) -> u64 {
    match window.limit.span {
        Span::Sliding(span) => {
            let from = now.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX));
            let counts = window.moments.iter().filter(|(at, _)| *at > from);
            window.held + counts.map(|(_, amount)| amount).sum::<u64>()
        }
        // Days are the only others.
        _ => window.days.iter().find(|(day, _)| day == today).map_or(0, |(_, used)| *used),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tower_keypool::Unit;

    use super::*;

    #[test]
    fn what_lies_within_the_span_counts() {
        let limit = |span| Limit { unit: Unit::Requests, span, amount: 10 };
        let minute = WindowRecord {
            limit: limit(Span::MINUTE),
            moments: vec![(1_000, 4), (40_000, 2), (61_500, 1)],
            held: 1,
            days: Vec::new(),
        };
        assert_eq!(used(&minute, "2026-06-15", 62_000), 4, "the oldest are a minute old");
        assert_eq!(used(&minute, "2026-06-15", 60_000), 8);
        let short = WindowRecord { limit: limit(Span::Sliding(Duration::from_secs(1))), ..minute.clone() };
        assert_eq!(used(&short, "2026-06-15", 62_000), 2);
        let day = WindowRecord {
            limit: limit(Span::Day),
            moments: Vec::new(),
            held: 0,
            days: vec![("2026-06-14".to_owned(), 9), ("2026-06-15".to_owned(), 3)],
        };
        assert_eq!(used(&day, "2026-06-15", 0), 3);
        assert_eq!(used(&day, "2026-06-16", 0), 0);
    }
}
