//! What is kept, how much of it, and for how long.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Method, Request, header};
use tokio::sync::Barrier;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keypool::{BodyError, KeyPoolLayer, ReplayBody, ReplayLayer, TryClone};

use super::{
    attempts::body_below,
    support::{FedBody, Feed, RetryOn429, all, answer, chunk, chunks},
};
use crate::support::{bad, ok, pool};

/// What the budget counts for a chunk beyond its bytes.
const PLACE: usize = size_of::<Bytes>();

#[tokio::test]
async fn a_body_over_the_limit_streams_on_and_the_last_answer_stands() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let client = service_fn(move |request: Request<ReplayBody<FedBody>>| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            assert_eq!(all(&mut request.into_body()).await.unwrap().concat().len(), 300);
            Ok::<_, Infallible>(answer(429))
        }
    });
    let layer = ReplayLayer::up_to(299);
    let stack = ServiceBuilder::new().layer(&layer).retry(RetryOn429(5)).service(client);
    let response = stack.oneshot(Request::new(chunks(vec![vec![1; 100]; 3]))).await.unwrap();
    assert_eq!((response.status().as_u16(), tries.load(Ordering::SeqCst)), (429, 1));
}

#[tokio::test]
async fn an_untouched_body_can_be_sent_again_whatever_its_size() {
    let body = body_below(&ReplayLayer::up_to(0), Request::new(chunks(["abc"]))).await.into_body();
    let mut again = body.try_clone().unwrap();
    drop(body);
    assert!(again.reclaim());
    assert_eq!(all(&mut again).await.unwrap(), ["abc"]);
}

#[tokio::test]
async fn what_grew_too_large_is_let_go_at_once() {
    let layer = ReplayLayer::up_to(20);
    let mut body = body_below(&layer, Request::new(chunks(vec![vec![1_u8; 10]; 4]))).await.into_body();
    let mut late = body.try_clone().unwrap();
    chunk(&mut body).await;
    chunk(&mut body).await;
    assert_eq!(layer.kept_bytes(), 20 + 2 * PLACE);
    assert!(late.try_clone().is_some());
    chunk(&mut body).await.unwrap().unwrap();
    assert_eq!(layer.kept_bytes(), 0);
    assert!(late.try_clone().is_none() && !late.reclaim());
    let error = chunk(&mut late).await.unwrap().unwrap_err();
    assert!(error.downcast_ref::<BodyError>().unwrap().is_not_kept(), "{error}");
    assert_eq!(chunk(&mut body).await.unwrap().unwrap().len(), 10, "the attempt that runs goes on");
}

#[tokio::test]
async fn nothing_is_kept_that_nobody_could_send_again() {
    let layer = ReplayLayer::default();
    let mut body = body_below(&layer, Request::new(chunks(["abc", "def", "ghi"]))).await.into_body();
    let clone = body.try_clone().unwrap();
    chunk(&mut body).await;
    chunk(&mut body).await;
    assert_eq!(layer.kept_bytes(), 6 + 2 * PLACE);
    drop(clone);
    assert_eq!(layer.kept_bytes(), 0, "given back with the last clone");
    assert!(body.try_clone().is_none());
    assert_eq!(chunk(&mut body).await.unwrap().unwrap(), "ghi");
    assert_eq!(layer.kept_bytes(), 0);
}

#[tokio::test]
async fn memory_is_given_back_when_the_head_has_come_though_the_upload_goes_on() {
    let (feed, body) = Feed::new();
    feed.send("first");
    let (send_rest, mut rest) = tokio::sync::mpsc::unbounded_channel();
    let client = service_fn(move |request: Request<ReplayBody<FedBody>>| {
        let send_rest = send_rest.clone();
        async move {
            let mut body = request.into_body();
            assert_eq!(chunk(&mut body).await.unwrap().unwrap(), "first");
            send_rest.send(body).unwrap();
            Ok::<_, Infallible>(answer(200))
        }
    });
    let layer = ReplayLayer::default();
    let stack = ServiceBuilder::new().layer(&layer).retry(RetryOn429(5)).service(client);
    let mut call = tokio_test::task::spawn(stack.oneshot(Request::new(body)));
    assert!(matches!(call.poll(), std::task::Poll::Ready(Ok(_))));
    // The future of the call still stands, finished; the connection still uploads.
    let mut body: ReplayBody<FedBody> = rest.recv().await.unwrap();
    assert_eq!(layer.kept_bytes(), 0);
    feed.send("second");
    feed.end();
    assert_eq!(all(&mut body).await.unwrap(), ["second"]);
}

/// Of a request that was sent again, too: what could send it once more goes with the answer, though the future still stands.
#[tokio::test(start_paused = true)]
async fn the_whole_stack_gives_memory_back_when_the_answer_has_come_that_stands() {
    for refused in [0, 1] {
        let (feed, body) = Feed::new();
        feed.send("first");
        let (send_rest, mut rest) = tokio::sync::mpsc::unbounded_channel();
        let tries = Arc::new(AtomicUsize::new(0));
        let client = service_fn(move |request: Request<ReplayBody<FedBody>>| {
            let (send_rest, nth) = (send_rest.clone(), tries.fetch_add(1, Ordering::SeqCst));
            async move {
                let mut body = request.into_body();
                assert_eq!(chunk(&mut body).await.unwrap().unwrap(), "first");
                if nth < refused {
                    return Ok::<_, Infallible>(bad(429, "rate"));
                }
                send_rest.send(body).unwrap();
                Ok(ok())
            }
        });
        let layer = ReplayLayer::default();
        let mut client = KeyPoolLayer::new(pool(&["a", "b", "c"])).replay(layer.clone()).layer(client);
        let request = Request::post("/models/m").body(body).unwrap();
        let mut call = tokio_test::task::spawn(client.ready().await.unwrap().call(request));
        assert!(matches!(call.poll(), std::task::Poll::Ready(Ok(_))), "{refused} refused");
        let mut body: ReplayBody<FedBody> = rest.try_recv().unwrap();
        assert_eq!(layer.kept_bytes(), 0, "{refused} refused");
        feed.send("second");
        feed.end();
        assert_eq!(all(&mut body).await.unwrap(), ["second"]);
    }
}

