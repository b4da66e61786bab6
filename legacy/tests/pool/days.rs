//! Days end by the owner's wall clock.

use std::collections::HashMap;

use jiff::{Timestamp, civil, tz::TimeZone};
use proptest::prelude::*;
use tower_keypool::{KeyPool, Limits, ManualClock, QuotaNews, Span, Unit, Violation};

use crate::support::{FLASH, answer, builder, daily, key, next_in, rest, secs, take, view, wall};

fn at(time: &str, limits: Limits) -> (KeyPool, ManualClock) {
    let time = ManualClock::at(wall(time));
    let pool = builder().key(key(0)).limits(FLASH, limits).clock(time.clock()).build().unwrap();
    (pool, time)
}

#[test]
fn a_used_up_day_rests_until_midnight_and_half_a_minute() {
    let (pool, time) = at("2026-06-15T12:00:00-07:00", Limits::new());
    answer(&pool, FLASH, &daily());
    assert_eq!(next_in(&pool, FLASH), Some(secs(12 * 3600 + 30)));
    time.advance(secs(12 * 3600 + 29));
    assert!(pool.try_acquire(FLASH).is_err());
    time.advance(secs(1));
    drop(take(&pool, FLASH));
}

#[test]
fn within_ten_minutes_of_midnight_a_daily_429_rests_a_minute_doubling() {
    for (start, near) in [
        ("2026-06-15T23:49:00-07:00", false),
        ("2026-06-15T23:51:00-07:00", true),
        ("2026-06-15T23:59:59-07:00", true),
        ("2026-06-16T00:01:00-07:00", true),
        ("2026-06-16T00:09:00-07:00", true),
        ("2026-06-16T00:11:00-07:00", false),
    ] {
        let (pool, _) = at(start, Limits::new());
        answer(&pool, FLASH, &daily());
        let rests = rest(&pool, 0).expect("it rests");
        assert_eq!(rests == secs(60), near, "{start}: {rests:?}");
    }
    let (pool, time) = at("2026-06-15T23:55:00-07:00", Limits::new());
    for pause in [60, 120, 240, 480] {
        answer(&pool, FLASH, &daily());
        assert_eq!(rest(&pool, 0), Some(secs(pause)));
        time.advance(secs(pause));
    }
    answer(&pool, FLASH, &daily());
    // It is 00:10 by now: the answer speaks of the new day.
    assert_eq!(rest(&pool, 0), Some(secs(23 * 3600 + 50 * 60 + 30)));
}

/// The provider's clock need not agree with ours: what serves a moment after midnight may be refused as the day's before.
#[test]
fn no_rest_of_a_day_ends_in_the_half_minute_after_midnight() {
    let news = |amount| QuotaNews {
        violations: vec![Violation { unit: Unit::Requests, span: Span::Day, amount: Some(amount) }],
        ..QuotaNews::default()
    };
    for (start, pause) in [(("23:59:08"), 82), ("23:59:29", 61), ("23:59:31", 60), ("23:58:59", 60)] {
        for learns in [false, true] {
            let (pool, time) = at(&format!("2026-06-15T{start}-07:00"), Limits::new());
            answer(&pool, FLASH, &if learns { daily().news(news(250)) } else { daily() });
            time.advance(secs(pause - 1));
            assert!(pool.try_acquire(FLASH).is_err(), "{start}, {learns}: it serves after less than {pause} s");
            time.advance(secs(1));
            drop(take(&pool, FLASH));
        }
    }
}

#[test]
fn the_midnight_is_the_one_after_the_requests_start() {
    let (pool, time) = at("2026-06-15T23:30:00-07:00", Limits::new());
    let old = take(&pool, FLASH);
    time.advance(secs(3600));
    old.judge(&daily());
    drop(old);
    drop(take(&pool, FLASH));
    let (pool, time) = at("2026-06-15T23:30:00-07:00", Limits::new());
    time.advance(secs(3600));
    answer(&pool, FLASH, &daily());
    assert_eq!(rest(&pool, 0), Some(secs(23 * 3600 + 30 * 60 + 30)));
}

