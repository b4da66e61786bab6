//! Demands that must have a certain key, as slots have: its unit is asked for by name.

use std::time::Duration;

use tower_keypool::{Affinity, Demand, KeyPool, Limits, Verdict};

use crate::host::{FLASH, Host, builder, pass, paused};

const KEYS: usize = 4;

/// A demand for the key of this owner.
fn slot(number: usize, seconds: u64) -> Demand {
    let owner = format!("project-{number}");
    Demand::new(FLASH).affinity(Affinity::MustOwner(owner.as_str().into())).wait(Duration::from_secs(seconds))
}

/// How long it takes until this key serves, of at most 30 s.
async fn served_after(pool: &KeyPool, number: usize) -> Duration {
    let before = pool.clock().tick();
    let lease = pool.acquire(slot(number, 30)).await.expect("within 30 s");
    lease.settle(&Verdict::SUCCESS);
    pool.clock().tick().since(before)
}

fn both(check: impl AsyncFn(bool)) {
    for noting in [false, true] {
        paused().block_on(check(noting));
    }
}

#[test]
fn a_free_unit_is_lent_by_name_though_others_that_are_held_have_room() {
    both(async |noting| {
        let host = Host::new(noting);
        let make = || builder(KEYS).limits(FLASH, Limits::new().per_minute(60));
        let (one, other) = (host.process("one", 1, make()).await, host.process("other", 1, make()).await);
        // Not alone on the board, and with room that no slot of another key may use.
        served_after(&other.pool, 3).await;
        served_after(&one.pool, 0).await;
        for number in [1, 2] {
            let took = served_after(&one.pool, number).await;
            assert!(took < Duration::from_millis(200), "key {number}, noting {noting}: {took:?}");
        }
    });
}

/// Whoever only looks asks no board: a key is out that is switched off, not one that may be lent.
#[test]
fn a_key_that_may_be_lent_is_not_said_to_be_out() {
    both(async |noting| {
        let host = Host::new(noting);
        let pool = host.process("one", 1, builder(KEYS).limits(FLASH, Limits::new().per_minute(60))).await.pool;
        let off = pool.snapshot().keys[3].id.clone();
        pool.disable(&off, "for a while").unwrap();
        let out: Vec<bool> = (0..KEYS).map(|number| pool.outlook(slot(number, 0)).is_some()).collect();
        assert_eq!(out, [false, false, false, true], "noting {noting}");
        pool.acquire(slot(2, 5)).await.expect("it is lent").settle(&Verdict::SUCCESS);
    });
}

#[test]
fn another_hands_back_the_very_unit_that_is_wanted() {
    both(async |noting| {
        let host = Host::new(noting);
        let make = || builder(KEYS).limits(FLASH, Limits::new().per_minute(60));
        let (one, other) = (host.process("one", 1, make()).await, host.process("other", 1, make()).await);
        // The other works on all of them, all the time.
        let busy: Vec<_> = (0..KEYS)
            .map(|number| {
                let pool = other.pool.clone();
                tokio::spawn(async move {
                    loop {
                        if let Ok(lease) = pool.acquire(slot(number, 5)).await {
                            pass(0.2).await;
                            lease.settle(&Verdict::SUCCESS);
                        }
                        pass(1.0).await;
                    }
                })
            })
            .collect();
        pass(10.0).await;
        for number in [2, 0, 3, 1] {
            let took = served_after(&one.pool, number).await;
            assert!(took < Duration::from_secs(4), "key {number}, noting {noting}: {took:?}");
        }
        for task in busy {
            task.abort();
        }
    });
}

#[test]
fn slots_of_two_processes_work_side_by_side() {
    both(async |noting| {
        let host = Host::new(noting);
        let make = || builder(KEYS).limits(FLASH, Limits::new().per_minute(60));
        let (one, other) = (host.process("one", 1, make()).await, host.process("other", 1, make()).await);
        let mut all = Vec::new();
        for (who, pool) in [&one.pool, &other.pool].into_iter().enumerate() {
            for number in 0..KEYS {
                let pool = pool.clone();
                all.push(tokio::spawn(async move {
                    let begun = pool.clock().tick();
                    let (mut served, mut longest) = (0_u32, Duration::ZERO);
                    while pool.clock().tick().since(begun) < Duration::from_secs(60) {
                        let before = pool.clock().tick();
                        if let Ok(lease) = pool.acquire(slot(number, 20)).await {
                            lease.settle(&Verdict::SUCCESS);
                            served += 1;
                            longest = longest.max(pool.clock().tick().since(before));
                        }
                        pass(4.0).await;
                    }
                    (who, number, served, longest)
                }));
            }
        }
        for slot in all {
            let (who, number, served, longest) = slot.await.unwrap();
            println!("process {who}, key {number}, noting {noting}: {served} served, the longest wait {longest:?}");
            assert!(served >= 8, "process {who}, key {number}, noting {noting}: {served} served, {longest:?}");
            assert!(longest < Duration::from_secs(5), "process {who}, key {number}, noting {noting}: {longest:?}");
        }
    });
}
