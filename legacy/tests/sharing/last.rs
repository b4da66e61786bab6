//! Only one owner has room, and more than one process can use: it goes from hand to hand, whatever else each holds.

use std::time::Duration;

use tower_keypool::{Demand, KeyPool, KeyPoolBuilder, Limits, Priority, Verdict};

use crate::host::{FLASH, Host, builder, key, pass, paused};

/// So many a second, each of which may wait so long: how many of them are served.
async fn asks(pool: KeyPool, rate: f64, wait: u64, seconds: f64) -> usize {
    let mut all = Vec::new();
    for _ in 0..(rate * seconds) as usize {
        let pool = pool.clone();
        all.push(tokio::spawn(async move {
            let lease = pool.acquire(Demand::new(FLASH).wait(Duration::from_secs(wait))).await.ok()?;
            pass(0.2).await;
            lease.settle(&Verdict::SUCCESS);
            Some(())
        }));
        pass(1.0 / rate).await;
    }
    let mut served = 0;
    for call in all {
        served += usize::from(call.await.unwrap().is_some());
    }
    served
}

/// Two small owners, and a large one of a priority.
fn large_beside_small(priority: u16, large: u64) -> KeyPoolBuilder {
    let large = key(9).priority(Priority(priority)).limits(FLASH, Limits::new().per_minute(large));
    builder(0).keys((0..2).map(|n| key(n).priority(Priority(0)).limits(FLASH, Limits::new().per_minute(5)))).key(large)
}

/// What each process is served of what it asks for; calls a second and process.
async fn shared(
    noting: bool,
    make: impl Fn() -> KeyPoolBuilder,
    rates: &[f64],
    (wait, seconds): (u64, f64),
) -> (Vec<f64>, f64) {
    let host = Host::new(noting);
    let mut pools = Vec::new();
    for n in 0..rates.len() {
        pools.push(host.process(&format!("p{n}"), 1, make()).await.pool);
    }
    let calls = pools.iter().zip(rates).map(|(pool, rate)| tokio::spawn(asks(pool.clone(), *rate, wait, seconds)));
    let calls: Vec<_> = calls.collect();
    let mut served = Vec::new();
    for (call, rate) in calls.into_iter().zip(rates) {
        served.push(call.await.unwrap() as f64 / (rate * seconds).floor());
    }
    let renewals: u64 = pools.iter().map(|pool| pool.sharing().expect("it shares").counters.renewals).sum();
    (served, renewals as f64 / seconds / rates.len() as f64)
}

/// Callers wait as long as a gateway's do.
#[test]
fn one_large_owner_beside_small_ones_that_are_full_serves_all_processes() {
    for (noting, priority, rates) in [
        (true, 0, &[2.0, 2.0][..]),
        (true, 0, &[6.0, 0.5]),
        (true, 0, &[1.0, 1.0, 1.0]),
        (false, 0, &[2.0, 2.0]),
        (true, 10, &[2.0, 2.0]),
    ] {
        let make = || large_beside_small(priority, 1_000);
        let (served, calls) = paused().block_on(shared(noting, make, rates, (5, 40.0)));
        println!("noting {noting}, priority {priority}, {rates:?} a second: {served:?}, {calls:.2} calls");
        assert!(served.iter().all(|part| *part > 0.99), "noting {noting}, priority {priority}, {rates:?}: {served:?}");
        // Of a later priority it is the only one, and goes round as such.
        assert!(calls <= if priority == 0 { 1.5 } else { 5.0 }, "{rates:?}: {calls} calls a second");
    }
}

/// More is asked for than there is: each process has its part of it, and nobody is served more by more calls.
#[test]
fn one_large_owner_that_is_short_is_divided() {
    for priority in [0, 10] {
        let make = || large_beside_small(priority, 120);
        let (served, calls) = paused().block_on(shared(true, make, &[2.5, 2.5], (5, 60.0)));
        println!("priority {priority}: {served:?}, {calls:.2} calls");
        assert!(served.iter().all(|part| *part > 0.3), "priority {priority}: {served:?}");
        assert!(calls <= if priority == 0 { 1.5 } else { 5.0 }, "priority {priority}: {calls} calls a second");
    }
}

/// Where many owners of one size are short nothing goes round: no process would be served more of them.
#[test]
fn many_owners_that_are_all_short_cost_no_more_calls() {
    let make = || builder(30).limits(FLASH, Limits::new().per_minute(10));
    let (served, calls) = paused().block_on(shared(true, make, &[2.5; 4], (10, 60.0)));
    println!("{served:?} served, {calls:.2} calls a second and process");
    assert!(served.iter().sum::<f64>() >= 2.3 && calls <= 1.2, "{served:?}, {calls} calls a second");
}

/// All of one size, but of the others the day is used up.
#[test]
fn the_last_owner_whose_day_is_not_used_up_serves_all_processes() {
    let minute = || Limits::new().per_minute(60);
    let make = || {
        builder(0).keys((0..3).map(|n| key(n).limits(FLASH, minute().per_day(2)))).key(key(9).limits(FLASH, minute()))
    };
    let (served, calls) = paused().block_on(shared(true, make, &[0.4, 0.4], (5, 60.0)));
    println!("{served:?} served, {calls:.2} calls a second and process");
    assert!(served.iter().all(|part| *part > 0.99) && calls <= 1.5, "{served:?}, {calls} calls a second");
}
