//! `cargo run --example two_providers`: two pools, one chosen for each request by its path.

mod shared;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_keypool::{BoxError, Gemini, Key, KeyPool, KeyPoolLayer, OpenAi};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = shared::simulator(&[("projects/1", &["key-one"]), ("projects/2", &["key-two"])]).await?;
    let gemini = KeyPool::builder(Gemini::at(&upstream.url())?).key(Key::new(shared::secret("key-one"))).build()?;
    let openai = KeyPool::builder(OpenAi::at(&format!("{}/v1beta/openai", upstream.url()))?)
        .key(Key::new(shared::secret("key-two")))
        .build()?;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let mut native = ServiceBuilder::new().layer(KeyPoolLayer::new(&gemini)).service(http.clone());
    let mut compatible = ServiceBuilder::new().layer(KeyPoolLayer::new(&openai)).service(http);

    let chat = Request::post("/chat/completions")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::<Bytes>::from(r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"Hi"}]}"#))?;
    for request in [shared::hello("gemini-2.5-flash"), chat] {
        let path = request.uri().path().to_owned();
        let answer = if path.starts_with("/v1beta/") {
            native.ready().await?.call(request).await?
        } else {
            compatible.ready().await?.call(request).await?
        };
        println!("{path}: {}", answer.status());
        assert!(answer.status().is_success());
    }
    Ok(())
}
