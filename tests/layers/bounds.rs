//! Types that must fit: these compile, or the bounds are wrong. Nothing is sent.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tower::{Layer, Service, ServiceBuilder};
use tower_keypool::{
    BoxError, CooldownLayer, ExhaustedAsResponseLayer, KeyPoolLayer, KeyRotationLayer, ReplayBody, ReplayLayer,
    RetryPolicy,
};

use crate::support::pool;

fn is_client<S, B, R>(_: &S)
where
    S: Service<Request<B>, Response = Response<R>, Future: Send + 'static> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
}

fn is_host<S, R>(_: &S)
where
    S: Service<Request<axum::body::Body>, Response = Response<R>, Error = Infallible, Future: Send + 'static>,
    S: Clone + Send + Sync + 'static,
    R: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
}

fn client<B>() -> Client<HttpConnector, B>
where
    B: http_body::Body<Data: Send> + Send,
{
    Client::builder(TokioExecutor::new()).build_http()
}

#[tokio::test]
async fn an_existing_client_with_a_cloneable_body_needs_no_replay() {
    let pool = pool(&["a"]);
    let stack = ServiceBuilder::new()
        .retry(RetryPolicy::new(&pool))
        .layer(KeyRotationLayer::new(&pool))
        .layer(CooldownLayer::new(&pool))
        .service(client::<Full<Bytes>>());
    is_client::<_, Full<Bytes>, _>(&stack);
    let bare = ServiceBuilder::new()
        .retry(RetryPolicy::new(&pool))
        .layer(KeyRotationLayer::new(pool.clone()))
        .service(client::<Full<Bytes>>());
    is_client::<_, Full<Bytes>, _>(&bare);
}

#[tokio::test]
async fn any_incoming_body_goes_through_the_whole_stack() {
    let pool = pool(&["a"]);
    let stack = KeyPoolLayer::new(&pool).layer(client::<ReplayBody<hyper::body::Incoming>>());
    is_client::<_, hyper::body::Incoming, _>(&stack);
    let stack = KeyPoolLayer::new(&pool).layer(client::<ReplayBody<axum::body::Body>>());
    is_client::<_, axum::body::Body, _>(&stack);
    let by_hand = ServiceBuilder::new()
        .layer(ReplayLayer::up_to(32 << 20))
        .retry(RetryPolicy::new(&pool))
        .layer(KeyRotationLayer::new(&pool))
        .layer(CooldownLayer::new(&pool))
        .service(client::<ReplayBody<axum::body::Body>>());
    is_client::<_, axum::body::Body, _>(&by_hand);
}

#[tokio::test]
async fn an_axum_app_embeds_the_stack() {
    let pool = pool(&["a"]);
    let stack = ServiceBuilder::new()
        .layer(ExhaustedAsResponseLayer::new())
        .layer(KeyPoolLayer::new(&pool))
        .service(client::<ReplayBody<axum::body::Body>>());
    is_host(&stack);
    let _app: axum::Router = axum::Router::new().fallback_service(
        ServiceBuilder::new().map_response(|answer: Response<_>| answer.map(axum::body::Body::new)).service(stack),
    );
}

/// The compiler's own words, from the library as it was built for this test. A whole `trybuild` project takes minutes.
#[test]
fn a_body_that_cannot_be_sent_twice_is_told_of_the_replay_layer() {
    let built = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let source = built.join("retry_over_a_stream.rs");
    let code =
        "pub fn retried<B: tower_keypool::TryClone>() {}\npub struct Stream;\npub fn f() { retried::<Stream>(); }\n";
    std::fs::write(&source, code).unwrap();
    let mut said = Vec::new();
    for file in std::fs::read_dir(&built).unwrap() {
        let library = file.unwrap().path();
        let name = library.file_name().unwrap().to_string_lossy();
        if name.starts_with("libtower_keypool-") && name.ends_with(".rlib") {
            let compiled = std::process::Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
                .args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--out-dir"])
                .arg(&built)
                .arg(format!("-Ldependency={}", built.display()))
                .arg(format!("--extern=tower_keypool={}", library.display()))
                .arg(&source)
                .output()
                .unwrap();
            assert!(!compiled.status.success(), "it compiles");
            said.push(String::from_utf8_lossy(&compiled.stderr).into_owned());
        }
    }
    // Builds of other days lie there too, and need not fit any more.
    assert!(said.iter().any(|said| said.contains("put a `ReplayLayer` above the layer that retries")), "{said:?}");
}
