//! The mark: how much an owner may start in a lane before the next write.
//!
//! A write says what is used, and how much more may be used without a word of it: whoever begins after a crash counts
//! that as used, too. So no key is granted beyond it. It is a small part of the limit, and more while much goes out.

use crate::{
    limit::{At, Need, Plan, Span, Unit, counts},
    share::{self, Spent},
    store::Credit,
};

/// Nothing bounds it.
const UNBOUNDED: u64 = u64::MAX;

const UNITS: [Unit; 4] = [Unit::Requests, Unit::InputTokens, Unit::OutputTokens, Unit::Images];

/// An amount of each of `UNITS`.
pub(super) type Amounts = [u64; 4];

fn amounts(need: &Need) -> Amounts {
    UNITS.map(|unit| need.of(unit))
}

/// An owner's mark in a lane.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    /// What is left of what the last write that was kept allows, and any one under way.
    left: Amounts,
    /// Started since the last look at the log.
    since: Amounts,
    /// The most that was asked for in vain since then.
    asked: Amounts,
    /// What the write under way allows.
    writing: Option<Amounts>,
    /// Its log is to be looked at.
    pub(super) noted: bool,
    /// Somebody was refused.
    pub(super) short: bool,
}

impl Mark {
    /// What is allowed where nothing was ever written.
    pub(super) fn first(plan: &Plan) -> Self {
        Self { left: least(plan), since: [0; 4], asked: [0; 4], writing: None, noted: false, short: false }
    }

    /// What is allowed of a unit that was granted, before anything is noted of it.
    pub(super) fn granted(plan: &Plan, ahead: Option<&Spent>) -> Self {
        let mut mark = Self::first(plan);
        if let Some(ahead) = ahead {
            mark.left = UNITS.map(|unit| if plan.most(unit) == UNBOUNDED { UNBOUNDED } else { ahead.of(unit) });
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
            self.left[n] = left.min().unwrap_or(UNBOUNDED);
        }
    }

    /// How much may be started by what was kept and what is being written.
    pub(super) fn ahead(&self) -> Spent {
        let bound = |n: usize| {
            let writing = self.writing.map_or(0, |allowed| allowed[n].saturating_sub(self.since[n]));
            if self.left[n] == UNBOUNDED { 0 } else { self.left[n].max(writing) }
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

    pub(super) fn spend(&mut self, need: &Need) {
        for ((left, since), need) in self.left.iter_mut().zip(&mut self.since).zip(amounts(need)) {
            *left = if *left == UNBOUNDED { UNBOUNDED } else { left.saturating_sub(need) };
            *since = since.saturating_add(need);
        }
    }

    /// The log is looked at now: what the write says may be started from here on.
    pub(super) fn write(&mut self, plan: &Plan) -> Credit {
        let mut allowed = least(plan);
        for (n, allowed) in allowed.iter_mut().enumerate() {
            let most = plan.most(UNITS[n]);
            let since = self.since[n];
            let lively = if self.short { since.saturating_mul(4) } else { since.saturating_add(since / 2) };
            let lively = lively.max(self.asked[n].saturating_mul(2));
            *allowed = if most == UNBOUNDED { UNBOUNDED } else { lively.max(*allowed).min(most.max(self.asked[n])) };
            // Until it is kept, the older one holds as well.
            self.left[n] = self.left[n].min(*allowed);
        }
        (self.since, self.asked) = ([0; 4], [0; 4]);
        self.writing = Some(allowed);
        self.noted = false;
        credit(&allowed)
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
/// but two where that is not half of it.
pub(super) fn least(plan: &Plan) -> Amounts {
    UNITS.map(|unit| match (plan.most(unit), unit) {
        (UNBOUNDED, _) => UNBOUNDED,
        (most, Unit::InputTokens | Unit::OutputTokens) => (most / 8).max(1),
        (most, _) => (most / 16).max(if most < 5 { 1 } else { 2 }),
    })
}

/// As it is written: nothing is said of what has no bound.
pub(super) fn credit(amounts: &Amounts) -> Credit {
    let [requests, input_tokens, output_tokens, images] =
        amounts.map(|amount| if amount == UNBOUNDED { 0 } else { amount });
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
            mark.spend(&one());
        }
        assert!(!mark.covers(&one()), "a sixteenth");
        mark.ask(&one());
        assert_eq!(mark.write(&plan).requests, 40, "four times what went out since");
        assert!(!mark.covers(&one()), "not before it is kept");
        assert_eq!(mark.written(&plan), (true, true));
        for _ in 0..40 {
            assert!(mark.covers(&one()));
            mark.spend(&one());
        }
        assert!(!mark.covers(&one()));
    }

    #[test]
    fn what_goes_out_during_a_write_counts_against_the_old_one_and_the_new() {
        let plan = plan(160);
        let mut mark = Mark::first(&plan);
        (0..8).for_each(|_| mark.spend(&one()));
        assert_eq!(mark.write(&plan).requests, 12);
        (0..2).for_each(|_| mark.spend(&one()));
        assert!(!mark.covers(&one()), "the old one is used up");
        mark.written(&plan);
        (0..10).for_each(|_| mark.spend(&one()));
        assert!(!mark.covers(&one()), "12 since the look");
        assert_eq!(mark.write(&plan).requests, 18);
        mark.written(&plan);
        assert_eq!(mark.write(&plan).requests, 10, "quiet again");
    }

    #[test]
    fn half_of_the_smallest_limits_is_left_after_a_crash_but_of_one() {
        for (limit, allowed) in [(1, 1), (2, 1), (4, 1), (5, 2), (10, 2), (32, 2), (60, 3)] {
            assert_eq!(least(&plan(limit))[0], allowed);
        }
    }
}
