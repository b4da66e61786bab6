//! Counts survive a change of limits, and the union of two owners.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    at, empty, millis,
    oracle::{World, steps},
    requests, tokens,
};
use crate::limit::{At, Limit, Limits, Need, Plan, Span, Unit, zone::Days};

fn sliding(unit: Unit, secs: u64, amount: u64) -> Limit {
    Limit { unit, span: Span::Sliding(Duration::from_secs(secs)), amount }
}

fn any_limits() -> impl Strategy<Value = Limits> {
    let requests = (prop_oneof![Just(60), Just(600), 1..86_400_u64], 1..900_u64);
    let input = (prop_oneof![Just(60), Just(600), 1..86_400_u64], 1..900_000_u64);
    (requests, input).prop_map(|(requests, input)| {
        let requests = sliding(Unit::Requests, requests.0, requests.1);
        Limits::new().with(requests).with(sliding(Unit::InputTokens, input.0, input.1))
    })
}

fn migrate(old: &Plan, old_log: &[u16], limits: &Limits, now: &At) -> (Plan, Vec<u16>) {
    let (new, mut log) = empty(limits);
    Plan::migrate(old, old_log, &new, &mut log, &Need::default(), now);
    (new, log)
}

proptest! {
    #[test]
    fn new_limits_find_what_was_used_under_the_old(
        old in any_limits(),
        shorter in (1..=100_u64, 1..=100_u64),
        amounts in (1..900_u64, 1..900_000_u64),
        before in steps(1, 30_000),
        after in steps(1, 30_000),
    ) {
        let shorten = |limit: &Limit| {
            let (share, amount) = match limit.unit {
                Unit::Requests => (shorter.0, amounts.0),
                _ => (shorter.1, amounts.1),
            };
            let Span::Sliding(span) = limit.span else { unreachable!() };
            Limit { unit: limit.unit, span: Span::Sliding(span * share as u32 / 100), amount }
        };
        let new = old.iter().map(shorten).fold(Limits::new(), Limits::with);
        let mut world = World::new(&old);
        world.play(&before, true);
        (world.plan, world.log) = migrate(&world.plan, &world.log, &new, &at(world.latest));
        world.assert_tight(true);
        world.play(&after, false);
    }

    #[test]
    fn two_owners_that_are_one_have_used_what_both_did(
        limits in any_limits(),
        first in steps(1, 30_000),
        second in steps(1, 30_000),
    ) {
        let (mut one, mut other) = (World::new(&limits), World::new(&limits));
        one.play(&first, false);
        other.play(&second, false);
        let now = at(one.latest.max(other.latest));
        let plan = one.plan.clone();
        plan.merge(&other.log, &mut one.log, &now);
        one.latest = now.tick.nanos();
        one.granted.extend(other.granted);
        let longest = limits.iter().map(super::oracle::window).max().unwrap();
        for tenth in 0..12 {
            one.latest = now.tick.nanos() + longest * tenth / 10;
            one.assert_tight(true);
        }
    }
}

/// One step while limits change: requests and tokens a minute, requests a day.
#[derive(Clone, Debug)]
enum Turn {
    Limits([u64; 3]),
    Ask { need: Need, starts: bool },
    Start { who: usize },
    GiveBack { who: usize },
    Correct { who: usize, actual: u64 },
    Wait { millis: u64 },
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    // On both sides of where a window takes another form, and of what its numbers can say.
    let amount = || prop_oneof![5 => 0..20_u64, 1 => 505..520_u64, 1 => 32_760..32_775_u64, 1 => 70_000..300_000_u64];
    let requests = prop_oneof![6 => 1..4_u32, 1 => 1..40_000_u32];
    let need = (requests, 0..5_000_u64).prop_map(|(requests, input_tokens)| Need {
        requests,
        input_tokens,
        ..Need::default()
    });
    let turn = prop_oneof![
        3 => (amount(), 0..20_000_u64, amount()).prop_map(|(rpm, tpm, rpd)| Turn::Limits([rpm, tpm, rpd + 1_000 * (rpd % 2)])),
        12 => (need, prop::bool::weighted(0.8)).prop_map(|(need, starts)| Turn::Ask { need, starts }),
        3 => any::<usize>().prop_map(|who| Turn::Start { who }),
        2 => any::<usize>().prop_map(|who| Turn::GiveBack { who }),
        1 => (any::<usize>(), 0..5_000_u64).prop_map(|(who, actual)| Turn::Correct { who, actual }),
        6 => (0..9_000_u64).prop_map(|millis| Turn::Wait { millis }),
        1 => (50_000..70_000_u64).prop_map(|millis| Turn::Wait { millis }),
    ];
    prop::collection::vec(turn, 1..120)
}

