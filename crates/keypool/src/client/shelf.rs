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
use tokio::{
    runtime::Handle,
    sync::{Notify, oneshot},
};
use tower_keypool::BoxError;

use super::{dial::Carrier, line::Line, trunk::Trunk};

/// How often the keeper counts, and what it counts to until an idle connection is closed: after 90 to 100 s.
const COUNT: Duration = Duration::from_secs(10);
const COUNTS: u64 = 10;
/// Idle connections that are kept; the one that lies there longest goes.
const MOST: usize = 1024;
/// Connections of HTTP/2 that are kept: one that is made beyond carries the request that it was made for, and ends with it.
const MOST_SHARED: usize = 256;

/// The connections to one place that can carry a request now.
pub(super) struct Shelf<B: Body + 'static> {
    state: Mutex<State<B>>,
    /// Wakes the keeper.
    pub(super) keeper: Arc<Notify>,
}

struct State<B: Body + 'static> {
    /// The one used last is at the end, and is used first.
    idle: VecDeque<Box<Line<B>>>,
    /// Those that carry many, the first with room first, and when each last carried any: those behind grow old where fewer do.
    shared: Vec<(Arc<Trunk<B>>, u64)>,
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
        let state = State { idle, shared: Vec::new(), waiting, count: 0, laid: 0, is_kept: false, most };
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
        self.keeps(state);
        // Closing it is the system's work, and needs no lock.
        drop(too_many);
    }

    /// One that carries many is there for those who wait, and for later unless others have room.
    pub(super) fn share(self: &Arc<Self>, trunk: &Arc<Trunk<B>>) {
        let mut state = self.state();
        state.share(trunk);
        self.keeps(state);
    }

    /// Begins to keep it in order where something lies on it now.
    fn keeps(self: &Arc<Self>, mut state: MutexGuard<'_, State<B>>) {
        let begins = !state.is_kept && !state.is_empty();
        if begins && let Ok(runtime) = Handle::try_current() {
            state.is_kept = true;
            runtime.spawn(keep(Arc::downgrade(self), Arc::clone(&self.keeper)));
        }
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
        let shared = std::mem::take(&mut state.shared);
        let mut ended = Vec::new();
        for (trunk, used) in shared {
            let used = if trunk.is_used() { count } else { used };
            if !trunk.is_over() && count - used < COUNTS {
                state.shared.push((trunk, used));
            } else {
                ended.push(trunk);
            }
        }
        state.is_kept = !state.is_empty();
        let is_kept = state.is_kept;
        drop(state);
        drop((gone, ended));
        is_kept
    }

    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        let state = self.state();
        state.idle.len() + state.shared.len()
    }
}

impl<B> State<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn take(&mut self) -> Option<Carrier<B>> {
        if !self.shared.is_empty() {
            self.shared.retain(|(trunk, _)| !trunk.is_over());
            for (trunk, used) in &mut self.shared {
                if let Some(seat) = trunk.seat() {
                    *used = self.count;
                    return Some(Carrier::Shared(seat));
                }
            }
        }
        let line = self.idle.pop_back()?;
        line.take_up();
        Some(Carrier::Line(line))
    }

    /// What there is no room for comes back.
    fn put(&mut self, carrier: Carrier<B>) -> Option<Carrier<B>> {
        match carrier {
            Carrier::Shared(seat) => {
                let trunk = Arc::clone(seat.trunk());
                drop(seat);
                self.share(&trunk);
                // Where it was not kept it ends with this, behind the lock.
                trunk.seat().map(Carrier::Shared)
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

    fn share(&mut self, trunk: &Arc<Trunk<B>>) {
        while let Some(waiting) = self.waiting.pop_front() {
            // Whoever left needs none.
            if waiting.is_closed() {
                continue;
            }
            let Some(seat) = trunk.seat() else {
                self.waiting.push_front(waiting);
                break;
            };
            let _ = waiting.send(Carrier::Shared(seat));
        }
        self.shared.retain(|(known, _)| !known.is_over());
        let is_needed = self.shared.iter().all(|(known, _)| !Arc::ptr_eq(known, trunk) && !known.has_room());
        if is_needed && self.shared.len() < MOST_SHARED && !trunk.is_over() {
            self.shared.push((Arc::clone(trunk), self.count));
        }
    }

    fn is_empty(&self) -> bool {
        self.idle.is_empty() && self.shared.is_empty()
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
