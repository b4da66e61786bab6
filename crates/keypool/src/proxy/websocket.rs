//! Gemini's Live API: a WebSocket between the client and the provider.
//!
//! The client's handshake is answered by the gateway. Its first message names the model; then a key is chosen, which the session
//! holds to its end. Until the provider answered that message with a good one, another key may take its place.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{body::Body, response::Response};
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use http::{Request, StatusCode, header, request::Parts};
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
    tenants::Tenant,
};

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// A longer message ends a session.
const LONGEST: usize = 16 << 20;
/// How long the provider may take to answer the first message.
const SETUP: Duration = Duration::from_secs(30);
/// How long a close may take.
const CLOSING: Duration = Duration::from_secs(2);
/// So many keys are tried at most.
const ATTEMPTS: usize = 8;
/// The longest reason of a close, in bytes (RFC 6455, section 5.5).
const REASON: usize = 123;
/// For so long a session may be gone on with.
const RESUMABLE_MS: i64 = 24 * 3_600_000;

/// Opens a session.
///
/// # Errors
/// Where the request is no handshake.
pub fn serve(app: &AppState, route: &Route, tenant: &Arc<Tenant>, head: Parts) -> Result<Response, ApiError> {
    let mut request = Request::from_parts(head, ());
    let answer = create_response(&request).map_err(|error| {
        ApiError::new(
            StatusCode::UPGRADE_REQUIRED,
            format!("this is an address of WebSockets (over HTTP/1.1): {error}"),
        )
    })?;
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
    let config = WebSocketConfig::default().max_message_size(Some(LONGEST)).max_frame_size(Some(LONGEST));
    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), role, Some(config)).await
}

struct Session {
    app: AppState,
    target: PathTarget,
    tenant: Arc<Tenant>,
    head: Parts,
    /// When a message passed last.
    active: Mutex<Instant>,
}

/// A connection to the provider.
struct Connected {
    socket: Socket,
    provider: Arc<ProviderPool>,
    lease: Arc<Lease>,
    /// The provider's answer to the first message.
    first: Message,
}

/// What came of the attempt to open a session with one key.
enum Attempt {
    Connected(Box<Connected>),
    /// Another key may help. The text says why this one did not.
    Refused(String),
}

/// How a session ends: the close that each side is sent.
struct End {
    to_client: Option<CloseFrame>,
    to_provider: Option<CloseFrame>,
}

