//! What one process learns acts in the others.

use std::time::Duration;

use tower_keypool::{Demand, KeyId, Limits, QuotaNews, Scope, Until, Verdict, VerdictKind, Violation};

use crate::host::{FLASH, Host, builder, pass, paused};

fn wait() -> Demand {
    Demand::new(FLASH).wait(Duration::from_secs(5))
}

#[test]
fn a_key_switched_off_in_one_is_off_in_all_within_a_renewal_and_on_again() {
    paused().block_on(async {
        let host = Host::new(true);
        let make = || builder(1).limits(FLASH, Limits::new().per_minute(100));
        let (one, other) = (host.process("one", 1, make()).await, host.process("other", 1, make()).await);
        let id: KeyId = one.pool.snapshot().keys[0].id.clone();
        one.pool.disable(&id, "leaked").unwrap();
        pass(3.0).await;
        let error = other.pool.acquire(wait()).await.unwrap_err().to_string();
        assert!(error.contains("disabled"), "{error}");
        one.pool.enable(&id).unwrap();
        pass(3.0).await;
        other.pool.acquire(wait()).await.expect("it is on again").settle(&Verdict::SUCCESS);
    });
}

#[test]
fn an_owner_that_rests_in_one_rests_in_all() {
    paused().block_on(async {
        let host = Host::new(false);
        let make = || builder(2).limits(FLASH, Limits::new().per_minute(100));
        let (one, other) = (host.process("one", 1, make()).await, host.process("other", 1, make()).await);
        let lease = one.pool.acquire(wait()).await.unwrap();
        let key = lease.key_id().to_string();
        lease.settle(
            &Verdict::new(VerdictKind::RateLimited).scope(Scope::Owner).until(Until::For(Duration::from_secs(300))),
        );
        pass(5.0).await;
        for _ in 0..20 {
            let lease = other.pool.acquire(wait()).await.expect("the other key");
            assert_ne!(lease.key_id().to_string(), key);
            lease.settle(&Verdict::SUCCESS);
        }
        // A third that begins only now knows it as well.
        let third = host.process("third", 1, make()).await;
        pass(2.0).await;
        one.pool.shutdown().await;
        other.pool.shutdown().await;
        let lease = third.pool.acquire(wait()).await.unwrap();
        assert_ne!(lease.key_id().to_string(), key);
    });
}

#[test]
fn a_key_that_failed_in_one_comes_back_with_a_part_of_its_load_in_all() {
    paused().block_on(async {
        let host = Host::new(true);
        let make = || builder(1).limits(FLASH, Limits::new().per_minute(100));
        let (one, other) = (host.process("one", 1, make()).await, host.process("other", 1, make()).await);
        let whole = other.pool.snapshot().keys[0].current_weight;
        let until = Until::For(Duration::from_secs(30));
        let lease = one.pool.acquire(wait()).await.unwrap();
        lease.settle(&Verdict::new(VerdictKind::InvalidKey).scope(Scope::Key).until(until));
        pass(40.0).await;
        let weight = other.pool.snapshot().keys[0].current_weight;
        assert!(weight < whole / 2.0, "{weight} of {whole}");
    });
}

#[test]
fn a_limit_that_an_answer_named_holds_in_all() {
    paused().block_on(async {
        let host = Host::new(true);
        let (one, other) = (host.process("one", 1, builder(1)).await, host.process("other", 1, builder(1)).await);
        // Nothing is known of limits: both use the key.
        other.pool.acquire(wait()).await.unwrap().settle(&Verdict::SUCCESS);
        let violation =
            Violation { unit: tower_keypool::Unit::Requests, span: tower_keypool::Span::MINUTE, amount: Some(7) };
        let news = QuotaNews { violations: vec![violation], ..QuotaNews::default() };
        let limited = Verdict::new(VerdictKind::RateLimited).until(Until::For(Duration::from_secs(60))).news(news);
        one.pool.acquire(wait()).await.unwrap().settle(&limited);
        pass(70.0).await;
        let mut served = 0;
        for process in [&one, &other] {
            for _ in 0..10 {
                if let Ok(lease) = process.pool.acquire(wait().wait(Duration::from_secs(1))).await {
                    lease.settle(&Verdict::SUCCESS);
                    served += 1;
                }
            }
        }
        assert!((6..=7).contains(&served), "{served} of 7 a minute, by both");
    });
}
