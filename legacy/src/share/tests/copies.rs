//! A copy of the board is put back while nobody lives: what it knew of a day holds, and since then what the minutes allowed.

use std::time::Duration;

use jiff::tz::TimeZone;

use super::world::{Fault, SECOND, Setup, World};
use crate::{
    limit::Limits,
    share::{BoardState, Books, Holder, HolderId, Moment, Renewal, Server, Settings, UnitInfo, apply},
    time::Tick,
};

const MINUTE: i64 = 60 * SECOND;
const MIDNIGHT: i64 = 1_800_000_000_000 / 86_400_000 * 86_400_000;

/// A process that is gone before a copy of some time before is put back, and another that comes then.
fn world(owners: usize, limits: Limits, epoch_ms: i64) -> World {
    let settings = Settings { draws: false, ..Settings::default() };
    World::new(Setup {
        owners,
        limits,
        demand: vec![vec![0.0]],
        wait: 5 * SECOND,
        epoch_ms,
        settings,
        ..Setup::default()
    })
}

fn put_back(world: &mut World, at: i64, ago: i64) {
    world.fault_at(at, Fault::Kill(0));
    world.fault_at(at, Fault::Stale(ago));
    world.fault_at(at + SECOND, Fault::Restart(0));
    world.fault_at(at + 2 * SECOND, Fault::Demand(0, 0, 2.0));
}

#[test]
fn owners_of_a_copy_that_were_not_used_yet_are_not_out_for_the_day() {
    let mut world = world(3, Limits::new().per_minute(10).per_day(80), MIDNIGHT + 43_200_000);
    put_back(&mut world, 30 * SECOND, 10 * SECOND);
    world.run(30 * MINUTE);
    let (served, _) = world.served(30 * SECOND, 30 * MINUTE, |_| true);
    // Two minutes' amounts are not known, and what it may start ahead of the board.
    assert!((3 * (80 - 20 - 4)..=3 * 60).contains(&served), "{served} of 240");
    assert_eq!(world.over(), [""; 0]);
}

/// A model that nobody had asked for when the copy was made.
#[test]
fn units_that_a_copy_does_not_know_count_as_used_as_far_as_the_minutes_allowed() {
    for known in [0, 2] {
        let limits = Limits::new().per_minute(10).per_day(30);
        let info = |unit: &str| UnitInfo {
            unit: unit.into(),
            kind: "lane".into(),
            limits: limits.clone(),
            guard: None,
            joins: Vec::new(),
        };
        let at =
            |ms: i64| Moment { tick: Tick::from_nanos(ms as u64 * 1_000_000), wall_ms: MIDNIGHT + 43_200_000 + ms };
        let settings = || Settings { draws: false, ..Settings::default() };
        let (old, new) = (info("old"), info("new"));
        let mut board = BoardState::fresh();
        let renew = |holder: &mut Holder, books: &mut Books, now: i64, board: &mut BoardState| {
            holder.lacking(&"lane".into(), 20, 0, at(now));
            let renewal = holder.renewal(books, at(now)).expect("it is due");
            let reply =
                apply(board, &renewal, Server { now: at(now).wall_ms, identity: if now < 60_000 { "a" } else { "b" } });
            holder.answered(&reply, books, at(now));
            reply.granted
        };
        let books = |infos: &[UnitInfo]| Books::new(infos, Duration::from_millis(250), TimeZone::UTC);
        let first = [old.clone()];
        let (mut holder, mut ledger) =
            (Holder::new(HolderId::new("one", 1), settings(), first.to_vec(), 1), books(&first));
        assert_eq!(renew(&mut holder, &mut ledger, 1_000, &mut board).len(), 1);
        // It is put back a minute later. Meanwhile another model was used: that is known at once, or found later.
        let both = [old, new];
        let begins = if known == 0 { &both[..] } else { &both[..1] };
        let mut next =
            Holder::new(HolderId::new("two", 1), settings(), begins.to_vec(), 2).remembering(holder.generation());
        let mut ledger = books(&both);
        let mut granted = Vec::new();
        for second in 0..150 {
            if second == 30 && known == 2 {
                next.serve(both.to_vec());
            }
            let now = 61_000 + second * 1_000;
            if next.due() <= at(now).tick {
                granted.extend(renew(&mut next, &mut ledger, now, &mut board));
            }
        }
        let new = granted.iter().find(|granted| granted.unit.as_str() == "new").expect("it is lent");
        let days: Vec<u64> = new.counts.iter().flat_map(|told| told.dates.iter().map(|date| date.1)).collect();
        assert!(
            new.unknown.is_some() && days.iter().all(|used| *used >= 30) && !days.is_empty(),
            "known {known}: {new:?}"
        );
    }
}

