//! What each attempt reads.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, atomic::Ordering},
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};
use proptest::prelude::*;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use tower_keypool::{BodyError, ReplayBody, ReplayLayer, TryClone};

use super::support::{FedBody, Feed, RetryOn429, Woken, all, answer, chunk, chunks, full};

/// Takes the body that goes down, without sending it.
pub(super) async fn body_below<B>(layer: &ReplayLayer, request: Request<B>) -> Request<ReplayBody<B>>
where
    B: Body + Unpin + Send + 'static,
    B::Error: Into<tower_keypool::BoxError>,
{
    let service = service_fn(|request| async { Ok::<_, Infallible>(request) });
    ServiceBuilder::new().layer(layer).service(service).oneshot(request).await.unwrap()
}

#[tokio::test]
async fn three_attempts_read_the_callers_own_bytes_and_copy_none() {
    for size in [1 << 10, 1 << 20, 20 << 20] {
        let whole = Bytes::from(vec![7; size]);
        let pieces: Vec<Bytes> =
            (0..size).step_by(64 << 10).map(|at| whole.slice(at..size.min(at + (64 << 10)))).collect();
        let expected: Vec<*const u8> = pieces.iter().map(|piece| piece.as_ptr()).collect();
        let attempts = Arc::new(Mutex::new(Vec::new()));

        let seen = Arc::clone(&attempts);
        let client = service_fn(move |request: Request<ReplayBody<FedBody>>| {
            let seen = Arc::clone(&seen);
            async move {
                let read = all(&mut request.into_body()).await.unwrap();
                seen.lock().unwrap().push(read);
                Ok::<_, Infallible>(answer(429))
            }
        });
        let layer = ReplayLayer::default();
        let stack = ServiceBuilder::new().layer(&layer).retry(RetryOn429(2)).service(client);
        let response = stack.oneshot(Request::new(chunks(pieces))).await.unwrap();

        assert_eq!(response.status(), 429);
        let attempts = attempts.lock().unwrap();
        assert_eq!(attempts.len(), 3);
        for attempt in &*attempts {
            let read: Vec<*const u8> = attempt.iter().map(|piece| piece.as_ptr()).collect();
            assert_eq!(read, expected, "the very bytes of the caller");
            assert_eq!(attempt.iter().map(Bytes::len).sum::<usize>(), size);
        }
        assert_eq!(layer.kept_bytes(), 0);
    }
}

#[tokio::test]
async fn a_429_after_1_of_20_mib_is_followed_by_all_20() {
    const MIB: usize = 1 << 20;
    let (feed, body) = Feed::new();
    let mut tries = 0;
    let (reads, feeder) = (Arc::new(Mutex::new(Vec::new())), feed.clone());
    let read = Arc::clone(&reads);
    let client = service_fn(move |request: Request<ReplayBody<FedBody>>| {
        tries += 1;
        let (first, feeder, read) = (tries == 1, feeder.clone(), Arc::clone(&read));
        async move {
            let mut body = request.into_body();
            if first {
                let first = chunk(&mut body).await.unwrap().unwrap();
                assert_eq!(first.len(), MIB);
                for n in 1..20_u8 {
                    feeder.send(vec![n; MIB]);
                }
                feeder.end();
                return Ok(answer(429));
            }
            let rest = all(&mut body).await.unwrap();
            read.lock().unwrap().extend(rest);
            Ok::<_, Infallible>(answer(200))
        }
    });
    feed.send(vec![0; MIB]);
    let layer = ReplayLayer::up_to(20 << 20);
    let stack = ServiceBuilder::new().layer(&layer).retry(RetryOn429(1)).service(client);
    let response = stack.oneshot(Request::new(body.exact(20 << 20))).await.unwrap();

    assert_eq!(response.status(), 200);
    let read = reads.lock().unwrap();
    assert_eq!(read.len(), 20);
    for (n, chunk) in read.iter().enumerate() {
        assert!(chunk.len() == MIB && chunk.iter().all(|byte| usize::from(*byte) == n), "chunk {n}");
    }
    assert_eq!((feed.pulled(), layer.kept_bytes()), (20, 0));
}

#[tokio::test]
async fn the_first_attempt_streams() {
    let (feed, body) = Feed::new();
    let request = body_below(&ReplayLayer::default(), Request::new(body)).await;
    let mut body = request.into_body();
    let _clone = body.try_clone().unwrap();
    for text in ["one", "two", "three"] {
        assert!(tokio_test::task::spawn(body.frame()).poll().is_pending());
        feed.send(text);
        assert_eq!(chunk(&mut body).await.unwrap().unwrap(), text);
    }
    feed.end();
    assert!(chunk(&mut body).await.is_none());
    assert!(chunk(&mut body).await.is_none());
}

