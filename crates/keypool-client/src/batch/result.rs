//! What became of a task.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;
use tower_keypool::{KeyId, Usage};

use super::{
    Id, Json,
    input::InputError,
    quoted::{push_shown, push_text},
};

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
    /// `blocked`, `empty`, `invalid_json`, `schema`; `invalid`: sent again, it would be refused again; `model_unavailable`:
    /// nobody has the model; `model_error`: the provider's own fault; `refused`; `timeout`, `closed`, `broken`, `unreadable`;
    /// `input`: what stands there is no task, or another one has its id.
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
        if self.push(lines).is_err() {
            lines.truncate(begin);
        }
        lines.push(b'\n');
    }

    /// What its [`Serialize`] writes, by hand: a line for each task is much of what that costs.
    fn push(&self, line: &mut Vec<u8>) -> serde_json::Result<()> {
        let Self { id, index, success, text, json, parts, error, key_id, model, .. } = self;
        let Self { attempts, key_faults, usage, finish_reason, seconds, hash, task, .. } = self;
        line.extend_from_slice(b"{\"id\":");
        match id {
            Id::Text(text) => push_text(line, text),
            Id::Number(_) | Id::Written(_) => serde_json::to_writer(&mut *line, id)?,
        }
        push(line, b",\"index\":", index)?;
        push(line, b",\"success\":", success)?;
        if let Some(text) = text {
            line.extend_from_slice(b",\"text\":");
            push_text(line, text);
        }
        push_some(line, b",\"json\":", json.as_ref())?;
        push_some(line, b",\"parts\":", parts.as_ref())?;
        push_some(line, b",\"error\":", error.as_ref())?;
        line.extend_from_slice(b",\"key_id\":");
        match key_id {
            Some(key) => push_shown(line, key),
            None => line.extend_from_slice(b"null"),
        }
        line.extend_from_slice(b",\"model\":");
        push_text(line, model);
        push(line, b",\"attempts\":", attempts)?;
        push(line, b",\"key_faults\":", key_faults)?;
        push_some(line, b",\"usage\":", usage.as_ref())?;
        if let Some(reason) = finish_reason {
            line.extend_from_slice(b",\"finish_reason\":");
            push_text(line, reason);
        }
        push(line, b",\"seconds\":", seconds)?;
        line.extend_from_slice(b",\"hash\":");
        push_hex(line, *hash);
        push_some(line, b",\"task\":", (!task.is_empty()).then_some(task))?;
        line.push(b'}');
        Ok(())
    }
}

/// Adds sixteen digits, in quotes.
fn push_hex(line: &mut Vec<u8>, number: u64) {
    let digit = |place: u32| b"0123456789abcdef"[(number >> (4 * place) & 15) as usize];
    line.push(b'"');
    line.extend((0..16).rev().map(digit));
    line.push(b'"');
}

/// Adds a field: what stands before its value, and that.
fn push(line: &mut Vec<u8>, name: &[u8], value: &impl Serialize) -> serde_json::Result<()> {
    line.extend_from_slice(name);
    serde_json::to_writer(line, value)
}

fn push_some(line: &mut Vec<u8>, name: &[u8], value: Option<&impl Serialize>) -> serde_json::Result<()> {
    value.map_or(Ok(()), |value| push(line, name, value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_what_serde_writes() {
        let bare = TaskResult {
            id: 7.into(),
            index: 7,
            success: true,
            text: None,
            json: None,
            parts: None,
            error: None,
            key_id: None,
            model: "m".into(),
            attempts: 1,
            key_faults: 0,
            usage: None,
            finish_reason: None,
            seconds: 0.012,
            hash: 0xab,
            task: BTreeMap::new(),
        };
        let mut usage = Usage::default();
        (usage.input_tokens, usage.output_tokens) = (Some(3), Some(0));
        let json = |value: serde_json::Value| Json::from(value);
        let full = TaskResult {
            id: "a \"b\"".into(),
            text: Some("one\ntwo \\ \u{1}".repeat(9)),
            json: Some(json(json!({"a": [1, null]}))),
            parts: Some(vec![json(json!("part"))]),
            error: Some(TaskError { kind: "empty", message: "\"".into(), code: Some("c".into()) }),
            key_id: Some("k-00c0ffee".into()),
            usage: Some(usage),
            finish_reason: Some("STOP".into()),
            seconds: f64::NAN,
            hash: u64::MAX,
            task: [("n".to_owned(), Json::read("1.10").unwrap())].into(),
            ..bare.clone()
        };
        let named = TaskResult { key_id: Some("of \"mine\"\n".into()), success: false, ..bare.clone() };
        for result in [bare, full, named] {
            let mut line = b"before\n".to_vec();
            result.write(&mut line);
            let expected = format!("before\n{}\n", serde_json::to_string(&result).unwrap());
            assert_eq!(String::from_utf8(line).unwrap(), expected);
        }
    }
}
