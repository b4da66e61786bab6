//! Units go from one process to another.

use std::time::Duration;

use tower_keypool::{Demand, Gemini, Key, KeyPool, Limits, OutReason, Priority, Verdict};

use crate::host::{FLASH, Host, PRO, builder, key, pass, paused};

fn wait(seconds: u64) -> Demand {
    Demand::new(FLASH).wait(Duration::from_secs(seconds))
}

/// How many requests start within so long.
async fn burst(pool: &KeyPool, count: usize, seconds: u64) -> usize {
    let asked = (0..count).map(|_| {
        let pool = pool.clone();
        tokio::spawn(
            async move { pool.acquire(wait(seconds)).await.map(|lease| lease.settle(&Verdict::SUCCESS)).is_ok() },
        )
    });
    let mut served = 0;
    for asked in asked.collect::<Vec<_>>() {
        served += usize::from(asked.await.expect("no panic"));
    }
    served
}

fn both(check: impl AsyncFn(bool)) {
    for noting in [false, true] {
        paused().block_on(check(noting));
    }
}

#[test]
fn the_first_request_waits_for_one_claim_and_no_renewal() {
    both(async |noting| {
        let host = Host::new(noting);
        let one = host.process("one", 1, builder(3).limits(FLASH, Limits::new().per_minute(10))).await;
        let before = host.clock.tick();
        let lease = one.pool.acquire(FLASH).await.expect("waits for nothing, but for the claim");
        assert!(host.clock.tick().since(before) < Duration::from_millis(50));
        lease.settle(&Verdict::SUCCESS);
    });
}

#[test]
fn a_unit_goes_back_and_forth_and_its_minute_with_it() {
    both(async |noting| {
        let host = Host::new(noting);
        let make = || builder(1).limits(FLASH, Limits::new().per_minute(10));
        let (one, other) = (host.process("one", 1, make()).await, host.process("other", 1, make()).await);
        assert_eq!(burst(&one.pool, 4, 1).await, 4);
        // It is idle after a renewal, and goes back.
        pass(30.0).await;
        assert_eq!(burst(&other.pool, 4, 1).await, 4);
        other.pool.shutdown().await;
        assert_eq!(burst(&one.pool, 4, 1).await, 2, "ten a minute, whoever started them");
        pass(62.0).await;
        assert_eq!(burst(&one.pool, 20, 1).await, 10);
    });
}

#[test]
fn a_hundred_calls_on_one_of_four_with_a_second_to_wait() {
    both(async |noting| {
        let host = Host::new(noting);
        let make = || builder(10).limits(FLASH, Limits::new().per_minute(10));
        let mut processes = Vec::new();
        for name in ["a", "b", "c", "d"] {
            processes.push(host.process(name, 1, make()).await);
        }
        assert_eq!(burst(&processes[2].pool, 100, 1).await, 100);
        assert_eq!(burst(&processes[1].pool, 10, 1).await, 0);
    });
}

#[test]
fn who_is_refused_is_told_why() {
    both(async |noting| {
        let host = Host::new(noting);
        let make = || builder(1).limits(FLASH, Limits::new().per_minute(10));
        let (one, other) = (host.process("one", 1, make()).await, host.process("other", 1, make()).await);
        let lease = one.pool.acquire(FLASH).await.unwrap();
        let error = other.pool.acquire(FLASH).await.unwrap_err();
        let reasons: Vec<_> = error.exhausted().unwrap().reasons().collect();
        assert_eq!(reasons, [(OutReason::HeldElsewhere, 1)]);
        one.line.set(crate::host::Way::Cut);
        pass(11.0).await;
        let error = one.pool.acquire(FLASH).await.unwrap_err();
        let reasons: Vec<_> = error.exhausted().unwrap().reasons().collect();
        assert_eq!(reasons, [(OutReason::StoreUnreachable, 1)]);
        drop(lease);
        let until = if noting { 10 } else { 80 };
        let _ = other
            .pool
            .acquire(wait(until))
            .await
            .unwrap_or_else(|error| panic!("the lease of the other has ended ({noting}): {error}"));
    });
}

#[test]
fn whoever_ends_gives_all_back_at_once() {
    both(async |noting| {
        let host = Host::new(noting);
        let make = || builder(1).limits(FLASH, Limits::new().per_minute(10));
        let (one, other) = (host.process("one", 1, make()).await, host.process("other", 1, make()).await);
        assert_eq!(burst(&one.pool, 3, 1).await, 3);
        one.pool.shutdown().await;
        let before = host.clock.tick();
        assert_eq!(burst(&other.pool, 10, 1).await, 7);
        assert!(host.clock.tick().since(before) < Duration::from_millis(1_100));
    });
}

