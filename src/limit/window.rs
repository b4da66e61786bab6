//! One limit of a plan: which form its window has, and where it stands in the log.

use std::{ops::Range, time::Duration};

use super::{
    Limit, Limits, Span, Unit,
    amounts::Amounts,
    day::Day,
    log,
    need::{At, Opens, Stamp},
    slide::{self, Slide},
    starts::{self, Starts},
};

/// One limit and its place in the log.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) limit: Limit,
    pub(super) form: Form,
    pub(super) from: u32,
    pub(super) to: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Starts(Starts),
    Amounts(Amounts),
    Day(Day),
    /// Nothing at all is allowed.
    Closed,
}

impl Form {
    /// The form for `limit`, one of `limits`.
    pub(super) fn of(limit: Limit, limits: &Limits, guard: Duration) -> Self {
        match limit.span {
            _ if limit.amount == 0 => Form::Closed,
            Span::Day => Form::Day(Day::new(&limit)),
            Span::Sliding(span) => {
                let slide = Slide::new(span.saturating_add(guard));
                if limit.unit == Unit::Requests && limit.amount <= starts::MOST {
                    return Form::Starts(Starts { slide, limit: limit.amount as u16 });
                }
                // Each entry is of one request at least, and in this span there are no more than a longer one allows.
                let longer = |other: &&Limit| {
                    other.unit == Unit::Requests && matches!(other.span, Span::Sliding(longer) if longer >= span)
                };
                let starts = limits.iter().filter(longer).map(|other| other.amount).min().unwrap_or(u64::MAX);
                Form::Amounts(Amounts::new(slide, &limit, starts))
            }
        }
    }

    pub(super) fn words(&self) -> usize {
        match self {
            Self::Starts(starts) => starts.words(),
            Self::Amounts(amounts) => amounts.words(),
            Self::Day(day) => day.words(),
            Self::Closed => 0,
        }
    }
}

impl Window {
    #[inline]
    pub(super) fn range(&self) -> Range<usize> {
        self.from as usize..self.to as usize
    }

    /// The most that it ever has room for.
    pub(super) fn most(&self) -> u64 {
        match &self.form {
            Form::Amounts(amounts) => amounts.limit.into(),
            _ => self.limit.amount,
        }
    }

    #[inline]
    pub(super) fn purge(&self, words: &mut [u16], seen: u64, now: u64) {
        match &self.form {
            Form::Starts(starts) => starts.purge(words, seen, now),
            Form::Amounts(amounts) => amounts.purge(words, seen, now),
            Form::Day(_) | Form::Closed => {}
        }
    }

    #[inline]
    pub(super) fn used(&self, words: &[u16], at: &At) -> u64 {
        match &self.form {
            Form::Starts(_) => Starts::used(words),
            Form::Amounts(amounts) => amounts.used(words),
            Form::Day(day) => day.used(words, &at.day),
            Form::Closed => 0,
        }
    }

    #[inline]
    pub(super) fn fits(&self, words: &[u16], wanted: u64, at: &At) -> bool {
        self.used(words, at).saturating_add(wanted) <= self.most()
    }

    pub(super) fn opens(&self, words: &[u16], wanted: u64, now: u64, at: &At) -> Opens {
        if wanted > self.most() {
            return Opens::Never;
        }
        match &self.form {
            Form::Starts(starts) => Opens::Tick(starts.opens(words, wanted, now)),
            Form::Amounts(amounts) => Opens::Tick(amounts.opens(words, wanted, now)),
            Form::Day(day) => day.opens(words, wanted, &at.day),
            Form::Closed => Opens::Never,
        }
    }

    #[inline]
    pub(super) fn hold(&self, words: &mut [u16], amount: u64) {
        match &self.form {
            Form::Starts(_) => Starts::hold(words, amount),
            Form::Amounts(amounts) => amounts.hold(words, amount),
            Form::Day(day) => day.hold(words, amount),
            Form::Closed => {}
        }
    }

    pub(super) fn unhold(&self, words: &mut [u16], amount: u64) {
        match &self.form {
            Form::Starts(_) => Starts::unhold(words, amount),
            Form::Amounts(amounts) => amounts.unhold(words, amount),
            Form::Day(day) => day.unhold(words, amount),
            Form::Closed => {}
        }
    }

    /// Takes `amount` off what was stamped.
    pub(super) fn give_back(&self, log: &mut [u16], amount: u64, stamp: Stamp, now: u64) {
        let then = slide::moment(stamp.tick);
        match &self.form {
            Form::Starts(starts) => starts.remove(&mut log[self.range()], amount, then, now),
            Form::Amounts(amounts) => amounts.remove(&mut log[self.range()], amount, then, now),
            Form::Day(day) => {
                for date in stamp.days.iter() {
                    if let Some(place) = log::place_of(log, date) {
                        day.sub(&mut log[self.range()], place, amount);
                    }
                }
            }
            Form::Closed => {}
        }
    }

    /// Adds `amount` to what was stamped.
    pub(super) fn raise(&self, log: &mut [u16], amount: u64, stamp: Stamp, now: u64) {
        match &self.form {
            Form::Amounts(amounts) => {
                amounts.raise(&mut log[self.range()], amount, slide::moment(stamp.tick), now);
            }
            Form::Day(day) => {
                for date in stamp.days.iter() {
                    if let Some(place) = log::place_of(log, date) {
                        day.add(&mut log[self.range()], place, amount);
                    }
                }
            }
            // More requests than were asked for come from nowhere.
            Form::Starts(_) | Form::Closed => {}
        }
    }
}
