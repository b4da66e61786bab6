//! Room for the bodies that are held while they are understood: a bound for all of them together.

use std::sync::Arc;

use keypool_dialect::{Fault, Kind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Of all bodies together.
const ALL: usize = 256 << 20;
/// Shorter ones are bounded by how many connections there are, and need no room.
const SHORT: usize = 64 << 10;
const KIB: usize = 1 << 10;

/// What is left of it. A cheap handle.
#[derive(Clone, Debug)]
pub(in crate::gateway) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self::of(ALL)
    }
}

impl Room {
    /// For so many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes / KIB)))
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
        let kib = if bytes > SHORT { bytes.div_ceil(KIB) } else { 0 };
        let more = kib.saturating_sub(self.kib);
        if more == 0 {
            return Ok(());
        }
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let Ok(taken) = Arc::clone(&self.room.0).try_acquire_many_owned(more) else {
            let message = "the gateway holds as many long requests as it has room for: send this one again in a second";
            return Err(Fault::new(Kind::Overloaded, message));
        };
        match &mut self.permit {
            None => self.permit = Some(taken),
            Some(held) => held.merge(taken),
        }
        self.kib = kib;
        Ok(())
    }
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
        third.hold(64 << 10).unwrap();
        drop(second);
        third.hold(324 << 10).unwrap();
        assert!(third.hold(usize::MAX).is_err());
        drop((first, third));
        assert_eq!(room.0.available_permits(), 1 << 10);
    }
}
