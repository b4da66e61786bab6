//! Tuned models, batches, operations, interactions and tokens for sockets. All that takes long is done at once.

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::Sha256;

use super::Reply;
use super::models::listed;
use crate::engine::{Admission, Admitted, State, Visit};
use crate::proto_json::field;
use crate::refusal::ApiError;
use crate::route::Form;
use crate::store::{Collection, Description, File, page};

/// `tunedModels`: the operation that makes one.
pub(super) fn tune(state: &mut State, visit: &Visit<'_>, admitted: &Admitted) -> Admission<Reply> {
    let base = field(&admitted.request, "baseModel", "base_model").and_then(Value::as_str);
    let base = base.ok_or_else(|| ApiError::invalid_argument("malformed", "base_model is not specified"))?;
    let name = format!("tunedModels/{}", state.id());
    let tuned = json!({
        "name": name, "baseModel": base, "state": "ACTIVE", "createTime": visit.wall.to_string(),
        "displayName": field(&admitted.request, "displayName", "display_name"),
    });
    state.things.put(name.clone(), admitted.project, tuned);
    let operation = format!("{name}/operations/{}", state.id());
    Ok(Reply::json(&json!({ "name": operation, "metadata": { "tunedModel": name }, "done": true })))
}

/// `:batchGenerateContent` and `:asyncBatchEmbedContent`, whose input may be a file of the project; `of`: what its requests are.
pub(super) fn batch(state: &mut State, visit: &Visit<'_>, admitted: &Admitted, of: &str) -> Admission<Reply> {
    let batch = admitted.request.get("batch").unwrap_or(&Value::Null);
    let input = field(batch, "inputConfig", "input_config").unwrap_or(&Value::Null);
    if let Some(name) = field(input, "fileName", "file_name").and_then(Value::as_str) {
        state.files.get(admitted.project, name.strip_prefix("files/").unwrap_or(name), visit.wall)?;
    } else if input.get("requests").is_none() {
        return Err(ApiError::invalid_argument("malformed", "batch.input_config is not specified"));
    }
    let name = format!("batches/{}", state.id());
    let file = put_file(state, visit, admitted, "application/jsonl");
    let shown = json!({
        "name": name,
        "metadata": {
            "@type": format!("type.googleapis.com/google.ai.generativelanguage.v1main.{of}Batch"),
            "model": format!("models/{}", visit.model),
            "name": name,
            "displayName": field(batch, "displayName", "display_name"),
            "createTime": visit.wall.to_string(),
            "state": "BATCH_STATE_SUCCEEDED",
            "output": { "responsesFile": format!("files/{file}") },
        },
        "done": true,
        "response": {
            "@type": format!("type.googleapis.com/google.ai.generativelanguage.v1main.{of}BatchOutput"),
            "responsesFile": format!("files/{file}"),
        },
    });
    state.things.put(name, admitted.project, shown.clone());
    Ok(Reply::json(&shown))
}

/// `:predictLongRunning`: an operation, done, with a video.
pub(super) fn predict(state: &mut State, visit: &Visit<'_>, admitted: &Admitted) -> Reply {
    let name = format!("models/{}/operations/{}", visit.model, state.id());
    let file = put_file(state, visit, admitted, "video/mp4");
    let uri = format!("https://generativelanguage.googleapis.com/{}/files/{file}:download?alt=media", admitted.version);
    let shown = json!({
        "name": name,
        "done": true,
        "response": {
            "@type": "type.googleapis.com/google.ai.generativelanguage.v1beta.PredictLongRunningResponse",
            "generateVideoResponse": { "generatedSamples": [{ "video": { "uri": uri } }] },
        },
    });
    state.things.put(name.clone(), admitted.project, shown);
    Reply::json(&json!({ "name": name }))
}

fn put_file(state: &mut State, visit: &Visit<'_>, admitted: &Admitted, kind: &str) -> String {
    let id = state.id();
    state.files.put(File {
        id: id.clone(),
        project: admitted.project,
        version: admitted.version.clone(),
        description: Description { mime_type: kind.to_owned(), ..Description::default() },
        size: 1,
        hash: Sha256::default(),
        created: visit.wall,
        active: visit.wall,
    });
    id
}

