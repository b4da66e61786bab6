//! `cargo run --example model_fallback`: when no key may serve the best model, the next one of its list does.

mod shared;

use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keypool::{BoxError, Gemini, Key, KeyPool, KeyPoolLayer, Limits, Models, ServedBy};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = shared::simulator(&[("projects/1", &["key-one"])]).await?;
    let pool = KeyPool::builder(Gemini::at(&upstream.url())?)
        .key(Key::new(shared::secret("key-one")))
        .limits("gemini-2.5-pro", Limits::new().per_minute(2))
        .limits("gemini-2.5-flash", Limits::new().per_minute(10))
        .build()?;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let models = Models::new().for_all(["gemini-2.5-pro", "gemini-2.5-flash"]);
    let mut client = ServiceBuilder::new().layer(KeyPoolLayer::new(&pool).fallback(models)).service(http);

    let mut used = Vec::new();
    for _ in 0..4 {
        let answer = client.ready().await?.call(shared::hello("gemini-2.5-pro")).await?;
        let served = answer.extensions().get::<ServedBy>().cloned().ok_or("nobody served")?;
        println!("asked for {:?}, served by {:?}", served.requested_model(), served.used_model());
        used.push(served.used_model().unwrap_or_default().to_owned());
    }
    assert_eq!(used, ["gemini-2.5-pro", "gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash"]);
    Ok(())
}
