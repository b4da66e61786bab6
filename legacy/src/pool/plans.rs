//! Limits as they hold, compiled once for all owners that have the same.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::Serialize;

use crate::{
    limit::{Dates, Limit, Limits, Plan},
    share::stricter,
};

/// Where a limit came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum LimitSource {
    /// Somebody configured it.
    Given,
    /// The provider's answers told it.
    Learned,
    /// The table of known limits that ships with the provider.
    Table,
}

/// The sources of an owner's limits in a lane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Sources {
    pub(super) given: Limits,
    pub(super) learned: Limits,
    pub(super) table: Limits,
    /// As other processes have them that share the owner: where these are stricter they hold.
    pub(super) elsewhere: Limits,
    /// Among how many processes they are divided; zero or one: they hold as they are.
    pub(super) among: u32,
}

impl Sources {
    /// The limits that hold: a learned one only tightens a given one; where nothing is given the learned holds, else
    /// the table.
    fn effective(&self) -> Limits {
        let whole = self.whole();
        if self.among < 2 {
            return whole;
        }
        // Rounded down, so that all of them together stay within it: what is less than their number leaves nothing.
        let part = |limit: &Limit| Limit { amount: limit.amount / u64::from(self.among), ..*limit };
        whole.iter().fold(Limits::new(), |limits, limit| limits.with(part(limit)))
    }

    /// The same for all processes together.
    pub(super) fn whole(&self) -> Limits {
        let own = self.own();
        if self.elsewhere.is_empty() { own } else { stricter(&own, &self.elsewhere) }
    }

    /// The same without what other processes say.
    pub(super) fn own(&self) -> Limits {
        let mut limits = Limits::new();
        for limit in self.table.iter().chain(self.learned.iter()) {
            limits = limits.with(*limit);
        }
        for given in self.given.iter() {
            let learned = find(&self.learned, *given);
            limits = limits.with(learned.filter(|learned| learned.amount < given.amount).unwrap_or(*given));
        }
        limits
    }

    /// Where the limit that holds for this unit and span came from.
    pub(super) fn source(&self, limit: Limit) -> LimitSource {
        let given = find(&self.given, limit);
        let learned = find(&self.learned, limit);
        match (given, learned) {
            (Some(given), Some(learned)) if learned.amount < given.amount => LimitSource::Learned,
            (Some(_), _) => LimitSource::Given,
            (None, Some(_)) => LimitSource::Learned,
            (None, None) => LimitSource::Table,
        }
    }
}

/// The limit of the same unit and span.
pub(super) fn find(limits: &Limits, like: Limit) -> Option<Limit> {
    limits.iter().find(|limit| (limit.unit, limit.span) == (like.unit, like.span)).copied()
}

pub(super) struct Entry {
    pub(super) plan: Plan,
    pub(super) sources: Sources,
}

/// The number of no limits.
pub(super) const NO_LIMITS: u16 = 0;

pub(super) struct Plans {
    entries: Vec<Entry>,
    index: HashMap<Sources, u16>,
    guard: Duration,
    /// For how many dates logs keep counts.
    kept: Dates,
    /// Among how many processes all limits are divided from now on.
    among: u32,
    /// Some plan counts tokens.
    tokens: Arc<AtomicBool>,
}

impl Plans {
    pub(super) fn new(guard: Duration) -> Self {
        let mut plans = Self {
            entries: Vec::new(),
            index: HashMap::new(),
            guard,
            kept: Dates::Few,
            among: 0,
            tokens: Arc::default(),
        };
        plans.intern(Sources::default());
        plans
    }

    /// The number of these limits, [`NO_LIMITS`] of none; beyond 65,535 different ones that is what is returned,
    /// which only costs knowing before sending.
    pub(super) fn intern(&mut self, sources: Sources) -> u16 {
        let limited = [&sources.given, &sources.learned, &sources.table, &sources.elsewhere];
        let among = if limited.iter().all(|limits| limits.is_empty()) { 0 } else { self.among };
        let sources = Sources { among, ..sources };
        if let Some(known) = self.index.get(&sources) {
            return *known;
        }
        let Ok(number) = u16::try_from(self.entries.len()) else { return NO_LIMITS };
        let plan = Plan::compile_for(&sources.effective(), self.guard, self.kept);
        if plan.counts_tokens() {
            self.tokens.store(true, Ordering::Relaxed);
        }
        self.entries.push(Entry { plan, sources: sources.clone() });
        self.index.insert(sources, number);
        number
    }