/// `interactions`: one more turn. What came before must be the project's.
pub(super) fn interact(state: &mut State, visit: &Visit<'_>, admitted: &Admitted) -> Admission<Reply> {
    let request = &admitted.request;
    if let Some(before) = field(request, "previousInteractionId", "previous_interaction_id").and_then(Value::as_str) {
        state.things.get(admitted.project, &format!("interactions/{before}"), Collection::Interaction)?;
    }
    if request.get("input").is_none() {
        return Err(ApiError::invalid_argument("malformed", "input is not specified"));
    }
    let id = state.id();
    let shown = json!({
        "id": id, "object": "interaction", "status": "completed", "model": request.get("model"),
        "created": visit.wall.to_string(), "updated": visit.wall.to_string(), "role": "model",
        "steps": [{ "type": "model_output", "content": [{ "type": "text", "text": WORDS }] }],
        "usage": { "total_input_tokens": 1, "total_output_tokens": 1, "total_tokens": 2 },
    });
    state.things.put(format!("interactions/{id}"), admitted.project, shown.clone());
    Ok(told(&shown, request["stream"] == true))
}

/// What an interaction answers.
const WORDS: &str = "files/not-a-name, but words";

/// An interaction at once, or in events.
fn told(shown: &Value, streamed: bool) -> Reply {
    if !streamed {
        return Reply::json(shown);
    }
    let mut begun = shown.clone();
    begun["status"] = "in_progress".into();
    for later in ["steps", "usage"] {
        begun[later] = Value::Null;
    }
    let events = [
        json!({ "event_type": "interaction.created", "interaction": begun }),
        json!({ "event_type": "step.start", "index": 0, "step": { "type": "model_output" } }),
        json!({ "event_type": "step.delta", "index": 0, "delta": { "type": "text", "text": WORDS } }),
        json!({ "event_type": "step.stop", "index": 0 }),
        json!({ "event_type": "interaction.completed", "interaction": shown }),
    ];
    let event =
        |event: &Value| format!("event: {}\ndata: {event}\n\n", event["event_type"].as_str().unwrap_or_default());
    let mut chunks: Vec<Bytes> = events.iter().map(|told| event(told).into()).collect();
    chunks.push("event: done\ndata: [DONE]\n\n".into());
    Reply::stream(Form::Events, chunks)
}

/// `auth_tokens`: what opens a socket in the place of a key, one of an
/// interaction's or any.
pub(super) fn token(state: &mut State, admitted: &Admitted, interaction: Option<&str>) -> Admission<Reply> {
    let name = format!("auth_tokens/{}{}", state.id(), state.id());
    let shown = match interaction {
        Some(id) => {
            state.things.get(admitted.project, &format!("interactions/{id}"), Collection::Interaction)?;
            json!({ "auth_token": name })
        }
        None => json!({ "name": name }),
    };
    state.things.put(name, admitted.project, shown.clone());
    Ok(Reply::json(&shown))
}

pub(super) fn get(
    state: &State,
    visit: &Visit<'_>,
    project: usize,
    (family, name): (Collection, &str),
) -> Admission<Reply> {
    let shown = &state.things.get(project, name, family)?.shown;
    Ok(told(shown, family == Collection::Interaction && visit.query.get("stream") == Some("true")))
}

pub(super) fn delete(state: &mut State, project: usize, family: Collection, name: &str) -> Admission<Reply> {
    state.things.delete(project, name, family)?;
    Ok(Reply::json(&json!({})))
}

pub(super) fn list(state: &State, visit: &Visit<'_>, project: usize, family: Collection) -> Admission<Reply> {
    let (things, next) = page(state.things.of(project, family), &visit.query, (50, 1_000))?;
    // Batches are shown as the operations that they are.
    let field = if family == Collection::Batch { "operations" } else { family.word() };
    Ok(Reply::json(&listed(field, things, next)))
}