impl End {
    /// The gateway's own end.
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
        // Some codes say that there was none.
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
    let end = (0..=reason.len().min(REASON)).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
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
        let tenant = self.tenant.name.as_deref();
        tracing::info!(tenant, code, reason, ms = begun.elapsed().as_millis() as u64, "live session ended");
        close_socket(&mut client, end.to_client).await;
    }

    /// Waits until the tenant is revoked, or the gateway ends.
    async fn must_end(&self) -> End {
        tokio::select! {
            () = self.tenant.revoked.cancelled() => End::ours(CloseCode::Policy, "this token was revoked"),
            () = self.app.shutdown.cancelled() => End::ours(CloseCode::Away, "the gateway is about to end"),
        }
    }

    /// Waits for the client's first message, and connects to the provider that it needs.
    async fn open(&self, client: &mut Socket) -> Result<(Connected, Vec<Message>, Option<Lease>), End> {
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

    /// Reads the first message, and sends it with a key whose provider answers it well.
    async fn connect(&self, setup: Message) -> Result<(Connected, Option<Lease>), End> {
        let refused = |error: ApiError| End::of(&error);
        let app = &self.app;
        let text = setup.into_data();
        let mut content: Value = serde_json::from_slice(&text).unwrap_or_default();
        let Some(named) = content.pointer("/setup/model").and_then(Value::as_str).map(str::to_owned) else {
            return Err(End::ours(CloseCode::Invalid, "setup must be the first message, and name a model"));
        };
        let named = named.trim_start_matches("models/");
        let model = self.resolved(named);
        if !self.tenant.may_use(named) && !self.tenant.may_use(&model) {
            return Err(refused(ApiError::new(
                StatusCode::FORBIDDEN,
                format!("this token may not use the model {named}"),
            )));
        }
        let provider = app.pools.choose(&self.target, Dialect::Gemini, Some(&model)).map_err(refused)?;
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
        let setup = if model == named {
            String::from_utf8_lossy(&text).into_owned()
        } else {
            content["setup"]["model"] = format!("models/{model}").into();
            content.to_string()
        };
        let quota = app.tenants.admit(&self.tenant, text.len() as u64 / 4).await.map_err(refused)?;
        let mut needs = KeyRequest::model(&*model).input_tokens(text.len() as u64 / 4);
        if let Some(project) = project {
            needs = needs.affinity(Affinity::RequireProject(project));
        }
        let mut tried = Vec::new();
        let mut last = None;
        while tried.len() < ATTEMPTS {
            let needs = needs.clone().exclude(tried.iter().cloned());
            match self.attempt(provider, needs, &setup, &mut tried).await {
                Ok(Attempt::Connected(connected)) => return Ok((*connected, quota)),
                Ok(Attempt::Refused(why)) => last = Some(why),
                Err(end) if last.is_none() => return Err(end),
                Err(_) => break,
            }
        }
        let why = last.unwrap_or_default();
        Err(End::ours(CloseCode::Error, &format!("no key could open the session: {why}")))
    }

    /// A model by one of its other names.
    fn resolved(&self, name: &str) -> String {
        let loaded = self.app.loaded.load();
        let model = loaded.config.models.iter().find(|model| model.aliases.iter().any(|alias| alias == name));
        model.map_or(name, |model| &model.name).to_owned()
    }

    /// Opens a connection with one key and sends the first message.
    async fn attempt(
        &self,
        provider: &Arc<ProviderPool>,
        needs: KeyRequest,
        setup: &str,
        tried: &mut Vec<KeyId>,
    ) -> Result<Attempt, End> {
        let key = generate_key();
        let request = self.handshake(&key, needs)?;
        let mut answer = match provider.send(request).await {
            Ok(answer) => answer,
            Err(error) => return Err(End::of(&handler::failure(&error).0)),
        };
        let accepted = answer
            .headers()
            .get(header::SEC_WEBSOCKET_ACCEPT)
            .is_some_and(|value| *value == *derive_accept_key(key.as_bytes()));
        let lease = answer.extensions_mut().remove::<Arc<Lease>>();
        let (Some(lease), true) = (lease, answer.status() == StatusCode::SWITCHING_PROTOCOLS && accepted) else {
            return Err(End::of(&refusal(answer).await));
        };
        tried.push(lease.key().clone());
        let opened = timeout(SETUP, async {
            let upgraded = hyper::upgrade::on(answer).await.map_err(|error| error.to_string())?;
            let mut socket = socket(upgraded, Role::Client).await;
            socket.send(Message::text(setup)).await.map_err(|error| error.to_string())?;
            Ok::<_, String>((first_message(&mut socket, Side::Provider).await, socket))
        });
        let end = match opened.await {
            Ok(Ok((Ok(first), socket))) => {
                let provider = Arc::clone(provider);
                tracing::info!(key = %lease.key(), project = lease.project(), model = lease.model(), "live session opened");
                return Ok(Attempt::Connected(Box::new(Connected { socket, provider, lease, first })));
            }
            Ok(Ok((Err(end), _))) => end,
            Ok(Err(error)) => End::ours(CloseCode::Error, &error),
            Err(_) => End::ours(CloseCode::Error, "the provider did not answer the first message in time"),
        };
        let frame = end.to_client.unwrap_or_else(|| close(CloseCode::Error, "the provider closed the session"));
        let failure = failure(provider, &frame);
        let (class, retry) = (failure.class().as_str(), failure.retry());
        let reason = lease.secret().redact(&frame.reason).into_owned();
        tracing::info!(key = %lease.key(), class, reason, "attempt failed");
        lease.report(&failure.into());
        match retry {
            Retry::OtherKey => return Ok(Attempt::Refused(class.to_owned())),
            Retry::Backoff => return Ok(Attempt::Refused(format!("{class}: {reason}"))),
            _ => {}
        }
        Err(redacted(End::closed(Some(frame)), &lease))
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
        headers.insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, header::HeaderValue::from_static("13"));
        headers.insert(header::SEC_WEBSOCKET_KEY, header::HeaderValue::try_from(key).map_err(invalid)?);
        request.extensions_mut().insert(needs);
        Ok(request)
    }

    /// Passes messages both ways until one side closes.
    async fn pipe(&self, client: &mut Socket, connected: Connected, early: Vec<Message>, quota: Option<Lease>) -> End {
        let Connected { mut socket, provider, lease, first } = connected;
        let mut meter = Meter { session: self, provider: &provider, lease: &lease, quota, input: 0, output: 0 };
        // The halves are gone when the sockets close.
        let end = {
            let (mut to_client, mut from_client) = (&mut *client).split();
            let (mut to_provider, mut from_provider) = (&mut socket).split();
            // A client's close is seen also while the provider takes nothing: reading goes on, up to as much as one message may have.
            let (queue, mut queued) = mpsc::unbounded_channel();
            let room = Arc::new(Semaphore::new(LONGEST));
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
                        // What is pinged is answered here.
                        Some(Ok(Message::Pong(_))) => {}
                        Some(Ok(message)) => {
                            self.passed();
                            let length = message.len().clamp(1, LONGEST) as u32;
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
                    // What the client sent before it closed is still for the provider.
                    let _ = timeout(CLOSING, async {
                        tokio::select! { _ = &mut write => {}, _ = room.acquire_many(LONGEST as u32) => {} }
                    }).await;
                    end
                }
                end = &mut write => end,
                end = down => end,
                () = self.idle() => End::ours(CloseCode::Away, "nothing was sent for too long"),
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

    /// Waits until nothing passed for long.
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

/// Reads what the provider's messages tell.
struct Meter<'a> {
    session: &'a Session,
    provider: &'a ProviderPool,
    lease: &'a Lease,
    quota: Option<Lease>,
    input: u64,
    output: u64,
}

impl Meter<'_> {
    /// Counts usage, learns by which handle the session can be gone on with, and removes the key.
    async fn read(&mut self, message: Message) -> Result<Message, ApiError> {
        let data: &[u8] = match &message {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(data) => data,
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
        if !has(self.lease.expose()) {
            return Ok(message);
        }
        let text = String::from_utf8_lossy(data);
        let text = self.lease.secret().redact(&text).into_owned();
        Ok(if message.is_text() { Message::text(text) } else { Message::binary(text.into_bytes()) })
    }

    /// Each message tells what one turn cost.
    fn count(&mut self, usage: &Value) {
        let count = |field: &str| usage[field].as_u64().unwrap_or(0);
        let input = count("promptTokenCount") + count("toolUsePromptTokenCount");
        let output = count("responseTokenCount") + count("candidatesTokenCount") + count("thoughtsTokenCount");
        self.input += input;
        self.output += output.max(count("totalTokenCount").saturating_sub(input));
        if self.input + self.output > 0 {
            let used = Usage::new(self.input, self.output);
            tracing::trace!(provider = %self.provider.name, input = self.input, output = self.output, "live usage");
            self.lease.used(used);
            self.quota.iter().for_each(|quota| quota.used(used));
        }
    }
}

fn session_name(handle: &str) -> String {
    uploads::hashed("sessions", handle)
}

/// The next message with content.
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

/// Waits until the client leaves, and keeps what it says meanwhile.
async fn left(client: &mut Socket, early: &mut Vec<Message>) -> End {
    let mut kept = 0;
    while kept < LONGEST {
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

/// The provider's refusal of a handshake.
async fn refusal(answer: Response<super::pools::AnswerBody>) -> ApiError {
    let status = answer.status();
    // A page instead of a handshake may have no end.
    let text = timeout(CLOSING, BodyExt::collect(Limited::new(answer.into_body(), 64 << 10))).await;
    let text = text.ok().and_then(Result::ok).map(Collected::to_bytes).unwrap_or_default();
    let content: Value = serde_json::from_slice(&text).unwrap_or_default();
    let message = content.pointer("/error/message").and_then(Value::as_str).map(str::to_owned);
    ApiError::new(status, message.unwrap_or_else(|| format!("the provider refused the session: {status}")))
}

/// What it means that the provider ended the session.
fn provider_closed(provider: &ProviderPool, lease: &Lease, frame: Option<CloseFrame>) -> End {
    if let Some(frame) =
        frame.as_ref().filter(|frame| frame.code == CloseCode::Error || frame.code == CloseCode::Policy)
    {
        let failure = failure(provider, frame);
        // Only a limit concerns the key: any other end may be one of this session.
        if matches!(failure.class(), ErrorClass::RateLimit | ErrorClass::DailyQuota) {
            lease.report(&Outcome::from(failure));
        }
    }
    End::closed(frame)
}

/// What a close of the provider means: as the error that Google's other endpoints answer in its place.
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

/// The end without the key in its reason.
fn redacted(mut end: End, lease: &Lease) -> End {
    if let Some(frame) = &mut end.to_client {
        let reason = lease.secret().redact(&frame.reason).into_owned();
        *frame = close(frame.code, &reason);
    }
    end
}

/// Sends a close, unless the other side did, and waits for the answer to it.
async fn close_socket(socket: &mut Socket, frame: Option<CloseFrame>) {
    let closed = timeout(CLOSING, async {
        let _ = socket.close(frame).await;
        // The answer to a close that came.
        let _ = socket.flush().await;
        while let Some(Ok(_)) = socket.next().await {}
    });
    let _ = closed.await;
}
