//! Whether a client keeps up: with the body that it sends, and with the answer that it reads.
//!
//! Looked at whenever the connection's task counts a tick ([`Ticks`]), so that a request arms no timer of its own.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_keypool::BoxError;

use super::{
    ticks::{OwnTicks, TICK, Ticks},
    unread::{self, Asked},
};
use crate::{
    entire::Entire,
    gateway::{
        dialect::{Dialect, Refusal},
        farewell::{Parting, UNANSWERED},
    },
};

/// What a client may take its time with.
#[derive(Clone, Copy, Debug)]
pub struct Paces {
    /// A body that brings fewer than `LEAST` bytes in this time has stopped.
    pub body: Duration,
    /// Who takes no byte of an answer for so long does not read.
    pub reader: Duration,
}

/// Bytes of a body that are expected in the time that it has.
pub(in crate::gateway) const LEAST: u64 = 512;

/// How far something came, and whether it is the client's turn.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Progress {
    bytes: AtomicU64,
    owed: AtomicBool,
    /// It stopped, and is not waited for any more.
    given_up: AtomicBool,
    /// The gateway ends, and waits no more.
    stopping: AtomicBool,
    /// Of whoever sends it, by its place.
    dialect: AtomicU8,
}

const DIALECTS: [Dialect; 3] = [Dialect::Gemini, Dialect::OpenAi, Dialect::Anthropic];
const STOPPED: Refusal = Refusal::new(
    StatusCode::REQUEST_TIMEOUT,
    "the request's body stopped coming, or comes too slowly: it was given up (gateway.body_timeout)",
);

impl Progress {
    pub(in crate::gateway) fn came(&self, bytes: usize) {
        self.owed.store(false, Ordering::Relaxed);
        // One task at a time moves it on: no locked instruction is needed.
        self.bytes.store(self.bytes.load(Ordering::Relaxed).wrapping_add(bytes as u64), Ordering::Relaxed);
    }

    pub(in crate::gateway) fn owes(&self) {
        self.owed.store(true, Ordering::Relaxed);
    }

    fn is_over(&self) {
        self.owed.store(false, Ordering::Relaxed);
    }

    /// The gateway ends: whoever waits for an answer is told so at the next look.
    pub(in crate::gateway) fn stops(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// What its sender is told when it stopped.
    fn stopped(&self) -> Response<Full<Bytes>> {
        self.given_up.store(true, Ordering::Relaxed);
        self.dialect().answer(STOPPED)
    }

    fn dialect(&self) -> Dialect {
        let dialect = DIALECTS.get(usize::from(self.dialect.load(Ordering::Relaxed))).copied();
        dialect.unwrap_or(Dialect::Gemini)
    }
}

/// Looks at a progress now and then.
#[derive(Debug)]
pub(in crate::gateway) struct Watch {
    progress: Arc<Progress>,
    /// Bytes that are enough.
    least: u64,
    /// Ticks that it has for them.
    ticks: u32,
    since: u32,
    bytes: u64,
}

impl Watch {
    /// Whoever owes it brings `least` bytes within `wait`, and up to a tick more.
    pub(in crate::gateway) fn new(progress: &Arc<Progress>, ticks: &Ticks, (wait, least): (Duration, u64)) -> Self {
        let count = u32::try_from(wait.as_millis().div_ceil(TICK.as_millis())).unwrap_or(u32::MAX);
        let bytes = progress.bytes.load(Ordering::Relaxed);
        // The first tick may come at once.
        Self { progress: Arc::clone(progress), least, ticks: count.saturating_add(1), since: ticks.passed(), bytes }
    }

