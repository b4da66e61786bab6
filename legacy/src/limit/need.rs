//! What a request takes of an owner's windows, and what they answer.

use super::{
    Limit, Unit,
    zone::{DayAt, Days},
};
use crate::time::Tick;

/// How much a request takes of each unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Need {
    pub(crate) requests: u32,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) images: u32,
}

impl Need {
    /// One request, and nothing but tokens of its prompt.
    #[inline]
    pub(crate) fn is_of_tokens(&self) -> bool {
        self.requests == 1 && self.output_tokens == 0 && self.images == 0
    }

    /// How much of `unit`; [`Unit::Tokens`] is prompt and answer together.
    #[inline]
    pub(crate) fn of(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests => u64::from(self.requests),
            Unit::InputTokens => self.input_tokens,
            Unit::OutputTokens => self.output_tokens,
            Unit::Tokens => self.input_tokens.saturating_add(self.output_tokens),
            Unit::Images => u64::from(self.images),
        }
    }
}

/// A moment on both clocks: the tick for sliding windows, the dates for days.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    pub(crate) tick: Tick,
    /// As the owner's [`Zone`](super::Zone) says.
    pub(crate) day: DayAt,
}

/// From when and on which dates a start counts. A lease keeps it, so that its start can be moved, given back or
/// corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) tick: Tick,
    pub(crate) days: Days,
}

/// No room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// Which limit is full; of several the one that opens last.
    pub(crate) limit: Limit,
    /// The earliest moment at which all of them may have room.
    pub(crate) opens: Opens,
}

/// When a full window has room again, unless something else happens first (a start given back, a clock set).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opens {
    /// From this tick on.
    Tick(Tick),
    /// When the wall clock shows this: milliseconds since the Unix epoch.
    Wall(i64),
    /// Never: more is wanted than the limit allows at all.
    Never,
}

impl Opens {
    /// The same on the monotonic clock, as the two clocks stand at `at`; `None` for never.
    pub(crate) fn tick(self, at: &At) -> Option<Tick> {
        match self {
            Self::Tick(tick) => Some(tick),
            Self::Wall(wall_ms) => {
                let millis = u64::try_from(wall_ms.saturating_sub(at.day.wall_ms)).unwrap_or(0);
                Some(at.tick.plus(std::time::Duration::from_millis(millis)))
            }
            Self::Never => None,
        }
    }

    /// Whether it is later than `other`, as the two clocks stand at `at`.
    pub(super) fn is_after(self, other: Self, at: &At) -> bool {
        self.tick(at).unwrap_or(Tick::NEVER) > other.tick(at).unwrap_or(Tick::NEVER)
    }
}
