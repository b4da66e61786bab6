//! An answer's body, listened to where it may tell of what is somebody's from then on.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tower_keypool::{BoxError, KeyId, KeyPoolBody};

use crate::{holdings::Holdings, names, transport::Received};

/// Answers that tell of something are no longer than this.
const LONGEST: usize = 1 << 20;

/// The body of a [`RawAnswer`](crate::RawAnswer). What it calls by a name is known to the client, and whose it is, before its
/// last byte goes out.
pub struct AnswerBody {
    inner: KeyPoolBody<Received>,
    listening: Option<Box<Listening>>,
}

/// What is listened for.
pub(crate) struct Listening {
    pub(crate) holdings: Holdings,
    pub(crate) key: KeyId,
    /// What ids are ids of.
    pub(crate) collection: Option<&'static str>,
    pub(crate) heard: Vec<u8>,
}

impl AnswerBody {
    pub(crate) fn new(inner: KeyPoolBody<Received>, listening: Option<Box<Listening>>) -> Self {
        Self { inner, listening }
    }

    /// It is all here, or as much as will come.
    fn ends(&mut self) {
        if let Some(Listening { holdings, key, collection, heard }) = self.listening.take().map(|all| *all) {
            let told = names::told_in(&heard, collection);
            holdings.learn(told.iter().map(String::as_str), &key);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if self.listening.is_some() {
            let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref);
            if let (Some(listening), Some(data)) = (&mut self.listening, data) {
                listening.heard.extend_from_slice(data);
                if listening.heard.len() > LONGEST {
                    self.listening = None;
                }
            }
            if frame.is_none() || self.inner.is_end_stream() {
                self.ends();
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl std::fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerBody").finish_non_exhaustive()
    }
}
