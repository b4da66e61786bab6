//! The ways out to the provider, and their rests. Number 0 is the one of keys that name none.
//!
//! Which exit a key has stands with its secret, which every lease holds: so it costs neither a key nor a pick anything.
//! While no exit rests nobody looks here.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use super::{
    ExitView, KeyPool,
    rest::Rest,
    scope::Whom,
    seats::SeatCell,
    state::{NO_MODEL, State},
    survey::view,
};
use crate::{
    error::KeyError,
    key::Exit,
    time::{Now, Tick},
    verdict::Scope,
};

/// The exit of keys that name none.
pub(super) const USUAL: u16 = 0;

/// An exit.
#[derive(Default)]
pub(super) struct ExitCell {
    /// None of the usual one.
    pub(super) name: Option<Exit>,
    /// Keys that go out by it.
    pub(super) keys: u32,
    /// It is the same address wherever it is used from: what one machine learns of it holds for all.
    pub(super) same_everywhere: bool,
    pub(super) rest: Option<Box<Rest>>,
}

pub(super) struct Exits {
    cells: Vec<ExitCell>,
    /// Exits that some key goes out by.
    used: u16,
    /// One of them rests, or its last rest is remembered.
    rests: bool,
    /// When keys got another exit, by slot, and the number of the last start before. Few ever do.
    moved: HashMap<u32, (Tick, u64)>,
}

impl Default for Exits {
    fn default() -> Self {
        Self { cells: vec![ExitCell::default()], used: 0, rests: false, moved: HashMap::new() }
    }
}

impl Exits {
    /// Whether any rests, or its last rest is remembered.
    #[inline]
    pub(super) fn any_rest(&self) -> bool {
        self.rests
    }

    /// The number of an exit; made when it is new.
    ///
    /// # Errors
    /// [`KeyError::TooMany`]: of names, once there are 65,535.
    pub(super) fn number(&mut self, name: Option<&str>) -> Result<u16, KeyError> {
        let Some(name) = name else { return Ok(USUAL) };
        if let Some(known) = self.find(name) {
            return Ok(known);
        }
        let number = u16::try_from(self.cells.len()).map_err(|_| KeyError::TooMany("exits"))?;
        self.cells.push(ExitCell { name: Some(name.into()), ..ExitCell::default() });
        Ok(number)
    }

    /// The number of an exit that is known.
    pub(super) fn find(&self, name: &str) -> Option<u16> {
        let is_it = |cell: &ExitCell| cell.name.as_ref().is_some_and(|held| held.name() == name);
        self.cells.iter().position(is_it).map(|at| at as u16)
    }

    pub(super) fn cell(&self, exit: u16) -> &ExitCell {
        &self.cells[usize::from(exit)]
    }

    pub(super) fn name(&self, exit: u16) -> Option<Exit> {
        self.cell(exit).name.clone()
    }

    /// One more key goes out by it.
    pub(super) fn join(&mut self, exit: u16) {
        let cell = &mut self.cells[usize::from(exit)];
        cell.keys += 1;
        self.used += u16::from(cell.keys == 1);
    }

    /// One less.
    pub(super) fn leave(&mut self, exit: u16) {
        let cell = &mut self.cells[usize::from(exit)];
        cell.keys -= 1;
        self.used -= u16::from(cell.keys == 0);
    }

    /// Whether keys have more than one way out.
    pub(super) fn are_several(&self) -> bool {
        self.used > 1
    }

    /// The rest of the one exit that all keys go out by.
    pub(super) fn rest_of_all(&self) -> Option<&Rest> {
        if !self.rests || self.used != 1 {
            return None;
        }
        self.cells.iter().find(|cell| cell.keys > 0).and_then(|cell| cell.rest.as_deref())
    }

    pub(super) fn rest(&self, exit: u16) -> Option<&Rest> {
        if self.rests { self.cell(exit).rest.as_deref() } else { None }
    }

