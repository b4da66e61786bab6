//! Seats: one record for each lease that is out. A lease is an index and a generation.

use std::sync::Arc;

use super::{Attempt, Seat};
use crate::{
    limit::{Need, Stamp},
    time::{Now, Tick},
    verdict::Scope,
};

/// A lease that is out.
#[derive(Clone, Debug)]
pub(super) struct SeatCell {
    /// Odd while a lease has it.
    generation: u32,
    pub(super) slot: u32,
    /// Whose windows hold it: a key may change its owner while the lease is out.
    pub(super) owner: u32,
    pub(super) lane: u16,
    /// From when its start counts; `None` while its place is provisional.
    pub(super) stamp: Option<Stamp>,
    /// When it started, or was granted where it has not yet.
    pub(super) began: Now,
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
    pub(super) earlier: Option<Arc<[Attempt]>>,
}

impl SeatCell {
    /// Nothing was said of it yet, and nothing is to be told of it but how it ends: it started, counts in its windows,
    /// and is nobody's probe.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        !(self.free | self.refunded | self.judged) && self.probes.is_empty() && self.earlier.is_none()
    }

    /// The lease ends; its seat is then to be [freed](Seats::free).
    #[inline]
    pub(super) fn leave(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }
}

/// The scopes that one lease probes: a key whose owner is due as well is tried for both, else neither ever would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Probes(u8);

impl Probes {
    const ALL: [Scope; 7] =
        [Scope::Key, Scope::KeyLane, Scope::Owner, Scope::BillingAccount, Scope::OwnerLane, Scope::Lane, Scope::Exit];

    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn insert(&mut self, scope: Scope) {
        self.0 |= 1 << scope as u8;
    }

    pub(super) fn iter(self) -> impl Iterator<Item = Scope> {
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
    /// A seat, and its record to be filled in: nothing is judged, told or given back yet.
    #[expect(clippy::inline_always, reason = "on the way of every request: a call costs as much as it does")]
    #[inline(always)]
    pub(super) fn take(&mut self) -> (Seat, &mut SeatCell) {
        self.out += 1;
        let index = match self.free.pop() {
            Some(index) => index,
            None => self.add(),
        };
        let cell = &mut self.cells[index as usize];
        cell.generation = cell.generation.wrapping_add(1);
        cell.refunded = false;
        cell.judged = false;
        cell.failed = false;
        (Seat { index, generation: cell.generation }, cell)
    }

    #[cold]
    fn add(&mut self) -> u32 {
        self.cells.push(SeatCell {
            generation: 0,
            slot: 0,
            owner: 0,
            lane: 0,
            stamp: None,
            began: Now::NEVER,
            seq: 0,
            need: Need::default(),
            free: false,
            refunded: false,
            judged: false,
            probes: Probes::default(),
            before: (Tick::ZERO, 0),
            failed: false,
            ticket: 0,
            earlier: None,
        });
        self.cells.len() as u32 - 1
    }

    /// The record of a lease that is still out.
    #[inline]
    pub(super) fn get(&self, seat: Seat) -> Option<&SeatCell> {
        self.cells.get(seat.index as usize).filter(|cell| cell.generation == seat.generation)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, seat: Seat) -> Option<&mut SeatCell> {
        self.cells.get_mut(seat.index as usize).filter(|cell| cell.generation == seat.generation)
    }

    /// Ends a lease that is out.
    #[inline]
    pub(super) fn end(&mut self, seat: Seat) {
        let Some(cell) = self.get_mut(seat) else { return };
        cell.leave();
        cell.earlier = None;
        self.free(seat.index);
    }

    /// The seat of a lease that has left may be taken again.
    #[inline]
    pub(super) fn free(&mut self, index: u32) {
        self.free.push(index);
        self.out -= 1;
    }

    /// Leases that are out.
    pub(super) fn out(&self) -> usize {
        self.out
    }

    /// The leases that are out and of which this is so.
    pub(super) fn those(&self, so: impl Fn(&SeatCell) -> bool) -> impl Iterator<Item = Seat> {
        let out = self.cells.iter().enumerate().filter(|(_, cell)| cell.generation % 2 == 1);
        out.filter(move |(_, cell)| so(cell)).map(|(at, cell)| Seat { index: at as u32, generation: cell.generation })
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut SeatCell> {
        self.cells.iter_mut().filter(|cell| cell.generation % 2 == 1)
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.cells.capacity() * size_of::<SeatCell>() + self.free.capacity() * 4
    }
}