    pub(super) fn kept(&self) -> Dates {
        self.kept
    }

    /// Whether some answer named a limit.
    pub(super) fn any_learned(&self) -> bool {
        self.entries.iter().any(|entry| !entry.sources.learned.is_empty())
    }

    /// Logs keep so many dates from now on. Says how they were laid out before, by number.
    pub(super) fn keep(&mut self, kept: Dates) -> Vec<Plan> {
        self.kept = kept;
        let guard = self.guard;
        let compile = |entry: &mut Entry| {
            let plan = Plan::compile_for(&entry.sources.effective(), guard, kept);
            std::mem::replace(&mut entry.plan, plan)
        };
        self.entries.iter_mut().map(compile).collect()
    }

    /// Limits that are interned from now on are divided among so many processes; zero: among none.
    pub(super) fn divide(&mut self, among: u32) {
        self.among = among;
    }

    /// Some will, as soon as somebody asks for a model.
    pub(super) fn expect_tokens(&self) {
        self.tokens.store(true, Ordering::Relaxed);
    }

    /// Whether some plan counts tokens, or did.
    pub(super) fn count_tokens(&self) -> bool {
        self.tokens.load(Ordering::Relaxed)
    }

    /// Whether some plan counts tokens, or will: for whoever does not hold the pool's mutex.
    pub(super) fn tokens(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.tokens)
    }

    pub(super) fn plan(&self, number: u16) -> &Plan {
        &self.entries[usize::from(number)].plan
    }

    pub(super) fn sources(&self, number: u16) -> &Sources {
        &self.entries[usize::from(number)].sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::{Span, Unit};

    fn amount(sources: &Sources) -> (u64, LimitSource) {
        let limits = sources.effective();
        let minute = Limit { unit: Unit::Requests, span: Span::MINUTE, amount: 0 };
        let limit = find(&limits, minute).expect("a limit a minute");
        (limit.amount, sources.source(limit))
    }

    #[test]
    fn the_smaller_of_given_and_learned_holds_and_the_table_comes_last() {
        let limits = |n| Limits::new().per_minute(n);
        let none = Limits::new;
        let sources = |given, learned, table| Sources { given, learned, table, ..Sources::default() };
        assert_eq!(amount(&sources(limits(10), limits(5), limits(99))), (5, LimitSource::Learned));
        assert_eq!(amount(&sources(limits(10), limits(15), limits(3))), (10, LimitSource::Given));
        assert_eq!(amount(&sources(none(), limits(15), limits(3))), (15, LimitSource::Learned));
        assert_eq!(amount(&sources(none(), none(), limits(3))), (3, LimitSource::Table));
    }

    #[test]
    fn divided_limits_are_rounded_down_to_nothing() {
        let parts = [(10, 4, 2), (3, 4, 0), (7, 1, 7), (7, 0, 7)];
        for (given, among, part) in parts {
            let sources = Sources { given: Limits::new().per_minute(given), among, ..Sources::default() };
            assert_eq!(amount(&sources), (part, LimitSource::Given));
        }
        let mut plans = Plans::new(Duration::ZERO);
        let sources = Sources { given: Limits::new().per_minute(8), ..Sources::default() };
        let whole = plans.intern(sources.clone());
        plans.divide(2);
        let half = plans.intern(sources.clone());
        assert_eq!(plans.plan(half).limits().map(|limit| limit.amount).collect::<Vec<_>>(), [4]);
        assert_eq!(plans.intern(Sources::default()), 0, "no limit has no part");
        plans.divide(0);
        assert_eq!(plans.intern(plans.sources(half).clone()), whole);
    }

    #[test]
    fn tokens_count_from_the_first_plan_on_that_counts_them() {
        let mut plans = Plans::new(Duration::ZERO);
        let tokens = plans.tokens();
        plans.intern(Sources { given: Limits::new().per_minute(10).per_day(250), ..Sources::default() });
        assert!(!tokens.load(Ordering::Relaxed));
        plans.intern(Sources { learned: Limits::new().tokens_per_minute(1000), ..Sources::default() });
        assert!(tokens.load(Ordering::Relaxed));
    }
}
