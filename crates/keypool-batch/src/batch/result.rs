//! Results of tasks.

use std::sync::Arc;

use serde::{Serialize, Serializer};
use serde_json::{Value, value::RawValue};
use tower_keypool::KeyId;

use super::task::TaskId;
use crate::{
    client::Usage,
    json::compact,
    raw::{RawObject, raw},
};

/// The result of a task, which is one line of the output.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TaskResult {
    /// The task's id. For an invalid input line, its place, such as `line 3`.
    pub id: TaskId,
    /// The task's place in the input, counted from 0.
    pub index: u64,
    /// Whether the task was answered in full.
    pub success: bool,
    /// The model's text. For a failed task, the text so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The JSON instead of the text, if JSON was required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<Box<RawValue>>,
    /// Other parts of the answer, such as function calls and images.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Value>,
    /// The reason why the task failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<TaskError>,
    /// The key that was used last.
    pub key_id: Option<KeyId>,
    /// The model that answered, or else the requested one.
    pub model: Option<Arc<str>>,
    /// Number of requests that were sent.
    pub attempts: u32,
    /// Number of these that failed because of the key.
    pub key_faults: u32,
    /// The tokens of the last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The provider's own name for how the answer ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<String>,
    /// Duration of the last attempt, in seconds.
    pub seconds: f64,
    /// The hash of the prompt and its options.
    #[serde(serialize_with = "hex")]
    pub(super) hash: u64,
    /// The task's own fields.
    #[serde(rename = "task", skip_serializing_if = "RawObject::is_empty")]
    pub(super) fields: RawObject,
}

/// The reason why a task failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TaskError {
    /// One of `input`, `invalid`, `model_unavailable`, `refused`, `model_error`, `timeout`, `closed`, `unreadable`,
    /// `max_tokens`, `blocked`, `empty`, `unfinished`, `invalid_json`, `schema`, `internal`.
    pub kind: &'static str,
    /// The description of the error.
    pub message: String,
    /// The provider's own error code or status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// The kind of an invalid input line.
pub(super) const INPUT: &str = "input";

impl TaskError {
    pub(super) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), code: None }
    }
}

impl TaskResult {
    /// Creates the result of a task that has not been sent yet.
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

    /// Appends the result as a line. The fields of a task may have line breaks between their tokens.
    pub(super) fn write(&self, lines: &mut Vec<u8>) {
        lines.extend_from_slice(compact(raw(self).get()).as_bytes());
        lines.push(b'\n');
    }

    /// Returns the task's own fields, as JSON.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.fields.iter().map(|(name, value)| (&**name, &**value))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn hex<S: Serializer>(hash: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{hash:016x}"))
}
