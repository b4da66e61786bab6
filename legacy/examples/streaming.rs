//! `cargo run --example streaming`: an answer as a stream of events, each chunk as it comes.

mod shared;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keypool::{BoxError, Gemini, Key, KeyPool, KeyPoolLayer};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = shared::simulator(&[("projects/1", &["key-one"])]).await?;
    let pool = KeyPool::builder(Gemini::at(&upstream.url())?).key(Key::new(shared::secret("key-one"))).build()?;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let mut client = ServiceBuilder::new().layer(KeyPoolLayer::new(&pool)).service(http);

    let request = Request::post("/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::<Bytes>::from(r#"{"contents":[{"parts":[{"text":"Tell me a story"}]}]}"#))?;
    let mut body = client.ready().await?.call(request).await?.into_body();
    let mut chunks = 0;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            chunks += 1;
            print!("{}", String::from_utf8_lossy(&data));
        }
    }
    // The slot is held until the body has ended.
    assert!(chunks > 1 && pool.snapshot().in_flight == 0);
    Ok(())
}
