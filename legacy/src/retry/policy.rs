//! The rule as a policy of tower's `Retry`.

use std::{
    borrow::Borrow,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Request, Response};
use tower::retry::Policy;

use super::{
    RetryFuture,
    decide::{Course, Step, instead},
    seen::Seen,
};
use crate::{
    error::{BoxError, Error},
    pool::{Demand, KeyPool, Prepared},
    replay::TryClone,
    rule::{Backoff, Retry},
    time::Tick,
};

/// Says to tower's own `RetryLayer` when to send a request again, and takes the key for it.
///
/// Stands above [`KeyRotationLayer`](crate::KeyRotationLayer), with or without a `Timeout` or `LoadShed` between. The
/// body needs a [`TryClone`]; one that has none is given it by [`ReplayLayer`](crate::ReplayLayer).
///
/// ```no_run
/// # use tower::{Service, ServiceBuilder};
/// # use tower_keypool::{KeyPool, KeyRotationLayer, RetryPolicy};
/// # fn stack<S>(pool: KeyPool, http_client: S) {
/// use std::time::Duration;
///
/// let client = ServiceBuilder::new()
///     .timeout(Duration::from_secs(300)) // for the whole request, all attempts and pauses
///     .retry(RetryPolicy::new(&pool).max_retries(5).deadline(Duration::from_secs(60)))
///     .timeout(Duration::from_secs(100)) // for each attempt
///     .layer(KeyRotationLayer::new(&pool))
///     .service(http_client);
/// # drop(client);
/// # }
/// ```
///
/// A time-out below the policy ends one attempt, which is then tried again like any fault of the provider; one above it
/// ends the whole. An attempt that timed out is no fault of its key.
///
/// A limit on concurrency belongs above the policy or below [`CooldownLayer`](crate::CooldownLayer). Between the policy and
/// the rotation, what waits for a key holds a permit, and what is sent again stands in line for one with its key in hand:
/// it gives that up for those who wait for a key, and waits for another as long as it may wait.
///
/// Where no other key is to be had, the caller receives the last answer of the provider; that is decided while the
/// answer is still in hand. Where a key is expected back within the time that the request may wait, the answer is let
/// go and the wait begins: should it end without a key after all, the error says so, and
/// [`Error::served_by`](crate::Error::served_by) tells every answer that came before.
///
/// A body that cannot be sent again does not compile. `.oneshot(…)` and `.call(…)` then merely say that they do not
/// exist; a function that asks for the service has the compiler name the body and what to do about it:
///
/// ```compile_fail,E0277
/// # use http::{Request, Response};
/// # use tower::{Service, ServiceBuilder, service_fn};
/// # use tower_keypool::{BoxError, KeyPool, KeyRotationLayer, RetryPolicy};
/// fn serves<B>(_: &impl Service<Request<B>>) {}
///
/// fn stack(pool: KeyPool) {
///     let client = service_fn(async |_: Request<axum::body::Body>| Ok::<_, BoxError>(Response::new(String::new())));
///     let stack = ServiceBuilder::new()
///         .retry(RetryPolicy::new(&pool)) // error: put a `ReplayLayer` above the layer that retries
///         .layer(KeyRotationLayer::new(&pool))
///         .service(client);
///     serves(&stack);
/// }
/// ```
///
/// With one above, any body does:
///
/// ```
/// # use http::{Request, Response};
/// # use tower::{Service, ServiceBuilder, service_fn};
/// # use tower_keypool::{BoxError, KeyPool, KeyRotationLayer, RetryPolicy};
/// # use tower_keypool::{ReplayBody, ReplayLayer};
/// # fn serves<B>(_: &impl Service<Request<B>>) {}
/// # fn stack(pool: KeyPool) {
/// let client = service_fn(async |_: Request<ReplayBody<axum::body::Body>>| {
///     Ok::<_, BoxError>(Response::new(String::new()))
/// });
/// let stack = ServiceBuilder::new()
///     .layer(ReplayLayer::default().pool(&pool))
///     .retry(RetryPolicy::new(&pool))
///     .layer(KeyRotationLayer::new(&pool))
///     .service(client);
/// serves::<axum::body::Body>(&stack);
/// # }
/// ```
pub struct RetryPolicy {
    pool: KeyPool,
    rule: Arc<Retry>,
    wait: Option<Duration>,
    /// NOTE: tower's `Retry` calls `clone_request` on its own policy and clones that policy for the request's session
    /// right after it. What `clone_request` saw moves on with the clone: nothing of a request stays behind.
    session: Mutex<Option<Session>>,
    /// An answer was seen: the session goes on with the next attempt.
    underway: bool,
}

