//! A granted key.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    attempts::Attempt,
    handle::{KeyPool, Shared},
    select::Grant,
};
use crate::{
    classify::{Outcome, Usage},
    key::KeyId,
    limit::Limit,
    secret::Secret,
};

/// A granted key for one request. It counts as in flight until it is dropped. Without a report, dropping it says nothing
/// about the key, but the request still counts against the limits. [`give_back`](Self::give_back) returns it unused.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use tower_keypool::{Gemini, Key, KeyPool, Outcome, Usage};
///
/// let pool = KeyPool::builder(Gemini::new()).key(Key::free("AIza-not-a-real-key-001")).build()?;
/// let lease = pool.acquire("gemini-2.5-flash").await?;
/// // ... send the request with lease.secret().expose() ...
/// lease.report(&Outcome::Success);
/// lease.report_usage(Usage::new(12, 340));
/// # Ok::<(), tower_keypool::Error>(())
/// # }).unwrap();
/// ```
#[must_use = "dropping a lease ends its request"]
pub struct Lease {
    shared: Arc<Shared>,
    grant: Grant,
    usage: Mutex<Option<Usage>>,
    unsent: bool,
    reported: AtomicBool,
}

impl Lease {
    pub(crate) fn new(shared: Arc<Shared>, grant: Grant) -> Self {
        Self { shared, grant, usage: Mutex::default(), unsent: false, reported: AtomicBool::new(false) }
    }

    /// Returns the key's id.
    pub fn key(&self) -> &KeyId {
        &self.grant.key.id
    }

    /// Returns the key's project.
    pub fn project(&self) -> &str {
        &self.grant.project_name
    }

    /// Returns the requested model.
    pub fn model(&self) -> Option<&str> {
        self.grant.model_name.as_deref()
    }

    /// Returns the exit through which the request must be sent; `None` for any.
    pub fn exit(&self) -> Option<&str> {
        self.grant.key.exit().map(|exit| &**exit)
    }

    /// Returns the key's secret.
    pub fn secret(&self) -> &Secret {
        &self.grant.key.secret
    }

    /// Returns the secret as text. Do not log it.
    pub fn expose(&self) -> &str {
        self.grant.key.secret.expose()
    }

    /// Reports the outcome of the request. It may be called more than once: for a successful head, then for an error
    /// within its stream. The key is redacted in the failure's message and code.
    pub fn report(&self, outcome: &Outcome) {
        self.reported.store(true, Ordering::Relaxed);
        let redacted = outcome.redacted(self.secret());
        let outcome = redacted.as_ref().unwrap_or(outcome);
        self.shared.with(|state, now| super::outcome::apply(state, &self.grant, outcome, now));
        log(&self.grant, outcome);
    }

    /// Reports an outcome unless one was reported.
    pub(crate) fn report_if_none(&self, outcome: &Outcome) {
        if !self.reported.load(Ordering::Relaxed) {
            self.report(outcome);
        }
    }

    /// Reports the tokens that were used, which replace the estimate.
    pub fn report_usage(&self, usage: Usage) {
        *self.usage.lock().unwrap_or_else(PoisonError::into_inner) = Some(usage);
    }

    /// Reports limits that the response's headers named.
    pub fn learn(&self, limits: &[Limit]) {
        if !limits.is_empty() {
            self.shared.with(|state, now| {
                let project = state.registry.current(self.grant.project);
                super::learning::learn(state, project, &self.grant, limits, false, now);
            });
        }
    }

    /// Gives the key back unused. The request was not sent and counts against no limit.
    pub fn give_back(mut self) {
        self.unsent = true;
    }

    /// Returns how long the lease has been held.
    pub fn elapsed(&self) -> Duration {
        self.shared.clock.now().since(self.grant.started)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn pool(&self) -> KeyPool {
        KeyPool { shared: Arc::clone(&self.shared) }
    }

    pub(crate) fn attempt(&self, outcome: Outcome) -> Attempt {
        Attempt {
            key: self.grant.key.id.clone(),
            project: Arc::clone(&self.grant.project_name),
            model: self.grant.model_name.clone(),
            outcome: outcome.redacted(self.secret()).unwrap_or(outcome),
            elapsed: self.elapsed(),
            secret: self.grant.key.secret.clone(),
        }
    }
}

/// Logs the outcome of an attempt.
fn log(grant: &Grant, outcome: &Outcome) {
    let (key, project, model) = (&grant.key.id, &*grant.project_name, grant.model_name.as_deref());
    match outcome {
        Outcome::Success => tracing::debug!(%key, project, model, "answered"),
        Outcome::Failure(failure) => tracing::debug!(
            %key, project, model,
            class = failure.class.as_str(),
            status = failure.status.map(|status| status.as_u16()),
            code = failure.code.as_deref(),
            error = failure.message.as_deref(),
            "failed"
        ),
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let usage = *self.usage.get_mut().unwrap_or_else(PoisonError::into_inner);
        let sent = !self.unsent;
        if sent && !self.reported.load(Ordering::Relaxed) {
            let (key, project, model) = (self.key(), self.project(), self.model());
            tracing::debug!(%key, project, model, "cancelled");
        }
        self.shared.with(|state, now| super::outcome::end(state, &self.grant, usage, sent, now));
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("key", self.key())
            .field("project", &self.project())
            .field("model", &self.model())
            .finish_non_exhaustive()
    }
}
