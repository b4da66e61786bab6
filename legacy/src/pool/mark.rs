//! The mark: how much an owner may start in a lane before the next write.
//!
//! A write says what is used, and how much more may be used without a word of it: whoever begins after a crash counts
//! that as used, too. So no key is granted beyond it. It is a small part of the limit, and more while much goes out.

use std::time::Duration;

use crate::{
    limit::{At, Need, Plan, Span, Unit, counts},
    share::{self, Spent},
    store::Credit,
    time::Tick,
};

/// So many records in a row say what was started, before one says the whole log again.
const PARTS: u8 = 100;

/// What was started longer ago is told by the moment.
const LATE: Duration = Duration::from_millis(500);

/// Nothing bounds it.
const UNBOUNDED: u32 = u32::MAX;

const UNITS: [Unit; 4] = [Unit::Requests, Unit::InputTokens, Unit::OutputTokens, Unit::Images];

/// An amount of each of `UNITS`, up to four thousand million: between two writes nobody uses as much.
type Amounts = [u32; 4];

fn amounts(need: &Need) -> Amounts {
    UNITS.map(|unit| bounded(need.of(unit)))
}

/// At most so much.
fn bounded(amount: u64) -> u32 {
    u32::try_from(amount).unwrap_or(UNBOUNDED).min(UNBOUNDED - 1)
}

/// Or without a bound.
fn most(plan: &Plan, unit: Unit) -> u32 {
    match plan.most(unit) {
        u64::MAX => UNBOUNDED,
        amount => bounded(amount),
    }
}

/// An owner's mark in a lane. What every start goes by lies in one line of the cache.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Mark {
    /// What is left of what the last write that was kept allows, and any one under way.
    left: Amounts,
    /// Started since the last look at the log.
    since: Amounts,
    /// When the first of that was.
    first: Tick,
    /// Its log is to be looked at.
    pub(super) noted: bool,
    /// Another thing than starts changed the log: the next record is the whole of it.
    pub(super) whole: bool,
    /// Somebody was refused.
    pub(super) short: bool,
    /// Records since the last whole one.
    parts: u8,
    /// The most that was asked for in vain since then.
    asked: Amounts,
    /// What the write under way allows.
    writing: Option<Amounts>,
    /// The number of the last grant before the last look.
    pub(super) looked: u64,
    /// What corrections of tokens came to since then.
    corrected: [i64; 4],
}

impl Mark {
    /// What is allowed where nothing was ever written.
    pub(super) fn first(plan: &Plan) -> Self {
        Self {
            left: least(plan),
            since: [0; 4],
            first: Tick::ZERO,
            asked: [0; 4],
            writing: None,
            noted: false,
            whole: true,
            parts: 0,
            looked: 0,
            corrected: [0; 4],
            short: false,
        }
    }

    /// What is allowed of a unit that was granted, before anything is noted of it.
    pub(super) fn granted(plan: &Plan, ahead: Option<&Spent>) -> Self {
        let mut mark = Self::first(plan);
        if let Some(ahead) = ahead {
            mark.left =
                UNITS.map(|unit| if most(plan, unit) == UNBOUNDED { UNBOUNDED } else { bounded(ahead.of(unit)) });
        }
        mark
    }

    /// What is allowed of a unit of which the board keeps the marks: they bound the day alone.
    pub(super) fn told(plan: &Plan, marks: &[share::Mark], at: &At) -> Self {
        let mut mark = Self { left: [UNBOUNDED; 4], ..Self::first(plan) };
        mark.allow(plan, marks, at);
        mark
    }

    /// The board has heard so far, and allows so much more. Of a date that it said nothing of nothing may be used.
    pub(super) fn allow(&mut self, plan: &Plan, marks: &[share::Mark], at: &At) {
        for (n, unit) in UNITS.into_iter().enumerate() {
            let daily = plan.limits().filter(|limit| limit.span == Span::Day && counts(limit.unit, unit));
            let left = daily.map(|limit| {
                let of = |date| marks.iter().find(|mark| mark.unit == limit.unit && mark.date == date);
                let days = at.day.days;
                (days.first..=days.last).map(|date| of(date).map_or(0, |mark| mark.upto)).min().unwrap_or(0)
            });
            self.left[n] = left.min().map_or(UNBOUNDED, bounded);
        }
    }

    /// How much may be started by what was kept and what is being written.
    pub(super) fn ahead(&self) -> Spent {
        let bound = |n: usize| {
            let writing = self.writing.map_or(0, |allowed| allowed[n].saturating_sub(self.since[n]));
            if self.left[n] == UNBOUNDED { 0 } else { u64::from(self.left[n].max(writing)) }
        };
        Spent { requests: bound(0), input_tokens: bound(1), output_tokens: bound(2), images: bound(3) }
    }

