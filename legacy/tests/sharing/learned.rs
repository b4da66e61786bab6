//! Limits that answers told outlive the process that heard them, and reach those that had no use for them yet.

use std::time::Duration;

use tower_keypool::{Demand, KeyId, KeyPool, QuotaNews, Until, Verdict, VerdictKind, Violation};

use crate::host::{FLASH, Host, builder, pass, paused};

fn wait() -> Demand {
    Demand::new(FLASH).wait(Duration::from_secs(5))
}

/// They have no lane for the model when they hear of its limit.
#[test]
fn a_limit_that_an_answer_named_holds_where_its_model_is_asked_for_later_and_after_a_restart() {
    paused().block_on(async {
        for noting in [false, true] {
            let host = Host::new(noting);
            let (one, other) = (host.process("one", 1, builder(1)).await, host.process("other", 1, builder(1)).await);
            let violation =
                Violation { unit: tower_keypool::Unit::Requests, span: tower_keypool::Span::MINUTE, amount: Some(7) };
            let news = QuotaNews { violations: vec![violation], ..QuotaNews::default() };
            let limited = Verdict::new(VerdictKind::RateLimited).until(Until::For(Duration::from_secs(60))).news(news);
            one.pool.acquire(wait()).await.unwrap().settle(&limited);
            let served = async |pool: &KeyPool| {
                pass(130.0).await;
                let mut served = 0;
                for _ in 0..10 {
                    if let Ok(lease) = pool.acquire(wait().wait(Duration::from_secs(1))).await {
                        lease.settle(&Verdict::SUCCESS);
                        served += 1;
                    }
                }
                served
            };
            one.pool.shutdown().await;
            assert_eq!(served(&other.pool).await, 7, "noting: {noting}");
            other.pool.shutdown().await;
            let third = host.process("third", 1, builder(1)).await;
            assert_eq!(served(&third.pool).await, 7, "after a restart; noting: {noting}");
            // What is said by hand not to hold any more does not come back with the lane.
            let id: KeyId = third.pool.snapshot().keys[0].id.clone();
            third.pool.enable(&id).unwrap();
            pass(5.0).await;
            third.pool.shutdown().await;
            let fourth = host.process("fourth", 1, builder(1)).await;
            assert_eq!(served(&fourth.pool).await, 10, "by hand; noting: {noting}");
        }
    });
}
