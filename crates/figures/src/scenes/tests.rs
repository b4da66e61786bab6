//! The scenes that `scripts/figures` measures, in small and held to: the whole stack over the simulator in virtual time,
//! the way there up to 200 ms long, which is below the pool's guard.

use super::{
    batched, failing,
    saturated::{self, Scale},
    stage::run,
};
use serde_json::Value;

const SEEDS: [u64; 3] = [1, 7, 42];

fn scale(seed: u64) -> Scale {
    Scale { owners: 6, per_minute: 10, minutes: 5, seed }
}

fn number(told: &Value, name: &str) -> f64 {
    told[name].as_f64().unwrap_or_else(|| panic!("{name} in {told}"))
}

#[test]
fn law_10_under_saturation_the_simulator_refuses_nothing_and_99_percent_is_used() {
    for seed in SEEDS {
        let told = run(saturated::known(scale(seed)));
        assert!(number(&told, "used") >= 0.99, "seed {seed}: {told}");
        for none in ["upstream 429s", "starts over a limit", "other failures"] {
            assert_eq!(told[none], 0, "seed {seed}: {none} in {told}");
        }
    }
}

#[test]
fn limits_that_nobody_gave_are_learned_in_the_first_minute() {
    for seed in SEEDS {
        let told = run(saturated::unknown(scale(seed)));
        assert_eq!(told["owners learned in the first window"], 1.0, "seed {seed}: {told}");
        assert!(number(&told, "429s after it") <= 0.01, "seed {seed}: {told}");
        assert!(number(&told, "served") >= 0.9 * 6.0 * 10.0 * 5.0, "seed {seed}: {told}");
    }
}

#[test]
fn as_many_at_once_as_all_keys_may_start_are_served() {
    let told = run(saturated::burst());
    assert_eq!((&told["succeeded"], &told["upstream 429s"]), (&100.into(), &0.into()), "{told}");
}

#[test]
fn callers_never_notice_keys_that_are_no_good() {
    for seed in SEEDS {
        let told = run(failing::failover(60, 500, seed));
        assert_eq!(told["success"], 1.0, "seed {seed}: {told}");
        assert_eq!(told["tries of a suspended key"], 1, "seed {seed}: {told}");
        assert_eq!(told["tries of an invalid key"], 2, "seed {seed}: one confirmation: {told}");
    }
}

#[test]
fn faults_cost_the_calls_that_they_must_and_none_besides() {
    for seed in SEEDS {
        let told = run(failing::amplification(50, 1_500, seed));
        assert_eq!(told["unexplained calls"], 0, "seed {seed}: {told}");
        assert!(number(&told, "calls a request") <= 1.14, "seed {seed}: {told}");
        assert!(number(&told, "success") >= 0.999, "seed {seed}: {told}");
    }
}

#[test]
fn a_batch_loses_nothing_doubles_nothing_and_uses_what_healthy_keys_allow() {
    for (seed, tasks) in [(1, 1_500), (7, 10_000), (42, 1_500)] {
        let told = run(batched::weathered(tasks, seed));
        for none in ["lost", "double", "failed", "429s"] {
            assert_eq!(told[none], 0, "seed {seed}: {none} in {told}");
        }
        // The last retries' pauses weigh more where there is little to do.
        let least = if tasks < 10_000 { 0.9 } else { 0.98 };
        assert!(number(&told, "used") >= least, "seed {seed}: {told}");
        println!("{told}");
    }
}