#[test]
fn both_days_of_a_change_to_or_from_daylight_saving_have_their_own_length() {
    for (midnight, hours) in [("2026-03-08T00:00:00-08:00", 23), ("2026-11-01T00:00:00-07:00", 25)] {
        let (pool, time) = at(midnight, Limits::new().per_day(2));
        time.advance(secs(30));
        drop((take(&pool, FLASH), take(&pool, FLASH)));
        assert_eq!(next_in(&pool, FLASH), Some(secs(hours * 3600)), "{midnight}");
        time.advance(secs(hours * 3600 - 1));
        assert!(pool.try_acquire(FLASH).is_err(), "{midnight}");
        time.advance(secs(1));
        drop(take(&pool, FLASH));
        let (pool, time) = at(midnight, Limits::new());
        time.advance(secs(3600));
        answer(&pool, FLASH, &daily());
        assert_eq!(rest(&pool, 0), Some(secs((hours - 1) * 3600 + 30)), "{midnight}: a rest");
    }
}

#[test]
fn counts_are_found_again_when_the_wall_clock_jumps_forth_and_back() {
    let (pool, time) = at("2026-06-15T12:00:00-07:00", Limits::new().per_day(2));
    drop((take(&pool, FLASH), take(&pool, FLASH)));
    assert!(pool.try_acquire(FLASH).is_err());
    time.set_wall(wall("2026-06-16T12:00:00-07:00"));
    drop(take(&pool, FLASH));
    time.set_wall(wall("2026-06-15T12:00:05-07:00"));
    assert!(pool.try_acquire(FLASH).is_err(), "the day that is back was used up");
    time.set_wall(wall("2026-06-16T12:00:05-07:00"));
    drop(take(&pool, FLASH));
    assert!(pool.try_acquire(FLASH).is_err());
}

#[test]
fn tokens_that_a_jump_of_the_wall_clock_gives_back_are_had_at_once() {
    let (pool, time) = at("2026-06-15T12:00:00-07:00", Limits::new().tokens_per_day(4000));
    let of_tokens = |tokens| pool.try_acquire(tower_keypool::Demand::new(FLASH).tokens(tokens)).map(drop);
    of_tokens(3000).unwrap();
    of_tokens(1).unwrap();
    assert!(of_tokens(1500).is_err());
    time.set_wall(wall("2026-06-16T12:00:00-07:00"));
    of_tokens(1500).unwrap();
}

/// Noon, so many days before or after that of a pool.
fn on_day(offset: i64) -> std::time::SystemTime {
    let noon = wall("2026-06-15T12:00:00-07:00");
    let away = secs(offset.unsigned_abs() * 86_400);
    if offset < 0 { noon - away } else { noon + away }
}

#[test]
fn a_day_is_found_again_after_a_clock_was_on_many_others() {
    let (pool, time) = at("2026-06-15T12:00:00-07:00", Limits::new().per_day(2));
    drop((take(&pool, FLASH), take(&pool, FLASH)));
    let others = [1, -1, 30, 2, 3, -40, -400, 5, 4, -2, 365, -3, 7];
    for (visited, other) in others.iter().enumerate() {
        time.set_wall(on_day(*other));
        drop(take(&pool, FLASH));
        if visited == 2 {
            time.set_wall(on_day(0));
            assert!(pool.try_acquire(FLASH).is_err(), "three other dates");
        }
    }
    time.set_wall(on_day(0));
    assert!(pool.try_acquire(FLASH).is_err(), "all of them");
    for other in others {
        time.set_wall(on_day(other));
        drop(take(&pool, FLASH));
        assert!(pool.try_acquire(FLASH).is_err(), "day {other} has its own count");
    }
}

#[test]
fn a_day_that_the_clock_walks_into_again_is_found_too() {
    let (pool, time) = at("2026-06-15T12:00:00-07:00", Limits::new().per_day(2));
    drop((take(&pool, FLASH), take(&pool, FLASH)));
    for other in [-4, -3, -2, -1] {
        time.set_wall(on_day(other));
        drop(take(&pool, FLASH));
    }
    time.advance(secs(12 * 3600 + 31));
    assert!(pool.try_acquire(FLASH).is_err());
}

