//! The rule itself: how often, how long, how patiently.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tower::retry::budget::Budget;

use super::{Backoff, allowance::Allowance};

/// When a request is sent again: the options of [`RetryPolicy`](crate::RetryPolicy), `KeyPoolLayer`, `run` and
/// `with_retry`. Those that bring none go by the pool's own ([`KeyPoolBuilder::retry`](crate::KeyPoolBuilder::retry)).
///
/// Clones share the budget and the source of jitter.
///
/// ```
/// use std::time::Duration;
/// use tower_keypool::{Backoff, Retry};
///
/// let retry = Retry::new()
///     .max_retries(5)
///     .backoff(Backoff::fixed(Duration::from_secs(1)))
///     .deadline(Duration::from_secs(60));
/// # let _ = retry;
/// ```
#[derive(Clone)]
pub struct Retry {
    pub(crate) max_retries: u32,
    pub(crate) backoff: Backoff,
    pub(crate) deadline: Option<Duration>,
    exhausted_instead: bool,
    budget: Option<Arc<dyn Budget + Send + Sync>>,
    random: Arc<Mutex<fastrand::Rng>>,
}

impl Retry {
    /// 3 retries of a provider's faults, [`Backoff::exponential`], the amounts of tower's default budget (a fifth of what
    /// succeeds, and 10 a second), no deadline.
    pub fn new() -> Self {
        Self {
            max_retries: 3,
            backoff: Backoff::exponential(),
            deadline: None,
            exhausted_instead: false,
            budget: Some(Arc::new(Allowance::default())),
            random: Arc::new(Mutex::new(fastrand::Rng::new())),
        }
    }

    /// How often a request is retried after faults of the provider. Faults of keys are not counted.
    #[must_use]
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.max_retries = retries;
        self
    }

    /// How long to pause before each of them.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// No retry begins later than this after the request came; unless set, there is no end.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// What retries of provider faults are paid from.
    #[must_use]
    pub fn budget(mut self, budget: impl Budget + Send + Sync + 'static) -> Self {
        self.budget = Some(Arc::new(budget));
        self
    }

    /// Retries of provider faults are bounded by their count alone.
    #[must_use]
    pub fn without_budget(mut self) -> Self {
        self.budget = None;
        self
    }

    /// When a key was at fault and no other is to be had: whether the caller receives the typed error that says so and
    /// until when, instead of the provider's last true answer. Off unless set.
    #[must_use]
    pub fn exhausted_instead(mut self, instead: bool) -> Self {
        self.exhausted_instead = instead;
        self
    }

    /// Makes the jitter repeat.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.random = Arc::new(Mutex::new(fastrand::Rng::with_seed(seed)));
        self
    }

    /// A request succeeded: that pays for others' retries.
    #[inline]
    pub(crate) fn succeeded(&self) {
        if let Some(budget) = &self.budget {
            budget.deposit();
        }
    }

    pub(crate) fn wants_exhausted(&self) -> bool {
        self.exhausted_instead
    }

    pub(crate) fn withdraw(&self) -> bool {
        self.budget.as_ref().is_none_or(|budget| budget.withdraw())
    }

    pub(crate) fn pause(&self, n: u32) -> Duration {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        self.backoff.pause(n, &mut random)
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("max_retries", &self.max_retries)
            .field("backoff", &self.backoff)
            .field("deadline", &self.deadline)
            .field("exhausted_instead", &self.exhausted_instead)
            .finish_non_exhaustive()
    }
}
