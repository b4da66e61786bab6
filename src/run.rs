//! The closure form, for an SDK that brings its own HTTP client.
//!
//! [`KeyPool::run`] calls a closure with a key and retries by the rules of [`RetryPolicy`]: after a fault of the key
//! with another key, after a fault of the provider with a pause, and not at all after a fault of the caller.

use std::{error::Error as StdError, fmt, future::Future, sync::Arc};

use crate::{
    Error,
    classify::Outcome,
    pool::{Attempts, KeyPool, KeyRequest, Lease},
    retry::{RetryPolicy, Step},
};

impl KeyPool {
    /// Calls a closure with a key until it succeeds, by the rules of [`RetryPolicy`]. To change them, call
    /// [`RetryPolicy::run`]: `RetryPolicy::new(&pool).max_provider_faults(5).run(..)`. `classify` maps an error of the
    /// closure to its outcome; use [`classify`](Self::classify) if you have the status and the body, and
    /// [`Failure::from_transport`](crate::Failure::from_transport) if there was no response. The closure may report the
    /// used tokens with [`Lease::report_usage`].
    ///
    /// The key is in use until the closure's future ends and the lease is dropped. Keep a clone of the lease for as long
    /// as you read a streamed response. If the closure panics or its future is dropped, the key is returned to the pool.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
    /// use http::{HeaderMap, StatusCode};
    /// use tower_keypool::{Gemini, Key, KeyPool};
    ///
    /// #[derive(Debug)]
    /// struct ApiError(StatusCode, &'static [u8]);
    ///
    /// // An SDK.
    /// async fn generate(key: &str, _prompt: &str) -> Result<String, ApiError> {
    ///     match key {
    ///         "AIza-not-a-real-key-001" => Err(ApiError(StatusCode::TOO_MANY_REQUESTS, b"{}")),
    ///         _ => Ok("Hello!".to_owned()),
    ///     }
    /// }
    ///
    /// let keys = ["AIza-not-a-real-key-001", "AIza-not-a-real-key-002"].map(Key::free);
    /// let pool = KeyPool::builder(Gemini::new()).keys(keys).build()?;
    /// let classify = |error: &ApiError| pool.classify(error.0, &HeaderMap::new(), error.1).into();
    /// let text = pool.run("gemini-2.5-pro", classify, |key| async move { generate(key.expose(), "hello").await }).await;
    /// assert_eq!(text.unwrap(), "Hello!");
    /// # Ok::<(), tower_keypool::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// If it must wait outside a tokio runtime with timers enabled.
    ///
    /// # Errors
    /// [`RunError::Call`] with the last error of the closure, or [`RunError::Pool`] if no key could serve.
    pub fn run<R, J, C, F, T, E>(
        &self,
        request: R,
        classify: J,
        call: C,
    ) -> impl Future<Output = Result<T, RunError<E>>> + use<R, J, C, F, T, E>
    where
        R: Into<KeyRequest>,
        J: Fn(&E) -> Outcome,
        C: FnMut(Arc<Lease>) -> F,
        F: Future<Output = Result<T, E>>,
    {
        RetryPolicy::new(self).run(request, classify, call)
    }
}

impl RetryPolicy {
    /// Calls a closure as [`KeyPool::run`] does, by these rules.
    ///
    /// # Errors
    /// Those of [`KeyPool::run`].
    pub fn run<R, J, C, F, T, E>(
        &self,
        request: R,
        classify: J,
        mut call: C,
    ) -> impl Future<Output = Result<T, RunError<E>>> + use<R, J, C, F, T, E>
    where
        R: Into<KeyRequest>,
        J: Fn(&E) -> Outcome,
        C: FnMut(Arc<Lease>) -> F,
        F: Future<Output = Result<T, E>>,
    {
        let (policy, request) = (self.clone(), request.into());
        async move {
            let pool = &policy.pool;
            let mut attempts = Attempts::default();
            loop {
                let needs = attempts.next(request.clone(), pool.shared.wait, pool.clock().now());
                let lease = match pool.acquire(needs).await {
                    Ok(lease) => Arc::new(lease),
                    Err(error) => return Err(RunError::Pool(pool.no_key(error, attempts))),
                };
                let result = call(Arc::clone(&lease)).await;
                let outcome = match &result {
                    Ok(_) => Outcome::Success,
                    Err(error) => classify(error),
                };
                lease.report(&outcome);
                attempts.push(lease.attempt(outcome));
                // The next attempt may need this key's concurrency slot.
                drop(lease);
                match policy.decide(&attempts, None) {
                    Step::Stop => return result.map_err(|error| RunError::Call { error, attempts }),
                    Step::GiveUp => return Err(RunError::Pool(pool.gave_up(attempts))),
                    Step::Again(pause) if pause.is_zero() => {}
                    Step::Again(pause) => tokio::time::sleep(pause).await,
                }
            }
        }
    }
}

/// The reason why a closure did not succeed.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError<E> {
    /// No key could serve.
    Pool(Error),
    /// The closure failed, and another attempt would not help.
    Call {
        /// The error of the last attempt, displayed unchanged. The error of an SDK that puts the key into the URL may
        /// show the key.
        error: E,
        /// The keys that were tried, with the outcome of each.
        attempts: Attempts,
    },
}

impl<E> RunError<E> {
    /// Returns the keys that were tried, with the outcome of each.
    pub fn attempts(&self) -> &Attempts {
        match self {
            Self::Pool(error) => error.attempts(),
            Self::Call { attempts, .. } => attempts,
        }
    }
}

impl<E: fmt::Display> fmt::Display for RunError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pool(error) => error.fmt(f),
            Self::Call { error, attempts } => write!(f, "{error} ({attempts})"),
        }
    }
}

impl<E: StdError + 'static> StdError for RunError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Pool(error) => error.source(),
            Self::Call { error, .. } => error.source(),
        }
    }
}