/// The server is started again, or an older copy of it is put back, within minutes of an orderly end of all.
#[test]
fn a_day_of_those_who_ended_counts_on_unless_something_is_missing() {
    for (ends, heard_later) in [(true, false), (false, false), (true, true)] {
        let limits = Limits::new().per_day(30);
        let info = UnitInfo { unit: "u".into(), kind: "lane".into(), limits, guard: None, joins: Vec::new() };
        let noon = MIDNIGHT + 43_200_000;
        let at = |ms: i64| Moment { tick: Tick::from_nanos(ms as u64 * 1_000_000), wall_ms: noon + ms };
        let settings = || Settings { draws: false, ..Settings::default() };
        let mut board = BoardState::fresh();
        let mut books = Books::new(std::slice::from_ref(&info), Duration::from_millis(250), TimeZone::UTC);
        let mut one = Holder::new(HolderId::new("one", 1), settings(), vec![info.clone()], 1);
        one.lacking(&"lane".into(), 5, 0, at(1_000));
        let renewal = one.renewal(&mut books, at(1_000)).expect("it is due");
        one.answered(&apply(&mut board, &renewal, Server { now: noon + 1_000, identity: "a" }), &mut books, at(1_000));
        one.serve(Vec::new());
        one.renew_now(at(2_000));
        let last = Renewal { ends, ..one.renewal(&mut books, at(2_000)).expect("it is due") };
        let told = apply(&mut board, &last, Server { now: noon + 2_000, identity: "a" }).time;
        let mut two = Holder::new(HolderId::new("two", 1), settings(), vec![info], 2).remembering(one.generation());
        let mut granted = Vec::new();
        for second in 0..15 {
            let now = at(60_000 + second * 1_000);
            if two.due() > now.tick {
                continue;
            }
            two.lacking(&"lane".into(), 5, 0, now);
            let heard = (second == 0).then_some(told + i64::from(heard_later));
            let renewal = Renewal { heard, ..two.renewal(&mut books, now).expect("it is due") };
            let reply = apply(&mut board, &renewal, Server { now: now.wall_ms, identity: "b" });
            two.answered(&reply, &mut books, now);
            granted.extend(reply.granted);
        }
        let unknown = granted.first().is_none_or(|granted| granted.days_unknown.is_some());
        assert_eq!(unknown, !ends || heard_later, "{ends} {heard_later}: {granted:?}");
    }
}

#[test]
fn what_was_used_on_a_date_that_a_copy_does_not_know_counts() {
    let mut world = world(1, Limits::new().per_minute(10).per_day(25), MIDNIGHT - 20_000);
    world.fault_at(SECOND, Fault::Burst(0, 5));
    // A date later, and after the copy.
    world.fault_at(45 * SECOND, Fault::Burst(0, 5));
    world.fault_at(80 * SECOND, Fault::Burst(0, 10));
    put_back(&mut world, 90 * SECOND, 80 * SECOND);
    world.run(30 * MINUTE);
    assert!(world.served(0, 90 * SECOND, |_| true).0 >= 15);
    assert_eq!(world.over(), [""; 0]);
}
