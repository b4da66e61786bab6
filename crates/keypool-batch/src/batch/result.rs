//! What became of a task: a line of the output.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Value, value::RawValue};
use tower_keypool::KeyId;

use super::task::TaskId;
use crate::{client::Usage, raw::RawObject};

/// What became of a task: a line of the output.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TaskResult {
    /// Its id; of a line that is no task its place, such as `line 3`.
    pub id: TaskId,
    /// Its place in the input, from 0 on.
    pub index: u64,
    /// Whether it was answered in full.
    pub success: bool,
    /// What the model said. Of a failed task what there was of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The JSON in it, in place of the text, if JSON was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<Box<RawValue>>,
    /// What the model said beside text: calls of functions, images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Value>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
    /// The key that served it last.
    pub key_id: Option<KeyId>,
    /// The model that answered, or that was asked.
    pub model: Option<Arc<str>>,
    /// How often it was sent.
    pub attempts: u32,
    /// How many of these failed by a fault of the key.
    pub key_faults: u32,
    /// The tokens of its last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// How the answer ended, in the provider's word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// How long the last attempt took, in seconds.
    pub seconds: f64,
    /// What was asked, as a number.
    #[serde(serialize_with = "hex")]
    pub(super) hash: u64,
    /// The task's own fields.
    #[serde(rename = "task", skip_serializing_if = "RawObject::is_empty")]
    pub(super) fields: RawObject,
}

/// Why a task failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TaskError {
    /// One of `input`, `invalid`, `model_unavailable`, `refused`, `model_error`, `timeout`, `closed`, `unreadable`,
    /// `max_tokens`, `blocked`, `empty`, `unfinished`, `invalid_json`, `schema`, `internal`.
    pub kind: &'static str,
    /// What happened.
    pub message: String,
    /// The provider's own code or status for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// The kind of what is no task.
pub(super) const INPUT: &str = "input";

impl TaskError {
    pub(super) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), code: None }
    }
}

impl TaskResult {
    /// A result of a task that was not sent yet.
    pub(super) fn new(id: TaskId, index: u64, hash: u64) -> Self {
        Self {
            id,
            index,
            success: false,
            text: None,
            json: None,
            parts: Vec::new(),
            error: None,
            key_id: None,
            model: None,
            attempts: 0,
            key_faults: 0,
            usage: None,
            finish_reason: None,
            seconds: 0.0,
            hash,
            fields: RawObject::new(),
        }
    }

    /// Adds it to lines of output.
    pub(super) fn write(&self, lines: &mut Vec<u8>) {
        serde_json::to_writer(&mut *lines, self).expect("memory takes all, and its maps have texts as keys");
        lines.push(b'\n');
    }

    /// The task's own fields, as JSON.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.fields.iter().map(|(name, value)| (&**name, &**value))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn hex<S: Serializer>(hash: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{hash:016x}"))
}
