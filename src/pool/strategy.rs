//! Strategies, which compute a rank from a key's load. The ready key with the lowest rank is used first.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use crate::Error;

/// The order in which a pool uses its ready keys of the same priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Strategy {
    /// The key with the fewest requests in flight relative to its weight; among equals the least recently used one.
    #[default]
    LeastLoaded,
    /// Each key in turn.
    RoundRobin,
    /// Each key in proportion to its weight.
    Weighted,
    /// The key whose last request started or ended longest ago.
    Lru,
    /// The key with the lowest average response time, in which errors count more, times its requests in flight.
    Adaptive,
}

/// The load of a key, from which strategies compute its rank.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// The order among equal keys. Its meaning depends on the strategy:
    /// - `weighted`: the key's pass in stride scheduling, which is its grants divided by its weight, in units of 1/65536
    /// - others: when the key was last used, as a number of grants and ends of leases in the pool
    order: u64,
    pub(crate) in_flight: u32,
    /// Moving average of the response time, in milliseconds; errors count ten times.
    latency_ms: u32,
}

/// The bit above all ranks, for keys that are tried last: they are over an assumed limit, or the store refused them.
pub(crate) const LAST: u64 = 1 << 63;
const SEQUENCE: u64 = (1 << 44) - 1;

impl Strategy {
    /// All strategies.
    pub const ALL: [Self; 5] = [Self::LeastLoaded, Self::RoundRobin, Self::Weighted, Self::Lru, Self::Adaptive];

    /// Returns the name in configurations, such as `least-loaded`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LeastLoaded => "least-loaded",
            Self::RoundRobin => "round-robin",
            Self::Weighted => "weighted",
            Self::Lru => "lru",
            Self::Adaptive => "adaptive",
        }
    }

    /// Returns a key's rank, the same for all models.
    ///
    /// Only [`Load::ended`] and [`Load::answered`] may lower a rank, never the passage of time: the scheduler notices a
    /// raised rank when the key comes first in its list, but a lowered one only at the end of a lease.
    pub(crate) fn rank(self, load: &Load, weight: u16) -> u64 {
        let rank = match self {
            Self::LeastLoaded => {
                let share = (u64::from(load.in_flight) * 64 / u64::from(weight.max(1))).min((1 << 18) - 1);
                share << 44 | load.order & SEQUENCE
            }
            Self::RoundRobin | Self::Weighted | Self::Lru => load.order,
            Self::Adaptive => {
                let cost =
                    (u64::from(load.latency_ms) + 1) * (u64::from(load.in_flight) + 1) / u64::from(weight.max(1));
                cost.min((1 << 18) - 1) << 44 | load.order & SEQUENCE
            }
        };
        rank & !LAST
    }
}

impl Load {
    /// Records a grant of the key. For `weighted`, `pass` is the pass at which the pool granted its last key. A new key
    /// starts there, so that it does not get all requests until it has caught up.
    pub(crate) fn granted(&mut self, strategy: Strategy, uses: u64, pass: &mut u64, weight: u16) {
        match strategy {
            Strategy::Weighted => {
                *pass = self.order.max(*pass);
                self.order = *pass + (1 << 16) / u64::from(weight.max(1));
            }
            Strategy::LeastLoaded | Strategy::RoundRobin | Strategy::Lru | Strategy::Adaptive => self.order = uses,
        }
    }

    /// Records the end of a request.
    pub(crate) fn ended(&mut self, strategy: Strategy, uses: u64) {
        if strategy == Strategy::Lru {
            self.order = uses;
        }
    }

    /// Records a response after this time.
    pub(crate) fn answered(&mut self, elapsed: Duration, good: bool) {
        let sample = u32::try_from(elapsed.as_millis()).unwrap_or(u32::MAX).saturating_mul(if good { 1 } else { 10 });
        let average = u64::from(self.latency_ms);
        self.latency_ms = if average == 0 { sample } else { ((average * 7 + u64::from(sample)) / 8) as u32 };
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Strategy {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with the valid names.
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|strategy| strategy.as_str() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            Error::config(format!("\"{name}\" is not a strategy; expected one of {names}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Strategy;

    #[test]
    fn every_strategy_is_in_the_list_of_all() {
        let names = Strategy::ALL.map(|strategy| format!("`{strategy}`")).join(", ");
        let error = serde_json::from_str::<Strategy>("\"none\"").unwrap_err().to_string();
        assert!(error.contains(&format!("expected one of {names} at")), "{error}");
    }
}
