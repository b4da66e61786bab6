//! Decides whether and when a request is sent again.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, Once, PoisonError},
    time::Duration,
};

use http::{Extensions, HeaderMap, Request, Response, StatusCode};
use tower::retry::{
    Policy,
    budget::{Budget, TpsBudget},
};

use super::RetryFuture;
use crate::{
    Error, ErrorKind, KeyPool,
    classify::{ErrorClass, Failure, Outcome, Retry, Scope},
    pool::{Attempt, Attempts, Lease},
    replay::TryClone,
};

/// Retries a request if another key or a short pause may help. It is a policy for tower's
/// [`RetryLayer`](tower::retry::RetryLayer), above [`KeyRotationLayer`](crate::KeyRotationLayer).
///
/// - After a fault of the key (429, 401, 403, ...) the request is retried with another key. The first 8 keys are
///   tried without a pause. Up to 8 more follow with pauses of 100 ms, doubling to 1 s, within the request's wait. Then
///   the caller gets an error of [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable), never the provider's
///   response about a pooled key.
/// - After a fault of the provider or of the network (5xx, 499, no connection) the request is retried after a pause of
///   250 ms or more, until the third fault, within a budget that all requests share. A `Retry-After` of up to 5 s is
///   obeyed; `x-should-retry: false` forbids a retry. Then the last response or error is returned to the caller. A
///   request that is [not idempotent](crate::KeyRequest::not_idempotent) is not retried if the provider may have
///   received it.
/// - After a fault of the caller the request is never retried. If several projects refuse a request without a clear
///   cause, the request is at fault: the response is returned to the caller, and the keys stay in use. A refusal of this
///   request alone ([`Scope::Request`]) is returned to the caller if no other key may serve it, except a 401.
/// - If the provider refuses the sender's address and the keys have no other exit, the response is returned to the
///   caller.
///
/// | response without a clear cause | the request is at fault after |
/// |---|---|
/// | 402, 403 | three projects, or all if there are fewer and the refusal is of this request alone |
/// | 401 | all projects that may serve, if there are at least three; or 8 of which one has served since the start |
/// | 404: the model does not exist, or the project may not use it | three projects, or all if there are fewer |
///
/// The body must be [`TryClone`]; a body that cannot be cloned is sent once. The error of the service below must be
/// [`Error`](crate::Error) or [`BoxError`](crate::BoxError): an error of another type is returned to the caller without
/// a retry. Put a `map_err` to your own type above. Clones share the budget.
///
/// ```
/// use http::{Request, Response};
/// use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
/// use tower_keypool::{CooldownLayer, Gemini, Key, KeyPool, KeyRotationLayer, RetryPolicy};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let keys = ["AIza-not-a-real-key-001", "AIza-not-a-real-key-002"].map(Key::free);
/// let pool = KeyPool::builder(Gemini::new()).keys(keys).build()?;
/// let mut client = ServiceBuilder::new()
///     .retry(RetryPolicy::new(&pool))
///     .layer(KeyRotationLayer::new(&pool))
///     .layer(CooldownLayer::new(&pool))
///     .service(service_fn(async |request: Request<String>| {
///         let first = request.headers()["x-goog-api-key"] == "AIza-not-a-real-key-001";
///         Ok::<_, BoxError>(Response::builder().status(if first { 429 } else { 200 }).body(String::new())?)
///     }));
/// let request = Request::post("/v1beta/models/gemini-2.5-flash:generateContent").body("{}".to_owned())?;
/// assert_eq!(client.ready().await?.call(request).await?.status(), 200);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RetryPolicy {
    pub(crate) pool: KeyPool,
    budget: Arc<TpsBudget>,
    random: Arc<Mutex<fastrand::Rng>>,
    max_provider_faults: usize,
}

/// Number of keys that a request tries without a pause.
const IMMEDIATE_KEYS: usize = 8;
/// Maximum number of retries with a pause after them.
const MAX_PACED_RETRIES: usize = 8;
const KEY_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_KEY_PAUSE: Duration = Duration::from_secs(1);
const FAULT_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(5);
/// Number of projects whose equal, unclear refusals show that the request is at fault.
const SAME_REFUSAL: usize = 3;
/// Logs a stack in the wrong order once.
static BELOW_ROTATION: Once = Once::new();

