//! Chunks on their way to the caller. There is room for one without an allocation, which is all that most answers need.

use std::collections::VecDeque;

use bytes::Bytes;

#[derive(Default)]
pub(super) struct Outbox {
    next: Option<Bytes>,
    /// Rarely needed, so that it costs an answer no more than a pointer.
    #[expect(clippy::box_collection, reason = "a pointer is moved along with every answer, not four words")]
    more: Option<Box<VecDeque<Bytes>>>,
    bytes: usize,
}

impl Outbox {
    #[inline]
    pub(super) fn push(&mut self, chunk: Bytes) {
        self.bytes += chunk.len();
        if chunk.is_empty() {
        } else if self.next.is_none() {
            self.next = Some(chunk);
        } else {
            self.more.get_or_insert_default().push_back(chunk);
        }
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let chunk = self.next.take()?;
        self.bytes -= chunk.len();
        self.next = self.more.as_mut().and_then(|more| more.pop_front());
        Some(chunk)
    }

    /// What is in it, in its order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.next.iter().chain(self.more.iter().flat_map(|more| more.iter()))
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Bytes in it.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
