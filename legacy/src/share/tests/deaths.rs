//! What a process that died leaves of its units to the next: what it used, and no more.

use super::{
    facts::blank,
    world::{Fault, SECOND, Setup, World},
};
use crate::{
    limit::Limits,
    share::{BoardState, HolderId, Renewal, Server, Settings, Spent, UnitId, UnitInfo, apply},
};

/// Processes that note what they start, with limits by the day beside those by the minute.
fn noting(processes: usize, owners: usize, limits: Limits, demand: f64) -> World {
    World::new(Setup {
        owners,
        limits,
        demand: vec![vec![demand]; processes],
        // What may be started before it is noted bounds how fast it goes.
        wait: 25 * SECOND,
        // Nobody's own clock, so that all that breaks is said.
        drift: 0,
        skew_ms: 0,
        settings: Settings { noting: true, draws: false, ..Settings::default() },
        ..Setup::default()
    })
}

/// How many of so many callers at once are served at a time.
fn served_of(world: &mut World, process: usize, at: i64, callers: u64) -> usize {
    world.fault_at(at, Fault::Burst(process, callers));
    world.run(at + 30 * SECOND);
    world.served(at, at + 30 * SECOND, |seen| seen.process == process).0
}

#[test]
fn units_that_were_never_used_are_whole_when_their_holder_is_killed() {
    let mut world = noting(1, 3, Limits::new().per_minute(30).per_day(250), 0.0);
    world.fault_at(SECOND, Fault::Burst(0, 1));
    world.fault_at(5 * SECOND, Fault::Kill(0));
    world.fault_at(6 * SECOND, Fault::Restart(0));
    let served = served_of(&mut world, 0, 10 * SECOND, 90);
    assert!((83..=89).contains(&served), "{served} of the 89 that are left");
    assert_eq!(world.processes[0].holder.counters().failed_over, 3, "it is told that somebody died");
    assert_eq!(world.over(), [""; 0]);
}

/// Whatever the day allows but for little is there after many deaths.
#[test]
fn a_day_outlives_many_deaths() {
    let mut world = noting(1, 2, Limits::new().per_minute(60).per_day(250), 0.0);
    for n in 0..40 {
        let at = (3 + 10 * n) * SECOND;
        world.fault_at(at, Fault::Burst(0, 2));
        world.fault_at(at + 3 * SECOND, Fault::Kill(0));
        world.fault_at(at + 4 * SECOND, Fault::Restart(0));
    }
    let mut served = 0;
    for n in 0..6 {
        served += served_of(&mut world, 0, (500 + 70 * n) * SECOND, 120);
    }
    // 500 less the 80 that were served before, and one an owner and death.
    assert!((320..=420).contains(&served), "{served} of the 420 that are left");
    assert_eq!(world.over(), [""; 0]);
}

/// On a machine with much to do a renewal is long on its way, which looks as a clock that was set.
#[test]
fn what_was_told_before_time_broke_is_used_and_no_more() {
    for (name, fault) in
        [("a clock that was set", Fault::BoardClock(3_000)), ("a late renewal", Fault::BoardClock(400))]
    {
        let mut world = noting(2, 4, Limits::new().per_minute(30).per_day(250), 0.5);
        // Between two times at which they tell of their windows.
        world.fault_at(22 * SECOND, fault);
        for process in 0..2 {
            world.fault_at(25 * SECOND, Fault::Demand(process, 0, 0.0));
            world.fault_at(26 * SECOND, Fault::Kill(process));
        }
        world.fault_at(27 * SECOND, Fault::Restart(0));
        // Some 24 of 120 are used.
        let served = served_of(&mut world, 0, 30 * SECOND, 120);
        assert!(served >= 70, "{name}: {served} in the same minute");
        let later = served_of(&mut world, 0, 120 * SECOND, 120);
        assert!(later >= 110, "{name}: {later} after it");
        assert_eq!(world.over(), [""; 0]);
    }
}

/// Nobody else is there who says which limits a unit of its has: they are the dead one's own.
#[test]
fn what_was_started_before_the_first_note_is_used() {
    let (mut board, unit) = (BoardState::fresh(), UnitId::from("m\nowner"));
    let (gone, next) = (HolderId::new("one", 1), HolderId::new("two", 1));
    let limits = Limits::new().per_minute(40);
    let info = UnitInfo { unit: unit.clone(), kind: "m".into(), limits, guard: None, joins: Vec::new() };
    let mut renewal = Renewal { noting: true, ..blank(&gone) };
    renewal.units = Some([info].into());
    apply(&mut board, &renewal, Server { now: 1_000, identity: "" });
    let started = Spent { requests: 2, ..Spent::default() };
    let lent = board.units.get_mut(&unit).unwrap();
    (lent.holder, lent.until, lent.told, lent.ahead) = (Some(gone.clone()), 9_000, 1_000, Some(started));
    apply(&mut board, &Renewal { buried: vec![gone], ..blank(&next) }, Server { now: 2_000, identity: "" });
    let record = board.units.get(&unit).unwrap();
    let counted: u64 = record.counts.iter().flat_map(|told| &told.moments).map(|moment| moment.1).sum();
    assert_eq!((counted, record.unknown), (2, None), "{record:?}");
}
