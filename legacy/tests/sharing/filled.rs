//! Who waits while another process fills the last window.

use std::{
    io,
    time::{Duration, SystemTime},
};

use tower_keypool::{Clock, Demand, KeyPool, Limits, RunError, Verdict};

use crate::host::{FLASH, Host, Process, builder, pass, paused};

/// One who waits, and one who has taken all but the last of four owners' ten a minute.
async fn all_but_one(noting: bool) -> (Process, Process) {
    let host = Host::new(noting);
    let make = || builder(4).limits(FLASH, Limits::new().per_minute(10));
    let (one, other) = (host.process("one", 1, make()).await, host.process("other", 1, make()).await);
    pass(6.0).await;
    for _ in 0..39 {
        let lease = other.pool.acquire(Demand::new(FLASH).wait(Duration::from_secs(5))).await.unwrap();
        lease.settle(&Verdict::SUCCESS);
    }
    (one, other)
}

/// What a call came to that may wait so long, and when.
async fn call(pool: KeyPool, wait: u64) -> (Result<(), String>, Duration, Option<Duration>) {
    let clock = Clock::tokio_from(SystemTime::UNIX_EPOCH);
    let began = clock.tick();
    let judge = |_: &Result<(), io::Error>| Verdict::SUCCESS;
    let demand = Demand::new(FLASH).wait(Duration::from_secs(wait));
    let came = pool.run(demand, judge, |_| async { Ok(()) }).await;
    let next = match &came {
        Err(RunError::Pool(error)) => error.retry_after(),
        _ => None,
    };
    (came.map_err(|error| error.to_string()), clock.tick().since(began), next)
}

#[test]
fn who_waits_is_told_once_all_is_known_to_be_full() {
    for noting in [true, false] {
        for wait in [20, 70] {
            paused().block_on(async {
                let (one, other) = all_but_one(noting).await;
                let waiter = tokio::spawn(call(one.pool.clone(), wait));
                pass(0.02).await;
                other.pool.try_acquire(FLASH).expect("the last").settle(&Verdict::SUCCESS);
                let (came, took, next) = waiter.await.unwrap();
                if wait == 70 {
                    assert!(came.is_ok() && took <= Duration::from_secs(62), "{came:?} after {took:?}");
                    return;
                }
                // Who has them gives them back within some seconds, and says when they have room.
                assert!(took <= Duration::from_secs(6), "{came:?} after {took:?}");
                let seconds = next.map_or(0, |next| next.as_secs());
                assert!((50..=62).contains(&seconds), "{came:?}: {next:?}");
                // Whoever comes then is told so at once.
                let (came, took, _) = call(one.pool.clone(), 20).await;
                assert!(came.is_err() && took <= Duration::from_secs(2), "{came:?} after {took:?}");
            });
        }
    }
}
