//! Fewer owners than processes: they go from hand to hand.

use std::time::Duration;

use tower_keypool::{Demand, KeyPool, Limits, Verdict, share::Settings};

use crate::host::{FLASH, Host, builder, pass, paused};

const MINUTES: u64 = 3;

/// Asks every `pause` seconds, each time waiting `wait`, and counts what is served.
async fn asks(pool: KeyPool, pause: f64, wait: Duration) -> usize {
    let (begun, mut served) = (pool.clock().tick(), 0);
    let is_over = || pool.clock().tick().since(begun) >= Duration::from_secs(60 * MINUTES);
    while !is_over() {
        if let Ok(lease) = pool.acquire(Demand::new(FLASH).wait(wait)).await {
            lease.settle(&Verdict::SUCCESS);
            served += usize::from(!is_over());
        }
        pass(pause).await;
    }
    served
}

/// What so many processes that all ask are served of so many owners, and how often they call the board a second.
async fn shared(owners: usize, a_minute: u64, processes: usize, noting: bool) -> (Vec<usize>, f64) {
    let host = Host::new(noting);
    let mut draws = Settings::default();
    draws.noting = noting;
    let mut all = Vec::new();
    for n in 0..processes {
        let make = builder(owners).limits(FLASH, Limits::new().per_minute(a_minute));
        // Whoever asks a pool to draw places gets none that it could not use.
        let draws = draws.clone();
        let process = host.process_as(&format!("p{n}"), 1, make, |sharing| sharing.settings(draws)).await;
        all.push(process.pool);
    }
    let calls = all.iter().map(|pool| tokio::spawn(asks(pool.clone(), 4.0, Duration::from_secs(10))));
    let mut served = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        served.push(call.await.unwrap());
    }
    let renewals: u64 = all.iter().map(|pool| pool.sharing().expect("it shares").counters.renewals).sum();
    (served, renewals as f64 / (60 * MINUTES) as f64 / processes as f64)
}

#[test]
fn few_owners_serve_all_who_ask() {
    for noting in [true, false] {
        for (owners, a_minute, processes) in [(1, 40, 4), (1, 10, 2), (1, 10, 4), (3, 15, 4)] {
            let (served, calls) = paused().block_on(shared(owners, a_minute, processes, noting));
            let possible = owners as u64 * a_minute * MINUTES;
            let all = served.iter().sum::<usize>() as u64;
            println!(
                "{owners} × {a_minute} by {processes}, noting {noting}: {served:?} of {possible}, {calls:.2} calls a second"
            );
            assert!(all * 10 >= possible * 9 && all <= possible, "{owners} × {a_minute} by {processes}: {served:?}");
            // Each its part.
            let least = all as usize / processes / 2;
            assert!(served.iter().all(|served| *served >= least), "{owners} × {a_minute}: {served:?}");
            assert!(calls <= 2.0, "{calls} calls a second");
        }
    }
}

/// Until when a request that may not wait is told to stay away.
fn told(pool: &KeyPool) -> Option<Duration> {
    let refused = pool.try_acquire(Demand::new(FLASH)).err()?;
    // Where nothing is known a gateway says a second.
    Some(refused.retry_after().unwrap_or(Duration::from_secs(1)))
}

/// As a client: comes again when it was told to, until it is served.
async fn comes_again(pool: &KeyPool) -> (Duration, u32) {
    let (begun, mut came) = (pool.clock().tick(), 0);
    while let Some(after) = told(pool) {
        came += 1;
        pass(after.as_secs_f64()).await;
    }
    (pool.clock().tick().since(begun), came)
}

#[test]
fn whoever_comes_again_when_told_finds_what_was_lent_by_then() {
    for noting in [true, false] {
        paused().block_on(async {
            let host = Host::new(noting);
            let make = || builder(2).limits(FLASH, Limits::new().per_minute(6));
            let (one, other) = (host.process("one", 1, make()).await, host.process("other", 1, make()).await);
            for pool in [&one.pool, &other.pool, &other.pool, &other.pool] {
                let lease = pool.acquire(Demand::new(FLASH).wait(Duration::from_secs(5))).await.expect("a free key");
                lease.settle(&Verdict::SUCCESS);
                pass(1.5).await;
            }
            while let Ok(lease) = one.pool.try_acquire(Demand::new(FLASH)) {
                lease.settle(&Verdict::SUCCESS);
            }
            // The other is done with its key, which has room.
            let (took, came) = comes_again(&one.pool).await;
            assert!(took < Duration::from_secs(10), "noting {noting}: {took:?}, {came} times");
        });
    }
}

#[test]
fn where_nothing_is_lent_for_long_nobody_is_told_to_come_each_second() {
    for noting in [true, false] {
        paused().block_on(async {
            let host = Host::new(noting);
            let make = || builder(2).limits(FLASH, Limits::new().per_day(4));
            let (one, other) = (host.process("one", 1, make()).await, host.process("other", 1, make()).await);
            pass(2.0).await;
            // Each uses up what it has, for the day.
            for pool in [&one.pool, &other.pool, &one.pool, &other.pool] {
                while let Ok(lease) = pool.acquire(Demand::new(FLASH).wait(Duration::from_secs(2))).await {
                    lease.settle(&Verdict::SUCCESS);
                }
            }
            let (begun, mut came) = (one.pool.clock().tick(), 0);
            while one.pool.clock().tick().since(begun) < Duration::from_secs(600) {
                came += 1;
                pass(told(&one.pool).expect("nothing is left").as_secs_f64().min(60.0)).await;
            }
            println!("noting {noting}: {came} times in ten minutes");
            assert!(came <= 30, "noting {noting}: {came} times in ten minutes");
        });
    }
}