impl RetryPolicy {
    /// Returns a policy with the default settings.
    pub fn new(pool: &KeyPool) -> Self {
        Self {
            pool: pool.clone(),
            budget: Arc::clone(&pool.shared.retry_budget),
            random: Arc::new(Mutex::new(fastrand::Rng::new())),
            max_provider_faults: 3,
        }
    }

    /// Sets the number of faults of the provider or of the network after which the last one is returned. The default is
    /// 3; 0 counts as 1. Faults of keys do not count: for them, a request is sent with up to 16 keys.
    #[must_use]
    pub fn max_provider_faults(mut self, faults: usize) -> Self {
        self.max_provider_faults = faults.max(1);
        self
    }

    /// Sets the budget of retries after faults of the provider: retries per successful response (0 to 10; NaN counts
    /// as 0), plus retries per second. The defaults are 0.2 and 10.
    #[must_use]
    pub fn budget(mut self, per_success: f32, per_second: u32) -> Self {
        let (per_success, per_second) = (per_success.clamp(0.0, 10.0).max(0.0), per_second.min(i32::MAX as u32 - 1));
        self.budget = Arc::new(TpsBudget::new(Duration::from_secs(10), per_second, per_success));
        self
    }

    /// Sets the seed of the jitter in pauses, for repeatable tests.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        self
    }

    /// Decides what to do after the last of these attempts.
    pub(crate) fn decide(&self, attempts: &Attempts, headers: Option<&HeaderMap>) -> Step {
        let Some(last) = attempts.last() else { return Step::Stop };
        match last.outcome() {
            Outcome::Success => {
                self.budget.deposit();
                Step::Stop
            }
            Outcome::Failure(failure) => match failure.retry() {
                Retry::OtherKey => self.after_key_fault(attempts, failure),
                Retry::Backoff => self.after_fault(attempts, failure, headers),
                Retry::No => Step::Stop,
            },
        }
    }

    fn after_key_fault(&self, attempts: &Attempts, failure: &Failure) -> Step {
        if self.is_callers(attempts, failure) {
            // The other keys' refusals may have causes of their own.
            if failure.scope != Scope::Request {
                self.pool.forgive(attempts);
            }
            return Step::Stop;
        }
        // Only other exits help.
        if failure.class() == ErrorClass::Egress && !self.pool.shared.with(|state, _| state.registry.has_exits()) {
            return Step::Stop;
        }
        let faults = attempts.iter().filter(|attempt| attempt.class().is_some_and(ErrorClass::is_key_fault)).count();
        let Some(paced) = faults.checked_sub(IMMEDIATE_KEYS) else { return Step::Again(Duration::ZERO) };
        let pause = self.jittered(KEY_PAUSE, paced, LONGEST_KEY_PAUSE);
        let in_time = attempts.deadline.is_some_and(|deadline| self.pool.clock().now().plus(pause) <= deadline);
        match paced {
            ..MAX_PACED_RETRIES if in_time => Step::Again(pause),
            _ if is_of_request(failure) => Step::Stop,
            _ => Step::GiveUp,
        }
    }

    /// Reports whether enough projects refused the request with the same class and without a clear cause, or all keys
    /// that may serve refused this request alone.
    fn is_callers(&self, attempts: &Attempts, last: &Failure) -> bool {
        let failed = attempts.iter().filter_map(|attempt| Some((attempt, attempt.outcome().failure()?)));
        let model = attempts.last().and_then(Attempt::model);
        if !is_unclear(last) {
            // The cause is clear: another key of the same project may have the permission or quota that one lacks.
            let refused = failed.filter(|(_, failure)| failure.scope == Scope::Request);
            let keys: HashSet<_> = refused.map(|(attempt, _)| attempt.key()).collect();
            return is_of_request(last) && !self.pool.others_may_serve(model, |key, _| keys.contains(key));
        }
        let refused = failed.filter(|(_, failure)| failure.class() == last.class() && is_unclear(failure));
        let projects: HashSet<_> = refused.map(|(attempt, _)| attempt.project()).collect();
        let all = || !self.pool.others_may_serve(model, |_, project| projects.contains(project));
        let enough = projects.len() >= SAME_REFUSAL;
        match last.status() {
            Some(StatusCode::NOT_FOUND) => enough || all(),
            // Most keys with such an error are dead, unless they have served.
            Some(StatusCode::UNAUTHORIZED) => {
                enough && (all() || (projects.len() >= IMMEDIATE_KEYS && self.pool.has_served(attempts)))
            }
            _ => enough || (is_of_request(last) && all()),
        }
    }

    fn after_fault(&self, attempts: &Attempts, failure: &Failure, headers: Option<&HeaderMap>) -> Step {
        let faults = attempts.iter().filter(|attempt| attempt.class() == Some(ErrorClass::Transient)).count();
        let forbidden = headers
            .and_then(|headers| headers.get("x-should-retry"))
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"false"));
        let named = failure.retry_after().unwrap_or_default();
        let made = attempts.not_idempotent && failure.may_have_been_sent();
        let worth = faults < self.max_provider_faults && !forbidden && !made && named <= LONGEST_RETRY_AFTER;
        if worth && self.budget.withdraw() {
            Step::Again(self.jittered(FAULT_PAUSE, faults.saturating_sub(1), LONGEST_RETRY_AFTER).max(named))
        } else {
            Step::Stop
        }
    }

    /// Reports whether the request already has a key of the pool.
    fn is_below_rotation(&self, extensions: &Extensions) -> bool {
        extensions.get::<Arc<Lease>>().is_some_and(|lease| Arc::ptr_eq(lease.shared(), &self.pool.shared))
    }

    /// Returns the first pause doubled this many times, up to the longest, plus a random part of up to a half.
    fn jittered(&self, first: Duration, doublings: usize, longest: Duration) -> Duration {
        let pause = first.saturating_mul(1 << doublings.min(16)).min(longest);
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        pause.mul_f64(1.0 + random.f64() / 2.0)
    }
}

