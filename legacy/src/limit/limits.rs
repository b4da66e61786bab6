//! What may be used in which span of time.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Requests started.
    Requests,
    /// Tokens of the prompt.
    InputTokens,
    /// Tokens of the answer.
    OutputTokens,
    /// Tokens of prompt and answer together.
    Tokens,
    /// Images asked for.
    Images,
}

/// The time over which a limit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// Any span of this length: a sliding window, exact for every alignment. 1 ms to 24 h.
    Sliding(Duration),
    /// A calendar day in the owner's zone.
    Day,
}

/// The shortest and the longest span that slides.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(86_400);

impl Span {
    /// Any 60 s.
    pub const MINUTE: Self = Self::Sliding(Duration::from_secs(60));

    /// Whether it is soon over: in ten minutes at the most.
    pub(crate) fn is_short(self) -> bool {
        matches!(self, Self::Sliding(length) if length <= Duration::from_secs(600))
    }
}

/// One limit: at most `amount` of `unit` in any `span`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Limit {
    /// What is counted.
    pub unit: Unit,
    /// Over which time.
    pub span: Span,
    /// How many at most. Zero: nothing at all.
    pub amount: u64,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Requests => "requests",
            Unit::InputTokens => "input tokens",
            Unit::OutputTokens => "output tokens",
            Unit::Tokens => "tokens",
            Unit::Images => "images",
        };
        match self.span {
            Span::Day => write!(f, "{unit}/day"),
            Span::MINUTE => write!(f, "{unit}/minute"),
            Span::Sliding(span) => write!(f, "{unit}/{}s", span.as_secs_f64()),
        }
    }
}

/// The limits of an owner in a lane. Each is optional; all hold together.
///
/// ```
/// use tower_keypool::Limits;
///
/// let free = Limits::new().per_minute(10).per_day(250).tokens_per_minute(250_000);
/// assert_eq!(free.iter().count(), 3);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limits(Vec<Limit>);

impl Limits {
    /// No limit at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// At most this many requests in any 60 s.
    #[must_use]
    pub fn per_minute(self, requests: u64) -> Self {
        self.with(Limit { unit: Unit::Requests, span: Span::MINUTE, amount: requests })
    }

    /// At most this many requests a day of the owner's zone.
    #[must_use]
    pub fn per_day(self, requests: u64) -> Self {
        self.with(Limit { unit: Unit::Requests, span: Span::Day, amount: requests })
    }

    /// At most this many prompt tokens in any 60 s.
    #[must_use]
    pub fn tokens_per_minute(self, tokens: u64) -> Self {
        self.with(Limit { unit: Unit::InputTokens, span: Span::MINUTE, amount: tokens })
    }

    /// At most this many prompt tokens a day of the owner's zone.
    #[must_use]
    pub fn tokens_per_day(self, tokens: u64) -> Self {
        self.with(Limit { unit: Unit::InputTokens, span: Span::Day, amount: tokens })
    }

    /// Adds any limit; one for the same unit and span is replaced.
    #[must_use]
    pub fn with(mut self, limit: Limit) -> Self {
        self.0.retain(|held| (held.unit, held.span) != (limit.unit, limit.span));
        self.0.push(limit);
        self.0.sort_unstable();
        self
    }

    /// Each limit, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = &Limit> {
        self.0.iter()
    }

    /// Whether one of them counts tokens.
    pub(crate) fn count_tokens(&self) -> bool {
        self.0.iter().any(|limit| matches!(limit.unit, Unit::InputTokens | Unit::OutputTokens | Unit::Tokens))
    }

    /// What is wrong with them, where anything is.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let sliding = |limit: &Limit| match limit.span {
            Span::Sliding(length) => Some(length),
            Span::Day => None,
        };
        let can_be = |length: Duration| (SHORTEST..=LONGEST).contains(&length);
        (!self.0.iter().filter_map(sliding).all(can_be)).then_some("a limit's span must be 1 ms to 24 h")
    }

    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
