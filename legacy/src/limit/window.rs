//! One limit of a plan: which form its window has, and where it stands in the log.

use std::{ops::Range, time::Duration};

use super::{
    Limit, Limits, Span, Unit,
    amounts::Amounts,
    day::Day,
    form::Form,
    log::Dates,
    need::{At, Need, Opens},
    slide::Slide,
    starts::{self, Starts},
    words::{Four, One, Two},
    zone::Days,
};

/// A window and its place in the log.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) form: AnyForm,
    from: u32,
    to: u32,
    pub(super) kept: Dates,
    pub(super) limit: Limit,
}

/// The forms, each for numbers of the size that its limit needs. Twice the limit always fits, as more may be counted
/// than is allowed; and tokens take two words at least: what an answer cost may be many times what was reserved.
#[derive(Clone, Copy, Debug)]
pub(super) enum AnyForm {
    Starts(Starts),
    ShortDay(Day<One>),
    Day(Day<Two>),
    LongDay(Day<Four>),
    FewAmounts(Amounts<One>),
    Amounts(Amounts<Two>),
    LongAmounts(Amounts<Four>),
}

/// Runs the same on whichever form it is.
macro_rules! with_form {
    ($form:expr, $it:ident => $run:expr) => {
        match $form {
            $crate::limit::window::AnyForm::Starts($it) => $run,
            $crate::limit::window::AnyForm::ShortDay($it) => $run,
            $crate::limit::window::AnyForm::Day($it) => $run,
            $crate::limit::window::AnyForm::LongDay($it) => $run,
            $crate::limit::window::AnyForm::FewAmounts($it) => $run,
            $crate::limit::window::AnyForm::Amounts($it) => $run,
            $crate::limit::window::AnyForm::LongAmounts($it) => $run,
        }
    };
}
pub(super) use with_form;

impl Window {
    /// The window of `limit`, one of `limits`, that begins at word `from`.
    pub(super) fn new(limit: Limit, limits: &Limits, guard: Duration, kept: Dates, from: usize) -> Self {
        let form = AnyForm::of(limit, limits, guard, kept);
        let to = from + with_form!(&form, form => form.words());
        Self { form, from: from as u32, to: to as u32, kept, limit }
    }

    #[inline]
    pub(super) fn range(&self) -> Range<usize> {
        self.from as usize..self.to as usize
    }

    /// The most that it ever has room for.
    #[inline]
    pub(super) fn most(&self) -> u64 {
        with_form!(&self.form, form => form.limit())
    }

    /// The room that `need` wants here. What does not say how many tokens it needs still needs room for one: a full
    /// window takes no request of unknown size. Only images may truly be none.
    #[inline]
    pub(super) fn room_for(&self, need: &Need) -> u64 {
        let wanted = need.of(self.limit.unit);
        if wanted == 0 && self.limit.unit != Unit::Images { 1 } else { wanted }
    }

    #[inline]
    pub(super) fn used(&self, log: &[u16], days: Days) -> u64 {
        with_form!(&self.form, form => form.used(&log[self.range()], days))
    }

    /// Whether `wanted` fits beside all that is here, whether it has left or not.
    #[inline]
    pub(super) fn fits(&self, log: &[u16], wanted: u64, days: Days) -> bool {
        let words = &log[self.range()];
        wanted == 0 || with_form!(&self.form, form => form.used(words, days).saturating_add(wanted) <= form.limit())
    }

    pub(super) fn opens(&self, log: &[u16], wanted: u64, now: u64, at: &At) -> Opens {
        if wanted > self.most() {
            return Opens::Never;
        }
        with_form!(&self.form, form => form.opens(&log[self.range()], wanted, now, at))
    }

    #[inline]
    pub(super) fn hold(&self, log: &mut [u16], amount: u64) {
        with_form!(&self.form, form => form.hold(&mut log[self.range()], amount));
    }

    pub(super) fn unhold(&self, log: &mut [u16], amount: u64) {
        with_form!(&self.form, form => form.unhold(&mut log[self.range()], amount));
    }

    /// Whether it counts by date.
    pub(super) fn is_day(&self) -> bool {
        self.limit.span == Span::Day
    }
}

impl AnyForm {
    fn of(limit: Limit, limits: &Limits, guard: Duration, kept: Dates) -> Self {
        let Limit { unit, span, amount } = limit;
        let few = amount <= 0x7fff && matches!(unit, Unit::Requests | Unit::Images);
        match span {
            Span::Day if few => Self::ShortDay(Day::new(amount, kept)),
            Span::Day if amount <= 0x7fff_ffff => Self::Day(Day::new(amount, kept)),
            Span::Day => Self::LongDay(Day::new(amount, kept)),
            Span::Sliding(span) => {
                let slide = Slide::new(span.saturating_add(guard));
                if unit == Unit::Requests && (1..=starts::MOST).contains(&amount) {
                    return Self::Starts(Starts::new(slide, amount as u16));
                }
                // Each entry is of one request at least; of those a longer span allows no fewer than this one.
                let longer = |other: &&Limit| {
                    other.unit == Unit::Requests && matches!(other.span, Span::Sliding(longer) if longer >= span)
                };
                let starts = limits.iter().filter(longer).map(|other| other.amount).min().unwrap_or(u64::MAX);
                if few {
                    Self::FewAmounts(Amounts::new(slide, amount, starts))
                } else if amount <= 0x7fff_ffff {
                    Self::Amounts(Amounts::new(slide, amount, starts))
                } else {
                    Self::LongAmounts(Amounts::new(slide, amount, starts))
                }
            }
        }
    }
}
