//! All windows of one owner in one lane: the shared description, and the arithmetic on their words.
//!
//! The state (the *log*) is a slice of 16-bit words that the pool keeps; a zeroed one is empty. Every call takes the
//! moment that its caller read before. A log never goes back: of moments that come out of order the later holds.

use std::{ops::Range, time::Duration};

use super::{
    Limit, Limits, Span, Unit,
    amounts::Amounts,
    day::Day,
    log,
    need::{At, Full, Need, Opens, Stamp},
    slide::{self, Slide},
    starts::{self, Starts},
    zone::Days,
};

/// Limits, compiled: how the windows of an owner in a lane are laid out in its log. Shared by all owners with the same
/// limits.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    limits: Limits,
    windows: Box<[Window]>,
    words: usize,
    daily: bool,
}

/// One limit and its place in the log.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) limit: Limit,
    pub(super) form: Form,
    from: u32,
    to: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Starts(Starts),
    Amounts(Amounts),
    Day(Day),
    /// Nothing at all is allowed.
    Closed,
}

impl Plan {
    /// Sliding windows hold for `guard` longer than their span: requests do not travel equally fast.
    pub(crate) fn compile(limits: &Limits, guard: Duration) -> Self {
        let mut words = log::HEAD;
        let windows: Box<[Window]> = limits
            .iter()
            .map(|limit| {
                let form = form(limits, *limit, guard);
                let from = words;
                words += form.words();
                Window { limit: *limit, form, from: from as u32, to: words as u32 }
            })
            .collect();
        let daily = windows.iter().any(|window| matches!(window.form, Form::Day(_)));
        Self { limits: limits.clone(), words: if windows.is_empty() { 0 } else { words }, windows, daily }
    }

    /// How long the log is, in words; none where nothing is limited.
    pub(crate) fn words(&self) -> usize {
        self.words
    }

    /// What it was compiled from.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether there is room for `need` in all windows now.
    ///
    /// # Errors
    /// The limit that opens last of those that are full, and when.
    #[inline]
    pub(crate) fn room(&self, log: &mut [u16], need: &Need, at: &At) -> Result<(), Full> {
        let now = self.advance(log, at);
        for window in &self.windows {
            let wanted = need.room_of(window.limit.unit);
            if wanted > 0 && !window.fits(&log[window.range()], wanted, at) {
                return Err(self.full(log, need, now, at));
            }
        }
        Ok(())
    }

    /// Takes room for `need`. Its place is provisional, and does not leave, until it is stamped or refunded.
    #[inline]
    pub(crate) fn reserve(&self, log: &mut [u16], need: &Need) {
        for window in &self.windows {
            window.hold(&mut log[window.range()], need.of(window.limit.unit));
        }
    }

    /// The request starts: what was provisional counts from now. The lease keeps the answer.
    #[inline]
    pub(crate) fn stamp(&self, log: &mut [u16], need: &Need, at: &At) -> Stamp {
        let now = self.advance(log, at);
        for window in &self.windows {
            let amount = need.of(window.limit.unit);
            let words = &mut log[window.range()];
            match &window.form {
                Form::Starts(starts) => {
                    Starts::unhold(words, amount);
                    starts.push(words, amount, now);
                }
                Form::Amounts(amounts) => {
                    amounts.unhold(words, amount);
                    amounts.push(words, amount, now);
                }
                Form::Day(day) => {
                    day.unhold(words, amount);
                    day.add(words, 0, amount);
                    if at.day.days.first != at.day.days.last {
                        day.add(words, 1, amount);
                    }
                }
                Form::Closed => {}
            }
        }
        Stamp { tick: slide::tick(now), days: at.day.days }
    }

