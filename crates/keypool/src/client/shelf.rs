//! Connections that wait for a request, and requests that wait for a connection.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::Duration,
};

use http_body::Body;
use hyper::client::conn::http2;
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
};
use tower_keypool::BoxError;

use super::{dial::Carrier, line::Line};

/// How often the keeper counts, and what it counts to until an idle connection is closed: after 90 to 100 s.
const COUNT: Duration = Duration::from_secs(10);
const COUNTS: u64 = 10;
/// Idle connections that are kept; the one that lies there longest goes.
const MOST: usize = 1024;

/// The connections to one place that carry nothing now.
pub(super) struct Shelf<B: Body + 'static> {
    state: Mutex<State<B>>,
    /// Wakes the keeper.
    pub(super) keeper: Arc<Notify>,
}

struct State<B: Body + 'static> {
    /// The one used last is at the end, and is used first.
    idle: VecDeque<Box<Line<B>>>,
    /// The one that carries all, and when it was last asked to.
    shared: Option<(http2::SendRequest<B>, u64)>,
    waiting: VecDeque<oneshot::Sender<Carrier<B>>>,
    count: u64,
    /// How often one was laid aside.
    laid: u64,
    is_kept: bool,
    most: usize,
}

impl<B> Shelf<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    pub(super) fn new() -> Arc<Self> {
        Self::of(MOST)
    }

    /// With room for so many that are idle.
    pub(super) fn of(most: usize) -> Arc<Self> {
        let (idle, waiting) = (VecDeque::new(), VecDeque::new());
        let state = State { idle, shared: None, waiting, count: 0, laid: 0, is_kept: false, most };
        Arc::new(Self { state: Mutex::new(state), keeper: Arc::new(Notify::new()) })
    }

    /// One that is there, or a place among those who wait for one.
    pub(super) fn take(self: &Arc<Self>) -> Result<Carrier<B>, Waiting<B>> {
        let mut state = self.state();
        if let Some(carrier) = state.take() {
            return Ok(carrier);
        }
        let (sender, receiver) = oneshot::channel();
        state.waiting.retain(|waiting| !waiting.is_closed());
        state.waiting.push_back(sender);
        Err(Waiting { receiver, shelf: Arc::clone(self) })
    }

    /// Lays one aside, or hands it to who waits longest.
    pub(super) fn put(self: &Arc<Self>, carrier: Carrier<B>) {
        let mut state = self.state();
        let too_many = state.put(carrier);
        let begins = !state.is_kept && !state.is_empty();
        if begins && let Ok(runtime) = Handle::try_current() {
            state.is_kept = true;
            runtime.spawn(keep(Arc::downgrade(self), Arc::clone(&self.keeper)));
        }
        drop(state);
        // Closing it is the system's work, and needs no lock.
        drop(too_many);
    }

    /// One that was laid aside as the `laid`-th was found closed: so may be all that have lain there for longer, since
    /// whoever drops idle connections on the way says so to neither side.
    pub(super) fn let_go(&self, laid: u64) {
        let mut state = self.state();
        let longest = state.idle.partition_point(|line| line.laid <= laid);
        let gone: Vec<_> = state.idle.drain(..longest).collect();
        drop(state);
        drop(gone);
    }

    /// Puts away those that were closed. `later`: a count has passed, too; those that lie there for too long go.
    ///
    /// False where nothing is left to keep.
    pub(super) fn tidy(&self, later: bool) -> bool {
        let mut gone = Vec::new();
        let mut state = self.state();
        state.count += u64::from(later);
        let count = state.count;
        let rests = std::mem::take(&mut state.idle);
        for mut line in rests {
            if line.has_rung() {
                line.take_up();
                line.look();
                line.lay_aside();
            }
            if line.is_free() && count - line.idle_since < COUNTS {
                state.idle.push_back(line);
            } else {
                gone.push(line);
            }
        }
        state.shared.take_if(|(sender, used)| sender.is_closed() || count - *used >= COUNTS);
        state.is_kept = !state.is_empty();
        state.is_kept
    }

    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        let state = self.state();
        state.idle.len() + usize::from(state.shared.is_some())
    }
}

impl<B> State<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn take(&mut self) -> Option<Carrier<B>> {
        if let Some((sender, used)) = &mut self.shared {
            if !sender.is_closed() {
                *used = self.count;
                return Some(Carrier::Shared(sender.clone()));
            }
            self.shared = None;
        }
        let line = self.idle.pop_back()?;
        line.take_up();
        Some(Carrier::Line(line))
    }

    /// What there is no room for comes back.
    fn put(&mut self, carrier: Carrier<B>) -> Option<Carrier<B>> {
        match carrier {
            Carrier::Shared(sender) => {
                while let Some(waiting) = self.waiting.pop_front() {
                    // Whoever left needs none.
                    let _ = waiting.send(Carrier::Shared(sender.clone()));
                }
                let known = self.shared.as_ref().is_some_and(|(known, _)| !known.is_closed());
                if known {
                    return Some(Carrier::Shared(sender));
                }
                self.shared = Some((sender, self.count));
                None
            }
            Carrier::Line(mut line) => {
                while let Some(waiting) = self.waiting.pop_front() {
                    match waiting.send(Carrier::Line(line)) {
                        Err(Carrier::Line(back)) => line = back,
                        Ok(()) | Err(Carrier::Shared(_)) => return None,
                    }
                }
                self.laid += 1;
                (line.idle_since, line.laid) = (self.count, self.laid);
                line.lay_aside();
                self.idle.push_back(line);
                if self.idle.len() > self.most { self.idle.pop_front().map(Carrier::Line) } else { None }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.idle.is_empty() && self.shared.is_none()
    }
}

/// Keeps a shelf in order for as long as something lies on it.
async fn keep<B>(shelf: Weak<Shelf<B>>, rung: Arc<Notify>)
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let mut counts = tokio::time::interval(COUNT);
    counts.reset();
    loop {
        let later = tokio::select! {
            () = rung.notified() => false,
            _ = counts.tick() => true,
        };
        let Some(shelf) = shelf.upgrade() else { return };
        if !shelf.tidy(later) {
            return;
        }
    }
}

/// A place among those who wait for a connection.
pub(super) struct Waiting<B: Body + Send + Unpin + 'static>
where
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    receiver: oneshot::Receiver<Carrier<B>>,
    shelf: Arc<Shelf<B>>,
}

impl<B> Future for Waiting<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Output = Carrier<B>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Carrier<B>> {
        match Pin::new(&mut self.receiver).poll(cx) {
            Poll::Ready(Ok(carrier)) => Poll::Ready(carrier),
            // Nobody drops the other end while this is here; if so, the connection that is being made must do.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl<B> Drop for Waiting<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn drop(&mut self) {
        self.receiver.close();
        // It came too late for this one, and is as good as any for another.
        if let Ok(carrier) = self.receiver.try_recv() {
            self.shelf.put(carrier);
        }
    }
}
