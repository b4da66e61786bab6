//! The service: a request comes in, a lease is taken, the request goes on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, request::Parts};
use tower_service::Service;

use super::{Names, body::LeaseBody, future::KeyRotationFuture, layer::Rules, outgoing, outgoing::Outgoing};
use crate::{
    error::{BoxError, Error, Kind},
    pool::{Demand, Granted, KeyPool, Lease, trace},
    time::Now,
};

/// Gives each request a key of a pool: the service of [`KeyRotationLayer`](crate::KeyRotationLayer).
#[derive(Clone, Debug)]
pub struct KeyRotation<S> {
    inner: S,
    pool: KeyPool,
    rules: Arc<Rules>,
}

impl<S> KeyRotation<S> {
    pub(super) fn new(inner: S, pool: KeyPool, rules: Arc<Rules>) -> Self {
        Self { inner, pool, rules }
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

    fn wait_of(&self, demand: &Demand) -> Duration {
        demand.wait.or(self.rules.wait).unwrap_or_else(|| self.pool.default_wait())
    }
}

impl<S, B, R> Service<Request<B>> for KeyRotation<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    R: http_body::Body,
{
    type Response = Response<LeaseBody<R>>;
    type Error = Error;
    type Future = KeyRotationFuture<S, B, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(|error| Error::from_box(error.into()))
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut head, body) = request.into_parts();
        let mut demand = Demand::of(head.extensions.remove::<Demand>(), &head, &self.pool);
        let now = self.pool.clock().now();
        match self.take(&mut head, &mut demand, now, None) {
            Ok(lease) => self.send(lease, |inner, granted| {
                head.extensions.insert(granted.clone());
                inner.call(Request::from_parts(head, body))
            }),
            Err(refused) => self.refused(refused, head, body, &demand),
        }
    }
}

impl<S> KeyRotation<S> {
    /// Whose keys it gives.
    pub(crate) fn pool(&self) -> &KeyPool {
        &self.pool
    }

    /// Aims a request at the provider, takes a lease for its complete demand and equips it with the key: it can go.
    /// No lease that was taken before is left in the demand. `names`: of all headers, where somebody has seen them.
    ///
    /// # Errors
    /// It cannot go now: to be [told](Self::refused). A lease of another pool, whose key is another provider's, is given back.
    #[expect(clippy::inline_always, reason = "on the way of every request: a lease is copied for a call")]
    #[inline(always)]
    pub(crate) fn take(
        &self,
        head: &mut Parts,
        demand: &mut Demand,
        now: Now,
        names: Option<Names>,
    ) -> Result<Lease, Refused> {
        let names = outgoing::prepare(head, self.pool.provider(), &self.rules, names)?;
        let waited = demand.prepared.take();
        let mut again = waited.is_some();
        let mut prepared = waited.and_then(|prepared| {
            let lease = prepared.take();
            if lease.is_none()
                && let Some(wait) = prepared.wait_again(now.tick)
            {
                demand.wait = Some(wait);
                again = false;
            }
            lease
        });
        if let Some(lease) = &prepared
            && !lease.granted().pool.is_same(&self.pool)
        {
            if !demand.particulars.anew {
                return Err(self.not_sent("its lease is another pool's"));
            }
            // A policy's above: what is sent again goes out with a key of this pool all the same.
            warn_of_a_strange_policy();
            prepared = None;
        }
        if demand.model.is_none() {
            self.may_go_unnamed(demand)?;
        }
        // One that is granted here and now counts from here and now.
        let counts = prepared.is_none() && !demand.starts_later();
        let lease = match prepared {
            Some(lease) => Ok(lease.of_request(demand)),
            None => self.pool.try_lease(demand, now).or_else(|error| self.told_as_it_waits(demand, now, error)),
        };
        let lease = match lease {
            Ok(lease) => lease,
            // It fails at once where no key can come in time: the caller, or another model, loses no time.
            Err(error) if error.may_end_within(self.wait_of(demand)) => return Err(Refused::Waits),
            Err(error) => {
                // One that waited before, in vain, was counted then.
                if !again && error.is_exhausted() {
                    self.pool.count_exhausted();
                }
                return Err(error.tried(demand).into());
            }
        };
        outgoing::equip(head, lease.granted(), names)?;
        if !counts {
            outgoing::start(lease.granted(), demand.on_grant.as_ref())?;
        }
        Ok(lease)
    }

    /// The same of one whose wait this layer alone knows: when a later priority opens hangs on it.
    #[cold]
    fn told_as_it_waits(&self, demand: &Demand, now: Now, error: Error) -> Result<Lease, Error> {
        if demand.wait.is_some() || self.rules.wait.is_none() || !self.pool.opens_after_a_while() {
            return Err(error);
        }
        self.pool.try_lease(&Demand { wait: self.rules.wait, ..demand.clone() }, now)
    }

    /// Refused, for this reason.
    #[cold]
    fn not_sent(&self, reason: &'static str) -> Refused {
        Error::new(Kind::Refused(reason.into())).with_provider(self.pool.provider()).into()
    }

    /// A request whose model is not known goes only where it goes past no limit.
    #[cold]
    fn may_go_unnamed(&self, demand: &Demand) -> Result<(), Refused> {
        match demand.particulars.behind {
            Some(behind) if self.pool.limits_models() => {
                Err(Error::new(Kind::Behind(behind)).with_provider(self.pool.provider()).into())
            }
            _ => Ok(()),
        }
    }

    /// Sends a request on with its lease. `send` hands both down, in whatever way; the very instance that was polled
    /// ready is the one that is called.
    #[inline]
    pub(crate) fn send<B, F>(
        &mut self,
        lease: Lease,
        send: impl FnOnce(&mut S, &Granted) -> F,
    ) -> KeyRotationFuture<S, B, F> {
        match trace::attempt(lease.granted()) {
            None => KeyRotationFuture::calling(send(&mut self.inner, lease.granted()), lease, None),
            Some(span) => {
                let future = span.in_scope(|| send(&mut self.inner, lease.granted()));
                KeyRotationFuture::calling(future, lease, Some(span))
            }
        }
    }
}

impl<S: Clone> KeyRotation<S> {
    /// What becomes of a request that cannot go now: it waits for its key, or fails. The instance that was polled ready
    /// is let go, with whatever place it holds below.
    #[cold]
    pub(crate) fn refused<B, F>(
        &mut self,
        refused: Refused,
        head: Parts,
        body: B,
        demand: &Demand,
    ) -> KeyRotationFuture<S, B, F> {
        self.inner = self.inner.clone();
        match refused {
            Refused::Fails(error) => KeyRotationFuture::failed(error),
            Refused::Waits => {
                let demand = Demand { wait: Some(self.wait_of(demand)), ..demand.clone() };
                let outgoing = Outgoing { head, body, on_grant: demand.on_grant.clone() };
                KeyRotationFuture::waiting(&self.pool, demand, self.inner.clone(), outgoing)
            }
        }
    }
}

/// Somebody put another pool's `RetryPolicy` above.
#[cold]
fn warn_of_a_strange_policy() {
    static WARNED: AtomicBool = AtomicBool::new(false);
    if !WARNED.swap(true, Ordering::Relaxed) {
        tracing::warn!(name: "keypool.other_policy", "the RetryPolicy above KeyRotationLayer is another pool's: what its keys may carry is not what these may");
    }
}

/// Why a request does not go now.
pub(crate) enum Refused {
    /// A key may come in time.
    Waits,
    Fails(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Fails(error)
    }
}
