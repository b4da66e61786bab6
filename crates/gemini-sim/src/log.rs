//! The log of arrivals: what an oracle judges by.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// One request as the quota check saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Arrival {
    /// When, since the simulator was built.
    pub at: Duration,
    /// Which key, by order of definition; None when none was known.
    pub key: Option<usize>,
    /// Which project, by order of definition.
    pub project: Option<usize>,
    /// The model that was asked for, empty where a call has none.
    pub model: Arc<str>,
    /// `generateContent` and the like; empty for unknown paths.
    pub method: &'static str,
    /// The answer's status; 0 when the connection was reset before a head.
    pub status: u16,
    /// `ok`, or the kind of rejection.
    pub kind: &'static str,
    /// Whether it passed authentication, validation and quota.
    pub accepted: bool,
    /// Requests charged (or that would have been).
    pub cost: u64,
    /// Prompt tokens charged (or that would have been).
    pub tokens: u64,
}

/// How many arrivals are held.
const CAPACITY: usize = 100_000;

/// The last 100,000 arrivals.
#[derive(Clone, Debug, Default)]
pub struct Log {
    arrivals: VecDeque<Arrival>,
    dropped: u64,
}

impl Log {
    pub(crate) fn push(&mut self, arrival: Arrival) {
        if self.arrivals.len() == CAPACITY {
            self.arrivals.pop_front();
            self.dropped += 1;
        }
        self.arrivals.push_back(arrival);
    }

    /// The arrivals in order of their time, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arrival> {
        self.arrivals.iter()
    }

    /// How many older ones the bound has cost. An oracle that needs all of
    /// them asserts that this is zero.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The most that any span of this length held of the arrivals that `of`
    /// selects, each weighed by its cost in requests. A span holds its
    /// beginning and not its end. Rejected arrivals are judged too unless `of`
    /// leaves them out: that is what shows who sent too much.
    pub fn most_in_any(&self, span: Duration, of: impl FnMut(&&Arrival) -> bool) -> u64 {
        self.peak(span, of, |arrival| arrival.cost)
    }

    /// The same, weighed by prompt tokens.
    pub fn most_tokens_in_any(&self, span: Duration, of: impl FnMut(&&Arrival) -> bool) -> u64 {
        self.peak(span, of, |arrival| arrival.tokens)
    }

    fn peak(&self, span: Duration, of: impl FnMut(&&Arrival) -> bool, weight: impl Fn(&Arrival) -> u64) -> u64 {
        let mut inside = VecDeque::new();
        let (mut sum, mut most) = (0, 0);
        for arrival in self.arrivals.iter().filter(of) {
            inside.push_back(arrival);
            sum += weight(arrival);
            while let Some(first) = inside.front() {
                if first.at.saturating_add(span) > arrival.at {
                    break;
                }
                sum -= weight(first);
                inside.pop_front();
            }
            most = most.max(sum);
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(seconds: u64, key: usize) -> Arrival {
        Arrival {
            at: Duration::from_secs(seconds),
            key: Some(key),
            project: Some(0),
            model: "m".into(),
            method: "generateContent",
            status: 200,
            kind: "ok",
            accepted: true,
            cost: 1,
            tokens: 10,
        }
    }

    #[test]
    fn the_peak_is_over_any_alignment() {
        let mut log = Log::default();
        for second in [0, 30, 59, 60, 61, 200] {
            log.push(arrival(second, 0));
        }
        let minute = Duration::from_secs(60);
        assert_eq!(log.most_in_any(minute, |_| true), 4);
        assert_eq!(log.most_tokens_in_any(minute, |_| true), 40);
        assert_eq!(log.most_in_any(minute, |a| a.key == Some(1)), 0);
    }

    #[test]
    fn the_bound_costs_the_oldest_and_says_so() {
        let mut log = Log::default();
        (0..CAPACITY as u64 + 3).for_each(|second| log.push(arrival(second, 0)));
        assert_eq!(log.iter().count(), CAPACITY);
        assert_eq!(log.dropped(), 3);
        assert_eq!(log.iter().next().unwrap().at, Duration::from_secs(3));
    }
}
