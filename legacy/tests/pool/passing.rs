//! Who waits for a busy key of an earlier priority is passed by whoever an idle one behind has room for, and no other has.

use tokio::time::sleep;
use tower_keypool::{Demand, Limits, Priority};

use crate::support::{FLASH, builder, id, key, paused, secs};
use crate::waiting::{demand, wait};

/// A key of the first priority is busy for long, and one behind it idle again: `last` finds room there alone.
async fn passes(limits: Limits, (held, there): (Demand, Demand), in_front: Vec<Demand>, last: Demand) {
    let first = key(0).priority(Priority::FREE).max_concurrent(1);
    let behind = key(1).priority(Priority::PAID).max_concurrent(1);
    let pool = paused(builder().keys([first, behind]).limits(FLASH, limits).fixed_limits(true));
    let long = pool.try_acquire(held).unwrap();
    assert!(long.started() && *long.key_id() == id(0));
    let other = pool.try_acquire(there).unwrap();
    assert!(other.started() && *other.key_id() == id(1));
    let mut fronts = Vec::new();
    for front in in_front {
        fronts.push(wait(&pool, front).await);
    }
    let waits = wait(&pool, last).await;
    assert_eq!(pool.snapshot().waiters, fronts.len() + 1);
    drop(other);
    sleep(secs(20)).await;
    assert!(waits.is_finished(), "it sleeps beside an idle key");
    let lease = waits.await.unwrap().unwrap();
    assert_eq!(*lease.key_id(), id(1));
    assert!(fronts.iter().all(|front| !front.is_finished()), "those that fit the busy key wait for it");
}

#[tokio::test(start_paused = true)]
async fn many_who_need_ever_more_are_passed() {
    let tokens = |tokens| demand(FLASH).tokens(tokens);
    let limits = Limits::new().tokens_per_minute(100_000);
    passes(limits, (tokens(99_900), tokens(200)), (1..=12).map(tokens).collect(), tokens(200)).await;
}

/// Though nothing but requests is counted.
#[tokio::test(start_paused = true)]
async fn one_request_is_passed_by_two_at_once() {
    let requests = |requests| demand(FLASH).requests(requests);
    passes(Limits::new().per_minute(4), (requests(3), requests(2)), vec![requests(1)], requests(2)).await;
}
