//! A request from its head to the last byte of its answer.

use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_keypool::{StreamEnd, Tick};
use tracing::Span;

use super::{
    RequestId,
    traffic::{Outcome, Traffic},
};

/// A request on its way through the gateway: counted when this is dropped, as abandoned unless it is told otherwise.
#[derive(Debug)]
pub(crate) struct Visit {
    traffic: Arc<Traffic>,
    began: Tick,
    outcome: Outcome,
    class: usize,
    bytes: u64,
    span: Option<Box<Span>>,
    after: Option<Afterwards>,
    model: Option<Box<str>>,
    heard: Option<Arc<OnceLock<Heard>>>,
    called: Option<RequestId>,
    end: Option<StreamEnd>,
    revoked: Option<Arc<AtomicBool>>,
}

/// What came of a request whose head went out before.
#[derive(Debug)]
pub(crate) struct Heard {
    /// The model that served, where one did.
    pub(crate) model: Option<Box<str>>,
    /// The class of the status that its head would have had.
    pub(crate) class: usize,
}

/// What is done once a request has gone.
pub(crate) struct Afterwards(pub(crate) Box<dyn FnOnce(&Gone) + Send + Sync>);

/// How a request went.
#[derive(Debug)]
pub(crate) struct Gone {
    /// Its answer went out whole, and was a good one.
    pub(crate) good: bool,
    /// The client left before the end of what may have become a good one.
    pub(crate) left: bool,
    /// A good answer began, whatever became of it.
    pub(crate) served: bool,
    /// The model that served, where one did.
    pub(crate) model: Option<Box<str>>,
}

impl std::fmt::Debug for Afterwards {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Afterwards")
    }
}

impl Visit {
    /// A request has come, with a body of so many bytes where that is known; its span ends with it.
    pub(crate) fn begin(traffic: &Arc<Traffic>, bytes: Option<u64>, span: Option<Box<Span>>) -> Self {
        traffic.came(bytes);
        let began = traffic.now();
        Self {
            traffic: Arc::clone(traffic),
            began,
            outcome: Outcome::Abandoned,
            class: 0,
            bytes: 0,
            span,
            after: None,
            model: None,
            heard: None,
            called: None,
            end: None,
            revoked: None,
        }
    }

    /// Where it stands that the token which it was asked with opens nothing any more.
    pub(crate) fn as_long_as_not(&mut self, revoked: &Arc<AtomicBool>) {
        self.revoked = Some(Arc::clone(revoked));
    }

    /// What the request is called.
    pub(crate) fn called(&mut self, id: Option<RequestId>) {
        self.called = id;
    }

    /// Where it is said that an answer which ends well for its reader, as a stream with an error for its last event, has
    /// broken off all the same.
    pub(crate) fn end(&mut self) -> StreamEnd {
        self.end.get_or_insert_default().clone()
    }

    /// The same, where nobody says it yet and whoever reads the answer does.
    pub(crate) fn ends_as(&mut self, end: StreamEnd) {
        self.end.get_or_insert(end);
    }

    /// Where it is put what came of it once that is known, since its head goes out before.
    pub(crate) fn later(&mut self) -> Arc<OnceLock<Heard>> {
        Arc::clone(self.heard.get_or_insert_default())
    }

    /// Its span, where somebody wants one.
    pub(crate) fn span(&self) -> Option<&Span> {
        self.span.as_deref()
    }

    /// Once it has gone, this is done.
    pub(crate) fn afterwards(&mut self, after: Afterwards) {
        self.after = Some(after);
    }

    /// Whether something is done once it has gone.
    pub(crate) fn is_awaited(&self) -> bool {
        self.after.is_some()
    }

    /// This model serves it.
    pub(crate) fn of_model(&mut self, model: Option<&str>) {
        self.model = model.map(Box::from);
    }

    /// There is an answer, which ends so once it is out.
    ///
    /// `cut`: where the body breaks off, the answer ends there.
    pub(crate) fn answer<B: Body>(
        mut self: Box<Self>,
        outcome: Outcome,
        class: usize,
        cut: bool,
        body: B,
    ) -> Counted<B> {
        self.class = class;
        let length = body.size_hint().exact().unwrap_or(u64::MAX);
        if body.is_end_stream() {
            self.outcome = outcome;
        }
        Counted { inner: body, visit: Some(self), length, whole: outcome, cut }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if let Some(Heard { model, class }) = self.heard.as_ref().and_then(|heard| heard.get()) {
            (self.model, self.class) = (model.clone(), *class);
        }
        if self.end.as_ref().is_some_and(StreamEnd::is_broken) {
            self.outcome = Outcome::Broken;
        }
        // Its client did not leave.
        if self.outcome == Outcome::Abandoned && self.class != 0 && self.traffic.is_cut() {
            self.outcome = Outcome::Broken;
        }
        if self.outcome == Outcome::Broken {
            self.tell_that_it_broke_off();
        }
        if let Some(span) = &self.span {
            span.record("outcome", self.outcome.word());
        }
        if let Some(Afterwards(after)) = self.after.take() {
            // The second class.
            let good = self.outcome == Outcome::Answered && self.class == 2;
            let left = self.outcome == Outcome::Abandoned && matches!(self.class, 0 | 2);
            after(&Gone { good, left, served: self.class == 2, model: self.model.take() });
        }
        self.traffic.went(self.outcome, self.class, self.bytes, self.began);
    }
}

impl Visit {
    /// The line of its head said that it was a good one.
    #[cold]
    fn tell_that_it_broke_off(&self) {
        let ms = self.traffic.now().since(self.began).as_millis() as u64;
        let request = self.called.as_ref().map(tracing::field::display);
        let is_revoked = self.revoked.as_ref().is_some_and(|revoked| revoked.load(Ordering::Acquire));
        let why = if is_revoked { ": its token was revoked" } else { "" };
        tracing::warn!(request, bytes = self.bytes, ms, "the answer broke off behind its head{why}");
    }
}

pin_project! {
    /// An answer on its way to the client: its bytes are counted, and whether they were all of it.
    #[derive(Debug)]
    pub struct Counted<B> {
        #[pin]
        inner: B,
        visit: Option<Box<Visit>>,
        // So many bytes are all of it, where that is known.
        length: u64,
        // What the visit comes to once all is out.
        whole: Outcome,
        // A break is an end.
        cut: bool,
    }
}

impl<B> Counted<B> {
    /// An answer that is not counted.
    pub(crate) fn uncounted(body: B) -> Self {
        Self { inner: body, visit: None, length: u64::MAX, whole: Outcome::Answered, cut: false }
    }
}

impl<B: Body<Data = Bytes>> Body for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let polled = ready!(this.inner.as_mut().poll_frame(cx));
        let Some(visit) = this.visit else { return Poll::Ready(polled) };
        match &polled {
            Some(Ok(frame)) => {
                visit.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if visit.bytes >= *this.length || this.inner.is_end_stream() {
                    // Nobody asks a body of known length for its end, nor one that says that it is there.
                    visit.outcome = *this.whole;
                }
            }
            Some(Err(_)) => {
                visit.outcome = Outcome::Broken;
                if *this.cut {
                    return Poll::Ready(None);
                }
            }
            None => visit.outcome = *this.whole,
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
