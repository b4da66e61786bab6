//! What became of a task.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use tower_keypool::{KeyId, Usage};

use super::{Id, Json, input::InputError};

/// What became of a task: a line of the output.
#[derive(Clone, Debug, Serialize)]
pub struct TaskResult {
    /// What it is called; of what is no task where it stands, such as `line 3`.
    pub id: Id,
    /// Its place in the input, from 0.
    pub index: u64,
    /// Whether it was answered.
    pub success: bool,
    /// What the model said. Of a failed task what could not be used, such as broken JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The JSON in that, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<Json>,
    /// Parts of the answer that are no text: calls of functions, pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<Vec<Json>>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
    /// The key that served last.
    pub key_id: Option<KeyId>,
    /// The model that served, or that was asked for.
    pub model: Arc<str>,
    /// How often it was sent.
    pub attempts: u32,
    /// How often that ended with a fault of the key.
    pub key_faults: u32,
    /// What the last answer cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Why the answer ended: the provider's own word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// How long the last attempt took.
    pub seconds: f64,
    /// A word that stands for what was asked.
    #[serde(serialize_with = "hex")]
    pub hash: u64,
    /// The task's own fields.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub task: BTreeMap<String, Json>,
}

/// Why a task failed.
#[derive(Clone, Debug, Serialize)]
pub struct TaskError {
    /// `blocked`, `empty`, `invalid_json`, `schema`, `invalid`, `model_error`, `timeout`, `broken`, `unreadable`; `input`:
    /// what stands there is no task, or another one has its id.
    pub kind: &'static str,
    /// What happened.
    pub message: String,
    /// The provider's own word or status for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn hex<S: serde::Serializer>(hash: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{hash:016x}"))
}

/// The kind of what is no task.
pub(crate) const INPUT: &str = "input";

impl TaskResult {
    /// Of what is no task. Without an id of its own it goes by where it stands: that of another task is that one's.
    pub(crate) fn no_task(error: &InputError, id: Option<Id>, index: u64, model: Arc<str>) -> Self {
        Self {
            id: id.unwrap_or_else(|| error.place.to_string().into()),
            index,
            success: false,
            text: None,
            json: None,
            parts: None,
            error: Some(TaskError { kind: INPUT, message: error.to_string(), code: None }),
            key_id: None,
            model,
            attempts: 0,
            key_faults: 0,
            usage: None,
            finish_reason: None,
            seconds: 0.0,
            hash: 0,
            task: BTreeMap::new(),
        }
    }

    /// Whether it is of a task at all.
    pub(crate) fn is_task(&self) -> bool {
        self.error.as_ref().is_none_or(|error| error.kind != INPUT)
    }

    /// Adds it to the output's lines.
    pub(crate) fn write(&self, lines: &mut Vec<u8>) {
        let begin = lines.len();
        if serde_json::to_writer(&mut *lines, self).is_err() {
            lines.truncate(begin);
        }
        lines.push(b'\n');
    }
}
