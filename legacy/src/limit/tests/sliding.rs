//! Sliding windows: exact for any alignment.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    empty, millis,
    oracle::{World, steps},
    requests, tokens,
};
use crate::limit::{Limit, Limits, Span, Unit, need::Opens};

fn any_span() -> impl Strategy<Value = Span> {
    prop_oneof![Just(1), Just(60), Just(600), Just(86_400), 1..86_400_u64]
        .prop_map(|secs| Span::Sliding(Duration::from_secs(secs)))
}

fn any_limit(unit: Unit, most: u64) -> impl Strategy<Value = Limit> {
    (any_span(), prop_oneof![1..=20.min(most), 1..=most]).prop_map(move |(span, amount)| Limit { unit, span, amount })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn law_3_no_span_holds_more_requests_than_its_limit(
        limit in any_limit(Unit::Requests, 2_000),
        steps in steps(1, 1),
    ) {
        World::new(&Limits::new().with(limit)).play(&steps, true);
    }

    #[test]
    fn law_3_nor_when_requests_cost_several(
        limit in any_limit(Unit::Requests, 2_000),
        steps in steps(60, 1),
    ) {
        World::new(&Limits::new().with(limit)).play(&steps, true);
    }

    #[test]
    fn law_3_nor_more_tokens(
        limit in any_limit(Unit::InputTokens, 200_000),
        steps in steps(1, 20_000),
    ) {
        World::new(&Limits::new().with(limit)).play(&steps, true);
    }

    #[test]
    fn law_3_nor_with_many_windows_at_once(
        minute in any_limit(Unit::Requests, 40),
        longer in any_limit(Unit::Requests, 800),
        input in any_limit(Unit::InputTokens, 1_000_000),
        both in any_limit(Unit::Tokens, 1_000_000),
        steps in steps(2, 60_000),
    ) {
        World::new(&Limits::new().with(minute).with(longer).with(input).with(both)).play(&steps, true);
    }

    #[test]
    fn the_log_never_counts_less_than_was_used(
        limit in any_limit(Unit::Requests, 40),
        input in any_limit(Unit::InputTokens, 1_000_000),
        steps in steps(1, 60_000),
    ) {
        World::new(&Limits::new().with(limit).with(input)).play(&steps, false);
    }
}

#[test]
fn a_full_minute_opens_when_its_oldest_start_leaves() {
    let mut world = World::new(&Limits::new().per_minute(2));
    for ms in [1_000, 5_000] {
        world.ask(requests(1), ms * 1_000_000).unwrap();
        world.start(ms as usize / 5_000, ms * 1_000_000);
    }
    let full = world.ask(requests(1), 30_000_000_000).unwrap_err();
    let Opens::Tick(tick) = full.opens else { panic!("{full:?}") };
    assert!((61_250..61_253).contains(&tick.millis()), "{tick:?}");
    world.assert_opens(requests(1), full);
}

#[test]
fn a_provisional_place_does_not_leave() {
    let (plan, mut log) = empty(&Limits::new().per_minute(1).tokens_per_minute(100));
    plan.reserve(&mut log, &tokens(100));
    for hour in 0..48 {
        let now = millis(hour * 3_600_000);
        let full = plan.room(&mut log, &tokens(1), &now).unwrap_err();
        let opens = full.opens.tick(&now).unwrap();
        assert!(opens.since(now.tick) >= Duration::from_secs(60), "{opens:?}");
    }
    plan.refund(&mut log, &tokens(100), None, &millis(48 * 3_600_000));
    plan.room(&mut log, &tokens(1), &millis(48 * 3_600_000)).unwrap();
}

