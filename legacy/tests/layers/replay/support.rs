//! Bodies, services and a retry policy to test with.

use std::{
    borrow::Cow,
    collections::VecDeque,
    future::{Ready, ready},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, request};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tower::retry::Policy;
use tower_keypool::{
    Answer, Asks, Base, BoxError, Cost, InvalidSecret, Key, KeyPool, ModelIn, Provider, ReplayBody, Retarget, Secret,
    TryClone, Verdict,
};

/// A caller's body that a test feeds by hand. Clones feed the same one.
#[derive(Clone, Default)]
pub(super) struct Feed(Arc<Mutex<Fed>>);

#[derive(Default)]
struct Fed {
    frames: VecDeque<Result<Frame<Bytes>, BoxError>>,
    ended: bool,
    waker: Option<Waker>,
    pulled: usize,
    dropped: bool,
}

impl Feed {
    pub(super) fn new() -> (Self, FedBody) {
        let feed = Self::default();
        (feed.clone(), FedBody { feed, exact: None })
    }

    pub(super) fn send(&self, chunk: impl Into<Bytes>) {
        self.push(Ok(Frame::data(chunk.into())));
    }

    pub(super) fn trailers(&self, trailers: HeaderMap) {
        self.push(Ok(Frame::trailers(trailers)));
    }

    pub(super) fn fail(&self, error: impl Into<BoxError>) {
        self.push(Err(error.into()));
    }

    pub(super) fn end(&self) {
        let mut fed = self.0.lock().unwrap();
        fed.ended = true;
        if let Some(waker) = fed.waker.take() {
            waker.wake();
        }
    }

    /// Frames that were taken out.
    pub(super) fn pulled(&self) -> usize {
        self.0.lock().unwrap().pulled
    }

    /// The body is gone.
    pub(super) fn is_dropped(&self) -> bool {
        self.0.lock().unwrap().dropped
    }

    fn push(&self, frame: Result<Frame<Bytes>, BoxError>) {
        let mut fed = self.0.lock().unwrap();
        fed.frames.push_back(frame);
        if let Some(waker) = fed.waker.take() {
            waker.wake();
        }
    }
}

pub(super) struct FedBody {
    feed: Feed,
    exact: Option<u64>,
}

impl FedBody {
    /// Promises that many bytes.
    pub(super) fn exact(mut self, bytes: u64) -> Self {
        self.exact = Some(bytes);
        self
    }
}

impl Body for FedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let mut fed = this.feed.0.lock().unwrap();
        match fed.frames.pop_front() {
            Some(frame) => {
                fed.pulled += 1;
                if let (Some(exact), Ok(frame)) = (&mut this.exact, &frame) {
                    *exact -= frame.data_ref().map_or(0, |data| data.len() as u64);
                }
                Poll::Ready(Some(frame))
            }
            None if fed.ended => Poll::Ready(None),
            None => {
                fed.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let fed = self.feed.0.lock().unwrap();
        fed.ended && fed.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        self.exact.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for FedBody {
    fn drop(&mut self) {
        self.feed.0.lock().unwrap().dropped = true;
    }
}

/// A body of these chunks, ready at once.
pub(super) fn chunks<C: Into<Bytes>>(chunks: impl IntoIterator<Item = C>) -> FedBody {
    let (feed, body) = Feed::new();
    let mut length = 0;
    for chunk in chunks {
        let chunk = chunk.into();
        length += chunk.len() as u64;
        feed.send(chunk);
    }
    feed.end();
    body.exact(length)
}

/// A body of one chunk.
pub(super) fn full(text: impl Into<Bytes>) -> Full<Bytes> {
    Full::new(text.into())
}

/// Reads one data frame.
pub(super) async fn chunk<B: Body<Data = Bytes, Error = BoxError> + Unpin>(
    body: &mut B,
) -> Option<Result<Bytes, BoxError>> {
    body.frame().await.map(|frame| frame.map(|frame| frame.into_data().expect("data")))
}

/// Reads to the end: the chunks.
pub(super) async fn all<B: Body<Data = Bytes, Error = BoxError> + Unpin>(body: &mut B) -> Result<Vec<Bytes>, BoxError> {
    let mut out = Vec::new();
    while let Some(next) = chunk(body).await {
        out.push(next?);
    }
    Ok(out)
}

pub(super) fn answer(status: u16) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// Sends a request again, at most so many times, while the answer is 429.
#[derive(Clone)]
pub(super) struct RetryOn429(pub(super) usize);

impl<B, R, E> Policy<Request<ReplayBody<B>>, Response<R>, E> for RetryOn429 {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        request: &mut Request<ReplayBody<B>>,
        result: &mut Result<Response<R>, E>,
    ) -> Option<Self::Future> {
        let again = matches!(result, Ok(answer) if answer.status() == 429) && self.0 > 0;
        if !again || !request.body_mut().reclaim() {
            return None;
        }
        self.0 -= 1;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Request<ReplayBody<B>>) -> Option<Request<ReplayBody<B>>> {
        let body = request.body().try_clone()?;
        let mut clone = Request::new(body);
        *clone.extensions_mut() = request.extensions().clone();
        *clone.method_mut() = request.method().clone();
        *clone.uri_mut() = request.uri().clone();
        *clone.headers_mut() = request.headers().clone();
        Some(clone)
    }
}

/// A provider whose paths say what it asks for: `/head/x`, `/body`, `/batch` and `/other`.
pub(super) struct Paths(Base);

impl Paths {
    pub(super) fn pool() -> KeyPool {
        let paths = Self(Base::parse("http://provider.test").unwrap());
        KeyPool::builder(paths).key(Key::new("secret-of-a-test").id("one")).build().unwrap()
    }
}

impl Provider for Paths {
    fn name(&self) -> &'static str {
        "paths"
    }

    fn base(&self) -> &Base {
        &self.0
    }

    fn prepare(&self, key: &str) -> Result<Secret, InvalidSecret> {
        Secret::new(key)
    }

    fn strip(&self, _head: &mut request::Parts) {}

    fn inject(&self, _head: &mut request::Parts, _key: &Secret) -> Result<(), Cow<'static, str>> {
        Ok(())
    }

    fn asks<'a>(&self, head: &'a request::Parts) -> Asks<'a> {
        let mut asks = Asks::default();
        let path = head.uri.path();
        asks.model = match path.strip_prefix("/head/") {
            Some(model) => ModelIn::Head(model.into()),
            None if path == "/body" || path == "/batch" => ModelIn::Body,
            None => ModelIn::Nowhere,
        };
        if path == "/batch" {
            asks.cost = Cost::ItemsOf("requests");
        }
        asks
    }

    fn lane<'a>(&self, model: &'a str) -> &'a str {
        model.strip_prefix("models/").unwrap_or(model)
    }

    fn retarget(&self, _head: &mut request::Parts, _model: &str) -> Retarget {
        Retarget::InBody
    }

    fn judge(&self, _answer: &Answer<'_>) -> Verdict {
        Verdict::SUCCESS
    }
}

/// Counts wake-ups.
#[derive(Default)]
pub(super) struct Woken(pub(super) AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}
