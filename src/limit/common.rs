//! The short way through the commonest plan: requests in a sliding window and requests a day, nothing else.
//!
//! It does what the loops of [`Plan`](super::Plan) do, without asking each window for its form: a third of their
//! instructions, on every request.

use super::{
    day::Day,
    form::{Began, Form},
    log::{self, HEAD},
    need::{At, Need, Stamp},
    slide,
    starts::Starts,
    window::{AnyForm, Window},
    words::One,
};

/// The two windows; they follow the log's head in this order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common {
    starts: Starts,
    day: Day<One>,
    /// Where the day begins behind the head.
    split: usize,
}

impl Common {
    pub(super) fn of(windows: &[Window]) -> Option<Self> {
        let [Window { form: AnyForm::Starts(starts), .. }, Window { form: AnyForm::ShortDay(day), limit, .. }] =
            windows
        else {
            return None;
        };
        let requests = limit.unit == super::Unit::Requests;
        requests.then(|| Self { starts: *starts, day: *day, split: starts.words() })
    }

    /// Whether the request fits beside all that is here; the log stands at `at`'s dates.
    #[inline]
    pub(super) fn fits(&self, log: &[u16], need: &Need, at: &At) -> bool {
        let wanted = u64::from(need.requests.max(1));
        let (starts, day) = log[HEAD..].split_at(self.split);
        self.starts.used(starts, at) + wanted <= self.starts.limit()
            && self.day.used(day, at) + wanted <= self.day.limit()
    }

    #[inline]
    pub(super) fn reserve(&self, log: &mut [u16], need: &Need) {
        let amount = u64::from(need.requests);
        let (starts, day) = log[HEAD..].split_at_mut(self.split);
        self.starts.hold(starts, amount);
        self.day.hold(day, amount);
    }

    /// The log stands at `at`'s dates.
    #[inline]
    pub(super) fn stamp(&self, log: &mut [u16], need: &Need, at: &At) -> Stamp {
        let amount = u64::from(need.requests);
        let seen = log::seen(log);
        let moment = slide::moment(at.tick).max(seen);
        log::see(log, moment);
        let began = Began { moment, places: at.day.days.places() };
        let (starts, day) = log[HEAD..].split_at_mut(self.split);
        self.starts.purge(starts, seen, moment);
        self.starts.unhold(starts, amount);
        self.starts.add(starts, amount, &began);
        self.day.unhold(day, amount);
        self.day.add(day, amount, &began);
        Stamp { tick: slide::tick(moment), days: at.day.days }
    }
}
