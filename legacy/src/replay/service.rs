//! The service.

use std::{
    fmt, mem,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, request::Parts};
use http_body::Body;
use tower_service::Service;

use super::{ReplayBody, ReplayFuture, budget::Budget, derive, source::Shared};
use crate::{
    error::BoxError,
    pool::{Demand, KeyPool},
    provider::Asks,
};

/// The service of [`ReplayLayer`](crate::ReplayLayer).
#[derive(Clone)]
pub struct ReplayService<S> {
    inner: S,
    limit: u64,
    budget: Arc<Budget>,
    pool: Option<KeyPool>,
    /// The model that was asked for last: most requests ask for the same.
    last: Option<Arc<str>>,
}

impl<S> ReplayService<S> {
    pub(super) fn new(inner: S, limit: u64, budget: Arc<Budget>, pool: Option<KeyPool>) -> Self {
        Self { inner, limit, budget, pool, last: None }
    }

    /// The service below.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service below.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service below, without this one.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B> Service<Request<B>> for ReplayService<S>
where
    S: Service<Request<ReplayBody<B>>> + Clone,
    B: Body + Unpin + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ReplayFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> ReplayFuture<S, B> {
        let (mut head, body) = request.into_parts();
        let mut demand = Demand::default();
        let opened = self.open(&mut head, body, &mut demand, false);
        self.send(head, opened, demand)
    }
}

/// The body of a request, as it can be sent again.
pub(crate) struct Opened<B> {
    pub(crate) body: ReplayBody<B>,
    /// The same body for another attempt, where it was asked for and nothing is to be read first.
    pub(crate) twin: Option<ReplayBody<B>>,
    /// Whether anybody knows what the request demands.
    known: bool,
    /// The rest of the demand stands in the body, which is to be read first.
    pub(crate) reads: bool,
}

impl<S> ReplayService<S> {
    /// Makes the body one that can be sent again, and finds out what the head demands: where it stands, since it is copied
    /// whenever it is handed on. `twice`: together with the body for another attempt.
    #[expect(clippy::inline_always, reason = "on the way of every request, which is copied for a call")]
    #[inline(always)]
    pub(crate) fn open<B>(&mut self, head: &mut Parts, body: B, demand: &mut Demand, twice: bool) -> Opened<B>
    where
        B: Body + Unpin + Send + 'static,
    {
        let said = if head.extensions.is_empty() { None } else { head.extensions.remove::<Demand>() };
        let asks = self.pool.as_ref().map_or_else(Asks::default, |pool| pool.provider().asks(head));
        let known = said.is_some() || self.pool.is_some();
        if let Some(said) = said {
            *demand = said;
        }

        let upgrade = derive::is_upgrade(head);
        let told = derive::content_length(&head.headers);
        let bytes = body.size_hint().exact().or(told);
        let scan = if upgrade { None } else { derive::scan(demand, &asks, self.pool.as_ref(), bytes) };
        let reads = scan.is_some() && self.pool.is_some();
        derive::complete(demand, &asks, self.pool.as_ref(), &mut self.last, bytes);

        let limit = if upgrade { 0 } else { self.limit };
        let twice = twice && !reads;
        let handles = if twice { 2 } else { 1 };
        let length = if upgrade { None } else { told };
        let shared = Arc::new(Shared::new(body, (limit, length), Arc::clone(&self.budget), scan, handles));
        if known {
            demand.on_grant = Some(shared.clone());
        }
        let twin = twice.then(|| ReplayBody::new(Arc::clone(&shared)));
        Opened { body: ReplayBody::new(shared), twin, known, reads }
    }

    /// Sends it on, once its demand is complete.
    #[inline]
    pub(crate) fn send<B>(&mut self, mut head: Parts, opened: Opened<B>, demand: Demand) -> ReplayFuture<S, B>
    where
        S: Service<Request<ReplayBody<B>>> + Clone,
    {
        let Opened { body, known, reads, twin: _ } = opened;
        if known {
            head.extensions.insert(demand);
        }
        let request = Request::from_parts(head, body);
        match &self.pool {
            Some(pool) if reads => {
                let next = self.inner.clone();
                let ready = mem::replace(&mut self.inner, next);
                ReplayFuture::reading(ready, request, pool.clone())
            }
            _ => ReplayFuture::called(self.inner.call(request)),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for ReplayService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayService").field("inner", &self.inner).field("up_to", &self.limit).finish_non_exhaustive()
    }
}
