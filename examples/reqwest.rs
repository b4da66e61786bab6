//! `cargo run --example reqwest --features reqwest`: reqwest as the innermost client.

mod shared;

use tower::{ServiceBuilder, ServiceExt};
use tower_keypool::{BoxError, Gemini, Key, KeyPool, KeyPoolLayer, ReqwestService};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = shared::simulator(&[("projects/1", &["key-one"])]).await?;
    let pool = KeyPool::builder(Gemini::at(&upstream.url())?).key(Key::new(shared::secret("key-one"))).build()?;
    // The client follows no redirects, because reqwest would forward the key to another host.
    let client = ReqwestService::build(reqwest::Client::builder())?;
    let client = ServiceBuilder::new().layer(KeyPoolLayer::new(&pool)).service(client);

    let response = client.oneshot(shared::hello("gemini-2.5-flash")).await?;
    println!("{}", response.status());
    assert!(response.status().is_success());
    Ok(())
}
