//! What may be used in which span of time.

use std::{fmt, ops::RangeInclusive, time::Duration};

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
    /// Any span of this length, exact for every alignment. 1 ms to 24 h, in whole milliseconds.
    Sliding(Duration),
    /// A calendar day in the project's zone.
    Day,
}

impl Span {
    /// Any 60 s.
    pub const MINUTE: Self = Self::Sliding(Duration::from_secs(60));

    /// Whether a window can have it.
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
    /// What is counted.
    pub unit: Unit,
    /// Over which time.
    pub span: Span,
    /// How many at most; 0 allows nothing.
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
            Span::Day => write!(f, "{} {unit} a day", self.amount),
            Span::MINUTE => write!(f, "{} {unit} a minute", self.amount),
            Span::Sliding(span) => write!(f, "{} {unit} in {span:?}", self.amount),
        }
    }
}

/// The limits of a project for a model. Each is optional; all hold together.
///
/// ```
/// use tower_keypool::Limits;
///
/// let free = Limits::new().per_minute(10).per_day(250).tokens_per_minute(250_000);
/// assert_eq!(free.iter().count(), 3);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Limits(Vec<Limit>);

impl Limits {
    pub(crate) const NONE: Self = Self(Vec::new());

    /// No limit at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// At most this many requests in any 60 s.
    #[must_use]
    pub fn per_minute(self, requests: u64) -> Self {
        self.with(Limit { unit: Unit::Requests, span: Span::MINUTE, amount: requests })
    }

    /// At most this many requests a day of the project's zone.
    #[must_use]
    pub fn per_day(self, requests: u64) -> Self {
        self.with(Limit { unit: Unit::Requests, span: Span::Day, amount: requests })
    }

    /// At most this many prompt tokens in any 60 s.
    #[must_use]
    pub fn tokens_per_minute(self, tokens: u64) -> Self {
        self.with(Limit { unit: Unit::InputTokens, span: Span::MINUTE, amount: tokens })
    }

    /// At most this many prompt tokens a day of the project's zone.
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

    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is wrong with them, where anything is.
    pub(crate) fn check(&self) -> Result<(), crate::Error> {
        match self.0.iter().find(|limit| !limit.span.is_valid()) {
            None => Ok(()),
            Some(limit) => Err(crate::Error::config(format!(
                "the limit \"{limit}\": its span must be 1 ms to 24 h, in whole milliseconds"
            ))),
        }
    }
}

/// How much of each unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    /// Requests.
    pub requests: u64,
    /// Tokens of the prompts.
    pub input_tokens: u64,
    /// Tokens of the answers.
    pub output_tokens: u64,
    /// Images.
    pub images: u64,
}

impl Amounts {
    /// How much of a unit.
    pub fn of(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests => self.requests,
            Unit::InputTokens => self.input_tokens,
            Unit::OutputTokens => self.output_tokens,
            Unit::Tokens => self.input_tokens.saturating_add(self.output_tokens),
            Unit::Images => self.images,
        }
    }
}

/// What one request takes from the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) requests: u32,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) images: u32,
    /// The tokens are a guess: one that is over a limit waits for an empty window in place of being refused.
    pub(crate) estimated: bool,
}

impl Default for Cost {
    fn default() -> Self {
        Self { requests: 1, input_tokens: 0, output_tokens: 0, images: 0, estimated: false }
    }
}

impl Cost {
    /// Whether it takes as much of every unit as another.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.requests >= other.requests
            && self.input_tokens >= other.input_tokens
            && self.output_tokens >= other.output_tokens
            && self.images >= other.images
            && (other.estimated || !self.estimated)
    }

    pub(crate) fn amounts(&self) -> Amounts {
        let Self { requests, input_tokens, output_tokens, images, .. } = *self;
        Amounts { requests: requests.into(), input_tokens, output_tokens, images: images.into() }
    }

    /// How much of a unit it takes.
    pub(crate) fn of(&self, unit: Unit) -> u64 {
        self.amounts().of(unit)
    }
}
