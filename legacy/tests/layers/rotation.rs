//! Each request leaves with one key of the pool, to the provider alone, and holds its slot until the body ends.

use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{Service, ServiceBuilder, ServiceExt, buffer::BufferLayer, limit::ConcurrencyLimitLayer};
use tower_keypool::{
    Demand, Granted, KeyPool, KeyRotation, KeyRotationLayer, Limits, ServedBy, Until, Verdict, VerdictKind,
};
use tower_test::mock;

use crate::support::{self, Body, Handle, Mock, ask, key_of, narrow_pool, ok, pool, refused, request};

fn spawn(pool: &KeyPool) -> (mock::Spawn<KeyRotation<Mock>>, Handle) {
    mock::spawn_layer(KeyRotationLayer::new(pool))
}

#[tokio::test(start_paused = true)]
async fn a_request_leaves_with_exactly_one_key_and_no_credential_of_the_callers() {
    let (mut service, mut handle) = spawn(&pool(&["one"]));
    assert_ready_ok!(service.poll_ready());
    let mut request = ask();
    request.headers_mut().append("x-key", HeaderValue::from_static("placeholder"));
    request.headers_mut().append("x-key", HeaderValue::from_static("another"));
    request.headers_mut().append("authorization", HeaderValue::from_static("Bearer placeholder"));
    request.headers_mut().append("connection", HeaderValue::from_static("x-key"));
    let mut future = task::spawn(service.call(request));
    assert_pending!(future.poll());
    let (sent, _send) = handle.next_request().await.unwrap();
    assert_eq!(key_of(&sent), "one");
    assert!(sent.headers()["x-key"].is_sensitive());
    assert_eq!(sent.headers().len(), 1);
    assert_eq!(sent.uri(), "http://api.example/models/m");
    assert!(sent.extensions().get::<Demand>().is_none());
    assert_eq!(sent.extensions().get::<Granted>().unwrap().key_id().to_string(), "one");
}

