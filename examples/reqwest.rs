//! `cargo run --example reqwest --features reqwest`: reqwest as the client at the bottom.

mod shared;

use tower::{ServiceBuilder, ServiceExt};
use tower_keypool::{BoxError, Gemini, Key, KeyPool, KeyPoolLayer, ReqwestService};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = shared::simulator(&[("projects/1", &["key-one"])]).await?;
    let pool = KeyPool::builder(Gemini::at(&upstream.url())?).key(Key::new(shared::secret("key-one"))).build()?;
    // It follows no redirects: reqwest would send the key along to another host.
    let client = ReqwestService::build(reqwest::Client::builder())?;
    let client = ServiceBuilder::new().layer(KeyPoolLayer::new(&pool)).service(client);

    let answer = client.oneshot(shared::hello("gemini-2.5-flash")).await?;
    println!("{}", answer.status());
    assert!(answer.status().is_success());
    Ok(())
}
