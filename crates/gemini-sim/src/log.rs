//! The log of arrivals, for the oracles of tests.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// A request at the time of its quota check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Arrival {
    /// Time of the arrival, since the simulator was built.
    pub at: Duration,
    /// Index of the key in the order of definition; `None` if the key is unknown.
    pub key: Option<usize>,
    /// Index of the project in the order of definition.
    pub project: Option<usize>,
    /// The requested model; empty if the call has none.
    pub model: Arc<str>,
    /// The method, such as `generateContent`; empty for unknown paths.
    pub method: &'static str,
    /// The status of the response; 0 if the connection was reset before the head.
    pub status: u16,
    /// `ok`, or the kind of rejection.
    pub kind: &'static str,
    /// Whether the request passed authentication, validation and quota.
    pub accepted: bool,
    /// Number of requests that were charged, or would have been.
    pub cost: u64,
    /// Number of prompt tokens that were charged, or would have been.
    pub tokens: u64,
}

/// Maximum number of arrivals in the log.
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

    /// Returns the arrivals, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arrival> {
        self.arrivals.iter()
    }

    /// Returns the number of older arrivals that were dropped. A test that needs all arrivals should assert that this
    /// is zero.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Returns the maximum total cost, in requests, of the selected arrivals within any span of this length. A span
    /// includes its start and excludes its end. `of` selects the arrivals. Rejected arrivals count, too, unless `of`
    /// excludes them, which shows whether a client has sent too much.
    pub fn most_in_any(&self, span: Duration, of: impl FnMut(&&Arrival) -> bool) -> u64 {
        self.peak(span, of, |arrival| arrival.cost)
    }

    /// Returns the same maximum in prompt tokens.
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
    fn the_peak_is_the_maximum_of_all_spans() {
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
    fn a_full_log_drops_the_oldest_arrivals() {
        let mut log = Log::default();
        (0..CAPACITY as u64 + 3).for_each(|second| log.push(arrival(second, 0)));
        assert_eq!(log.iter().count(), CAPACITY);
        assert_eq!(log.dropped(), 3);
        assert_eq!(log.iter().next().unwrap().at, Duration::from_secs(3));
    }
}