#[tokio::test(start_paused = true)]
async fn requests_to_anywhere_else_are_refused_before_a_key_is_taken() {
    let pool = narrow_pool();
    let (mut service, _handle) = spawn(&pool);
    for uri in ["http://evil.example/models/m", "https://api.example/models/m", "/models/../m", "/unkeyable"] {
        assert_ready_ok!(service.poll_ready());
        let error = assert_ready_err!(task::spawn(service.call(request(uri))).poll());
        assert!(error.is_refused(), "{uri}: {error}");
        assert_eq!(error.status(), StatusCode::BAD_REQUEST);
        assert_eq!(support::free_slots(&pool), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_may_be_allowed() {
    let pool = pool(&["one"]);
    let layer = KeyRotationLayer::new(&pool).allow_host("up.example:81");
    let (mut service, mut handle): (mock::Spawn<KeyRotation<Mock>>, Handle) = mock::spawn_layer(layer);
    assert_ready_ok!(service.poll_ready());
    let mut future = task::spawn(service.call(request("http://up.example:81/x")));
    assert_pending!(future.poll());
    let (sent, _send) = handle.next_request().await.unwrap();
    assert_eq!((key_of(&sent).as_str(), sent.uri().host()), ("one", Some("up.example")));
}

/// What the provider, or whoever is called in its place, is sent.
async fn sent_by(layer: KeyRotationLayer, request: Request<Body>) -> Request<Body> {
    let (mut service, mut handle): (mock::Spawn<KeyRotation<Mock>>, Handle) = mock::spawn_layer(layer);
    assert_ready_ok!(service.poll_ready());
    let mut future = task::spawn(service.call(request));
    assert_pending!(future.poll());
    handle.next_request().await.unwrap().0
}

#[tokio::test(start_paused = true)]
async fn as_a_server_it_forgets_its_own_name_and_no_key_goes_there() {
    let pool = pool(&["one"]);
    let layer = || KeyRotationLayer::new(&pool).as_server().allow_host("up.example:81");
    for (uri, goes_to) in [
        ("https://gate.example/models/m?a=b", "http://api.example/models/m?a=b"),
        ("https://api.example:444/models/m", "http://api.example/models/m"),
        ("http://evil@api.example/models/m", "http://api.example/models/m"),
        ("https://up.example:81/models/m", "http://api.example/models/m"),
        ("http://up.example:81/x", "http://up.example:81/x"),
        ("/models/m", "http://api.example/models/m"),
    ] {
        let mut incoming = request(uri);
        *incoming.version_mut() = http::Version::HTTP_2;
        let sent = sent_by(layer(), incoming).await;
        assert_eq!((sent.uri().to_string().as_str(), key_of(&sent).as_str()), (goes_to, "one"), "{uri}");
    }
    let (mut service, _handle): (mock::Spawn<KeyRotation<Mock>>, Handle) = mock::spawn_layer(layer());
    for uri in ["http://gate.example/models/../m", "gate.example:443"] {
        assert_ready_ok!(service.poll_ready());
        let error = assert_ready_err!(task::spawn(service.call(request(uri))).poll());
        assert!(error.is_refused(), "{uri}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_slot_is_held_until_the_body_ends() {
    let pool = narrow_pool();
    let (mut service, mut handle) = spawn(&pool);
    let mut next = async || {
        assert_ready_ok!(service.poll_ready());
        let mut future = task::spawn(service.call(ask()));
        assert_pending!(future.poll());
        let (_, send) = handle.next_request().await.unwrap();
        send.send_response(ok());
        assert_ready_ok!(future.poll())
    };
    // Read to its end.
    let mut response = next().await;
    assert_eq!(support::free_slots(&pool), 0);
    assert_eq!(response.body().size_hint().exact(), Some(4));
    assert_eq!(response.body_mut().frame().await.unwrap().unwrap().into_data().unwrap(), "fine");
    assert_eq!(support::free_slots(&pool), 1);
    drop(response);
    // Dropped half way.
    let response = next().await;
    assert_eq!(support::free_slots(&pool), 0);
    drop(response);
    assert_eq!(support::free_slots(&pool), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_cooldown_it_books_what_the_status_says_and_tells_who_served() {
    let (mut service, mut handle) = spawn(&pool(&["one"]));
    for (status, kind) in [(200, VerdictKind::Success), (304, VerdictKind::Success), (429, VerdictKind::Unjudged)] {
        assert_ready_ok!(service.poll_ready());
        let mut future = task::spawn(service.call(ask()));
        assert_pending!(future.poll());
        handle.next_request().await.unwrap().1.send_response(support::bad(status, ""));
        let response = assert_ready_ok!(future.poll());
        let served = response.extensions().get::<ServedBy>().unwrap();
        assert_eq!(served.verdict().kind(), kind);
        assert_eq!(served.key().unwrap().to_string(), "one");
        assert_eq!((served.requested_model(), served.used_model(), served.attempts()), (Some("m"), Some("m"), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_names_the_key_and_frees_the_slot() {
    let pool = narrow_pool();
    let (mut service, mut handle) = spawn(&pool);
    assert_ready_ok!(service.poll_ready());
    let mut future = task::spawn(service.call(ask()));
    assert_pending!(future.poll());
    handle.next_request().await.unwrap().1.send_error(refused());
    let error = assert_ready_err!(future.poll());
    assert!(error.is_upstream());
    assert_eq!(error.served_by().unwrap().key().unwrap().to_string(), "one");
    assert_eq!(error.to_string(), "no answer over key one: transient fault (connect)");
    assert_eq!(support::free_slots(&pool), 1);
}

#[tokio::test(start_paused = true)]
async fn a_time_out_below_is_no_fault_of_the_key() {
    let pool = narrow_pool();
    let (inner, _handle) = mock::pair::<Request<Body>, Response<Body>>();
    let client =
        ServiceBuilder::new().layer(KeyRotationLayer::new(&pool)).timeout(Duration::from_secs(3)).service(inner);
    let error = client.oneshot(ask()).await.unwrap_err();
    assert_eq!(error.verdict().unwrap().code_of(), "timeout");
    assert_eq!(error.status(), StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(support::free_slots(&pool), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_key_it_fails_at_once_unless_it_may_wait() {
    let pool = narrow_pool();
    let held = pool.try_acquire("m").unwrap();
    let (mut service, mut handle) = spawn(&pool);
    assert_ready_ok!(service.poll_ready());
    let error = assert_ready_err!(task::spawn(service.call(ask())).poll());
    assert!(error.is_exhausted());

    assert_ready_ok!(service.poll_ready());
    let mut patient = ask();
    patient.extensions_mut().insert(Demand::new("m").wait(Duration::from_secs(9)));
    let mut future = task::spawn(service.call(patient));
    assert_pending!(future.poll());
    drop(held);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_pending!(future.poll());
    let (sent, send) = handle.next_request().await.unwrap();
    assert_eq!(key_of(&sent), "one");
    send.send_response(ok());
    assert_ready_ok!(future.poll());
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_the_typed_error() {
    let pool = narrow_pool();
    let _held = pool.try_acquire("m").unwrap();
    let (inner, _handle) = mock::pair::<Request<Body>, Response<Body>>();
    let service = KeyRotationLayer::new(&pool).wait(Duration::from_secs(5));
    let begun = pool.clock().tick();
    let error = tower::Layer::layer(&service, inner).oneshot(ask()).await.unwrap_err();
    assert!(error.is_exhausted());
    let waited = pool.clock().tick().since(begun);
    assert!(waited >= Duration::from_secs(5) && waited < Duration::from_millis(5_100), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_waiting_request_blocks_no_other_below() {
    let pool = narrow_pool();
    let other = pool_with_room();
    let (inner, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    let limited = ServiceBuilder::new().layer(ConcurrencyLimitLayer::new(1)).service(inner);
    let held = pool.try_acquire("m").unwrap();
    let waiting = ServiceBuilder::new()
        .layer(KeyRotationLayer::new(&pool).wait(Duration::from_secs(60)))
        .service(limited.clone());
    let passing = ServiceBuilder::new().layer(KeyRotationLayer::new(&other)).service(limited);

    let mut first = task::spawn(waiting.oneshot(ask()));
    assert_pending!(first.poll());
    let mut second = task::spawn(passing.oneshot(ask()));
    assert_pending!(second.poll());
    let (sent, send) = handle.next_request().await.unwrap();
    assert_eq!(key_of(&sent), "roomy");
    send.send_response(ok());
    drop(assert_ready_ok!(second.poll()));

    drop(held);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_pending!(first.poll());
    let (sent, _send) = handle.next_request().await.unwrap();
    assert_eq!(key_of(&sent), "one");
}

/// Two lanes of one pool under one stack, with one place below: the lane that waits does not hold it.
#[tokio::test(start_paused = true)]
async fn a_lane_that_waits_lets_another_pass() {
    let window = Limits::new().per_minute(1);
    let pool = support::builder(&["one"]).limits("full", window).build().unwrap();
    drop(pool.try_acquire("full").unwrap());
    let (inner, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    let client = ServiceBuilder::new()
        .layer(KeyRotationLayer::new(&pool).wait(Duration::from_secs(90)))
        .layer(ConcurrencyLimitLayer::new(1))
        .service(inner);

    let mut waiting = task::spawn(client.clone().oneshot(request("/models/full")));
    assert_pending!(waiting.poll());
    for _ in 0..3 {
        let mut passing = task::spawn(client.clone().oneshot(request("/models/free")));
        assert_pending!(passing.poll());
        let (sent, send) = handle.next_request().await.unwrap();
        assert_eq!(sent.uri().path(), "/models/free");
        send.send_response(ok());
        drop(assert_ready_ok!(passing.poll()));
        assert_pending!(waiting.poll());
    }

    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_pending!(waiting.poll());
    let (sent, send) = handle.next_request().await.unwrap();
    assert_eq!(sent.uri().path(), "/models/full");
    send.send_response(ok());
    drop(assert_ready_ok!(waiting.poll()));
}

fn pool_with_room() -> KeyPool {
    pool(&["roomy"])
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_keeps_no_place_below() {
    let (inner, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    let limited = ServiceBuilder::new().layer(ConcurrencyLimitLayer::new(1)).service(inner);
    let mut client = ServiceBuilder::new().layer(KeyRotationLayer::new(pool(&["one"]))).service(limited);
    let mut twin = client.clone();
    let refused = client.ready().await.unwrap().call(request("http://evil.example/"));
    assert!(refused.await.unwrap_err().is_refused());
    // `client` lives on and was not polled again: its place must be free.
    let mut ready = task::spawn(twin.ready());
    assert_ready!(ready.poll()).unwrap();
    assert!(handle.poll_request().is_pending());
}

#[tokio::test(start_paused = true)]
async fn it_works_over_a_buffer_also_when_it_waits() {
    let pool = narrow_pool();
    let (inner, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    let client = ServiceBuilder::new()
        .layer(KeyRotationLayer::new(&pool).wait(Duration::from_secs(60)))
        .layer(BufferLayer::new(1))
        .service(inner);
    tokio::spawn(async move {
        while let Some((_, send)) = handle.next_request().await {
            send.send_response(ok());
        }
    });
    let calls: Vec<_> = (0..5).map(|_| tokio::spawn(client.clone().oneshot(ask()))).collect();
    for call in calls {
        let body = call.await.unwrap().unwrap().into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "fine");
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_anywhere_it_frees_the_slot() {
    let pool = narrow_pool();
    let (inner, mut handle) = mock::pair::<Request<Body>, Response<Body>>();
    let limited = ServiceBuilder::new().layer(ConcurrencyLimitLayer::new(1)).service(inner);
    let patient = KeyRotationLayer::new(&pool).wait(Duration::from_secs(60));
    let client = ServiceBuilder::new().layer(patient).service(limited.clone());

    // While it is called.
    let mut future = task::spawn(client.clone().oneshot(ask()));
    assert_pending!(future.poll());
    assert_eq!(support::free_slots(&pool), 0);
    drop(future);
    assert_eq!(support::free_slots(&pool), 1);
    handle.next_request().await.unwrap();

    // While it waits for a key.
    let held = pool.try_acquire("m").unwrap();
    let mut future = task::spawn(client.clone().oneshot(ask()));
    assert_pending!(future.poll());
    drop(future);
    drop(held);
    assert_eq!(support::free_slots(&pool), 1);

    // While it has a key and the service below is not ready.
    let held = pool.try_acquire("m").unwrap();
    let mut future = task::spawn(client.clone().oneshot(ask()));
    assert_pending!(future.poll());
    let mut blocker = limited.clone();
    blocker.ready().await.unwrap();
    drop(held);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_pending!(future.poll());
    assert_eq!(support::free_slots(&pool), 0);
    drop(future);
    assert_eq!(support::free_slots(&pool), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_runs_an_upgraded_connection_takes_the_lease() {
    let pool = narrow_pool();
    let (mut service, mut handle) = spawn(&pool);
    assert_ready_ok!(service.poll_ready());
    let mut request = Request::get("/models/m").body(Full::default()).unwrap();
    request.headers_mut().insert("connection", HeaderValue::from_static("Upgrade"));
    request.headers_mut().insert("upgrade", HeaderValue::from_static("websocket"));
    let mut future = task::spawn(service.call(request));
    assert_pending!(future.poll());
    let (sent, send) = handle.next_request().await.unwrap();
    assert_eq!(sent.headers()["upgrade"], "websocket");
    send.send_response(support::bad(101, ""));
    let response = assert_ready_ok!(future.poll());
    let lease = response.extensions().get::<ServedBy>().unwrap().keep().unwrap();
    drop(response);
    assert_eq!(support::free_slots(&pool), 0);
    drop(lease);
    assert_eq!(support::free_slots(&pool), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_what_cannot_come_in_time() {
    let pool = pool(&["one"]);
    let rests = Verdict::new(VerdictKind::RateLimited).until(Until::For(Duration::from_secs(30)));
    pool.try_acquire("m").unwrap().judge(&rests);
    let (inner, _handle) = mock::pair::<Request<Body>, Response<Body>>();
    let before = pool.clock().tick();
    let layer = KeyRotationLayer::new(&pool).wait(Duration::from_secs(29));
    let error = tower::Layer::layer(&layer, inner.clone()).oneshot(ask()).await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
    assert_eq!(pool.clock().tick(), before);
    // In time is waited for.
    let layer = KeyRotationLayer::new(&pool).wait(Duration::from_secs(31));
    let mut future = task::spawn(tower::Layer::layer(&layer, inner).oneshot(ask()));
    assert_pending!(future.poll());
}

#[tokio::test(start_paused = true)]
async fn a_demand_that_leaves_the_model_open_takes_it_from_the_head() {
    let (mut service, mut handle) = spawn(&pool(&["one"]));
    assert_ready_ok!(service.poll_ready());
    let mut request = ask();
    request.extensions_mut().insert(Demand::any_model().wait(Duration::from_secs(1)));
    let mut future = task::spawn(service.call(request));
    assert_pending!(future.poll());
    handle.next_request().await.unwrap().1.send_response(ok());
    let response = assert_ready_ok!(future.poll());
    assert_eq!(response.extensions().get::<ServedBy>().unwrap().used_model(), Some("m"));
}
