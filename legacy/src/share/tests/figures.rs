//! The figures of issue 3 that are the protocol's own. `cargo test --release --lib share -- --nocapture`
//! prints them.

use super::world::{Fault, SECOND, Setup, World};

const MINUTE: i64 = 60 * SECOND;

struct Report {
    share: f64,
    asked: usize,
    calls: f64,
    trips: f64,
}

/// What was served of what was asked between two times, and what it cost.
fn report(name: &str, world: &mut World, from: i64, until: i64) -> Report {
    let over = world.over();
    let (served, asked) = world.served(from, until, |_| true);
    let calls = world.calls(from, until);
    let seconds = (until - from) as f64 / 1e6;
    let report = Report {
        share: served as f64 / asked as f64,
        asked,
        calls: calls as f64 / seconds / world.processes.len() as f64,
        trips: calls as f64 / served as f64,
    };
    println!(
        "{name}: {:.2} % of {asked} served, {:.2} calls a second and process, {:.4} a request, {} over, residue {}",
        report.share * 100.0,
        report.calls,
        report.trips,
        over.len(),
        world.provider.residue
    );
    for process in &world.processes {
        println!("    p{} {:?}", process.name, process.holder.counters());
    }
    assert!(over.is_empty(), "{name}: {over:#?}");
    report
}

#[test]
fn four_processes_share_twenty_owners_of_a_hundred_a_minute() {
    let mut world = World::new(Setup::default());
    world.run(6 * MINUTE);
    let report = report("20 owners × 100/minute, demand 0.9", &mut world, MINUTE, 6 * MINUTE);
    assert!(report.share >= 0.95 && report.calls <= 2.0);
}

#[test]
fn three_hundred_owners_of_ten_a_minute() {
    let setup = Setup {
        owners: 300,
        limits: crate::limit::Limits::new().per_minute(10),
        demand: vec![vec![11.25]; 4],
        ..Setup::default()
    };
    let mut world = World::new(setup);
    world.run(5 * MINUTE);
    let report = report("300 owners × 10/minute, demand 0.9", &mut world, MINUTE, 5 * MINUTE);
    assert!(report.share >= 0.95 && report.trips <= 0.05);
}

#[test]
fn nine_tenths_of_the_traffic_on_one_process() {
    let all = 100.0 * 10.0 / 60.0 * 0.9;
    let few = all / 30.0;
    let setup = Setup {
        owners: 100,
        limits: crate::limit::Limits::new().per_minute(10),
        demand: vec![vec![all * 0.9], vec![few], vec![few], vec![few]],
        ..Setup::default()
    };
    let mut world = World::new(setup);
    world.run(5 * MINUTE);
    let report = report("nine tenths on one", &mut world, MINUTE, 5 * MINUTE);
    assert!(report.share >= 0.95);
}

#[test]
fn two_processes_with_a_lane_each_and_the_same_owners() {
    let setup = Setup { lanes: 2, demand: vec![vec![30.0, 0.0], vec![0.0, 30.0]], ..Setup::default() };
    let mut world = World::new(setup);
    world.run(4 * MINUTE);
    let whole = report("a lane each", &mut world, MINUTE, 4 * MINUTE);
    for lane in 0..2 {
        let (served, asked) = world.served(MINUTE, 4 * MINUTE, |seen| seen.lane == lane);
        assert!(served as f64 >= 0.95 * asked as f64, "{served} of {asked}");
    }
    assert!(whole.asked > 9_000);
}

#[test]
fn a_hundred_callers_at_once_find_all_units() {
    let setup = Setup {
        owners: 10,
        limits: crate::limit::Limits::new().per_minute(10),
        demand: vec![vec![0.0]; 4],
        ..Setup::default()
    };
    let mut world = World::new(setup);
    // All of them had something to do before.
    for process in 0..4 {
        world.fault_at(SECOND, Fault::Burst(process, 5));
    }
    world.fault_at(90 * SECOND, Fault::Burst(2, 100));
    world.run(95 * SECOND);
    report("100 callers at once", &mut world, 90 * SECOND, 95 * SECOND);
    assert_eq!(world.served(90 * SECOND, 95 * SECOND, |_| true), (100, 100));
}

#[test]
fn one_of_four_is_killed() {
    let mut world = World::new(Setup::default());
    world.fault_at(3 * MINUTE, Fault::Kill(1));
    world.run(6 * MINUTE);
    // Its callers are gone with it; what it held the others may use.
    let next = report("one of four killed", &mut world, 3 * MINUTE, 4 * MINUTE);
    assert!(next.share >= 0.90);
}

#[test]
fn the_board_is_gone_for_half_a_minute() {
    let mut world = World::new(Setup::default());
    world.fault_at(3 * MINUTE, Fault::Away(30 * SECOND));
    world.run(7 * MINUTE);
    let back = 3 * MINUTE + 30 * SECOND;
    report("away", &mut world, 3 * MINUTE, back);
    let next = report("back, the first minute", &mut world, back, back + MINUTE);
    let after = report("back, the second minute", &mut world, back + MINUTE, back + 2 * MINUTE);
    assert!(after.share >= 0.95, "{}", next.share);
}

#[test]
fn the_server_is_killed_and_started_again_after_half_a_minute() {
    let mut world = World::new(Setup::default());
    world.fault_at(3 * MINUTE, Fault::Restarted(30 * SECOND));
    world.run(6 * MINUTE);
    let back = 3 * MINUTE + 30 * SECOND;
    report("started again, from 45 s after", &mut world, back + 45 * SECOND, back + 60 * SECOND);
    let after = report("started again, from 60 s after", &mut world, back + MINUTE, back + 2 * MINUTE);
    assert!(after.share >= 0.95, "what was held by nobody counts as used up to the end of its lease, no longer");
}

