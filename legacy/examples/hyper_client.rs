//! `cargo run --example hyper_client`: the whole stack on hyper-util's client.

mod shared;

use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keypool::{BoxError, Gemini, Key, KeyPool, KeyPoolLayer, Limits, ServedBy};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = shared::simulator(&[("projects/1", &["key-one"]), ("projects/2", &["key-two"])]).await?;
    let pool = KeyPool::builder(Gemini::at(&upstream.url())?)
        .key(Key::free(shared::secret("key-one")).id("one"))
        .key(Key::free(shared::secret("key-two")).id("two"))
        .limits("gemini-2.5-flash", Limits::new().per_minute(10))
        .build()?;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let mut client = ServiceBuilder::new().layer(KeyPoolLayer::new(&pool)).service(http);

    for _ in 0..4 {
        let answer = client.ready().await?.call(shared::hello("gemini-2.5-flash")).await?;
        let served = answer.extensions().get::<ServedBy>().cloned();
        let key = served.as_ref().and_then(ServedBy::key).map(ToString::to_string).unwrap_or_default();
        println!("{} over key {key}", answer.status());
        assert!(answer.status().is_success());
        let body: Full<bytes::Bytes> = Full::new(answer.into_body().collect().await?.to_bytes());
        drop(body);
    }
    Ok(())
}
