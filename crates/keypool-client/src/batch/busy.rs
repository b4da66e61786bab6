//! How many requests are under way, and how long any was.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Requests under way. Times are since the run began.
#[derive(Debug, Default)]
pub(crate) struct Busy(Mutex<Count>);

#[derive(Debug, Default)]
struct Count {
    now: usize,
    /// Since when there are any.
    since: Duration,
    before: Duration,
}

impl Busy {
    fn lock(&self) -> MutexGuard<'_, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more. Asks for the time only where it is the first.
    pub(crate) fn begins(&self, at: impl FnOnce() -> Duration) {
        let mut count = self.lock();
        if count.now == 0 {
            count.since = at();
        }
        count.now += 1;
    }

    /// One less. Asks for the time only where it was the last.
    pub(crate) fn ends(&self, at: impl FnOnce() -> Duration) {
        let mut count = self.lock();
        count.now -= 1;
        if count.now == 0 {
            let lasted = at().saturating_sub(count.since);
            count.before += lasted;
        }
    }

    /// How many there are.
    pub(crate) fn now(&self) -> usize {
        self.lock().now
    }

    /// How long there were any.
    pub(crate) fn lasted(&self, now: Duration) -> Duration {
        let count = self.lock();
        count.before + if count.now > 0 { now.saturating_sub(count.since) } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_between_is_none_of_it() {
        const S: fn(u64) -> Duration = Duration::from_secs;
        let busy = Busy::default();
        busy.begins(|| S(1));
        busy.begins(|| unreachable!("it is busy"));
        busy.ends(|| unreachable!("it is busy still"));
        assert_eq!((busy.now(), busy.lasted(S(4))), (1, S(3)));
        busy.ends(|| S(5));
        busy.begins(|| S(100));
        assert_eq!(busy.lasted(S(102)), S(6));
    }
}
