//! Types that must fit: these compile, or the bounds are wrong. Nothing is sent.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_keypool::{
    BoxError, CooldownLayer, Error, ExhaustedAsResponseLayer, KeyPoolLayer, KeyRotationLayer, ReplayBody, ReplayLayer,
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

/// A client whose type names `BoxError` cannot be spawned below the layers (the crate's doc says why); all of it as one box can.
#[tokio::test]
async fn a_boxed_stack_is_spawned() {
    type Boxed = BoxCloneSyncService<Request<Full<Bytes>>, Response<BoxBody<Bytes, BoxError>>, Error>;

    let answers = tower::service_fn(async |_: Request<ReplayBody<Full<Bytes>>>| {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
    });
    let stack = KeyPoolLayer::new(pool(&["a"])).layer(answers);
    let stack = Boxed::new(stack.map_response(|answer: Response<_>| answer.map(BoxBody::new)));
    let request = Request::get("/models/m").body(Full::default()).unwrap();
    let answer = tokio::spawn(stack.oneshot(request)).await.unwrap().unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
}

/// The compiler's own words on a `RetryPolicy` in a stack over a body that cannot be sent again, from the libraries as
/// they were built for this test. A whole `trybuild` project takes minutes.
#[test]
fn a_policy_over_a_body_that_cannot_be_sent_twice_names_the_replay_layer() {
    const OVER_A_STREAM: &str = r"
        use http::{Request, Response};
        use tower::{Service, ServiceBuilder, service_fn};
        use tower_keypool::{BoxError, KeyPool, KeyRotationLayer, RetryPolicy};

        pub struct Stream;
        fn serves<B>(_: &impl Service<Request<B>>) {}

        pub fn stack(pool: KeyPool) {
            let client = service_fn(async |_: Request<Stream>| Ok::<_, BoxError>(Response::new(String::new())));
            let stack = ServiceBuilder::new()
                .retry(RetryPolicy::new(&pool))
                .layer(KeyRotationLayer::new(&pool))
                .service(client);
            serves::<Stream>(&stack);
        }";
    let built = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let source = built.join("retry_over_a_stream.rs");
    std::fs::write(&source, OVER_A_STREAM).unwrap();
    let libraries = |name: &str| {
        let of_that_name = |path: &std::path::PathBuf| {
            let file = path.file_name().unwrap().to_string_lossy();
            file.starts_with(&format!("lib{name}-")) && file.ends_with(".rlib")
        };
        let files = std::fs::read_dir(&built).unwrap().map(|file| file.unwrap().path()).filter(of_that_name);
        let mut files: Vec<_> = files.map(|path| (path.metadata().unwrap().modified().unwrap(), path)).collect();
        files.sort();
        files.into_iter().rev().map(|(_, path)| path).collect::<Vec<_>>()
    };
    let said = |ours: &std::path::Path, tower: &std::path::Path, http: &std::path::Path| {
        let compiled = std::process::Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
            .args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--out-dir"])
            .arg(&built)
            .arg(format!("-Ldependency={}", built.display()))
            .arg(format!("--extern=tower_keypool={}", ours.display()))
            .arg(format!("--extern=tower={}", tower.display()))
            .arg(format!("--extern=http={}", http.display()))
            .arg(&source)
            .output()
            .unwrap();
        assert!(!compiled.status.success(), "it compiles");
        String::from_utf8_lossy(&compiled.stderr).into_owned()
    };
    // Builds of other days and features lie there too, and fit no more: one combination is the one that is meant.
    let mut heard = Vec::new();
    for ours in libraries("tower_keypool") {
        for tower in libraries("tower") {
            for http in libraries("http") {
                let said = said(&ours, &tower, &http);
                let names = ["put a `ReplayLayer` above the layer that retries", "`RetryPolicy`", "the body `Stream`"];
                if names.iter().all(|name| said.contains(name)) {
                    return;
                }
                heard.push(said);
            }
        }
    }
    panic!("{}", heard.join("\n"));
}
