//! A body that names its model behind what is kept goes past no limit.

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tower::{Layer, ServiceExt, service_fn};
use tower_keypool::{
    BoxError, Clock, Demand, Error, Key, KeyPool, KeyPoolBuilder, KeyPoolLayer, Limits, OpenAi, ReplayBody, ReplayLayer,
};

use crate::support::ok;

const PIECE: usize = 16 << 10;
const BODY: usize = 20 * PIECE;

fn builder() -> KeyPoolBuilder {
    let keys = (0..3).map(|n| Key::new(format!("sk-not-a-real-key-{n}")).id(format!("k{n}")));
    KeyPool::builder(OpenAi::new()).keys(keys).clock(Clock::tokio_from(std::time::SystemTime::UNIX_EPOCH))
}

/// What is there already, a piece at a time.
struct Pieces(std::vec::IntoIter<Bytes>);

impl futures_core::Stream for Pieces {
    type Item = Result<Frame<Bytes>, BoxError>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.next().map(|piece| Ok(Frame::data(piece))))
    }
}

/// A chat whose model stands behind its messages.
fn chat() -> Request<StreamBody<Pieces>> {
    let mut pieces = vec![Bytes::from_static(b"{\"messages\":[\"")];
    pieces.extend((0..BODY / PIECE).map(|_| Bytes::from(vec![b'x'; PIECE])));
    pieces.push(Bytes::from_static(b"\"],\"model\":\"m\"}"));
    Request::post("/v1/chat/completions").body(StreamBody::new(Pieces(pieces.into_iter()))).unwrap()
}

/// What comes of so many requests: those that were sent, and the others' errors.
async fn sent(pool: &KeyPool, replay: ReplayLayer, requests: Vec<Request<StreamBody<Pieces>>>) -> (usize, Vec<Error>) {
    let client = KeyPoolLayer::new(pool).replay(replay).layer(service_fn(
        |request: Request<ReplayBody<StreamBody<Pieces>>>| async move {
            request.into_body().collect().await?;
            Ok::<_, BoxError>(ok())
        },
    ));
    let (mut sent, mut errors) = (0, Vec::new());
    let calls: Vec<_> = requests.into_iter().map(|request| tokio::spawn(client.clone().oneshot(request))).collect();
    for call in calls {
        match call.await.unwrap() {
            Ok(_) => sent += 1,
            Err(error) => errors.push(error),
        }
    }
    (sent, errors)
}

fn chats(n: usize) -> Vec<Request<StreamBody<Pieces>>> {
    (0..n).map(|_| chat()).collect()
}

#[tokio::test(start_paused = true)]
async fn where_a_model_has_limits_of_its_own_a_larger_body_is_refused() {
    let limited = builder().limits("m", Limits::new().per_minute(4)).build().unwrap();
    let by_key = builder().key(Key::new("sk-of-another").limits("m", Limits::new().per_minute(4))).build().unwrap();
    for pool in [limited, by_key] {
        let (sent, errors) = sent(&pool, ReplayLayer::up_to(PIECE as u64), chats(8)).await;
        assert_eq!(sent, 0);
        for error in errors {
            assert!(error.is_model_behind(), "{error}");
            assert_eq!((error.status(), error.retry_after()), (StatusCode::PAYLOAD_TOO_LARGE, None));
            assert!(error.to_string().contains("behind what is kept"), "{error}");
        }
        assert_eq!(pool.snapshot().started, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_room_to_look_it_is_told_to_come_again() {
    let pool = builder().limits("m", Limits::new().per_minute(4)).build().unwrap();
    let (sent, errors) = sent(&pool, ReplayLayer::default().budget(5 * PIECE), chats(8)).await;
    assert_eq!(sent, 0);
    for error in errors {
        assert!(error.is_model_behind(), "{error}");
        assert_eq!(error.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(error.retry_after().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn where_no_model_has_its_own_it_counts_with_all_others() {
    let pool = builder().limits("*", Limits::new().per_minute(2)).build().unwrap();
    let (gone, errors) = sent(&pool, ReplayLayer::up_to(PIECE as u64), chats(10)).await;
    assert_eq!(gone, 6, "two a minute of each of three keys");
    assert!(errors.iter().all(Error::is_exhausted));
    let free = builder().build().unwrap();
    assert_eq!(sent(&free, ReplayLayer::up_to(PIECE as u64), chats(10)).await.0, 10, "there is no limit");
}

#[tokio::test(start_paused = true)]
async fn who_says_the_model_beside_the_body_is_not_asked() {
    let pool = builder().limits("m", Limits::new().per_minute(2)).build().unwrap();
    let mut requests = chats(10);
    for request in &mut requests {
        request.extensions_mut().insert(Demand::new("m"));
    }
    assert_eq!(sent(&pool, ReplayLayer::up_to(PIECE as u64), requests).await.0, 6);
}
