//! The ten invariants of DESIGN.md section 4, over random schedules on a manual clock. Each test is named by its number.

mod checks;
mod described;
mod faults;
mod kept;
mod model;
mod ops;
mod queue;
mod quotas;
mod schedule;
mod waiting;

use std::time::Duration;

use proptest::prelude::*;

use self::{
    kept::Kept,
    model::{bench, pool_of},
    ops::ops,
    schedule::Run,
};
use crate::{Demand, Key, Limits, Verdict};

fn config(cases: u32) -> ProptestConfig {
    // More of them by hand: `PROPTEST_CASES=20000 cargo test --release --lib laws`.
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { ProptestConfig::default().cases } else { cases };
    ProptestConfig { cases, max_shrink_iters: 20_000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(250))]

    /// Laws 1 to 5, 7 and 9 are checked after each operation of one run; law 4 at its end.
    #[test]
    fn laws_1_2_3_4_5_7_9_hold_over_any_schedule(ops in ops(1..160), strategy in 0usize..5) {
        let mut run = Run::new(strategy);
        for op in ops {
            run.step(op)?;
        }
        run.finish()?;
    }

    /// The same over a pool with a store, written behind now and then; the next process knows what this one knew.
    #[test]
    fn laws_1_2_3_4_5_7_9_hold_with_a_store(ops in ops(1..160), strategy in 0usize..5, pause in 1usize..8) {
        let replaces = ops.iter().any(ops::Op::replaces);
        let mut run = Run::new(strategy);
        let mut kept = Kept::begin(&run);
        for (n, op) in ops.into_iter().enumerate() {
            run.step(op)?;
            if n % pause == 0 {
                kept.write(&run.pool);
            }
        }
        run.let_go()?;
        if !replaces {
            kept.pass_on(&run.pool, run.another(strategy))?;
        }
    }

    /// Under faults of every kind.
    #[test]
    fn laws_1_2_3_4_5_7_9_hold_under_faults(ops in faults::ops(1..160), strategy in 0usize..5, spill in 0usize..4) {
        let mut run = faults::Run::new(strategy, spill);
        for op in ops {
            run.step(&op)?;
        }
        run.finish()?;
    }

    #[test]
    fn law_8_faults_replay_the_same(ops in faults::ops(1..100), strategy in 0usize..5, spill in 0usize..4) {
        let trace = |ops: &[faults::Op]| -> Result<Vec<String>, TestCaseError> {
            let mut run = faults::Run::new(strategy, spill);
            for op in ops {
                run.step(op)?;
            }
            Ok(run.trace)
        };
        prop_assert_eq!(trace(&ops)?, trace(&ops)?);
    }

    #[test]
    fn law_8_the_same_run_replays_the_same(ops in ops(1..120), strategy in 0usize..5) {
        let trace = |ops: &[ops::Op]| -> Result<Vec<String>, TestCaseError> {
            let mut run = Run::new(strategy);
            for op in ops {
                run.step(op.clone())?;
            }
            Ok(run.trace)
        };
        prop_assert_eq!(trace(&ops)?, trace(&ops)?);
    }

    /// The short ways change nothing but the time it takes.
    #[test]
    fn the_short_ways_come_to_the_same_as_the_long_ones(ops in ops(1..120), strategy in 0usize..5) {
        let (mut short, mut long) = (Run::new(strategy), Run::the_long_way(strategy));
        for op in ops {
            short.step(op.clone())?;
            long.step(op)?;
            prop_assert_eq!(&short.trace, &long.trace);
        }
        let shown = |run: &Run| {
            // What lists keep for their capacity is no state.
            let snapshot = crate::Snapshot { total_memory_bytes: 0, bytes_per_key: 0, ..run.pool.snapshot() };
            serde_json::to_string(&snapshot).expect("a snapshot is JSON")
        };
        prop_assert_eq!(shown(&short), shown(&long));
    }

    #[test]
    fn law_6_tickets_are_served_in_order_and_a_cancelled_waiter_takes_nothing(
        cancels in prop::collection::vec(any::<bool>(), 1..40),
        per_minute in 1u64..5,
        pause in 1u64..20_000,
    ) {
        queue::queue(&cancels, per_minute, Duration::from_millis(pause))?;
    }

    /// Several lanes, priorities, and answers while they wait.
    #[test]
    fn law_6_whoever_waits_is_woken_by_whatever_makes_room(steps in waiting::steps()) {
        waiting::waiting(steps)?;
    }

    /// Some must have one of the keys, some want many tokens, some will take anything.
    #[test]
    fn law_6_whoever_waits_is_served_in_the_order_of_those_who_want_the_same(
        wants in prop::collection::vec((0u8..5, any::<bool>()), 1..40),
        pause in 1u64..20_000,
    ) {
        queue::lines(&wants, Duration::from_millis(pause))?;
    }
}

