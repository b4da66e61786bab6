//! A lane: one model's order of keys. Ready keys stand by (priority, rank), the others by when they come back.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    allowance::Allowance,
    cell::{LaneCell, Place},
    closed::Closed,
    group::{Group, UNLIMITED},
    line::Lines,
    plans::NO_LIMITS,
    refill::Refills,
    rest::Rest,
    set_aside::SetAside,
    timer::Timers,
    trusted::Trusted,
    unlimited::Unlimited,
};
use crate::{limit::Need, time::Tick};

/// An owner in a lane: which limits hold, and where their log lies.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LaneOwner {
    pub(super) plan: u16,
    pub(super) flags: u16,
    pub(super) log: u32,
}

/// The owner has an entry in `extras`.
pub(super) const HAS_EXTRA: u16 = 1;
/// A start took so much of its room that a key of it belongs to another class.
const OUTGROWN: u16 = 2;
/// Where several processes share owners: this one holds it, and nobody else.
const HELD: u16 = 4;

/// It has no limits: when its requests began is remembered.
const BOUNDLESS: u16 = 8;

impl LaneOwner {
    /// With these limits, and this log.
    pub(super) fn of(plan: u16, log: u32) -> Self {
        let mut owner = Self { plan, flags: 0, log };
        owner.go_by(plan);
        owner
    }

    /// Other limits hold from now on.
    pub(super) fn go_by(&mut self, plan: u16) {
        self.plan = plan;
        self.flags = if plan == NO_LIMITS { self.flags | BOUNDLESS } else { self.flags & !BOUNDLESS };
    }

    /// Nothing is said of it but its limits.
    pub(super) fn clear(&mut self) {
        self.flags &= BOUNDLESS;
    }

    /// Whether it has no limits.
    #[inline]
    pub(super) fn is_unlimited(self) -> bool {
        self.flags & BOUNDLESS != 0
    }

    /// Whether something is to be done when a request of its ends.
    #[inline]
    fn is_special(self) -> bool {
        self.flags & (HAS_EXTRA | BOUNDLESS) != 0
    }

    /// Whether it has an entry in `extras`.
    #[inline]
    pub(super) fn has_extra(self) -> bool {
        self.flags & HAS_EXTRA != 0
    }

    /// Whether this process holds it, where several share owners.
    #[inline]
    pub(super) fn is_held(self) -> bool {
        self.flags & HELD != 0
    }

    pub(super) fn hold(&mut self, held: bool) {
        self.flags = if held { self.flags | HELD } else { self.flags & !HELD };
    }

    /// A start took so much of its room that its key belongs to another class than this.
    #[inline]
    pub(super) fn outgrow(&mut self) {
        self.flags |= OUTGROWN;
    }

    /// Whether a start did so since this was asked last. Of several keys only one is told: that the others' class is too
    /// high shows when they are wanted.
    #[inline]
    pub(super) fn take_outgrown(&mut self) -> bool {
        let outgrown = self.flags & OUTGROWN != 0;
        self.flags &= !OUTGROWN;
        outgrown
    }
}

/// What few owners have in a lane.
#[derive(Default)]
pub(super) struct LaneExtra {
    pub(super) rest: Option<Box<Rest>>,
    /// What a rate header said remains, until when.
    pub(super) allowances: Vec<Allowance>,
    pub(super) booked: Option<Booking>,
}

/// This owner's room is kept for a waiter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Booking {
    pub(super) ticket: u64,
    /// It lacks images alone: who wants none takes nothing from it.
    pub(super) images_only: bool,
}

impl LaneExtra {
    /// Whether its room is kept for somebody in front of this ticket.
    pub(super) fn keeps_out(&self, ticket: u64, need: &Need) -> bool {
        self.booked.is_some_and(|booked| booked.ticket < ticket && (need.images > 0 || !booked.images_only))
    }
}

/// How a lane came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Configured, or the pool's own.
    Configured,
    /// A caller named it and no answer has confirmed that it exists.
    Tentative,
    /// A caller named it and the provider knows it.
    Confirmed,
    /// The provider does not know it: given up once nothing is in flight.
    Unknown,
    /// An empty place.
    Free,
}

