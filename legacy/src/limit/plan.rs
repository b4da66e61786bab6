//! All windows of one owner in one lane: the shared description.
//!
//! The state (the *log*) is a slice of 16-bit words that the pool keeps; a zeroed one is empty. Every call takes the
//! moment that its caller read before. A log never goes back: of moments that come out of order the later holds.

use std::time::Duration;

use super::{
    Limit, Limits, Span, Unit,
    form::Form,
    headroom::counts,
    log::{self, Dates},
    need::At,
    quick::Quick,
    quick_tokens::QuickTokens,
    slide,
    window::{AnyForm, Window, with_form},
    zone::Days,
};
use crate::time::Tick;

/// Limits, compiled: how the windows of an owner in a lane are laid out in its log. Shared by all owners with the same
/// limits.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    windows: Box<[Window]>,
    words: usize,
    daily: bool,
    /// For how many dates its logs keep counts.
    pub(super) kept: Dates,
    quick: Option<Quick>,
    /// The short way, where it is all there is.
    pub(super) short: Short,
    /// The most input tokens that one request may ever take.
    most_input: u64,
    /// Some window counts tokens.
    tokens: bool,
}

/// A short way through all windows of a plan.
#[derive(Clone, Debug)]
pub(super) enum Short {
    None,
    Requests(Quick),
    Tokens(QuickTokens),
}

impl Short {
    fn of(quick: Option<&Quick>, windows: &[Window]) -> Self {
        match (quick, QuickTokens::of(windows)) {
            (_, Some(tokens)) => Self::Tokens(tokens),
            (Some(quick), _) if windows.len() == Quick::WINDOWS => Self::Requests(*quick),
            _ => Self::None,
        }
    }
}

impl Plan {
    /// Sliding windows hold for `guard` longer than their span: requests do not travel equally fast.
    pub(crate) fn compile(limits: &Limits, guard: Duration) -> Self {
        Self::compile_for(limits, guard, Dates::Few)
    }

    /// The same with logs that keep so many dates.
    pub(crate) fn compile_for(limits: &Limits, guard: Duration, kept: Dates) -> Self {
        let kept = if limits.iter().any(|limit| limit.span == Span::Day) { kept } else { Dates::Few };
        let mut words = log::HEAD;
        let place = |limit| {
            let window = Window::new(limit, limits, guard, kept, words);
            words = window.range().end;
            window
        };
        let windows: Box<[Window]> = limits.iter().copied().map(place).collect();
        let daily = windows.iter().any(Window::is_day);
        let words = if windows.is_empty() { 0 } else { words + kept.further() };
        let input = windows.iter().filter(|window| counts(window.limit.unit, Unit::InputTokens));
        let most_input = input.map(Window::most).min().unwrap_or(u64::MAX);
        let of_tokens = |unit| matches!(unit, Unit::InputTokens | Unit::OutputTokens | Unit::Tokens);
        let tokens = windows.iter().any(|window| of_tokens(window.limit.unit));
        let quick = Quick::of(&windows);
        let short = Short::of(quick.as_ref(), &windows);
        Self { windows, words, daily, kept, quick, short, most_input, tokens }
    }

    /// How long the log is, in words; none where nothing is limited.
    pub(crate) fn words(&self) -> usize {
        self.words
    }

    /// The most input tokens that one request may ever take; `u64::MAX` where that is not limited.
    #[inline]
    pub(crate) fn most_input(&self) -> u64 {
        self.most_input
    }

    /// Whether some window counts tokens, of the prompt or of the answer.
    #[inline]
    pub(crate) fn counts_tokens(&self) -> bool {
        self.tokens
    }

    /// Whether some window counts requests.
    pub(crate) fn counts_requests(&self) -> bool {
        self.windows.iter().any(|window| window.limit.unit == Unit::Requests)
    }

    /// The limits that it was compiled of.
    pub(crate) fn limits(&self) -> impl Iterator<Item = Limit> + '_ {
        self.windows.iter().map(|window| window.limit)
    }

    #[inline]
    pub(super) fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// The windows that have a short way, and those that have none.
    #[inline]
    pub(super) fn quick_and_others(&self) -> (Option<&Quick>, &[Window]) {
        match &self.quick {
            Some(quick) => (Some(quick), &self.windows[Quick::WINDOWS..]),
            None => (None, &self.windows),
        }
    }

    /// Brings the log to `at`; says which moment that is for it.
    #[inline]
    pub(super) fn advance(&self, log: &mut [u16], at: &At) -> u64 {
        self.advance_to(log, at.tick, at.day.days)
    }

    /// The same where the day's end does not matter.
    #[inline]
    pub(super) fn advance_to(&self, log: &mut [u16], tick: Tick, days: Days) -> u64 {
        let now = slide::moment(tick);
        let seen = log::seen(log);
        if now > seen {
            for window in &self.windows {
                with_form!(&window.form, form => form.purge(&mut log[window.range()], seen, now));
            }
            log::see(log, now);
        }
        self.turn_to(log, days);
        now.max(seen)
    }

    /// Brings the dates of `days` to the front of the log's.
    #[inline]
    pub(super) fn turn_to(&self, log: &mut [u16], days: Days) {
        if self.daily && !log::stands_at(log, days) {
            self.reorder(log, days);
        }
    }

    #[cold]
    fn reorder(&self, log: &mut [u16], days: Days) {
        let moved = log::turn_to(log, self.kept, days);
        for window in &self.windows {
            let words = &mut log[window.range()];
            match &window.form {
                AnyForm::ShortDay(day) => day.reorder(words, &moved),
                AnyForm::Day(day) => day.reorder(words, &moved),
                AnyForm::LongDay(day) => day.reorder(words, &moved),
                AnyForm::Starts(_) | AnyForm::FewAmounts(_) | AnyForm::Amounts(_) | AnyForm::LongAmounts(_) => {}
            }
        }
    }
}