#[test]
fn law_10_under_saturation_99_percent_of_what_the_limits_allow_is_started() {
    let (pool, time) = bench(10, Limits::new().per_minute(60));
    let mut started = 0u64;
    for _ in 0..(3600 * 20) {
        while let Ok(lease) = pool.try_acquire("gemini-2.5-flash") {
            lease.judge(&Verdict::SUCCESS);
            started += 1;
        }
        time.advance(Duration::from_millis(50));
    }
    assert!(started >= 10 * 60 * 60 * 99 / 100, "{started} of 36,000");
    assert!(started <= 36_000 + 600, "{started} is more than the limits allow");
}

#[test]
fn law_9_no_secret_is_shown_anywhere() {
    let (pool, _) = pool_of(vec![Key::new("AIza-very-secret-000000001"), Key::new("AIza-very-secret-000000002")]);
    let lease = pool.try_acquire(Demand::new("m")).expect("two keys are ready");
    let all = format!(
        "{pool:?} {lease:?} {:?} {} {:?} {:?}",
        pool.snapshot(),
        serde_json::to_string(&pool.snapshot()).expect("a snapshot is JSON"),
        lease.granted(),
        lease.secret(),
    );
    assert!(!all.contains("very-secret"), "{all}");
}

/// A model whose quota is another's: rests and limits learned from its answers hold where both count.
#[test]
fn a_model_of_another_models_quota_rests_with_it() {
    use crate::{QuotaNews, Scope, Until, VerdictKind};
    let (pool, _) = pool_of(vec![Key::new("AIza-not-a-real-key-000001")]);
    let lease = pool.try_acquire("lite-custom").expect("a ready key");
    let news = QuotaNews { quota_model: Some("lite".to_owned()), ..QuotaNews::default() };
    let full =
        Verdict::new(VerdictKind::RateLimited).scope(Scope::OwnerLane).until(Until::For(Duration::from_secs(30)));
    lease.judge(&full.news(news));
    drop(lease);
    assert!(pool.try_acquire("lite-custom").is_err());
    assert!(pool.try_acquire("lite").is_err());
    assert!(pool.try_acquire("another").is_ok());
}

/// A key whose headroom changes twice within one millisecond is armed again for the millisecond that is being looked at:
/// the look must end all the same.
#[test]
fn a_look_ends_when_a_timer_is_armed_for_this_very_millisecond() {
    let (done, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (pool, time) = bench(2, Limits::new().tokens_per_minute(10_000));
        for _ in 0..40 {
            let lease = pool.try_acquire(Demand::new("gemini-2.5-flash").tokens(450)).expect("room");
            lease.judge(&Verdict::SUCCESS);
            time.advance(Duration::from_micros(130));
        }
        time.advance(Duration::from_secs(58));
        for _ in 0..60_000 {
            drop(pool.try_acquire(Demand::new("gemini-2.5-flash").tokens(9_999)));
            time.advance(Duration::from_micros(70));
        }
        done.send(()).expect("somebody waits");
    });
    ended.recv_timeout(Duration::from_secs(60)).expect("the look at the pool did not end");
}