    /// The request starts only now, and not when it was stamped before: its place moves here. Where its old place has
    /// left already it is counted anew, whatever stands there since.
    pub(crate) fn restamp(&self, log: &mut [u16], need: &Need, earlier: Stamp, at: &At) -> Stamp {
        let now = self.advance(log, at);
        let then = slide::moment(earlier.tick);
        for window in &self.windows {
            let amount = need.of(window.limit.unit);
            let words = &mut log[window.range()];
            match &window.form {
                Form::Starts(starts) => {
                    starts.remove(words, amount, then, now);
                    starts.push(words, amount, now);
                }
                Form::Amounts(amounts) => {
                    amounts.remove(words, amount, then, now);
                    amounts.push(words, amount, now);
                }
                Form::Day(_) | Form::Closed => {}
            }
        }
        Stamp { tick: slide::tick(now), days: self.count_days(log, need, earlier.days, at) }
    }

    /// The request ended (or is still under way) now: it also counts on the date of this moment, if that is another.
    /// `need` is what it is known to need by now.
    pub(crate) fn spans_midnight(&self, log: &mut [u16], need: &Need, stamp: Stamp, at: &At) -> Stamp {
        if stamp.days.contains(at.day.days.first) && stamp.days.contains(at.day.days.last) {
            return stamp;
        }
        self.advance(log, at);
        Stamp { days: self.count_days(log, need, stamp.days, at), ..stamp }
    }

    /// The request never left: what it took, provisionally (no stamp) or not, is given back.
    pub(crate) fn refund(&self, log: &mut [u16], need: &Need, stamp: Option<Stamp>, at: &At) {
        let now = self.advance(log, at);
        for window in &self.windows {
            let amount = need.of(window.limit.unit);
            match stamp {
                None => window.unhold(&mut log[window.range()], amount),
                Some(stamp) => window.give_back(log, amount, stamp, now),
            }
        }
    }

    /// The answer says how much of `unit` (tokens, images) it really was. Goes on to [`Unit::Tokens`] where `unit` is
    /// one of its parts.
    pub(crate) fn correct(&self, log: &mut [u16], unit: Unit, stamp: Option<Stamp>, amounts: Correction, at: &At) {
        let now = self.advance(log, at);
        let Correction { reserved, actual } = amounts;
        for window in self.windows.iter().filter(|window| counts(window.limit.unit, unit)) {
            match stamp {
                None if actual >= reserved => window.hold(&mut log[window.range()], actual - reserved),
                None => window.unhold(&mut log[window.range()], reserved - actual),
                Some(stamp) if actual >= reserved => window.raise(log, actual - reserved, stamp, now),
                Some(stamp) => window.give_back(log, reserved - actual, stamp, now),
            }
        }
    }

    /// Each limit and how much of it is used, in the order of [`Limits::iter`].
    pub(crate) fn used(&self, log: &mut [u16], at: &At) -> impl Iterator<Item = (Limit, u64)> {
        self.advance(log, at);
        let log = &*log;
        self.windows.iter().map(move |window| (window.limit, window.used(&log[window.range()], at)))
    }

    /// The least room that a window counting `unit` has; `u64::MAX` where none does.
    pub(crate) fn headroom(&self, log: &mut [u16], unit: Unit, at: &At) -> u64 {
        self.advance(log, at);
        let windows = self.windows.iter().filter(|window| counts(window.limit.unit, unit));
        windows
            .map(|window| window.limit.amount.saturating_sub(window.used(&log[window.range()], at)))
            .min()
            .unwrap_or(u64::MAX)
    }

    /// When `wanted` of `unit` fits into every window that counts it; `None`: now.
    pub(crate) fn next_headroom(&self, log: &mut [u16], unit: Unit, wanted: u64, at: &At) -> Option<Opens> {
        let now = self.advance(log, at);
        let windows = self.windows.iter().filter(|window| counts(window.limit.unit, unit));
        let full = windows.filter(|window| !window.fits(&log[window.range()], wanted, at));
        full.map(|window| window.opens(&log[window.range()], wanted, now, at))
            .reduce(|last, opens| if opens.is_after(last, at) { opens } else { last })
    }

    /// Whether `need` fits at least into empty windows.
    ///
    /// # Errors
    /// The first limit that it is too large for.
    pub(crate) fn fits_ever(&self, need: &Need) -> Result<(), Limit> {
        let too_small = |window: &&Window| need.room_of(window.limit.unit) > window.most();
        self.windows.iter().find(too_small).map_or(Ok(()), |window| Err(window.limit))
    }

