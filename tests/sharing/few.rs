//! Fewer owners than processes: one owner goes from hand to hand.

use std::time::Duration;

use tower_keypool::{Demand, KeyPool, Limits, Verdict};

use crate::host::{FLASH, Host, builder, pass, paused};

const A_MINUTE: u64 = 40;

/// Asks every `pause` seconds, each time waiting `wait`, and counts what is served in a minute.
async fn asks(pool: KeyPool, pause: f64, wait: Duration) -> usize {
    let (begun, mut served) = (pool.clock().tick(), 0);
    while pool.clock().tick().since(begun) < Duration::from_secs(60) {
        if let Ok(lease) = pool.acquire(Demand::new(FLASH).wait(wait)).await {
            lease.settle(&Verdict::SUCCESS);
            served += 1;
        }
        pass(pause).await;
    }
    served
}

#[test]
fn one_owner_serves_four_processes_that_all_ask() {
    for noting in [true, false] {
        paused().block_on(async {
            let host = Host::new(noting);
            let mut all = Vec::new();
            for n in 0..4 {
                let make = builder(1).limits(FLASH, Limits::new().per_minute(A_MINUTE));
                all.push(host.process(&format!("p{n}"), 1, make).await.pool);
            }
            let calls = all.iter().map(|pool| tokio::spawn(asks(pool.clone(), 4.0, Duration::from_secs(10))));
            let mut served = Vec::new();
            for call in calls.collect::<Vec<_>>() {
                served.push(call.await.unwrap());
            }
            eprintln!("noting {noting}: {served:?} of {A_MINUTE}");
            assert!(served.iter().sum::<usize>() <= A_MINUTE as usize, "{served:?}");
        });
    }
}
