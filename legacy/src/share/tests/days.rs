//! Days when the board lost what it knew: what the living know of them, and no more, is used.

use super::world::{Fault, SECOND, Setup, World};
use crate::{limit::Limits, share::Settings};

const MINUTE: i64 = 60 * SECOND;

fn world(owners: usize, limits: Limits, demand: &[f64], noting: bool) -> World {
    let settings = Settings { noting, draws: false, ..Settings::default() };
    World::new(Setup {
        owners,
        limits,
        demand: demand.iter().map(|demand| vec![*demand]).collect(),
        // What may be started before it is noted bounds how fast it goes.
        wait: 5 * SECOND,
        settings,
        ..Setup::default()
    })
}

/// Ten owners, of which few are used and held when the board is flushed: all serve afterwards.
#[test]
fn owners_that_nobody_holds_when_the_board_is_flushed_are_not_out_for_the_day() {
    for noting in [false, true] {
        let mut world = world(10, Limits::new().per_minute(20).per_day(250), &[0.3, 0.3], noting);
        world.fault_at(40 * SECOND, Fault::Flush);
        for process in 0..2 {
            // A lease only heard, and a minute of which nobody knows what was started.
            world.fault_at(115 * SECOND, Fault::Demand(process, 0, 1.4));
        }
        world.run(4 * MINUTE);
        let (served, asked) = world.served(115 * SECOND, 4 * MINUTE, |_| true);
        assert!(served * 100 >= asked * 95, "noting {noting}: {served} of {asked} after a minute");
        assert_eq!(world.over(), [""; 0]);
    }
}

/// Each time as many are taken for used as a minute allows, and no more.
#[test]
fn a_day_outlives_many_losses() {
    for noting in [false, true] {
        let mut world = world(4, Limits::new().per_minute(10).per_day(200), &[0.1, 0.1], noting);
        for loss in 1..=6 {
            world.fault_at(loss * MINUTE, Fault::Flush);
        }
        for process in 0..2 {
            world.fault_at(8 * MINUTE, Fault::Demand(process, 0, 2.0));
        }
        world.run(60 * MINUTE);
        let (served, _) = world.served(0, 60 * MINUTE, |_| true);
        assert!((500..=800).contains(&served), "noting {noting}: {served} of 800");
        assert_eq!(world.over(), [""; 0]);
    }
}

/// Who used most is gone when the board is lost, with or without a word: the others know what the board knew, and take
/// for used what he can have used since.
#[test]
fn what_one_used_who_is_gone_is_not_used_again() {
    for noting in [false, true] {
        // Long before the loss, and just before it.
        for (burst, kill) in [(5 * SECOND, 20 * SECOND), (29_600_000, 29_900_000), (28_000_000, 29_000_000)] {
            let mut world = world(3, Limits::new().per_minute(20).per_day(50), &[0.0, 0.0], noting);
            world.fault_at(burst, Fault::Burst(0, 60));
            world.fault_at(kill, Fault::Kill(0));
            world.fault_at(30 * SECOND, Fault::Flush);
            world.fault_at(31 * SECOND, Fault::Demand(1, 0, 2.0));
            world.run(10 * MINUTE);
            let (before, _) = world.served(0, 30 * SECOND, |_| true);
            let (after, _) = world.served(30 * SECOND, 10 * MINUTE, |_| true);
            // What it had, what a minute allows three owners, and what it may have been about to start.
            assert!(before + after >= 150 - 60 - 24, "noting {noting}: {before} and {after} of 150");
            assert_eq!(world.over(), [""; 0], "noting {noting}, burst {burst}");
        }
    }
}

/// Nobody who lives was there before: nothing is known, and the day is full.
#[test]
fn days_that_nobody_living_was_told_of_are_full() {
    let mut world = world(2, Limits::new().per_minute(10).per_day(40), &[0.0, 0.0], false);
    world.fault_at(SECOND, Fault::Burst(0, 20));
    world.fault_at(20 * SECOND, Fault::Kill(0));
    world.fault_at(20 * SECOND, Fault::Cut(1, 5 * SECOND));
    world.fault_at(21 * SECOND, Fault::Flush);
    // It knows of a board, and nothing of its days.
    world.fault_at(21 * SECOND, Fault::Restart(1));
    world.fault_at(40 * SECOND, Fault::Demand(1, 0, 1.0));
    world.run(5 * MINUTE);
    assert_eq!(world.served(21 * SECOND, 5 * MINUTE, |_| true).0, 0);
}
