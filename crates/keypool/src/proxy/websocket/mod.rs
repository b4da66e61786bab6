//! Gemini's Live API: a WebSocket between the client and the provider.
//!
//! The gateway answers the client's handshake itself. The client's first message names the model; then a key is chosen,
//! which the session keeps until its end. If the provider refuses that message, another key may be tried.

mod end;
mod pipe;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{body::Body, response::Response};
use futures_util::SinkExt;
use http::{HeaderValue, Request, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Collected, Limited};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::{client::generate_key, derive_accept_key, server::create_response},
        protocol::{Role, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tower_keypool::{Affinity, ErrorClass, Failure, KeyId, KeyRequest, Lease, classify::Retry};

use self::end::{End, Side, close, close_socket, failure, next_message};
use super::{
    handler, headers,
    pools::ProviderPool,
    resources,
    route::{PathTarget, Route},
    uploads,
};
use crate::{
    app::AppState,
    dialect::Dialect,
    error::ApiError,
    middleware::access_log::Progress,
    request_result::RequestResult,
    tenants::{Quota, Tenant},
};

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Maximum size of a message. A longer message ends the session.
const MAX_MESSAGE: usize = 16 << 20;
/// Timeout for the provider's response to the first message.
const SETUP_TIMEOUT: Duration = Duration::from_secs(30);
/// Timeout for a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum number of keys that are tried.
const MAX_ATTEMPTS: usize = 8;
/// The version of the WebSocket protocol.
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// Accepts the handshake of a session and runs the session in the background.
///
/// # Errors
/// If the connection cannot become a WebSocket.
pub fn serve(app: &AppState, route: &Route, tenant: &Arc<Tenant>, head: Parts) -> Result<Response, ApiError> {
    let mut request = Request::from_parts(head, ());
    let answer = match create_response(&request) {
        Ok(answer) => answer,
        Err(error) => {
            let message = format!("this address expects a WebSocket handshake over HTTP/1.1: {error}");
            let mut refused = ApiError::new(StatusCode::UPGRADE_REQUIRED, message).in_dialect(route.dialect);
            refused.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, VERSION);
            return Ok(refused);
        }
    };
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let upgrade = upgrade.ok_or_else(|| ApiError::bad_request("this connection cannot become a WebSocket"))?;
    let (mut head, ()) = request.into_parts();
    handler::set_path(&mut head, &route.path)?;
    let session = LiveSession {
        app: Arc::clone(app),
        target: route.target.clone(),
        tenant: Arc::clone(tenant),
        head,
        active: Mutex::new(Instant::now()),
    };
    app.live.spawn(async move {
        match upgrade.await {
            Ok(upgraded) => session.run(socket(upgraded, Role::Server).await).await,
            Err(error) => tracing::debug!(%error, "a client left before its session began"),
        }
    });
    Ok(answer.map(|()| Body::empty()))
}

async fn socket(upgraded: Upgraded, role: Role) -> Socket {
    let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE)).max_frame_size(Some(MAX_MESSAGE));
    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), role, Some(config)).await
}

struct LiveSession {
    app: AppState,
    target: PathTarget,
    tenant: Arc<Tenant>,
    head: Parts,
    /// Time of the last message in either direction.
    active: Mutex<Instant>,
}

/// A connection to the provider.
struct Connected {
    socket: Socket,
    provider: Arc<ProviderPool>,
    lease: Arc<Lease>,
    /// The provider's response to the first message.
    first: Message,
}

/// Why a session could not be opened with a key.
enum Refused {
    /// Another key may work. The text is the reason.
    ByKey(String),
    ByAll(End, RequestResult),
}

impl LiveSession {
    async fn run(&self, mut client: Socket) {
        let begun = Instant::now();
        let opened = tokio::select! {
            opened = self.open(&mut client) => opened,
            end = self.must_end() => Err(end),
        };
        let end = match opened {
            Err(end) => end,
            Ok((connected, early, quota)) => self.pipe(&mut client, connected, early, quota).await,
        };
        let code = end.to_client.as_ref().map_or(1005, |frame| u16::from(frame.code));
        let reason = end.to_client.as_ref().map(|frame| frame.reason.as_str().to_owned());
        let (request, tenant) = (self.request(), self.tenant.name.as_deref());
        let ms = begun.elapsed().as_millis() as u64;
        tracing::info!(request, tenant, code, reason, ms, "live session ended");
        close_socket(&mut client, end.to_client).await;
    }

    /// Returns the `x-request-id` of the handshake, for the log.
    fn request(&self) -> Option<&str> {
        self.head.extensions.get::<Progress>().map(Progress::id)
    }

