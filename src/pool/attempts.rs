//! The keys that a request tried, with their outcomes.

use std::{fmt, sync::Arc, time::Duration};

use http::StatusCode;

use super::request::KeyRequest;
use crate::{
    classify::{ErrorClass, Failure, Outcome, Retry, Scope},
    key::KeyId,
    limit::Cost,
    secret::Secret,
    time::Tick,
};

/// The attempts of one request, oldest first. It is an extension of every response and a part of every error.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use tower_keypool::{Attempts, ErrorClass, Gemini, Key, KeyPool, Outcome};
///
/// let keys = [("AIza-not-a-real-key-001", "a"), ("AIza-not-a-real-key-002", "b")];
/// let pool = KeyPool::builder(Gemini::new()).keys(keys.map(|(key, id)| Key::free(key).named(id))).build()?;
/// let rejected = |_: &&str| Outcome::from_class(ErrorClass::KeyRejected);
/// let error = pool.run("gemini-2.5-flash", rejected, |_| async { Err::<(), _>("refused") }).await.unwrap_err();
/// for attempt in error.attempts() {
///     println!("{}: {:?} after {:?}", attempt.key(), attempt.class(), attempt.elapsed());
/// }
/// assert_eq!(error.attempts().to_string(), "tried a: key_rejected, b: key_rejected");
/// assert_eq!(Attempts::default().to_string(), "tried no key");
/// # Ok::<(), tower_keypool::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    /// Most requests have one attempt, which needs no list.
    last: Option<Attempt>,
    earlier: Vec<Attempt>,
    /// The deadline for waiting for keys, with all models.
    pub(crate) deadline: Option<Tick>,
    /// The cost of the last attempt.
    pub(crate) cost: Cost,
    /// Whether the request is not idempotent: it is not retried if it may have been carried out.
    pub(crate) not_idempotent: bool,
}

/// One request with one key.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub(crate) key: KeyId,
    pub(crate) project: Arc<str>,
    pub(crate) model: Option<Arc<str>>,
    pub(crate) outcome: Outcome,
    pub(crate) elapsed: Duration,
    /// For the layer that removes the key from responses.
    pub(crate) secret: Secret,
}

/// Minimum wait for a key after a fault of the provider, since the fault may have opened the model's breaker.
const AFTER_FAULT: Duration = Duration::from_secs(2);

impl Attempts {
    /// Returns the requirements of the next attempt of a request. `wait` applies if the request sets none. The first
    /// attempt sets what applies to all attempts.
    pub(crate) fn next(&mut self, mut needs: KeyRequest, wait: Duration, now: Tick) -> KeyRequest {
        let wait = needs.wait.unwrap_or(wait);
        let deadline = *self.deadline.get_or_insert_with(|| now.plus(wait));
        self.not_idempotent = needs.not_idempotent;
        self.cost = needs.cost;
        let Some(last) = self.last() else {
            needs.wait = Some(deadline.since(now));
            return needs;
        };
        let failed = last.outcome().failure().map(Failure::retry);
        let least = if failed == Some(Retry::Backoff) { AFTER_FAULT } else { Duration::ZERO };
        needs.wait = Some(deadline.since(now).max(least));
        // A rate-limited key may serve the request after its cooldown.
        let uncounted = needs.uncounted;
        let has_cooldown = |failure: &Failure| {
            failure.class() == ErrorClass::RateLimit && failure.affected_scope() != Scope::Request && !uncounted
        };
        let refuses = |failure: &Failure| failure.class().is_key_fault() && !has_cooldown(failure);
        let refused = self.iter().filter(|attempt| attempt.outcome().failure().is_some_and(refuses));
        needs.excluded.extend(refused.map(|attempt| attempt.key().clone()));
        needs
    }

    pub(crate) fn push(&mut self, attempt: Attempt) {
        self.earlier.extend(self.last.replace(attempt));
    }

    /// Iterates over the attempts, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Attempt> {
        self.into_iter()
    }

    /// Returns the last attempt, which the response came from.
    pub fn last(&self) -> Option<&Attempt> {
        self.last.as_ref()
    }

    /// Returns the secret of the last attempt.
    pub(crate) fn last_secret(&self) -> Option<&Secret> {
        self.last().map(|attempt| &attempt.secret)
    }

    /// Returns the number of attempts.
    pub fn len(&self) -> usize {
        self.earlier.len() + usize::from(self.last.is_some())
    }

    /// Reports whether there was no attempt.
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }
}

impl Attempt {
    /// Returns the key.
    pub fn key(&self) -> &KeyId {
        &self.key
    }

    /// Returns the key's project.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// Returns the requested model, if known.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Returns the outcome.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Returns the class of the error; `None` if there was none.
    pub fn class(&self) -> Option<ErrorClass> {
        self.outcome.failure().map(Failure::class)
    }

    /// Returns the status of an error response.
    pub fn status(&self) -> Option<StatusCode> {
        self.outcome.failure().and_then(Failure::status)
    }

    /// Returns the time from the grant of the key to the head of the response.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

impl<'a> IntoIterator for &'a Attempts {
    type Item = &'a Attempt;
    type IntoIter = std::iter::Chain<std::slice::Iter<'a, Attempt>, std::option::Iter<'a, Attempt>>;

    fn into_iter(self) -> Self::IntoIter {
        self.earlier.iter().chain(&self.last)
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "tried no key" } else { "tried " })?;
        for (at, attempt) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            match attempt.class() {
                Some(class) => write!(f, "{}: {}", attempt.key, class.as_str())?,
                None => write!(f, "{}", attempt.key)?,
            }
        }
        Ok(())
    }
}
