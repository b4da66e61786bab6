//! Passes messages between the client and the provider, and reads those of the provider.

use std::{
    borrow::Cow,
    convert::Infallible,
    pin::pin,
    sync::{Arc, PoisonError},
};

use futures_util::{
    SinkExt, StreamExt,
    stream::{self, BoxStream, SplitSink},
};
use memchr::memmem;
use serde_json::Value;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, timeout},
};
use tokio_tungstenite::tungstenite::{
    Error as SocketError, Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};
use tower_keypool::{ErrorClass, Lease, Outcome, Usage};

use super::{
    CLOSE_TIMEOUT, Connected, LiveSession, MAX_MESSAGE, Socket,
    end::{End, Side, close_socket, failure, next_message},
    session_name,
};
use crate::{error::ApiError, proxy::pools::ProviderPool, tenants::Quota};

/// How long a session can be resumed.
const RESUMABLE_MS: i64 = 24 * 3_600_000;

/// The messages of one side.
type Messages<'a> = BoxStream<'a, Result<Message, SocketError>>;

/// A message of the client, with its share of the room for queued messages.
type Queued = (Message, OwnedSemaphorePermit);

impl LiveSession {
    /// Passes messages both ways until one side closes.
    pub(super) async fn pipe(
        &self,
        client: &mut Socket,
        connected: Connected,
        early: Vec<Message>,
        quota: Quota,
    ) -> End {
        let Connected { mut socket, provider, lease, first } = connected;
        let meter = LiveMeter { session: self, provider: &provider, lease: &lease, quota, input: 0, output: 0 };
        // The halves are dropped before the sockets are closed.
        let end = {
            let (to_client, from_client) = (&mut *client).split();
            let (to_provider, from_provider) = (&mut socket).split();
            // Reading continues while the provider accepts nothing, up to the size of one message, so that the client's
            // close is noticed.
            let (queue, queued) = mpsc::unbounded_channel();
            let room = Arc::new(Semaphore::new(MAX_MESSAGE));
            let from_client = stream::iter(early).map(Ok).chain(from_client).boxed();
            let from_provider = stream::iter([Ok(first)]).chain(from_provider).boxed();
            let mut write = pin!(self.write(queued, to_provider));
            tokio::select! {
                Err(end) = self.read(from_client, queue, &room) => {
                    // Messages that the client sent before its close are still passed on.
                    let _ = timeout(CLOSE_TIMEOUT, async {
                        tokio::select! { _ = &mut write => {}, _ = room.acquire_many(MAX_MESSAGE as u32) => {} }
                    }).await;
                    end
                }
                Err(end) = &mut write => end,
                Err(end) = self.pass_down(from_provider, to_client, meter) => end,
                () = self.idle() => End::ours(CloseCode::Away, "the session was idle for too long"),
                end = self.must_end() => end,
            }
        };
        close_socket(&mut socket, end.to_provider.clone()).await;
        end.redacted(&lease)
    }

    /// Queues the client's messages.
    async fn read(
        &self,
        mut messages: Messages<'_>,
        queue: mpsc::UnboundedSender<Queued>,
        room: &Arc<Semaphore>,
    ) -> Result<Infallible, End> {
        loop {
            let message = next_message(&mut messages, Side::Client).await?;
            self.passed();
            let length = message.len().clamp(1, MAX_MESSAGE) as u32;
            let Ok(taken) = Arc::clone(room).acquire_many_owned(length).await else { continue };
            let _ = queue.send((message, taken));
        }
    }

    /// Sends the queued messages to the provider.
    async fn write(
        &self,
        mut queued: mpsc::UnboundedReceiver<Queued>,
        mut to: SplitSink<&mut Socket, Message>,
    ) -> Result<Infallible, End> {
        while let Some((message, _taken)) = queued.recv().await {
            self.send(&mut to, message, Side::Provider).await?;
        }
        std::future::pending().await
    }

    /// Meters the provider's messages, and sends them to the client.
    async fn pass_down(
        &self,
        mut messages: Messages<'_>,
        mut to: SplitSink<&mut Socket, Message>,
        mut meter: LiveMeter<'_>,
    ) -> Result<Infallible, End> {
        loop {
            let message = next_message(&mut messages, Side::Provider).await;
            let message =
                message.inspect_err(|end| report_limit(meter.provider, meter.lease, end.to_provider.as_ref()))?;
            self.passed();
            let message = meter.read(message).await?;
            self.send(&mut to, message, Side::Client).await?;
        }
    }

    async fn send(&self, to: &mut SplitSink<&mut Socket, Message>, message: Message, whose: Side) -> Result<(), End> {
        match timeout(self.app.settings().reader_timeout.0, to.send(message)).await {
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
            let until = active + self.app.settings().reader_timeout.0;
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

/// Reads the provider's messages: usage, and handles for resumption.
struct LiveMeter<'a> {
    session: &'a LiveSession,
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

/// Reports to the key that the provider closed the session because of a limit.
fn report_limit(provider: &ProviderPool, lease: &Lease, frame: Option<&CloseFrame>) {
    if let Some(frame) = frame.filter(|frame| frame.code == CloseCode::Error || frame.code == CloseCode::Policy) {
        let failure = failure(provider, frame);
        // Only a limit certainly concerns the key; any other reason may concern this session only.
        if matches!(failure.class(), ErrorClass::RateLimit | ErrorClass::DailyQuota) {
            lease.report(&Outcome::from(failure));
        }
    }
}
