//! Room for the bodies that are held while they are understood: a bound for all of them together. Requests and answers have
//! one each, so that requests which wait for a key are never in the way of answers that came.

use std::sync::Arc;

use keypool_dialect::{Fault, Kind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Of all bodies together.
const ALL: usize = 256 << 20;
/// Shorter ones are bounded by how many connections there are, and need no room.
const SHORT: usize = 64 << 10;
const KIB: usize = 1 << 10;
/// So many packed ones are unpacked at a time, each by a thread of its own; the others wait in line.
const UNPACKED_AT_ONCE: usize = 4;

/// What is left of it. A cheap handle.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Room {
    left: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        Self::of(ALL)
    }
}

impl Room {
    /// For so many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        let (left, turns) = (Semaphore::new(bytes / KIB), Semaphore::new(UNPACKED_AT_ONCE));
        Self { left: Arc::new(left), turns: Arc::new(turns) }
    }

    /// Whether there is room for a body of so many bytes now.
    pub(in crate::gateway) fn has(&self, bytes: u64) -> bool {
        usize::try_from(bytes).is_ok_and(|bytes| needed(bytes) <= self.left.available_permits())
    }

    /// For one request, which holds nothing yet.
    pub(in crate::gateway) fn enter(&self) -> Held {
        Held { room: self.clone(), kib: 0, permit: None }
    }
}

/// What one request has of it, given back when it is dropped.
#[derive(Debug)]
pub(in crate::gateway) struct Held {
    room: Room,
    kib: usize,
    permit: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Takes as much as a body of so many bytes needs.
    ///
    /// # Errors
    /// Where others hold too much now; what it has it keeps.
    pub(super) fn hold(&mut self, bytes: usize) -> Result<(), Fault> {
        if self.takes(bytes) {
            return Ok(());
        }
        let message = "the gateway holds as many long requests as it has room for: send this one again in a second";
        Err(Fault::new(Kind::Overloaded, message))
    }

    /// The same; whether there was as much.
    pub(super) fn takes(&mut self, bytes: usize) -> bool {
        let kib = needed(bytes);
        let more = kib.saturating_sub(self.kib);
        if more == 0 {
            return true;
        }
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let Ok(taken) = Arc::clone(&self.room.left).try_acquire_many_owned(more) else { return false };
        match &mut self.permit {
            None => self.permit = Some(taken),
            Some(held) => held.merge(taken),
        }
        self.kib = kib;
        true
    }

    /// Gives back what a body of so many bytes does not need.
    pub(super) fn keep(&mut self, bytes: usize) {
        let kib = needed(bytes).min(self.kib);
        let given_back = self.permit.as_mut().and_then(|permit| permit.split(self.kib - kib));
        drop(given_back);
        self.kib = kib;
    }

    /// Whether it has any.
    pub(super) fn is_nothing(&self) -> bool {
        self.kib == 0
    }

    /// All of it, with nothing left here.
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, self.room.enter())
    }

    /// Waits until few enough are unpacked.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        // Nobody closes it.
        Arc::clone(&self.room.turns).acquire_owned().await.ok()
    }
}

fn needed(bytes: usize) -> usize {
    if bytes > SHORT { bytes.div_ceil(KIB) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_bodies_share_it_and_short_ones_need_none() {
        let room = Room::of(1 << 20);
        let (mut first, mut second, mut third) = (room.enter(), room.enter(), room.enter());
        first.hold(100 << 10).unwrap();
        first.hold(700 << 10).unwrap();
        second.hold(324 << 10).unwrap();
        assert_eq!(third.hold((64 << 10) + 1).unwrap_err().kind, Kind::Overloaded);
        assert!(room.has(64 << 10) && !room.has((64 << 10) + 1) && !room.has(u64::MAX));
        third.hold(64 << 10).unwrap();
        drop(second);
        third.hold(324 << 10).unwrap();
        assert!(third.hold(usize::MAX).is_err());
        first.keep(100 << 10);
        first.keep(500 << 10);
        assert_eq!(room.left.available_permits(), (1 << 10) - 100 - 324);
        third.keep(1 << 10);
        assert!(third.is_nothing() && room.left.available_permits() == (1 << 10) - 100);
        let elsewhere = first.take();
        assert!(first.is_nothing());
        drop((first, third, elsewhere));
        assert_eq!(room.left.available_permits(), 1 << 10);
    }
}