    pub(super) fn rest_mut(&mut self, exit: u16) -> Option<&mut Box<Rest>> {
        if self.rests { self.cells[usize::from(exit)].rest.as_mut() } else { None }
    }

    /// The place of an exit's rest, which is to be filled in.
    pub(super) fn place(&mut self, exit: u16) -> &mut Option<Box<Rest>> {
        self.rests = true;
        &mut self.cells[usize::from(exit)].rest
    }

    /// Forgets an exit's rest where `is_over` says so.
    fn forget(&mut self, exit: u16, is_over: impl FnOnce(&mut Box<Rest>) -> bool) -> Option<Box<Rest>> {
        let forgotten = self.cells[usize::from(exit)].rest.take_if(is_over);
        if forgotten.is_some() {
            self.rests = self.cells.iter().any(|cell| cell.rest.is_some());
        }
        forgotten
    }

    /// These names are the same address from every machine; others are not.
    pub(super) fn same_everywhere(&mut self, names: &[Exit]) -> Result<(), KeyError> {
        for cell in &mut self.cells {
            cell.same_everywhere = false;
        }
        for name in names {
            let number = self.number(Some(name.name()))?;
            self.cells[usize::from(number)].same_everywhere = true;
        }
        Ok(())
    }

    /// Those that keys go out by, and those that rest all the same.
    pub(super) fn shown(&self) -> impl Iterator<Item = &ExitCell> {
        self.cells.iter().filter(|cell| cell.keys > 0 || cell.rest.is_some())
    }

    pub(super) fn numbers(&self) -> std::ops::Range<u16> {
        0..self.cells.len() as u16
    }
}

impl State {
    /// The exit that a key goes out by.
    pub(super) fn exit_of(&self, slot: u32) -> u16 {
        self.roster.keys[slot as usize].secret.exit()
    }

    /// What a scope's exit is called, where the scope is one and has a name.
    pub(super) fn exit_named(&self, whom: Whom) -> Option<Exit> {
        let of_exit = whom.scope == Scope::Exit;
        if of_exit { self.roster.exits.name(self.exit_of(whom.slot)) } else { None }
    }

    /// The rest that keeps all keys out of a lane: the lane's own, or that of their one exit. One that is to be probed lets
    /// that request by.
    pub(super) fn rest_of_all(&self, lane: u16, would_wait: Duration, now: Now) -> Option<&Rest> {
        let rests = [self.roster.exits.rest_of_all(), self.lanes[usize::from(lane)].rest.as_deref()];
        let holds = |rest: &&Rest| !rest.is_to_be_probed(now) && rest.holds(would_wait, now, || self.is_line(lane));
        rests.into_iter().flatten().filter(holds).max_by_key(|rest| rest.wakes(now))
    }

    /// A good answer to a request that came after the rest of its key's exit began: the exit serves. Whether that is news.
    #[cold]
    pub(super) fn exit_serves(&mut self, slot: u32, started: Tick) -> bool {
        // It went out by another one then.
        if self.roster.exits.moved.get(&slot).is_some_and(|(moved, _)| started <= *moved) {
            return false;
        }
        let exit = self.exit_of(slot);
        let Some(over) = self.roster.exits.forget(exit, |rest| started >= rest.since) else { return false };
        if over.is_active(self.last_now) {
            self.revive_exit(exit);
        }
        true
    }

    /// Keys that may have come back with their exit are looked at again.
    pub(super) fn revive_exit(&mut self, exit: u16) {
        let slots: Vec<u32> = self.roster.slots().filter(|slot| self.exit_of(*slot) == exit).collect();
        for slot in slots {
            self.revive_key(slot);
        }
    }

    /// Ends the rest of an exit by hand. Whether it rested.
    pub(super) fn lift_exit(&mut self, exit: u16, now: Now) -> bool {
        if !self.roster.exits.rest(exit).is_some_and(|rest| rest.is_active(now)) {
            return false;
        }
        let first = self.roster.slots().find(|slot| self.exit_of(*slot) == exit);
        let Some(slot) = first else { return self.roster.exits.forget(exit, |_| true).is_some() };
        let owner = self.roster.keys[slot as usize].owner;
        let whom = Whom { scope: Scope::Exit, slot, owner, lane: NO_MODEL };
        self.lift(whom, now);
        self.recovered(whom);
        true
    }

