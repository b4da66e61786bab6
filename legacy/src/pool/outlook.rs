//! Whether a demand would find a key, without taking one.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use super::{Affinity, Demand, Exhausted, KeyPool, check::Check, state::State};
use crate::{
    limit::{Limits, Span, Unit},
    time::Now,
};

impl KeyPool {
    /// Whether some key could carry a request of this model now.
    pub fn can_serve(&self, model: &str) -> bool {
        let now = self.clock().now();
        let demand = Demand::new(model);
        self.look_at(now).could_pick(&demand, now)
    }

    /// Why no key may carry this now; `None` where one may. Takes nothing, waits for nothing and counts nothing. Where no
    /// key may, it looks at every key to say why.
    ///
    /// ```
    /// use tower_keypool::{Gemini, Key, KeyPool, Limits};
    ///
    /// let key = Key::new("AIza-not-a-real-key-000");
    /// let pool = KeyPool::builder(Gemini::new()).key(key).limits("*", Limits::new().per_minute(1)).build()?;
    /// assert!(pool.outlook("gemini-2.5-flash").is_none());
    /// drop(pool.try_acquire("gemini-2.5-flash")?);
    /// let out = pool.outlook("gemini-2.5-flash").expect("its minute is full");
    /// assert!(out.next_in().is_some_and(|next| next.as_secs() >= 59));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn outlook(&self, demand: impl Into<Demand>) -> Option<Exhausted> {
        let demand = demand.into();
        let now = self.clock().now();
        let mut state = self.look_at(now);
        if state.could_pick(&demand, now) {
            return None;
        }
        let ask = state.ask(&demand, now);
        Some(state.diagnose(&ask))
    }

    /// Whether any of its keys ever served a request, be it in an earlier process that a store remembers.
    pub fn ever_served(&self) -> bool {
        let state = self.lock();
        state.roster.slots().any(|slot| state.ever_served(slot))
    }

    /// How many requests all keys together may begin for this demand within its wait (else the pool's), however little
    /// was used before; `None` where somebody has no such limit. Whoever sends one thing in pieces, each of them a request
    /// or more, asks it before the first: what is more can never be had whole.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_keypool::{Demand, Gemini, Key, KeyPool, Limits};
    ///
    /// let keys = [Key::new("AIza-not-a-real-key-000"), Key::new("AIza-not-a-real-key-001")];
    /// let pool = KeyPool::builder(Gemini::new()).keys(keys).limits("*", Limits::new().per_minute(10)).build()?;
    /// assert_eq!(pool.most_requests("gemini-embedding-001"), Some(20));
    /// let patient = Demand::new("gemini-embedding-001").wait(Duration::from_secs(90));
    /// assert_eq!(pool.most_requests(patient), Some(40));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn most_requests(&self, demand: impl Into<Demand>) -> Option<u64> {
        let demand = demand.into();
        let now = self.clock().now();
        let mut state = self.look_at(now);
        let within = demand.wait.unwrap_or_else(|| self.default_wait());
        state.most_requests(&demand, within, now)
    }

    /// How many tokens of a prompt one request may need at the most, by the largest limit that was given or learned, of keys
    /// that are not switched off; `None` where one of them has no such limit, or none is left. A demand that is
    /// [estimated](Demand::about_tokens) is cut to that, since estimates err: who knows better asks here.
    ///
    /// ```
    /// use tower_keypool::{Gemini, Key, KeyPool, Limits};
    ///
    /// let key = Key::new("AIza-not-a-real-key-000");
    /// let tokens = Limits::new().tokens_per_minute(250_000);
    /// let pool = KeyPool::builder(Gemini::new()).key(key).limits("gemini-2.5-flash", tokens).build()?;
    /// assert_eq!(pool.most_tokens("gemini-2.5-flash"), Some(250_000));
    /// assert_eq!(pool.most_tokens("gemini-2.5-pro"), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn most_tokens(&self, demand: impl Into<Demand>) -> Option<u64> {
        let demand = demand.into();
        let now = self.clock().now();
        let mut state = self.look_at(now);
        state.most_tokens(&demand, now)
    }
}

impl State {
    fn most_tokens(&mut self, demand: &Demand, now: Now) -> Option<u64> {
        let lane = self.ask(demand, now).lane;
        let must = matches!(demand.affinity, Affinity::MustKey(_) | Affinity::MustOwner(_));
        let slots: Vec<u32> = if must { self.wanted(&demand.affinity) } else { self.roster.slots().collect() };
        let mut most = None;
        for slot in slots {
            let owner = self.roster.keys[slot as usize].owner;
            let own = self.plans.plan(self.lanes[usize::from(lane)].owners[owner as usize].plan).most_input();
            let is_off = matches!(self.check_plain(lane, slot, now),
                Check::Out(reason) | Check::Until(_, reason) if reason.is_disabled());
            if !is_off && own == u64::MAX {
                return None;
            }
            most = most.max((!is_off).then_some(own));
        }
        most
    }

    pub(super) fn most_requests(&mut self, demand: &Demand, within: Duration, now: Now) -> Option<u64> {
        let lane = usize::from(self.ask(demand, now).lane);
        let must = matches!(demand.affinity, Affinity::MustKey(_) | Affinity::MustOwner(_));
        let wanted = if must { self.wanted(&demand.affinity) } else { Vec::new() };
        let (mut owners, mut plans, mut sum) = (HashSet::new(), HashMap::new(), None);
        for slot in self.roster.slots().filter(|slot| !must || wanted.contains(slot)) {
            let owner = self.roster.keys[slot as usize].owner;
            if !owners.insert(owner) {
                continue;
            }
            let plan = self.lanes[lane].owners[owner as usize].plan;
            let most = plans.entry(plan).or_insert_with(|| most_within(&self.plans.sources(plan).whole(), within));
            sum = Some(sum.unwrap_or(0_u64).saturating_add((*most)?));
        }
        sum
    }
}

/// How many requests these let begin within a time.
fn most_within(limits: &Limits, within: Duration) -> Option<u64> {
    let of_requests = limits.iter().filter(|limit| limit.unit == Unit::Requests);
    let most = of_requests.map(|limit| {
        let again = match limit.span {
            Span::Sliding(span) if !span.is_zero() => within.as_millis() / span.as_millis().max(1),
            _ => 0,
        };
        limit.amount.saturating_mul(u64::try_from(again).unwrap_or(u64::MAX).saturating_add(1))
    });
    most.min()
}
