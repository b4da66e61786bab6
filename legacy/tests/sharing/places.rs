//! What keys allow by themselves is room as windows have it: who has no more of it asks for what others leave idle.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_keypool::{Demand, Key, Verdict};

use crate::host::{FLASH, Host, builder, pass, paused};

const PROCESSES: usize = 2;
const CALLERS: usize = 7;
const LASTS: f64 = 0.5;

/// Of each key what it served, how many are with it, and how many were at the most; and what each process was served. After 10 s.
#[derive(Clone, Debug, Default)]
struct Seen {
    keys: BTreeMap<String, (usize, i32, i32)>,
    processes: [usize; PROCESSES],
}

/// So many callers of each process that each ask again and again, those of the second one so much later.
async fn served(keys: usize, callers: usize, late: f64, noting: bool, make: fn(Key) -> Key) -> Seen {
    let host = Host::new(noting);
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let begun = host.clock.tick();
    let mut calls = Vec::new();
    for n in 0..PROCESSES {
        let build = (0..keys).fold(builder(0), |builder, number| builder.key(make(crate::host::key(number))));
        let pool = host.process(&format!("p{n}"), 1, build).await.pool;
        for _ in 0..callers {
            let (pool, seen) = (pool.clone(), Arc::clone(&seen));
            calls.push(tokio::spawn(async move {
                pass(late * n as f64).await;
                loop {
                    let Ok(lease) = pool.acquire(Demand::new(FLASH).wait(Duration::from_secs(30))).await else {
                        continue;
                    };
                    let since = pool.clock().tick().since(begun).as_secs_f64();
                    if since > 30.0 {
                        return;
                    }
                    let key = lease.key_id().to_string();
                    {
                        let mut seen = seen.lock().unwrap();
                        seen.processes[n] += usize::from(since > 10.0);
                        let (served, now, most) = seen.keys.entry(key.clone()).or_default();
                        *served += usize::from(since > 10.0);
                        *now += 1;
                        *most = (*most).max(*now);
                    }
                    pass(LASTS).await;
                    lease.settle(&Verdict::SUCCESS);
                    seen.lock().unwrap().keys.entry(key).or_default().1 -= 1;
                }
            }));
        }
    }
    for call in calls {
        call.await.unwrap();
    }
    let seen = seen.lock().unwrap();
    seen.clone()
}

#[test]
fn keys_that_serve_few_at_a_time_are_all_used() {
    for noting in [true, false] {
        for keys in [4, 12] {
            let seen = paused().block_on(served(keys, CALLERS, 0.0, noting, |key| key.max_concurrent(2)));
            let all: usize = seen.processes.iter().sum();
            // In 20 s.
            let possible = (keys * 2).min(PROCESSES * CALLERS) * 40;
            println!("{keys} keys, noting {noting}: {all} of {possible}, {seen:?}");
            assert!(seen.keys.values().all(|seen| seen.2 <= 2), "{seen:?}");
            assert!(all * 10 >= possible * 8, "{all} of {possible}, noting {noting}: {seen:?}");
        }
    }
}

#[test]
fn keys_that_serve_one_a_second_are_all_used() {
    for noting in [true, false] {
        let seen = paused().block_on(served(6, CALLERS, 0.0, noting, |key| key.min_interval(Duration::from_secs(1))));
        let all: usize = seen.processes.iter().sum();
        println!("noting {noting}: {all} of 120, {seen:?}");
        assert!((96..=126).contains(&all), "{all} of 120, noting {noting}: {seen:?}");
    }
}

/// More callers than the keys have places: no key goes back as if nobody used it.
#[test]
fn keys_that_are_busy_stay_where_they_are() {
    for noting in [true, false] {
        for keys in [4, 12] {
            let seen = paused().block_on(served(keys, keys + 2, 0.0, noting, |key| key.max_concurrent(2)));
            let all: usize = seen.processes.iter().sum();
            println!("{keys} keys, noting {noting}: {all} of {}, {seen:?}", keys * 80);
            assert!(seen.keys.values().all(|seen| seen.2 <= 2), "{seen:?}");
            assert!(all * 100 >= keys * 80 * 95, "{all} of {}, noting {noting}: {seen:?}", keys * 80);
        }
    }
}

/// One has all of them when the other comes.
#[test]
fn who_comes_later_has_its_part_of_busy_keys() {
    for noting in [true, false] {
        for (keys, callers) in [(3, 8), (4, 7), (12, 14)] {
            let seen = paused().block_on(served(keys, callers, 8.0, noting, |key| key.max_concurrent(2)));
            let all: usize = seen.processes.iter().sum();
            println!("{keys} keys, {callers} callers, noting {noting}: {all} of {}, {:?}", keys * 80, seen.processes);
            assert!(all * 100 >= keys * 80 * 85, "{all} of {}, noting {noting}: {seen:?}", keys * 80);
            assert!(seen.processes[1] * 100 >= keys * 80 * 20, "noting {noting}: {:?}", seen.processes);
        }
    }
}