    /// Whether the key of this lease went out by another exit then.
    pub(super) fn went_another_way(&self, cell: &SeatCell) -> bool {
        self.roster.exits.moved.get(&cell.slot).is_some_and(|(_, last)| cell.seq <= *last)
    }

    /// The name by which an exit's rest is kept and told to other processes; `None`: it is neither. On a store that
    /// several machines share an exit is the address of the machine that uses it, and a rest of it is that machine's
    /// alone, unless somebody said that it is [the same everywhere](super::KeyPoolBuilder::same_exits): a proxy.
    #[expect(clippy::option_option, reason = "the usual exit has no name")]
    pub(super) fn exit_told(&self, exit: u16) -> Option<Option<Exit>> {
        let cell = self.roster.exits.cell(exit);
        let spans = self.journal.as_ref().is_some_and(|journal| journal.spans_machines);
        (cell.same_everywhere || !spans).then(|| cell.name.clone())
    }

    /// The exits that rest, by name, and for how long.
    pub(super) fn exits_that_rest(&self, now: Now) -> BTreeMap<Option<Exit>, Option<Duration>> {
        let resting = |cell: &ExitCell| {
            let rest = cell.rest.as_deref().filter(|rest| rest.is_active(now))?;
            let ends = rest.wakes(now);
            Some((cell.name.clone(), (ends != Tick::NEVER).then(|| ends.since(now.tick))))
        };
        if !self.roster.exits.any_rest() {
            return BTreeMap::new();
        }
        self.roster.exits.shown().filter_map(resting).collect()
    }

    pub(super) fn exit_views(&self, now: Now) -> Vec<ExitView> {
        let seen = |cell: &ExitCell| {
            let rest = cell.rest.as_deref().and_then(|rest| view(rest, Scope::Exit, None, now));
            (cell.keys > 0 || rest.is_some()).then(|| ExitView {
                name: cell.name.clone(),
                keys: cell.keys as usize,
                rest,
            })
        };
        self.roster.exits.shown().filter_map(seen).collect()
    }

    /// Gives a key another exit; it is to [join](State::join_again) its lanes again. Whether it is another.
    pub(super) fn move_out_by(&mut self, slot: u32, exit: u16, now: Now) -> bool {
        let before = self.exit_of(slot);
        if before == exit {
            return false;
        }
        let key = &mut self.roster.keys[slot as usize];
        key.secret = key.secret.clone().through(exit);
        // What its requests under way meet is the other one's.
        let is_in = !key.removed;
        self.roster.exits.moved.insert(slot, (now.tick, self.seq));
        if is_in {
            self.roster.exits.leave(before);
            self.roster.exits.join(exit);
        }
        true
    }
}

impl KeyPool {
    /// Lifts the rest of an exit, of the usual one where none is named: its keys may serve at once, and late answers to requests
    /// from before do not bring it back. Whether it rested; which do is in [`Snapshot::exits`](crate::Snapshot::exits).
    ///
    /// Processes that share the store hear of it as they heard of the rest: where it is the same address to them.
    pub fn lift_exit(&self, exit: Option<&str>) -> bool {
        let now = self.clock().now();
        let mut state = self.lock();
        let number = exit.map_or(Some(USUAL), |name| state.roster.exits.find(name));
        let lifted = number.is_some_and(|number| state.lift_exit(number, now));
        state.serve(now);
        lifted
    }

    /// What an exit is called.
    #[cold]
    pub(super) fn exit_numbered(&self, exit: u16) -> Option<Exit> {
        self.lock().roster.exits.name(exit)
    }

    /// Whether keys have more than one way out.
    pub(crate) fn has_several_exits(&self) -> bool {
        self.lock().roster.exits.are_several()
    }
}