    /// Waits until the tenant is revoked or the gateway shuts down.
    async fn must_end(&self) -> End {
        tokio::select! {
            () = self.tenant.revoked.cancelled() => End::ours(CloseCode::Policy, "this token was revoked"),
            () = self.app.shutdown.cancelled() => End::ours(CloseCode::Away, "the gateway is shutting down"),
        }
    }

    /// Waits for the client's first message, and connects to the provider of its model.
    async fn open(&self, client: &mut Socket) -> Result<(Connected, Vec<Message>, Quota), End> {
        let setup = timeout(self.app.settings().body_timeout.0, first_message(client, Side::Client)).await;
        let late = |_| End::ours(CloseCode::Policy, "the first message did not arrive in time");
        let setup = setup.map_err(late)??;
        let mut early = Vec::new();
        let (connected, quota) = tokio::select! {
            connected = self.connect(setup) => connected?,
            end = left(client, &mut early) => return Err(end),
        };
        Ok((connected, early, quota))
    }

    /// Reads the first message, and tries keys until the provider accepts it.
    async fn connect(&self, setup: Message) -> Result<(Connected, Quota), End> {
        let app = &self.app;
        let text = setup.into_data();
        let mut content: Value = serde_json::from_slice(&text).unwrap_or_default();
        let Some(named) = content.pointer("/setup/model").and_then(Value::as_str).map(str::to_owned) else {
            return Err(End::ours(CloseCode::Invalid, "setup must be the first message, and name a model"));
        };
        let named = named.trim_start_matches("models/");
        let model = app.pools.resolved(named);
        if !self.tenant.may_use(named) && !self.tenant.may_use(model) {
            let message = format!("this token may not use the model {named}");
            return Err(ApiError::new(StatusCode::FORBIDDEN, message).into());
        }
        let provider = app.pools.choose(&self.target, Dialect::Gemini, Some(model))?;
        if provider.dialect != Dialect::Gemini {
            return Err(ApiError::not_found(format!("{named} is served by a provider without a Live API")).into());
        }
        let mut project = resources::pinned_by_body(app, provider, &self.tenant, &text).await?;
        if let Some(handle) = content.pointer("/setup/sessionResumption/handle").and_then(Value::as_str) {
            let session = app.resources.find(&session_name(handle)).await?;
            let session = session.filter(|session| session.tenant.as_deref() == self.tenant.name.as_deref());
            let unknown = || ApiError::not_found("BidiGenerateContent session not found");
            project = Some(session.ok_or_else(unknown)?.project.as_str().into());
        }
        if model != named {
            content["setup"]["model"] = format!("models/{model}").into();
        }
        // The message as it was checked: the original might have a field twice.
        let setup = content.to_string();
        let mut quota = app.tenants.admit(&self.tenant, Some(text.len() as u64 / 4), &self.head.extensions).await?;
        let mut needs = KeyRequest::model(model).input_tokens(text.len() as u64 / 4);
        if let Some(project) = project {
            needs = needs.affinity(Affinity::RequireProject(project));
        }
        let mut tried = Vec::new();
        let (mut last, mut end, mut result) = (None, None, RequestResult::Unavailable);
        while tried.len() < MAX_ATTEMPTS {
            let needs = needs.clone().exclude(tried.iter().cloned());
            match self.attempt(provider, needs, &setup, &mut tried).await {
                Ok(connected) => return Ok((connected, quota)),
                Err(Refused::ByKey(why)) => last = Some(why),
                Err(Refused::ByAll(why, of)) => {
                    (end, result) = (last.is_none().then_some(why), of);
                    break;
                }
            }
        }
        quota.end_unserved(result);
        let why = last.unwrap_or_default();
        Err(end.unwrap_or_else(|| End::ours(CloseCode::Error, &format!("no key could open the session: {why}"))))
    }

