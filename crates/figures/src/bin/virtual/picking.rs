//! Many keys of which half are full.

use serde_json::{Value, json};
use tower_keypool::{Affinity, Demand, Key, KeyId, KeyPool, Limits, Verdict};

use figures::{picks, plain::Plain};

/// Half of 1,000 keys have used up their minute; the others have room for exactly the 10,000 picks to come.
pub fn half_full() -> Value {
    const KEYS: usize = 1000;
    const PICKS: usize = 10_000;
    const PER_MINUTE: usize = PICKS / (KEYS / 2);
    let id = |n: usize| KeyId::from(format!("key-{n}"));
    let time = picks::clock();
    let pool = KeyPool::builder(Plain::new())
        .keys((0..KEYS).map(|n| Key::new(picks::secret(n)).id(id(n))))
        .limits("gemini-2.5-flash", Limits::new().per_minute(PER_MINUTE as u64))
        .clock(time.clock())
        .build()
        .expect("a pool");
    let demand = Demand::new("gemini-2.5-flash");
    let fill = |n: usize| {
        let only = demand.clone().affinity(Affinity::MustKey(id(n)));
        pool.try_acquire(only).expect("it is not full yet").judge(&Verdict::SUCCESS);
    };
    (0..KEYS).step_by(2).flat_map(|n| [n; PER_MINUTE]).for_each(fill);
    let found = (0..PICKS).filter(|_| {
        let lease = pool.try_acquire(demand.clone());
        lease.inspect(|lease| lease.judge(&Verdict::SUCCESS)).is_ok()
    });
    json!({ "found": found.count() as f64 / PICKS as f64 })
}
