//! Which keys a request tried, and what came of each.

use std::{fmt, sync::Arc, time::Duration};

use http::StatusCode;

use super::request::KeyRequest;
use crate::{
    classify::{ErrorClass, Failure, Outcome, Retry},
    key::KeyId,
    secret::Secret,
    time::Tick,
};

/// The attempts of one request, oldest first. It is an extension of every answer and a part of every error.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    /// Most requests have one attempt, which needs no list.
    last: Option<Attempt>,
    earlier: Vec<Attempt>,
    /// Until when the request may wait for keys.
    pub(crate) deadline: Option<Tick>,
    /// The request is not sent again if nobody knows whether it was carried out.
    pub(crate) once: bool,
}

/// One request with one key.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub(crate) key: KeyId,
    pub(crate) project: Arc<str>,
    pub(crate) model: Option<Arc<str>>,
    pub(crate) outcome: Outcome,
    pub(crate) elapsed: Duration,
    /// For the layer that removes it from answers.
    pub(crate) secret: Secret,
}

/// After a fault of the provider a request waits at least so long for a key: the fault may have closed the model's breaker.
const AFTER_FAULT: Duration = Duration::from_secs(2);

impl Attempts {
    /// What the next attempt needs, of a request that needs `needs` and waits for keys so long unless it says otherwise. The first
    /// attempt sets what holds for all of them.
    pub(crate) fn next(&mut self, mut needs: KeyRequest, wait: Duration, now: Tick) -> KeyRequest {
        let wait = needs.wait.unwrap_or(wait);
        let deadline = *self.deadline.get_or_insert_with(|| now.plus(wait));
        self.once = needs.once;
        let Some(last) = self.last() else {
            needs.wait = Some(wait);
            return needs;
        };
        let failed = last.outcome().failure().map(Failure::retry);
        let least = if failed == Some(Retry::Backoff) { AFTER_FAULT } else { Duration::ZERO };
        needs.wait = Some(deadline.since(now).max(least));
        // A key that met a limit may serve the request when its cooldown is over.
        let refuses = |class: ErrorClass| class.is_key_fault() && class != ErrorClass::RateLimit;
        let refused = self.iter().filter(|attempt| attempt.class().is_some_and(refuses));
        needs.excluded.extend(refused.map(|attempt| attempt.key().clone()));
        needs
    }

    pub(crate) fn push(&mut self, attempt: Attempt) {
        self.earlier.extend(self.last.replace(attempt));
    }

    /// Each attempt, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Attempt> {
        self.earlier.iter().chain(&self.last)
    }

    /// The last attempt: the one that the answer came from.
    pub fn last(&self) -> Option<&Attempt> {
        self.last.as_ref()
    }

    /// The secret that the last attempt was made with.
    pub(crate) fn last_secret(&self) -> Option<&Secret> {
        self.last().map(|attempt| &attempt.secret)
    }

    /// How many there were.
    pub fn len(&self) -> usize {
        self.earlier.len() + usize::from(self.last.is_some())
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        self.last.is_none()
    }
}

impl Attempt {
    /// The key that was used.
    pub fn key(&self) -> &KeyId {
        &self.key
    }

    /// The key's project.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// The model that was asked for, if it is known.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// What came of it.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// The class of the error; none for a good answer.
    pub fn class(&self) -> Option<ErrorClass> {
        self.outcome.failure().map(Failure::class)
    }

    /// The status of the answer if it was an error.
    pub fn status(&self) -> Option<StatusCode> {
        self.outcome.failure().and_then(Failure::status)
    }

    /// From the grant of the key to the head of the answer.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tried ")?;
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
