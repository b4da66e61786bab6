//! Strategies: the order among ready keys of one priority. Every strategy is a rank; lower comes first.

use serde::{Deserialize, Serialize};

use super::{ready::RankOf, roster::KeyCell, state::standing};

/// The order among ready keys of one priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The least (requests in flight + 1) ÷ weight; then the longest not started. Of keys that are idle the heaviest comes
    /// first: where shares of all requests are wanted, and not of those in flight at once, take [`Weighted`](Self::Weighted).
    #[default]
    LeastLoaded,
    /// One after the other.
    RoundRobin,
    /// One after the other, as often as its weight says.
    Weighted,
    /// The longest not started.
    Lru,
    /// As often as a weight says that grows with success and shrinks with faults.
    Adaptive,
}

impl Strategy {
    /// Every strategy, by the name that configuration uses.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("least-loaded", Self::LeastLoaded),
        ("round-robin", Self::RoundRobin),
        ("weighted", Self::Weighted),
        ("lru", Self::Lru),
        ("adaptive", Self::Adaptive),
    ];
}

impl std::str::FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, strategy)| *strategy).ok_or(UnknownStrategy)
    }
}

impl std::fmt::Display for Strategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(Self::NAMES.iter().find(|(_, strategy)| strategy == self).map_or("", |(name, _)| name))
    }
}

/// A name that no strategy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownStrategy;

impl std::fmt::Display for UnknownStrategy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("unknown strategy: use one of")?;
        for (name, _) in Strategy::NAMES {
            write!(f, " {name}")?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownStrategy {}

/// The ranks of all keys.
pub(super) struct Ranks<'a> {
    pub(super) strategy: Strategy,
    pub(super) keys: &'a [KeyCell],
}

impl RankOf for Ranks<'_> {
    #[inline]
    fn rank_of(&self, slot: u32, old: u64) -> u64 {
        self.strategy.rank(standing(&self.keys[slot as usize]), old)
    }
}

/// The same for [`Strategy::LeastLoaded`] alone, which is then not asked for at each key.
pub(super) struct Loads<'a>(pub(super) &'a [KeyCell]);

impl RankOf for Loads<'_> {
    #[inline]
    fn rank_of(&self, slot: u32, old: u64) -> u64 {
        Strategy::LeastLoaded.rank(standing(&self.0[slot as usize]), old)
    }
}

/// What a rank is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) in_flight: u16,
    /// Configured weight, ramp included.
    pub(super) weight: f32,
    /// Learned weight, ramp included.
    pub(super) adaptive: f32,
    /// The ramp's part of its weight: 1 but for a key that is just back.
    pub(super) ramp: f32,
    /// The pool's number of its last start.
    pub(super) last_start: u64,
}

impl Strategy {
    /// The rank of a key that stays where it is: `old` is the rank it has.
    #[inline]
    pub(super) fn rank(self, key: Standing, old: u64) -> u64 {
        match self {
            Self::LeastLoaded => {
                // Idle it stands beside the others, whatever its ramp: that bites on load, or it would never be tried.
                // The load's upper 28 bits (positive floats sort as integers), then 36 bits of start order.
                let load = (f32::from(key.in_flight) + key.ramp) / key.weight;
                (u64::from(load.to_bits() >> 4) << 36) | (key.last_start & ((1 << 36) - 1))
            }
            Self::Lru => key.last_start,
            Self::RoundRobin | Self::Weighted | Self::Adaptive => old,
        }
    }

    /// Whether its ranks are a virtual time that each start moves on; else they follow from how the key stands.
    #[inline]
    pub(super) fn keeps_time(self) -> bool {
        matches!(self, Self::RoundRobin | Self::Weighted | Self::Adaptive)
    }

    /// By how much the virtual time of a stride strategy moves on with a start.
    #[inline]
    pub(super) fn stride(self, key: Standing) -> f64 {
        let share = match self {
            Self::LeastLoaded | Self::Lru | Self::RoundRobin => key.ramp,
            Self::Weighted => key.weight,
            Self::Adaptive => key.adaptive,
        };
        1.0 / f64::from(share)
    }

    /// The rank after a start: in the stride strategies a virtual time that moves on by 1 ÷ weight.
    pub(super) fn advanced(self, key: Standing, old: u64, group_time: f64) -> u64 {
        if !self.keeps_time() {
            return self.rank(key, old);
        }
        // Whoever was away is not owed the time it missed.
        (f64::from_bits(old).max(group_time) + self.stride(key)).to_bits()
    }

    /// The rank of a key that joins or comes back.
    pub(super) fn joining(self, key: Standing, old: u64, group_time: f64) -> u64 {
        match self {
            Self::LeastLoaded | Self::Lru => self.rank(key, old),
            Self::RoundRobin | Self::Weighted | Self::Adaptive => f64::from_bits(old).max(group_time).to_bits(),
        }
    }
}