#[tokio::test]
async fn an_earlier_attempt_is_told_and_takes_nothing_with_it() {
    let (feed, body) = Feed::new();
    let layer = ReplayLayer::default();
    let mut first = body_below(&layer, Request::new(body)).await.into_body();
    let mut second = first.try_clone().unwrap();
    feed.send("a");
    assert_eq!(chunk(&mut first).await.unwrap().unwrap(), "a");
    // The first attempt is parked on a body that gives nothing just now.
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut parked = Context::from_waker(&waker);
    assert!(std::pin::Pin::new(&mut first).poll_frame(&mut parked).is_pending());

    assert!(second.reclaim());
    assert_eq!(woken.0.load(Ordering::SeqCst), 1, "woken, so that its connection ends");
    feed.send("b");
    let error = chunk(&mut first).await.unwrap().unwrap_err();
    assert!(error.downcast_ref::<BodyError>().unwrap().is_superseded(), "{error}");
    assert!(chunk(&mut first).await.is_none());
    assert_eq!(chunk(&mut second).await.unwrap().unwrap(), "a");
    // Nobody else can replay any more, though the first attempt still lives: what is read goes.
    assert_eq!(layer.kept_bytes(), 0);
    assert_eq!(chunk(&mut second).await.unwrap().unwrap(), "b");
    drop(first);
    let mut last = tokio_test::task::spawn(second.frame());
    assert!(last.poll().is_pending());
    feed.end();
    assert!(last.is_woken(), "the attempt that reads is the one that is woken");
    assert!(last.await.is_none());
    assert!(!second.reclaim(), "its beginning is gone");
}

/// An answer came before its request's body was touched: the connection that looks for it later takes nothing from the
/// attempt that goes out by then.
#[tokio::test]
async fn an_attempt_that_was_given_up_before_it_began_does_not_begin() {
    let mut first = body_below(&ReplayLayer::default(), Request::new(chunks(["abc", "de"]))).await.into_body();
    let mut second = first.try_clone().unwrap();
    assert!(second.reclaim());
    let mut third = second.try_clone().unwrap();
    let error = chunk(&mut first).await.unwrap().unwrap_err();
    assert!(error.downcast_ref::<BodyError>().unwrap().is_superseded(), "{error}");
    assert!(chunk(&mut first).await.is_none());
    assert_eq!(chunk(&mut second).await.unwrap().unwrap(), "abc");
    assert!(third.reclaim(), "the next takes over from the second in turn");
    assert!(chunk(&mut second).await.unwrap().is_err());
    assert_eq!(chunk(&mut third).await.unwrap().unwrap(), "abc");
    assert_eq!(chunk(&mut third).await.unwrap().unwrap(), "de");
}

#[tokio::test]
async fn lengths_stay_exact_for_each_attempt() {
    let request = body_below(&ReplayLayer::default(), Request::new(chunks(["abc", "de"]))).await;
    let mut first = request.into_body();
    let mut second = first.try_clone().unwrap();
    assert_eq!(first.size_hint().exact(), Some(5));
    chunk(&mut first).await.unwrap().unwrap();
    assert_eq!((first.size_hint().exact(), second.size_hint().exact()), (Some(2), Some(5)));
    chunk(&mut second).await.unwrap().unwrap();
    assert_eq!(second.size_hint().exact(), Some(2));
    chunk(&mut second).await.unwrap().unwrap();
    assert_eq!(second.size_hint().exact(), Some(0));

    let (_feed, unknown) = Feed::new();
    let body = body_below(&ReplayLayer::default(), Request::new(unknown)).await.into_body();
    assert_eq!(body.size_hint().exact(), None);
}

#[tokio::test]
async fn the_end_of_the_stream_is_known_where_the_callers_is() {
    let empty = body_below(&ReplayLayer::default(), Request::new(Empty::<Bytes>::new())).await.into_body();
    assert!(empty.is_end_stream());
    assert_eq!(empty.size_hint().exact(), Some(0));

    let mut full = body_below(&ReplayLayer::default(), Request::new(full("abc"))).await.into_body();
    let again = full.try_clone().unwrap();
    assert!(!full.is_end_stream());
    chunk(&mut full).await.unwrap().unwrap();
    assert!(full.is_end_stream());
    assert!(!again.is_end_stream(), "the other attempt has all of it before it");
}

#[tokio::test]
async fn trailers_come_with_every_attempt() {
    let (feed, body) = Feed::new();
    feed.send("abc");
    let trailers = HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("x"))]);
    feed.trailers(trailers.clone());
    let mut body = body_below(&ReplayLayer::default(), Request::new(body)).await.into_body();
    for _ in 0..3 {
        let next = body.try_clone().unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
        assert!(!body.is_end_stream());
        assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap(), trailers);
        assert!(body.is_end_stream());
        assert!(body.frame().await.is_none());
        body = next;
    }
}

#[tokio::test]
async fn empty_frames_and_bodies_that_are_no_bytes_pass() {
    let (feed, body) = Feed::new();
    for text in ["a", "", "b"] {
        feed.send(text);
    }
    feed.end();
    let mut body = body_below(&ReplayLayer::default(), Request::new(body)).await.into_body();
    let mut again = body.try_clone().unwrap();
    assert_eq!(all(&mut body).await.unwrap(), ["a", "b"]);
    assert_eq!(all(&mut again).await.unwrap(), ["a", "b"]);

    let body = Box::pin(Full::new(b"ab".chain(&b"c"[..])));
    let mut body = body_below(&ReplayLayer::default(), Request::new(body)).await.into_body();
    assert_eq!(all(&mut body).await.unwrap(), ["abc"]);
}

