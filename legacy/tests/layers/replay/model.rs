//! What is found out about a request before it goes down.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, header};
use http_body::Body;
use tower::{Service, ServiceBuilder, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_keypool::{BodyError, BoxError, Demand, ReplayBody, ReplayLayer, TryClone};

use super::{
    attempts::body_below,
    support::{FedBody, Feed, Paths, RetryOn429, all, answer, chunk, chunks, full},
};

fn layer() -> ReplayLayer {
    ReplayLayer::default().pool(Paths::pool())
}

fn post<B>(path: &str, body: B) -> Request<B> {
    Request::post(path).body(body).unwrap()
}

async fn demand<B>(request: Request<B>) -> Demand
where
    B: Body + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    body_below(&layer(), request).await.extensions().get::<Demand>().unwrap().clone()
}

#[tokio::test]
async fn a_model_in_the_head_needs_no_body() {
    let (feed, body) = Feed::new();
    assert_eq!(demand(post("/head/m-1", body)).await.model(), Some("m-1"));
    assert_eq!(feed.pulled(), 0);
    let (feed, body) = Feed::new();
    assert_eq!(demand(post("/other", body)).await.model(), None);
    assert_eq!(feed.pulled(), 0);
}

#[tokio::test]
async fn a_model_in_the_body_is_found_before_between_and_behind_the_messages() {
    let text = "x".repeat(10 << 20);
    for json in [
        format!(r#"{{"model":"models/m-1","messages":["{text}"]}}"#),
        format!(r#"{{"a":[1],"model":"m-1","messages":["{text}"]}}"#),
        format!(r#"{{"messages":["{text} \"model\":\"no\""],"x":{{"model":"no"}},"model":"m-1"}}"#),
    ] {
        let json = Bytes::from(json);
        let pieces: Vec<Bytes> =
            (0..json.len()).step_by(60_000).map(|at| json.slice(at..json.len().min(at + 60_000))).collect();
        let firsts: Vec<*const u8> = pieces.iter().map(|piece| piece.as_ptr()).collect();
        let request = body_below(&layer(), post("/body", chunks(pieces))).await;
        assert_eq!(request.extensions().get::<Demand>().unwrap().model(), Some("m-1"));
        let read = all(&mut request.into_body()).await.unwrap();
        assert_eq!(read.iter().map(|piece| piece.as_ptr()).collect::<Vec<_>>(), firsts, "no byte was copied");
    }
}

#[tokio::test]
async fn a_model_in_chunks_of_one_byte_is_found_and_every_byte_goes_on() {
    let json = r#"{"n":{"model":"no"},"t":"\"model\":\"no\"","mod\u0065l":"m-1","messages":[]}"#;
    let request = body_below(&layer(), post("/body", chunks(json.bytes().map(|byte| vec![byte])))).await;
    assert_eq!(request.extensions().get::<Demand>().unwrap().model(), Some("m-1"));
    assert_eq!(all(&mut request.into_body()).await.unwrap().concat(), json.as_bytes());
}

#[tokio::test]
async fn nothing_behind_the_model_is_waited_for() {
    let (feed, body) = Feed::new();
    feed.send(r#"{"model":"m-1","#);
    let request = body_below(&layer(), post("/body", body)).await;
    assert_eq!(request.extensions().get::<Demand>().unwrap().model(), Some("m-1"));
    feed.send(r#""x":1}"#);
    feed.end();
    assert_eq!(all(&mut request.into_body()).await.unwrap().concat(), br#"{"model":"m-1","x":1}"#);
}

#[tokio::test]
async fn what_is_no_json_or_names_no_model_goes_on_without_one() {
    for text in ["", "hello", r#"{"messages":[]}"#, r#"{"messages":["#] {
        let request = body_below(&layer(), post("/body", full(text))).await;
        assert_eq!(request.extensions().get::<Demand>().unwrap().model(), None, "{text}");
        assert_eq!(all(&mut request.into_body()).await.unwrap().concat(), text.as_bytes());
    }
}

/// A limit that the provider names for it must not rest requests without a model.
#[tokio::test]
async fn a_model_that_is_no_name_is_told_apart_from_none() {
    let long = format!(r#"{{"model":"{}"}}"#, "m".repeat(300));
    for text in [r#"{"model":5}"#, r#"{"model":""}"#, r#"{"model":"a\nb"}"#, &long] {
        let request = body_below(&layer(), post("/body", full(text.to_owned()))).await;
        let model = request.extensions().get::<Demand>().unwrap().model().map(str::to_owned);
        assert_eq!(model.as_deref(), Some("a model without a name"), "{text}");
    }
}

#[tokio::test]
async fn the_search_ends_where_keeping_ends() {
    let pieces = [format!(r#"{{"a":"{}"#, "x".repeat(90)), r#"","model":"m-1"}"#.to_owned()];
    for (limit, budget, model) in [(150, 1 << 20, Some("m-1")), (50, 1 << 20, None), (150, 50, None)] {
        let layer = ReplayLayer::up_to(limit).budget(budget).pool(Paths::pool());
        let mut request = body_below(&layer, post("/body", chunks(pieces.clone()))).await;
        assert_eq!(request.extensions().get::<Demand>().unwrap().model(), model, "{limit} {budget}");
        assert!(request.body_mut().reclaim(), "nothing went out yet");
        assert!(layer.kept_bytes() > 0, "what was read is held and counted");
        assert_eq!(all(request.body_mut()).await.unwrap(), pieces, "{limit} {budget}");
        assert_eq!(layer.kept_bytes(), 0);
    }
}

#[tokio::test]
async fn a_body_that_names_two_models_does_not_reach_its_end() {
    let pieces = [r#"{"model":"cheap","#, r#""messages":[],"model":"#, r#""dear"}"#];
    let request = body_below(&layer(), post("/body", chunks(pieces))).await;
    assert_eq!(request.extensions().get::<Demand>().unwrap().model(), Some("cheap"));
    let mut body = request.into_body();
    assert_eq!(chunk(&mut body).await.unwrap().unwrap(), pieces[0]);
    let error = chunk(&mut body).await.unwrap().unwrap_err();
    assert!(error.downcast_ref::<BodyError>().unwrap().is_two_models(), "{error}");
    assert!(chunk(&mut body).await.is_none());
    assert!(body.try_clone().is_none());

    let whole = body_below(&layer(), post("/body", full(pieces.concat()))).await;
    assert!(all(&mut whole.into_body()).await.is_err());
}

#[tokio::test]
async fn a_batch_costs_as_many_requests_as_it_has_items() {
    let json = r#"{"requests":[{"a":[1,2]},{"b":","},3],"model":"m-1"}"#;
    for size in [1, 7, 100] {
        let pieces = json.as_bytes().chunks(size).map(Bytes::copy_from_slice);
        let demand = demand(post("/batch", chunks(pieces))).await;
        assert_eq!((demand.cost(), demand.model()), (3, Some("m-1")));
    }
    assert_eq!(demand(post("/batch", full(r#"{"requests":[],"model":"m"}"#))).await.cost(), 1);
    assert_eq!(demand(post("/body", full(json))).await.cost(), 1);
}

#[tokio::test]
async fn what_the_caller_said_holds() {
    let (feed, body) = Feed::new();
    let mut request = post("/batch", body);
    request.extensions_mut().insert(Demand::new("mine").requests(7).tokens(5));
    let demand = demand(request).await;
    assert_eq!((demand.model(), demand.cost()), (Some("mine"), 7));
    assert!(format!("{demand:?}").contains("input_tokens: 5"));
    assert_eq!(feed.pulled(), 0, "nothing had to be looked for");

    let mut request = post("/head/m-1", full(""));
    request.extensions_mut().insert(Demand::any_model().wait(std::time::Duration::from_secs(3)));
    let completed = body_below(&layer(), request).await.extensions().get::<Demand>().unwrap().clone();
    assert_eq!(completed.model(), Some("m-1"));
    assert!(format!("{completed:?}").contains("wait: Some(3s)"));
}

#[tokio::test]
async fn tokens_are_estimated_from_the_length() {
    let known = demand(post("/head/m", full("x".repeat(400)))).await;
    assert!(format!("{known:?}").contains("input_tokens: 100,"), "{known:?}");
    let (_feed, body) = Feed::new();
    let mut request = post("/head/m", body);
    request.headers_mut().insert(header::CONTENT_LENGTH, 800.into());
    let told = demand(request).await;
    assert!(format!("{told:?}").contains("input_tokens: 200,"), "{told:?}");
    let (_feed, body) = Feed::new();
    let unknown = demand(post("/head/m", body)).await;
    assert!(format!("{unknown:?}").contains("input_tokens: 0,"), "{unknown:?}");
}

#[tokio::test]
async fn without_a_pool_no_demand_is_made_up() {
    let request = body_below(&ReplayLayer::default(), post("/head/m", full("x"))).await;
    assert!(request.extensions().get::<Demand>().is_none());
}

#[tokio::test]
async fn an_upgrade_is_not_read() {
    let (feed, body) = Feed::new();
    let mut request = post("/body", body);
    *request.method_mut() = http::Method::GET;
    request.headers_mut().insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
    assert_eq!(demand(request).await.model(), None);
    assert_eq!(feed.pulled(), 0);
    // What is posted is a body like any, whatever its connection may become.
    let mut request = post("/body", chunks([r#"{"model":"m"}"#]));
    request.headers_mut().insert(header::UPGRADE, header::HeaderValue::from_static("h2c"));
    assert_eq!(demand(request).await.model(), Some("m"));
}

#[tokio::test]
async fn a_caller_who_uploads_slowly_holds_no_ready_service() {
    let client = ConcurrencyLimit::new(
        service_fn(|request: Request<ReplayBody<FedBody>>| async move {
            all(&mut request.into_body()).await.unwrap();
            Ok::<_, Infallible>(answer(200))
        }),
        1,
    );
    let mut stack = ServiceBuilder::new().layer(layer()).service(client);
    let (feed, slow) = Feed::new();
    let mut slow = tokio_test::task::spawn(stack.ready().await.unwrap().call(post("/body", slow)));
    assert!(slow.poll().is_pending());
    // The only slot is free for another meanwhile, over the same handle and over a clone.
    for _ in 0..2 {
        let other = stack.ready().await.unwrap().call(post("/body", chunks([r#"{"model":"m"}"#]))).await;
        assert_eq!(other.unwrap().status(), 200);
        let other = stack.clone().oneshot(post("/head/m", chunks(["x"]))).await;
        assert_eq!(other.unwrap().status(), 200);
    }
    feed.send(r#"{"model":"m"}"#);
    feed.end();
    assert!(slow.is_woken());
    assert_eq!(slow.await.unwrap().status(), 200);
}

#[tokio::test]
async fn over_a_buffer_and_a_limit_every_attempt_reads_all() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let client = service_fn(move |request: Request<ReplayBody<FedBody>>| {
        let status = if counted.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) { 429 } else { 200 };
        async move {
            assert_eq!(request.extensions().get::<Demand>().unwrap().model(), Some("m"));
            assert_eq!(all(&mut request.into_body()).await.unwrap().concat(), br#"{"model":"m"}"#);
            Ok::<_, BoxError>(answer(status))
        }
    });
    let stack = ServiceBuilder::new()
        .layer(layer())
        .buffer(4)
        .retry(RetryOn429(1))
        .concurrency_limit(1)
        .buffer(4)
        .service(client);
    for _ in 0..20 {
        let json = chunks([r#"{"mod"#, r#"el":"m"}"#]);
        assert_eq!(stack.clone().oneshot(post("/body", json)).await.unwrap().status(), 200);
    }
    assert_eq!(tries.load(Ordering::SeqCst), 40);
}

#[tokio::test]
async fn a_body_that_fails_while_it_is_looked_into_fails_below() {
    let (feed, body) = Feed::new();
    feed.send(r#"{"a":"#);
    feed.fail("gone");
    let mut body = body_below(&layer(), post("/body", body)).await.into_body();
    assert!(body.try_clone().is_none());
    let error = chunk(&mut body).await.unwrap().unwrap_err();
    let error = error.downcast_ref::<BodyError>().unwrap();
    assert!(error.is_failed() && error.is_unsent(), "nothing of it need be sent");
}

#[tokio::test]
async fn a_search_that_is_cancelled_leaves_nothing_behind() {
    let layer = layer();
    let (feed, body) = Feed::new();
    let never = service_fn(|_: Request<ReplayBody<FedBody>>| async { Ok::<_, Infallible>(()) });
    let mut call =
        tokio_test::task::spawn(ServiceBuilder::new().layer(&layer).service(never).oneshot(post("/body", body)));
    feed.send(r#"{"a":1,"#);
    assert!(call.poll().is_pending());
    assert!(layer.kept_bytes() > 0);
    drop(call);
    assert!(feed.is_dropped() && layer.kept_bytes() == 0);
}