#[test]
fn a_moved_start_counts_from_where_it_moved_to() {
    let (plan, mut log) = empty(&Limits::new().per_minute(1).tokens_per_minute(100));
    plan.reserve(&mut log, &tokens(60));
    let stamp = plan.stamp(&mut log, &tokens(60), &millis(1_000));
    plan.restamp(&mut log, &tokens(60), stamp, &millis(40_000));
    plan.room(&mut log, &tokens(1), &millis(100_200)).unwrap_err();
    plan.room(&mut log, &tokens(100), &millis(100_600)).unwrap();
}

#[test]
fn what_is_too_large_never_fits() {
    let (plan, mut log) = empty(&Limits::new().per_minute(5).tokens_per_minute(1_000));
    let full = plan.room(&mut log, &tokens(1_001), &millis(0)).unwrap_err();
    assert_eq!((full.limit.unit, full.opens), (Unit::InputTokens, Opens::Never));
    assert_eq!(plan.fits_ever(&tokens(1_001)).unwrap_err().unit, Unit::InputTokens);
    assert_eq!(plan.fits_ever(&tokens(1_000)), Ok(()));
    assert_eq!(plan.most_input(), 1_000);
}

#[test]
fn a_limit_of_zero_never_has_room() {
    let (plan, mut log) = empty(&Limits::new().per_minute(5).tokens_per_day(0));
    let full = plan.room(&mut log, &requests(1), &millis(0)).unwrap_err();
    assert_eq!((full.limit.unit, full.opens), (Unit::InputTokens, Opens::Never));
}

#[test]
fn no_images_need_no_room_for_images() {
    let none = Limit { unit: Unit::Images, span: Span::Day, amount: 0 };
    let (plan, mut log) = empty(&Limits::new().with(none));
    plan.room(&mut log, &requests(1), &millis(0)).unwrap();
    let one = crate::limit::Need { images: 1, ..requests(1) };
    plan.room(&mut log, &one, &millis(0)).unwrap_err();
}

#[test]
fn headroom_is_the_least_of_the_windows() {
    let (plan, mut log) = empty(&Limits::new().tokens_per_minute(1_000).tokens_per_day(5_000).with(Limit {
        unit: Unit::Tokens,
        span: Span::MINUTE,
        amount: 900,
    }));
    let headroom = |log: &mut [u16], unit| plan.headroom(log, unit, millis(0).tick, millis(0).day.days);
    assert_eq!(headroom(&mut log, Unit::InputTokens), 900);
    assert_eq!(headroom(&mut log, Unit::Images), u64::MAX);
    plan.reserve(&mut log, &tokens(400));
    plan.stamp(&mut log, &tokens(400), &millis(0));
    assert_eq!(headroom(&mut log, Unit::InputTokens), 500);
    assert_eq!(plan.next_headroom(&mut log, Unit::InputTokens, 500, &millis(0)), None);
    assert_eq!(plan.next_headroom(&mut log, Unit::InputTokens, 901, &millis(0)), Some(Opens::Never));
    let Some(Opens::Tick(tick)) = plan.next_headroom(&mut log, Unit::InputTokens, 501, &millis(0)) else { panic!() };
    plan.room(&mut log.clone(), &tokens(501), &crate::limit::At { tick, ..millis(0) }).unwrap();
    plan.room(&mut log, &tokens(501), &super::at(tick.nanos() - 1)).unwrap_err();
}

/// A caller that asks whenever the window says that it opens.
fn greedy(limits: &Limits, need: crate::limit::Need, hours: u64) -> u64 {
    let (plan, mut log) = empty(limits);
    let (mut now, mut starts) = (millis(7), 0);
    while now.tick.millis() < hours * 3_600_000 {
        match plan.room(&mut log, &need, &now) {
            Ok(()) => {
                plan.reserve(&mut log, &need);
                plan.stamp(&mut log, &need, &now);
                starts += 1;
                // Requests do not all come at once.
                now = super::at(now.tick.nanos() + 3_333_333);
            }
            Err(full) => now.tick = full.opens.tick(&now).unwrap(),
        }
    }
    starts
}

