//! What no layer over a pool can do without, written by hand, and nothing else: how low `KeyPoolLayer` could come.
//!
//! The request is kept for another attempt, its model found, a key taken and put in; the start, the verdict and the end are
//! told when they are known, and who served stands on the answer. Left out: what is to be sent to whom is not checked, the
//! caller's own key stays in, nothing is looked through for an echo, no answer is judged, and the body is one that can be
//! cloned.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{HeaderName, Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::Service;
use tower_keypool::{BoxError, Demand, KeyId, KeyPool, Lease, Verdict};

/// The header that a key travels in.
pub(crate) const KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
static GOOD: Verdict = Verdict::SUCCESS;

/// Sends each request with a key, once.
pub struct ByHand<S> {
    pool: KeyPool,
    /// The last request's model: most name the same.
    model: Arc<str>,
    service: S,
}

/// Who served.
#[derive(Clone)]
pub struct Served {
    /// With which key.
    pub key: KeyId,
    /// Which model.
    pub model: Arc<str>,
}

impl<S> ByHand<S> {
    /// Over this service.
    pub fn new(pool: &KeyPool, service: S) -> Self {
        Self { pool: pool.clone(), model: "".into(), service }
    }
}

impl<S, B, R> Service<Request<B>> for ByHand<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = BoxError>,
    B: Clone,
{
    type Response = Response<Held<R>>;
    type Error = BoxError;
    type Future = Sending<S::Future, Request<B>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let kept = request.clone();
        let path = request.uri().path();
        let model = path.rsplit('/').next().and_then(|last| last.split_once(':')).map_or("", |(model, _)| model);
        if *self.model != *model {
            self.model = model.into();
        }
        let lease = self.pool.try_acquire(Demand::new(Arc::clone(&self.model)).ahead()).expect("a key is ready");
        request.headers_mut().insert(KEY, lease.secret().header_value().clone());
        lease.started();
        let model = Arc::clone(&self.model);
        Sending { sent: self.service.call(request), kept, lease: Some(lease), model }
    }
}

pin_project! {
    /// Its answer to come.
    pub struct Sending<F, Q> {
        #[pin]
        sent: F,
        kept: Q,
        lease: Option<Lease>,
        model: Arc<str>,
    }
}

impl<F, Q, R> Future for Sending<F, Q>
where
    F: Future<Output = Result<Response<R>, BoxError>>,
{
    type Output = Result<Response<Held<R>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = ready!(this.sent.poll(cx))?;
        let lease = this.lease.take().expect("polled after it was done");
        lease.judge(&GOOD);
        answer.extensions_mut().insert(Served { key: lease.key_id().clone(), model: Arc::clone(this.model) });
        Poll::Ready(Ok(answer.map(|body| Held { body, _lease: lease })))
    }
}

pin_project! {
    /// An answer's body, and the key's slot to its end.
    pub struct Held<R> {
        #[pin]
        body: R,
        _lease: Lease,
    }
}

impl<R: Body> Body for Held<R> {
    type Data = R::Data;
    type Error = R::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<R::Data>, R::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
