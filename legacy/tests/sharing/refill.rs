//! What comes back of a bucket is used by whoever is alone with it: of several each would take all of it.

use std::time::Duration;

use tower_keypool::{Demand, KeyPool, QuotaNews, RateHeader, Unit, Verdict};

use crate::host::{FLASH, Host, builder, pass, paused};

async fn served(pool: &KeyPool, remaining: u64) {
    let reset = Duration::from_secs(60 - remaining);
    let header = RateHeader { unit: Unit::Requests, remaining, limit: Some(60), reset };
    let news = QuotaNews { remaining: vec![header], ..QuotaNews::default() };
    pool.acquire(Demand::new(FLASH)).await.unwrap().settle(&Verdict::SUCCESS.news(news));
}

#[test]
fn who_shares_a_bucket_waits_until_it_is_full() {
    paused().block_on(async {
        for (processes, late, waits) in [(1, false, 1), (2, false, 60), (2, true, 60)] {
            let host = Host::new(true);
            let one = host.process("one", 1, builder(1)).await;
            let joins = async || Some(host.process("other", 1, builder(1)).await);
            let mut other = if processes == 2 && !late { joins().await } else { None };
            pass(5.0).await;
            for remaining in (20..60).rev() {
                served(&one.pool, remaining).await;
            }
            if late {
                other = joins().await;
                pass(5.0).await;
            }
            served(&one.pool, 0).await;
            let until = one.pool.try_acquire(FLASH).unwrap_err().retry_after();
            assert_eq!(until, Some(Duration::from_secs(waits)), "{processes} processes, late: {late}");
            one.pool.shutdown().await;
            if let Some(other) = other {
                other.pool.shutdown().await;
            }
        }
    });
}
