//! The short way through the commonest limits: requests in a sliding window and requests a day.
//!
//! Where a plan begins with these two, it does for them what the loops of [`Plan`](super::Plan) do for all others,
//! without asking each window for its form: half the instructions, on every request.

use super::{
    day::Day,
    form::{Began, Form},
    log::{self, HEAD},
    need::Need,
    slide,
    starts::Starts,
    window::{AnyForm, Window},
    words::One,
    zone::Days,
};
use crate::time::Tick;

/// The two windows; they follow the log's head in this order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quick {
    starts: Starts,
    day: Day<One>,
    /// Where the day begins behind the head.
    split: usize,
}

impl Quick {
    /// How many windows of the plan these are.
    pub(super) const WINDOWS: usize = 2;

    pub(super) fn of(windows: &[Window]) -> Option<Self> {
        let [Window { form: AnyForm::Starts(starts), .. }, Window { form: AnyForm::ShortDay(day), limit, .. }, ..] =
            windows
        else {
            return None;
        };
        let requests = limit.unit == super::Unit::Requests;
        requests.then(|| Self { starts: *starts, day: *day, split: starts.words() })
    }

    /// Whether the request fits beside all that is here; the log stands at `days`.
    #[inline]
    pub(super) fn fits(&self, log: &[u16], need: &Need, days: Days) -> bool {
        let wanted = u64::from(need.requests.max(1));
        let (starts, day) = log[HEAD..].split_at(self.split);
        self.starts.used(starts, days) + wanted <= self.starts.limit()
            && self.day.used(day, days) + wanted <= self.day.limit()
    }

    #[inline]
    pub(super) fn reserve(&self, log: &mut [u16], need: &Need) {
        let amount = u64::from(need.requests);
        let (starts, day) = log[HEAD..].split_at_mut(self.split);
        self.starts.hold(starts, amount);
        self.day.hold(day, amount);
    }

    /// Lets go what has left since `seen`, and counts what began just now.
    #[inline]
    pub(super) fn start(&self, log: &mut [u16], need: &Need, seen: u64, began: &Began) {
        let amount = u64::from(need.requests);
        let (starts, day) = log[HEAD..].split_at_mut(self.split);
        self.starts.purge(starts, seen, began.moment);
        self.starts.unhold(starts, amount);
        self.day.unhold(day, amount);
        self.starts.add(starts, amount, began);
        self.day.add(day, amount, began);
    }

    /// Keeps room for one request that starts later; whether it did. Nothing is done, too, on the day that the log sees
    /// first, and while two days count.
    #[inline]
    pub(super) fn hold_one(&self, log: &mut [u16], days: Days) -> bool {
        let Some((head, windows)) = log.split_first_chunk_mut::<HEAD>() else { return false };
        let Some((starts, day)) = windows.split_at_mut_checked(self.split) else { return false };
        log::stands_at_one(head, days) && self.day.room_today(day).is_some() && self.starts.hold_one(starts) && {
            self.day.hold(day, 1);
            true
        }
    }

    /// One request starts for which room was kept: from when it counts. Nothing is done where more than the limit stands
    /// here, nor on the day that the log sees first, and while two days count.
    #[inline(never)]
    pub(super) fn start_one(&self, log: &mut [u16], tick: Tick, days: Days) -> Option<Tick> {
        let (head, windows) = log.split_first_chunk_mut::<HEAD>()?;
        if !log::stands_at_one(head, days) {
            return None;
        }
        let (starts, day) = windows.split_at_mut_checked(self.split)?;
        let (held, today) = self.day.held_and_today(day)?;
        let seen = log::seen(head);
        let moment = slide::moment(tick).max(seen);
        if !self.starts.start_one(starts, seen, moment) {
            return None;
        }
        *held -= 1;
        *today += 1;
        log::see(head, moment);
        Some(slide::tick(moment))
    }

    /// The same for one request that was never provisional, where it fits: from when it counts. Nothing is done, too, on
    /// the day that the log sees first, and while two days count.
    #[inline(never)]
    pub(super) fn book_one(&self, log: &mut [u16], tick: Tick, days: Days) -> Option<Tick> {
        let (head, windows) = log.split_first_chunk_mut::<HEAD>()?;
        if !log::stands_at_one(head, days) {
            return None;
        }
        let (starts, day) = windows.split_at_mut_checked(self.split)?;
        let today = self.day.room_today(day)?;
        let seen = log::seen(head);
        let moment = slide::moment(tick).max(seen);
        if !self.starts.book_one(starts, seen, moment) {
            return None;
        }
        *today += 1;
        log::see(head, moment);
        Some(slide::tick(moment))
    }
}
