//! `cargo run --example waiting`: a request waits for a key, in the order of arrival, up to its deadline.

mod shared;

use std::time::Duration;

use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keypool::{BoxError, Demand, Gemini, Key, KeyPool, KeyPoolLayer, Limit, Limits, Span, Unit};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = shared::simulator(&[("projects/1", &["key-one"])]).await?;
    // Two requests in any half second.
    let window = Limit { unit: Unit::Requests, span: Span::Sliding(Duration::from_millis(500)), amount: 2 };
    let pool = KeyPool::builder(Gemini::at(&upstream.url())?)
        .key(Key::new(shared::secret("key-one")))
        .limits("gemini-2.5-flash", Limits::new().with(window))
        .build()?;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let mut client = ServiceBuilder::new().layer(KeyPoolLayer::new(&pool).wait(Duration::from_secs(5))).service(http);

    for n in 0..4 {
        let before = pool.clock().tick();
        let answer = client.ready().await?.call(shared::hello("gemini-2.5-flash")).await?;
        println!("request {n}: {} after {:?}", answer.status(), pool.clock().tick().since(before));
        assert!(answer.status().is_success());
    }

    // One request may say that it has less time than the others.
    let mut hasty = shared::hello("gemini-2.5-flash");
    hasty.extensions_mut().insert(Demand::new("gemini-2.5-flash").wait(Duration::from_millis(10)));
    let Err(error) = client.ready().await?.call(hasty).await else {
        return Err("the window is full for longer than that".into());
    };
    println!("{error}");
    assert!(error.is_exhausted() && error.retry_after().is_some());

    // Without layers: a lease taken by hand waits in the same line.
    let before = pool.clock().tick();
    let lease = pool.acquire(Demand::new("gemini-2.5-flash").wait(Duration::from_secs(5))).await?;
    println!("a lease by hand waited {:?} for {}", pool.clock().tick().since(before), lease.key_id());
    Ok(())
}
