//! `cargo run --example openai_upstream`: an OpenAI-compatible API, with the model in the request body.

mod shared;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keypool::{Attempts, BoxError, Key, KeyPool, KeyPoolLayer, Limits, OpenAi};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = shared::simulator(&[("projects/1", &["key-one"])]).await?;
    // Any base URL works. This one is Google's compatible endpoint, which the simulator provides.
    let pool = KeyPool::builder(OpenAi::at(&format!("{}/v1beta/openai", upstream.url()))?)
        .key(Key::new(shared::secret("key-one")).max_concurrent(4))
        .limits("gemini-2.5-flash", Limits::new().per_minute(10))
        .build()?;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let mut client = ServiceBuilder::new().layer(KeyPoolLayer::new(&pool)).service(http);

    let body = r#"{"messages":[{"role":"user","content":"Hello"}],"model":"gemini-2.5-flash"}"#;
    let request =
        Request::post("/chat/completions")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::<Bytes>::from(body))?;
    let response = client.ready().await?.call(request).await?;
    assert!(response.status().is_success(), "{}", response.status());
    let attempt = response.extensions().get::<Attempts>().and_then(Attempts::last).cloned().ok_or("no attempt")?;
    assert_eq!(attempt.model(), Some("gemini-2.5-flash"));
    println!("{}", String::from_utf8_lossy(&response.into_body().collect().await?.to_bytes()));
    Ok(())
}