    /// The most of `unit` that one request may ever take; `u64::MAX` where that is not limited.
    pub(crate) fn most(&self, unit: Unit) -> u64 {
        let windows = self.windows.iter().filter(|window| counts(window.limit.unit, unit));
        windows.map(Window::most).min().unwrap_or(u64::MAX)
    }

    pub(super) fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// Brings the log to `at`; says which moment that is for it.
    #[inline]
    pub(super) fn advance(&self, log: &mut [u16], at: &At) -> u64 {
        let now = slide::moment(at.tick);
        if self.windows.is_empty() {
            return now;
        }
        let seen = log::seen(log);
        if now > seen {
            for window in &self.windows {
                window.purge(&mut log[window.range()], seen, now);
            }
            log::see(log, now);
        }
        if self.daily && !log::stands_at(log, at.day.days) {
            self.turn_to(log, at.day.days);
        }
        now.max(seen)
    }

    #[cold]
    pub(super) fn turn_to(&self, log: &mut [u16], days: Days) {
        let moved = log::turn_to(log, days);
        for window in &self.windows {
            if let Form::Day(day) = &window.form {
                day.reorder(&mut log[window.range()], moved);
            }
        }
    }

    #[cold]
    fn full(&self, log: &[u16], need: &Need, now: u64, at: &At) -> Full {
        let mut last: Option<Full> = None;
        for window in &self.windows {
            let (words, wanted) = (&log[window.range()], need.room_of(window.limit.unit));
            if wanted > 0 && !window.fits(words, wanted, at) {
                let opens = window.opens(words, wanted, now, at);
                if last.is_none_or(|last| opens.is_after(last.opens, at)) {
                    last = Some(Full { limit: window.limit, opens });
                }
            }
        }
        last.expect("a window was found full just now")
    }

    /// Counts `need` on those dates of `at` on which it was not counted yet.
    fn count_days(&self, log: &mut [u16], need: &Need, counted: Days, at: &At) -> Days {
        let new = at.day.days.iter().filter(|date| !counted.contains(*date));
        for place in new.filter_map(|date| log::place_of(log, date)).collect::<Vec<_>>() {
            for window in &self.windows {
                if let Form::Day(day) = &window.form {
                    day.add(&mut log[window.range()], place, need.of(window.limit.unit));
                }
            }
        }
        counted.and(at.day.days)
    }
}

/// What was reserved and what it really was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Correction {
    pub(crate) reserved: u64,
    pub(crate) actual: u64,
}

/// Whether a window of `unit` counts `part`.
fn counts(unit: Unit, part: Unit) -> bool {
    unit == part || (unit == Unit::Tokens && matches!(part, Unit::InputTokens | Unit::OutputTokens))
}

fn form(limits: &Limits, limit: Limit, guard: Duration) -> Form {
    match limit.span {
        _ if limit.amount == 0 => Form::Closed,
        Span::Day => Form::Day(Day::new(limit.amount)),
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
            Form::Amounts(Amounts::new(slide, limit.amount, starts))
        }
    }
}

impl Form {
    fn words(&self) -> usize {
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
    fn most(&self) -> u64 {
        match &self.form {
            Form::Amounts(amounts) => amounts.limit.into(),
            _ => self.limit.amount,
        }
    }

    #[inline]
    fn purge(&self, words: &mut [u16], seen: u64, now: u64) {
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
    fn fits(&self, words: &[u16], wanted: u64, at: &At) -> bool {
        self.used(words, at).saturating_add(wanted) <= self.most()
    }

    fn opens(&self, words: &[u16], wanted: u64, now: u64, at: &At) -> Opens {
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
    fn give_back(&self, log: &mut [u16], amount: u64, stamp: Stamp, now: u64) {
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
    fn raise(&self, log: &mut [u16], amount: u64, stamp: Stamp, now: u64) {
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
