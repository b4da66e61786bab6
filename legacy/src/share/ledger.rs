//! The seam between the protocol and those who keep windows.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    names::UnitId,
    wire::{Correction, Granted, Mark},
};
use crate::{
    limit::{Limits, Told, Unit},
    time::{Clock, Tick},
};

/// A reading of both clocks of a process. The monotonic one must count the time in which the machine sleeps, or the wall
/// clock tells that it did not.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Monotonic.
    pub tick: Tick,
    /// Wall clock, in Unix milliseconds.
    pub wall_ms: i64,
}

impl Moment {
    /// The clock's now.
    pub fn of(clock: &Clock) -> Self {
        let now = clock.now();
        Self { tick: now.tick, wall_ms: now.wall_ms() }
    }
}

/// How much a request takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// Requests.
    pub requests: u64,
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Images.
    pub images: u64,
}

impl Spent {
    pub(crate) fn add(&mut self, more: &Self) {
        self.requests += more.requests;
        self.input_tokens = self.input_tokens.saturating_add(more.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(more.output_tokens);
        self.images += more.images;
    }

    pub(crate) fn of(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests => self.requests,
            Unit::InputTokens => self.input_tokens,
            Unit::OutputTokens => self.output_tokens,
            Unit::Tokens => self.input_tokens.saturating_add(self.output_tokens),
            Unit::Images => self.images,
        }
    }
}

/// Who keeps the windows of the units that a process holds: the pool, or [`Books`](super::Books).
pub trait Ledger {
    /// What the windows of a unit count.
    fn tell(&mut self, unit: &UnitId, now: Moment) -> Vec<Told>;
    /// A unit is held from now on: its windows begin with what was granted.
    fn hear(&mut self, granted: &Granted, now: Moment);
    /// A request that an earlier holder started cost more than was reserved.
    fn correct(&mut self, correction: &Correction, now: Moment);
    /// Where these are stricter than what was configured they hold, and no others than these.
    fn tighten(&mut self, unit: &UnitId, limits: &Limits, now: Moment);
    /// For how many requests, of so many tokens of the prompt each, there is room within this time. Those that are larger than a
    /// limit have room where nothing of it is used.
    fn room(&mut self, unit: &UnitId, each: u64, within: Duration, now: Moment) -> u64;
    /// Whether something was granted that has not started: such a unit is not given back.
    fn is_pending(&self, unit: &UnitId) -> bool;
    /// The unit is about to be given back: nothing is started in it any more. False where it is pending by now, and stays.
    fn give_up(&mut self, unit: &UnitId, now: Moment) -> bool {
        let _ = now;
        !self.is_pending(unit)
    }
    /// The unit is another's by now.
    fn lose(&mut self, unit: &UnitId, now: Moment) {
        let _ = (unit, now);
    }
    /// How much may be started in a unit before a later [note](super::Noted) of it; none where nothing is noted.
    fn ahead(&self, unit: &UnitId) -> Option<Spent> {
        let _ = unit;
        None
    }
    /// The number of the last note that was made.
    fn noted(&self) -> u64 {
        0
    }
    /// When each request that is under way ends at the latest, in milliseconds from now.
    fn in_flight(&self, unit: &UnitId, now: Moment) -> Vec<i64>;
    /// When a unit that is out has room again, in milliseconds from now; `None` where it has room now.
    fn opens(&mut self, unit: &UnitId, now: Moment) -> Option<i64>;
    /// The dates that a moment counts on, in days since 1970-01-01 plus one: first and last.
    fn dates(&mut self, now: Moment) -> (u16, u16);
    /// The same of a unit's own zone; `then` may have been some time ago, or be to come.
    fn days_of(&mut self, unit: &UnitId, then: Moment) -> (u16, u16) {
        let _ = unit;
        self.dates(then)
    }
    /// What the board counts of the days of a unit that is not held here: to be looked at.
    fn look(&mut self, unit: &UnitId, marks: &[Mark], now: Moment) {
        let _ = (unit, marks, now);
    }
}
