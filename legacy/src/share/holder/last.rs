//! The last unit that has room: where all else that is held of a kind is full and others lack some, it goes from hand to
//! hand, however many there are besides. What is given back otherwise is what is not needed here, and this one always is. It
//! is most of what can be used within a minute: where many of one size fill and open in turn none of them is waited for.

use std::time::Duration;

use super::{HeldUnit, Holder, need::Demand};
use crate::{
    share::{
        counts,
        ledger::{Ledger, Moment},
        names::{Kind, UnitId},
    },
    time::Tick,
};

/// What is full for longer does not count.
const MINUTE: Duration = Duration::from_secs(60);
/// So many hundredths of the time between two renewals it is kept that nobody uses.
const IDLE: u32 = 10;
/// So many hundredths of the time between two renewals it is used here, and left to others then, where it has room for all.
const TURN: u32 = 40;
/// The same where it is short: nobody is served more by more calls.
const LONG_TURN: u32 = 100;

/// The last unit with room, where others are to have their part of it.
#[derive(Debug)]
pub(super) struct Last {
    unit: UnitId,
    /// Its turn here is over then.
    until: Tick,
}

/// A turn of what has room for all.
pub(super) fn turn(renew_every: Duration) -> Duration {
    renew_every * TURN / 100
}

impl Demand {
    pub(super) fn is_last(&self, unit: &UnitId) -> bool {
        self.last.as_ref().is_some_and(|last| last.unit == *unit)
    }

    /// The same, and its turn here is over.
    pub(super) fn is_last_and_over(&self, unit: &UnitId, now: Tick) -> bool {
        self.last.as_ref().is_some_and(|last| last.unit == *unit && last.until <= now)
    }
}

impl Holder {
    /// Looks which units are the last that have room; when the turn of the first of them is over.
    pub(super) fn look_for_the_last(&mut self, ledger: &mut dyn Ledger, now: Moment) -> Option<Tick> {
        let mut demands = std::mem::take(&mut self.demands);
        let mut first: Option<Tick> = None;
        for (kind, demand) in &mut demands {
            let came = std::mem::take(&mut demand.came);
            let looks = (demand.wanted > 0 || came) && !demand.rotates && !demand.aside;
            let Some((last, is_plenty)) = looks.then(|| self.last_of(kind, demand, ledger, now)).flatten() else {
                demand.last = None;
                continue;
            };
            // Who had it until now lacks it again by then, which nobody tells before.
            if demand.wanted > 0 || (came && is_plenty) {
                first = Some(first.map_or(last.until, |first| first.min(last.until)));
            }
            demand.last = Some(last).filter(|_| demand.wanted > 0);
        }
        self.demands = demands;
        first
    }

    /// The only unit with room that is held, and whether it has more than is needed here. None where others need not have
    /// it: all of it is needed, and it is no more than this process's part.
    fn last_of(&self, kind: &Kind, demand: &Demand, ledger: &mut dyn Ledger, now: Moment) -> Option<(Last, bool)> {
        let size = |unit: &UnitId| self.infos.get(unit).map_or(1, |info| counts::size(&info.limits));
        let ahead = self.ahead();
        let (mut last, mut all): (Option<(&UnitId, &HeldUnit, u64)>, u64) = (None, 0);
        for (unit, held) in self.of_kind(kind) {
            let room = ledger.room(unit, demand.each_waiting(), ahead, now);
            if room > 0 && last.replace((unit, held, room)).is_some() {
                return None;
            }
            if room > 0 || ledger.room(unit, demand.each_waiting(), MINUTE, now) > 0 {
                all = all.saturating_add(size(unit));
            }
        }
        let (unit, held, room) = last?;
        // What is guarded does not go round: its guard stays where requests are under way.
        if size(unit) <= all / 2 || self.infos.get(unit).is_some_and(|info| info.guard.is_some()) {
            return None;
        }
        let is_plenty = room as f64 > demand.expected(ahead) + demand.waiting_now() as f64;
        let is_beyond = 0 < demand.give && demand.give < size(unit);
        let part = |hundredths: u32| self.settings.renew_every * hundredths / 100;
        let until = if is_plenty {
            held.touched.plus(part(IDLE)).min(held.since.plus(part(TURN)))
        } else {
            held.since.plus(part(LONG_TURN))
        };
        (is_plenty || is_beyond).then(|| (Last { unit: unit.clone(), until }, is_plenty))
    }
}
