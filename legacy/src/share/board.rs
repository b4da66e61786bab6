//! Where the board is kept.

use std::{
    future::{Future, pending, ready},
    sync::{Mutex, PoisonError},
};

use tower::BoxError;

use super::{
    apply::{Server, apply},
    names::HolderId,
    state::BoardState,
    wire::{Noted, Renewal, Reply},
};
use crate::time::Clock;

/// The shared record of units. One operation, so that a database does it in one transaction and a server in one script:
/// [`apply`] is what it means.
pub trait Board: Send + Sync {
    /// Does what the renewal asks for, and answers it.
    ///
    /// # Errors
    /// When the board cannot be reached, or did not answer: the renewal may have been done or not.
    fn renew(&self, renewal: &Renewal) -> impl Future<Output = Result<Reply, BoxError>> + Send;

    /// The next that the board says of its own accord, between two renewals; one that says nothing so lets it wait for
    /// ever. Only a hint: whatever it is about is heard with the next renewal as well. It may be dropped at any time, and
    /// nothing is lost.
    fn hint(&self) -> impl Future<Output = Hint> + Send {
        pending()
    }
}

/// What a board says of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hint {
    /// Something changed that this process is to hear of at once: what it holds is wanted, what it wants is free, a key was
    /// switched off or on; or something may have been missed.
    News,
    /// The last renewal came back this way, too: hints arrive, and all who share the board give them.
    Echo,
}

/// A board in this process's memory: for pools of one process, and for tests.
#[derive(Debug)]
pub struct MemoryBoard {
    state: Mutex<BoardState>,
    clock: Clock,
}

impl MemoryBoard {
    /// An empty board whose time is this clock's.
    pub fn new(clock: Clock) -> Self {
        Self { state: Mutex::new(BoardState::fresh()), clock }
    }
}

impl MemoryBoard {
    /// Loses all that it knows, as a server does that is flushed.
    pub fn forget(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = BoardState::default();
    }

    /// Takes a note, as a store does with a batch: see [`Renewal::noting`].
    pub fn note(&self, holder: &HolderId, number: u64, units: Vec<Noted>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.note(holder, number, units, self.clock.now().wall_ms());
    }
}

impl Board for MemoryBoard {
    fn renew(&self, renewal: &Renewal) -> impl Future<Output = Result<Reply, BoxError>> + Send {
        let server = Server { now: self.clock.now().wall_ms(), identity: "" };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        ready(Ok(apply(&mut state, renewal, server)))
    }
}