pub(super) struct Lane {
    pub(super) name: Arc<str>,
    pub(super) origin: Origin,
    /// One of the pool's own that nobody has asked for yet: it holds no keys.
    pub(super) asleep: bool,
    pub(super) groups: Vec<Group>,
    pub(super) cells: Vec<LaneCell>,
    pub(super) owners: Vec<LaneOwner>,
    pub(super) logs: Vec<u16>,
    pub(super) timers: Timers,
    pub(super) key_rests: HashMap<u32, Option<Box<Rest>>>,
    /// Keys that served what others were refused.
    pub(super) trusted: Trusted,
    pub(super) extras: HashMap<u32, LaneExtra>,
    /// What owners used of limits that they have no more.
    pub(super) aside: SetAside,
    /// When requests of owners without limits began.
    pub(super) unlimited: Unlimited,
    pub(super) rest: Option<Box<Rest>>,
    /// Until then some rest of its own, of a key or owner may let few go: starts are counted.
    pub(super) trickles: Tick,
    /// Tiers that its model is not for; few lanes have any.
    pub(super) closed: Option<Box<Closed>>,
    /// What its answers show of whether quotas refill.
    pub(super) refills: Refills,
    /// Overloaded answers in a row.
    pub(super) overloads: u8,
    pub(super) in_flight: u32,
    pub(super) started: u64,
    /// How many of them were the caller's own mistakes, while no answer has confirmed it.
    pub(super) mistakes: u64,
    pub(super) spilled: u64,
    /// The pool's number of starts when a request ended here last, while no answer has confirmed it.
    pub(super) last_used: u64,
    /// Not looked at before, when room is wanted: something still counts here.
    pub(super) kept_until: Tick,
    /// Waiters by ticket.
    pub(super) queue: BTreeMap<u64, u32>,
    /// The same by what they have in common.
    pub(super) lines: Lines,
    /// Among many keys the next that is booked is not looked for before this, and whether somebody waits for that.
    pub(super) books_at: (Tick, bool),
    /// Logs given up, by length.
    spare_logs: HashMap<usize, Vec<u32>>,
}

impl Lane {
    pub(super) fn new(name: Arc<str>, origin: Origin, groups: usize) -> Self {
        Self {
            name,
            origin,
            asleep: false,
            groups: (0..groups).map(|_| Group::default()).collect(),
            cells: Vec::new(),
            owners: Vec::new(),
            logs: Vec::new(),
            timers: Timers::default(),
            key_rests: HashMap::new(),
            trusted: Trusted::default(),
            extras: HashMap::new(),
            aside: SetAside::default(),
            unlimited: Unlimited::default(),
            rest: None,
            trickles: Tick::default(),
            closed: None,
            refills: Refills::default(),
            overloads: 0,
            in_flight: 0,
            started: 0,
            mistakes: 0,
            spilled: 0,
            last_used: 0,
            kept_until: Tick::ZERO,
            queue: BTreeMap::new(),
            lines: Lines::default(),
            books_at: (Tick::ZERO, false),
            spare_logs: HashMap::new(),
        }
    }

    /// Room for so many keys, exactly: a lane is sized once for a whole pool.
    pub(super) fn reserve(&mut self, keys: usize, owners: usize, group_sizes: &[usize], words: usize) {
        self.cells.reserve_exact(keys.saturating_sub(self.cells.len()));
        self.owners.reserve_exact(owners.saturating_sub(self.owners.len()));
        self.logs.reserve_exact(words);
        for (group, size) in self.groups.iter_mut().zip(group_sizes) {
            group.unlimited.reserve(*size);
        }
    }

    /// One request more starts here.
    #[inline]
    pub(super) fn count_start(&mut self) {
        self.in_flight += 1;
        self.started += 1;
    }

    /// The log of an owner, of this many words.
    #[inline]
    pub(super) fn log(&mut self, owner: u32, words: usize) -> &mut [u16] {
        let at = self.owners[owner as usize].log as usize;
        &mut self.logs[at..at + words]
    }

    /// The log of an owner that is at hand.
    #[inline]
    pub(super) fn log_at(&mut self, owner: LaneOwner, words: usize) -> &mut [u16] {
        &mut self.logs[owner.log as usize..owner.log as usize + words]
    }

    /// Whether this owner has an entry in `extras`.
    #[inline]
    pub(super) fn has_extra(&self, owner: u32) -> bool {
        self.owners.get(owner as usize).is_some_and(|owner| owner.has_extra())
    }

    /// Whether something is to be done when a request of this owner ends.
    #[inline]
    pub(super) fn is_special(&self, owner: u32) -> bool {
        self.owners.get(owner as usize).is_some_and(|owner| owner.is_special())
    }

    pub(super) fn log_ref(&self, owner: u32, words: usize) -> &[u16] {
        let at = self.owners[owner as usize].log as usize;
        &self.logs[at..at + words]
    }