#[test]
fn a_clock_that_looks_at_many_dates_lets_no_more_start_on_any() {
    let (pool, time) = at("2026-06-15T12:00:00-07:00", Limits::new().per_day(2));
    drop((take(&pool, FLASH), take(&pool, FLASH)));
    let mut started = HashMap::new();
    let mut bytes = Vec::new();
    for round in 0..6 {
        for other in 1..=40 {
            time.set_wall(on_day(other * 3));
            let starts = started.entry(other).or_insert(0);
            *starts += std::iter::from_fn(|| pool.try_acquire(FLASH).ok().map(drop)).count();
            assert!(*starts <= 2, "day {other}, round {round}: {starts}");
            assert_eq!(view(&pool, 0).lanes[0].limits[0].used, 2);
        }
        time.set_wall(on_day(0));
        assert!(pool.try_acquire(FLASH).is_err(), "round {round}");
        bytes.push(pool.snapshot().total_memory_bytes);
    }
    // Timers that were set on other dates are swept once they are the most.
    assert!(bytes[5] <= bytes[0] + 2_048, "{bytes:?}");
    // Whatever day it was, it is over: dates count anew.
    time.advance(secs(27 * 3600));
    time.set_wall(on_day(500));
    drop((take(&pool, FLASH), take(&pool, FLASH)));
    assert!(pool.try_acquire(FLASH).is_err());
}

#[test]
fn a_clock_that_walks_needs_no_more_memory() {
    let (pool, time) = at("2026-06-15T12:00:00-07:00", Limits::new().per_day(2));
    let mut bytes = Vec::new();
    for day in 0..30 {
        drop((take(&pool, FLASH), take(&pool, FLASH)));
        assert!(pool.try_acquire(FLASH).is_err(), "day {day}");
        bytes.push(pool.snapshot().total_memory_bytes);
        time.advance(secs(86_400));
    }
    assert!(bytes.iter().all(|held| *held == bytes[0]), "{bytes:?}");
}

/// How many start now, up to `wanted`.
fn starts(pool: &KeyPool, wanted: usize) -> usize {
    std::iter::from_fn(|| pool.try_acquire(FLASH).ok().map(drop)).take(wanted).count()
}

#[test]
fn a_date_has_its_own_count_though_nobody_asked_at_the_midnights_before() {
    let (pool, time) = at("2026-11-18T12:00:00-08:00", Limits::new().per_day(20));
    assert_eq!(starts(&pool, 1), 1);
    // The 19th, late; the 20th, early, and used up; the 21st, just begun.
    for (hours, minutes, wanted) in [(35, 0, 1), (7, 0, 20), (18, 1, 20)] {
        time.advance(secs(hours * 3600 + minutes * 60));
        assert_eq!(starts(&pool, wanted), wanted, "after {hours} h");
    }
    assert_eq!(starts(&pool, 1), 0);
}

#[test]
fn a_date_has_its_own_count_though_the_clock_was_set_shortly_before_midnight() {
    // How many it leaves for the first midnight's date: one of them is the one that was shown.
    for (shown, set, next) in [
        ("2026-03-01T12:00:00-08:00", "2026-06-15T23:00:00-07:00", 3),
        ("2026-06-15T23:10:00-07:00", "2026-06-14T23:00:00-07:00", 2),
    ] {
        let (pool, time) = at(shown, Limits::new().per_day(3));
        assert_eq!(starts(&pool, 1), 1);
        time.set_wall(wall(set));
        for day in 0..6 {
            let left = if day == 1 { next } else { 3 };
            assert_eq!(starts(&pool, 4), left, "day {day} after {set}");
            time.advance(if day == 0 { secs(3600 + 60) } else { secs(86_400) });
        }
    }
}

