//! A long page, in pieces.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// So long is each but the last. A page of metrics is a megabyte or two: as one text it would be copied as it grows, and
/// an allocator keeps room that large for the next scrape.
const PIECE: usize = 32 << 10;

/// What is written of a page, and goes out as it is.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    whole: VecDeque<Bytes>,
    open: Vec<u8>,
    /// Bytes that are still here.
    left: u64,
}

impl fmt::Write for Pieces {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        self.left += rest.len() as u64;
        while !rest.is_empty() {
            if self.open.capacity() == 0 {
                self.open.reserve_exact(PIECE);
            }
            let (now, later) = rest.split_at(rest.len().min(PIECE - self.open.len()));
            self.open.extend_from_slice(now);
            rest = later;
            if self.open.len() == PIECE {
                self.whole.push_back(std::mem::take(&mut self.open).into());
            }
        }
        Ok(())
    }
}

impl From<String> for Pieces {
    fn from(text: String) -> Self {
        Self { left: text.len() as u64, open: text.into_bytes(), whole: VecDeque::new() }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match self.whole.pop_front() {
            Some(piece) => piece,
            None if self.open.is_empty() => return Poll::Ready(None),
            None => std::mem::take(&mut self.open).into(),
        };
        self.left -= piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_page_of_any_length_goes_out_as_it_was_written() {
        for length in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 7] {
            for each in [1, 1000, PIECE, 2 * PIECE + 1] {
                let text: String = ('a'..='z').cycle().take(length).collect();
                let mut pieces = Pieces::default();
                for part in text.as_bytes().chunks(each) {
                    pieces.write_str(std::str::from_utf8(part).unwrap()).unwrap();
                }
                assert_eq!(pieces.size_hint().exact(), Some(length as u64));
                assert!(pieces.whole.iter().all(|piece| piece.len() == PIECE) && pieces.open.len() < PIECE);
                assert_eq!(pieces.collect().await.unwrap().to_bytes(), text, "{length} by {each}");
            }
        }
        assert_eq!(Pieces::from("said".to_owned()).collect().await.unwrap().to_bytes(), "said");
        assert!(Pieces::from(String::new()).is_end_stream());
    }
}