    /// A zeroed log of this many words.
    pub(super) fn new_log(&mut self, words: usize) -> u32 {
        if words == 0 {
            return 0;
        }
        if let Some(at) = self.spare_logs.get_mut(&words).and_then(Vec::pop) {
            self.logs[at as usize..at as usize + words].fill(0);
            return at;
        }
        let at = self.logs.len() as u32;
        self.logs.resize(self.logs.len() + words, 0);
        at
    }

    pub(super) fn spare_log(&mut self, at: u32, words: usize) {
        if words > 0 {
            self.spare_logs.entry(words).or_default().push(at);
        }
    }

    /// All logs as they were; there are none any more, but room for so many words.
    pub(super) fn take_logs(&mut self, words: usize) -> Vec<u16> {
        self.spare_logs.clear();
        std::mem::replace(&mut self.logs, Vec::with_capacity(words))
    }

    pub(super) fn extra(&mut self, owner: u32) -> &mut LaneExtra {
        self.owners[owner as usize].flags |= HAS_EXTRA;
        self.extras.entry(owner).or_default()
    }

    pub(super) fn extra_of(&self, owner: u32) -> Option<&LaneExtra> {
        if self.has_extra(owner) { self.extras.get(&owner) } else { None }
    }

    #[inline]
    pub(super) fn extra_of_mut(&mut self, owner: u32) -> Option<&mut LaneExtra> {
        if self.has_extra(owner) { self.extras.get_mut(&owner) } else { None }
    }

    /// Puts a key in the ready order with this rank and class.
    pub(super) fn make_ready(&mut self, slot: u32, group: usize, class: usize, rank: u64) {
        self.take_out(slot, group);
        let cell = &mut self.cells[slot as usize];
        cell.rank = rank;
        cell.set_class(class);
        cell.set_place(Place::Ready);
        self.groups[group].push(class, slot, &mut self.cells);
    }

    /// Waited for: at its concurrency, or between two starts.
    pub(super) fn make_busy(&mut self, slot: u32, group: usize) {
        self.take_out(slot, group);
        let busy = &mut self.groups[group].busy;
        self.cells[slot as usize].set_place(Place::Busy);
        self.cells[slot as usize].set_position(busy.len() as u32);
        busy.push(slot);
    }

    /// Comes back at `at`.
    pub(super) fn make_timed(&mut self, slot: u32, group: usize, at: Tick) {
        self.take_out(slot, group);
        self.cells[slot as usize].set_place(Place::Timed);
        self.timers.arm(slot, at, &mut self.cells);
    }

    /// Takes a key out of whichever order it stands in. Its timer, if any, is void.
    pub(super) fn take_out(&mut self, slot: u32, group: usize) {
        let cell = self.cells[slot as usize];
        match cell.place() {
            Place::Ready => {
                self.groups[group].remove(cell.class(), slot, &mut self.cells);
            }
            Place::Busy => {
                let busy = &mut self.groups[group].busy;
                let at = cell.position() as usize;
                busy.swap_remove(at);
                if let Some(moved) = busy.get(at) {
                    self.cells[*moved as usize].set_position(cell.position());
                }
            }
            Place::Out | Place::Timed => {}
        }
        let cell = &mut self.cells[slot as usize];
        cell.set_place(Place::Out);
        cell.timer = 0;
    }

    /// Moves a ready key to where its rank and class now put it.
    pub(super) fn reorder(&mut self, slot: u32, group: usize, class: usize, rank: u64) {
        let cell = self.cells[slot as usize];
        debug_assert_eq!(cell.place(), Place::Ready);
        let group = &mut self.groups[group];
        if class == UNLIMITED && cell.class() == class {
            self.cells[slot as usize].rank = rank;
            return group.unlimited.reorder(slot, cell.position(), &mut self.cells);
        }
        group.remove(cell.class(), slot, &mut self.cells);
        let cell = &mut self.cells[slot as usize];
        cell.rank = rank;
        cell.set_class(class);
        group.push(class, slot, &mut self.cells);
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.cells.capacity() * size_of::<LaneCell>()
            + self.owners.capacity() * size_of::<LaneOwner>()
            + self.logs.capacity() * 2
            + self.timers.heap_bytes()
            + self.groups.iter().map(Group::heap_bytes).sum::<usize>()
            + self.extras.capacity() * (size_of::<LaneExtra>() + 8)
            + self.key_rests.capacity() * 16
            + self.aside.heap_bytes()
            + self.unlimited.heap_bytes()
    }
}
