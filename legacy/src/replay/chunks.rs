//! The kept chunks of one body, by reference, numbered from the body's beginning.

use std::{collections::VecDeque, mem, sync::Arc};

use bytes::Bytes;
use http::HeaderMap;

use super::budget::Budget;

/// What comes next of a body.
pub(super) enum Next {
    Data(Bytes),
    Trailers(Box<HeaderMap>),
    End,
}

/// Chunks behind the first. Most bodies have none.
pub(super) type Rest = Option<Box<VecDeque<Bytes>>>;

/// Kept chunks. The first stands inline, so that a small body costs no allocation; the rest are in a list.
///
/// What is kept is taken from the budget: its bytes, and its place in the list.
#[derive(Debug)]
pub(super) struct Chunks {
    first: Option<Bytes>,
    rest: Rest,
    /// The number of the oldest chunk that is kept: how many were let go.
    base: usize,
    charged: usize,
    budget: Arc<Budget>,
}

impl Chunks {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self { first: None, rest: None, base: 0, charged: 0, budget }
    }

    /// Keeps one more, where the budget has room.
    #[must_use]
    pub(super) fn push(&mut self, chunk: Bytes) -> bool {
        let fits = self.budget.take(cost(&chunk));
        if fits {
            self.append(chunk);
        }
        fits
    }

    /// Keeps one more that has to be kept, whatever the budget says.
    pub(super) fn force(&mut self, chunk: Bytes) {
        self.budget.force(cost(&chunk));
        self.append(chunk);
    }

    fn append(&mut self, chunk: Bytes) {
        self.charged += cost(&chunk);
        if self.first.is_none() && self.others().len() == 0 {
            self.first = Some(chunk);
        } else {
            self.rest.get_or_insert_default().push_back(chunk);
        }
    }

    /// Chunk number `n`, counted from the body's beginning.
    pub(super) fn get(&self, n: usize) -> Option<&Bytes> {
        let place = n.checked_sub(self.base)?;
        match &self.first {
            Some(first) if place == 0 => Some(first),
            Some(_) => self.rest.as_ref()?.get(place - 1),
            None => self.rest.as_ref()?.get(place),
        }
    }

    /// Lets the oldest go and hands it out.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        let chunk = self.first.take().or_else(|| self.rest.as_mut()?.pop_front())?;
        self.base += 1;
        self.charged -= cost(&chunk);
        self.budget.give(cost(&chunk));
        Some(chunk)
    }

    /// Lets all before number `n` go.
    pub(super) fn release_before(&mut self, n: usize) {
        while self.base < n && self.pop().is_some() {}
    }

    /// Counts a chunk that passed without being kept; nothing before it may be kept either.
    pub(super) fn pass(&mut self) {
        debug_assert!(self.iter().next().is_none(), "a hole in what is kept");
        self.base += 1;
    }

    /// Whether chunks from the beginning were let go.
    pub(super) fn lost_beginning(&self) -> bool {
        self.base > 0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.first.iter().chain(self.others())
    }

    fn others(&self) -> impl ExactSizeIterator<Item = &Bytes> {
        self.rest.as_deref().map(VecDeque::iter).unwrap_or_default()
    }

    /// All that is kept, to be dropped by the caller; the budget has it back.
    pub(super) fn take_all(&mut self) -> (Option<Bytes>, Rest) {
        self.base += self.iter().count();
        self.budget.give(mem::take(&mut self.charged));
        (self.first.take(), self.rest.take())
    }
}

impl Drop for Chunks {
    fn drop(&mut self) {
        self.budget.give(self.charged);
    }
}

/// What a kept chunk costs: a body of one-byte chunks takes more memory for the list than for its bytes.
fn cost(chunk: &Bytes) -> usize {
    chunk.len() + mem::size_of::<Bytes>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_keep_their_numbers_while_the_oldest_go() {
        let budget = Arc::new(Budget::new(1 << 20));
        let mut chunks = Chunks::new(Arc::clone(&budget));
        for text in ["a", "bb", "ccc"] {
            assert!(chunks.push(Bytes::from(text)));
        }
        assert_eq!(budget.used(), 6 + 3 * mem::size_of::<Bytes>());
        assert_eq!(chunks.get(2).unwrap(), "ccc");
        chunks.release_before(1);
        assert!(chunks.lost_beginning());
        assert_eq!(chunks.get(0), None);
        assert_eq!(chunks.get(1).unwrap(), "bb");
        assert_eq!(chunks.pop().unwrap(), "bb");
        assert_eq!(chunks.get(2).unwrap(), "ccc");
        chunks.release_before(9);
        chunks.pass();
        assert!(chunks.push(Bytes::from("e")));
        assert_eq!(chunks.get(4).unwrap(), "e");
        drop(chunks);
        assert_eq!(budget.used(), 0);
    }
}