    /// Whether it stopped. To be asked at each tick.
    pub(in crate::gateway) fn is_late(&mut self, ticks: &Ticks) -> bool {
        let (now, bytes) = (ticks.passed(), self.progress.bytes.load(Ordering::Relaxed));
        let owed = self.progress.owed.load(Ordering::Relaxed);
        if !owed || bytes.wrapping_sub(self.bytes) >= self.least {
            (self.since, self.bytes) = (now, bytes);
            return false;
        }
        now.wrapping_sub(self.since) >= self.ticks
    }
}

/// A body as a client sends it.
#[derive(Debug)]
pub struct Arriving {
    /// `None`: it is over.
    body: Option<Entire>,
    progress: Arc<Progress>,
    /// Its sender asked first whether to send it, and none of it was read.
    asked: Option<Asked>,
    /// Once it had to be waited for.
    notice: Option<(Arc<Notice>, Waker)>,
}

/// Tells the reader of a body that more is there, from when on it is the reader's turn: as long as that waits for
/// something else (a key), its sender owes nothing.
#[derive(Debug)]
struct Notice {
    progress: Arc<Progress>,
    reader: AtomicWaker,
}

impl Wake for Notice {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.progress.is_over();
        self.reader.wake();
    }
}

impl Arriving {
    pub(in crate::gateway) fn new(body: Entire, progress: &Arc<Progress>, asked: Option<Asked>) -> Self {
        progress.is_over();
        progress.given_up.store(false, Ordering::Relaxed);
        Self { body: Some(body), progress: Arc::clone(progress), asked, notice: None }
    }

    /// Whoever sends it is told in this dialect when it stops.
    pub(in crate::gateway) fn speaks(&self, dialect: Dialect) {
        let place = DIALECTS.iter().position(|known| *known == dialect).unwrap_or_default();
        self.progress.dialect.store(u8::try_from(place).unwrap_or_default(), Ordering::Relaxed);
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        this.asked = None;
        let mut polled = match &this.notice {
            // Most bodies are there when they are asked for.
            None => Pin::new(&mut *body).poll_frame(cx),
            Some(_) => Poll::Pending,
        };
        if polled.is_pending() {
            let (notice, waker) = this.notice.get_or_insert_with(|| {
                let notice = Arc::new(Notice { progress: Arc::clone(&this.progress), reader: AtomicWaker::new() });
                (Arc::clone(&notice), Waker::from(notice))
            });
            notice.reader.register(cx.waker());
            // Before it is asked: what comes meanwhile takes it back.
            this.progress.owes();
            polled = Pin::new(body).poll_frame(&mut Context::from_waker(waker));
        }
        match &polled {
            Poll::Pending => {}
            Poll::Ready(frame) => {
                let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref);
                this.progress.came(data.map_or(0, Bytes::len));
                if !matches!(frame, Some(Ok(_))) {
                    this.body = None;
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Entire::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Entire::size_hint)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        // Of whoever stopped, nothing is to be had; who was merely waited for (the provider answered early) writes on.
        let stopped = self.progress.given_up.load(Ordering::Relaxed);
        self.progress.is_over();
        // What nobody reads of it is taken in: else its sender would not see the answer.
        if let Some(body) = self.body.take().filter(|body| !stopped && !body.is_end_stream()) {
            match self.asked.take() {
                Some(asked) => asked.keep(body),
                None => unread::take_in(body),
            }
        }
    }
}

pin_project_lite::pin_project! {
    /// An answer to come, given up where the request's body stops.
    #[derive(Debug)]
    pub(in crate::gateway) struct Patient<F> {
        #[pin]
        answer: F,
        watch: Watch,
        ticks: Ticks,
        // Of a stream of HTTP/2, which is a task of its own; else the connection's task counts, and looks here.
        own: Option<Own>,
    }
}

/// What a stream of HTTP/2 has of its own.
#[derive(Debug)]
struct Own {
    ticks: OwnTicks,
    parting: Parting,
}

/// Who looks at a request's body while its answer is waited for.
#[derive(Debug)]
pub(in crate::gateway) struct Patience {
    watch: Watch,
    ticks: Ticks,
    own: Option<Own>,
}

impl Patience {
    /// The connection's own task.
    pub(in crate::gateway) fn of(watch: Watch, ticks: &Ticks) -> Self {
        Self { watch, ticks: ticks.clone(), own: None }
    }

