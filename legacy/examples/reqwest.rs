//! `cargo run --example reqwest --features reqwest`: the whole stack on a reqwest client.

mod shared;

use http_body_util::BodyExt;
use tower::{ServiceBuilder, ServiceExt};
use tower_keypool::{BoxError, Gemini, Key, KeyPool, KeyPoolLayer, ReqwestService};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = shared::simulator(&[("projects/1", &["key-one"])]).await?;
    let pool = KeyPool::builder(Gemini::at(&upstream.url())?).key(Key::new(shared::secret("key-one"))).build()?;
    // Your own builder, with your own proxy, pool and time-outs; redirects are switched off.
    let http = ReqwestService::new(reqwest::Client::builder())?;
    let client = ServiceBuilder::new().layer(KeyPoolLayer::new(&pool)).service(http);

    let answer = client.oneshot(shared::hello("gemini-2.5-flash")).await?;
    assert!(answer.status().is_success());
    println!("{}", String::from_utf8_lossy(&answer.into_body().collect().await?.to_bytes()));
    Ok(())
}
