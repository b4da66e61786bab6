//! Small writes in one piece.
//!
//! hyper hands over the head of a message, the length of a chunk and its bytes each as a part of one vectored write, which
//! costs the kernel some 0.25 µs more than sending what was put together first: of a small request, which is written twice,
//! a fiftieth.

use std::{
    cell::Cell,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};

/// Bytes that are put together; what is larger goes out as it stands.
const TOGETHER: usize = 2 << 10;

// Of each thread, which writes one thing at a time: room on the stack would be cleared for each.
thread_local!(static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) });

pin_project_lite::pin_project! {
    /// A connection whose small vectored writes go out as plain ones.
    #[derive(Debug)]
    pub(crate) struct OneWrite<IO> {
        #[pin]
        io: IO,
        owes: Option<Owes>,
    }
}

/// Whether something that was written is not out yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owes(Arc<AtomicBool>);

impl Owes {
    pub(crate) fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<IO> OneWrite<IO> {
    pub(crate) fn new(io: IO) -> Self {
        Self { io, owes: None }
    }

    /// The same, which says in `owes` whether it owes something.
    pub(crate) fn telling(io: IO, owes: &Owes) -> Self {
        Self { io, owes: Some(owes.clone()) }
    }

    fn owes(&self, any: bool) {
        if let Some(owes) = &self.owes {
            owes.0.store(any, Ordering::Relaxed);
        }
    }
}

impl<IO: Read> Read for OneWrite<IO> {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_read(cx, buf)
    }
}

impl<IO: Write> Write for OneWrite<IO> {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.owes(true);
        self.project().io.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.owes(true);
        let io = self.project().io;
        if let [alone] = bufs {
            return io.poll_write(cx, alone);
        }
        if bufs.iter().map(|buf| buf.len()).sum::<usize>() > TOGETHER {
            return io.poll_write_vectored(cx, bufs);
        }
        let mut together = ROOM.take();
        for buf in bufs {
            together.extend_from_slice(buf);
        }
        let written = io.poll_write(cx, &together);
        together.clear();
        ROOM.set(together);
        written
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    #[inline]
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.as_mut().project().io.poll_flush(cx);
        if matches!(flushed, Poll::Ready(Ok(()))) {
            // hyper asks for it once it has handed over all that it has.
            self.owes(false);
        }
        flushed
    }

    #[inline]
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at most so many bytes a write, and keeps what came in which way.
    struct Taken {
        most: usize,
        plain: Vec<Vec<u8>>,
        vectored: Vec<usize>,
    }

    impl Write for Taken {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            let length = buf.len().min(self.most);
            self.plain.push(buf[..length].to_vec());
            Poll::Ready(Ok(length))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let length = bufs.iter().map(|buf| buf.len()).sum();
            self.vectored.push(length);
            Poll::Ready(Ok(length))
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn write(most: usize, parts: &[&[u8]]) -> (usize, Taken) {
        let mut taken = Taken { most, plain: Vec::new(), vectored: Vec::new() };
        let bufs: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let Poll::Ready(Ok(length)) = Pin::new(&mut OneWrite::new(&mut taken)).poll_write_vectored(&mut cx, &bufs)
        else {
            panic!("it takes everything at once")
        };
        (length, taken)
    }

    #[test]
    fn what_was_written_is_owed_until_it_is_flushed() {
        let (mut taken, owes) = (Taken { most: 3, plain: Vec::new(), vectored: Vec::new() }, Owes::default());
        let mut told = OneWrite::telling(&mut taken, &owes);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(!owes.any());
        for vectored in [false, true] {
            let bufs = [IoSlice::new(b"one"), IoSlice::new(b"two")];
            let writer = Pin::new(&mut told);
            let written = if vectored {
                writer.poll_write_vectored(&mut cx, &bufs)
            } else {
                writer.poll_write(&mut cx, b"onetwo")
            };
            assert!(matches!(written, Poll::Ready(Ok(3))) && owes.any());
            assert!(Pin::new(&mut told).poll_flush(&mut cx).is_ready() && !owes.any());
        }
    }

    #[test]
    fn small_parts_go_out_together_and_large_ones_as_they_stand() {
        let (length, taken) = write(usize::MAX, &[b"5\r\n", b"", b"hello", b"\r\n"]);
        assert_eq!((length, &taken.plain[..], taken.vectored.len()), (10, &[b"5\r\nhello\r\n".to_vec()][..], 0));
        let (length, taken) = write(7, &[b"5\r\n", b"hello"]);
        assert_eq!((length, &taken.plain[0][..]), (7, &b"5\r\nhell"[..]), "what was not taken comes again");
        let (_, taken) = write(usize::MAX, &[b"alone"]);
        assert_eq!((taken.plain.len(), taken.vectored.len()), (1, 0));
        let whole = vec![b'x'; TOGETHER - 3];
        assert_eq!(write(usize::MAX, &[b"abc", &whole]).1.plain[0].len(), TOGETHER);
        assert_eq!(write(usize::MAX, &[b"abcd", &whole]).1.vectored, [TOGETHER + 1]);
        assert_eq!(write(usize::MAX, &[]).0, 0);
    }
}