    pub(super) fn covers(&self, need: &Need) -> bool {
        amounts(need).iter().zip(self.left).all(|(need, left)| *need <= left)
    }

    /// Somebody asked for so much in vain: the next write allows it.
    pub(super) fn ask(&mut self, need: &Need) {
        self.short = true;
        for (asked, need) in self.asked.iter_mut().zip(amounts(need)) {
            *asked = need.max(*asked);
        }
    }

    pub(super) fn spend(&mut self, need: &Need, now: Tick) {
        if self.since == [0; 4] {
            self.first = now;
        }
        for ((left, since), need) in self.left.iter_mut().zip(&mut self.since).zip(amounts(need)) {
            *left = if *left == UNBOUNDED { UNBOUNDED } else { left.saturating_sub(need) };
            *since = since.saturating_add(need);
        }
    }

    /// A request that was counted cost this much of `unit` more than what was reserved for it, or less: the grant of this
    /// number.
    pub(super) fn correct(&mut self, unit: Unit, granted: u64, more: i64) {
        // What a start that was told already gave back is known with the next whole record: taken off those that came
        // since, it would be missing once it has left the window itself.
        if more < 0 && granted <= self.looked {
            return;
        }
        if let Some(n) = UNITS.iter().position(|it| *it == unit) {
            self.corrected[n] = self.corrected[n].saturating_add(more);
        }
    }

    /// The log is looked at now, and `granted` is the number of the last grant: what was started since the last look,
    /// where no more than that is to be said. Before [`Mark::write`].
    pub(super) fn part(&mut self, granted: u64, whole: bool, now: Tick) -> Option<Credit> {
        self.looked = granted;
        // Whoever counts it counts all of it now.
        let late = self.since != [0; 4] && now.since(self.first) > LATE;
        let corrected = std::mem::take(&mut self.corrected);
        if std::mem::take(&mut self.whole) || whole || late || self.parts >= PARTS {
            self.parts = 0;
            return None;
        }
        self.parts += 1;
        let mut amounts = self.since.map(u64::from);
        for (amount, more) in amounts.iter_mut().zip(corrected) {
            *amount = amount.saturating_add_signed(more);
        }
        Some(credit(amounts))
    }

    /// The whole log was told otherwise: what is noted from here on comes on top of that.
    pub(super) fn told_whole(&mut self) {
        self.parts = 0;
    }

    /// The log is looked at now: what the write says may be started from here on.
    pub(super) fn write(&mut self, plan: &Plan) -> Credit {
        let mut allowed = least(plan);
        for (n, allowed) in allowed.iter_mut().enumerate() {
            let most = most(plan, UNITS[n]);
            let since = self.since[n];
            let lively = if self.short { since.saturating_mul(4) } else { since.saturating_add(since / 2) };
            let lively = lively.max(self.asked[n].saturating_mul(2)).min(UNBOUNDED - 1);
            *allowed = if most == UNBOUNDED { UNBOUNDED } else { lively.max(*allowed).min(most.max(self.asked[n])) };
            // Until it is kept, the older one holds as well.
            self.left[n] = self.left[n].min(*allowed);
        }
        (self.since, self.asked) = ([0; 4], [0; 4]);
        self.writing = Some(allowed);
        self.noted = false;
        told(allowed)
    }

    /// The write was kept. Whether somebody was refused before, and whether it allows more than a quiet owner needs.
    pub(super) fn written(&mut self, plan: &Plan) -> (bool, bool) {
        let Some(allowed) = self.writing.take() else { return (false, false) };
        for (n, allowed) in allowed.iter().enumerate() {
            self.left[n] = if *allowed == UNBOUNDED { UNBOUNDED } else { allowed.saturating_sub(self.since[n]) };
        }
        let lavish = allowed.iter().zip(least(plan)).any(|(allowed, least)| *allowed > least);
        (std::mem::take(&mut self.short), lavish)
    }
}

/// What is allowed of each unit while little goes out: an eighth of a limit of tokens, a sixteenth of one of requests,
/// but two where that is no more than a fifth of it. A day is longer: of its requests a 512th, or one, so that many crashes do not
/// use it up.
fn least(plan: &Plan) -> Amounts {
    let a_day = plan.limits().filter(|limit| (limit.unit, limit.span) == (Unit::Requests, Span::Day));
    let of_a_day = a_day.map(|limit| bounded((limit.amount / 512).max(1))).min().unwrap_or(UNBOUNDED);
    UNITS.map(|unit| match (most(plan, unit), unit) {
        (UNBOUNDED, _) => UNBOUNDED,
        (most, Unit::InputTokens | Unit::OutputTokens) => (most / 8).max(1),
        (most, Unit::Requests) => (most / 16).max(if most < 10 { 1 } else { 2 }).min(of_a_day),
        (most, _) => (most / 16).max(if most < 10 { 1 } else { 2 }),
    })
}

