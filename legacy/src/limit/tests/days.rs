//! Days: counted by date in the owner's zone.

use std::{collections::BTreeMap, time::Duration};

use jiff::{Timestamp, civil, tz::TimeZone};
use proptest::prelude::*;

use super::{empty, requests};
use crate::{
    limit::{At, Dates, Limits, MIDNIGHT_GUARD, Need, Plan, Stamp, Zone, need::Opens, zone::Days},
    time::Tick,
};

const HOUR: i64 = 3_600_000;
const MINUTE: i64 = 60_000;

fn los_angeles() -> Zone {
    Zone::new(TimeZone::get("America/Los_Angeles").unwrap(), MIDNIGHT_GUARD)
}

fn wall(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

fn days_since_1970(date: civil::Date) -> u16 {
    (date - civil::date(1970, 1, 1)).get_days() as u16 + 1
}

/// An owner with a daily limit, and a clock.
struct Owner {
    zone: Zone,
    plan: Plan,
    log: Vec<u16>,
}

impl Owner {
    fn new(per_day: u64) -> Self {
        let (plan, log) = empty(&Limits::new().per_day(per_day));
        Self { zone: los_angeles(), plan, log }
    }

    fn at(&mut self, wall_ms: i64) -> At {
        At { tick: Tick::from_nanos(1), day: self.zone.at(Tick::from_nanos(1), wall_ms) }
    }

    fn has_room(&mut self, wall_ms: i64) -> bool {
        let at = self.at(wall_ms);
        self.plan.room(&mut self.log, &requests(1), &at).is_ok()
    }

    fn start(&mut self, wall_ms: i64) -> Stamp {
        let at = self.at(wall_ms);
        self.plan.reserve(&mut self.log, &requests(1));
        self.plan.stamp(&mut self.log, &requests(1), &at)
    }

    fn used(&mut self, wall_ms: i64) -> u64 {
        let at = self.at(wall_ms);
        self.plan.used(&mut self.log, &at).next().unwrap().1
    }
}

#[test]
fn a_day_of_23_hours_and_one_of_25() {
    let zone = los_angeles();
    let spring = wall("2026-03-08T08:00:00Z");
    assert_eq!(zone.next_midnight(spring) - 30_000, spring + 23 * HOUR);
    assert_eq!(zone.next_midnight(spring + 23 * HOUR - 1) - 30_000, spring + 23 * HOUR);
    assert_eq!(zone.next_midnight(spring + 23 * HOUR) - 30_000, spring + 47 * HOUR);
    let autumn = wall("2026-11-01T07:00:00Z");
    assert_eq!(zone.next_midnight(autumn) - 30_000, autumn + 25 * HOUR);
    assert_eq!(zone.next_midnight(autumn - 1) - 30_000, autumn);
}

#[test]
fn the_zone_agrees_with_the_calendar_at_every_minute_of_both_edges() {
    let (mut zone, rules) = (los_angeles(), TimeZone::get("America/Los_Angeles").unwrap());
    for edge in ["2026-03-06T00:00:00Z", "2026-10-30T00:00:00Z"] {
        for minute in 0..5 * 1_440 {
            let wall_ms = wall(edge) + minute * MINUTE + 1;
            let local = Timestamp::from_millisecond(wall_ms).unwrap().to_zoned(rules.clone());
            let date = days_since_1970(local.date());
            let day = zone.at(Tick::ZERO.plus(Duration::from_millis(wall_ms.unsigned_abs())), wall_ms);
            let first = if local.time() < civil::time(0, 0, 30, 0) { date - 1 } else { date };
            assert_eq!(day.days, Days { first, last: date }, "{local}");
            assert_eq!(day.next_ms, zone.next_midnight(wall_ms));
            let end = Timestamp::from_millisecond(day.next_ms).unwrap().to_zoned(rules.clone());
            assert_eq!((end.date(), end.time()), (local.date().tomorrow().unwrap(), civil::time(0, 0, 30, 0)));
        }
    }
}

#[test]
fn near_midnight_is_on_both_sides() {
    let zone = los_angeles();
    let midnight = wall("2026-06-02T07:00:00Z");
    let ten = Duration::from_secs(600);
    for (offset, near) in [(-11, false), (-10, true), (-1, true), (0, true), (9, true), (10, false), (720, false)] {
        assert_eq!(zone.near_midnight(midnight + offset * MINUTE, ten), near, "{offset} min");
    }
}

#[test]
fn clocks_far_off_have_dates_too() {
    let mut zone = los_angeles();
    for (n, wall_ms) in [i64::MIN, -1, 0, 1, wall("2149-12-31T00:00:00Z"), i64::MAX].into_iter().enumerate() {
        let day = zone.at(Tick::ZERO.plus(Duration::from_secs(86_400 * n as u64)), wall_ms);
        assert!(day.days.first > 0 && day.days.first <= day.days.last, "{day:?}");
        assert!(zone.next_midnight(wall_ms) > wall_ms || wall_ms == i64::MAX);
    }
}

#[test]
fn the_first_half_minute_belongs_to_both_days() {
    let midnight = wall("2026-06-02T07:00:00Z");
    let mut owner = Owner::new(3);
    owner.start(midnight - HOUR);
    owner.start(midnight - MINUTE);
    owner.start(midnight + 10_000);
    assert_eq!(owner.used(midnight - 1), 3, "counts in the day before");
    assert_eq!(owner.used(midnight + 31_000), 1, "and in the new one");
    assert!(!owner.has_room(midnight + 29_999), "the day before is full");
    assert!(owner.has_room(midnight + 30_000));
}

#[test]
fn a_full_day_opens_after_the_next_midnight_and_its_guard() {
    for (start, midnight) in [
        ("2026-03-08T12:00:00Z", "2026-03-09T07:00:00Z"),
        ("2026-11-01T12:00:00Z", "2026-11-02T08:00:00Z"),
        ("2026-06-02T07:00:30Z", "2026-06-03T07:00:00Z"),
    ] {
        let mut owner = Owner::new(1);
        owner.start(wall(start));
        let at = owner.at(wall(start));
        let full = owner.plan.room(&mut owner.log, &requests(1), &at).unwrap_err();
        let opens = wall(midnight) + 30_000;
        assert_eq!(full.opens, Opens::Wall(opens));
        let waits = full.opens.tick(&at).unwrap().since(at.tick);
        assert_eq!(waits.as_millis() as i64, opens - wall(start));
        assert!(!owner.has_room(opens - 1));
        assert!(owner.has_room(opens));
    }
}

#[test]
fn a_full_yesterday_opens_when_the_guard_ends() {
    let midnight = wall("2026-06-02T07:00:00Z");
    let mut owner = Owner::new(1);
    owner.start(midnight - HOUR);
    let at = owner.at(midnight + 1_000);
    let full = owner.plan.room(&mut owner.log, &requests(1), &at).unwrap_err();
    assert_eq!(full.opens, Opens::Wall(midnight + 30_000));
}

#[test]
fn a_jumping_clock_finds_its_counts_again() {
    let noon = wall("2026-06-02T19:00:00Z");
    for jump in [-400 * 24 * HOUR, -24 * HOUR, 24 * HOUR, 10 * 24 * HOUR] {
        let mut owner = Owner::new(2);
        owner.start(noon);
        owner.start(noon);
        assert!(owner.has_room(noon + jump));
        owner.start(noon + jump);
        assert!(!owner.has_room(noon), "back on the day before the jump");
        assert_eq!(owner.used(noon + jump), 1, "and on the other again");
    }
}

#[test]
fn a_provisional_place_holds_on_every_date() {
    let noon = wall("2026-06-02T19:00:00Z");
    let mut owner = Owner::new(1);
    owner.plan.reserve(&mut owner.log, &requests(1));
    assert!(!owner.has_room(noon));
    assert!(!owner.has_room(noon + 24 * HOUR));
    let at = owner.at(noon + 24 * HOUR);
    owner.plan.stamp(&mut owner.log, &requests(1), &at);
    assert!(owner.has_room(noon), "it started on the other date");
    assert!(!owner.has_room(noon + 24 * HOUR));
}

#[test]
fn a_request_over_midnight_counts_in_both_days_and_once_in_each() {
    let midnight = wall("2026-06-02T07:00:00Z");
    let mut owner = Owner::new(10);
    let mut stamp = owner.start(midnight - MINUTE);
    for later in [midnight - 1, midnight + 10_000, midnight + HOUR, midnight + 2 * HOUR] {
        let at = owner.at(later);
        stamp = owner.plan.spans_midnight(&mut owner.log, &requests(1), stamp, &at);
    }
    assert_eq!(owner.used(midnight - 1), 1);
    assert_eq!(owner.used(midnight + HOUR), 1);
    let at = owner.at(midnight + HOUR);
    owner.plan.refund(&mut owner.log, &requests(1), Some(stamp), &at);
    assert_eq!((owner.used(midnight - 1), owner.used(midnight + HOUR)), (0, 0));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Ask,
    Start,
    GiveBack(usize),
    Move(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Within three dates, and often close to a midnight.
    let near = (0..3_i64, -60_000..60_000_i64).prop_map(|(day, ms)| day * 24 * HOUR + ms);
    let wall = prop_oneof![0..70 * HOUR, near].prop_map(|ms| Step::Move(ms.clamp(30_000, 70 * HOUR)));
    let step = prop_oneof![
        5 => Just(Step::Ask),
        4 => Just(Step::Start),
        1 => any::<usize>().prop_map(Step::GiveBack),
        2 => wall,
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #[test]
    fn law_3_no_date_holds_more_than_its_limit(
        limit in 1..40_u64,
        edge in prop::sample::select(vec!["2026-03-07T08:00:00Z", "2026-10-31T07:00:00Z", "2026-06-01T07:00:00Z"]),
        steps in steps(),
    ) {
        let (mut owner, mut now) = (Owner::new(limit), wall(edge) + HOUR);
        let (mut furthest, mut provisional) = (now, 0_u64);
        let mut started: Vec<Stamp> = Vec::new();
        for step in steps {
            let at = owner.at(now);
            match step {
                // A place granted by a clock that was set back knows nothing of the dates ahead.
                Step::Move(ms) if provisional == 0 || (wall(edge) + ms >= now && now == furthest) => {
                    now = wall(edge) + ms;
                    furthest = furthest.max(now);
                }
                Step::Ask if owner.has_room(now) => {
                    owner.plan.reserve(&mut owner.log, &requests(1));
                    provisional += 1;
                }
                Step::Start if provisional > 0 => {
                    provisional -= 1;
                    started.push(owner.plan.stamp(&mut owner.log, &requests(1), &at));
                    prop_assert!(started.last().unwrap().days == owner.at(now).day.days);
                }
                Step::GiveBack(who) if !started.is_empty() => {
                    let stamp = started.swap_remove(who % started.len());
                    owner.plan.refund(&mut owner.log, &requests(1), Some(stamp), &at);
                }
                _ => {}
            }
            let mut dates: BTreeMap<u16, u64> = BTreeMap::new();
            for stamp in &started {
                for date in stamp.days.first..=stamp.days.last {
                    *dates.entry(date).or_default() += 1;
                }
            }
            for (date, count) in &dates {
                prop_assert!(*count <= limit, "{count} of {limit} on {date}");
            }
            let days = owner.at(now).day.days;
            let today = [days.first, days.last].map(|date| dates.get(&date).copied().unwrap_or(0));
            prop_assert_eq!(owner.used(now), provisional + today[0].max(today[1]));
        }
    }
}

proptest! {
    /// Within a day by the monotonic clock the wall clock jumps where it likes.
    #[test]
    fn law_3_no_date_of_a_jumping_clock_holds_more_than_its_limit(
        limit in 1..6_u64,
        many in any::<bool>(),
        steps in prop::collection::vec((0..40_i64, prop::sample::select(vec![-10_000, 0, 10_000, 40_000, 43_200_000]), 0..4_usize), 1..120),
    ) {
        let kept = if many { Dates::Many } else { Dates::Few };
        let plan = Plan::compile_for(&Limits::new().per_day(limit), super::GUARD, kept);
        let mut zone = los_angeles();
        zone.keep(kept);
        let (mut owner, midnight) = (Owner { zone, log: vec![0; plan.words()], plan }, wall("2026-06-01T07:00:00Z"));
        let mut dates: BTreeMap<u16, u64> = BTreeMap::new();
        for (day, ms, starts) in steps {
            let now = midnight + day * 24 * HOUR + ms;
            let date = owner.zone.days(now).last;
            for _ in 0..starts {
                if owner.has_room(now) {
                    owner.start(now);
                    *dates.entry(date).or_default() += 1;
                }
            }
            prop_assert!(owner.used(now) >= dates.get(&date).copied().unwrap_or(0), "{dates:?} on {date}");
            prop_assert!(dates.values().all(|count| *count <= limit), "{dates:?}");
        }
    }
}

#[test]
fn tokens_of_a_day_are_corrected_on_its_date() {
    let (plan, mut log) = empty(&Limits::new().tokens_per_day(1_000_000));
    let mut zone = los_angeles();
    let midnight = wall("2026-06-02T07:00:00Z");
    let need = Need { input_tokens: 400_000, ..requests(1) };
    let before = At { tick: Tick::from_nanos(1), day: zone.at(Tick::from_nanos(1), midnight - MINUTE) };
    let after = At { tick: Tick::from_nanos(2), day: zone.at(Tick::from_nanos(2), midnight + HOUR) };
    plan.reserve(&mut log, &need);
    let stamp = plan.stamp(&mut log, &need, &before);
    let actual = crate::limit::Correction { reserved: 400_000, actual: 900_000 };
    plan.correct(&mut log, crate::limit::Unit::InputTokens, Some(stamp), actual, &after);
    assert_eq!(plan.used(&mut log, &after).next().unwrap().1, 0);
    assert_eq!(plan.used(&mut log, &before).next().unwrap().1, 900_000);
}
