//! A copy of the board is put back while nobody lives: what it knew of a day holds, and since then what the minutes allowed.

use super::world::{Fault, SECOND, Setup, World};
use crate::{limit::Limits, share::Settings};

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
