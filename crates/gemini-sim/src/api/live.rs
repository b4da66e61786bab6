//! The Live API: a WebSocket with JSON messages in both directions.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::call::{Call, authenticate};
use crate::answer::Reply;
use crate::refusal::ApiError;
use crate::simulator::Simulator;

/// Maximum length of a reason in a close frame, in bytes.
const MAX_REASON: usize = 123;

/// Opens a session at `/ws/google.ai.generativelanguage.{version}.GenerativeService.BidiGenerateContent` with a key.
pub(super) async fn open(
    State(simulator): State<Arc<Simulator>>,
    Path(service): Path<String>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    request: Request,
) -> Response {
    let call = Call::new(&simulator, None, HashMap::new(), request.into_parts().0);
    let (arrival, mut state) = (call.arrival(), simulator.lock());
    let arrival = crate::Arrival { method: "bidiGenerateContent", cost: 1, ..arrival };
    let service = service.strip_prefix("google.ai.generativelanguage.");
    let version = service.and_then(|service| service.strip_suffix(".GenerativeService.BidiGenerateContent"));
    let opened = match (version, upgrade) {
        (None, _) => Err(ApiError::new(404, "unknown_socket", "NOT_FOUND", "Requested entity was not found.")),
        (_, Err(_)) => Err(ApiError::malformed("Invalid WebSocket handshake.")),
        (Some(version), Ok(upgrade)) => authenticate(&simulator, &state, &call).map(|_| (version.to_owned(), upgrade)),
    };
    match opened {
        Ok((version, upgrade)) => {
            state.record(crate::Arrival { status: 101, accepted: true, ..arrival });
            drop(state);
            let secret = call.credentials.secret().to_owned();
            upgrade.on_upgrade(async move |socket| {
                // The client may disconnect at any time.
                let _ = converse(socket, &simulator, &version, &secret).await;
            })
        }
        Err(error) => {
            let reply = Reply::error(&error, false);
            state.record(crate::Arrival { status: reply.status.as_u16(), kind: reply.kind, ..arrival });
            let mut response = Response::new(Body::from(error.to_body(false)));
            *response.status_mut() = reply.status;
            response
        }
    }
}

/// Runs a session: `setup` first, then turns, each with an answer. A turn that contains `echo-key` is answered with the
/// key that opened the socket; one that contains `exceed-quota` ends the session. A resumable session gets a handle,
/// which is valid only for the same key.
async fn converse(
    mut socket: WebSocket,
    simulator: &Simulator,
    version: &str,
    secret: &str,
) -> Result<(), axum::Error> {
    let mut is_set_up = false;
    while let Some(message) = receive(&mut socket).await? {
        if !is_set_up {
            let Some(model) = message["setup"]["model"].as_str() else {
                return close(socket, 1007, "setup must be the first message").await;
            };
            let model = model.strip_prefix("models/").unwrap_or(model);
            if !simulator.catalogue.knows(model) {
                let reason = format!(
                    "models/{model} is not found for API version {version}, or is not supported for \
                     bidiGenerateContent. Call ListModels to see the list of available models."
                );
                return close(socket, 1008, &reason).await;
            }
            let (resumption, handle) = (&message["setup"]["sessionResumption"], handle_of(secret));
            if resumption["handle"].as_str().is_some_and(|given| given != handle) {
                return close(socket, 1008, "BidiGenerateContent session not found").await;
            }
            send(&mut socket, &json!({ "setupComplete": {} })).await?;
            if resumption.is_object() {
                let update = json!({ "sessionResumptionUpdate": { "newHandle": handle, "resumable": true } });
                send(&mut socket, &update).await?;
            }
            is_set_up = true;
            continue;
        }
        let turn = message.to_string();
        if turn.contains("exceed-quota") {
            let reason = "You exceeded your current quota, please check your plan and billing details.";
            return close(socket, 1011, reason).await;
        }
        let text = if turn.contains("echo-key") { format!("the key is {secret}") } else { "Hello.".to_owned() };
        let answer = json!({ "serverContent": { "modelTurn": { "role": "model", "parts": [{ "text": text }] } } });
        send(&mut socket, &answer).await?;
        let usage = json!({ "promptTokenCount": 9, "responseTokenCount": 3, "totalTokenCount": 12 });
        send(&mut socket, &json!({ "serverContent": { "turnComplete": true }, "usageMetadata": usage })).await?;
    }
    Ok(())
}

/// Returns the handle of the sessions of a key.
fn handle_of(secret: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(secret).into();
    format!("handle-{}", URL_SAFE_NO_PAD.encode(&digest[..9]))
}

/// Returns the next message as JSON, or `Null` if it is not JSON. Returns `None` if the client has closed the socket.
async fn receive(socket: &mut WebSocket) -> Result<Option<Value>, axum::Error> {
    while let Some(message) = socket.recv().await.transpose()? {
        match message {
            Message::Text(text) => return Ok(Some(serde_json::from_str(&text).unwrap_or_default())),
            Message::Binary(bytes) => return Ok(Some(serde_json::from_slice(&bytes).unwrap_or_default())),
            // axum handles ping and close frames.
            _ => {}
        }
    }
    Ok(None)
}

async fn send(socket: &mut WebSocket, message: &Value) -> Result<(), axum::Error> {
    socket.send(Message::Text(message.to_string().into())).await
}

async fn close(mut socket: WebSocket, code: u16, reason: &str) -> Result<(), axum::Error> {
    let reason: String = reason.chars().take(MAX_REASON).collect();
    socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await
}
