//! Fewer owners than processes: one owner goes from hand to hand.

use std::time::Duration;

use tower_keypool::{Demand, KeyPool, Limits, Verdict, share::Settings};

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
            let mut draws = Settings::default();
            draws.noting = noting;
            let mut all = Vec::new();
            for n in 0..4 {
                let make = builder(1).limits(FLASH, Limits::new().per_minute(A_MINUTE));
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
            // A place at a time it would be most of them: it goes back as a whole, once somebody else has asked.
            let all = served.iter().sum::<usize>() as u64;
            assert!((A_MINUTE / 2..=A_MINUTE).contains(&all), "{served:?}");
            assert!(served.iter().all(|served| *served >= 3), "{served:?}");
        });
    }
}
