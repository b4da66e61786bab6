//! What the callers of all processes saw, by the time at which they asked.

use std::time::Duration;

/// A call that has ended.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// When it was made, since the simulator began.
    pub(crate) at: Duration,
    pub(crate) lane: usize,
    /// `ok`, `exhausted`, or what else there was.
    pub(crate) outcome: String,
}

/// What a process had asked of its store by then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) at: Duration,
    pub(crate) worker: usize,
    /// Renewals, batches, batches that did not go along with a renewal, and what the store said of its own accord.
    pub(crate) counts: [u64; 4],
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Who has begun.
    pub(crate) ready: Vec<usize>,
    pub(crate) calls: Vec<Call>,
    pub(crate) asked: Vec<Asked>,
}

/// A span of time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Within(pub(crate) Duration, pub(crate) Duration);

impl Within {
    pub(crate) fn seconds(from: u64, until: u64) -> Self {
        Self(Duration::from_secs(from), Duration::from_secs(until))
    }

    fn has(self, at: Duration) -> bool {
        self.0 <= at && at < self.1
    }
}

impl Seen {
    /// Notes a line that a process printed.
    pub(crate) fn hear(&mut self, line: &str, worker: usize, at: Duration) -> Option<()> {
        let mut words = line.splitn(4, ' ');
        match words.next()? {
            "ready" => self.ready.push(worker),
            "calls" => {
                let mut counts = line.split(' ').skip(1);
                let mut count = || counts.next()?.parse().ok();
                self.asked.push(Asked { at, worker, counts: [count()?, count()?, count()?, count()?] });
            }
            _ => {
                let (lane, took) = (words.next()?.parse().ok()?, Duration::from_millis(words.next()?.parse().ok()?));
                let outcome = words.next()?.to_owned();
                self.calls.push(Call { at: at.saturating_sub(took), lane, outcome });
            }
        }
        Some(())
    }

    /// How many asked within this span, and were served.
    pub(crate) fn served(&self, within: Within, of: impl Fn(&Call) -> bool) -> (usize, usize) {
        let calls = || self.calls.iter().filter(|call| within.has(call.at) && of(call));
        (calls().filter(|call| call.outcome == "ok").count(), calls().count())
    }

    /// The same as a share of one.
    pub(crate) fn share(&self, within: Within, of: impl Fn(&Call) -> bool) -> f64 {
        let (served, asked) = self.served(within, of);
        served as f64 / asked.max(1) as f64
    }

    /// Calls that failed otherwise than since no key was free, and what the last of them said.
    pub(crate) fn failed(&self, within: Within) -> (usize, String) {
        let failed = || {
            let calls = self.calls.iter().filter(|call| within.has(call.at));
            calls.filter(|call| !matches!(&*call.outcome, "ok" | "exhausted"))
        };
        (failed().count(), failed().next_back().map(|call| call.outcome.clone()).unwrap_or_default())
    }

    /// From when on the calls of each later 10 s were served so well, in seconds after `since`.
    pub(crate) fn back(&self, since: u64, until: u64, share: f64) -> Option<u64> {
        let good = |second: &u64| self.share(Within::seconds(*second, *second + 10), |_| true) >= share;
        let last_bad = (since..=until.saturating_sub(10)).rev().find(|second| !good(second));
        match last_bad {
            None => Some(0),
            Some(second) if second + 10 >= until => None,
            Some(second) => Some(second + 1 - since),
        }
    }

    /// What all processes asked of their store within a span.
    pub(crate) fn asked(&self, within: Within) -> [u64; 4] {
        let mut sum = [0; 4];
        for worker in 0..self.ready.len() {
            let said = || self.asked.iter().filter(move |asked| asked.worker == worker && within.has(asked.at));
            if let (Some(first), Some(last)) = (said().next(), said().next_back()) {
                for (sum, (last, first)) in sum.iter_mut().zip(last.counts.iter().zip(first.counts)) {
                    *sum += last - first;
                }
            }
        }
        sum
    }
}
