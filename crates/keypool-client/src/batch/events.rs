//! What goes wrong on the way, one by one: for a log.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tower_keypool::{KeyId, VerdictKind};

use super::Id;

/// Something that went wrong, whether or not it was made good afterwards.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    /// Which worker, from 1.
    pub slot: usize,
    /// With which key.
    pub key: Option<KeyId>,
    /// Which task.
    pub task: Id,
    /// With which model, or for which there was no key.
    pub model: Arc<str>,
    /// The model that is tried next in the place of that one, where one is.
    pub next_model: Option<Arc<str>>,
    /// Whose fault it is.
    pub fault: FaultKind,
    /// What the answer meant, where there was one.
    pub verdict: Option<VerdictKind>,
    /// The HTTP status.
    pub status: Option<u16>,
    /// The provider's own word for it, or the kind of the task's fault.
    pub code: String,
    /// What happened.
    pub message: String,
    /// When the key comes back.
    #[serde(serialize_with = "seconds")]
    pub retry_in: Option<Duration>,
    /// The key does not come back by itself.
    pub permanent: bool,
    /// The task is not tried again.
    pub last: bool,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The key's, its owner's or its account's: the task goes to another, and it is not counted.
    Key,
    /// The provider's, or the model's.
    Model,
    /// The task's.
    Task,
    /// Of the way there: not counted.
    Network,
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn seconds<S: serde::Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(serializer)
}

/// Who listens.
pub(crate) type Listener = Arc<dyn Fn(&Fault) + Send + Sync>;
