//! Log-ins that failed: apart from what was changed, an address a line, and few.

use std::{collections::VecDeque, net::IpAddr};

use serde::Serialize;

use super::access::block_of;

/// So many addresses have a line.
const MOST: usize = 64;

/// Log-ins of an address that failed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Failed {
    /// Where they came from; of IPv6 the network that a subscriber has.
    from: String,
    /// The first and the last, in Unix milliseconds.
    first: i64,
    last: i64,
    times: u64,
    #[serde(skip)]
    block: IpAddr,
}

/// All of them, whoever failed last at the end.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    of: VecDeque<Failed>,
    all: u64,
}

impl Attempts {
    /// One more: whether that is news. Whoever fails again and again is told of each time that the count has doubled.
    pub(super) fn note(&mut self, from: IpAddr, now: i64) -> bool {
        let block = block_of(from);
        self.all += 1;
        let held = self.of.iter().position(|failed| failed.block == block).and_then(|at| self.of.remove(at));
        let is_known = held.is_some();
        let full = !is_known && self.of.len() >= MOST;
        if full {
            self.of.pop_front();
        }
        let failed = held.unwrap_or_else(|| Failed { from: block.to_string(), first: now, last: now, times: 0, block });
        let failed = Failed { last: now, times: failed.times + 1, ..failed };
        // Where many addresses take turns, what counts is how often all of them failed.
        let news = if full { self.all.is_power_of_two() } else { failed.times.is_power_of_two() };
        self.of.push_back(failed);
        news
    }

    /// A copy of them.
    pub(super) fn all(&self) -> Vec<Failed> {
        self.of.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_line_and_a_flood_is_little_news() {
        let mut attempts = Attempts::default();
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let news = (0..1_000).filter(|now| attempts.note(one, *now)).count();
        assert_eq!(news, 10);
        let told = attempts.all();
        assert_eq!((told.len(), told[0].times, told[0].first, told[0].last), (1, 1_000, 0, 999));
        let news = (0..100_000u32).filter(|n| attempts.note(IpAddr::from(n.to_be_bytes()), 1_000)).count();
        assert!(news <= MOST + 10, "{news}");
        assert_eq!(attempts.all().len(), MOST);
        for n in 0..100u16 {
            attempts.note(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, n]), 2_000);
        }
        let last = attempts.all().pop().unwrap();
        assert_eq!((last.times, &*last.from), (100, "2001:db8:0:1::"), "of one subscriber");
    }
}