#[test]
fn a_date_that_the_clock_was_on_for_long_is_found_a_day_after_it_was_set() {
    let (pool, time) = at("2026-06-15T00:30:00-07:00", Limits::new().per_day(2));
    assert!(pool.try_acquire(FLASH).is_ok());
    time.advance(secs(20 * 3600));
    assert_eq!(starts(&pool, 3), 1, "so late on the 15th");
    time.set_wall(wall("2026-07-20T23:50:00-07:00"));
    for pause in [0, 1_200, 86_400] {
        time.advance(secs(pause));
        assert_eq!(starts(&pool, 3), 2);
    }
    time.set_wall(wall("2026-06-15T21:00:00-07:00"));
    assert_eq!(starts(&pool, 3), 0, "the day of those starts may not be over");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// However long nobody asks, and wherever midnight is.
    #[test]
    fn law_10_each_date_of_a_clock_that_walks_starts_exactly_its_limit(
        limit in 1..5_usize,
        zone in prop::sample::select(vec![
            "UTC", "America/Los_Angeles", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Apia", "America/Sao_Paulo",
            "Africa/Cairo", "Australia/Lord_Howe",
        ]),
        begin in prop::sample::select(vec![
            "2026-03-07T08:00:00Z", "2026-10-24T22:00:00Z", "2026-10-31T07:00:00Z", "2026-12-31T23:00:00Z", "2026-06-01T07:00:00Z",
        ]),
        // Seconds that nobody asks, and how many ask then.
        steps in prop::collection::vec((prop_oneof![
            2 => 0..40_u64, 3 => 0..7_200_u64, 3 => 0..36 * 3_600_u64, 1 => 0..6 * 86_400_u64,
        ], 0..7_usize), 1..60),
    ) {
        let (rules, mut now) = (TimeZone::get(zone).unwrap(), begin.parse::<Timestamp>().unwrap());
        let time = ManualClock::at(now.into());
        let pool = builder().key(key(0).zone(zone)).limits(FLASH, Limits::new().per_day(limit as u64)).clock(time.clock());
        let pool = pool.build().unwrap();
        let mut started: HashMap<civil::Date, usize> = HashMap::new();
        for (pause, wanted) in steps {
            time.advance(secs(pause));
            now += jiff::SignedDuration::from_secs(pause as i64);
            let date = |at: Timestamp| at.to_zoned(rules.clone()).date();
            // In the half minute after midnight both dates count.
            let dates = [date(now), date(now - jiff::SignedDuration::from_millis(29_999))];
            let used = dates.iter().map(|date| started.get(date).copied().unwrap_or(0)).max().unwrap_or(0);
            let count = starts(&pool, wanted);
            prop_assert_eq!(count, wanted.min(limit - used), "{} in {}: {} used", now, zone, used);
            *started.entry(dates[0]).or_default() += count;
            if dates[1] != dates[0] {
                *started.entry(dates[1]).or_default() += count;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// What time it really is the ticks know; no day has more than 25 hours of them.
    #[test]
    fn law_3_no_date_starts_more_in_a_day_of_ticks_however_the_clock_is_set(
        limit in 1..5_usize,
        // Seconds that pass, how far the wall clock is set then, and how many ask.
        steps in prop::collection::vec((
            prop_oneof![2 => 0..600_u64, 3 => 0..9 * 3_600_u64],
            prop_oneof![
                4 => Just(0_i64), 2 => -900..900_i64, 2 => -26 * 3_600..26 * 3_600_i64, 1 => -20 * 86_400..20 * 86_400_i64,
            ],
            0..4_usize,
        ), 1..80),
    ) {
        let begin = 1_795_000_000;
        let time = ManualClock::at(std::time::UNIX_EPOCH + secs(begin));
        let pool = builder().key(key(0).zone("UTC")).limits(FLASH, Limits::new().per_day(limit as u64)).clock(time.clock());
        let pool = pool.build().unwrap();
        let (mut passed, mut shown) = (0, begin as i64);
        let mut started: Vec<(u64, i64)> = Vec::new();
        for (pause, set, wanted) in steps {
            time.advance(secs(pause));
            passed += pause;
            shown += pause as i64 + set;
            if set != 0 {
                time.set_wall(std::time::UNIX_EPOCH + secs(shown as u64));
            }
            let date = shown.div_euclid(86_400);
            started.extend(std::iter::repeat_n((passed, date), starts(&pool, wanted)));
            let of_late = started.iter().filter(|(at, on)| *on == date && passed - at < 25 * 3_600).count();
            prop_assert!(of_late <= limit, "{of_late} on {date}: {started:?}");
        }
    }
}

#[test]
fn a_days_rest_follows_the_wall_clock_and_a_minutes_does_not() {
    let (pool, time) = at("2026-06-15T12:00:00-07:00", Limits::new().per_minute(1));
    answer(&pool, FLASH, &daily());
    time.set_wall(wall("2026-06-16T00:00:31-07:00"));
    assert_eq!(next_in(&pool, FLASH).map(|next| next.as_secs()), Some(60), "only the minute is full");
    time.set_wall(wall("2026-06-15T13:00:00-07:00"));
    assert_eq!(next_in(&pool, FLASH), Some(secs(11 * 3600 + 30)), "the clock was set back: the day is not over");
}

#[test]
fn a_request_that_spans_midnight_counts_on_both_days() {
    let (pool, time) = at("2026-06-15T23:58:00-07:00", Limits::new().per_day(3));
    let long = take(&pool, FLASH);
    time.advance(secs(300));
    assert_eq!(view(&pool, 0).lanes[0].limits[0].used, 1, "the new day, from its first moment");
    drop(long);
    assert_eq!(view(&pool, 0).lanes[0].limits[0].used, 1);
    time.set_wall(wall("2026-06-15T23:59:00-07:00"));
    assert_eq!(view(&pool, 0).lanes[0].limits[0].used, 1, "the day that it started on");
}

#[test]
fn a_keys_own_zone_ends_its_day() {
    let time = ManualClock::at(wall("2026-06-15T12:00:00Z"));
    let pool = builder().key(key(0).zone("Asia/Tokyo")).clock(time.clock()).build().unwrap();
    answer(&pool, FLASH, &daily());
    assert_eq!(rest(&pool, 0), Some(secs(3 * 3600 + 30)));
}

#[test]
fn a_request_under_way_over_midnight_counts_on_the_new_day_before_it_ends() {
    let plans = [
        Limits::new().per_day(4),
        Limits::new().per_minute(50).per_day(4),
        Limits::new().per_minute(50).per_day(4).tokens_per_minute(9_000),
        Limits::new().per_minute(50).per_day(4).tokens_per_day(900_000),
    ];
    for (plan, limits) in plans.into_iter().enumerate() {
        for seen_first in ["a pick", "an end", "a snapshot"] {
            let (pool, time) = at("2026-06-15T23:50:00-07:00", limits.clone());
            let mut out = vec![take(&pool, FLASH), take(&pool, FLASH), take(&pool, FLASH)];
            time.advance(secs(11 * 60));
            let of_day = || {
                let lane = view(&pool, 0).lanes.remove(0);
                lane.limits.iter().find(|limit| limit.limit.to_string() == "requests/day").map(|limit| limit.used)
            };
            match seen_first {
                "an end" => drop(out.pop()),
                "a snapshot" => assert_eq!(of_day(), Some(3), "{plan}"),
                _ => {}
            }
            // Three of the day before are under way, or were on this one.
            drop(take(&pool, FLASH));
            assert!(pool.try_acquire(FLASH).is_err(), "{plan}, {seen_first}");
            drop(out);
            assert_eq!(of_day(), Some(4), "{plan}, {seen_first}: once each");
        }
    }
}

#[test]
fn what_spans_midnight_is_at_most_what_the_day_before_allowed() {
    let (pool, time) = at("2026-06-15T23:59:59-07:00", Limits::new().per_day(2));
    let out = (take(&pool, FLASH), take(&pool, FLASH));
    time.advance(secs(3));
    assert!(pool.try_acquire(FLASH).is_err(), "in the guard both days count");
    time.advance(secs(60));
    assert!(pool.try_acquire(FLASH).is_err(), "both count here, too");
    drop(out);
    assert!(pool.try_acquire(FLASH).is_err());
    time.advance(secs(24 * 3600));
    drop(take(&pool, FLASH));
}
