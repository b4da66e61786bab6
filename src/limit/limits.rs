//! Limits: a maximum amount of a unit per span of time.

use std::{fmt, ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Serialize};

/// The unit that a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Requests started.
    Requests,
    /// Tokens of the prompt.
    InputTokens,
    /// Tokens of the response.
    OutputTokens,
    /// Tokens of prompt and response together.
    Tokens,
}

display_serialized!(Unit);

/// The span of time over which a limit applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// Any span of this length, exact for every alignment. 1 ms to 24 h, in whole milliseconds.
    Sliding(Duration),
    /// A calendar day in the project's zone.
    Day,
}

impl Span {
    /// Any 60 s.
    pub const MINUTE: Self = Self::Sliding(Duration::from_secs(60));

    /// Reports whether a window can have this span.
    pub(crate) fn is_valid(self) -> bool {
        const SPANS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(86_400);
        match self {
            Self::Sliding(span) => SPANS.contains(&span) && span.subsec_nanos().is_multiple_of(1_000_000),
            Self::Day => true,
        }
    }
}

/// At most `amount` of `unit` in any `span`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Limit {
    /// The unit that is counted.
    pub unit: Unit,
    /// The span over which it is counted.
    pub span: Span,
    /// The maximum; 0 allows nothing.
    pub amount: u64,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.unit.to_string().replace('_', " ");
        match self.span {
            Span::Day => write!(f, "{} {unit} a day", self.amount),
            Span::MINUTE => write!(f, "{} {unit} a minute", self.amount),
            Span::Sliding(span) => write!(f, "{} {unit} in {span:?}", self.amount),
        }
    }
}

/// The limits of a project for a model. Each is optional; all of them apply.
///
/// ```
/// use tower_keypool::Limits;
///
/// let free = Limits::new().per_minute(10).per_day(250).tokens_per_minute(250_000);
/// assert_eq!(free.iter().count(), 3);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Limits(Vec<Limit>);

impl Limits {
    pub(crate) const NONE: Self = Self(Vec::new());

    /// Returns limits that allow everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the maximum number of requests in any 60 s.
    #[must_use]
    pub fn per_minute(self, requests: u64) -> Self {
        self.with(Limit { unit: Unit::Requests, span: Span::MINUTE, amount: requests })
    }

    /// Sets the maximum number of requests per day in the project's zone.
    #[must_use]
    pub fn per_day(self, requests: u64) -> Self {
        self.with(Limit { unit: Unit::Requests, span: Span::Day, amount: requests })
    }

    /// Sets the maximum number of prompt tokens in any 60 s, without the tokens of responses. For [`Unit::Tokens`], which
    /// counts both, see [`with`](Self::with).
    #[must_use]
    pub fn tokens_per_minute(self, tokens: u64) -> Self {
        self.with(Limit { unit: Unit::InputTokens, span: Span::MINUTE, amount: tokens })
    }

    /// Sets the maximum number of prompt tokens per day in the project's zone, without the tokens of responses. For
    /// other units and spans see [`with`](Self::with).
    #[must_use]
    pub fn tokens_per_day(self, tokens: u64) -> Self {
        self.with(Limit { unit: Unit::InputTokens, span: Span::Day, amount: tokens })
    }

    /// Adds a limit; it replaces one for the same unit and span.
    #[must_use]
    pub fn with(mut self, limit: Limit) -> Self {
        self.0.retain(|held| (held.unit, held.span) != (limit.unit, limit.span));
        self.0.push(limit);
        self.0.sort_unstable();
        self
    }

    /// Iterates over the limits, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = &Limit> {
        self.0.iter()
    }

    /// Reports whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns an error if a span is invalid.
    pub(crate) fn check(&self) -> Result<(), crate::Error> {
        match self.0.iter().find(|limit| !limit.span.is_valid()) {
            None => Ok(()),
            Some(limit) => Err(crate::Error::config(format!(
                "the limit \"{limit}\": its span must be 1 ms to 24 h, in whole milliseconds"
            ))),
        }
    }
}

/// An amount of each unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    /// Requests.
    pub requests: u64,
    /// Prompt tokens.
    pub input_tokens: u64,
    /// Response tokens.
    pub output_tokens: u64,
}

impl Amounts {
    /// Returns the amount of a unit.
    pub fn of(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests => self.requests,
            Unit::InputTokens => self.input_tokens,
            Unit::OutputTokens => self.output_tokens,
            Unit::Tokens => self.input_tokens.saturating_add(self.output_tokens),
        }
    }

    /// Returns the amount of a unit that a limit must have room for before a request with this cost is sent: at least
    /// one token, since the tokens of a response are known only afterwards.
    pub fn needed(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests => self.requests,
            Unit::InputTokens | Unit::OutputTokens | Unit::Tokens => self.of(unit).max(1),
        }
    }
}

/// The amounts that one request takes from the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) amounts: Amounts,
    /// Whether the tokens are an estimate: an estimate over a limit waits for an empty window instead of being refused.
    pub(crate) estimated: bool,
}

impl Default for Cost {
    fn default() -> Self {
        Self { amounts: Amounts { requests: 1, ..Amounts::default() }, estimated: false }
    }
}

impl Cost {
    /// Reports whether this cost is at least as large as another in every unit.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let (own, others) = (&self.amounts, &other.amounts);
        own.requests >= others.requests
            && own.input_tokens >= others.input_tokens
            && own.output_tokens >= others.output_tokens
            && (other.estimated || !self.estimated)
    }
}
