//! The Live API: a socket over which both sides send messages in JSON.

mod frame;
mod interaction;

use std::sync::Arc;

use base64::Engine as _;
use http::header::{
    AUTHORIZATION, CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::answer::Reply;
use crate::auth::Credentials;
use crate::body::SimBody;
use crate::engine::Engine;
use crate::query::Query;
use crate::refusal::{ApiError, Wrapping};
use crate::report::Booking;
use frame::Message;

/// Where sockets are opened.
const PATH: &str = "/ws/google.ai.generativelanguage.";
/// Where those of interactions are, behind the version.
const INTERACTIONS: &str = "/interactions/live";

/// Who opened a socket.
struct Caller {
    secret: String,
    version: String,
    /// It is for interactions, of this project.
    interacts: Option<usize>,
}

/// Whether a request asks for a socket.
pub(crate) fn asks<B>(request: &Request<B>) -> bool {
    let path = request.uri().path();
    (path.starts_with("/ws/") || path.ends_with(INTERACTIONS))
        && request.headers().get(UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Answers a request for a socket, and serves it.
pub(crate) fn open(engine: &Arc<Engine>, mut request: Request<Incoming>) -> Response<SimBody> {
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, _) = request.into_parts();
    let admitted = engine.admit_socket(&parts);
    let caller = match admitted {
        Ok(caller) => caller,
        Err(error) => {
            let reply = Reply::error(&error, Wrapping::Bare);
            let mut response = Response::new(SimBody::whole(reply.chunks.into_iter().next()));
            *response.status_mut() = reply.status;
            return response;
        }
    };
    let key = parts.headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    let accept = accept(key);
    let engine = Arc::clone(engine);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let socket = TokioIo::new(upgraded);
        let _ = match caller.interacts {
            Some(project) => interaction::converse(socket, &engine, project).await,
            None => converse(socket, &engine, &caller).await,
        };
    });
    let mut response = Response::new(SimBody::whole(None));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::try_from(accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}

/// The proof that the key of a handshake was read.
fn accept(key: &[u8]) -> String {
    let mut hash = sha1_smol::Sha1::from(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64::engine::general_purpose::STANDARD.encode(hash.digest().bytes())
}

impl Engine {
    /// One credential, a key or a token for sockets; the path of its kind; a
    /// whole handshake.
    fn admit_socket(&self, parts: &Parts) -> Result<Caller, ApiError> {
        let mut state = self.lock();
        let visit = self.visit(parts, &[]);
        let outcome = self.look_at_socket(&state, parts, visit.key);
        let (status, kind) = match &outcome {
            Ok(_) => (101, "ok"),
            Err(error) => (error.status().as_u16(), error.kind),
        };
        state.book(&visit, status, Booking { kind, accepted: outcome.is_ok(), tokens: 0, cost: 1 });
        outcome
    }

    fn look_at_socket(
        &self,
        state: &crate::engine::State,
        parts: &Parts,
        key: Option<usize>,
    ) -> Result<Caller, ApiError> {
        let rest = parts.uri.path().strip_prefix(PATH).and_then(|rest| rest.split_once('.'));
        let (version, method) = rest.unzip();
        let version = version.unwrap_or_default().to_owned();
        let constrained = method == Some("GenerativeService.BidiGenerateContentConstrained");
        let interacts = parts.uri.path().ends_with(INTERACTIONS);
        if !constrained && !interacts && method != Some("GenerativeService.BidiGenerateContent") {
            return Err(ApiError::new(404, "no_such_socket", "NOT_FOUND", "Requested entity was not found."));
        }
        let handshake = parts.method == Method::GET
            && parts.headers.contains_key(SEC_WEBSOCKET_KEY)
            && parts.headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
        if !handshake {
            return Err(ApiError::invalid_argument("malformed", "Invalid WebSocket handshake."));
        }
        let query = Query::parse(parts.uri.query());
        let token = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Token "));
        let token = token.or_else(|| query.get("access_token")).map(str::to_owned);
        let key_header = parts.headers.get("x-goog-api-key").and_then(|value| value.to_str().ok());
        if let Some(project) = key_header.filter(|_| interacts).and_then(|token| state.things.owner(token)) {
            return Ok(Caller { secret: key_header.unwrap_or_default().to_owned(), version, interacts: Some(project) });
        }
        let unauthenticated = || {
            let what = "Request had invalid authentication credentials.";
            Err(ApiError::new(401, "bad_credentials", "UNAUTHENTICATED", what))
        };
        let keys = parts.headers.get_all("x-goog-api-key").iter().count() + query.all("key").count();
        match (token, keys) {
            (Some(_), 1..) | (None, 2..) => Err(ApiError::invalid_argument(
                "multiple_credentials",
                "Multiple authentication credentials received. Please pass only one.",
            )),
            (Some(token), 0) if constrained && state.things.owner(&token).is_some() => {
                Ok(Caller { secret: token, version, interacts: None })
            }
            (_, 0) => unauthenticated(),
            (None, _) => match (key, Credentials::read(&parts.headers, &query)) {
                (Some(key), credentials) if state.refused[key].is_none() => {
                    let project = self.world.keys[key].project;
                    let secret = credentials.secret().to_owned();
                    Ok(Caller { secret, version, interacts: interacts.then_some(project) })
                }
                (Some(key), _) => {
                    let refusal = state.refused[key].clone().unwrap_or(crate::Refusal::ApiKeyInvalid);
                    Err(self.refuse(&self.visit(parts, &[]), &refusal))
                }
                (None, _) => Err(self.refuse(&self.visit(parts, &[]), &crate::Refusal::ApiKeyInvalid)),
            },
        }
    }
}

/// As much of what is said of an unknown model as a closing frame has room for.
fn missing(model: &str, version: &str) -> String {
    let told = format!(
        "models/{model} is not found for API version {version}, or is not supported for bidiGenerateContent. Call \
         ListModels to see the list of available models and their supported methods."
    );
    told.chars().take(123).collect()
}

/// How the project of a secret calls its sessions.
fn handle_of(secret: &str) -> String {
    format!("handle-{}", &sha1_smol::Sha1::from(secret).digest().to_string()[..12])
}

/// A session: `setup` first, then turns, each with an answer. One that says
/// `echo-key` is answered with the key that came with it, one that says
/// `repeat-turn` with itself, and after one that says `exceed-quota` the quota is. A session that may be resumed is given a
/// handle, by which the same key alone finds it. Any model that there is serves.
async fn converse(
    socket: impl tokio::io::AsyncRead + tokio::io::AsyncWrite,
    engine: &Engine,
    caller: &Caller,
) -> std::io::Result<()> {
    let (mut from, mut to) = tokio::io::split(socket);
    let (mut ready, mut begun) = (false, Vec::new());
    while let Some(said) = heard(&mut from, &mut to, &mut begun).await? {
        if let Some(model) = said.get("setup").and_then(|setup| setup["model"].as_str()).filter(|_| !ready) {
            ready = true;
            let model = model.strip_prefix("models/").unwrap_or(model);
            if !engine.world.knows(model) {
                return close(&mut to, 1008, &missing(model, &caller.version)).await;
            }
            let (resumption, own) = (&said["setup"]["sessionResumption"], handle_of(&caller.secret));
            if resumption["handle"].as_str().is_some_and(|handle| handle != own) {
                return close(&mut to, 1008, "BidiGenerateContent session not found").await;
            }
            to.write_all(&frame::write(1, br#"{"setupComplete":{}}"#)).await?;
            if resumption.is_object() {
                let update = json!({ "sessionResumptionUpdate": { "newHandle": own, "resumable": true } });
                to.write_all(&frame::write(1, update.to_string().as_bytes())).await?;
            }
            continue;
        }
        if !ready {
            return close(&mut to, 1007, "setup must be the first message").await;
        }
        let heard = said.to_string();
        if heard.contains("exceed-quota") {
            let reason = "You exceeded your current quota, please check your plan and billing details.";
            return close(&mut to, 1011, reason).await;
        }
        let text = if heard.contains("echo-key") {
            format!("the key is {}", caller.secret)
        } else if heard.contains("repeat-turn") {
            format!("you said {heard}")
        } else {
            "Hello.".to_owned()
        };
        let turn = json!({ "serverContent": { "modelTurn": { "role": "model", "parts": [{ "text": text }] } } });
        let cost = json!({ "promptTokenCount": 9, "responseTokenCount": 3, "totalTokenCount": 12 });
        let end = json!({ "serverContent": { "turnComplete": true }, "usageMetadata": cost });
        for message in [turn, end] {
            to.write_all(&frame::write(1, message.to_string().as_bytes())).await?;
        }
    }
    Ok(())
}

/// The next message of a session, as JSON; pings are answered. `None`: the client closed it.
async fn heard(
    from: &mut (impl tokio::io::AsyncRead + Unpin),
    to: &mut (impl tokio::io::AsyncWrite + Unpin),
    begun: &mut Vec<u8>,
) -> std::io::Result<Option<Value>> {
    loop {
        match frame::read(from, begun).await? {
            Message::Data(said) => return Ok(Some(serde_json::from_slice(&said).unwrap_or_default())),
            Message::Ping(data) => to.write_all(&frame::write(0xa, &data)).await?,
            Message::Pong => {}
            Message::Close(reason) => {
                to.write_all(&frame::write(0x8, &reason)).await?;
                to.shutdown().await?;
                return Ok(None);
            }
        }
    }
}

async fn close(to: &mut (impl tokio::io::AsyncWrite + Unpin), code: u16, reason: &str) -> std::io::Result<()> {
    to.write_all(&frame::write(0x8, &[&code.to_be_bytes()[..], reason.as_bytes()].concat())).await?;
    to.shutdown().await
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_standards_own_example() {
        assert_eq!(super::accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
