//! `cargo run --example free_and_paid`: free keys are used first, and the paid key when they are at their limits.

mod shared;

use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keypool::{Attempts, BoxError, Gemini, Key, KeyPool, KeyPoolLayer, Limits};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let projects = [("projects/1", "key-one", 2), ("projects/2", "key-two", 2), ("projects/3", "key-three", 1000)];
    let upstream = shared::limited(&projects).await?;
    let pool = KeyPool::builder(Gemini::at(&upstream.url())?)
        .key(Key::free(shared::secret("key-one")).named("free-1"))
        .key(Key::free(shared::secret("key-two")).named("free-2"))
        .key(Key::paid(shared::secret("key-three")).named("paid").limits("*", Limits::new().per_minute(1000)))
        .limits("gemini-2.5-flash", Limits::new().per_minute(2))
        .build()?;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let mut client = ServiceBuilder::new().layer(KeyPoolLayer::new(&pool)).service(http);

    let mut order = Vec::new();
    for _ in 0..6 {
        let response = client.ready().await?.call(shared::hello("gemini-2.5-flash")).await?;
        let attempt = response.extensions().get::<Attempts>().and_then(Attempts::last).ok_or("no attempt")?;
        order.push(attempt.key().to_string());
    }
    println!("{order:?}");
    assert_eq!(order, ["free-1", "free-2", "free-1", "free-2", "paid", "paid"]);
    assert_eq!(upstream.report().total.over_limit, 0, "no request was sent over a limit");
    Ok(())
}
