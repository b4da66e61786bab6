//! What an owner started since its last record: a few numbers, where the record itself is its whole log.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::record::{Credit, UnitRecord};
use crate::limit::Span;

/// What an owner started in a lane since its last record there, whole or like this one: it is
/// [added](UnitRecord::add) to that. Stores that [take it](super::Store::takes_started) are told so of an owner whose
/// log has nothing else new.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartedRecord {
    /// As in [`UnitRecord`].
    pub owner: Arc<str>,
    /// As in [`UnitRecord`].
    pub lane: Arc<str>,
    /// As in [`UnitRecord`].
    pub epoch: u64,
    /// No later than this, in Unix milliseconds; later than what was recorded before.
    pub at: i64,
    /// On one of these dates of the owner's zone, and what is between them.
    pub days: (Arc<str>, Arc<str>),
    /// So much.
    pub amounts: Credit,
    /// The mark from here on, as in [`UnitRecord`].
    pub credit: Credit,
}

impl UnitRecord {
    /// Counts what was started since, as all of it in the last moment that it can have been.
    pub fn add(&mut self, started: &StartedRecord) {
        self.epoch = started.epoch;
        self.credit = started.credit;
        for window in &mut self.windows {
            let amount = started.amounts.of(window.limit.unit);
            if amount == 0 {
                continue;
            }
            if window.limit.span == Span::Day {
                let (first, last) = &started.days;
                count_on(&mut window.days, first, amount);
                if first != last {
                    count_on(&mut window.days, last, amount);
                }
            } else {
                match window.moments.last_mut().filter(|last| last.0 >= started.at) {
                    Some((_, held)) => *held += amount,
                    None => window.moments.push((started.at, amount)),
                }
            }
        }
    }
}

fn count_on(days: &mut Vec<(String, u64)>, day: &str, amount: u64) {
    match days.iter_mut().find(|(held, _)| held == day) {
        Some((_, count)) => *count += amount,
        None => days.push((day.to_owned(), amount)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        limit::{Limit, Unit},
        store::WindowRecord,
    };

    #[test]
    fn counts_in_each_window_at_the_latest_moment_and_on_both_days_of_a_midnight() {
        let window = |unit, span, moments: &[(i64, u64)]| WindowRecord {
            limit: Limit { unit, span, amount: 100 },
            moments: moments.to_vec(),
            held: 0,
            days: Vec::new(),
        };
        let mut record = UnitRecord {
            windows: vec![
                window(Unit::Requests, Span::MINUTE, &[(5, 1)]),
                window(Unit::Tokens, Span::MINUTE, &[]),
                window(Unit::Requests, Span::Day, &[]),
            ],
            ..UnitRecord::default()
        };
        let mut started = StartedRecord {
            owner: "project".into(),
            lane: "flash".into(),
            epoch: 4,
            at: 9,
            days: ("2026-06-14".into(), "2026-06-15".into()),
            amounts: Credit { requests: 2, input_tokens: 30, output_tokens: 4, images: 0 },
            credit: Credit { requests: 7, ..Credit::default() },
        };
        record.add(&started);
        started.days.0 = "2026-06-15".into();
        record.add(&started);
        assert_eq!((record.epoch, record.credit), (4, started.credit));
        assert_eq!(record.windows[0].moments, [(5, 1), (9, 4)]);
        assert_eq!(record.windows[1].moments, [(9, 68)]);
        assert_eq!(record.windows[2].days, [("2026-06-14".to_owned(), 2), ("2026-06-15".to_owned(), 4)]);
    }
}