    /// A task of its own, until this parting.
    pub(in crate::gateway) fn alone(progress: &Arc<Progress>, wait: Duration, parting: Parting) -> Self {
        let own = Own { ticks: OwnTicks::new(), parting };
        let ticks = own.ticks.ticks().clone();
        Self { watch: Watch::new(progress, &ticks, (wait, LEAST)), ticks, own: Some(own) }
    }
}

impl<F> Patient<F> {
    /// Made where it stays: an answer to come is some kilobytes of room for what it may need, which would be copied with
    /// every move.
    #[inline]
    pub(in crate::gateway) fn boxed(answer: impl FnOnce() -> F, patience: Patience) -> Pin<Box<Self>> {
        let Patience { watch, ticks, own } = patience;
        let place = Box::new_uninit();
        Box::into_pin(Box::write(place, Self { answer: answer(), watch, ticks, own }))
    }
}

impl<F: Future> Future for Patient<F> {
    type Output = Result<F::Output, Response<Full<Bytes>>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(answer) = this.answer.poll(cx) {
            return Poll::Ready(Ok(answer));
        }
        let progress = &this.watch.progress;
        if let Some(own) = this.own {
            own.ticks.poll(cx);
            if own.parting.poll(cx).is_ready() {
                progress.stops();
            }
        }
        if progress.is_stopping() {
            return Poll::Ready(Err(progress.dialect().answer_until(UNANSWERED, 1)));
        }
        if this.watch.is_late(this.ticks) {
            return Poll::Ready(Err(this.watch.progress.stopped()));
        }
        Poll::Pending
    }
}

pin_project_lite::pin_project! {
    /// A client's connection, whose way out is watched.
    #[derive(Debug)]
    pub(in crate::gateway) struct Outlet<IO> {
        #[pin]
        io: IO,
        progress: Arc<Progress>,
    }
}

impl<IO> Outlet<IO> {
    pub(in crate::gateway) fn new(io: IO, progress: &Arc<Progress>) -> Self {
        Self { io, progress: Arc::clone(progress) }
    }
}

impl<IO: AsyncRead> AsyncRead for Outlet<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_read(cx, buf)
    }
}

/// What a write came to.
fn wrote(progress: &Progress, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
    match &polled {
        Poll::Pending => progress.owes(),
        Poll::Ready(Ok(bytes)) => progress.came(*bytes),
        Poll::Ready(Err(_)) => progress.is_over(),
    }
    polled
}

impl<IO: AsyncWrite> AsyncWrite for Outlet<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.project();
        wrote(this.progress, this.io.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let flushed = this.io.poll_flush(cx);
        match &flushed {
            Poll::Pending => this.progress.owes(),
            // All that was held (a TLS record) is taken.
            Poll::Ready(Ok(())) => this.progress.is_over(),
            Poll::Ready(Err(_)) => {}
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        wrote(this.progress, this.io.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_owes_has_its_time_and_a_trickle_is_not_enough() {
        let (progress, ticks) = (Arc::new(Progress::default()), Ticks::default());
        let mut watch = Watch::new(&progress, &ticks, (TICK * 3, 10));
        let mut later = |bytes: usize, owes: bool| {
            if bytes > 0 {
                progress.came(bytes);
            }
            if owes {
                progress.owes();
            }
            ticks.pass();
            watch.is_late(&ticks)
        };
        // Nobody asks for more: it has all the time there is.
        assert!((0..20).all(|_| !later(0, false)));
        assert!((0..20).all(|_| !later(4, true)), "it brings enough in its time");
        let waited = (0..20).take_while(|_| !later(1, true)).count();
        assert!((3..=5).contains(&waited), "{waited}");
    }

    /// Takes what it is given, and once says that it is not through yet, as a TLS record does.
    struct Held(bool);

    impl AsyncWrite for Held {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buf.len()))
        }

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if std::mem::take(&mut self.0) { Poll::Pending } else { Poll::Ready(Ok(())) }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn who_has_read_all_owes_nothing() {
        let progress = Arc::new(Progress::default());
        let mut outlet = Box::pin(Outlet { io: Held(true), progress: Arc::clone(&progress) });
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(outlet.as_mut().poll_flush(&mut cx).is_pending());
        assert!(progress.owed.load(Ordering::Relaxed));
        assert!(outlet.as_mut().poll_flush(&mut cx).is_ready());
        assert!(!progress.owed.load(Ordering::Relaxed), "a connection that is quiet is not late");
    }
}
