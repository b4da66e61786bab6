//! What is used, and what is left.

use super::{
    Limit, Unit,
    need::{At, Need, Opens},
    plan::Plan,
    window::Window,
    zone::Days,
};
use crate::time::Tick;

impl Plan {
    /// Each limit and how much of it is used, in the order of [`Limits::iter`](super::Limits::iter).
    pub(crate) fn used(&self, log: &mut [u16], at: &At) -> impl Iterator<Item = (Limit, u64)> {
        self.advance(log, at);
        let log = &*log;
        self.windows().iter().map(move |window| (window.limit, window.used(log, at.day.days)))
    }

    /// The least room that a window counting `unit` has; `u64::MAX` where none does.
    pub(crate) fn headroom(&self, log: &mut [u16], unit: Unit, tick: Tick, days: Days) -> u64 {
        self.advance_to(log, tick, days);
        let left = |window: &Window| window.most().saturating_sub(window.used(log, days));
        self.of_unit(unit).map(left).min().unwrap_or(u64::MAX)
    }

    /// For how many requests there is room, of so many tokens of the prompt each. One that is larger than a limit counts as
    /// large as that.
    pub(crate) fn room_for_requests(&self, log: &mut [u16], each: u64, at: &At) -> u64 {
        let one = Need { requests: 1, ..Need::default() };
        if self.room(log, &one, at).is_err() {
            return 0;
        }
        let room = self.headroom(log, Unit::Requests, at.tick, at.day.days);
        let of_tokens = |unit| match self.most(unit).min(each) {
            0 => u64::MAX,
            each => self.headroom(log, unit, at.tick, at.day.days) / each,
        };
        [Unit::InputTokens, Unit::Tokens].map(of_tokens).into_iter().fold(room, u64::min)
    }

    /// When `wanted` of `unit` fits into every window that counts it; `None`: now.
    pub(crate) fn next_headroom(&self, log: &mut [u16], unit: Unit, wanted: u64, at: &At) -> Option<Opens> {
        let now = self.advance(log, at);
        let full = self.of_unit(unit).filter(|window| !window.fits(log, wanted, at.day.days));
        full.map(|window| window.opens(log, wanted, now, at))
            .reduce(|last, opens| if opens.is_after(last, at) { opens } else { last })
    }

    /// Whether `need` fits at least into empty windows.
    ///
    /// # Errors
    /// The first limit that it is too large for.
    pub(crate) fn fits_ever(&self, need: &Need) -> Result<(), Limit> {
        let too_small = |window: &&Window| window.room_for(need) > window.most();
        self.windows().iter().find(too_small).map_or(Ok(()), |window| Err(window.limit))
    }

    /// The least that a window counting `unit` allows; `u64::MAX` where none does.
    pub(crate) fn most(&self, unit: Unit) -> u64 {
        self.of_unit(unit).map(Window::most).min().unwrap_or(u64::MAX)
    }

    fn of_unit(&self, unit: Unit) -> impl Iterator<Item = &Window> {
        self.windows().iter().filter(move |window| counts(window.limit.unit, unit))
    }
}

/// Whether a window of `unit` counts `part`.
pub(crate) fn counts(unit: Unit, part: Unit) -> bool {
    unit == part || (unit == Unit::Tokens && matches!(part, Unit::InputTokens | Unit::OutputTokens))
}