proptest! {
    /// Lower, higher, lower again: whatever starts finds room in the limit that is in force then, beside all that began
    /// before, under whichever limit that was.
    #[test]
    fn limits_that_fall_and_rise_forget_no_start(turns in turns()) {
        let limits = |[rpm, tpm, rpd]: [u64; 3]| Limits::new().per_minute(rpm).tokens_per_minute(tpm).per_day(rpd);
        let mut world = World::new(&limits([10, 10_000, 100]));
        let mut now = 1_000_000_000;
        for turn in turns {
            match turn {
                Turn::Limits(amounts) => {
                    let (old, log) = (world.plan.clone(), world.log.clone());
                    (world.plan, world.log) = migrate(&old, &log, &limits(amounts), &at(now));
                    world.latest = world.latest.max(now);
                }
                Turn::Ask { need, starts } => {
                    if world.ask(need, now).is_ok() {
                        for limit in world.plan.limits().collect::<Vec<_>>() {
                            let used = world.truly_used(limit.unit, super::oracle::window(&limit));
                            prop_assert!(used <= limit.amount, "{used} in the window of {limit:?}");
                        }
                        if starts {
                            world.start(world.granted.len() - 1, now);
                        }
                    }
                }
                Turn::Start { who } => {
                    let waiting: Vec<usize> =
                        (0..world.granted.len()).filter(|who| world.granted[*who].started.is_none()).collect();
                    if let Some(who) = waiting.get(who % waiting.len().max(1)) {
                        world.start(*who, now);
                    }
                }
                Turn::GiveBack { who } if !world.granted.is_empty() => {
                    let who = who % world.granted.len();
                    if !world.is_leaving(who, now) {
                        world.give_back(who, now);
                    }
                }
                Turn::Correct { who, actual } if !world.granted.is_empty() => {
                    let who = who % world.granted.len();
                    if !world.is_leaving(who, now) {
                        let actual = actual.min(world.granted[who].need.input_tokens);
                        world.correct(who, actual, now);
                    }
                }
                Turn::Wait { millis } => now += millis * 1_000_000,
                Turn::GiveBack { .. } | Turn::Correct { .. } => {}
            }
        }
        // Nothing stays counted for longer than a window after the last of it.
        world.granted.retain(|granted| granted.started.is_some());
        let held = world.plan.windows().iter().map(|window| window.held(&world.log)).collect::<Vec<_>>();
        let later = at(now + 61_000_000_000);
        let left = world.plan.used(&mut world.log, &later).zip(held);
        for ((limit, used), held) in left.filter(|((limit, _), _)| limit.span != Span::Day) {
            prop_assert_eq!(used, held, "{:?} is empty but for what is provisional", limit);
        }
    }
}