/// What is allowed before anything is written.
pub(super) fn unwritten(plan: &Plan) -> Credit {
    told(least(plan))
}

/// As it is written: nothing is said of what has no bound.
fn told(amounts: Amounts) -> Credit {
    credit(amounts.map(|amount| if amount == UNBOUNDED { 0 } else { u64::from(amount) }))
}

fn credit([requests, input_tokens, output_tokens, images]: [u64; 4]) -> Credit {
    Credit { requests, input_tokens, output_tokens, images }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limit::Limits;

    fn one() -> Need {
        Need { requests: 1, ..Need::default() }
    }

    fn plan(a_minute: u64) -> Plan {
        Plan::compile(&Limits::new().per_minute(a_minute), Duration::ZERO)
    }

    #[test]
    fn allows_little_until_a_write_is_kept_and_more_while_much_goes_out() {
        let plan = plan(160);
        let mut mark = Mark::first(&plan);
        for _ in 0..10 {
            assert!(mark.covers(&one()));
            mark.spend(&one(), Tick::ZERO);
        }
        assert!(!mark.covers(&one()), "a sixteenth");
        mark.ask(&one());
        assert_eq!(mark.write(&plan).requests, 40, "four times what went out since");
        assert!(!mark.covers(&one()), "not before it is kept");
        assert_eq!(mark.written(&plan), (true, true));
        for _ in 0..40 {
            assert!(mark.covers(&one()));
            mark.spend(&one(), Tick::ZERO);
        }
        assert!(!mark.covers(&one()));
    }

    #[test]
    fn what_goes_out_during_a_write_counts_against_the_old_one_and_the_new() {
        let plan = plan(160);
        let mut mark = Mark::first(&plan);
        (0..8).for_each(|_| mark.spend(&one(), Tick::ZERO));
        assert_eq!(mark.write(&plan).requests, 12);
        (0..2).for_each(|_| mark.spend(&one(), Tick::ZERO));
        assert!(!mark.covers(&one()), "the old one is used up");
        mark.written(&plan);
        (0..10).for_each(|_| mark.spend(&one(), Tick::ZERO));
        assert!(!mark.covers(&one()), "12 since the look");
        assert_eq!(mark.write(&plan).requests, 18);
        mark.written(&plan);
        assert_eq!(mark.write(&plan).requests, 10, "quiet again");
    }

    #[test]
    fn a_record_says_what_was_started_until_something_else_changes_the_log() {
        let plan = plan(160);
        let mut mark = Mark::first(&plan);
        mark.spend(&one(), Tick::ZERO);
        assert_eq!(mark.part(1, false, Tick::ZERO), None, "the first is whole");
        mark.write(&plan);
        mark.spend(&Need { input_tokens: 30, ..one() }, Tick::ZERO);
        mark.correct(Unit::InputTokens, 2, 12);
        mark.correct(Unit::OutputTokens, 2, -7);
        // Told before: its own tokens leave the window with it, and not those of the start after it.
        mark.correct(Unit::InputTokens, 1, -9);
        let part = Credit { requests: 1, input_tokens: 42, ..Credit::default() };
        assert_eq!((mark.part(2, false, Tick::ZERO), mark.looked), (Some(part), 2));
        mark.write(&plan);
        assert_eq!(mark.part(2, false, Tick::ZERO), Some(Credit::default()), "nothing is said twice");
        mark.whole = true;
        assert_eq!((mark.part(2, false, Tick::ZERO), mark.part(2, true, Tick::ZERO)), (None, None));
        mark.spend(&one(), Tick::ZERO);
        assert_eq!(mark.part(3, false, Tick::ZERO.plus(Duration::from_secs(9))), None, "it is not all of now");
        mark.write(&plan);
        let parts = (0..1_000).filter(|_| mark.part(2, false, Tick::ZERO).is_some()).count();
        assert!((985..1_000).contains(&parts), "the whole now and then: {parts}");
    }

    #[test]
    fn a_crash_costs_little_of_the_smallest_limits() {
        for (limit, allowed) in [(1, 1), (2, 1), (5, 1), (9, 1), (10, 2), (32, 2), (60, 3)] {
            assert_eq!(least(&plan(limit))[0], allowed);
        }
        for (a_day, allowed) in [(1, 1), (250, 1), (1_500, 2), (100_000, 3)] {
            let plan = Plan::compile(&Limits::new().per_minute(60).per_day(a_day), Duration::ZERO);
            assert_eq!(least(&plan)[0], allowed, "{a_day} a day");
        }
    }
}
