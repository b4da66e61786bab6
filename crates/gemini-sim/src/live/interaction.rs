//! The socket of an interaction: it is connected to by its id, and goes on by events.

use std::io;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::{close, frame, heard};
use crate::engine::Engine;
use crate::store::Collection;

/// A session: `interaction.connect` first, then what is said, each with an
/// answer, until it is complete, cancelled, or left.
pub(super) async fn converse(socket: impl AsyncRead + AsyncWrite, engine: &Engine, project: usize) -> io::Result<()> {
    let (mut from, mut to) = tokio::io::split(socket);
    let (mut connected, mut begun, mut turns) = (false, Vec::new(), 0);
    while let Some(said) = heard(&mut from, &mut to, &mut begun).await? {
        let events = said["events"].as_array().cloned().unwrap_or_else(|| vec![said]);
        for event in events {
            let told = match (event["event_type"].as_str().unwrap_or_default(), connected) {
                ("interaction.connect", _) => {
                    let name = format!("interactions/{}", event["id"].as_str().unwrap_or_default());
                    if engine.lock().things.get(project, &name, Collection::Interaction).is_err() {
                        return close(&mut to, 1008, "Requested entity was not found.").await;
                    }
                    connected = true;
                    vec![json!({ "event_type": "interaction.connected", "interaction_id": event["id"] })]
                }
                (_, false) => return close(&mut to, 1007, "interaction.connect must be the first event").await,
                ("input", true) => {
                    turns += 1;
                    turn(turns - 1)
                }
                ("interaction.complete", true) => {
                    let usage = json!({ "total_input_tokens": 9, "total_output_tokens": 3, "total_tokens": 12 });
                    vec![json!({ "event_type": "interaction.completed", "usage": usage })]
                }
                ("interaction.cancel", true) => vec![json!({ "event_type": "interaction.cancelled" })],
                ("interaction.disconnect", true) => return close(&mut to, 1000, "").await,
                _ => vec![json!({ "event_type": "error", "error": { "code": "invalid_request", "message": "?" } })],
            };
            for message in told {
                to.write_all(&frame::write(1, message.to_string().as_bytes())).await?;
            }
        }
    }
    Ok(())
}

/// The events of an answer.
fn turn(index: u64) -> Vec<Value> {
    vec![
        json!({ "event_type": "step.start", "index": index, "step": { "type": "model_output" } }),
        json!({ "event_type": "step.delta", "index": index, "delta": { "type": "text", "text": "Hello." } }),
        json!({ "event_type": "step.stop", "index": index }),
    ]
}