#[test]
fn starts_pressed_out_by_a_lower_limit_count_when_it_rises_again() {
    let per_minute = |amount| Limits::new().per_minute(amount);
    let (old, mut log) = empty(&per_minute(20));
    for second in 1..=11 {
        old.reserve(&mut log, &requests(1));
        old.stamp(&mut log, &requests(1), &millis(1_000 * second));
    }
    let (low, mut log) = migrate(&old, &log, &per_minute(5), &millis(12_000));
    low.room(&mut log, &requests(1), &millis(66_000)).unwrap_err();
    let (high, mut log) = migrate(&low, &log, &per_minute(12), &millis(13_000));
    high.room(&mut log, &requests(1), &millis(14_000)).unwrap();
    high.room(&mut log, &requests(2), &millis(14_000)).unwrap_err();
    // Those pressed out leave with the oldest of the five that were kept, at 7 s.
    high.room(&mut log, &requests(2), &millis(67_200)).unwrap_err();
    high.room(&mut log, &requests(8), &millis(67_400)).unwrap();
}

#[test]
fn a_new_limit_for_the_same_span_keeps_times_and_provisional_places() {
    let (old, mut log) = empty(&Limits::new().per_minute(5).per_day(100));
    for ms in [1_000, 2_000] {
        old.reserve(&mut log, &requests(1));
        old.stamp(&mut log, &requests(1), &millis(ms));
    }
    old.reserve(&mut log, &requests(1));
    let (new, mut log) = migrate(&old, &log, &Limits::new().per_minute(3).per_day(200), &millis(3_000));
    let used: Vec<u64> = new.used(&mut log, &millis(3_000)).map(|(_, used)| used).collect();
    assert_eq!(used, [3, 3]);
    let full = new.room(&mut log, &requests(1), &millis(3_000)).unwrap_err();
    assert_eq!(full.opens.tick(&millis(0)).unwrap().millis() / 10, 6_125);
}

#[test]
fn a_minute_learned_beside_a_day_takes_the_day_for_its_own() {
    let (old, mut log) = empty(&Limits::new().per_day(100));
    for _ in 0..7 {
        old.reserve(&mut log, &requests(1));
        old.stamp(&mut log, &requests(1), &millis(1_000));
    }
    let (new, mut log) = migrate(&old, &log, &Limits::new().per_minute(10).per_day(100), &millis(30_000));
    new.room(&mut log, &requests(3), &millis(30_000)).unwrap();
    new.room(&mut log, &requests(4), &millis(90_000)).unwrap_err();
    new.room(&mut log, &requests(10), &millis(90_500)).unwrap();
}

#[test]
fn a_day_learned_beside_a_minute_counts_what_the_minute_still_knows() {
    let (old, mut log) = empty(&Limits::new().per_minute(10));
    for ms in [1_000, 55_000, 70_000] {
        old.reserve(&mut log, &requests(1));
        old.stamp(&mut log, &requests(1), &millis(ms));
    }
    let (new, mut log) = migrate(&old, &log, &Limits::new().per_day(100), &millis(70_000));
    assert_eq!(new.used(&mut log, &millis(70_000)).next().unwrap().1, 2);
}

#[test]
fn what_no_window_counted_is_taken_from_the_leases() {
    let (old, log) = empty(&Limits::new());
    let (new, mut log_of_new) = empty(&Limits::new().per_minute(10).tokens_per_minute(1_000));
    Plan::migrate(&old, &log, &new, &mut log_of_new, &Need { requests: 2, ..tokens(300) }, &millis(1_000));
    let used: Vec<u64> = new.used(&mut log_of_new, &millis(1_000)).map(|(_, used)| used).collect();
    assert_eq!(used, [2, 300]);
    let (none, mut nothing) = empty(&Limits::new());
    Plan::migrate(&new, &log_of_new, &none, &mut nothing, &Need::default(), &millis(2_000));
}

#[test]
fn owners_that_are_one_share_their_dates() {
    let on = |date: u16| {
        let mut now = millis(1_000);
        now.day.days = Days { first: date, last: date };
        now
    };
    let (plan, mut one) = empty(&Limits::new().per_day(100));
    let mut other = one.clone();
    let start = |log: &mut [u16], date| {
        plan.reserve(log, &requests(3));
        plan.stamp(log, &requests(3), &on(date));
    };
    start(&mut one, 20_000);
    start(&mut other, 19_999);
    start(&mut other, 20_000);
    plan.reserve(&mut other, &requests(1));
    plan.merge(&other, &mut one, &on(20_000));
    assert_eq!(plan.used(&mut one, &on(20_000)).next().unwrap().1, 7);
    assert_eq!(plan.used(&mut one, &on(19_999)).next().unwrap().1, 4);
}

