//! Gemini's Live API: a WebSocket between the client and the provider.
//!
//! The gateway answers the client's handshake itself. The client's first message names the model; then a key is chosen,
//! which the session keeps until its end. If the provider refuses that message, another key may be tried.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{body::Body, response::Response};
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use http::{HeaderValue, Request, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Collected, Limited};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use serde_json::{Value, json};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as SocketError, Message,
        handshake::{client::generate_key, derive_accept_key, server::create_response},
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tower_keypool::{Affinity, ErrorClass, Failure, KeyId, KeyRequest, Lease, Outcome, Usage, classify::Retry};

use super::{
    handler, headers,
    pools::ProviderPool,
    resources,
    route::{PathTarget, Route},
    uploads,
};
use crate::{
    app::AppState,
    error::{ApiError, Dialect},
    middleware::access_log::{Progress, RequestResult},
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
/// Maximum length of a close reason, in bytes (RFC 6455, section 5.5).
const MAX_REASON: usize = 123;
/// The version of the WebSocket protocol.
const VERSION: HeaderValue = HeaderValue::from_static("13");
/// How long a session can be resumed.
const RESUMABLE_MS: i64 = 24 * 3_600_000;

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
            let mut refused = ApiError::new(StatusCode::UPGRADE_REQUIRED, message).into_response(route.dialect);
            refused.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, VERSION);
            return Ok(refused);
        }
    };
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let upgrade = upgrade.ok_or_else(|| ApiError::bad_request("this connection cannot become a WebSocket"))?;
    let (mut head, ()) = request.into_parts();
    handler::set_path(&mut head, &route.path)?;
    let session = Session {
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

struct Session {
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

/// The result of an attempt to open a session with one key.
enum Attempt {
    Connected(Box<Connected>),
    /// The attempt failed, but another key may work. The text is the reason.
    Refused(String),
}

/// The end of a session: the close frames for both sides.
struct End {
    to_client: Option<CloseFrame>,
    to_provider: Option<CloseFrame>,
}

impl End {
    /// The gateway ends the session.
    fn ours(code: CloseCode, reason: &str) -> Self {
        let frame = close(code, reason);
        Self { to_client: Some(frame), to_provider: Some(close(CloseCode::Away, "")) }
    }

    fn of(error: &ApiError) -> Self {
        let code = if error.status.is_client_error() { CloseCode::Policy } else { CloseCode::Error };
        Self::ours(code, &error.message)
    }

    /// One side closed.
    fn closed(frame: Option<CloseFrame>) -> Self {
        // Some codes mean that there was no close frame, and must not be sent.
        let frame = frame.filter(|frame| frame.code.is_allowed());
        Self { to_client: frame.clone(), to_provider: frame }
    }

    /// One side's connection broke off.
    fn broken(whose: Side, error: &SocketError) -> Self {
        match (whose, error) {
            (Side::Provider, _) => {
                Self::ours(CloseCode::Error, &format!("the provider's connection broke off: {error}"))
            }
            (Side::Client, SocketError::Capacity(_)) => Self::ours(CloseCode::Size, "a message is longer than 16 MiB"),
            (Side::Client, SocketError::Protocol(_)) => Self::ours(CloseCode::Protocol, &error.to_string()),
            (Side::Client, _) => Self::ours(CloseCode::Invalid, &error.to_string()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Provider,
}

fn close(code: CloseCode, reason: &str) -> CloseFrame {
    let end = (0..=reason.len().min(MAX_REASON)).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
    CloseFrame { code, reason: reason[..end].to_owned().into() }
}

impl Session {
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
        let setup = timeout(self.app.settings.body_timeout, first_message(client, Side::Client)).await;
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
        let refused = |error: ApiError| End::of(&error);
        let app = &self.app;
        let text = setup.into_data();
        let mut content: Value = serde_json::from_slice(&text).unwrap_or_default();
        let Some(named) = content.pointer("/setup/model").and_then(Value::as_str).map(str::to_owned) else {
            return Err(End::ours(CloseCode::Invalid, "setup must be the first message, and name a model"));
        };
        let named = named.trim_start_matches("models/");
        let model = app.pools.resolved(named);
        if !self.tenant.may_use(named) && !self.tenant.may_use(model) {
            return Err(refused(ApiError::new(
                StatusCode::FORBIDDEN,
                format!("this token may not use the model {named}"),
            )));
        }
        let provider = app.pools.choose(&self.target, Dialect::Gemini, Some(model)).map_err(refused)?;
        if provider.dialect != Dialect::Gemini {
            return Err(refused(ApiError::not_found(format!("{named} is served by a provider without a Live API"))));
        }
        let mut project = resources::pinned_by_body(app, provider, &self.tenant, &text).await.map_err(refused)?;
        if let Some(handle) = content.pointer("/setup/sessionResumption/handle").and_then(Value::as_str) {
            let session = app.resources.find(&session_name(handle)).await.map_err(refused)?;
            let session = session.filter(|session| session.tenant.as_deref() == self.tenant.name.as_deref());
            let unknown = || ApiError::not_found("BidiGenerateContent session not found");
            project = Some(session.ok_or_else(unknown).map_err(refused)?.project.as_str().into());
        }
        if model != named {
            content["setup"]["model"] = format!("models/{model}").into();
        }
        // The message as it was checked: the original might have a field twice.
        let setup = content.to_string();
        let mut quota = app.tenants.admit(&self.tenant, Some(text.len() as u64 / 4)).await.map_err(refused)?;
        let mut needs = KeyRequest::model(model).input_tokens(text.len() as u64 / 4);
        if let Some(project) = project {
            needs = needs.affinity(Affinity::RequireProject(project));
        }
        let mut tried = Vec::new();
        let (mut last, mut end, mut result) = (None, None, RequestResult::Unavailable);
        while tried.len() < MAX_ATTEMPTS {
            let needs = needs.clone().exclude(tried.iter().cloned());
            match self.attempt(provider, needs, &setup, &mut tried).await {
                Ok(Attempt::Connected(connected)) => return Ok((*connected, quota)),
                Ok(Attempt::Refused(why)) => last = Some(why),
                Err((why, of)) => {
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
    ) -> Result<Attempt, (End, RequestResult)> {
        let key = generate_key();
        let request = self.handshake(&key, needs).map_err(|end| (end, RequestResult::Failed))?;
        let mut answer = match provider.send(request).await {
            Ok(answer) => answer,
            Err(error) => {
                let (error, attempts) = handler::failure(&error);
                return Err((End::of(&error), RequestResult::of(error.status, &attempts)));
            }
        };
        let accepted = answer
            .headers()
            .get(header::SEC_WEBSOCKET_ACCEPT)
            .is_some_and(|value| *value == *derive_accept_key(key.as_bytes()));
        let lease = answer.extensions_mut().remove::<Arc<Lease>>();
        let (Some(lease), true) = (lease, answer.status() == StatusCode::SWITCHING_PROTOCOLS && accepted) else {
            let attempts = answer.extensions_mut().remove().unwrap_or_default();
            let result = RequestResult::of(answer.status(), &attempts);
            return Err((End::of(&refusal(answer).await), result));
        };
        tried.push(lease.key().clone());
        let opened = timeout(SETUP_TIMEOUT, async {
            let upgraded = hyper::upgrade::on(answer).await.map_err(|error| error.to_string())?;
            let mut socket = socket(upgraded, Role::Client).await;
            socket.send(Message::text(setup)).await.map_err(|error| error.to_string())?;
            Ok::<_, String>((first_message(&mut socket, Side::Provider).await, socket))
        });
        let end = match opened.await {
            Ok(Ok((Ok(first), socket))) => {
                let provider = Arc::clone(provider);
                let (request, project, model) = (self.request(), lease.project(), lease.model());
                tracing::info!(request, key = %lease.key(), project, model, "live session opened");
                return Ok(Attempt::Connected(Box::new(Connected { socket, provider, lease, first })));
            }
            Ok(Ok((Err(end), _))) => end,
            Ok(Err(error)) => End::ours(CloseCode::Error, &error),
            // Another key would hardly be answered sooner.
            Err(_) => {
                lease.report(&Failure::new(ErrorClass::Transient).into());
                let end = End::ours(CloseCode::Error, "the provider did not answer the first message in time");
                return Err((end, RequestResult::Failed));
            }
        };
        let frame = end.to_client.unwrap_or_else(|| close(CloseCode::Error, "the provider closed the session"));
        let failure = failure(provider, &frame);
        let (class, retry) = (failure.class().as_str(), failure.retry());
        let reason = lease.secret().redact(&frame.reason).into_owned();
        tracing::info!(request = self.request(), key = %lease.key(), class, reason, "attempt failed");
        lease.report(&failure.into());
        match retry {
            Retry::OtherKey => return Ok(Attempt::Refused(class.to_owned())),
            Retry::Backoff => return Ok(Attempt::Refused(format!("{class}: {reason}"))),
            _ => {}
        }
        Err((redacted(End::closed(Some(frame)), &lease), RequestResult::Caller))
    }

    fn handshake(&self, key: &str, needs: KeyRequest) -> Result<Request<Body>, End> {
        let mut head = self.head.clone();
        let offered: Vec<_> = head.headers.keys().filter(|name| name.as_str().starts_with("sec-")).cloned().collect();
        for name in offered {
            head.headers.remove(name);
        }
        headers::for_upstream(&mut head.headers);
        let mut request = Request::from_parts(head, Body::empty());
        let headers = request.headers_mut();
        let invalid = |_| End::ours(CloseCode::Error, "the handshake is not valid");
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, VERSION);
        headers.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::try_from(key).map_err(invalid)?);
        request.extensions_mut().insert(needs);
        Ok(request)
    }

    /// Passes messages both ways until one side closes.
    async fn pipe(&self, client: &mut Socket, connected: Connected, early: Vec<Message>, quota: Quota) -> End {
        let Connected { mut socket, provider, lease, first } = connected;
        let mut meter = LiveMeter { session: self, provider: &provider, lease: &lease, quota, input: 0, output: 0 };
        // The halves are dropped before the sockets are closed.
        let end = {
            let (mut to_client, mut from_client) = (&mut *client).split();
            let (mut to_provider, mut from_provider) = (&mut socket).split();
            // Reading continues while the provider accepts nothing, up to the size of one message, so that the client's
            // close is noticed.
            let (queue, mut queued) = mpsc::unbounded_channel();
            let room = Arc::new(Semaphore::new(MAX_MESSAGE));
            let read = async {
                let mut early = early.into_iter();
                loop {
                    let message = match early.next() {
                        Some(message) => Some(Ok(message)),
                        None => from_client.next().await,
                    };
                    match message {
                        None => return End::closed(None),
                        Some(Err(error)) => return End::broken(Side::Client, &error),
                        Some(Ok(Message::Close(frame))) => return End::closed(frame),
                        // Each side's pings are answered here, so that pongs need not be passed on.
                        Some(Ok(Message::Pong(_))) => {}
                        Some(Ok(message)) => {
                            self.passed();
                            let length = message.len().clamp(1, MAX_MESSAGE) as u32;
                            let Ok(taken) = Arc::clone(&room).acquire_many_owned(length).await else { continue };
                            let _ = queue.send((message, taken));
                        }
                    }
                }
            };
            let write = async {
                while let Some((message, _taken)) = queued.recv().await {
                    if let Err(end) = self.send(&mut to_provider, message, Side::Provider).await {
                        return end;
                    }
                }
                std::future::pending().await
            };
            let down = async {
                let mut first = Some(first);
                loop {
                    let message = match first.take() {
                        Some(message) => Some(Ok(message)),
                        None => from_provider.next().await,
                    };
                    match message {
                        None => return End::ours(CloseCode::Error, "the provider's connection broke off"),
                        Some(Err(error)) => return End::broken(Side::Provider, &error),
                        Some(Ok(Message::Close(frame))) => return provider_closed(&provider, &lease, frame),
                        Some(Ok(Message::Pong(_))) => {}
                        Some(Ok(message)) => {
                            self.passed();
                            let message = match meter.read(message).await {
                                Ok(message) => message,
                                Err(error) => return End::of(&error),
                            };
                            if let Err(end) = self.send(&mut to_client, message, Side::Client).await {
                                return end;
                            }
                        }
                    }
                }
            };
            let (mut read, mut write) = (std::pin::pin!(read), std::pin::pin!(write));
            tokio::select! {
                end = &mut read => {
                    // Messages that the client sent before its close are still passed on.
                    let _ = timeout(CLOSE_TIMEOUT, async {
                        tokio::select! { _ = &mut write => {}, _ = room.acquire_many(MAX_MESSAGE as u32) => {} }
                    }).await;
                    end
                }
                end = &mut write => end,
                end = down => end,
                () = self.idle() => End::ours(CloseCode::Away, "the session was idle for too long"),
                end = self.must_end() => end,
            }
        };
        close_socket(&mut socket, end.to_provider.clone()).await;
        redacted(end, &lease)
    }

    async fn send(&self, to: &mut SplitSink<&mut Socket, Message>, message: Message, whose: Side) -> Result<(), End> {
        match timeout(self.app.settings.reader_timeout, to.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(End::broken(whose, &error)),
            Err(_) if whose == Side::Client => Err(End::ours(CloseCode::Policy, "the client does not read")),
            Err(_) => Err(End::ours(CloseCode::Error, "the provider does not read")),
        }
    }

    fn passed(&self) {
        *self.active.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Waits until no message has passed for the reader timeout.
    async fn idle(&self) {
        loop {
            let active = *self.active.lock().unwrap_or_else(PoisonError::into_inner);
            let until = active + self.app.settings.reader_timeout;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// Reads the provider's messages: usage, and handles for resumption.
struct LiveMeter<'a> {
    session: &'a Session,
    provider: &'a ProviderPool,
    lease: &'a Lease,
    quota: Quota,
    input: u64,
    output: u64,
}

impl LiveMeter<'_> {
    /// Counts usage, records the handle by which the session can be resumed, and redacts the key.
    async fn read(&mut self, message: Message) -> Result<Message, ApiError> {
        let data: &[u8] = match &message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(data) => data,
            // The gateway's own WebSocket replies to pings, whose data may contain the key.
            Message::Ping(_) => return Ok(Message::Ping(bytes::Bytes::new())),
            _ => return Ok(message),
        };
        let has = |field: &str| memmem::find(data, field.as_bytes()).is_some();
        if (has("\"usageMetadata\"") || has("\"newHandle\""))
            && let Ok(content) = serde_json::from_slice::<Value>(data)
        {
            self.count(&content["usageMetadata"]);
            if let Some(handle) = content.pointer("/sessionResumptionUpdate/newHandle").and_then(Value::as_str) {
                let expires = jiff::Timestamp::now().as_millisecond() + RESUMABLE_MS;
                let (app, tenant) = (&self.session.app, &self.session.tenant);
                app.resources.learn(&session_name(handle), self.lease.project(), tenant, Some(expires)).await?;
            }
        }
        let text = String::from_utf8_lossy(data);
        Ok(match self.lease.secret().redact(&text) {
            Cow::Borrowed(_) => message,
            Cow::Owned(redacted) if message.is_text() => Message::text(redacted),
            Cow::Owned(redacted) => Message::binary(redacted.into_bytes()),
        })
    }

    /// Adds the usage of one message, which is that of one turn.
    fn count(&mut self, usage: &Value) {
        // Small enough for sums.
        let count = |field: &str| usage[field].as_u64().unwrap_or(0).min(1 << 40);
        let input = count("promptTokenCount") + count("toolUsePromptTokenCount");
        let output = count("responseTokenCount") + count("candidatesTokenCount") + count("thoughtsTokenCount");
        self.input += input;
        self.output += output.max(count("totalTokenCount").saturating_sub(input));
        if self.input + self.output > 0 {
            let used = Usage::new(self.input, self.output);
            tracing::trace!(provider = %self.provider.name, input = self.input, output = self.output, "live usage");
            self.lease.report_usage(used);
            self.quota.report_usage(used);
        }
    }
}

fn session_name(handle: &str) -> String {
    uploads::hashed("sessions", handle)
}

/// Returns the next message with content.
async fn first_message(socket: &mut Socket, whose: Side) -> Result<Message, End> {
    loop {
        match socket.next().await {
            None => return Err(End::closed(None)),
            Some(Err(error)) => return Err(End::broken(whose, &error)),
            Some(Ok(Message::Close(frame))) => return Err(End::closed(frame)),
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => return Ok(message),
            Some(Ok(_)) => {}
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

/// Handles the provider's close of a session, and reports a reached limit to the key.
fn provider_closed(provider: &ProviderPool, lease: &Lease, frame: Option<CloseFrame>) -> End {
    if let Some(frame) =
        frame.as_ref().filter(|frame| frame.code == CloseCode::Error || frame.code == CloseCode::Policy)
    {
        let failure = failure(provider, frame);
        // Only a limit certainly concerns the key; any other reason may concern this session only.
        if matches!(failure.class(), ErrorClass::RateLimit | ErrorClass::DailyQuota) {
            lease.report(&Outcome::from(failure));
        }
    }
    End::closed(frame)
}

/// Classifies the provider's close like the corresponding error response of Google's other endpoints.
fn failure(provider: &ProviderPool, frame: &CloseFrame) -> Failure {
    let reason = frame.reason.as_str();
    let says = |words: &str| reason.to_ascii_lowercase().contains(words);
    let status = if says("quota") || says("rate limit") {
        StatusCode::TOO_MANY_REQUESTS
    } else if says("api key") || says("permission") {
        StatusCode::FORBIDDEN
    } else if says("not found") {
        StatusCode::NOT_FOUND
    } else if matches!(frame.code, CloseCode::Policy | CloseCode::Invalid | CloseCode::Protocol | CloseCode::Size) {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({ "error": { "code": status.as_u16(), "message": reason } }).to_string();
    let failure = provider.pool.classify(status, &http::HeaderMap::new(), body.as_bytes());
    failure.unwrap_or_else(|| Failure::new(ErrorClass::Transient))
}

/// Redacts the key in the close reason for the client.
fn redacted(mut end: End, lease: &Lease) -> End {
    if let Some(frame) = &mut end.to_client {
        let reason = lease.secret().redact(&frame.reason).into_owned();
        *frame = close(frame.code, &reason);
    }
    end
}

/// Sends a close, unless the other side did, and waits until the other side has closed.
async fn close_socket(socket: &mut Socket, frame: Option<CloseFrame>) {
    let closed = timeout(CLOSE_TIMEOUT, async {
        let _ = socket.close(frame).await;
        // If the other side closed first, this sends the reply to its close.
        let _ = socket.flush().await;
        while let Some(Ok(_)) = socket.next().await {}
    });
    let _ = closed.await;
}
