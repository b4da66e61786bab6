//! `cargo run --example streaming`: a response streams through, and the used tokens are read from its events.

mod shared;

use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keypool::{BoxError, Gemini, Key, KeyPool, KeyPoolLayer};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = shared::simulator(&[("projects/1", &["key-one"])]).await?;
    let pool = KeyPool::builder(Gemini::at(&upstream.url())?).key(Key::new(shared::secret("key-one"))).build()?;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let mut client = ServiceBuilder::new().layer(KeyPoolLayer::new(&pool)).service(http);

    let mut request = shared::hello("gemini-2.5-flash");
    *request.uri_mut() = "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse".parse()?;
    let mut body = client.ready().await?.call(request).await?.into_body();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            print!("{}", String::from_utf8_lossy(&data));
        }
    }
    drop(body);
    let stats = pool.stats();
    println!("{} tokens in, {} out", stats.input_tokens, stats.output_tokens);
    assert!(stats.output_tokens > 0);
    Ok(())
}