/// What is known of one request over its attempts.
struct Session {
    /// The demand that the request came with, without a lease.
    demand: Option<Demand>,
    course: Course,
}

impl RetryPolicy {
    /// The pool's own rule ([`KeyPool::default_retry`]), as it is now.
    pub fn new(pool: impl Borrow<KeyPool>) -> Self {
        let pool = pool.borrow().clone();
        Self { rule: Arc::new(pool.default_retry()), pool, wait: None, session: Mutex::new(None), underway: false }
    }

    /// This rule instead of the pool's.
    #[must_use]
    pub fn rule(mut self, rule: Retry) -> Self {
        self.rule = Arc::new(rule);
        self
    }

    /// How often a request is retried after faults of the provider; see [`Retry::max_retries`].
    #[must_use]
    pub fn max_retries(self, retries: u32) -> Self {
        self.with(|rule| rule.max_retries(retries))
    }

    /// How long to pause before each of them; see [`Retry::backoff`].
    #[must_use]
    pub fn backoff(self, backoff: Backoff) -> Self {
        self.with(|rule| rule.backoff(backoff))
    }

    /// No retry begins later than this after the request came; see [`Retry::deadline`].
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        self.with(|rule| rule.deadline(deadline))
    }

    /// What retries of provider faults are paid from; see [`Retry::budget`].
    #[must_use]
    pub fn budget(self, budget: impl tower::retry::budget::Budget + Send + Sync + 'static) -> Self {
        self.with(|rule| rule.budget(budget))
    }

    /// Retries of provider faults are bounded by their count alone; see [`Retry::without_budget`].
    #[must_use]
    pub fn without_budget(self) -> Self {
        self.with(Retry::without_budget)
    }

    /// Whether the caller receives [`Error::is_exhausted`] instead of the last true answer; see
    /// [`Retry::exhausted_instead`].
    #[must_use]
    pub fn exhausted_instead(self, instead: bool) -> Self {
        self.with(|rule| rule.exhausted_instead(instead))
    }

    /// Makes the jitter repeat; see [`Retry::seed`].
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        self.with(|rule| rule.seed(seed))
    }

    /// How long after a request came it may still wait for another key, where its demand does not say so; unless set,
    /// as long as the pool says.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    fn with(mut self, change: impl FnOnce(Retry) -> Retry) -> Self {
        self.rule = Arc::new(change(Retry::clone(&self.rule)));
        self
    }

    #[inline]
    fn open(&self, demand: Option<Demand>) -> Session {
        let wait = self.wait_of(demand.as_ref());
        // Nobody looks at the clock where no time is measured.
        let timed = self.rule.deadline.is_some() || !wait.is_zero();
        let begun = if timed { self.pool.clock().tick() } else { Tick::ZERO };
        Session { demand, course: Course::new(begun, wait) }
    }

    /// How long after it came a request may wait for another key.
    fn wait_of(&self, demand: Option<&Demand>) -> Duration {
        demand.and_then(|demand| demand.wait).or(self.wait).unwrap_or_else(|| self.pool.default_wait())
    }

    fn slot(&mut self) -> &mut Option<Session> {
        self.session.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    /// The policy of one request that came at `begun` and was sent, whose demand is known.
    pub(crate) fn of_request(&self, demand: Demand, begun: Tick) -> Self {
        let wait = self.wait_of(Some(&demand));
        Self {
            pool: self.pool.clone(),
            rule: Arc::clone(&self.rule),
            wait: self.wait,
            session: Mutex::new(Some(Session { demand: Some(demand), course: Course::new(begun, wait) })),
            underway: true,
        }
    }

    pub(crate) fn pool(&self) -> &KeyPool {
        &self.pool
    }

    /// A request succeeded, which is told to the rule.
    #[inline]
    pub(crate) fn succeeded(&self) {
        self.rule.succeeded();
    }

    /// Whether the answer is good, which ends its request and is told to the rule.
    #[inline]
    pub(crate) fn is_content<R>(&self, result: &Result<Response<R>, Error>) -> bool {
        let seen = result.as_ref().ok().and_then(Seen::of_response);
        let good = seen.is_some_and(|seen| seen.verdict.is_success());
        if good {
            self.rule.succeeded();
        }
        good
    }

    /// Whether an answer taught something that would be missed: what the caller or nobody is to blame for does not.
    pub(crate) fn blames<R>(result: &Result<Response<R>, Error>) -> bool {
        let mut judged = None;
        let seen = match result {
            Ok(response) => Seen::of_response(response),
            Err(error) => Seen::of_error(error, &mut judged),
        };
        seen.is_some_and(|seen| !seen.verdict.is_success() && !seen.verdict.is_caller_fault())
    }

    #[inline]
    fn clone_of<B: TryClone>(&mut self, request: &Request<B>) -> Option<Request<B>> {
        let mut clone = Request::new(request.body().try_clone()?);
        *clone.method_mut() = request.method().clone();
        *clone.uri_mut() = request.uri().clone();
        *clone.version_mut() = request.version();
        *clone.headers_mut() = request.headers().clone();
        let demand = request.extensions().get::<Demand>();
        if request.extensions().len() > usize::from(demand.is_some()) {
            *clone.extensions_mut() = request.extensions().clone();
            clone.extensions_mut().remove::<Demand>();
        }
        if !self.underway {
            let demand = demand.map(|demand| Demand { prepared: None, ..demand.clone() });
            let session = self.open(demand);
            *self.slot() = Some(session);
        }
        Some(clone)
    }

    /// The error that the caller receives in the place of the answer in hand, if it wants one.
    fn instead(&self, seen: &Seen<'_>, demand: Demand) -> Option<Error> {
        let error = instead(&self.rule, &self.pool, seen.verdict, demand)?;
        Some(match seen.served_by {
            Some(served_by) => error.with_served_by(served_by.clone()),
            None => error,
        })
    }

    /// What comes after this answer. `Err`: nothing, and perhaps the error that says that no key was to be had.
    fn after<B: TryClone>(&mut self, request: &mut Request<B>, seen: &Seen<'_>) -> Result<RetryFuture, Option<Error>> {
        if seen.verdict.is_success() {
            self.rule.succeeded();
            return Err(None);
        }
        self.underway = true;
        let mut session = match self.slot().take() {
            Some(session) => session,
            None => self.open(None),
        };
        let mut demand = Demand::of_request(session.demand.take(), request, &self.pool);
        if let Some(served_by) = seen.served_by {
            demand.particulars.earlier = Some(self.pool.attempts(served_by, &demand));
        }
        session.demand = Some(demand.clone());
        let seat = seen.served_by.and_then(|served_by| served_by.seat);
        let mut next = demand.clone();
        // Nothing is made of half a request.
        if next.particulars.once && !request.body().is_out() {
            next.particulars.once = false;
        }
        let step = session.course.next(&self.rule, &self.pool, seen.verdict, next, seat);
        let until = session.course.until(&self.rule);
        *self.slot() = Some(session);
        match step {
            Step::Stop => Err(None),
            Step::OutOfKeys(_) => Err(self.instead(seen, demand)),
            // The body could no longer be kept: the answer in hand has to stand.
            Step::Again(_) if !request.body_mut().reclaim() => Err(None),
            Step::Again(next) => {
                let prepared = Arc::new(Prepared::or_until(until));
                demand.prepared = Some(Arc::clone(&prepared));
                // All the waiting there is was done when it goes down.
                demand.wait = Some(Duration::ZERO);
                // Should it have waited in vain, the error says when its keys are back.
                demand.particulars.anew = true;
                request.extensions_mut().insert(demand);
                Ok(RetryFuture::new(next, prepared))
            }
        }
    }
}

