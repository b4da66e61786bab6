//! Room for the bodies that are held while they are understood: a bound for all of them together, and where several tenants
//! ask, for those of each. Requests and answers have one each, so that requests which wait for a key are never in the way of
//! answers that came.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use keypool_dialect::{Fault, Kind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Of all bodies together.
const ALL: usize = 256 << 20;
/// No tenant of several has more of it than one of so many parts: the largest bodies go in, and others as well.
const SHARES: usize = 2;
/// Tenants that hold nothing any more are looked for once so many are known.
const KNOWN: usize = 64;
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
    /// What each tenant may have, in KiB, and what is left of it to those that have any.
    share: usize,
    shares: Arc<Mutex<HashMap<Arc<str>, Weak<Semaphore>>>>,
}

/// Whose bodies they are; `None`: there is nobody beside whom a bound would help.
pub(in crate::gateway) type Whose = Option<Arc<str>>;

impl Default for Room {
    fn default() -> Self {
        Self::of(ALL)
    }
}

impl Room {
    /// For so many bytes.
    pub(super) fn of(bytes: usize) -> Self {
        let (left, turns) = (Semaphore::new(bytes / KIB), Semaphore::new(UNPACKED_AT_ONCE));
        Self {
            left: Arc::new(left),
            turns: Arc::new(turns),
            share: (bytes / KIB / SHARES).max(1),
            shares: Arc::default(),
        }
    }

    /// Whether there is room for a body of so many bytes now.
    pub(in crate::gateway) fn has(&self, bytes: u64, whose: &Whose) -> bool {
        let Ok(needed) = usize::try_from(bytes).map(needed) else { return false };
        let left = whose.as_ref().map_or(usize::MAX, |tenant| self.share_of(tenant).available_permits());
        needed == 0 || needed <= self.left.available_permits().min(left)
    }

    /// For one request, which holds nothing yet.
    pub(in crate::gateway) fn enter(&self, whose: &Whose) -> Held {
        Held { room: self.clone(), whose: whose.clone(), kib: 0, permits: None }
    }

    /// What a tenant may have; it lasts as long as any of it is held.
    fn share_of(&self, tenant: &Arc<str>) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(tenant).and_then(Weak::upgrade) {
            return share;
        }
        if shares.len() >= KNOWN {
            shares.retain(|_, share| share.strong_count() > 0);
        }
        let share = Arc::new(Semaphore::new(self.share));
        shares.insert(Arc::clone(tenant), Arc::downgrade(&share));
        share
    }

    /// So many KiB of the whole, and of their tenant's share.
    fn acquire(&self, kib: u32, whose: &Whose) -> Option<Permits> {
        let own = match whose {
            Some(tenant) => Some(self.share_of(tenant).try_acquire_many_owned(kib).ok()?),
            None => None,
        };
        Some(Permits { all: Arc::clone(&self.left).try_acquire_many_owned(kib).ok()?, own })
    }
}

/// What was taken of the whole, and as much of a tenant's share.
#[derive(Debug)]
struct Permits {
    all: OwnedSemaphorePermit,
    own: Option<OwnedSemaphorePermit>,
}

impl Permits {
    fn merge(&mut self, more: Self) {
        self.all.merge(more.all);
        match (&mut self.own, more.own) {
            // It is of the same share, which lasts as long as any of it is held.
            (Some(own), Some(more)) => own.merge(more),
            (own, more) => *own = own.take().or(more),
        }
    }

    /// Gives so many KiB back.
    fn give_back(&mut self, kib: usize) {
        drop(self.all.split(kib));
        drop(self.own.as_mut().and_then(|own| own.split(kib)));
    }
}

/// What one request has of it, given back when it is dropped.
#[derive(Debug)]
pub(in crate::gateway) struct Held {
    room: Room,
    whose: Whose,
    kib: usize,
    permits: Option<Permits>,
}

impl Held {
    /// Takes as much as a body of so many bytes needs.
    ///
    /// # Errors
    /// Where others hold too much now, or others of its tenant; what it has it keeps.
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
        let Some(taken) = self.room.acquire(more, &self.whose) else { return false };
        match &mut self.permits {
            None => self.permits = Some(taken),
            Some(held) => held.merge(taken),
        }
        self.kib = kib;
        true
    }

    /// Gives back what a body of so many bytes does not need.
    pub(super) fn keep(&mut self, bytes: usize) {
        let kib = needed(bytes).min(self.kib);
        if let Some(permits) = &mut self.permits {
            permits.give_back(self.kib - kib);
        }
        self.kib = kib;
    }

    /// Whether it has any.
    pub(super) fn is_nothing(&self) -> bool {
        self.kib == 0
    }

    /// All of it, with nothing left here.
    pub(super) fn take(&mut self) -> Self {
        std::mem::replace(self, self.room.enter(&self.whose))
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
        let (mut first, mut second, mut third) = (room.enter(&None), room.enter(&None), room.enter(&None));
        first.hold(100 << 10).unwrap();
        first.hold(700 << 10).unwrap();
        second.hold(324 << 10).unwrap();
        assert_eq!(third.hold((64 << 10) + 1).unwrap_err().kind, Kind::Overloaded);
        assert!(room.has(64 << 10, &None) && !room.has((64 << 10) + 1, &None) && !room.has(u64::MAX, &None));
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

    #[test]
    fn no_tenant_of_several_has_all_of_it() {
        let room = Room::of(1 << 20);
        let [alice, bob] = ["alice", "bob"].map(|name| Some(Arc::from(name)));
        let (mut first, mut second) = (room.enter(&alice), room.enter(&alice));
        first.hold(300 << 10).unwrap();
        assert!(room.has(212 << 10, &alice) && !room.has(213 << 10, &alice));
        second.hold(212 << 10).unwrap();
        assert_eq!(second.hold(300 << 10).unwrap_err().kind, Kind::Overloaded);
        assert!(first.take().hold(301 << 10).is_err() && !room.enter(&alice).takes(513 << 10));
        // It is whole again once nothing of it is held, and what is short needs none of it.
        second.hold(212 << 10).unwrap();
        assert!(room.enter(&alice).takes(64 << 10));
        let mut other = room.enter(&bob);
        other.hold(512 << 10).unwrap();
        assert!(other.hold(513 << 10).is_err(), "not though all else is free");
        other.keep(100 << 10);
        second.keep(0);
        assert!(room.enter(&alice).takes(512 << 10));
        drop((second, other));
        assert_eq!(room.left.available_permits(), 1 << 10);
        for n in 0..10 * KNOWN {
            room.enter(&Some(format!("tenant-{n}").into())).hold(100 << 10).unwrap();
        }
        assert!(room.shares.lock().unwrap().len() <= KNOWN);
    }
}
