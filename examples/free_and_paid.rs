//! `cargo run --example free_and_paid`: free keys first; the paid one opens when they are at their limits.

mod shared;

use tower_keypool::{BoxError, Gemini, Key, KeyPool, Limits, Verdict};

fn main() -> Result<(), BoxError> {
    let pool = KeyPool::builder(Gemini::new())
        .key(Key::free(shared::secret("key-one")).id("free-1"))
        .key(Key::free(shared::secret("key-two")).id("free-2"))
        .key(Key::paid(shared::secret("key-three")).id("paid").limits("*", Limits::new().per_minute(1000)))
        .limits("gemini-2.5-flash", Limits::new().per_minute(2))
        .build()?;

    let mut order = Vec::new();
    for _ in 0..6 {
        let lease = pool.try_acquire("gemini-2.5-flash")?;
        lease.judge(&Verdict::SUCCESS);
        order.push(lease.key_id().to_string());
    }
    println!("{order:?}, {} of them over a later priority", pool.snapshot().spills);
    assert_eq!(order, ["free-1", "free-2", "free-1", "free-2", "paid", "paid"]);
    Ok(())
}
