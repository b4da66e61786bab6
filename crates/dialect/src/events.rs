//! Server-sent events out of chunks that may end anywhere.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_core::Stream;
use sse_stream::SseByteStream;

use crate::{Fault, Kind};

/// An event that is longer ends the stream: whole images come in one.
pub const MOST_OF_EVENT: usize = 32 << 20;
/// Bytes behind the last event that are kept: an error may stand there that is no event.
const MOST_OF_TAIL: usize = 64 << 10;

/// A blank line has at most one byte more than this.
const BORDER: usize = 3;

/// Takes chunks as they come, gives events as they are whole. Holds at most one event and one chunk.
pub struct Events {
    chunks: Chunks,
    parser: SseByteStream<Chunks>,
    /// Since the last event.
    held: usize,
    tail: Vec<u8>,
    /// The last bytes of the chunks before: a blank line may have begun there.
    border: Vec<u8>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("held", &self.held).finish_non_exhaustive()
    }
}

/// The chunks that the parser has not seen. It asks for them from inside of a poll, and nowhere else.
#[derive(Clone, Debug, Default)]
struct Chunks(Arc<Mutex<VecDeque<Bytes>>>);

impl Stream for Chunks {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        next.map_or(Poll::Pending, |chunk| Poll::Ready(Some(Ok(chunk))))
    }
}

impl Default for Events {
    fn default() -> Self {
        let chunks = Chunks::default();
        Self { parser: SseByteStream::new(chunks.clone()), chunks, held: 0, tail: Vec::new(), border: Vec::new() }
    }
}

impl Events {
    /// The next chunk. Ask for [`pull`](Self::pull) until there is none before another one comes.
    pub fn feed(&mut self, chunk: Bytes) {
        self.held = self.held.saturating_add(chunk.len());
        let bytes = match self.behind_last_blank(&chunk) {
            Some(start) => {
                self.tail.clear();
                &chunk[start..]
            }
            None => &chunk[..],
        };
        let room = MOST_OF_TAIL.saturating_sub(self.tail.len());
        self.tail.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.chunks.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(chunk);
    }

    /// The data of the next event that is whole.
    ///
    /// # Errors
    /// When it is no text, or longer than [`MOST_OF_EVENT`].
    pub fn pull(&mut self) -> Result<Option<String>, Fault> {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match Pin::new(&mut self.parser).poll_next(&mut cx) {
                Poll::Ready(Some(Ok(event))) => {
                    self.held = 0;
                    if let Some(data) = event.data.filter(|data| !data.is_empty()) {
                        return Ok(Some(data));
                    }
                }
                Poll::Ready(Some(Err(_)) | None) => {
                    return Err(Fault::new(Kind::BadGateway, "the upstream's stream is not text"));
                }
                Poll::Pending if self.held > MOST_OF_EVENT => {
                    return Err(Fault::new(Kind::BadGateway, "the upstream's stream has an event that is too long"));
                }
                Poll::Pending => return Ok(None),
            }
        }
    }

    /// Where in a chunk its last blank line ends, if it has one.
    fn behind_last_blank(&mut self, chunk: &[u8]) -> Option<usize> {
        let found = last_blank(chunk).or_else(|| {
            let (before, behind) = (&self.border[..], &chunk[..chunk.len().min(BORDER)]);
            let end = last_blank(&[before, behind].concat())?;
            end.checked_sub(before.len()).filter(|start| *start > 0)
        });
        self.border.extend_from_slice(&chunk[chunk.len().saturating_sub(BORDER)..]);
        self.border.drain(..self.border.len().saturating_sub(BORDER));
        found
    }

    /// What came behind the last event, as much of it as is kept.
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }
}

/// Behind the last blank line.
fn last_blank(chunk: &[u8]) -> Option<usize> {
    let at = |mark: &[u8]| chunk.windows(mark.len()).rposition(|window| window == mark).map(|at| at + mark.len());
    at(b"\n\n").max(at(b"\r\n\r\n")).max(at(b"\r\r"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stream: &[u8], size: usize) -> (Vec<String>, Vec<u8>) {
        let mut events = Events::default();
        let mut read = Vec::new();
        for chunk in stream.chunks(size) {
            events.feed(Bytes::copy_from_slice(chunk));
            while let Some(event) = events.pull().unwrap() {
                read.push(event);
            }
        }
        (read, events.tail().to_vec())
    }

    #[test]
    fn borders_may_be_anywhere() {
        let stream =
            "\u{feff}data: {\"a\":\"é\"}\r\n\r\n: comment\n\ndata:one\ndata: two\n\nevent: x\n\ndata: z\r\n\r\n";
        for size in 1..stream.len() {
            assert_eq!(read(stream.as_bytes(), size).0, ["{\"a\":\"é\"}", "one\ntwo", "z"], "{size}");
        }
    }

    #[test]
    fn what_is_no_event_is_the_tail() {
        let stream = b"data: 1\r\n\r\n{\"error\":\r\n{\"code\":503}}";
        for size in 1..stream.len() {
            let (events, tail) = read(stream, size);
            assert_eq!(events, ["1"]);
            assert_eq!(tail, b"{\"error\":\r\n{\"code\":503}}", "{size}");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut events = Events::default();
        let chunk = Bytes::from(vec![b'a'; 1 << 20]);
        events.feed(Bytes::from_static(b"data: "));
        let refused = (0..40).any(|_| {
            events.feed(chunk.clone());
            events.pull().is_err()
        });
        assert!(refused && events.tail().len() <= MOST_OF_TAIL);
    }
}