pub(crate) enum Step {
    /// The result is returned to the caller.
    Stop,
    /// An error is returned instead of the result.
    GiveUp,
    /// The request is sent again after a pause.
    Again(Duration),
}

/// Reports whether the cause of a refusal is unclear. A 404 may mean that the model does not exist; other reasons not
/// to serve a model, such as a limit of 0, are clear.
fn is_unclear(failure: &Failure) -> bool {
    let is_unknown_model = || failure.status() == Some(StatusCode::NOT_FOUND);
    failure.class() == ErrorClass::Unclear || failure.class() == ErrorClass::NotEntitled && is_unknown_model()
}

/// Reports whether a failure is returned to the caller if every key has it. SDKs take a 401 for a refusal of the
/// caller's own token.
fn is_of_request(failure: &Failure) -> bool {
    failure.scope == Scope::Request && failure.status() != Some(StatusCode::UNAUTHORIZED)
}

impl<B, R, E> Policy<Request<B>, Response<R>, E> for RetryPolicy
where
    B: TryClone,
    E: From<Error> + 'static,
{
    type Future = RetryFuture;

    fn retry(&mut self, request: &mut Request<B>, result: &mut Result<Response<R>, E>) -> Option<RetryFuture> {
        if self.is_below_rotation(request.extensions()) {
            BELOW_ROTATION.call_once(|| {
                tracing::warn!("RetryPolicy never retries below KeyRotationLayer: put the retry layer above it");
            });
        }
        let (attempts, headers) = match &*result {
            Ok(response) => (response.extensions().get::<Attempts>()?, Some(response.headers())),
            Err(error) => {
                let error = Error::find(error).filter(|error| error.kind() == ErrorKind::Transport)?;
                (error.attempts(), None)
            }
        };
        match self.decide(attempts, headers) {
            Step::Stop => None,
            Step::Again(pause) => {
                request.extensions_mut().insert(attempts.clone());
                Some(RetryFuture::after(pause))
            }
            Step::GiveUp => {
                *result = Err(self.pool.gave_up(attempts.clone()).into());
                None
            }
        }
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        let body = request.body().try_clone()?;
        let mut clone = Request::new(body);
        *clone.method_mut() = request.method().clone();
        *clone.uri_mut() = request.uri().clone();
        *clone.version_mut() = request.version();
        clone.headers_mut().clone_from(request.headers());
        clone.extensions_mut().clone_from(request.extensions());
        Some(clone)
    }
}

debug_with_fields!([] RetryPolicy, "RetryPolicy", max_provider_faults);
