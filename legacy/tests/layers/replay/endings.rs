//! Bodies that do not end well.

use std::{convert::Infallible, error::Error, io};

use http::Request;
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_keypool::{BodyError, ReplayBody, ReplayLayer, TryClone, VerdictKind, judge_error};

use super::{
    attempts::body_below,
    support::{FedBody, Feed, RetryOn429, all, answer, chunk},
};

#[tokio::test]
async fn the_first_who_meets_the_callers_error_gets_it_and_no_attempt_follows() {
    let (feed, body) = Feed::new();
    feed.send("a");
    feed.fail(io::Error::from(io::ErrorKind::ConnectionReset));
    let mut first = body_below(&ReplayLayer::default(), Request::new(body)).await.into_body();
    let mut second = first.try_clone().unwrap();
    chunk(&mut first).await.unwrap().unwrap();
    let error = chunk(&mut first).await.unwrap().unwrap_err();
    let told = error.downcast_ref::<BodyError>().unwrap();
    assert!(told.is_failed());
    assert_eq!(told.source().unwrap().downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::ConnectionReset);
    assert!(chunk(&mut first).await.is_none());
    assert!(feed.is_dropped());

    assert!(second.try_clone().is_none() && !second.reclaim());
    assert_eq!(chunk(&mut second).await.unwrap().unwrap(), "a");
    let error = chunk(&mut second).await.unwrap().unwrap_err();
    let told = error.downcast_ref::<BodyError>().unwrap();
    assert!(told.is_failed() && told.source().is_none());
}

#[tokio::test]
async fn a_failed_body_is_the_callers_fault_and_not_the_connections() {
    let (feed, body) = Feed::new();
    feed.fail(io::Error::from(io::ErrorKind::ConnectionReset));
    let mut body = body_below(&ReplayLayer::default(), Request::new(body)).await.into_body();
    let error = chunk(&mut body).await.unwrap().unwrap_err();
    let verdict = judge_error(&*error);
    assert_eq!((verdict.kind(), verdict.code_of()), (VerdictKind::CallerFault, "unsent body"));
    assert!(verdict.is_unsent());
    // So do clients wrap it that read it as a stream.
    let wrapped = io::Error::other(error);
    assert_eq!(judge_error(&wrapped).code_of(), "unsent body");
    assert_eq!(judge_error(&io::Error::other(wrapped)).kind(), VerdictKind::CallerFault);

    let (feed, body) = Feed::new();
    feed.send("a");
    feed.fail(io::Error::from(io::ErrorKind::ConnectionReset));
    let mut body = body_below(&ReplayLayer::default(), Request::new(body)).await.into_body();
    chunk(&mut body).await.unwrap().unwrap();
    let verdict = judge_error(&*chunk(&mut body).await.unwrap().unwrap_err());
    assert_eq!((verdict.kind(), verdict.code_of()), (VerdictKind::CallerFault, "body"));
    assert!(!verdict.is_unsent(), "some of it went out: it counts");
}

#[tokio::test]
async fn a_body_that_failed_is_not_sent_again() {
    let (feed, body) = Feed::new();
    feed.send("a");
    feed.fail("gone");
    let mut tries = 0;
    let client = service_fn(move |request: Request<ReplayBody<FedBody>>| {
        tries += 1;
        assert_eq!(tries, 1);
        async move {
            assert!(all(&mut request.into_body()).await.is_err());
            Ok::<_, Infallible>(answer(429))
        }
    });
    let stack = ServiceBuilder::new().layer(ReplayLayer::default()).retry(RetryOn429(5)).service(client);
    assert_eq!(stack.oneshot(Request::new(body)).await.unwrap().status(), 429);
}

#[tokio::test]
async fn the_error_of_the_service_below_comes_up_as_it_is() {
    let client = service_fn(|_: Request<ReplayBody<FedBody>>| async { Err::<(), _>("refused") });
    let (_feed, body) = Feed::new();
    let stack = ServiceBuilder::new().layer(ReplayLayer::default()).service(client);
    assert_eq!(stack.oneshot(Request::new(body)).await, Err("refused"));
}