#[test]
fn owners_that_are_one_forget_their_starts_in_order() {
    let (plan, mut one) = empty(&Limits::new().per_minute(10).tokens_per_minute(1_000));
    let mut other = one.clone();
    for second in 1..=4 {
        let log = if second % 2 == 0 { &mut other } else { &mut one };
        plan.reserve(log, &tokens(10));
        plan.stamp(log, &tokens(10), &millis(second * 1_000));
    }
    plan.merge(&other, &mut one, &millis(5_000));
    for (second, left) in [(60, 4), (61, 3), (62, 2), (63, 1), (64, 0)] {
        let used: Vec<u64> = plan.used(&mut one, &millis(second * 1_000 + 300)).map(|(_, used)| used).collect();
        assert_eq!(used, [left, 10 * left]);
    }
}

#[test]
fn a_finer_window_takes_a_coarse_start_for_the_latest_it_may_have_been() {
    let (old, mut log) = empty(&Limits::new().with(sliding(Unit::Requests, 86_400, 10)));
    old.reserve(&mut log, &requests(1));
    old.stamp(&mut log, &requests(1), &millis(2_100));
    let (new, mut log) = migrate(&old, &log, &Limits::new().per_minute(10), &millis(5_000));
    assert_eq!(new.used(&mut log, &millis(62_349)).next().unwrap().1, 1);
    assert_eq!(new.used(&mut log, &millis(64_550)).next().unwrap().1, 0);
}

mod told {
    use super::*;
    use crate::{limit::Unknown, time::Tick};

    proptest! {
        #[test]
        fn what_is_told_and_heard_never_counts_less(limits in any_limits(), before in steps(1, 30_000), after in steps(1, 30_000)) {
            let mut world = World::new(&limits);
            world.play(&before, true);
            let now = at(world.latest + 3_600_000_000_000);
            let then = at(world.latest);
            let told = world.plan.tell(&mut world.log, &then);
            // The other's clock shows another time.
            let (plan, mut log) = empty(&limits);
            plan.hear(&told, Unknown::default(), &mut log, &now);
            let used = |plan: &Plan, log: &mut [u16], now: &At| plan.used(log, now).map(|used| used.1).collect::<Vec<_>>();
            for (own, heard) in used(&world.plan, &mut world.log, &then).iter().zip(used(&plan, &mut log, &now)) {
                prop_assert!(heard >= *own || heard > 900_000, "{heard} of {own}");
            }
            plan.hear(&told, Unknown::default(), &mut world.log, &then);
            for granted in &mut world.granted {
                // What was provisional began when it was told.
                granted.began(&then);
            }
            world.play(&after, false);
        }
    }

    #[test]
    fn what_is_unknown_is_used_and_leaves_with_the_lease_that_ended() {
        let (plan, mut log) = empty(&Limits::new().per_minute(5));
        for ms in [1_000, 40_000] {
            plan.reserve(&mut log, &requests(1));
            plan.stamp(&mut log, &requests(1), &millis(ms));
        }
        let told = plan.tell(&mut log, &millis(45_000));
        let unknown = Unknown { starts: Some(Tick::ZERO.plus(Duration::from_secs(50))), dates: None };
        plan.hear(&told, unknown, &mut log, &millis(52_000));
        let used = |log: &mut [u16], ms| plan.used(log, &millis(ms)).next().map(|used| used.1);
        // Told 45 s, heard 52 s: it seems to have begun 7 s later.
        assert_eq!(used(&mut log, 52_000), Some(5));
        assert_eq!(used(&mut log, 68_500), Some(4));
        assert_eq!(used(&mut log, 107_600), Some(3));
        assert_eq!(used(&mut log, 110_400), Some(0));
    }
}
