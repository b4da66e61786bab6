//! Large prompts, of which a key takes one or a few a minute: what tokens fill is claimed for, as what requests fill is.

use std::time::Duration;

use tower_keypool::{Demand, KeyPool, Limits, Verdict};

use crate::host::{FLASH, Host, builder, pass, paused};

const WAIT: Duration = Duration::from_secs(5);

/// So many requests of so many tokens, one behind the other; how many were served.
async fn served(pool: &KeyPool, requests: usize, tokens: u64) -> usize {
    let mut served = 0;
    for _ in 0..requests {
        if let Ok(lease) = pool.acquire(Demand::new(FLASH).tokens(tokens).wait(WAIT)).await
            && lease.started()
        {
            lease.settle(&Verdict::SUCCESS);
            served += 1;
        }
    }
    served
}

#[test]
fn keys_that_are_full_of_tokens_are_no_room() {
    let limits = Limits::new().per_minute(10).tokens_per_minute(250_000);
    for (noting, tokens, each) in [(true, 180_000, 10), (false, 180_000, 10), (true, 60_000, 40), (false, 60_000, 40)] {
        paused().block_on(async {
            let host = Host::new(noting);
            let keys = || builder(20).limits(FLASH, limits.clone());
            let (one, other) = (host.process("one", 1, keys()).await, host.process("other", 1, keys()).await);
            pass(3.0).await;
            let (one, other) = (served(&one.pool, each, tokens), served(&other.pool, each, tokens));
            let (one, other) = tokio::join!(one, other);
            // 20 keys, each of which has room for one, or for four.
            assert_eq!((one, other), (each, each), "noting: {noting}, {tokens} tokens");
        });
    }
}

/// Alone, but with more keys than are lent to such a process unasked.
#[test]
fn one_who_is_alone_with_many_keys_is_lent_more() {
    let of_both = Limits::new().per_minute(10).tokens_per_minute(250_000);
    for limits in [of_both, Limits::new().tokens_per_minute(250_000)] {
        paused().block_on(async {
            let host = Host::new(true);
            let one = host.process("one", 1, builder(1_100).limits(FLASH, limits)).await;
            pass(3.0).await;
            assert_eq!(served(&one.pool, 12, 180_000).await, 12);
        });
    }
}