#[tokio::test]
async fn sixty_four_requests_of_20_mib_within_a_budget_of_256_mib_all_succeed() {
    const MIB: usize = 1 << 20;
    let budget = 256 * MIB;
    let layer = ReplayLayer::up_to(32 << 20).budget(budget);
    let mebibyte = Bytes::from(vec![1; MIB]);
    let most = Arc::new(AtomicUsize::new(0));
    let (all_sent, tries) = (Arc::new(Barrier::new(64)), Arc::new(AtomicUsize::new(0)));
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (layer, mebibyte) = (layer.clone(), mebibyte.clone());
        let (most, all_sent, tries) = (Arc::clone(&most), Arc::clone(&all_sent), Arc::clone(&tries));
        requests.spawn(async move {
            let (watched, first) = (layer.clone(), Arc::new(AtomicUsize::new(0)));
            let client = service_fn(move |request: Request<ReplayBody<FedBody>>| {
                let (most, all_sent, watched) = (Arc::clone(&most), Arc::clone(&all_sent), watched.clone());
                let nth = first.fetch_add(1, Ordering::SeqCst);
                tries.fetch_add(1, Ordering::SeqCst);
                async move {
                    let mut body = request.into_body();
                    let mut bytes = 0;
                    while let Some(chunk) = chunk(&mut body).await {
                        bytes += chunk.unwrap().len();
                        most.fetch_max(watched.kept_bytes(), Ordering::SeqCst);
                        tokio::task::yield_now().await;
                    }
                    assert_eq!(bytes, 20 * MIB);
                    if nth == 0 {
                        all_sent.wait().await;
                    }
                    Ok::<_, Infallible>(answer(200))
                }
            });
            let stack = ServiceBuilder::new().layer(&layer).retry(RetryOn429(2)).service(client);
            stack.oneshot(Request::new(chunks(vec![mebibyte; 20]))).await.unwrap().status()
        });
    }
    while let Some(status) = requests.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    let most = most.load(Ordering::SeqCst);
    assert!(most <= budget && most > budget - 20 * (MIB + PLACE), "kept {most}");
    assert_eq!((layer.kept_bytes(), tries.load(Ordering::SeqCst)), (0, 64));
}

#[tokio::test]
async fn a_full_budget_costs_a_request_its_second_try_and_nothing_else() {
    let layer = ReplayLayer::default().budget(100 + PLACE);
    let mut first = body_below(&layer, Request::new(chunks([vec![1_u8; 100]]))).await.into_body();
    let mut again = first.try_clone().unwrap();
    chunk(&mut first).await;
    let mut other = body_below(&layer, Request::new(chunks(["x"]))).await.into_body();
    let mut never = other.try_clone().unwrap();
    assert_eq!(all(&mut other).await.unwrap(), ["x"]);
    assert!(!never.reclaim());
    assert!(again.reclaim());
    assert_eq!(all(&mut again).await.unwrap().concat().len(), 100);
    drop((first, again, other, never));
    let mut later = body_below(&layer, Request::new(chunks(["x"]))).await.into_body();
    let mut again = later.try_clone().unwrap();
    all(&mut later).await.unwrap();
    assert!(again.reclaim(), "there is room again");
}

#[tokio::test]
async fn an_upgrade_keeps_nothing() {
    let layer = ReplayLayer::default();
    let upgrade = Request::builder().header(header::UPGRADE, "websocket").body(chunks(["abc", "d"])).unwrap();
    let connect = Request::builder().method(Method::CONNECT).body(chunks(["abc", "d"])).unwrap();
    for request in [upgrade, connect] {
        let mut body = body_below(&layer, request).await.into_body();
        let mut clone = body.try_clone().unwrap();
        chunk(&mut body).await.unwrap().unwrap();
        assert_eq!(layer.kept_bytes(), 0);
        assert!(!clone.reclaim());
        assert_eq!(all(&mut body).await.unwrap(), ["d"]);
    }
}

#[tokio::test]
async fn a_call_that_is_cancelled_anywhere_leaves_nothing_behind() {
    for steps in 0..8 {
        let layer = ReplayLayer::default();
        let (feed, body) = Feed::new();
        let mut tries = 0;
        let client = service_fn(move |request: Request<ReplayBody<FedBody>>| {
            tries += 1;
            let last = tries == 2;
            async move {
                let mut body = request.into_body();
                while let Some(Ok(chunk)) = chunk(&mut body).await {
                    if chunk == "retry" && !last {
                        return Ok::<_, Infallible>(answer(429));
                    }
                }
                std::future::pending().await
            }
        });
        let stack = ServiceBuilder::new().layer(&layer).retry(RetryOn429(1)).service(client);
        let mut call = tokio_test::task::spawn(stack.oneshot(Request::new(body)));
        for step in 0..steps {
            assert!(call.poll().is_pending());
            match step {
                0 => feed.send("a"),
                2 => feed.send("retry"),
                4 => feed.end(),
                _ => {}
            }
        }
        drop(call);
        assert_eq!(layer.kept_bytes(), 0, "cancelled after {steps} polls");
        assert!(feed.is_dropped(), "cancelled after {steps} polls");
    }
}
