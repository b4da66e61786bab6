//! Seats: one record for each lease that is out. A lease is an index and a generation.

use std::sync::Arc;

use super::{Seat, Usage};
use crate::{
    limit::{Need, Stamp},
    time::Tick,
    verdict::Attempt,
};

/// A lease that is out.
#[derive(Clone, Debug)]
pub(super) struct SeatCell {
    pub(super) generation: u32,
    pub(super) slot: u32,
    /// Whose windows hold it: a key may change its owner while the lease is out.
    pub(super) owner: u32,
    pub(super) lane: u16,
    pub(super) taken: bool,
    /// From when its start counts; `None` while its place is provisional.
    pub(super) stamp: Option<Stamp>,
    /// When it started, or was granted where it has not yet.
    pub(super) started: Tick,
    /// Wall clock of its start, in Unix milliseconds.
    pub(super) wall_ms: i64,
    /// The pool's number of this start.
    pub(super) seq: u64,
    pub(super) need: Need,
    /// Counts in no window.
    pub(super) free: bool,
    /// Nothing left: its place was given back.
    pub(super) refunded: bool,
    pub(super) judged: bool,
    /// The scopes that it probes.
    pub(super) probes: Probes,
    /// What its key's last start was before, should this one never start.
    pub(super) before: (Tick, u64),
    /// An answer spoke against the key, or one of its scopes.
    pub(super) failed: bool,
    /// The request's place in line: all attempts of it have the same.
    pub(super) ticket: u64,
    pub(super) usage: Usage,
    pub(super) earlier: Option<Arc<[Attempt]>>,
}

/// What is left of a lease that ended; see [`SeatCell`].
#[derive(Clone, Copy)]
pub(super) struct Ended {
    pub(super) slot: u32,
    pub(super) owner: u32,
    pub(super) lane: u16,
    pub(super) stamp: Option<Stamp>,
    pub(super) started: Tick,
    pub(super) seq: u64,
    pub(super) need: Need,
    pub(super) free: bool,
    pub(super) refunded: bool,
    pub(super) failed: bool,
    pub(super) probes: Probes,
    pub(super) before: (Tick, u64),
}

/// A scope that a probe lease tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ProbeOf {
    Key,
    KeyLane,
    Owner,
    Account,
    OwnerLane,
}

/// The scopes that one lease probes: a key whose owner is due as well is tried for both, else neither ever would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Probes(u8);

impl Probes {
    const ALL: [ProbeOf; 5] = [ProbeOf::Key, ProbeOf::KeyLane, ProbeOf::Owner, ProbeOf::Account, ProbeOf::OwnerLane];

    pub(super) fn insert(&mut self, scope: ProbeOf) {
        self.0 |= 1 << scope as u8;
    }

    pub(super) fn iter(self) -> impl Iterator<Item = ProbeOf> {
        Self::ALL.into_iter().filter(move |scope| self.0 & (1 << *scope as u8) != 0)
    }
}

#[derive(Default)]
pub(super) struct Seats {
    cells: Vec<SeatCell>,
    free: Vec<u32>,
    out: usize,
}

impl Seats {
    /// Seats a lease.
    #[inline]
    pub(super) fn take(&mut self, granted: &SeatCell) -> Seat {
        self.out += 1;
        let Some(index) = self.free.pop() else { return self.add(granted) };
        let held = &mut self.cells[index as usize];
        let generation = held.generation;
        // Field by field: this is the record of every request, and most of it stands there already.
        held.slot = granted.slot;
        held.owner = granted.owner;
        held.lane = granted.lane;
        held.taken = true;
        held.stamp = granted.stamp;
        held.started = granted.started;
        held.wall_ms = granted.wall_ms;
        held.seq = granted.seq;
        held.need = granted.need;
        held.free = granted.free;
        held.refunded = false;
        held.judged = false;
        held.probes = granted.probes;
        held.before = granted.before;
        held.failed = false;
        held.ticket = granted.ticket;
        held.usage = Usage::default();
        if granted.earlier.is_some() {
            held.earlier.clone_from(&granted.earlier);
        }
        Seat { index, generation }
    }

    #[cold]
    fn add(&mut self, granted: &SeatCell) -> Seat {
        self.cells.push(SeatCell { taken: true, generation: 0, ..granted.clone() });
        Seat { index: self.cells.len() as u32 - 1, generation: 0 }
    }

    /// The record of a lease that is still out.
    #[inline]
    pub(super) fn get(&self, seat: Seat) -> Option<&SeatCell> {
        self.cells.get(seat.index as usize).filter(|cell| cell.taken && cell.generation == seat.generation)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, seat: Seat) -> Option<&mut SeatCell> {
        self.cells.get_mut(seat.index as usize).filter(|cell| cell.taken && cell.generation == seat.generation)
    }

    /// Ends a lease: what is to be settled of it, once.
    #[inline]
    pub(super) fn end(&mut self, seat: Seat) -> Option<Ended> {
        let cell = self.get_mut(seat)?;
        cell.taken = false;
        cell.generation = cell.generation.wrapping_add(1);
        cell.earlier = None;
        let ended = Ended {
            slot: cell.slot,
            owner: cell.owner,
            lane: cell.lane,
            stamp: cell.stamp,
            started: cell.started,
            seq: cell.seq,
            need: cell.need,
            free: cell.free,
            refunded: cell.refunded,
            failed: cell.failed,
            probes: cell.probes,
            before: cell.before,
        };
        self.free.push(seat.index);
        self.out -= 1;
        Some(ended)
    }

    /// Leases that are out.
    pub(super) fn out(&self) -> usize {
        self.out
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut SeatCell> {
        self.cells.iter_mut().filter(|cell| cell.taken)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.cells.capacity() * size_of::<SeatCell>() + self.free.capacity() * 4
    }
}
