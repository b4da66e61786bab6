//! A key that is switched off, or on again, in one process is so in all within two seconds. In real time.

use std::time::Duration;

use tower_keypool::{KeyPool, Limits, Verdict};

use crate::host::{FLASH, builder, pass};

/// Switches a key off and on in one, and looks when the other follows.
async fn follows(one: &KeyPool, other: &KeyPool) {
    let lease = one.acquire(FLASH).await.expect("a key");
    let id = lease.key_id().clone();
    lease.settle(&Verdict::SUCCESS);
    for (off, text) in [(true, "off"), (false, "on again")] {
        // Whenever it is: not only just before a renewal.
        pass(0.7).await;
        if off {
            one.disable(&id, "by hand").unwrap();
        } else {
            one.enable(&id).unwrap();
        }
        let begun = other.clock().tick();
        while (other.snapshot().disabled_keys == 1) != off {
            pass(0.02).await;
            let waited = other.clock().tick().since(begun);
            assert!(waited < Duration::from_secs(2), "{text} after {waited:?}");
        }
        println!("{text} after {:?}", other.clock().tick().since(begun));
    }
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_sqlite() {
    use tower_keypool::{Sharing, store::Sqlite};

    let folder = tempfile::tempdir().unwrap();
    let open = async || {
        let store = Sqlite::open(folder.path().join("keypool.db")).and_then(Sqlite::share).unwrap();
        let sharing = Sharing::new(store.holder().clone()).settings(store.settings());
        let pool = builder(3).limits(FLASH, Limits::new().per_minute(10));
        pool.open_shared(store.clone(), store, sharing).await.unwrap()
    };
    let (one, other) = (open().await, open().await);
    follows(&one, &other).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_redis() {
    use redis_fixture::RedisServer;
    use tower_keypool::{
        Demand, Sharing,
        redis::{Link, Options},
        store::Redis,
    };

    let Some(server) = RedisServer::start() else { return };
    let open = async || {
        let link = Link::open(Options::new(&server.url()).unwrap()).await.unwrap();
        let shared = Redis::new(&link).share();
        let sharing = Sharing::new(shared.holder().clone()).settings(shared.settings());
        let pool = builder(3).limits(FLASH, Limits::new().per_minute(10));
        pool.open_shared(shared.clone(), shared, sharing).await.unwrap()
    };
    let (one, other) = (open().await, open().await);
    // A server that has nothing only hears for the time of a lease.
    drop(one.acquire(Demand::new(FLASH).wait(Duration::from_secs(20))).await.unwrap());
    follows(&one, &other).await;
}