impl<B: TryClone, R> Policy<Request<B>, Response<R>, Error> for RetryPolicy {
    type Future = RetryFuture;

    fn retry(&mut self, request: &mut Request<B>, result: &mut Result<Response<R>, Error>) -> Option<RetryFuture> {
        let mut judged = None;
        let seen = match &*result {
            Ok(response) => Seen::of_response(response),
            Err(error) => Seen::of_error(error, &mut judged),
        }?;
        self.after(request, &seen).map_err(|instead| replace(result, instead)).ok()
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        self.clone_of(request)
    }
}

impl<B: TryClone, R> Policy<Request<B>, Response<R>, BoxError> for RetryPolicy {
    type Future = RetryFuture;

    fn retry(&mut self, request: &mut Request<B>, result: &mut Result<Response<R>, BoxError>) -> Option<RetryFuture> {
        let mut judged = None;
        let seen = match &*result {
            Ok(response) => Seen::of_response(response),
            Err(error) => Seen::of_error(&**error, &mut judged),
        }?;
        self.after(request, &seen).map_err(|instead| replace(result, instead)).ok()
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        self.clone_of(request)
    }
}

fn replace<R, E: From<Error>>(result: &mut Result<R, E>, instead: Option<Error>) {
    if let Some(error) = instead {
        *result = Err(error.into());
    }
}

impl Clone for RetryPolicy {
    fn clone(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            rule: Arc::clone(&self.rule),
            wait: self.wait,
            session: Mutex::new(self.session.lock().unwrap_or_else(PoisonError::into_inner).take()),
            underway: false,
        }
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy").field("pool", &self.pool).field("rule", &self.rule).finish_non_exhaustive()
    }
}
