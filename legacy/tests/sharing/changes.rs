//! Changes of keys: what one process does, and when the other follows. In real time.
//!
//! - By the pool's own handle: a key that is switched off, or on again, is so in all within two seconds. Which keys a pool has
//!   is its program's: `add`, `replace` and `remove` are its own.
//! - By the book (`edit_keys`, which commands and administrators use): all five act in every program that goes by it, within
//!   two seconds. The secret travels encrypted.

use std::{collections::BTreeMap, time::Duration};

use tower_keypool::{
    Key, KeyId, KeyPool, Limits, Verdict,
    config::{KeySpec, Origin},
    store::{Keeping, KeyBook, KeySettings, Vault},
};

use crate::host::{FLASH, builder, key, pass};

/// However busy the machine is.
const ANY_TIME: Duration = Duration::from_secs(60);

/// Switches a key off and on in one, and looks when the other follows: within two seconds, where the machine has nothing else
/// to do just then.
async fn follows(one: &KeyPool, other: &KeyPool) {
    let lease = one.acquire(FLASH).await.expect("a key");
    let id = lease.key_id().clone();
    lease.settle(&Verdict::SUCCESS);
    let mut waits = Vec::new();
    while !waits.ends_with(&[true, true]) {
        let off = waits.len() % 2 == 0;
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
            assert!(other.clock().tick().since(begun) < ANY_TIME, "off is not {off}");
        }
        waits.push(other.clock().tick().since(begun) < Duration::from_secs(2));
        assert!(waits.len() < 12 || !off, "never twice within 2 s: {waits:?}");
    }
    if one.snapshot().disabled_keys == 1 {
        one.enable(&id).unwrap();
    }
    let ids = |pool: &KeyPool| pool.snapshot().keys.iter().map(|key| key.id.to_string()).collect::<Vec<_>>();
    let before = ids(other);
    one.add(key(7)).unwrap();
    one.remove(&one.snapshot().keys[0].id.clone()).unwrap();
    one.replace(&one.snapshot().keys[0].id.clone(), "AIza-not-a-real-key-00009").unwrap();
    pass(2.5).await;
    assert_eq!(ids(other), before, "which keys it has is each program's own");
    assert_eq!(ids(one).len(), 3);
}

fn vault() -> Vault {
    Vault::new(&"07".repeat(32)).unwrap()
}

fn secret(n: usize) -> String {
    format!("AIza-not-a-real-key-of-the-book-{n:03}")
}

fn hash(n: usize) -> String {
    KeySpec::new(secret(n), Origin::Env("A_TEST".into())).hash()
}

/// A program that goes by the book looks at it: every key that it keeps by its id, with its hash and why it is off.
#[derive(Default)]
struct Reader(BTreeMap<String, (String, Option<String>)>);

impl Reader {
    fn goes_by(&mut self, book: &KeyBook, pool: &KeyPool) {
        let mut now = BTreeMap::new();
        for (hash, key) in book.keys().filter(|(_, key)| key.is_kept()) {
            let name = key.record.id.clone();
            let id = KeyId::from(&*name);
            let secret = || key.record.secret.reveal(&name, hash, Some(&vault())).unwrap().unwrap();
            let held = self.0.remove(&name);
            match &held {
                None => drop(pool.add(Key::new(secret()).id(&*name)).unwrap()),
                Some((before, _)) if before != hash => pool.replace(&id, &secret()).unwrap(),
                Some(_) => {}
            }
            let off = key.disabled().map(str::to_owned);
            match (held.and_then(|held| held.1), &off) {
                (None, Some(why)) => pool.disable(&id, why).unwrap(),
                (Some(_), None) => pool.enable(&id).unwrap(),
                _ => {}
            }
            now.insert(name, (hash.to_owned(), off));
        }
        for name in self.0.keys() {
            pool.remove(&KeyId::from(&**name)).unwrap();
        }
        self.0 = now;
    }
}

