//! `cargo run --example axum_gateway`: a gateway of your own in axum, the stack as its fallback.

mod shared;

use axum::{Router, routing::get};
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::ServiceBuilder;
use tower_keypool::{BoxError, Gemini, Key, KeyPool, KeyPoolLayer};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let upstream = shared::simulator(&[("projects/1", &["key-one"])]).await?;
    let pool = KeyPool::builder(Gemini::at(&upstream.url())?).key(Key::new(shared::secret("key-one"))).build()?;
    let http = Client::builder(TokioExecutor::new()).build_http();
    // axum's services never fail: what has no answer becomes one, in the provider's shape.
    let stack = ServiceBuilder::new().layer(KeyPoolLayer::new(&pool).exhausted_as_response()).service(http);
    let keys = move || async move { format!("{} keys\n", pool.snapshot().available_keys) };
    let app = Router::new().route("/keys", get(keys)).fallback_service(stack);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let gateway = tokio::spawn(async move { axum::serve(listener, app).await });

    // Whichever version its clients speak.
    for http2 in [false, true] {
        let client = Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
        let (mut head, body) = shared::hello("gemini-2.5-flash").into_parts();
        head.uri = format!("http://{address}{}", head.uri).parse()?;
        let answer = client.request(http::Request::from_parts(head, body)).await?;
        println!("{:?}: {}", answer.version(), answer.status());
        assert!(answer.status().is_success());
        drop(answer.into_body().collect().await?);
    }
    gateway.abort();
    Ok(())
}