    /// Opens a connection with one key and sends the first message.
    async fn attempt(
        &self,
        provider: &Arc<ProviderPool>,
        needs: KeyRequest,
        setup: &str,
        tried: &mut Vec<KeyId>,
    ) -> Result<Connected, Refused> {
        let key = generate_key();
        let mut answer = provider.send(self.handshake(&key, needs)).await.map_err(|error| {
            let attempts = error.attempts().clone();
            let error = ApiError::from(&error);
            let result = RequestResult::of(error.status, &attempts);
            Refused::ByAll(error.into(), result)
        })?;
        let accepted = answer
            .headers()
            .get(header::SEC_WEBSOCKET_ACCEPT)
            .is_some_and(|value| *value == *derive_accept_key(key.as_bytes()));
        let lease = answer.extensions_mut().remove::<Arc<Lease>>();
        let (Some(lease), true) = (lease, answer.status() == StatusCode::SWITCHING_PROTOCOLS && accepted) else {
            let attempts = answer.extensions_mut().remove().unwrap_or_default();
            let result = RequestResult::of(answer.status(), &attempts);
            return Err(Refused::ByAll(refusal(answer).await.into(), result));
        };
        tried.push(lease.key().clone());
        let opened = timeout(SETUP_TIMEOUT, async {
            let broken = |error: &dyn std::error::Error| End::ours(CloseCode::Error, &error.to_string());
            let upgraded = hyper::upgrade::on(answer).await.map_err(|error| broken(&error))?;
            let mut socket = socket(upgraded, Role::Client).await;
            socket.send(Message::text(setup)).await.map_err(|error| broken(&error))?;
            Ok::<_, End>((first_message(&mut socket, Side::Provider).await?, socket))
        });
        let end = match opened.await {
            Ok(Ok((first, socket))) => {
                let (request, project, model) = (self.request(), lease.project(), lease.model());
                tracing::info!(request, key = %lease.key(), project, model, "live session opened");
                return Ok(Connected { socket, provider: Arc::clone(provider), lease, first });
            }
            Ok(Err(end)) => end,
            // Another key would hardly be answered sooner.
            Err(_) => {
                lease.report(&Failure::new(ErrorClass::Transient).into());
                let end = End::ours(CloseCode::Error, "the provider did not answer the first message in time");
                return Err(Refused::ByAll(end, RequestResult::Failed));
            }
        };
        Err(self.refused(provider, &lease, end))
    }

    /// Classifies and reports the provider's refusal of the first message.
    fn refused(&self, provider: &ProviderPool, lease: &Lease, end: End) -> Refused {
        let frame = end.to_client.unwrap_or_else(|| close(CloseCode::Error, "the provider closed the session"));
        let failure = failure(provider, &frame);
        let (class, retry) = (failure.class().as_str(), failure.retry());
        let reason = lease.secret().redact(&frame.reason).into_owned();
        tracing::info!(request = self.request(), key = %lease.key(), class, reason, "attempt failed");
        lease.report(&failure.into());
        match retry {
            Retry::OtherKey => Refused::ByKey(class.to_owned()),
            Retry::Backoff => Refused::ByKey(format!("{class}: {reason}")),
            _ => Refused::ByAll(End::closed(Some(frame)).redacted(lease), RequestResult::Caller),
        }
    }

    fn handshake(&self, key: &str, needs: KeyRequest) -> Request<Body> {
        let mut head = self.head.clone();
        let offered: Vec<_> = head.headers.keys().filter(|name| name.as_str().starts_with("sec-")).cloned().collect();
        for name in offered {
            head.headers.remove(name);
        }
        headers::for_upstream(&mut head.headers);
        let mut request = Request::from_parts(head, Body::empty());
        let headers = request.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, VERSION);
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::try_from(key).expect("base64"));
        request.extensions_mut().insert(needs);
        request
    }
}

fn session_name(handle: &str) -> String {
    uploads::hashed("sessions", handle)
}

/// Returns the next message with content.
async fn first_message(socket: &mut Socket, whose: Side) -> Result<Message, End> {
    loop {
        if let message @ (Message::Text(_) | Message::Binary(_)) = next_message(socket, whose).await? {
            return Ok(message);
        }
    }
}

/// Waits until the client disconnects, and collects its messages meanwhile, up to the maximum size of a message.
async fn left(client: &mut Socket, early: &mut Vec<Message>) -> End {
    let mut kept = 0;
    while kept < MAX_MESSAGE {
        match first_message(client, Side::Client).await {
            Ok(message) => {
                kept += message.len();
                early.push(message);
            }
            Err(end) => return end,
        }
    }
    std::future::pending().await
}

/// Converts the provider's refusal of a handshake to an error.
async fn refusal(answer: Response<super::pools::AnswerBody>) -> ApiError {
    let status = answer.status();
    // The body may be endless.
    let text = timeout(CLOSE_TIMEOUT, BodyExt::collect(Limited::new(answer.into_body(), 64 << 10))).await;
    let text = text.ok().and_then(Result::ok).map(Collected::to_bytes).unwrap_or_default();
    let content: Value = serde_json::from_slice(&text).unwrap_or_default();
    // Only errors are redacted.
    let message = content.pointer("/error/message").and_then(Value::as_str).filter(|_| !status.is_success());
    let message = message.map_or_else(|| format!("the provider refused the session: {status}"), str::to_owned);
    ApiError::new(status, message)
}
