//! Values of labels: one word each, as serde has them.

use std::{borrow::Cow, time::Duration};

use crate::{
    limit::{Span, Unit},
    pool::{KeyState, LimitSource},
    verdict::VerdictKind,
};

/// Every kind, in the order of the enum.
pub(super) const VERDICTS: [VerdictKind; 15] = [
    VerdictKind::Success,
    VerdictKind::RateLimited,
    VerdictKind::QuotaExhausted,
    VerdictKind::InvalidKey,
    VerdictKind::Suspended,
    VerdictKind::Overloaded,
    VerdictKind::Transient,
    VerdictKind::ModelUnavailable,
    VerdictKind::CallerFault,
    VerdictKind::WrongOwner,
    VerdictKind::Misconfigured,
    VerdictKind::Blocked,
    VerdictKind::Broken,
    VerdictKind::Cancelled,
    VerdictKind::Unjudged,
];

pub(super) const STATES: [KeyState; 5] =
    [KeyState::Ready, KeyState::Partly, KeyState::Busy, KeyState::Resting, KeyState::Disabled];

/// Requests without a model. No path names a model with such letters in it.
const NO_MODEL: &str = "(none)";

pub(super) fn lane(model: Option<&str>) -> &str {
    model.unwrap_or(NO_MODEL)
}

pub(super) fn state(state: KeyState) -> &'static str {
    match state {
        KeyState::Ready => "ready",
        KeyState::Partly => "partly",
        KeyState::Busy => "busy",
        KeyState::Resting => "resting",
        KeyState::Disabled => "disabled",
    }
}

pub(super) fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Requests => "requests",
        Unit::InputTokens => "input_tokens",
        Unit::OutputTokens => "output_tokens",
        Unit::Tokens => "tokens",
        Unit::Images => "images",
    }
}

pub(super) fn span(span: Span) -> Cow<'static, str> {
    const HOUR: Duration = Duration::from_secs(3600);
    match span {
        Span::Day => "day".into(),
        Span::MINUTE => "minute".into(),
        Span::Sliding(HOUR) => "hour".into(),
        Span::Sliding(length) => format!("{}s", length.as_secs_f64()).into(),
    }
}

pub(super) fn origin(source: LimitSource) -> &'static str {
    match source {
        LimitSource::Given => "given",
        LimitSource::Learned => "learned",
        LimitSource::Table => "table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_the_words_of_the_snapshot() {
        let word = |value: &dyn erased::Word| value.word();
        for held in STATES {
            assert_eq!(state(held), word(&held));
        }
        for of in [Unit::Requests, Unit::InputTokens, Unit::OutputTokens, Unit::Tokens, Unit::Images] {
            assert_eq!(unit(of), word(&of));
        }
        for of in [LimitSource::Given, LimitSource::Learned, LimitSource::Table] {
            assert_eq!(origin(of), word(&of));
        }
    }

    #[test]
    fn spans_are_short() {
        let of = |millis| span(Span::Sliding(Duration::from_millis(millis))).into_owned();
        assert_eq!(
            (of(60_000), of(3_600_000), of(1_500), of(30_000)),
            ("minute".to_owned(), "hour".to_owned(), "1.5s".to_owned(), "30s".to_owned())
        );
        assert_eq!(span(Span::Day), "day");
    }

    mod erased {
        /// What serde writes for a value.
        pub(super) trait Word {
            fn word(&self) -> String;
        }

        impl<T: serde::Serialize> Word for T {
            fn word(&self) -> String {
                serde_json::to_value(self).unwrap().as_str().unwrap().to_owned()
            }
        }
    }
}
