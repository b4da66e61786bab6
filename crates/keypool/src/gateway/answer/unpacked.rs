//! An answer that is read to be told in other words, and that came in gzip though nobody asked for that.

use std::{
    io::Write as _,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http::{header, response::Parts};
use http_body::{Body, Frame};
use tower_keypool::BoxError;

/// So much is unpacked at a time: it may become a thousand times as much, and whoever reads it counts what it became.
const PIECE: usize = 1 << 10;

pin_project_lite::pin_project! {
    /// A body as it was before it was packed, if it was.
    #[derive(Debug)]
    pub(in crate::gateway) struct Unpacked<B> {
        #[pin]
        body: B,
        unpacking: Option<Box<Unpacking>>,
    }
}

#[derive(Debug)]
struct Unpacking {
    to: MultiGzDecoder<Vec<u8>>,
    waiting: Bytes,
}

/// Whether an encoding is gzip.
pub(in crate::gateway) fn is_gzip(encoding: &[u8]) -> bool {
    [&b"gzip"[..], b"x-gzip"].iter().any(|gzip| encoding.eq_ignore_ascii_case(gzip))
}

impl<B> Unpacked<B> {
    /// Of an answer with this head.
    pub(in crate::gateway) fn of(head: &Parts, body: B) -> Self {
        let encoding = head.headers.get(header::CONTENT_ENCODING);
        let packed = encoding.is_some_and(|encoding| is_gzip(encoding.as_bytes().trim_ascii()));
        let unpacking =
            packed.then(|| Box::new(Unpacking { to: MultiGzDecoder::new(Vec::new()), waiting: Bytes::new() }));
        Self { body, unpacking }
    }
}

impl<B> Body for Unpacked<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let Some(Unpacking { to, waiting }) = this.unpacking.as_deref_mut() else {
            return this.body.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)));
        };
        loop {
            if !waiting.is_empty() {
                let piece = waiting.split_to(waiting.len().min(PIECE));
                if let Err(error) = to.write_all(&piece).and_then(|()| to.flush()) {
                    return Poll::Ready(Some(Err(error.into())));
                }
                let plain = mem::take(to.get_mut());
                if !plain.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(plain.into()))));
                }
                continue;
            }
            match ready!(this.body.as_mut().poll_frame(cx)).transpose().map_err(Into::into)? {
                Some(frame) => match frame.into_data() {
                    Ok(chunk) => *waiting = chunk,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                // All that can be unpacked has been; one that lacks its end broke off.
                None => return Poll::Ready(to.try_finish().err().map(|error| Err(error.into()))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use futures_util::stream::iter;
    use http::Response;
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut to = GzEncoder::new(Vec::new(), Compression::best());
        to.write_all(text).unwrap();
        to.finish().unwrap()
    }

    /// What is read of an answer that came in pieces of such a length, and the longest piece of that.
    async fn read(encoding: &str, body: &[u8], piece: usize) -> Result<(Bytes, usize), BoxError> {
        let head = Response::builder().header("content-encoding", encoding).body(()).unwrap().into_parts().0;
        let pieces: Vec<_> =
            body.chunks(piece).map(|piece| Ok::<_, BoxError>(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        let mut body = std::pin::pin!(Unpacked::of(&head, StreamBody::new(iter(pieces))));
        let (mut whole, mut longest) = (Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            let data = frame?.into_data().unwrap();
            longest = longest.max(data.len());
            whole.extend_from_slice(&data);
        }
        Ok((whole.into(), longest))
    }

    #[tokio::test]
    async fn it_is_unpacked_in_whatever_pieces_it_comes_and_little_at_a_time() {
        let mut text = vec![b' '; 20 << 20];
        text.extend_from_slice(b"the end");
        let body = packed(&text);
        for piece in [100, 1 << 20] {
            let (whole, longest) = read("GZIP", &body, piece).await.unwrap();
            assert!(whole == text && longest <= 2 << 20, "{longest}");
        }
        assert_eq!(read("identity", &body, 1 << 20).await.unwrap().0, body);
    }

    /// As RFC 1952 has it, and nothing else: what would stand behind them is read by some and not by others.
    #[tokio::test]
    async fn members_follow_one_another_and_nothing_follows_them() {
        let two = [packed(b"one "), packed(b"two")].concat();
        for piece in [1, 7, 1 << 20] {
            assert_eq!(read("gzip", &two, piece).await.unwrap().0, "one two");
            for behind in [&b"garbage"[..], &[0; 16], b"\n"] {
                assert!(read("gzip", &[&two[..], behind].concat(), piece).await.is_err(), "{behind:?}");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_gzip_or_lacks_its_end_broke_off() {
        let body = packed(b"some words");
        assert!(read("gzip", &body[..body.len() - 1], 5).await.is_err());
        assert!(read("gzip", b"some words", 5).await.is_err());
    }
}
