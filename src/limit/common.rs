//! The short way through the commonest limits: requests in a sliding window and requests a day.
//!
//! Where a plan begins with these two, it does for them what the loops of [`Plan`](super::Plan) do for all others,
//! without asking each window for its form: half the instructions, on every request.

use super::{
    day::Day,
    form::{Began, Form},
    log::HEAD,
    need::{At, Need},
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

    /// Lets go what has left since `seen`, and counts what began just now; `held`: it was provisional.
    #[inline]
    pub(super) fn start(&self, log: &mut [u16], need: &Need, held: bool, seen: u64, began: &Began) {
        let amount = u64::from(need.requests);
        let (starts, day) = log[HEAD..].split_at_mut(self.split);
        self.starts.purge(starts, seen, began.moment);
        if held {
            self.starts.unhold(starts, amount);
            self.day.unhold(day, amount);
        }
        self.starts.add(starts, amount, began);
        self.day.add(day, amount, began);
    }
}
