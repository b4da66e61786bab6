//! `ReplayLayer`: request bodies that can be sent again.

use std::{convert::Infallible, error::Error as _, io};

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Channel, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_keypool::{
    Error, ErrorKind, ReplayBody, ReplayLayer,
    replay::{CollectedBody, TryClone},
};
use tower_test::mock;

type Sent<B> = Request<ReplayBody<B>>;

/// Returns the request that the inner service receives for a body, under a layer of this limit.
async fn received<B>(limit: usize, body: B) -> Result<Sent<B>, BoxError>
where
    B: Body + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let echo = service_fn(async |request: Sent<B>| Ok::<_, BoxError>(Response::new(request)));
    ReplayLayer::up_to(limit).layer(echo).oneshot(Request::new(body)).await.map(Response::into_body)
}

/// A body of these frames without a known length.
fn frames(frames: Vec<Frame<Bytes>>) -> UnsyncBoxBody<Bytes, Infallible> {
    StreamBody::new(stream::iter(frames.into_iter().map(Ok))).boxed_unsync()
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("x"))])
}

#[tokio::test]
async fn body_of_one_frame_is_not_copied() {
    let sent = Bytes::from(vec![b'x'; 4096]);
    let request = received(4096, Full::new(sent.clone())).await.unwrap();
    assert_eq!(request.extensions().get::<CollectedBody>().unwrap().data().as_ptr(), sent.as_ptr());
    for _ in 0..2 {
        let again = request.body().try_clone().unwrap();
        assert_eq!(again.size_hint().exact(), Some(4096));
        assert_eq!(again.collect().await.unwrap().to_bytes().as_ptr(), sent.as_ptr());
    }
}

#[tokio::test]
async fn body_that_a_service_above_collected_is_not_read() {
    let echo = service_fn(async |request: Sent<_>| Ok::<_, BoxError>(Response::new(request.into_body())));
    let mut request = Request::new(frames(vec![data("read")]));
    request.extensions_mut().insert(CollectedBody::new(Bytes::from_static(b"collected")));
    let response = ReplayLayer::new().layer(echo).oneshot(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "collected");
}

#[tokio::test]
async fn frames_and_trailers_are_collected() {
    let body = frames(vec![data("ab"), data(""), data("cde"), Frame::trailers(trailers())]);
    let request = received(5, body).await.unwrap();
    assert_eq!(request.extensions().get::<CollectedBody>().unwrap().data(), "abcde");
    for body in [request.body().try_clone().unwrap(), request.body().try_clone().unwrap()] {
        assert!(!body.is_end_stream());
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers()));
        assert_eq!(collected.to_bytes(), "abcde");
    }
}

#[tokio::test]
async fn body_known_to_be_larger_than_the_limit_streams_once() {
    let (sender, body) = Channel::<Bytes, Infallible>::new(1);
    // The request is passed on before any frame arrives.
    let body = WithLength { inner: body, length: 6 };
    let request = received(5, body).now_or_never().unwrap().unwrap();
    assert!(request.body().try_clone().is_none());
    assert!(request.body().try_clone().is_none());
    assert!(request.body().with_data(Bytes::new()).is_none());
    assert!(request.extensions().get::<CollectedBody>().is_none());
    assert_eq!(request.body().size_hint().exact(), Some(6));
    let send = async {
        let mut sender = sender;
        sender.send_data(Bytes::from_static(b"abcdef")).await.unwrap();
    };
    let ((), collected) = tokio::join!(send, request.into_body().collect());
    assert_eq!(collected.unwrap().to_bytes(), "abcdef");
}

#[tokio::test]
async fn body_that_turns_out_too_large_streams_once() {
    let body = frames(vec![data("ab"), data("cd"), data("ef"), data("gh"), Frame::trailers(trailers())]);
    let request = received(5, body).await.unwrap();
    assert!(request.body().try_clone().is_none());
    assert!(request.extensions().get::<CollectedBody>().is_none());
    assert_eq!(request.body().size_hint().lower(), 6);
    let collected = request.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers(), Some(&trailers()));
    assert_eq!(collected.to_bytes(), "abcdefgh");
}

#[tokio::test]
async fn body_error_is_a_request_error() {
    let failing = || {
        let lost = io::Error::from(io::ErrorKind::ConnectionReset);
        StreamBody::new(stream::iter([Ok(data("abc")), Err(lost)]))
    };
    let error = received(1024, failing()).await.unwrap_err();
    let error = error.downcast_ref::<Error>().unwrap();
    assert_eq!(error.kind(), ErrorKind::Request);
    assert!(error.source().unwrap().downcast_ref::<io::Error>().is_some());

    // The limit was reached before the error, so the error comes out of the body.
    let request = received(2, failing()).await.unwrap();
    let error = request.into_body().collect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Request);
    assert!(error.source().unwrap().downcast_ref::<io::Error>().is_some());
}

#[tokio::test]
async fn is_end_stream_and_size_hint_change_nothing() {
    let request = received(16, Full::new(Bytes::from_static(b"abc"))).await.unwrap();
    let body = request.into_body();
    for _ in 0..3 {
        assert!(!body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(3));
    }
    let again = body.try_clone().unwrap();
    assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
    assert_eq!(again.collect().await.unwrap().to_bytes(), "abc");
}

#[tokio::test]
async fn empty_body_can_be_cloned() {
    let request = received(0, Empty::<Bytes>::new()).await.unwrap();
    assert!(request.body().is_end_stream());
    assert_eq!(request.body().size_hint().exact(), Some(0));
    assert!(request.body().try_clone().unwrap().collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn data_of_a_collected_body_can_be_replaced() {
    let request = received(64, frames(vec![data("abc"), Frame::trailers(trailers())])).await.unwrap();
    let changed = request.body().with_data(Bytes::from_static(b"de")).unwrap();
    assert_eq!(changed.size_hint().exact(), Some(2));
    let collected = changed.collect().await.unwrap();
    assert_eq!(collected.trailers(), Some(&trailers()));
    assert_eq!(collected.to_bytes(), "de");
}

#[tokio::test]
async fn ready_service_is_called_once_the_body_is_complete() {
    let (service, mut handle) = mock::pair::<Sent<Channel<Bytes, Infallible>>, Response<()>>();
    let mut service = ReplayLayer::new().layer(service);
    handle.allow(1);
    assert!(service.ready().await.is_ok());
    let (mut sender, body) = Channel::new(4);
    let mut answer = task::spawn(service.call(Request::new(body)));
    assert_pending!(answer.poll());
    let mut next = task::spawn(async { handle.next_request().await });
    assert_pending!(next.poll());

    sender.send_data(Bytes::from_static(b"{\"model\":\"m\"}")).await.unwrap();
    drop(sender);
    assert_pending!(answer.poll());
    let (request, reply) = assert_ready!(next.poll()).unwrap();
    assert_eq!(request.extensions().get::<CollectedBody>().unwrap().model().map(|model| &**model), Some("m"));
    reply.send_response(Response::new(()));
    assert_ready_ok!(answer.poll());
}

/// A body with a known length.
struct WithLength<B> {
    inner: B,
    length: u64,
}

impl<B: Body + Unpin> Body for WithLength<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        std::pin::Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.length)
    }
}
