//! What a key allows by itself, as processes tell each other: a unit that nobody is ever lent, whose limits say it.

use std::time::Duration;

use super::names::UnitId;
use crate::limit::{Limit, Limits, Span, Unit};

/// How these units begin; behind it stands the hash of a key's secret. What begins so alone says that somebody has such keys.
const KEYS: &str = "key\n\n";

/// Requests at a time, and milliseconds between two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) concurrent: Option<u16>,
    pub(crate) interval: u32,
}

/// The unit of the key with this hash; of none: that there are any.
pub(crate) fn unit_of(hash: &str) -> UnitId {
    UnitId::from(&*[KEYS, hash].concat())
}

/// Whose unit it is; `None`: it is no such unit.
pub(crate) fn key_of(unit: &UnitId) -> Option<&str> {
    unit.as_str().strip_prefix(KEYS)
}

impl Own {
    pub(crate) fn is_none(self) -> bool {
        self == Self::default()
    }

    /// Of both the stricter.
    pub(crate) fn and(self, other: Self) -> Self {
        let concurrent = self.concurrent.into_iter().chain(other.concurrent).min();
        Self { concurrent, interval: self.interval.max(other.interval) }
    }

    /// As a board keeps and compares them. A board knows of no requests at a time: what stands for them limits nothing else.
    pub(crate) fn limits(self) -> Limits {
        let mut limits = Limits::new();
        if self.interval > 0 {
            let span = Span::Sliding(Duration::from_millis(self.interval.into()));
            limits = limits.with(Limit { unit: Unit::Requests, span, amount: 1 });
        }
        if let Some(concurrent) = self.concurrent {
            limits = limits.with(Limit { unit: Unit::Images, span: Span::MINUTE, amount: concurrent.into() });
        }
        limits
    }

    /// As somebody told.
    pub(crate) fn told(limits: &Limits) -> Self {
        limits.iter().fold(Self::default(), |own, limit| match (limit.unit, limit.span) {
            (Unit::Requests, Span::Sliding(span)) => {
                let interval = u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
                own.and(Self { interval, concurrent: None })
            }
            (Unit::Images, Span::MINUTE) => {
                let concurrent = Some(u16::try_from(limit.amount.max(1)).unwrap_or(u16::MAX - 1));
                own.and(Self { concurrent, interval: 0 })
            }
            _ => own,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_allows_is_told_and_of_two_the_stricter_holds() {
        for own in [(None, 0), (Some(1), 0), (None, 4_000), (Some(65_534), 86_400_000)] {
            let own = Own { concurrent: own.0, interval: own.1 };
            assert_eq!(Own::told(&own.limits()), own);
        }
        let own = |concurrent, interval| Own { concurrent, interval };
        let both = crate::share::stricter(&own(Some(3), 1_000).limits(), &own(Some(2), 4_000).limits());
        assert_eq!(Own::told(&both), own(Some(2), 4_000), "as a board takes them together");
        assert_eq!((key_of(&unit_of("a1")), key_of(&"keys\n\nkey:a1".into())), (Some("a1"), None));
    }
}
