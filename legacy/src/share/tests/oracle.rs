//! The provider: it sees what arrives and knows nothing of anybody's windows.

use std::collections::BTreeMap;

/// A limit as the provider means it.
#[derive(Clone, Copy, Debug)]
pub(in crate::share) struct Rule {
    /// Any closed span of so many microseconds; zero: a day (UTC).
    pub(in crate::share) span: i64,
    pub(in crate::share) requests: u64,
    pub(in crate::share) tokens: u64,
}

#[derive(Clone, Copy, Debug)]
struct Arrival {
    at: i64,
    tokens: u64,
}

#[derive(Debug, Default)]
pub(in crate::share) struct Provider {
    arrivals: BTreeMap<String, Vec<Arrival>>,
    /// Written before its process froze, and arrived when it woke.
    pub(in crate::share) residue: u64,
}

const DAY: i64 = 86_400_000_000;
/// A process's wall clock may be late by so much: what it starts just before its midnight is counted on the day before.
const LATE: i64 = 6_000_000;

impl Provider {
    pub(in crate::share) fn arrives(&mut self, unit: &str, at: i64, tokens: u64) {
        self.arrivals.entry(unit.to_owned()).or_default().push(Arrival { at, tokens });
    }

    /// Every span that is over a rule: unit, when, how many.
    pub(in crate::share) fn over(&mut self, rules: &[Rule]) -> Vec<String> {
        let mut over = Vec::new();
        for (unit, arrivals) in &mut self.arrivals {
            arrivals.sort_by_key(|arrival| arrival.at);
            for rule in rules {
                let (mut first, mut requests, mut tokens) = (0, 0, 0);
                for arrival in &*arrivals {
                    requests += 1;
                    tokens += arrival.tokens;
                    let left = |then: i64| match rule.span {
                        0 => (then - LATE) / DAY != (arrival.at - LATE) / DAY,
                        span => then < arrival.at - span,
                    };
                    while left(arrivals[first].at) {
                        requests -= 1;
                        tokens -= arrivals[first].tokens;
                        first += 1;
                    }
                    if requests > rule.requests || tokens > rule.tokens {
                        let at = arrival.at as f64 / 1e6;
                        over.push(format!("{unit} at {at:.3} s: {requests} requests, {tokens} tokens of {rule:?}"));
                    }
                }
            }
        }
        over
    }
}
