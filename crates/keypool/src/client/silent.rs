//! A connection through a proxy, until something comes over it. A proxy may say that it is through, and close: nobody knows better
//! than by what the provider says that there is one behind.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tower_keypool::{Exit, ExitError};

/// What is read of it first, at most.
const FIRST: usize = 512;

/// A connection that may be silent so far.
#[derive(Debug)]
pub(super) struct Silent<IO> {
    io: IO,
    /// The exit whose fault it is if it ends before anything came; `None`: something came, or nobody would be to blame.
    by: Option<Exit>,
}

impl<IO> Silent<IO> {
    /// `by`: the proxy that leads to the provider.
    pub(super) fn new(io: IO, by: Option<Exit>) -> Self {
        Self { io, by }
    }

    /// What is to blame for an error, where nothing came so far.
    fn blamed(&self, error: io::Error) -> io::Error {
        match &self.by {
            Some(exit) => io::Error::new(error.kind(), ExitError::new(exit.clone(), error)),
            None => error,
        }
    }
}

impl<IO: Read + Unpin> Read for Silent<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<Result<(), io::Error>> {
        let this = &mut *self;
        if this.by.is_none() {
            return Pin::new(&mut this.io).poll_read(cx, buf);
        }
        let (mut first, most) = ([0; FIRST], FIRST.min(buf.remaining()));
        if most == 0 {
            return Poll::Ready(Ok(()));
        }
        let mut read = ReadBuf::new(&mut first[..most]);
        let came = ready!(Pin::new(&mut this.io).poll_read(cx, read.unfilled()));
        let closed = || io::Error::new(io::ErrorKind::UnexpectedEof, "the proxy closed before anything came through");
        match came {
            Ok(()) if read.filled().is_empty() => Poll::Ready(Err(this.blamed(closed()))),
            Ok(()) => {
                this.by = None;
                buf.put_slice(read.filled());
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(this.blamed(error))),
        }
    }
}

impl<IO: Write + Unpin> Write for Silent<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, io::Error>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, bytes));
        Poll::Ready(written.map_err(|error| self.blamed(error)))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        let flushed = ready!(Pin::new(&mut self.io).poll_flush(cx));
        Poll::Ready(flushed.map_err(|error| self.blamed(error)))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<Result<usize, io::Error>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bytes));
        Poll::Ready(written.map_err(|error| self.blamed(error)))
    }
}

impl<IO: Connection> Connection for Silent<IO> {
    fn connected(&self) -> Connected {
        self.io.connected()
    }
}
