//! `cargo run --example two_providers`: one pool for each API.

mod shared;

use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneService};
use tower_keypool::{BoxError, Gemini, Key, KeyPool, KeyPoolLayer, OpenAi, Provider};

type Body = Full<bytes::Bytes>;
type Response = http::Response<http_body_util::combinators::UnsyncBoxBody<bytes::Bytes, BoxError>>;
type Stack = BoxCloneService<http::Request<Body>, Response, BoxError>;

fn stack(provider: impl Provider) -> Result<Stack, BoxError> {
    let pool = KeyPool::builder(provider).key(Key::new(shared::secret("key-one"))).build()?;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let client = ServiceBuilder::new()
        .map_response(|response: http::Response<_>| {
            response.map(|body| BodyExt::boxed_unsync(BodyExt::map_err(body, Into::into)))
        })
        .layer(KeyPoolLayer::new(&pool))
        .service(http);
    Ok(BoxCloneService::new(client.map_err(Into::into)))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = shared::simulator(&[("projects/1", &["key-one"])]).await?;
    let gemini = stack(Gemini::at(&upstream.url())?)?;
    let openai = stack(OpenAi::at(&format!("{}/v1beta/openai", upstream.url()))?)?;

    let model = "gemini-2.5-flash";
    for (client, request) in [(gemini, shared::hello(model)), (openai, shared::chat(model))] {
        let path = request.uri().path().to_owned();
        let response = client.oneshot(request).await?;
        println!("{path}: {}", response.status());
        assert!(response.status().is_success());
    }
    Ok(())
}
