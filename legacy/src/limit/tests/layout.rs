//! How much memory logs take.

use std::time::Duration;

use super::{GUARD, empty};
use crate::limit::{Dates, Limit, Limits, Plan, Span, Unit};

fn words(limits: &Limits) -> usize {
    Plan::compile(limits, GUARD).words()
}

#[test]
fn the_common_limits_take_thirty_words_at_most() {
    assert!(words(&Limits::new().per_minute(15).per_day(250)) <= 30);
}

#[test]
fn many_dates_take_26_words_more() {
    let limits = Limits::new().per_minute(15).per_day(250);
    assert_eq!(Plan::compile_for(&limits, GUARD, Dates::Many).words(), words(&limits) + 26);
    let minute = Limits::new().per_minute(15);
    assert_eq!(Plan::compile_for(&minute, GUARD, Dates::Many).words(), words(&minute), "no days, no dates");
}

#[test]
fn tokens_beside_few_requests_take_few_words() {
    let both = words(&Limits::new().per_minute(15).per_day(250).tokens_per_minute(250_000));
    assert!(both <= 100, "{both}");
}

#[test]
fn no_window_is_large() {
    let day = Span::Sliding(Duration::from_secs(86_400));
    for amount in [1, 512, 513, 40_000, 1_000_000, u64::MAX] {
        for unit in [Unit::Requests, Unit::Tokens, Unit::Images] {
            for span in [Span::MINUTE, day, Span::Day, Span::Sliding(Duration::from_millis(1))] {
                // What needs numbers of 64 bits has as many of them.
                let most = if amount > 0x7fff_ffff { 1_400 } else { 800 };
                assert!(words(&Limits::new().with(Limit { unit, span, amount })) <= most);
            }
        }
    }
}

#[test]
fn no_limit_takes_nothing() {
    let (plan, mut log) = empty(&Limits::new());
    assert!(log.is_empty());
    plan.room(&mut log, &super::requests(7), &super::millis(1)).unwrap();
    plan.reserve(&mut log, &super::requests(7));
    let stamp = plan.stamp(&mut log, &super::requests(7), &super::millis(2));
    let stamp = plan.restamp(&mut log, &super::requests(7), stamp, &super::millis(3));
    plan.refund(&mut log, &super::requests(7), Some(stamp), &super::millis(4));
    assert_eq!(plan.used(&mut log, &super::millis(5)).count(), 0);
}
