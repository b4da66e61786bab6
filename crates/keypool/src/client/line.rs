//! One HTTP/1.1 connection to the provider, which runs in the task of the request that it carries.
//!
//! A task of its own would be woken for each request and each answer, and wake the request's task in turn. So whoever
//! waits for an answer polls the connection, and whoever reads it ([`Along`](super::along::Along)). A request that is not
//! all out when its answer begins is the exception: its connection then goes on in a task of its own, whatever the client
//! reads meanwhile.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
};
use pin_project_lite::pin_project;
use tokio::sync::Notify;
use tower_keypool::BoxError;

use super::{
    Arrived,
    bell::Bell,
    dial::{Carrier, Stream},
    shelf::Shelf,
    unheard::Unheard,
};
use crate::{
    entire::Entire,
    one_write::{OneWrite, Owes},
};

/// A connection that carries one request at a time.
pub(super) struct Line<B: Body + 'static> {
    sender: http1::SendRequest<B>,
    /// `None`: it has ended.
    connection: Option<http1::Connection<OneWrite<Unheard<Stream>>, B>>,
    owes: Owes,
    bell: Arc<Bell>,
    waker: Waker,
    /// When it was laid aside, by the keeper's count.
    pub(super) idle_since: u64,
    /// The how many-th to be laid aside; 0: it was not yet.
    pub(super) laid: u64,
}

impl<B> Line<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    pub(super) fn new(
        sender: http1::SendRequest<B>,
        connection: http1::Connection<OneWrite<Unheard<Stream>>, B>,
        owes: Owes,
        keeper: &Arc<Notify>,
    ) -> Box<Self> {
        let bell = Bell::new(keeper);
        let waker = Waker::from(Arc::clone(&bell));
        Box::new(Self { sender, connection: Some(connection), owes, bell, waker, idle_since: 0, laid: 0 })
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self) -> bool {
        self.connection.is_none()
    }

    /// Whether all that it was given to send is out.
    pub(super) fn is_out(&self) -> bool {
        !self.owes.any()
    }

    /// Whether it can carry a request now.
    pub(super) fn is_free(&self) -> bool {
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Whether something happened that nobody has looked at.
    pub(super) fn has_rung(&self) -> bool {
        self.bell.has_rung()
    }

    /// It is laid aside: what happens now is the keeper's to look at.
    pub(super) fn lay_aside(&self) {
        self.bell.wakes_keeper();
    }

    /// Somebody has it again.
    pub(super) fn take_up(&self) {
        self.bell.taken();
    }

    /// Looks at what happened, if anything did.
    pub(super) fn look(&mut self) {
        look(&self.bell, &mut self.connection, &self.waker);
    }

    /// Sends a request, and waits for the head of its answer.
    pub(super) fn carry(
        &mut self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<B>>>> {
        let Self { sender, connection, bell, waker, .. } = self;
        Carried { answer: sender.try_send_request(request), connection, bell, waker }
    }

    /// Takes in the body of an answer that it has read to its end.
    pub(super) fn take_in(&self, response: Response<Incoming>) -> Response<Arrived> {
        let rang = self.bell.has_rung();
        let version = response.version();
        let response = response.map(|body| Arrived::taken(Entire::of(body, version)));
        if !rang && response.body().is_whole() {
            // That was the body's end. Should the connection have been closed just then, whoever takes it next sees it.
            self.bell.heard();
        }
        response
    }

    /// Runs it until it can carry another request, and lays it aside then.
    pub(super) fn run_apart(mut self: Box<Self>, shelf: &Arc<Shelf<B>>) {
        let shelf = Arc::clone(shelf);
        tokio::spawn(async move {
            if self.run_on().await && self.settles() {
                shelf.put(Carrier::Line(self));
            }
        });
    }

    /// Runs it until it can carry another request; false where it ended.
    async fn run_on(&mut self) -> bool {
        poll_fn(|cx| {
            let Some(connection) = &mut self.connection else { return Poll::Ready(false) };
            if Pin::new(connection).poll(cx).is_ready() {
                self.connection = None;
                return Poll::Ready(false);
            }
            if self.sender.is_ready() { Poll::Ready(true) } else { Poll::Pending }
        })
        .await
    }

    /// Looks whether it can carry another request now that its answer is over. From here on it rings its bell.
    pub(super) fn settles(&mut self) -> bool {
        self.bell.taken();
        self.look();
        self.is_free()
    }

    /// Waits for what comes from the connection, and runs it meanwhile.
    pub(super) fn poll_along<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Self { connection, bell, waker, .. } = self;
        poll_along(connection, (bell, waker), cx, poll)
    }
}

pin_project! {
    /// The answer to come of a request that was sent, which runs the connection.
    struct Carried<'l, A, C> {
        #[pin]
        answer: A,
        connection: &'l mut Option<C>,
        bell: &'l Bell,
        waker: &'l Waker,
    }
}

impl<A: Future, C: Future + Unpin> Future for Carried<'_, A, C> {
    type Output = A::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<A::Output> {
        let mut this = self.project();
        poll_along(this.connection, (this.bell, this.waker), cx, |cx| this.answer.as_mut().poll(cx))
    }
}

/// Waits for what comes from a connection, and runs it meanwhile.
fn poll_along<C: Future + Unpin, T>(
    connection: &mut Option<C>,
    (bell, waker): (&Bell, &Waker),
    cx: &Context<'_>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    // Twice: what it does may ring its own bell.
    for _ in 0..2 {
        look(bell, connection, waker);
        // It comes from the connection, which was just looked at: no other waker need be told.
        if let Poll::Ready(came) = poll(&mut Context::from_waker(Waker::noop())) {
            return Poll::Ready(came);
        }
        if bell.wakes(cx.waker()) {
            return Poll::Pending;
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// Runs a connection as far as it goes, if something happened on it.
fn look<F: Future + Unpin>(bell: &Bell, connection: &mut Option<F>, waker: &Waker) {
    if bell.heard()
        && let Some(running) = connection
        && Pin::new(running).poll(&mut Context::from_waker(waker)).is_ready()
    {
        // What it still held comes back to whoever sent it.
        *connection = None;
    }
}
