//! The way to the provider is down: one request tries it now and then, and all others wait.

use std::{sync::Arc, time::Duration};

/// The longest pause before another attempt.
const LONGEST: Duration = Duration::from_secs(30);
/// How long one attempt may take to fail, at the most.
const ATTEMPT: Duration = Duration::from_secs(60);

/// Requests in a row that did not arrive. Times are since the run began.
#[derive(Debug)]
pub(super) struct Away {
    since: Duration,
    last: Duration,
    /// When the next one goes; `None`: the pool knows when, since an exit is what failed.
    until: Option<Duration>,
    failures: u32,
    /// The task that goes.
    scout: Option<u64>,
    pub(super) why: Arc<str>,
}

impl Away {
    pub(super) fn new(now: Duration) -> Self {
        Self { since: now, last: now, until: None, failures: 0, scout: None, why: "".into() }
    }

    /// One more. `holds`: whatever goes now will not arrive either. False: it has lasted for longer than `patience`.
    pub(super) fn failed(&mut self, why: Arc<str>, holds: bool, patience: Duration, now: Duration) -> bool {
        // Nobody tried in between: how it was is not known. An exit rests for as long as may be waited, and is tried then.
        let gap = if holds { (ATTEMPT + LONGEST).max(patience / 2) } else { patience * 2 };
        if now.saturating_sub(self.last) > gap {
            *self = Self::new(now);
        }
        (self.why, self.last) = (why, now);
        // All that are under way fail at once: that is one incident.
        if holds && self.until.is_none_or(|until| now >= until) {
            let pause = Duration::from_millis(500) * 2_u32.pow(self.failures.min(6));
            self.failures += 1;
            (self.until, self.scout) = (Some(now + pause.min(LONGEST)), None);
        }
        now.saturating_sub(self.since) <= patience
    }

    /// Whether nobody may go now.
    pub(super) fn holds(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| self.scout.is_some() || now < until)
    }

    /// This task goes.
    pub(super) fn goes(&mut self, index: u64) {
        self.scout = self.until.and(Some(index));
    }

    /// Whether this one may go, or is the one that does.
    pub(super) fn lets(&mut self, index: u64, now: Duration) -> bool {
        let may = self.scout == Some(index) || !self.holds(now);
        if may {
            self.goes(index);
        }
        may
    }

    pub(super) fn forget_scout(&mut self, index: u64) -> bool {
        let was = self.scout == Some(index);
        if was {
            self.scout = None;
        }
        was
    }

    /// When one may go; `None` while one does.
    pub(super) fn strikes_in(&self, now: Duration) -> Option<Duration> {
        let until = self.until.filter(|_| self.scout.is_none())?;
        Some(until.saturating_sub(now).max(Duration::from_millis(1)))
    }

    /// What is told of it: why, and when the next one goes.
    pub(super) fn told(&self, now: Duration) -> Option<(Arc<str>, Duration)> {
        Some((Arc::clone(&self.why), self.until?.saturating_sub(now)))
    }

    /// How long it has lasted.
    pub(super) fn lasted(&self, now: Duration) -> Duration {
        now.saturating_sub(self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn a_wave_of_failures_is_one() {
        let mut away = Away::new(S(5));
        for _ in 0..1_000 {
            assert!(away.failed("no".into(), true, S(65), S(5)));
        }
        assert_eq!(away.strikes_in(S(5)), Some(Duration::from_millis(500)));
        assert!(away.holds(S(5)) && !away.lets(1, S(5)));
        assert!(away.lets(1, S(6)) && !away.lets(2, S(6)) && away.holds(S(6)), "one goes");
        assert!(away.failed("no".into(), true, S(65), S(6)));
        assert_eq!(away.strikes_in(S(6)), Some(S(1)), "twice as long");
        assert!(!away.failed("no".into(), true, S(65), S(71)), "that is long enough");
    }

    #[test]
    fn who_did_not_try_for_long_begins_anew() {
        let mut away = Away::new(S(5));
        assert!(away.failed("no".into(), true, S(65), S(5)));
        assert!(away.failed("no".into(), true, S(65), S(30_000)));
        assert_eq!(away.lasted(S(30_001)), S(1));
    }

    /// Keys that go out elsewhere are not held up.
    #[test]
    fn an_exit_holds_nobody() {
        let mut away = Away::new(S(5));
        assert!(away.failed("no".into(), false, S(65), S(5)));
        assert!(!away.holds(S(5)) && away.lets(1, S(5)) && away.lets(2, S(5)));
        assert_eq!(away.told(S(5)), None);
    }
}
