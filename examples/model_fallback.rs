//! `cargo run --example model_fallback`: if no key can serve the best model, the next model of the list is used.

mod shared;

use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keypool::{
    Attempts, BoxError, CooldownLayer, Gemini, Key, KeyPool, KeyRotationLayer, Limits, ModelFallbackLayer, ReplayLayer,
    RetryPolicy,
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = shared::simulator(&[("projects/1", &["key-one"])]).await?;
    let pool = KeyPool::builder(Gemini::at(&upstream.url())?)
        .key(Key::new(shared::secret("key-one")))
        .limits("gemini-2.5-pro", Limits::new().per_minute(2))
        .limits("gemini-2.5-flash", Limits::new().per_minute(10))
        .build()?;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let mut client = ServiceBuilder::new()
        .layer(ReplayLayer::new())
        .layer(ModelFallbackLayer::new(&pool, ["gemini-2.5-pro", "gemini-2.5-flash"]))
        .retry(RetryPolicy::new(&pool))
        .layer(KeyRotationLayer::new(&pool))
        .layer(CooldownLayer::new(&pool))
        .service(http);

    let mut models = Vec::new();
    for _ in 0..4 {
        let response = client.ready().await?.call(shared::hello("gemini-2.5-pro")).await?;
        let attempt = response.extensions().get::<Attempts>().and_then(Attempts::last).ok_or("no attempt")?;
        models.push(attempt.model().unwrap_or_default().to_owned());
    }
    println!("{models:?}");
    assert_eq!(models, ["gemini-2.5-pro", "gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash"]);
    Ok(())
}