#[test]
fn law_10_a_saturating_caller_gets_what_the_limit_allows() {
    for limit in [1, 15, 60, 500, 513, 2_000] {
        let starts = greedy(&Limits::new().per_minute(limit), requests(1), 4);
        assert!(starts >= limit * 240 * 99 / 100, "{starts} at {limit}/minute");
        assert!(starts <= limit * 241, "{starts} at {limit}/minute");
    }
    let starts = greedy(&Limits::new().per_minute(60).tokens_per_minute(60_000), tokens(3_000), 4);
    assert!(starts >= 20 * 240 * 99 / 100, "{starts} of 3,000 tokens");
}

#[test]
fn more_than_the_limit_may_be_pressed_in() {
    let (plan, mut log) = empty(&Limits::new().per_minute(3).tokens_per_minute(100));
    for n in 0..10 {
        plan.reserve(&mut log, &tokens(40));
        plan.stamp(&mut log, &tokens(40), &millis(n * 1_000));
    }
    // The newest three decide: the first of them started at 7 s.
    let full = plan.room(&mut log, &tokens(1), &millis(20_000)).unwrap_err();
    assert!(full.opens.tick(&millis(20_000)).unwrap().millis() >= 67_250);
    let wait = plan.next_headroom(&mut log, Unit::Requests, 1, &millis(20_000)).unwrap();
    assert_eq!(wait.tick(&millis(20_000)).unwrap().millis() / 10, 6_725);
}

#[test]
fn what_was_pressed_out_still_counts_when_another_start_is_given_back() {
    let (plan, mut log) = empty(&Limits::new().per_minute(3));
    let start = |log: &mut [u16], ms| {
        plan.reserve(log, &requests(1));
        plan.stamp(log, &requests(1), &millis(ms))
    };
    for ms in [1_000, 2_000, 3_000] {
        start(&mut log, ms);
    }
    let fourth = start(&mut log, 4_000);
    plan.refund(&mut log, &requests(1), Some(fourth), &millis(5_000));
    plan.room(&mut log, &requests(1), &millis(61_249)).unwrap_err();
    plan.room(&mut log, &requests(2), &millis(62_260)).unwrap();
    plan.room(&mut log, &requests(3), &millis(63_249)).unwrap_err();
    plan.room(&mut log, &requests(3), &millis(63_260)).unwrap();
}

#[test]
fn a_start_that_left_long_ago_takes_no_other_with_it() {
    let (plan, mut log) = empty(&Limits::new().per_minute(1).tokens_per_minute(100));
    let start = |log: &mut [u16], nanos| {
        plan.reserve(log, &tokens(60));
        plan.stamp(log, &tokens(60), &super::at(nanos))
    };
    // In 2^36 ns the 16 bits that are kept of a start come round.
    let (first, round) = (1 << 34, 1 << 36);
    let long_ago = start(&mut log, first);
    start(&mut log, first + round);
    plan.refund(&mut log, &tokens(60), Some(long_ago), &super::at(first + round + 1_000_000_000));
    let used: Vec<u64> = plan.used(&mut log, &super::at(first + round)).map(|(_, used)| used).collect();
    assert_eq!(used, [1, 60]);
}

#[test]
fn a_ring_that_is_too_short_folds_its_oldest_and_loses_nothing() {
    let (plan, mut log) = empty(&Limits::new().per_minute(1).tokens_per_minute(1_000));
    for second in 1..=10 {
        plan.reserve(&mut log, &tokens(60));
        plan.stamp(&mut log, &tokens(60), &millis(second * 1_000));
    }
    let used = |log: &mut [u16], ms| plan.used(log, &millis(ms)).nth(1).unwrap().1;
    assert_eq!(used(&mut log, 10_000), 600);
    assert_eq!(used(&mut log, 68_200), 600, "the folded leave with the last of them, at 8 s");
    assert_eq!(used(&mut log, 68_300), 120);
    assert_eq!(used(&mut log, 70_300), 0);
}
