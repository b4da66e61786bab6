//! `cargo run --example hyper_client`: the complete stack over hyper-util's client.

mod shared;

use std::io;

use hyper_util::{
    client::legacy::{Client, Error},
    rt::TokioExecutor,
};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keypool::{Attempts, BoxError, Gemini, Key, KeyPool, KeyPoolLayer, Limits};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = shared::simulator(&[("projects/1", &["key-one"]), ("projects/2", &["key-two"])]).await?;
    let pool = KeyPool::builder(Gemini::at(&upstream.url())?)
        .key(Key::free(shared::secret("key-one")).named("one"))
        .key(Key::free(shared::secret("key-two")).named("two"))
        .limits("gemini-2.5-flash", Limits::new().per_minute(10))
        .build()?;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let mut client = ServiceBuilder::new()
        .layer(KeyPoolLayer::new(&pool))
        // Shows the pool whether a connection was made: a request that was not sent is always retried.
        .map_err(|error: Error| {
            if error.is_connect() {
                io::Error::new(io::ErrorKind::HostUnreachable, error)
            } else {
                io::Error::other(error)
            }
        })
        .service(http);

    for _ in 0..4 {
        let response = client.ready().await?.call(shared::hello("gemini-2.5-flash")).await?;
        let key = response.extensions().get::<Attempts>().and_then(Attempts::last).map(|attempt| attempt.key().clone());
        println!("{} by key {key:?}", response.status());
        assert!(response.status().is_success());
    }
    Ok(())
}
