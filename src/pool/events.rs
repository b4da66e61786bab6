//! What happens in a pool, for whoever listens.

use std::sync::Arc;

use serde::Serialize;
use tokio::sync::broadcast;

use crate::{classify::ErrorClass, key::KeyId, limit::Limit, time::Tick};

/// Something that happened in a pool. It never holds a secret.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A key was added.
    KeyAdded {
        /// Its name.
        key: KeyId,
    },
    /// A key was removed.
    KeyRemoved {
        /// Its name.
        key: KeyId,
    },
    /// A key, or what it belongs to, is not used for a while.
    Cooling {
        /// What cools: `key k-1`, `project a, model m`.
        target: String,
        /// The key whose answer it was.
        key: KeyId,
        /// The class of the error.
        class: ErrorClass,
        /// Until when.
        #[serde(skip)]
        until: Tick,
        /// What the provider said.
        message: Option<Box<str>>,
    },
    /// It is used again.
    Closed {
        /// What is used again.
        target: String,
    },
    /// A key, or what it belongs to, is not used until somebody enables it.
    Disabled {
        /// What is disabled.
        target: String,
        /// The key whose answer it was, or that was disabled by hand.
        key: KeyId,
        /// The class of the error; none where a person did it.
        class: Option<ErrorClass>,
        /// What the provider, or the person, said.
        message: Option<Box<str>>,
    },
    /// Nearly every key is refused for good: no key is disabled until one succeeds.
    GuardPaused {
        /// The last key that was refused.
        key: KeyId,
    },
    /// A limit was learned from the provider.
    LimitLearned {
        /// The project.
        project: Arc<str>,
        /// The model.
        model: Arc<str>,
        /// The limit.
        limit: Limit,
    },
    /// The provider named the project of a key: it shares the limits of the other keys of that project from now on.
    ProjectLearned {
        /// The key.
        key: KeyId,
        /// Its project in the pool.
        project: Arc<str>,
        /// What the provider calls it.
        name: Box<str>,
    },
}

/// The events of a pool from now on. A listener that is too slow loses the oldest ones.
#[derive(Debug)]
pub struct Events(pub(crate) broadcast::Receiver<Event>);

impl Events {
    /// The next event, and how many were lost before it; `None` when the pool is gone.
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

    /// The next event that is there already.
    pub fn try_next(&mut self) -> Option<Event> {
        loop {
            match self.0.try_recv() {
                Ok(event) => return Some(event),
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
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
        Event::Cooling { target, key, class, message, .. } => {
            tracing::info!(breaker = %target, %key, class = class.as_str(), error = message.as_deref(), "cooling down");
        }
        Event::Closed { target } => tracing::info!(breaker = %target, "in use again"),
        Event::Disabled { target, key, class, message } => {
            let advice = class.map(|class| class.policy().advice);
            tracing::warn!(
                breaker = %target, %key, class = class.map(ErrorClass::as_str), error = message.as_deref(), advice,
                "disabled"
            );
        }
        Event::GuardPaused { key } => {
            tracing::warn!(%key, "nearly every key is refused: no key is disabled until one succeeds");
        }
        Event::LimitLearned { project, model, limit } => {
            tracing::info!(%project, %model, %limit, "limit learned from the provider");
        }
        Event::ProjectLearned { key, project, name } => {
            tracing::warn!(
                %key, %project, provider_project = %name,
                "the provider says that this key belongs to the project: its keys share one quota"
            );
        }
    }
}
