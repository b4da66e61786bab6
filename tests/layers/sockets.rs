//! The layers over real sockets, with hyper-util's client and the simulator of the Gemini API.

use gemini_sim::{GeminiSim, Limits, Project};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Layer, ServiceExt};
use tower_keypool::{Gemini, Key, KeyPool, KeyPoolLayer, ReplayBody};

use crate::support::{Body, MODEL, attempts};

fn ask(verb: &str) -> Request<Body> {
    let body = r#"{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}"#;
    let request = Request::post(format!("/v1beta/models/{MODEL}:{verb}")).header("content-type", "application/json");
    request.body(Full::from(body)).unwrap()
}

#[tokio::test]
async fn invalid_key_and_exhausted_key_are_skipped() {
    let full = Project::new("projects/1").limits(Limits::none().rpm(1)).key("AIzaSy-simulated-000-full");
    let free = Project::new("projects/2").limits(Limits::none().rpm(100)).key("AIzaSy-simulated-001-free");
    let sim = GeminiSim::builder().project(full).project(free).start().await.unwrap();
    let keys = ["AIzaSy-simulated-002-none", "AIzaSy-simulated-000-full", "AIzaSy-simulated-001-free"];
    let pool = KeyPool::builder(Gemini::at(&sim.url()).unwrap()).keys(keys.map(Key::new)).build().unwrap();
    let client: Client<_, ReplayBody<Body>> = Client::builder(TokioExecutor::new()).build_http();
    let client = KeyPoolLayer::new(&pool).layer(client);
    let mut tries = 0;
    for verb in ["generateContent", "streamGenerateContent?alt=sse", "streamGenerateContent"].repeat(4) {
        let response = client.clone().oneshot(ask(verb)).await.unwrap();
        assert_eq!(response.status(), 200, "{verb}");
        tries += attempts(&response).len();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains("usageMetadata"), "{verb}");
    }
    assert_eq!(tries, 14, "one extra try for the invalid key, one for the exhausted key");
    let stats = pool.stats();
    assert_eq!((stats.succeeded, stats.failed, stats.in_flight), (12, 2, 0));
    assert!(stats.input_tokens > 0 && stats.output_tokens > 0);
}

#[tokio::test]
async fn refused_connection_is_a_transport_error() {
    // It has a port, but does not listen.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    let pool = KeyPool::builder(Gemini::at(&url).unwrap()).key(Key::new("AIzaSy-simulated-000")).build().unwrap();
    let client: Client<_, ReplayBody<Body>> = Client::builder(TokioExecutor::new()).build_http();
    let error = KeyPoolLayer::new(&pool).layer(client).oneshot(ask("generateContent")).await.unwrap_err();
    assert_eq!(error.kind(), tower_keypool::ErrorKind::Transport);
    let first = error.attempts().iter().next().unwrap();
    assert_eq!(first.outcome().failure().unwrap().code(), Some("connect"));
}
