//! `cargo run --example waiting`: a request waits for a key, in the order of arrival, up to its deadline.

mod shared;

use std::time::Duration;

use tower_keypool::{BoxError, Demand, Gemini, Key, KeyPool, Limits, Span, Unit};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // Two requests in any half second.
    let window =
        tower_keypool::Limit { unit: Unit::Requests, span: Span::Sliding(Duration::from_millis(500)), amount: 2 };
    let pool = KeyPool::builder(Gemini::new())
        .key(Key::new(shared::secret("key-one")))
        .limits("gemini-2.5-flash", Limits::new().with(window))
        .build()?;

    let patient = || Demand::new("gemini-2.5-flash").wait(Duration::from_secs(5));
    for n in 0..4 {
        let before = pool.clock().tick();
        let lease = pool.acquire(patient()).await?;
        println!("request {n} waited {:?} for {}", pool.clock().tick().since(before), lease.key_id());
    }

    let hasty = Demand::new("gemini-2.5-flash").wait(Duration::from_millis(10));
    let error = pool.acquire(hasty).await.expect_err("the window is full for longer than that");
    println!("{error}");
    assert!(error.is_exhausted() && error.retry_after().is_some());
    Ok(())
}
