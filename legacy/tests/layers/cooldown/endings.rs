//! However an answer ends, the pool is told once.

use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keypool::{CooldownLayer, VerdictKind};

use super::support::{Bench, BoxError, Step, Steps, event, events, full, json, kind, text};

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_is_told_after_any_number_of_frames() {
    let texts: Vec<String> = (1..=4).map(|tokens| event("x", tokens)).collect();
    for frames in 0..texts.len() {
        let bench = Bench::new();
        let mut body = bench.get(events(Steps::chunks(&texts).then(Step::Never))).await.into_body();
        for _ in 0..frames {
            body.frame().await.unwrap().unwrap();
        }
        drop(body);
        assert_eq!(bench.all_told(), [(VerdictKind::Success, 1), (VerdictKind::Cancelled, 1)], "after {frames}");
        // The first event was read while it was held.
        assert_eq!(bench.tokens(), frames.max(1) as u64);
        assert!(bench.pool.try_acquire("m").is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_while_the_beginning_is_held() {
    let bench = Bench::new();
    for response in [events(Steps::new([Step::Never])), json(429, Steps::new([Step::Never]))] {
        let mut future = Box::pin(bench.ask(bench.request(), response));
        assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(future);
    }
    assert_eq!(bench.all_told(), [(VerdictKind::Cancelled, 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_before_the_answer_says_nothing_of_the_key() {
    let bench = Bench::new();
    let below =
        service_fn(|_: http::Request<()>| std::future::pending::<Result<http::Response<Full<Bytes>>, BoxError>>());
    let mut future = Box::pin(CooldownLayer::new(&bench.pool).layer(below).oneshot(bench.request()));
    assert!(future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(future);
    assert!(bench.all_told().is_empty());
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_the_end_instead_of_polling_for_it_has_read_all() {
    // By `is_end_stream`, and by a content-length that is used up.
    for sized in [true, false] {
        let bench = Bench::new();
        let one = event("x", 9);
        let steps = Steps::chunks([&one]).then(Step::Data(Bytes::new()));
        let steps = if sized { steps.sized() } else { Steps::chunks([&one]).sized() };
        let mut body = bench.get(events(steps)).await.into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), one);
        drop(body);
        assert_eq!((bench.all_told(), bench.tokens()), (vec![(VerdictKind::Success, 1)], 9));
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_body_that_nobody_polls_is_not_cancelled() {
    let bench = Bench::new();
    let response = bench.get(json(200, Full::<Bytes>::default())).await;
    assert!(response.body().is_end_stream());
    drop(response);
    assert_eq!(bench.all_told(), [(VerdictKind::Success, 1)]);
}

#[tokio::test(start_paused = true)]
async fn after_the_lease_has_ended_nothing_is_told() {
    let mut bench = Bench::new();
    let response = bench.get(events(Steps::chunks([event("x", 9)]).then(Step::Never))).await;
    bench.lease = None;
    drop(response);
    assert_eq!(bench.told(VerdictKind::Cancelled), 0);
}

#[tokio::test(start_paused = true)]
async fn over_a_concurrency_limit_and_a_buffer() {
    let bench = Bench::new();
    let below = service_fn(|_: http::Request<()>| async { Ok::<_, BoxError>(json(200, full("{}"))) });
    let mut limited = ServiceBuilder::new().layer(CooldownLayer::new(&bench.pool)).concurrency_limit(1).service(below);
    // A permit is taken by polling, used by calling, and free again when the answer is there.
    for _ in 0..3 {
        let response = limited.ready().await.unwrap().call(bench.request()).await.unwrap();
        assert_eq!((kind(&response), text(response).await.as_str()), (VerdictKind::Success, "{}"));
    }
    let mut waiting = limited.clone();
    let _ready = limited.ready().await.unwrap();
    assert!(matches!(waiting.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Pending));

    let buffered = ServiceBuilder::new().layer(CooldownLayer::new(&bench.pool)).buffer(2).service(below);
    let (first, second) = tokio::join!(buffered.clone().oneshot(bench.request()), buffered.oneshot(bench.request()));
    assert_eq!((kind(&first.unwrap()), kind(&second.unwrap())), (VerdictKind::Success, VerdictKind::Success));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_moved_is_held_all_the_same() {
    let bench = Bench::new();
    let pinned =
        http_body_util::StreamBody::new(Once { item: Some("data: {}\n\n".into()), pinned: std::marker::PhantomPinned });
    let below = {
        let mut pinned = Some(pinned);
        service_fn(move |_: http::Request<()>| std::future::ready(Ok::<_, BoxError>(events(pinned.take().unwrap()))))
    };
    let response = CooldownLayer::new(&bench.pool).layer(below).oneshot(bench.request()).await.unwrap();
    let body = pin!(response.into_body());
    assert_eq!(body.collect().await.unwrap().to_bytes(), "data: {}\n\n");
}

pin_project_lite::pin_project! {
    /// A stream that is not `Unpin`.
    struct Once {
        item: Option<Bytes>,
        #[pin]
        pinned: std::marker::PhantomPinned,
    }
}

impl futures_core::Stream for Once {
    type Item = Result<http_body::Frame<Bytes>, BoxError>;
    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.project().item.take().map(|item| Ok(http_body::Frame::data(item))))
    }
}
