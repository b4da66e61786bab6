//! Streams of HTTP/2: each is a task of its own, which ends where its client takes nothing of the answer any more.
//!
//! A connection that answers pings is alive, whatever becomes of its streams: one whose window is never opened would hold
//! its answer, and the key behind it, for good. hyper asks a body for a frame as soon as the stream may carry one, so that
//! the time between a frame and the next wish for one is the client's.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::task::futures::TaskLocalFuture;

use super::{
    pace::{Progress, Watch},
    ticks::OwnTicks,
};

tokio::task_local! {
    /// How far the answer of this task's stream has gone out.
    static OUT: Arc<Progress>;
}

/// Runs the streams of a connection.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct Streams {
    /// Who takes nothing for so long does not read.
    reader: Duration,
}

impl Streams {
    pub(in crate::gateway) fn new(reader: Duration) -> Self {
        Self { reader }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        let progress = Arc::new(Progress::default());
        let stream = OUT.scope(Arc::clone(&progress), stream);
        tokio::spawn(Attended { stream, progress, reader: self.reader, watched: None });
    }
}

pin_project_lite::pin_project! {
    /// A stream that is given up, and all that it holds, where its client takes nothing of it.
    struct Attended<F> {
        #[pin]
        stream: TaskLocalFuture<Arc<Progress>, F>,
        progress: Arc<Progress>,
        reader: Duration,
        // Once there is an answer.
        watched: Option<(Watch, OwnTicks)>,
    }
}

impl<F: Future> Future for Attended<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        // As long as nobody has an answer's body nothing is owed.
        if this.watched.is_none() && Arc::strong_count(this.progress) > 2 {
            let ticks = OwnTicks::new();
            *this.watched = Some((Watch::new(this.progress, ticks.ticks(), (*this.reader, 1)), ticks));
        }
        let Some((watch, own)) = this.watched else { return Poll::Pending };
        own.poll(cx);
        if watch.is_late(own.ticks()) {
            tracing::debug!("a client takes nothing of an answer any more: its stream is given up");
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

pin_project_lite::pin_project! {
    /// An answer's body, whose way out over a stream of its own is watched.
    #[derive(Debug)]
    pub(in crate::gateway) struct Taken<B> {
        #[pin]
        body: B,
        progress: Option<Arc<Progress>>,
        // Of a frame that is longer than a piece.
        rest: Bytes,
        // It was asked for its head alone.
        untold: bool,
    }
}

/// Bytes that a stream is given at once: whoever takes as many in its time is asked for again before all of a long frame
/// is out.
const PIECE: usize = 16 << 10;

impl<B> Taken<B> {
    /// To be made in the task that carries it.
    pub(in crate::gateway) fn new(body: B) -> Self {
        let progress = OUT.try_with(Arc::clone).ok();
        if let Some(progress) = &progress {
            progress.owes();
        }
        Self { body, progress, rest: Bytes::new(), untold: false }
    }
}

impl<B: Body<Data = Bytes>> Taken<B> {
    /// The answer to a HEAD. hyper leaves its body out over HTTP/1.1 alone: over HTTP/2 it would go out, which clients take for an
    /// error of the protocol.
    pub(in crate::gateway) fn head(mut answer: Response<Self>) -> Response<Self> {
        if let Some(length) = answer.body().size_hint().exact().filter(|length| *length > 0) {
            answer.headers_mut().entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(length));
        }
        answer.map(|body| Self { untold: true, ..body })
    }
}

impl<B: Body<Data = Bytes>> Body for Taken<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        if *this.untold {
            return Poll::Ready(None);
        }
        let Some(progress) = this.progress else { return this.body.poll_frame(cx) };
        // Whoever asks has room for it.
        progress.came(1);
        if this.rest.is_empty() {
            let frame = match ready!(this.body.poll_frame(cx)).map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => data,
                Some(Ok(Err(trailers))) => {
                    progress.owes();
                    return Poll::Ready(Some(Ok(trailers)));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            };
            *this.rest = frame;
        }
        progress.owes();
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.untold || self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower().saturating_add(rest));
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}
