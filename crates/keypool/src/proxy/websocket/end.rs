//! The end of a session: who ended it, and the close frame for each side.

use futures_util::{SinkExt, Stream, StreamExt};
use http::StatusCode;
use serde_json::json;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{
    Error as SocketError, Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};
use tower_keypool::{ErrorClass, Failure, Lease};

use super::{CLOSE_TIMEOUT, Socket};
use crate::{error::ApiError, proxy::pools::ProviderPool};

/// Maximum length of a close reason, in bytes (RFC 6455, section 5.5).
const MAX_REASON: usize = 123;

/// The end of a session: the close frames for both sides.
pub(super) struct End {
    pub(super) to_client: Option<CloseFrame>,
    pub(super) to_provider: Option<CloseFrame>,
}

impl End {
    /// The gateway ends the session.
    pub(super) fn ours(code: CloseCode, reason: &str) -> Self {
        let frame = close(code, reason);
        Self { to_client: Some(frame), to_provider: Some(close(CloseCode::Away, "")) }
    }

    /// One side closed.
    pub(super) fn closed(frame: Option<CloseFrame>) -> Self {
        // Some codes mean that there was no close frame, and must not be sent.
        let frame = frame.filter(|frame| frame.code.is_allowed());
        Self { to_client: frame.clone(), to_provider: frame }
    }

    /// Redacts the key in the close reason for the client.
    pub(super) fn redacted(mut self, lease: &Lease) -> Self {
        if let Some(frame) = &mut self.to_client {
            *frame = close(frame.code, &lease.secret().redact(&frame.reason));
        }
        self
    }

    /// One side's connection broke off.
    pub(super) fn broken(whose: Side, error: &SocketError) -> Self {
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

impl From<ApiError> for End {
    fn from(error: ApiError) -> Self {
        let code = if error.status.is_client_error() { CloseCode::Policy } else { CloseCode::Error };
        Self::ours(code, &error.message)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Provider,
}

pub(super) fn close(code: CloseCode, reason: &str) -> CloseFrame {
    let end = (0..=reason.len().min(MAX_REASON)).rev().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
    CloseFrame { code, reason: reason[..end].to_owned().into() }
}

/// Returns the next message that is passed on. Each side's pings are answered here, so that pongs need not be.
pub(super) async fn next_message<S>(messages: &mut S, whose: Side) -> Result<Message, End>
where
    S: Stream<Item = Result<Message, SocketError>> + Unpin,
{
    loop {
        match messages.next().await {
            None if whose == Side::Client => return Err(End::closed(None)),
            None => return Err(End::ours(CloseCode::Error, "the provider's connection broke off")),
            Some(Err(error)) => return Err(End::broken(whose, &error)),
            Some(Ok(Message::Close(frame))) => return Err(End::closed(frame)),
            Some(Ok(Message::Pong(_))) => {}
            Some(Ok(message)) => return Ok(message),
        }
    }
}

/// Classifies the provider's close like the corresponding error response of Google's other endpoints.
pub(super) fn failure(provider: &ProviderPool, frame: &CloseFrame) -> Failure {
    let reason = frame.reason.to_ascii_lowercase();
    let says = |words: &str| reason.contains(words);
    // These reasons come first because they quote the request, in which the caller may have written anything.
    let quotes = ["invalid json payload", "invalid value", "request contains an invalid"];
    let status = if quotes.iter().any(|start| reason.starts_with(start)) {
        StatusCode::BAD_REQUEST
    } else if says("is not found") || reason.split(' ').next().is_some_and(|name| name.contains("models/")) {
        StatusCode::NOT_FOUND
    } else if says("quota") || says("rate limit") {
        StatusCode::TOO_MANY_REQUESTS
    } else if says("api key") || says("permission") {
        StatusCode::FORBIDDEN
    } else if matches!(frame.code, CloseCode::Policy | CloseCode::Invalid | CloseCode::Protocol | CloseCode::Size) {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({ "error": { "code": status.as_u16(), "message": &*frame.reason } }).to_string();
    let failure = provider.pool.classify(status, &http::HeaderMap::new(), body.as_bytes());
    failure.unwrap_or_else(|| Failure::new(ErrorClass::Transient))
}

/// Sends a close, unless the other side did, and waits until the other side has closed.
pub(super) async fn close_socket(socket: &mut Socket, frame: Option<CloseFrame>) {
    let closed = timeout(CLOSE_TIMEOUT, async {
        let _ = socket.close(frame).await;
        // If the other side closed first, this sends the reply to its close.
        let _ = socket.flush().await;
        while let Some(Ok(_)) = socket.next().await {}
    });
    let _ = closed.await;
}
