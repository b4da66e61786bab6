//! The service: the request goes on with the best model that it may have.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderValue, Request, Response, header, request::Parts};
use http_body::Body;
use tower_service::Service;

use super::{
    Plan,
    future::{Again, ModelFallbackFuture},
    layer::Given,
};
use crate::{
    error::{BoxError, Error},
    pool::{ByModel, Demand, KeyPool, Lease, Prepared},
    provider::{Provider, Retarget},
    replay::TryClone,
};

/// Asks for another model when the one asked for is out: the service of
/// [`ModelFallbackLayer`](crate::ModelFallbackLayer).
#[derive(Clone, Debug)]
pub struct ModelFallback<S> {
    inner: S,
    pool: KeyPool,
    given: Arc<Given>,
}

impl<S> ModelFallback<S> {
    pub(super) fn new(inner: S, pool: KeyPool, given: Arc<Given>) -> Self {
        Self { inner, pool, given }
    }

    /// The service below.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service below.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service below.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// Whether every request keeps its model: it passes through.
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.given.models.is_empty()
    }

    /// Plans the request's walk. `None`: it keeps its model whatever comes.
    fn plan<B: TryClone + Body>(&self, head: &mut Parts, body: &mut B) -> Option<(Plan, Demand)> {
        let said = head.extensions.get::<Demand>().map(|said| Demand { prepared: None, ..said.clone() });
        let mut demand = Demand::of(said, head, &self.pool);
        if demand.free && demand.model.is_none() {
            return None;
        }
        // What its body names nobody has seen: a list for requests without a model is not for it.
        if demand.model.is_none() && demand.particulars.behind.is_some() {
            return None;
        }
        let mut plan = self.given.models.plan(demand.model())?.of(&demand)?;
        if demand.free {
            // It steps nowhere, but an alias is no model.
            plan = plan.alone()?;
        }
        if demand.particulars.requested.is_none() {
            demand.particulars.requested.clone_from(&demand.model);
        }
        if plan.begins_with_itself() {
            return Some((plan, demand));
        }
        let (model, lease) = match plan.step(&self.pool, &demand, None) {
            Some((model, lease)) => (model, Some(lease)),
            None => (plan.best()?, None),
        };
        let demand = Demand { model: Some(model), ..demand };
        // As it came it is written for the model that it says.
        let written = demand.particulars.written.as_ref().filter(|written| Some(&*written.model) != demand.model());
        if !rename(head, body, &**self.pool.provider(), &demand, written) {
            return None;
        }
        put(head, &demand, lease);
        Some((plan, demand))
    }
}

impl<S, B, R> Service<Request<B>> for ModelFallback<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: TryClone + Body,
{
    type Response = Response<R>;
    type Error = Error;
    type Future = ModelFallbackFuture<S, B, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(|error| Error::from_box(error.into()))
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        if self.is_idle() {
            return ModelFallbackFuture::passing(self.inner.call(request));
        }
        let (mut head, mut body) = request.into_parts();
        let planned = self.plan(&mut head, &mut body);
        let request = Request::from_parts(head, body);
        let again = planned.and_then(|(plan, demand)| {
            let spare = spare(&request, &plan).map(|spare| (self.inner.clone(), spare));
            // Whoever has one model has nothing else to be told of.
            if spare.is_none() && !plan.has_others() {
                return None;
            }
            let wait = demand.wait.or(self.given.wait).unwrap_or_else(|| self.pool.default_wait());
            let until = self.pool.clock().tick().plus(wait);
            Some(Again { pool: self.pool.clone(), spare, plan, demand, until })
        });
        ModelFallbackFuture::calling(self.inner.call(request), again)
    }
}

/// Another of the same request, where there is a model left to send it to and its body can be sent again.
pub(super) fn spare<B: TryClone>(request: &Request<B>, plan: &Plan) -> Option<Request<B>> {
    if plan.is_done() {
        return None;
    }
    let mut spare = Request::new(request.body().try_clone()?);
    *spare.method_mut() = request.method().clone();
    *spare.uri_mut() = request.uri().clone();
    *spare.version_mut() = request.version();
    *spare.headers_mut() = request.headers().clone();
    *spare.extensions_mut() = request.extensions().clone();
    spare.extensions_mut().remove::<Demand>();
    Some(spare)
}

/// Makes the request ask for the demand's model with this key. Whether it could.
pub(super) fn retarget<B: TryClone + Body>(
    head: &mut Parts,
    body: &mut B,
    provider: &dyn Provider,
    demand: &Demand,
    lease: Option<Lease>,
) -> bool {
    let done = rename(head, body, provider, demand, demand.particulars.written.as_ref());
    if done {
        put(head, demand, lease);
    }
    done
}

/// Names the demand's model; where the body says it in other words to each model, it is written anew.
fn rename<B: TryClone + Body>(
    head: &mut Parts,
    body: &mut B,
    provider: &dyn Provider,
    demand: &Demand,
    written: Option<&ByModel>,
) -> bool {
    let model = demand.model().unwrap_or_default();
    if let Some(written) = written {
        let Some(pieces) = (written.anew)(model) else { return false };
        return provider.retarget(head, model) != Retarget::No && body.rewrite(pieces) && correct_length(head, body);
    }
    match provider.retarget(head, model) {
        Retarget::Done => true,
        Retarget::InBody => body.retarget(model) && correct_length(head, body),
        Retarget::No => false,
    }
}

/// Leaves the demand there, with this key.
fn put(head: &mut Parts, demand: &Demand, lease: Option<Lease>) {
    let prepared = lease.map(|lease| {
        let prepared = Prepared::default();
        prepared.put(lease);
        Arc::new(prepared)
    });
    head.extensions.insert(Demand { prepared, ..demand.clone() });
}

/// Another name may be longer or shorter.
fn correct_length(head: &mut Parts, body: &impl Body) -> bool {
    if head.headers.contains_key(header::CONTENT_LENGTH) {
        match body.size_hint().exact() {
            Some(length) => head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length)),
            None => head.headers.remove(header::CONTENT_LENGTH),
        };
    }
    true
}
