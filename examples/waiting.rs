//! `cargo run --example waiting`: a request waits for a key, first in, first out, up to its deadline.

mod shared;

use std::time::Duration;

use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keypool::{BoxError, ErrorKind, Gemini, Key, KeyPool, KeyPoolLayer, KeyRequest, Limit, Limits, Span, Unit};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = shared::simulator(&[("projects/1", &["key-one"])]).await?;
    // At most two requests in any half second.
    let limit = Limit { unit: Unit::Requests, span: Span::Sliding(Duration::from_millis(500)), amount: 2 };
    let pool = KeyPool::builder(Gemini::at(&upstream.url())?)
        .key(Key::new(shared::secret("key-one")))
        .limits("gemini-2.5-flash", Limits::new().with(limit))
        .wait(Duration::from_secs(5))
        .build()?;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let mut client = ServiceBuilder::new().layer(KeyPoolLayer::new(&pool)).service(http);

    for number in 0..4 {
        let before = pool.clock().now();
        let response = client.ready().await?.call(shared::hello("gemini-2.5-flash")).await?;
        println!("request {number}: {} after {:?}", response.status(), pool.clock().now().since(before));
        assert!(response.status().is_success());
    }

    // A request may set a shorter wait of its own.
    let mut hasty = shared::hello("gemini-2.5-flash");
    hasty.extensions_mut().insert(KeyRequest::default().wait(Duration::ZERO));
    let Err(error) = client.ready().await?.call(hasty).await else { return Err("the window is full".into()) };
    println!("{error}");
    assert!(error.kind() == ErrorKind::Unavailable && error.retry_after().is_some());

    // A lease that is acquired without layers waits in the same queue.
    let lease = pool.acquire("gemini-2.5-flash").await?;
    println!("a lease of key {}", lease.key());
    Ok(())
}
