//! Bodies on their way to the provider.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tower_keypool::BoxError;

use crate::gateway::Arriving;

/// The caller's body as it comes, or one that is here already.
#[derive(Debug)]
pub enum Outgoing {
    /// As it comes.
    Came(Arriving),
    /// In one piece, read already.
    Whole(Option<Bytes>),
    /// As it comes, up to what it may be.
    Bounded(Box<Bounded>),
    /// In pieces, some of which may lie in the caller's own.
    Written(VecDeque<Bytes>),
    /// The caller's own, read before it was known where it goes; behind it what has not come yet.
    Gathered(Box<Gathered>),
}

/// A body with a bound.
#[derive(Debug)]
pub struct Bounded {
    body: Arriving,
    left: u64,
    broken: Broken,
}

/// A body of which the beginning was read.
#[derive(Debug)]
pub struct Gathered {
    /// What was read.
    pub frames: VecDeque<Frame<Bytes>>,
    /// What was not.
    pub rest: Option<(Arriving, Box<dyn Watch>)>,
    /// Whether somebody stopped it.
    pub broken: Broken,
}

/// Looks at what passes.
pub trait Watch: Send + Sync + std::fmt::Debug {
    /// Whether it may go on.
    fn passes(&mut self, data: &[u8]) -> bool;
}

/// Says whether a body was broken off here.
#[derive(Clone, Debug, Default)]
pub struct Broken(Arc<AtomicBool>);

impl Broken {
    /// Whether it was.
    pub fn is_broken(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn off<T>(&self, why: &'static str) -> Poll<Option<Result<T, BoxError>>> {
        self.0.store(true, Ordering::Release);
        Poll::Ready(Some(Err(why.into())))
    }
}

impl Outgoing {
    /// All of it, where it was read already and is of one piece.
    pub fn whole(&self) -> Option<&Bytes> {
        let gathered = match self {
            Self::Whole(data) => return data.as_ref(),
            Self::Gathered(gathered) => gathered,
            _ => return None,
        };
        let mut pieces = gathered.frames.iter().filter_map(Frame::data_ref);
        let first = pieces.next().filter(|_| gathered.rest.is_none())?;
        pieces.next().is_none().then_some(first)
    }

    /// A body of these pieces.
    pub fn written(pieces: Vec<Bytes>) -> Self {
        Self::Written(pieces.into())
    }

    /// The caller's body, of at most so many bytes; `broken` learns when there are more.
    pub fn bounded(body: Arriving, most: u64, broken: Broken) -> Self {
        Self::Bounded(Box::new(Bounded { body, left: most, broken }))
    }
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            match self.left.checked_sub(length) {
                Some(left) => self.left = left,
                None => return self.broken.off("the body is longer than it may be"),
            }
        }
        Poll::Ready(frame)
    }
}

impl Body for Gathered {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if let Some(frame) = this.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let Some((rest, watch)) = &mut this.rest else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(rest).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && !frame.data_ref().is_none_or(|data| watch.passes(data))
        {
            return this.broken.off("what the body names stands too far back in it");
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.rest.as_ref().is_none_or(|(rest, _)| rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let here = self.frames.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum();
        match &self.rest {
            // Trailers go in chunks alone.
            None if self.frames.iter().any(Frame::is_trailers) => SizeHint::default(),
            None => SizeHint::with_exact(here),
            Some((rest, _)) => match rest.size_hint().exact() {
                Some(length) => SizeHint::with_exact(here + length),
                None => SizeHint::default(),
            },
        }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Came(body) => Pin::new(body).poll_frame(cx),
            Self::Whole(data) => Poll::Ready(data.take().map(|data| Ok(Frame::data(data)))),
            Self::Bounded(body) => Pin::new(body).poll_frame(cx),
            Self::Gathered(body) => Pin::new(body).poll_frame(cx),
            Self::Written(pieces) => Poll::Ready(pieces.pop_front().map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Came(body) => body.is_end_stream(),
            Self::Whole(data) => data.is_none(),
            Self::Bounded(body) => body.body.is_end_stream(),
            Self::Gathered(body) => body.is_end_stream(),
            Self::Written(pieces) => pieces.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Came(body) => body.size_hint(),
            Self::Whole(data) => SizeHint::with_exact(data.as_ref().map_or(0, |data| data.len() as u64)),
            Self::Bounded(body) => body.body.size_hint(),
            Self::Gathered(body) => body.size_hint(),
            Self::Written(pieces) => SizeHint::with_exact(pieces.iter().map(|piece| piece.len() as u64).sum()),
        }
    }
}
