//! `cargo run --example piece_by_piece`: a stack built layer by layer, with a timeout for each attempt.

mod shared;

use std::time::Duration;

use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keypool::{BoxError, CooldownLayer, Gemini, Key, KeyPool, KeyRotationLayer, ReplayLayer, RetryPolicy};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = shared::simulator(&[("projects/1", &["key-one"])]).await?;
    let pool = KeyPool::builder(Gemini::at(&upstream.url())?).key(Key::new(shared::secret("key-one"))).build()?;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let mut client = ServiceBuilder::new()
        .layer(ReplayLayer::up_to(32 << 20))
        .retry(RetryPolicy::new(&pool))
        .layer(KeyRotationLayer::new(&pool))
        .layer(CooldownLayer::new(&pool))
        .timeout(Duration::from_secs(60))
        .service(http);

    let response = client.ready().await?.call(shared::hello("gemini-2.5-flash")).await?;
    println!("{}", response.status());
    assert!(response.status().is_success());
    Ok(())
}