/// The five operations.
fn change(book: &mut KeyBook, number: usize) {
    let kept = |n: usize| Keeping::Sealed(vault()).keep(&secret(n)).unwrap();
    match number {
        0 => {
            let said = KeySettings { hash: hash(0), id: Some("work".into()), ..KeySettings::default() };
            book.add(said, kept(0), 1_781_550_000_000).unwrap();
        }
        1 => book.disable("work", "by hand").unwrap(),
        2 => book.enable("work").unwrap(),
        3 => book.replace("work", &hash(1), kept(1)).unwrap(),
        _ => book.remove("work").unwrap(),
    }
}

fn looks(pool: &KeyPool) -> (usize, usize) {
    let snapshot = pool.snapshot();
    (snapshot.keys.len(), snapshot.disabled_keys)
}

/// How each pool looks then: keys, and those that are off.
const LOOKS: [(usize, usize); 5] = [(1, 0), (1, 1), (1, 0), (1, 0), (0, 0)];

/// Both programs go by the book while a third party writes into it.
macro_rules! all_follow_the_book {
    ($open:expr, $store:expr) => {{
        let pools = [$open(builder(0)).await, $open(builder(0)).await];
        let stores = [$store().await, $store().await, $store().await];
        let mut readers = [Reader::default(), Reader::default()];
        for (number, look) in LOOKS.into_iter().enumerate() {
            stores[2].edit_keys(move |book| change(book, number)).await.unwrap();
            let begun = pools[0].clock().tick();
            let hash = (number < 4).then(|| hash(usize::from(number == 3)));
            let as_it_says = |(pool, reader): (&KeyPool, &Reader)| {
                let held = reader.0.values().next().map(|held| held.0.clone());
                (looks(pool), held) == (look, hash.clone())
            };
            while !pools.iter().zip(&readers).all(as_it_says) {
                let waited = pools[0].clock().tick().since(begun);
                assert!(waited < ANY_TIME, "operation {number} after {waited:?}");
                pass(0.2).await;
                for (reader, (store, pool)) in readers.iter_mut().zip(stores.iter().zip(&pools)) {
                    reader.goes_by(&store.key_book().await.unwrap(), pool);
                }
            }
        }
    }};
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_sqlite() {
    use tower_keypool::{KeyPoolBuilder, Sharing, store::Sqlite};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let open = async |pool: KeyPoolBuilder| {
        let store = Sqlite::open(&path).and_then(Sqlite::share).unwrap();
        let sharing = Sharing::new(store.holder().clone()).settings(store.settings());
        let pool = pool.limits(FLASH, Limits::new().per_minute(10));
        pool.open_shared(store.clone(), store, sharing).await.unwrap()
    };
    let (one, other) = (open(builder(3)).await, open(builder(3)).await);
    follows(&one, &other).await;
    let store = async || Sqlite::open(&path).unwrap();
    all_follow_the_book!(open, store);
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_redis() {
    use redis_fixture::RedisServer;
    use tower_keypool::{
        Demand, KeyPoolBuilder, Sharing,
        redis::{Link, Options},
        store::Redis,
    };

    let Some(server) = RedisServer::start() else { return };
    let link = async || Link::open(Options::new(&server.url()).unwrap()).await.unwrap();
    let open = async |pool: KeyPoolBuilder| {
        let shared = Redis::new(&link().await).share();
        let sharing = Sharing::new(shared.holder().clone()).settings(shared.settings());
        let pool = pool.limits(FLASH, Limits::new().per_minute(10));
        pool.open_shared(shared.clone(), shared, sharing).await.unwrap()
    };
    let (one, other) = (open(builder(3)).await, open(builder(3)).await);
    // A server that has nothing only hears for the time of a lease.
    drop(one.acquire(Demand::new(FLASH).wait(Duration::from_secs(20))).await.unwrap());
    follows(&one, &other).await;
    let store = async || Redis::new(&link().await);
    all_follow_the_book!(open, store);
}
