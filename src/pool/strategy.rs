//! Strategies, which compute a rank from a key's load. The ready key with the lowest rank is used first.

use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

use super::registry::KeyData;
use crate::Error;

/// The order in which a pool uses its ready keys of the same priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "config", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Strategy {
    /// The key with the fewest requests in flight for its weight; of equals the one whose last request started first.
    #[default]
    LeastLoaded,
    /// Each key in turn, whatever its weight.
    RoundRobin,
    /// Each key in proportion to its weight.
    Weighted,
    /// The key of which no request has started or ended for the longest time, whatever its weight. A request in flight
    /// counts from its start, so a busy key may come first.
    Lru,
    /// The key with the lowest average response time (errors count more) times its requests in flight, divided by its
    /// weight.
    Adaptive,
}

/// The load of a key, from which strategies compute its rank.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// The order among equal keys. Its meaning depends on the strategy:
    /// - `weighted`: the key's pass in stride scheduling, which is its grants divided by its weight, in units of 2^-24
    /// - `lru`: when a lease of the key was last granted or ended, as a number of grants and ends in the pool
    /// - others: when a lease of the key was last granted, as such a number
    order: u64,
    pub(crate) in_flight: u32,
    /// Moving average of the response time, in milliseconds; errors count ten times.
    latency_ms: u32,
}

/// The grant of a key, for [`Load::granted`].
pub(crate) struct Granted<'a> {
    pub(crate) key: &'a KeyData,
    /// The number of grants and ends of leases in the pool, with this one.
    pub(crate) uses: u64,
    /// For `weighted`, the pass at which the pool granted its last key. A new key starts there, so that it does not get
    /// all requests until it has caught up.
    pub(crate) pass: &'a mut u64,
}

/// The bit above all ranks, for keys that are tried last: they are over an assumed limit, or the store refused them.
pub(crate) const LAST: u64 = 1 << 63;

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

    /// Returns a key's rank, the same for all models. It depends only on the key's load and weight: time must
    /// not lower it.
    pub(crate) fn rank(self, load: &Load, key: &KeyData) -> u64 {
        let (in_flight, weight) = (u64::from(load.in_flight), u64::from(key.weight));
        let by_cost = |cost: u64| cost.min((1 << 18) - 1) << 44 | load.order & ((1 << 44) - 1);
        let rank = match self {
            Self::LeastLoaded => by_cost(in_flight * 64 / weight),
            Self::RoundRobin | Self::Weighted | Self::Lru => load.order,
            Self::Adaptive => by_cost((u64::from(load.latency_ms) + 1) * (in_flight + 1) / weight),
        };
        rank & !LAST
    }
}

impl Load {
    /// Records a grant of the key.
    pub(crate) fn granted(&mut self, strategy: Strategy, Granted { key, uses, pass }: Granted<'_>) {
        self.order = match strategy {
            Strategy::Weighted => {
                *pass = self.order.max(*pass);
                *pass + (1 << 24) / u64::from(key.weight)
            }
            _ => uses,
        };
    }

    /// Records the end of a request, which `in_flight` no longer counts. The key is ranked again afterwards.
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

display_serialized!(Strategy);

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
