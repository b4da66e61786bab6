//! A stream that is translated as it comes.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame};
use keypool_dialect::{Exchange, Fault};
use tower_keypool::BoxError;

/// After so long a silence the client is told that it goes on: what stands between gives up after a minute, mostly.
const SILENCE: Duration = Duration::from_secs(10);

/// An answer whose head is not there yet, though the client has one.
pub(in crate::gateway) type Awaited<B> = Pin<Box<dyn Future<Output = Result<Response<B>, Fault>> + Send>>;

pin_project_lite::pin_project! {
    /// The provider's events, in the client's dialect. When it is dropped, so is the provider's answer.
    pub struct Telling<B> {
        #[pin]
        source: Source<B>,
        exchange: Exchange,
        out: Vec<u8>,
        silence: tokio::time::Interval,
    }
}

pin_project_lite::pin_project! {
    #[project = SourceProjected]
    enum Source<B> {
        Awaited { answer: Awaited<B> },
        Here { #[pin] body: B },
        Over,
    }
}

impl<B> fmt::Debug for Telling<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telling").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}

impl<B> Telling<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Of an answer that is here.
    pub(in crate::gateway) fn of(body: B, exchange: Exchange) -> Self {
        Self::new(Source::Here { body }, exchange)
    }

    /// Of one that has not begun. The client is told so at once.
    pub(in crate::gateway) fn awaiting(answer: Awaited<B>, mut exchange: Exchange) -> Self {
        let mut out = Vec::new();
        exchange.pause(&mut out);
        Self { out, ..Self::new(Source::Awaited { answer }, exchange) }
    }

    fn new(source: Source<B>, exchange: Exchange) -> Self {
        let mut silence = tokio::time::interval(SILENCE);
        silence.reset();
        Self { source, exchange, out: Vec::new(), silence }
    }

    /// The next that the client gets.
    pub(in crate::gateway) fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        let mut this = self.project();
        loop {
            if !this.out.is_empty() {
                return Poll::Ready(Some(Frame::data(std::mem::take(this.out).into())));
            }
            if this.exchange.is_over() {
                // After a fault there may be more, which nobody waits for.
                this.source.set(Source::Over);
                return Poll::Ready(None);
            }
            let polled = match this.source.as_mut().project() {
                SourceProjected::Awaited { answer } => match answer.as_mut().poll(cx) {
                    Poll::Ready(Ok(response)) => {
                        this.source.set(Source::Here { body: response.into_body() });
                        continue;
                    }
                    Poll::Ready(Err(fault)) => {
                        this.exchange.fail(&fault, this.out);
                        continue;
                    }
                    Poll::Pending => Poll::Pending,
                },
                SourceProjected::Here { body } => body.poll_frame(cx),
                SourceProjected::Over => Poll::Ready(None),
            };
            match polled {
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(chunk) = frame.into_data() {
                        this.exchange.hear(chunk, this.out);
                        this.silence.reset();
                    }
                }
                Poll::Ready(Some(Err(_))) => this.exchange.broke(this.out),
                Poll::Ready(None) => this.exchange.end(this.out),
                Poll::Pending => {
                    if this.silence.poll_tick(cx).is_pending() {
                        return Poll::Pending;
                    }
                    this.exchange.pause(this.out);
                }
            }
        }
    }
}
