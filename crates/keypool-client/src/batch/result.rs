//! What became of a task.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use tower_keypool::{KeyId, Usage};

use super::{Id, Json};

/// What became of a task: a line of the output.
#[derive(Clone, Debug, Serialize)]
pub struct TaskResult {
    /// What it is called.
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
    /// `blocked`, `empty`, `invalid_json`, `schema`, `invalid`, `model_error`, `timeout`, `broken`, `unreadable`.
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

impl TaskResult {
    /// Adds it to the output's lines.
    pub(crate) fn write(&self, lines: &mut Vec<u8>) {
        let begin = lines.len();
        if serde_json::to_writer(&mut *lines, self).is_err() {
            lines.truncate(begin);
        }
        lines.push(b'\n');
    }
}
