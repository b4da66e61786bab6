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
    unknown::Form,
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
    fn plan<B: TryClone + Body>(&self, head: &mut Parts, body: &mut B) -> Option<(Plan, Demand, Form)> {
        let said = head.extensions.get::<Demand>().map(|said| Demand { prepared: None, ..said.clone() });
        let mut demand = Demand::of(said, head, &self.pool);
        if demand.free && demand.model.is_none() {
            return None;
        }
        // What its body names nobody has seen: a list for requests without a model is not for it.
        if demand.model.is_none() && demand.particulars.behind.is_some() {
            return None;
        }
        let provider = &**self.pool.provider();
        let mut plan = self.given.models.plan_for(demand.model(), provider)?.of(&demand, provider)?;
        let (form, now) = (self.given.unknown.form(head, provider), self.pool.clock().tick());
        if plan.begins_with_itself() {
            plan = self.given.unknown.passed_by(plan, form, now);
            if demand.particulars.requested.is_none() {
                demand.particulars.requested.clone_from(&demand.model);
            }
            return (!demand.free).then_some((plan, demand, form));
        }
        // Whoever must not go to another model has the first of those that its name stands for.
        let bound = demand.model().is_some_and(|model| is_bound(head, provider, &demand, model));
        plan = if bound { plan.alone()? } else { self.given.unknown.passed_by(plan, form, now) };
        if demand.particulars.requested.is_none() {
            demand.particulars.requested.clone_from(&demand.model);
        }
        let (model, lease) = match plan.step(&self.pool, &demand, None) {
            Some((model, lease)) => (model, Some(lease)),
            None => (plan.best()?, None),
        };
        let demand = Demand { model: Some(model), ..demand };
        let model = demand.model().unwrap_or_default();
        // As it came it is written for the model that it says.
        let written = demand.particulars.written.as_ref().filter(|written| *written.model != *model);
        let named = if bound { provider.resolve(head, model) } else { provider.retarget(head, model) };
        if !rewrite(named, (head, body), model, written) {
            return None;
        }
        put(head, &demand, lease);
        Some((plan, demand, form))
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
        let again = planned.and_then(|(plan, demand, form)| {
            let spare = spare(&request, &plan).map(|spare| (self.inner.clone(), spare));
            // Whoever has one model has nothing else to be told of.
            if spare.is_none() && !plan.has_others() {
                return None;
            }
            let wait = demand.wait.or(self.given.wait).unwrap_or_else(|| self.pool.default_wait());
            let until = self.pool.clock().tick().plus(wait);
            let (unknown, is_listed) = (Arc::clone(&self.given.unknown), !plan.begins_with_itself());
            Some(Again { pool: self.pool.clone(), spare, plan, demand, until, unknown, form, is_listed })
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
    let model = demand.model().unwrap_or_default();
    let named = provider.retarget(head, model);
    let done = rewrite(named, (head, body), model, demand.particulars.written.as_ref());
    if done {
        put(head, demand, lease);
    }
    done
}

/// Whether a request that names a model must not go to another.
fn is_bound(head: &Parts, provider: &dyn Provider, demand: &Demand, model: &str) -> bool {
    if demand.free {
        return true;
    }
    let mut bare = Request::new(()).into_parts().0;
    (bare.method, bare.uri, bare.headers) = (head.method.clone(), head.uri.clone(), head.headers.clone());
    provider.retarget(&mut bare, model) == Retarget::No
}

/// Does to the body what is left to do once its head names the model. Where it says it in other words to each model, it is
/// written anew.
fn rewrite<B: TryClone + Body>(
    named: Retarget,
    (head, body): (&mut Parts, &mut B),
    model: &str,
    written: Option<&ByModel>,
) -> bool {
    match (named, written) {
        (Retarget::No, _) => false,
        (_, Some(written)) => {
            (written.anew)(model).is_some_and(|pieces| body.rewrite(pieces)) && correct_length(head, body)
        }
        (Retarget::InBody, None) => body.retarget(model) && correct_length(head, body),
        (Retarget::InBodyBehind(front), None) => {
            body.retarget(&format!("{front}{model}")) && correct_length(head, body)
        }
        (Retarget::Done, None) => true,
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
