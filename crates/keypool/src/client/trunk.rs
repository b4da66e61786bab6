//! One HTTP/2 connection to the provider, and how many requests it has room for.
//!
//! hyper takes any number of them, and those that its peer has no room for wait in it until others end. So it is counted here
//! who has a place on it, against what the peer allows; whoever finds none goes over another connection.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::oneshot;
use tower_keypool::BoxError;

use super::{Error, dial::Stream, opening::Opening};
use crate::entire::Entire;

/// A connection that says nothing for so long while requests are under way is asked whether it is there (as Google's own
/// clients ask after 31 s: servers turn away who does so more often), and has so long to say so.
const ASKED_AFTER: Duration = Duration::from_secs(30);
const SAYS_WITHIN: Duration = Duration::from_secs(10);

/// What hyper runs; `None`: it has ended.
type Running<B> = Option<http2::Connection<Stream, Opening<B>, TokioExecutor>>;

/// A connection that carries many requests.
pub(super) struct Trunk<B: Body + 'static> {
    sender: http2::SendRequest<Opening<B>>,
    peer: Arc<dyn Peer>,
    load: Arc<Load>,
    /// Goes with it, which ends what runs it: hyper would wait for a stream that never opens.
    _gone: oneshot::Sender<Infallible>,
}

/// Whoever is at the other end.
trait Peer: Send + Sync {
    /// So many streams it allows now; `None`: the connection has ended, or runs in this moment.
    fn allows(&self) -> Option<usize>;
}

impl<B> Peer for Mutex<Running<B>>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    fn allows(&self) -> Option<usize> {
        // Nobody waits for it here: it may be running a request's body.
        self.try_lock().ok()?.as_ref().map(http2::Connection::current_max_send_streams)
    }
}

/// Who is on it, and what it allows.
#[derive(Debug)]
struct Load {
    open: AtomicUsize,
    /// What the peer allowed when it was last looked at.
    most: AtomicUsize,
    is_given_up: AtomicBool,
}

impl<B> Trunk<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    /// One over these bytes, and the first place on it.
    pub(super) async fn over(stream: Stream) -> Result<Seat<B>, Error> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new());
        builder.keep_alive_interval(ASKED_AFTER).keep_alive_timeout(SAYS_WITHIN).keep_alive_while_idle(false);
        let (mut sender, connection) = builder.handshake(stream).await.map_err(Error::sent)?;
        // Until the peer says how many, hyper takes as many for allowed as all sensible ones do; what is too many then is
        // turned away, and sent again.
        let most = AtomicUsize::new(connection.current_max_send_streams());
        let load = Load { open: AtomicUsize::new(1), most, is_given_up: AtomicBool::new(false) };
        let running = Arc::new(Mutex::new(Some(connection)));
        let (held, gone) = oneshot::channel();
        tokio::spawn(run(Arc::clone(&running), gone));
        sender.ready().await.map_err(Error::sent)?;
        let trunk = Arc::new(Self { sender, peer: running, load: Arc::new(load), _gone: held });
        let place = Arc::new(Place(Arc::clone(&trunk.load)));
        Ok(Seat { trunk, place })
    }

    /// A place on it, if it has one.
    pub(super) fn seat(self: &Arc<Self>) -> Option<Seat<B>> {
        let most = self.most();
        let more = |open| (open < most).then_some(open + 1);
        self.load.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Seat { trunk: Arc::clone(self), place: Arc::new(Place(Arc::clone(&self.load))) })
    }

    /// Whether it has a place now.
    pub(super) fn has_room(&self) -> bool {
        !self.is_over() && self.load.open.load(Ordering::Relaxed) < self.most()
    }

    /// Whether anybody is on it.
    pub(super) fn is_used(&self) -> bool {
        self.load.open.load(Ordering::Relaxed) > 0
    }

    /// Whether nobody need ask it any more.
    pub(super) fn is_over(&self) -> bool {
        self.sender.is_closed() || self.load.is_given_up.load(Ordering::Relaxed) || self.most() == 0
    }

    /// What the peer allows now, or did just before where the connection runs in this moment.
    fn most(&self) -> usize {
        if let Some(most) = self.peer.allows() {
            self.load.most.store(most, Ordering::Relaxed);
            return most;
        }
        self.load.most.load(Ordering::Relaxed)
    }
}

/// Runs a connection until it ends, or nobody is left who could ask over it.
async fn run<B>(running: Arc<Mutex<Running<B>>>, gone: oneshot::Receiver<Infallible>)
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let lock = || running.lock().unwrap_or_else(PoisonError::into_inner);
    let ends = poll_fn(|cx| match &mut *lock() {
        Some(connection) => Pin::new(connection).poll(cx),
        None => Poll::Ready(Ok(())),
    });
    tokio::select! {
        biased;
        ended = ends => if let Err(error) = ended {
            tracing::debug!("a connection to the provider ended: {error}");
        },
        _ = gone => {}
    }
    // Dropped behind the lock; those who hold the sender learn of its end by that.
    let ended = lock().take();
    drop(ended);
}

/// A request's place on a connection, until its answer has come to its end.
pub(super) struct Seat<B: Body + 'static> {
    trunk: Arc<Trunk<B>>,
    place: Arc<Place>,
}

/// Held by both, a request on its way and its answer: a stream is open while one of them is.
#[derive(Debug)]
pub(super) struct Place(Arc<Load>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<B: Body + 'static> Seat<B> {
    pub(super) fn trunk(&self) -> &Arc<Trunk<B>> {
        &self.trunk
    }

    pub(super) fn place(&self) -> Arc<Place> {
        Arc::clone(&self.place)
    }

    pub(super) fn sender(&self) -> http2::SendRequest<Opening<B>> {
        self.trunk.sender.clone()
    }

    /// Nobody is to ask this connection any more; who is on it stays.
    pub(super) fn give_up(&self) {
        self.trunk.load.is_given_up.store(true, Ordering::Relaxed);
    }
}

/// An answer over HTTP/2, which leaves its place at its end.
pub(super) struct Streamed<B: Body + 'static> {
    body: Entire,
    seat: Option<Seat<B>>,
}

impl<B: Body + 'static> Streamed<B> {
    pub(super) fn new(body: Entire, seat: Seat<B>) -> Self {
        let seat = (!body.is_end_stream()).then_some(seat);
        Self { body, seat }
    }
}

impl<B: Body + 'static> Body for Streamed<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) || self.body.is_end_stream() {
            self.seat = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
