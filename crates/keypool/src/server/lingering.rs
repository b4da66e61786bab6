//! Reads the rest of a request body after an early response.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http::{HeaderMap, header};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// How long the rest of a request body is read after an early response.
const LINGER: Duration = Duration::from_secs(30);
/// Maximum pause between two frames of that rest.
const LINGER_PAUSE: Duration = Duration::from_secs(2);

/// A request body whose rest is read even after an early response. Most clients send the whole body before they read
/// the response, and lose the response if the connection is closed meanwhile.
pub(super) struct Lingering {
    /// `None` at the end.
    body: Option<Incoming>,
    /// Whether the client sends it. With `Expect: 100-continue` the client waits until the body is read.
    arrives: bool,
}

impl Lingering {
    pub(super) fn body(headers: &HeaderMap, body: Incoming) -> Body {
        Body::new(Self { arrives: !headers.contains_key(header::EXPECT), body: Some(body) })
    }
}

impl http_body::Body for Lingering {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.arrives = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if let Some(mut body) = self.body.take().filter(|body| self.arrives && !body.is_end_stream()) {
            tokio::spawn(tokio::time::timeout(LINGER, async move {
                while let Ok(Some(Ok(_))) = tokio::time::timeout(LINGER_PAUSE, body.frame()).await {}
            }));
        }
    }
}