#[test]
fn one_who_was_there_is_missed_after_the_server_was_started_again() {
    let mut world = World::new(Setup::default());
    world.fault_at(3 * MINUTE, Fault::Restarted(30 * SECOND));
    // Nobody knows what it was told last.
    world.fault_at(3 * MINUTE + 10 * SECOND, Fault::Kill(2));
    world.run(6 * MINUTE);
    let back = 3 * MINUTE + 30 * SECOND;
    let early = report("one is missed, from 45 s after", &mut world, back + 45 * SECOND, back + 60 * SECOND);
    assert!(early.share < 0.5, "{}", early.share);
}

#[test]
fn the_board_is_flushed() {
    let mut world = World::new(Setup::default());
    world.fault_at(3 * MINUTE, Fault::Flush);
    world.run(6 * MINUTE);
    report("flushed, the first minute", &mut world, 3 * MINUTE, 4 * MINUTE);
    let after = report("flushed, the second minute", &mut world, 4 * MINUTE, 5 * MINUTE);
    assert!(after.share >= 0.95);
}

#[test]
fn a_stale_copy_takes_the_boards_place() {
    let mut world = World::new(Setup::default());
    world.fault_at(3 * MINUTE, Fault::Stale(30 * SECOND));
    world.run(6 * MINUTE);
    report("stale, the first minute", &mut world, 3 * MINUTE, 4 * MINUTE);
    let after = report("stale, the second minute", &mut world, 4 * MINUTE, 5 * MINUTE);
    assert!(after.share >= 0.95);
}

#[test]
fn two_units_serve_four_processes() {
    for (amount, demand) in [(1_000, 7.5), (60, 0.45), (10, 0.075)] {
        let setup = Setup {
            owners: 2,
            limits: crate::limit::Limits::new().per_minute(amount),
            demand: vec![vec![demand]; 4],
            ..Setup::default()
        };
        let mut world = World::new(setup);
        world.run(9 * MINUTE);
        let report = report(&format!("2 owners × {amount}/minute"), &mut world, MINUTE, 9 * MINUTE);
        assert!(report.share >= 0.95 || amount == 10, "{amount}: {}", report.share);
        assert!(report.calls <= 2.0);
        for process in 0..4 {
            let (served, asked) = world.served(MINUTE, 9 * MINUTE, |seen| seen.process == process);
            println!("    p{process}: {served} of {asked}");
        }
    }
}

/// Few owners shared as a pool shares them: what is served of what one process would serve that had all of them and all
/// callers; and calls a second and process.
fn few((owners, amount): (usize, u64), demand: &[f64], wait: i64) -> (f64, f64) {
    let minutes = if amount > 100 { 3 } else { 21 };
    let until = minutes * MINUTE;
    let capacity = owners as f64 * amount as f64 / 60.0;
    let run = |demand: &[f64]| {
        let setup = Setup {
            owners,
            limits: crate::limit::Limits::new().per_minute(amount),
            demand: demand.iter().map(|part| vec![part * capacity]).collect(),
            wait: wait * SECOND,
            settings: crate::share::Settings { draws: false, ..crate::share::Settings::default() },
            ..Setup::default()
        };
        let mut world = World::new(setup);
        world.run(until);
        let report = report(
            &format!("{owners} × {amount}/minute, demand {demand:?}, {wait} s to wait"),
            &mut world,
            MINUTE,
            until,
        );
        for process in 0..demand.len() {
            let (served, asked) = world.served(MINUTE, until, |seen| seen.process == process);
            println!("    p{process}: {served} of {asked}");
        }
        // Not all of what is asked for at random comes when there is room.
        let possible = (capacity * 60.0 * (minutes - 1) as f64).min(report.asked as f64);
        (report.share * report.asked as f64 / possible, report.calls)
    };
    let (all, calls) = run(demand);
    let (alone, _) = run(&[demand.iter().sum()]);
    println!("  = {:.1} % of {:.1} %", all * 100.0, alone * 100.0);
    (all / alone, calls)
}

#[test]
fn fewer_units_than_processes_go_round() {
    // Every second of the pairs, all of them by `SHARE_CASES=1`.
    let every = if std::env::var_os("SHARE_CASES").is_some() { 1 } else { 2 };
    for (row, (wait, load)) in [(1, 0.5), (1, 0.9), (10, 0.9), (10, 2.0)].into_iter().enumerate() {
        let even = [load / 4.0; 4];
        let uneven = [load * 0.85, load * 0.05, load * 0.05, load * 0.05];
        let demands =
            [((1, 40), &even[..]), ((1, 40), &uneven), ((1, 10), &[load / 2.0; 2]), ((1, 10), &even), ((3, 15), &even)];
        for (owners, demand) in demands.into_iter().skip(row % every).step_by(every) {
            let (served, calls) = few(owners, demand, wait);
            assert!(
                served >= 0.9 && calls <= 2.5,
                "{owners:?} {demand:?}, {wait} s: {served} with {calls} calls a second"
            );
        }
    }
}

/// One unit that all of them ask for several times a second, each time with a second to wait.
#[test]
fn a_large_unit_goes_round() {
    let (served, calls) = few((1, 1_000), &[0.225; 4], 1);
    assert!(served >= 0.85 && calls <= 5.5, "{served} with {calls} calls a second");
}
