//! A request that is under way at midnight counts on both days, whoever holds its unit then.

use std::time::Duration;

use tower_keypool::{Clock, Demand, Limits, Verdict};

use crate::host::{FLASH, Host, builder, noon, pass, paused};

#[test]
fn what_is_under_way_at_midnight_counts_with_whoever_is_lent_its_unit_after_it() {
    for noting in [true, false] {
        paused().block_on(async {
            let host = Host::by(noting, Clock::tokio_from(noon() + Duration::from_secs(12 * 3_600 - 60)));
            let make = || builder(1).limits(FLASH, Limits::new().per_day(4));
            let (one, other) = (host.process("one", 1, make()).await, host.process("other", 1, make()).await);
            let wait = || Demand::new(FLASH).wait(Duration::from_secs(20));
            let mut under_way = Vec::new();
            for _ in 0..3 {
                under_way.push(one.pool.acquire(wait()).await.expect("there is room for four"));
            }
            // The first does nothing of its own accord from here on.
            pass(120.0).await;
            let mut served = 0;
            while let Ok(lease) = other.pool.acquire(wait()).await {
                lease.settle(&Verdict::SUCCESS);
                served += 1;
            }
            assert_eq!(served, 1, "noting {noting}");
            drop(under_way);
        });
    }
}
