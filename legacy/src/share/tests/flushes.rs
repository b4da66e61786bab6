//! A flushed board forgets what lay on it: how much of what all need that is, and what is known of it all the same.

use super::world::{Fault, SECOND, Setup, World};
use crate::{limit::Limits, share::Settings};

fn setup(seed: u64) -> Setup {
    // As a pool shares over Redis.
    Setup { seed, settings: Settings { draws: false, ..Settings::default() }, fresh: false, ..Setup::default() }
}

/// Whether somebody lacked some just before decides nothing: full units that are needed in the long run stay with who has
/// them, and of the others it is known what they counted.
#[test]
fn most_is_back_within_a_minute_of_a_flush_whenever_it_comes() {
    let (mut least, mut fewest, mut sum, cases) = (1.0_f64, usize::MAX, 0.0, 16);
    for seed in 1..=cases {
        let mut world = World::new(setup(seed));
        let flushed = 75 * SECOND + (seed as i64 * 137_000) % (3 * SECOND);
        world.fault_at(flushed, Fault::Flush);
        world.run(flushed - 1);
        fewest = fewest.min(world.board.held());
        world.run(flushed + 90 * SECOND);
        assert_eq!(world.over(), [""; 0], "{seed}");
        let (served, asked) = world.served(flushed + 60 * SECOND, flushed + 90 * SECOND, |_| true);
        let share = served as f64 / asked as f64;
        (least, sum) = (least.min(share), sum + share);
    }
    let mean = sum / cases as f64;
    println!("{cases} flushes: {least:.3} at least, {mean:.3} in the mean; {fewest} of 20 held at least");
    assert!(least >= 0.9 && mean >= 0.99 && fewest >= 14, "{least} {mean} {fewest}");
}

#[test]
fn what_a_unit_counted_that_went_back_before_a_flush_is_known() {
    for flushed_again in [false, true] {
        let mut world = World::new(Setup {
            owners: 1,
            limits: Limits::new().per_minute(10),
            demand: vec![vec![0.0]; 2],
            ..setup(1)
        });
        world.fault_at(20 * SECOND, Fault::Burst(0, 6));
        world.run(60 * SECOND);
        assert_eq!(world.board.held(), 0, "it went back");
        world.fault_at(60 * SECOND, Fault::Flush);
        if flushed_again {
            world.fault_at(64 * SECOND, Fault::Flush);
        }
        world.fault_at(85 * SECOND, Fault::Burst(1, 10));
        world.run(90 * SECOND);
        // Of the other places nobody knows.
        assert_eq!(world.served(61 * SECOND, 90 * SECOND, |_| true).0, 6);
        assert_eq!(world.over(), [""; 0]);
    }
}