#[test]
fn of_a_dead_process_that_notes_little_is_unknown() {
    paused().block_on(async {
        let host = Host::new(true);
        let make = || builder(1).limits(FLASH, Limits::new().per_minute(160));
        let one = host.process("one", 1, make()).await;
        assert_eq!(burst(&one.pool, 40, 1).await, 40);
        pass(0.5).await;
        one.crash();
        let again = host.process("one", 2, make()).await;
        let served = burst(&again.pool, 160, 1).await;
        assert!((90..=120).contains(&served), "{served} of 120 within the minute");
        pass(61.0).await;
        assert_eq!(burst(&again.pool, 200, 2).await, 160);
    });
}

#[test]
fn of_a_dead_process_that_notes_nothing_all_is_unknown() {
    paused().block_on(async {
        let host = Host::new(false);
        let make = || builder(1).limits(FLASH, Limits::new().per_minute(160));
        let one = host.process("one", 1, make()).await;
        assert_eq!(burst(&one.pool, 40, 1).await, 40);
        one.crash();
        let again = host.process("one", 2, make()).await;
        assert_eq!(burst(&again.pool, 10, 1).await, 0);
        pass(61.0).await;
        assert_eq!(burst(&again.pool, 200, 2).await, 160);
    });
}

#[test]
fn a_key_with_limits_of_its_own_serves_two_lanes_of_two_processes_in_turn() {
    both(async |noting| {
        let host = Host::new(noting);
        let make = || {
            let key = crate::host::key(1).max_concurrent(1);
            builder(0).keys([key]).limits("*", Limits::new().per_minute(600))
        };
        let (one, other) = (host.process("one", 1, make()).await, host.process("other", 1, make()).await);
        let served = [(one.pool.clone(), FLASH), (other.pool.clone(), PRO)].map(|(pool, lane)| {
            tokio::spawn(async move {
                let mut served = 0;
                let begun = pool.clock().tick();
                while pool.clock().tick().since(begun) < Duration::from_secs(60) {
                    let Ok(lease) = pool.acquire(Demand::new(lane).wait(Duration::from_secs(20))).await else {
                        continue;
                    };
                    if lease.started() {
                        pass(0.2).await;
                        lease.settle(&Verdict::SUCCESS);
                        served += 1;
                    }
                }
                served
            })
        });
        let [one_served, other_served] = served;
        let (one_served, other_served) = (one_served.await.unwrap(), other_served.await.unwrap());
        println!("{noting}: {one_served} and {other_served} of 300 together");
        assert!(one_served > 50 && other_served > 50, "{one_served} and {other_served}");
        assert!(one_served + other_served > 150, "{one_served} and {other_served}");
        // Without a word of him nobody knows what the dead one had under way.
        let lease = one.pool.acquire(wait(20)).await.unwrap();
        assert!(lease.started());
        one.crash();
        pass(15.0).await;
        let begun = host.clock.tick();
        let next = other.pool.acquire(wait(100)).await.unwrap();
        let waited = host.clock.tick().since(begun).as_secs();
        assert!((30..70).contains(&waited), "{noting}: {waited}");
        drop((lease, next));
    });
}

/// Of one who is known to be dead the connections are closed: what he had under way is over soon, and keys that only keep
/// time between requests need not wait for it at all.
#[test]
fn what_a_dead_process_had_under_way_locks_nobody_out_for_the_minute() {
    both(async |noting| {
        for (most, between, at_most) in [(Some(1), 0, 12), (Some(3), 100, 12), (None, 100, 1)] {
            let host = Host::new(noting);
            let make = || {
                let key = crate::host::key(1).min_interval(Duration::from_millis(between));
                let key = most.into_iter().fold(key, Key::max_concurrent);
                builder(0).keys([key]).limits("*", Limits::new().per_minute(6_000))
            };
            let one = host.process("one", 1, make()).await;
            let lease = one.pool.acquire(wait(20)).await.unwrap();
            assert!(lease.started());
            pass(5.0).await;
            one.crash();
            let again = host.process("one", 2, make()).await;
            let begun = host.clock.tick();
            let next = again.pool.acquire(wait(100)).await.unwrap();
            let waited = host.clock.tick().since(begun).as_secs();
            let least = if most.is_some() { 8 } else { 0 };
            // Who notes nothing may have used all of the minute.
            let at_most = if noting { at_most } else { 61 };
            assert!((least..=at_most).contains(&waited), "{noting}, {most:?}: {waited} s");
            drop((lease, next));
        }
    });
}