#[tokio::test]
async fn the_service_below_is_polled_ready_and_called_as_it_is() {
    let (service, mut handle) = tower_test::mock::pair::<Request<ReplayBody<FedBody>>, Response<()>>();
    let mut stack = ReplayLayer::default().layer_on(service);
    handle.allow(0);
    let mut ready = tokio_test::task::spawn(());
    assert!(ready.enter(|cx, _| stack.poll_ready(cx)).is_pending());
    handle.allow(1);
    assert!(ready.is_woken());
    assert!(matches!(ready.enter(|cx, _| stack.poll_ready(cx)), Poll::Ready(Ok(()))));
    let response = tokio::spawn(stack.call(Request::new(chunks(["x"]))));
    let (request, send) = handle.next_request().await.unwrap();
    assert_eq!(all(&mut request.into_body()).await.unwrap(), ["x"]);
    send.send_response(answer(200));
    assert_eq!(response.await.unwrap().unwrap().status(), 200);
}

trait LayerOn {
    fn layer_on<S>(&self, service: S) -> tower_keypool::ReplayService<S>;
}

impl LayerOn for ReplayLayer {
    fn layer_on<S>(&self, service: S) -> tower_keypool::ReplayService<S> {
        tower::Layer::layer(self, service)
    }
}

proptest! {
    /// Every attempt reads all of it from the beginning, however much the ones before read, whatever the chunks.
    #[test]
    fn every_attempt_reads_the_same_bytes(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 0..12),
        reads in prop::collection::vec(0_usize..14, 0..5),
        fed_first in 0_usize..12,
        limit in prop_oneof![Just(1 << 20), 0_u64..40],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let whole = pieces.concat();
            let (feed, body) = Feed::new();
            let mut left = pieces.into_iter();
            for piece in left.by_ref().take(fed_first) {
                feed.send(piece);
            }
            let layer = ReplayLayer::up_to(limit);
            let mut body = body_below(&layer, Request::new(body)).await.into_body();
            let mut streamed = Vec::new();
            for read in reads {
                let Some(mut next) = body.try_clone() else { break };
                let mut got = Vec::new();
                for _ in 0..read {
                    match tokio_test::task::spawn(body.frame()).poll() {
                        Poll::Ready(Some(frame)) => got.extend_from_slice(&frame.unwrap().into_data().unwrap()),
                        Poll::Ready(None) => break,
                        Poll::Pending => match left.next() {
                            Some(piece) => feed.send(piece),
                            None => feed.end(),
                        },
                    }
                }
                assert!(whole.starts_with(&got));
                if !next.reclaim() {
                    // Too large to be kept: the attempt that runs goes on.
                    assert!(got.len() as u64 > limit);
                    streamed = got;
                    break;
                }
                body = next;
            }
            for piece in left {
                feed.send(piece);
            }
            feed.end();
            for rest in all(&mut body).await.unwrap() {
                streamed.extend_from_slice(&rest);
            }
            assert_eq!(streamed, whole);
            drop(body);
            assert_eq!(layer.kept_bytes(), 0);
            assert!(feed.is_dropped());
        });
    }
}

/// Attempts on one thread, the caller's body on another, and earlier attempts that linger and read on.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn attempts_on_many_threads_read_the_same_bytes() {
    let layer = ReplayLayer::default();
    let mut all_requests = tokio::task::JoinSet::new();
    for n in 0..64_u32 {
        let layer = layer.clone();
        all_requests.spawn(async move {
            let (feed, body) = Feed::new();
            let feeder = tokio::spawn(async move {
                for chunk in 0..200_u32 {
                    feed.send((n * 1000 + chunk).to_be_bytes().to_vec());
                    if chunk % 7 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                feed.end();
            });
            let mut body = body_below(&layer, Request::new(body)).await.into_body();
            let mut lingering = Vec::new();
            for attempt in 0..4 {
                let mut next = body.try_clone().unwrap();
                lingering.push(tokio::spawn(async move {
                    let mut read = Vec::new();
                    while let Some(Ok(chunk)) = chunk(&mut body).await {
                        read.extend_from_slice(&chunk);
                    }
                    read
                }));
                for _ in 0..attempt * 3 {
                    tokio::task::yield_now().await;
                }
                assert!(next.reclaim());
                body = next;
            }
            let read = all(&mut body).await.unwrap().concat();
            let expected: Vec<u8> = (0..200).flat_map(|chunk: u32| (n * 1000 + chunk).to_be_bytes()).collect();
            assert_eq!(read, expected);
            for earlier in lingering {
                assert!(expected.starts_with(&earlier.await.unwrap()));
            }
            feeder.await.unwrap();
        });
    }
    while let Some(done) = all_requests.join_next().await {
        done.unwrap();
    }
    assert_eq!(layer.kept_bytes(), 0);
}
