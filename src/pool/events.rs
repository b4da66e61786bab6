//! The events of a pool.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, Serializer};
use tokio::sync::broadcast;

use crate::{classify::ErrorClass, key::KeyId, limit::Limit, store::BreakerTarget, time::whole_seconds};

/// An event in a pool. It never contains a secret.
///
/// ```
/// use tower_keypool::{ErrorClass, Event, Gemini, Key, KeyPool, Outcome, store::BreakerTarget};
///
/// let pool = KeyPool::builder(Gemini::new()).key(Key::free("AIza-not-a-real-key-001").named("a")).build()?;
/// let mut events = pool.events();
/// pool.try_acquire("gemini-2.5-flash")?.report(&Outcome::from_class(ErrorClass::KeyRejected));
/// if let Some((Event::Disabled { target, key, .. }, _lost)) = events.try_next() {
///     assert_eq!((target, key.as_str()), (BreakerTarget::Key("a".into()), "a"));
/// }
/// # Ok::<(), tower_keypool::Error>(())
/// ```
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A key was added.
    #[non_exhaustive]
    KeyAdded {
        /// Its id.
        key: KeyId,
    },
    /// A key was removed.
    #[non_exhaustive]
    KeyRemoved {
        /// Its id.
        key: KeyId,
    },
    /// A target, such as a key or its project, is not used for a while.
    #[non_exhaustive]
    Cooling {
        /// The target that cools down, such as `key k-1` or `project a for m`.
        #[serde(serialize_with = "as_text")]
        target: BreakerTarget,
        /// The key whose request failed.
        key: KeyId,
        /// The class of the error.
        class: ErrorClass,
        /// The length of the cooldown from now on.
        left: Duration,
        /// The provider's message.
        message: Option<Box<str>>,
    },
    /// A target is used again.
    #[non_exhaustive]
    Closed {
        /// The target.
        #[serde(serialize_with = "as_text")]
        target: BreakerTarget,
    },
    /// A target, such as a key or its project, is not used until a person enables it.
    #[non_exhaustive]
    Disabled {
        /// The target.
        #[serde(serialize_with = "as_text")]
        target: BreakerTarget,
        /// The key whose request failed, or that a person disabled.
        key: KeyId,
        /// The class of the error; `None` if a person disabled it.
        class: Option<ErrorClass>,
        /// The message of the provider or of the person.
        message: Option<Box<str>>,
    },
    /// Nearly every key is permanently refused: disabling is paused.
    #[non_exhaustive]
    DisablingPaused {
        /// The last key that was refused.
        key: KeyId,
    },
    /// A limit was learned from the provider.
    #[non_exhaustive]
    LimitLearned {
        /// The project.
        project: Arc<str>,
        /// The model.
        model: Arc<str>,
        /// The limit.
        limit: Limit,
    },
    /// The provider named the project of a key, which now shares the limits of the other keys of that project.
    #[non_exhaustive]
    ProjectLearned {
        /// The key.
        key: KeyId,
        /// The project in the pool.
        project: Arc<str>,
        /// The provider's name of the project.
        name: Box<str>,
    },
}

pub(super) fn as_text<S: Serializer>(target: &BreakerTarget, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(target)
}

/// A receiver of the events of a pool. A listener that is too slow loses the oldest ones.
#[derive(Debug)]
pub struct Events(pub(crate) broadcast::Receiver<Event>);

impl Events {
    /// Returns the next event, and how many were lost before it; `None` when the pool is dropped.
    pub async fn next(&mut self) -> Option<(Event, u64)> {
        let mut lost = 0;
        loop {
            match self.0.recv().await {
                Ok(event) => return Some((event, lost)),
                Err(broadcast::error::RecvError::Lagged(more)) => lost += more,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// Returns the next event if there is one already, and how many were lost before it.
    pub fn try_next(&mut self) -> Option<(Event, u64)> {
        let mut lost = 0;
        loop {
            match self.0.try_recv() {
                Ok(event) => return Some((event, lost)),
                Err(broadcast::error::TryRecvError::Lagged(more)) => lost += more,
                Err(_) => return None,
            }
        }
    }
}

/// Logs an event.
pub(crate) fn log(event: &Event) {
    match event {
        Event::KeyAdded { key } => tracing::debug!(%key, "key added"),
        Event::KeyRemoved { key } => tracing::info!(%key, "key removed"),
        Event::Cooling { target, key, class, left, message } => {
            let (seconds, class) = (whole_seconds(*left), class.as_str());
            tracing::info!(breaker = %target, %key, class, seconds, error = message.as_deref(), "cooling down");
        }
        Event::Closed { target } => tracing::info!(breaker = %target, "in use again"),
        Event::Disabled { target, key, class, message } => {
            let advice = class.map(|class| class.policy().advice);
            tracing::warn!(
                breaker = %target, %key, class = class.map(ErrorClass::as_str), error = message.as_deref(), advice,
                "disabled"
            );
        }
        Event::DisablingPaused { key } => {
            tracing::warn!(%key, "nearly every key is refused: disabling is paused");
        }
        Event::LimitLearned { project, model, limit } => {
            tracing::info!(%project, %model, %limit, "limit learned from the provider");
        }
        Event::ProjectLearned { key, project, name } => {
            tracing::warn!(
                %key, %project, provider_project = %name,
                "the provider reports that this key belongs to the project: all keys of the project share one quota"
            );
        }
    }
}
