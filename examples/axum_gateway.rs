//! `cargo run --example axum_gateway`: a custom gateway in axum, with the layers as its fallback service.

mod shared;

use axum::{Router, routing::get};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::ServiceBuilder;
use tower_keypool::{BoxError, ErrorIntoResponseLayer, Gemini, Key, KeyPool, KeyPoolLayer};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = shared::simulator(&[("projects/1", &["key-one"])]).await?;
    let pool = KeyPool::builder(Gemini::at(&upstream.url())?).key(Key::new(shared::secret("key-one"))).build()?;
    let http = Client::builder(TokioExecutor::new()).build_http();
    // The error of an axum service is `Infallible`, so errors of the layers become responses in the provider's format.
    let stack = ServiceBuilder::new()
        .layer(ErrorIntoResponseLayer::new(&pool))
        .layer(KeyPoolLayer::new(&pool))
        .service(http.clone());
    let stats = {
        let pool = pool.clone();
        move || async move { format!("{} keys\n", pool.stats().keys) }
    };
    let app = Router::new().route("/stats", get(stats)).fallback_service(stack);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let gateway = tokio::spawn(async move { axum::serve(listener, app).await });

    let (mut head, body) = shared::hello("gemini-2.5-flash").into_parts();
    head.uri = format!("http://{address}{}", head.uri).parse()?;
    let client: Client<_, http_body_util::Full<bytes::Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(http::Request::from_parts(head, body)).await?;
    println!("{}", response.status());
    assert!(response.status().is_success());
    gateway.abort();
    Ok(())
}
