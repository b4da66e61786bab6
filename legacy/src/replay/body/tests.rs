//! When the start of an attempt is stamped.

use std::borrow::Cow;

use http::request::Parts;
use http_body_util::{Empty, Full};
use tokio_test::{assert_pending, assert_ready, task};

use super::*;
use crate::{
    key::{InvalidSecret, Key, Secret},
    pool::{KeyPool, Lease, OnGrant},
    provider::{Answer, Asks, Base, Provider, Retarget},
    replay::budget::Budget,
    verdict::Verdict,
};

struct AnyProvider(Base);

impl Provider for AnyProvider {
    fn name(&self) -> &'static str {
        "any"
    }
    fn base(&self) -> &Base {
        &self.0
    }
    fn prepare(&self, key: &str) -> Result<Secret, InvalidSecret> {
        Secret::new(key)
    }
    fn strip(&self, _: &mut Parts) {}
    fn inject(&self, _: &mut Parts, _: &Secret) -> Result<(), Cow<'static, str>> {
        Ok(())
    }
    fn asks<'a>(&self, _: &'a Parts) -> Asks<'a> {
        Asks::default()
    }
    fn retarget(&self, _: &mut Parts, _: &str) -> Retarget {
        Retarget::No
    }
    fn judge(&self, _: &Answer<'_>) -> Verdict {
        Verdict::SUCCESS
    }
}

fn lease() -> Lease {
    let provider = AnyProvider(Base::parse("http://provider.test").unwrap());
    let pool = KeyPool::builder(provider).key(Key::new("not-a-real-secret")).build().unwrap();
    pool.try_acquire("m").unwrap()
}

fn body<B>(body: B) -> ReplayBody<B> {
    ReplayBody::new(Arc::new(Shared::new(body, (1 << 20, None), Arc::new(Budget::new(1 << 20)), None, 1)))
}

fn stamps<B>(body: &ReplayBody<B>) -> usize {
    body.shared.lock().stamps
}

/// Gives a chunk every second poll.
struct Slow(u32);

impl Body for Slow {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        cx.waker().wake_by_ref();
        self.0 += 1;
        if self.0.is_multiple_of(2) { Poll::Ready(Some(Ok(Frame::data(Bytes::from("x"))))) } else { Poll::Pending }
    }
}

#[test]
fn nothing_is_stamped_before_a_lease_was_granted() {
    let mut body = body(Full::new(Bytes::from("abc")));
    assert!(!body.is_end_stream());
    let _ = assert_ready!(task::spawn(()).enter(|cx, _| Pin::new(&mut body).poll_frame(cx)));
    assert_eq!(stamps(&body), 0);
}

#[test]
fn a_request_without_a_body_is_stamped_when_its_head_is_written() {
    let lease = lease();
    let body = body(Empty::<Bytes>::new());
    body.shared.granted(lease.granted());
    assert!(body.is_end_stream());
    assert_eq!(stamps(&body), 1);
}

#[test]
fn an_attempt_is_stamped_until_its_first_frame_and_no_more() {
    let lease = lease();
    let mut first = body(Slow(0));
    let mut second = first.try_clone().unwrap();
    first.shared.granted(lease.granted());
    let mut reader = task::spawn(());
    assert!(!first.is_end_stream());
    assert_eq!(stamps(&first), 1, "the head");
    assert_pending!(reader.enter(|cx, _| Pin::new(&mut first).poll_frame(cx)));
    assert_eq!(stamps(&first), 2, "the connection takes the body");
    for _ in 0..1000 {
        let frame = reader.enter(|cx, _| Pin::new(&mut first).poll_frame(cx));
        assert!(frame.is_ready() || stamps(&first) == 3);
        assert!(!first.is_end_stream());
    }
    assert_eq!(stamps(&first), 3, "the first frame, and none after it");

    second.shared.granted(lease.granted());
    assert_ready!(reader.enter(|cx, _| Pin::new(&mut second).poll_frame(cx)));
    assert_eq!(stamps(&second), 4, "each attempt has its own start");
}