/// Of pairs of requests under way at once, one a second, how many the key with limits took in each minute.
async fn pairs(pools: &[&KeyPool], seconds: usize) -> Vec<usize> {
    let mut minutes = vec![0; seconds.div_ceil(60)];
    for second in 0..seconds {
        for pool in pools {
            let two = [pool.acquire(FLASH).await, pool.acquire(FLASH).await];
            for lease in two.map(|lease| lease.expect("the key without limits is ready")) {
                minutes[second / 60] += usize::from(lease.key_id().to_string() == "limited");
                lease.settle(&Verdict::SUCCESS);
            }
        }
        pass(1.0).await;
    }
    minutes
}

#[test]
fn beside_a_key_without_limits_one_with_limits_has_its_part() {
    both(async |noting| {
        let host = Host::new(noting);
        let make = || {
            let limited = key(0).id("limited").limits(FLASH, Limits::new().per_minute(40));
            KeyPool::builder(Gemini::new()).keys([limited, key(1)])
        };
        let one = host.process("one", 1, make()).await;
        let alone = pairs(&[&one.pool], 120).await;
        assert!(alone[0] >= 30 && alone[1] >= 38, "{alone:?} of 40 a minute");
        let other = host.process("other", 1, make()).await;
        let both = pairs(&[&one.pool, &other.pool], 120).await;
        assert!(both.iter().all(|minute| (30..=40).contains(minute)), "{both:?} of 40 a minute");
        assert_eq!(other.pool.sharing().map(|sharing| sharing.counters.conflicts), Some(0));
    });
}

#[test]
fn a_later_priority_is_not_asked_for_while_a_key_without_limits_serves() {
    both(async |noting| {
        let host = Host::new(noting);
        let spare = key(0).priority(Priority(9)).limits(FLASH, Limits::new().per_minute(40));
        let make = KeyPool::builder(Gemini::new()).keys([spare, key(1)]);
        let one = host.process("one", 1, make).await;
        pairs(&[&one.pool], 20).await;
        let asked = one.pool.sharing().expect("it shares").counters.claims;
        assert_eq!(asked, 0);
    });
}

#[test]
fn what_names_no_model_is_shared_as_any_model_is() {
    both(async |noting| {
        let host = Host::new(noting);
        let make = || builder(2).limits("*", Limits::new().per_minute(5));
        let (one, other) = (host.process("one", 1, make()).await, host.process("other", 1, make()).await);
        let mut served = 0;
        for _ in 0..10 {
            for pool in [&one.pool, &other.pool] {
                let demand = Demand::any_model().wait(Duration::from_millis(500));
                served += usize::from(pool.acquire(demand).await.map(|lease| lease.settle(&Verdict::SUCCESS)).is_ok());
            }
        }
        assert_eq!(served, 10, "two owners, five a minute each, whoever asks");
    });
}

/// A key that was off everywhere and is on again serves again, though whoever gave it back said that it rests.
#[test]
fn a_key_that_is_switched_on_again_is_asked_for_at_once() {
    both(async |noting| {
        for off in [2.0, 12.0, 25.0] {
            let host = Host::new(noting);
            let make = || builder(1).limits(FLASH, Limits::new().per_minute(1_000));
            let pools = [host.process("one", 1, make()).await.pool, host.process("other", 1, make()).await.pool];
            let once = async |pool: &KeyPool| {
                let lease = pool.acquire(wait(0)).await;
                lease.map(|lease| lease.settle(&Verdict::SUCCESS)).is_ok()
            };
            for pool in &pools {
                assert_eq!(burst(pool, 1, 20).await, 1);
            }
            let id = pools[0].snapshot().keys[0].id.clone();
            for pool in &pools {
                pool.disable(&id, "by hand").unwrap();
            }
            for _ in 0..(off / 0.2) as usize {
                for pool in &pools {
                    assert!(!once(pool).await);
                }
                pass(0.2).await;
            }
            for pool in &pools {
                pool.enable(&id).unwrap();
            }
            let begun = host.clock.tick();
            while !(once(&pools[0]).await || once(&pools[1]).await) {
                pass(0.1).await;
                let passed = host.clock.tick().since(begun);
                assert!(passed < Duration::from_secs(2), "noting {noting}, off for {off} s: {passed:?}");
            }
        }
    });
}
