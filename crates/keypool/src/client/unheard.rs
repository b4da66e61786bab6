//! A connection whose provider may answer and hang up while it is still being sent to.
//!
//! hyper ends a connection whose writes fail, and does not look whether an answer came before. Here such a failure is told by
//! what is read: the answer, where one is there, or what the write failed of.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use pin_project_lite::pin_project;

/// What is read at once of what was left behind, at most.
const LEFT: usize = 4 << 10;

pin_project! {
    /// A connection that is read to its end where nobody hears what is written any more.
    #[derive(Debug)]
    pub(super) struct Unheard<IO> {
        #[pin]
        io: IO,
        hung_up: Option<HungUp>,
    }
}

/// How the other side hung up.
#[derive(Debug)]
enum HungUp {
    /// What a write failed of; nothing was read since.
    Silently(io::Error),
    /// It had said something.
    Answered,
}

impl<IO> Unheard<IO> {
    pub(super) fn new(io: IO) -> Self {
        Self { io, hung_up: None }
    }
}

fn is_hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset | ConnectionAborted)
}

impl<IO: Read> Read for Unheard<IO> {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if self.hung_up.is_none() {
            return self.project().io.poll_read(cx, buf);
        }
        self.poll_left(cx, buf)
    }
}

impl<IO: Read> Unheard<IO> {
    /// Reads what is there of a connection that the other side hung up. It ends as the write did, if nothing is.
    #[cold]
    fn poll_left(self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let (mut left, most) = ([0; LEFT], LEFT.min(buf.remaining()));
        let mut read = ReadBuf::new(&mut left[..most]);
        let came = ready!(this.io.poll_read(cx, read.unfilled())).map(|()| read.filled());
        match came {
            Ok(bytes) if bytes.is_empty() && most > 0 => match this.hung_up.replace(HungUp::Answered) {
                Some(HungUp::Silently(error)) => Poll::Ready(Err(error)),
                _ => Poll::Ready(Ok(())),
            },
            Ok(bytes) => {
                if !bytes.is_empty() {
                    *this.hung_up = Some(HungUp::Answered);
                }
                buf.put_slice(bytes);
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl<IO: Write> Unheard<IO> {
    /// What nobody hears is as good as written.
    #[inline]
    fn written(hung_up: &mut Option<HungUp>, written: io::Result<usize>, length: usize) -> io::Result<usize> {
        match written {
            Err(error) if is_hung_up(&error) => {
                if hung_up.is_none() {
                    *hung_up = Some(HungUp::Silently(error));
                }
                Ok(length)
            }
            written => written,
        }
    }
}

impl<IO: Write> Write for Unheard<IO> {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.project();
        if this.hung_up.is_some() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = ready!(this.io.poll_write(cx, bytes));
        Poll::Ready(Self::written(this.hung_up, written, bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let length = bytes.iter().map(|bytes| bytes.len()).sum();
        if this.hung_up.is_some() {
            return Poll::Ready(Ok(length));
        }
        let written = ready!(this.io.poll_write_vectored(cx, bytes));
        Poll::Ready(Self::written(this.hung_up, written, length))
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// TLS may find out only here that nobody hears it.
    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        if this.hung_up.is_some() {
            return Poll::Ready(Ok(()));
        }
        let flushed = ready!(this.io.poll_flush(cx)).map(|()| 0);
        Poll::Ready(Self::written(this.hung_up, flushed, 0).map(|_| ()))
    }

    #[inline]
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::{error::Error, task::Waker};

    use bytes::Bytes;
    use http::{Request, StatusCode};
    use http_body_util::{BodyExt, Full};
    use hyper::client::conn::http1;

    use super::*;

    /// Somebody who left this behind, and hung up before the first write.
    struct Gone {
        left: &'static [u8],
        kind: io::ErrorKind,
        /// The reader, who has not heard of it before the writer.
        reader: Option<Waker>,
        is_known: bool,
    }

    impl Read for Gone {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            mut buf: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            if !self.is_known {
                self.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let (now, later) = self.left.split_at(self.left.len().min(20));
            self.left = later;
            buf.put_slice(now);
            Poll::Ready(Ok(()))
        }
    }

    impl Write for Gone {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
            assert!(!self.is_known, "it is written to once");
            self.is_known = true;
            if let Some(reader) = self.reader.take() {
                reader.wake();
            }
            Poll::Ready(Err(self.kind.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Err(self.kind.into()))
        }
    }

    /// What a request brings whose writes fail so, where this came before.
    async fn asked(left: &'static [u8], kind: io::ErrorKind) -> hyper::Result<(StatusCode, Bytes)> {
        let gone = Gone { left, kind, reader: None, is_known: false };
        let (mut sender, connection) = http1::handshake(Unheard::new(gone)).await?;
        tokio::spawn(connection);
        let request = Request::new(Full::<Bytes>::from(vec![b'x'; 1 << 20]));
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok((head.status, body.collect().await?.to_bytes()))
    }

    const REFUSAL: &[u8] = b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 9\r\n\r\ntoo large";

    #[tokio::test]
    async fn an_answer_that_came_before_the_writes_failed_is_read() {
        for kind in [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset] {
            let answered = asked(REFUSAL, kind).await.unwrap();
            assert_eq!(answered, (StatusCode::PAYLOAD_TOO_LARGE, "too large".into()));
        }
    }

    #[tokio::test]
    async fn where_none_came_it_is_known_what_the_write_failed_of() {
        let failed = asked(b"", io::ErrorKind::ConnectionReset).await.unwrap_err();
        let of = failed.source().and_then(|of| of.downcast_ref::<io::Error>());
        assert_eq!(of.map(io::Error::kind), Some(io::ErrorKind::ConnectionReset), "{failed:?}");
    }

    #[tokio::test]
    async fn an_answer_that_is_cut_is_none() {
        for end in [10, 40, REFUSAL.len() - 1] {
            asked(&REFUSAL[..end], io::ErrorKind::ConnectionReset).await.unwrap_err();
        }
    }

    #[tokio::test]
    async fn what_fails_of_something_else_is_told_at_once() {
        asked(REFUSAL, io::ErrorKind::TimedOut).await.unwrap_err();
    }
}
